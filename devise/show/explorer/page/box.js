// The search box: words as text, pictures as chips; knows nothing of answers.
import { complete } from "./complete.js";
import { by, make, show } from "./dom.js";
import { compose, isPicture, quote, storedId, terms, wordAt } from "./grammar.js";
import * as own from "./own.js";
import { thumbnail } from "./thumbnail.js";

let pictures = [];   // terms of pictures, in order
let filled = "";     // the query that box and chips were filled from

/** A query as people read it: pictures are named, not spelt. */
export const told = (q) => compose(terms(q).map((term) => ({ ...term, body: termName(term.body) })));

/** What a term is called: a text of the query, `image:` before a picture. */
export function termName(body) {
  if (!isPicture(body)) return body;
  return storedId(body) ? `picture ${storedId(body)}` : own.known(body)?.name ?? "your picture";
}

/** A small picture of a picture's term, or a sign for one; its name is said beside it. */
export function termPicture(body) {
  const id = storedId(body), source = own.known(body)?.thumbnail;
  if (id) return thumbnail(id, { alt: "", width: 28, height: 28 });
  return source ? make("img", { src: source, alt: "", width: 28, height: 28 }) : make("span", { className: "chip-sign", "aria-hidden": "true" }, "▣");
}

/** The query of box and chips; the box may have a sign of its own first, as in `- engine`. */
export const query = () => compose([...pictures, ...terms(by("asked").value)]);

/** Fills box and chips from a query; from the same as before, what was typed since stays. */
export function fill(q) {
  if (q === filled) return;
  filled = q;
  const all = terms(q);
  pictures = all.filter(({ body }) => isPicture(body));
  const words = all.filter(({ body }) => !isPicture(body));
  const behind = pictures.length > 0 && words[0]?.minus;   // the box goes on with a sign, as in `- engine`
  by("asked").value = behind ? `- ${compose([{ ...words[0], minus: false }, ...words.slice(1)])}` : compose(words);
  offerClear();
}

function offerClear() {
  show(by("clear"), by("asked").value !== "" || pictures.length > 0);
}

/** Draws the chips of the query's pictures; `go(q)` is called with the query that a chip's button leads to. */
export function draw(go) {
  by("pictured").replaceChildren(...pictures.map((term, place) => {
    const name = termName(term.body);
    const change = (...instead) => go(compose([...pictures.toSpliced(place, 1, ...instead), ...terms(by("asked").value)]));
    return make(
      "span", { className: term.minus ? "chip term minus" : "chip term" },
      make("button", {
        type: "button", className: "sign", title: term.minus ? "add it instead" : "take it away instead",
        "aria-label": `${name}: ${term.minus ? "taken away; add it instead" : "added; take it away instead"}`,
        onclick: () => change({ ...term, minus: !term.minus }),
      }, term.minus ? "−" : "+"),
      term.weight ? `${term.weight} ×` : null, termPicture(term.body),
      make("button", { type: "button", className: "quiet", "aria-label": `remove ${name}`, onclick: () => change() }, "×"),
    );
  }));
}

/** The query with a picture more, added or taken away; one that is in it already changes its sign. */
export function withPicture(q, body, minus) {
  return compose([...terms(q).filter((term) => term.body !== body), { minus, weight: "", body }]);
}

/** Says in one line under the box what is wrong with the question; "" for nothing. */
export function say(line) {
  by("ask-said").textContent = line;
  by("asked").setAttribute("aria-invalid", String(line !== ""));
}

/** Makes the box ask: `go(q)` is called with a query, "" when it was cleared. */
export function setUp(go) {
  const input = by("asked");
  const close = complete(input, by("asked-list"), ({ value, selectionStart }) => wordAt(value, selectionStart), (label, word) => {
    input.value = input.value.slice(0, word.from) + quote(label) + input.value.slice(word.to);
    const caret = word.from + quote(label).length;
    input.setSelectionRange(caret, caret);
    offerClear();
    go(query());
  });
  const clear = () => {
    input.value = "";
    pictures = [];
    go("");
    input.focus();
  };
  input.addEventListener("input", () => { say(""); offerClear(); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear();
    if (event.key === "Backspace" && input.value === "" && pictures.length) go(compose(pictures.slice(0, -1)));
  });
  by("clear").addEventListener("click", clear);
  by("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    close();
    go(query());
  });
}
