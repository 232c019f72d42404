// Pictures of one's own: dropped, pasted or chosen, sent to the server, and remembered for as long as the tab lives.
import * as api from "./api.js";
import { by, make, score, show, sure } from "./dom.js";

const KEY = "explorer-own";
const KEPT = 12;
const SIDE = 96;   // pixels, of the thumbnail on a chip

/** What is known of an own picture's term: `{name, thumbnail, labels, answer, answer_probability}`; undefined after its tab was closed. */
export function known(term) {
  const kept = all();
  return Object.hasOwn(kept, term) ? kept[term] : undefined;   // "constructor" is a noun
}

const all = () => JSON.parse(sessionStorage.getItem(KEY) ?? "{}");

function remember(term, told) {
  const kept = Object.entries(all()).filter(([other]) => other !== term).slice(1 - KEPT);
  sessionStorage.setItem(KEY, JSON.stringify(Object.fromEntries([...kept, [term, told]])));
}

/** A small copy as a data: address; null where this browser cannot draw what the server can read. */
async function shrink(file) {
  const drawn = await createImageBitmap(file).catch(() => null);
  if (!drawn) return null;
  const canvas = document.createElement("canvas");
  const scale = SIDE / Math.min(drawn.width, drawn.height);
  canvas.width = canvas.height = SIDE;
  const [width, height] = [drawn.width * scale, drawn.height * scale];
  canvas.getContext("2d").drawImage(drawn, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  return canvas.toDataURL("image/webp", 0.8);
}

/** Shows the labels of an own picture that is the whole question; `search(label)` is called with one that is clicked. */
export function draw(q, search) {
  const told = known(q);
  show(by("picture-labels"), Boolean(told));
  if (!told) return;
  const said = told.answer ? [make("b", {}, told.answer), `${sure(told.answer_probability)}.`] : [];
  by("picture-labels").replaceChildren(
    ...(told.thumbnail ? [make("img", { src: told.thumbnail, alt: "", width: 96, height: 96 })] : []),
    make("div", {}, make("p", {}, "Your picture shows ", ...said),
      make("div", { className: "chips" }, ...told.labels.map(({ label, score: cosine }) =>
        make("button", { type: "button", className: "chip", onclick: () => search(label) }, label, make("i", {}, ` ${score(cosine)}`))))),
  );
}

/**
 * Takes pictures from the file button, a drop or a paste anywhere on the page.
 * `taken(term)` is called with the server's term, `busy()` before it is asked, `refused(error, again)` with its line if it refused.
 */
export function setUp({ taken, busy, refused }) {
  const overlay = by("drop");
  let depth = 0;   // of elements that the dragged picture is over: each enters and leaves

  async function take(file) {
    busy();
    try {
      const [{ term, labels, answer, answer_probability }, thumbnail] = await Promise.all([api.picture(file), shrink(file)]);
      remember(term, { name: file.name, thumbnail, labels, answer, answer_probability });
      taken(term);
    } catch (error) {
      refused(error, () => take(file));
    }
  }

  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  by("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) take(target.files[0]);
    target.value = "";
  });
  by("choose").addEventListener("click", () => by("file").click());
  addEventListener("dragenter", (event) => { if (carries(event)) show(overlay, ++depth > 0); });
  addEventListener("dragleave", (event) => { if (carries(event)) show(overlay, --depth > 0); });
  addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    show(overlay, false);
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (file) take(file);
  });
}
