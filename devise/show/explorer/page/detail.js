// One picture opened: what it shows, why it was found, what is like it; knows nothing of how the grid came to be.
import * as api from "./api.js";
import { termName, termPicture } from "./box.js";
import { by, make, percent, score, size, sure } from "./dom.js";
import { thumbnail } from "./thumbnail.js";

let asking = new AbortController();

const row = (name, value) => (value === null || value === undefined ? null : make("div", {}, make("dt", {}, name), make("dd", {}, value)));
const button = (inside, onclick, options = {}) => make("button", { type: "button", onclick, ...options }, inside);

/**
 * Opens a picture in the dialog, or the next one if it is open already.
 * `opened`: `{id, hit, q, links, place, total}`; hit, of the answers shown, may be null: it is then asked for.
 * `act(name, given)`: `like`, `add`, `without` (a picture's id), `word` (a label), `open` (an id), `step` (-1 or 1), `close`.
 */
export async function open(opened, act) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const dialog = by("detail"), { id, hit, q } = opened;
  const parts = frame(opened, act);
  const focused = dialog.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
  dialog.replaceChildren(parts.whole);
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector(`[data-keep="${focused}"]`) ?? dialog.querySelector("[data-keep=like]")).focus();
  if (hit) {
    drawUri(parts, hit.uri);
    drawLabels(parts, hit, act);
  }
  const say = (error) => {
    if (error.name === "AbortError") return;
    if (!(error instanceof api.Refused)) throw error;
    parts.said.textContent = error.message;
  };
  await Promise.all([
    api.image(id, signal).then((image) => { if (!signal.aborted) drawImage(parts, image, hit, act); }).catch(say),
    q ? api.why(q, id, signal).then((why) => { if (!signal.aborted) drawWhy(parts, why); }).catch(say) : null,
  ]);
}

/** Closes the dialog, and asks for nothing more. */
export function close() {
  asking.abort();
  by("detail").close();
}

/** Makes the dialog step and close by keys and clicks; `act` as for `open`. */
export function setUp(act) {
  const dialog = by("detail");
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); act("close"); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) act("close"); });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act("step", step);
  });
}

function frame({ id, hit, q, links, place, total }, act) {
  const image = thumbnail(id, { alt: hit?.alt ?? `picture ${id}` });
  const parts = {
    image, name: make("h2", { id: "detail-name" }, hit?.name ?? `Picture ${id}`), uri: make("p", { className: "uri" }),
    said: make("p", { className: "said", role: "alert" }), labels: make("div", {}), why: make("div", {}), facts: make("dl", { className: "facts" }),
    near: make("div", {}),
  };
  const steps = place >= 0 ? [
    button("‹", () => act("step", -1), { className: "quiet", "aria-label": "previous answer", disabled: place === 0, "data-keep": "before" }),
    make("span", { className: "faint" }, `${place + 1} of ${total}`),
    button("›", () => act("step", 1), { className: "quiet", "aria-label": "next answer", disabled: place + 1 >= total, "data-keep": "after" }),
  ] : [];
  const actions = make(
    "div", { className: "actions" }, button("More like this", () => act("like", id), { className: "go", "data-keep": "like" }),
    q ? button("Add to the search", () => act("add", id), { "data-keep": "add" }) : null,
    q ? button("Without this", () => act("without", id), { "data-keep": "without" }) : null,
    links ? button("The original", () => original(id, parts), { "data-keep": "link" }) : null,
  );
  parts.whole = make(
    "div", { className: "opened" },
    make("div", { className: "bar" }, ...steps, button("×", () => act("close"), { className: "quiet close", "aria-label": "close", "data-keep": "close" })),
    make("div", { className: "large" }, image), make("div", { className: "words" }, parts.name, parts.uri, actions, parts.said, parts.labels, parts.why, parts.near, parts.facts),
  );
  return parts;
}

function drawImage(parts, image, hit, act) {
  parts.name.textContent = image.name;
  parts.facts.replaceChildren(...[
    row("size", image.width && `${image.width} × ${image.height}`), row("bytes", image.size_bytes === null ? null : size(image.size_bytes)),
    row("arrived", image.modified_at?.slice(0, 10)), row("id", image.image_id),
  ].filter(Boolean));
  if (!hit) {
    drawUri(parts, image.uri);
    parts.image.alt = image.labels.slice(0, 3).map(({ label }) => label).join(", ") || image.name;
    drawLabels(parts, image, act);
  }
  if (!image.duplicates.length) return;
  parts.near.replaceChildren(make("h3", {}, "Near-duplicates"), make("div", { className: "near" }, ...image.duplicates.map((other) =>
    button(thumbnail(other.image_id, { alt: other.name, width: 72, height: 72 }), () => act("open", other.image_id), { title: other.uri }))));
}

function drawUri(parts, text) {
  const copied = make("span", { className: "faint", role: "status" }), uri = make("code", {}, text);
  parts.uri.replaceChildren(uri, button("copy", () => copy(uri, copied), { className: "link", "aria-label": "copy the address" }), copied);
}

function drawLabels(parts, { labels, answer, answer_probability }, act) {
  const said = answer ? make("p", { className: "sure" }, make("b", {}, answer), sure(answer_probability)) : null;
  const numbers = ({ score: cosine, probability }) => score(cosine) + (probability === null ? "" : ` · ${percent(probability)}`);
  parts.labels.replaceChildren(make("h3", {}, "What it shows"), ...(said ? [said] : []), make("ol", { className: "labels" }, ...labels.map((label) =>
    make("li", {}, button(label.label, () => act("word", label.label), { className: "link", title: "search for it" }), make("i", {}, numbers(label))))));
  if (!labels.length) parts.labels.append(make("p", { className: "faint" }, "It has no labels."));
}

function drawWhy(parts, { score: whole, terms }) {
  const most = Math.max(...terms.map(({ share }) => Math.abs(share)), 1e-9);
  const bars = terms.map(({ text, weight, picture, cosine, share }) => {
    const bar = make("span", { className: share < 0 ? "share below" : "share", "aria-hidden": "true" });
    bar.style.setProperty("--share", Math.abs(share) / most);
    const body = picture ? `image:${text}` : text, times = Math.abs(weight) === 1 ? "" : `${Math.abs(weight)} × `;
    return make("li", {}, make("span", { className: "of" }, weight < 0 ? "− " : "", times, picture ? termPicture(body) : null, termName(body)), bar,
      make("i", { title: `cosine ${score(cosine)}` }, (share > 0 ? "+" : "") + score(share)));
  });
  parts.why.replaceChildren(make("h3", {}, "Why this picture"), make("ol", { className: "why" }, ...bars),
    make("p", { className: "faint" }, `The terms' shares add up to its score, ${score(whole)}.`));
}

async function copy(element, said) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(element.textContent);
    said.textContent = "copied";
    return;
  }
  getSelection().selectAllChildren(element);   // no clipboard for pages without https
  said.textContent = "selected: press Ctrl+C";
}

async function original(id, parts) {
  try {
    window.open((await api.link(id)).url, "_blank", "noopener");
  } catch (error) {
    if (!(error instanceof api.Refused)) throw error;
    parts.said.textContent = error.message;
  }
}
