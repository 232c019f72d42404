// A stored picture's thumbnail, or what stands for one that cannot be shown; knows nothing of where it stands.
import * as api from "./api.js";
import { make } from "./dom.js";

/** An `img` of a stored picture, its `alt` among the options; one that the server cannot show becomes a text that says so. */
export function thumbnail(id, options) {
  const image = make("img", { ...options });
  image.addEventListener("error", async () => {
    const { wait_s, line } = await api.thumbnailFault(id);
    if (wait_s) setTimeout(() => { image.src = api.thumbnail(id); }, wait_s * 1000);   // asked too often: later it is shown
    else image.replaceWith(unshown(options.alt, line));
  });
  image.src = api.thumbnail(id);
  return image;
}

function unshown(alt, line) {
  const name = alt ? { role: "img", "aria-label": `${alt}; cannot be shown` } : {};
  return make("span", { className: "unshown", title: line, ...name }, "cannot be shown");
}
