// The grid of answers: rows of tiles with one tab stop, walked by arrows; knows nothing of where tiles come from or lead to.
import { count, make, score, show } from "./dom.js";
import { thumbnail } from "./thumbnail.js";

const SKELETONS = 24;
const SIDE = 256;   // pixels, of a thumbnail's longer side
const CAPTION = 22;  // pixels that a caption adds to a row's height, less the gap
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/** Tiles in a row of so many CSS pixels: three on a phone, ever larger ones up to a thumbnail's own size. */
export function columnsOf(width) {
  if (width < 600) return width < 300 ? 2 : 3;
  return Math.max(4, Math.floor(width / Math.min(SIDE, Math.max(168, width / 9))));
}

/**
 * The grid in an element. `act(name, hit)` is called for `open`, `like`, `add` and `without` of a tile.
 * Members: `hits`, `fill(hits)`, `append(hits)`, `wait()`, `rest()`, `focus(place)`, `at`.
 */
export class Grid {
  hits = [];
  #element;
  #act;
  #tiles = [];
  #columns = 0;
  #at = 0;

  constructor(element, act) {
    this.#element = element;
    this.#act = act;
    element.addEventListener("click", (event) => this.#clicked(event));
    element.addEventListener("keydown", (event) => this.#pressed(event));
    element.addEventListener("focusin", (event) => this.#rove(this.#placeOf(event.target)));
    new ResizeObserver(() => this.#lay()).observe(element.parentElement);
  }

  /** While the server thinks: the tiles there are, faint, or skeletons where there are none. */
  wait() {
    this.#element.setAttribute("aria-busy", "true");
    if (this.hits.length > 0) return;
    this.#tiles = Array.from({ length: SKELETONS }, () => make("div", { className: "tile skeleton", role: "gridcell" }, make("div", { className: "picture" })));
    show(this.#element);
    this.#lay(true);
  }

  fill(hits) {
    this.hits = [];
    this.#tiles = [];
    this.#at = 0;
    this.rest();
    show(this.#element, hits.length > 0);
    this.append(hits);
  }

  append(hits) {
    const before = this.hits.length;
    this.hits.push(...hits);
    this.#tiles.push(...hits.map((hit, n) => tile(hit, before + n === this.#at)));
    this.#lay(true);
  }

  /** The server thinks no more, and the tiles stay. */
  rest() {
    this.#element.removeAttribute("aria-busy");
  }

  /** The place of the tile that has the tab stop. */
  get at() {
    return this.#at;
  }

  /** Moves the focus to a tile, if there is one at that place. */
  focus(place, options = {}) {
    if (!this.hits[place]) return;
    this.#rove(place);
    this.#tiles[place].focus(options);
  }

  /** Puts the tiles into rows, anew only if there are more of them or a row holds another number; full rows stay. */
  #lay(changed = false) {
    const columns = columnsOf(this.#element.parentElement.clientWidth), rows = this.#element.children;
    if (columns === this.#columns && !changed) return;
    const stays = columns === this.#columns && rows.length > 0 && rows[0].firstChild === this.#tiles[0];
    const kept = stays ? rows.length - 1 : 0;
    this.#columns = columns;
    this.#element.style.setProperty("--columns", columns);
    this.#element.style.setProperty("--row", `${Math.round(this.#element.parentElement.clientWidth / columns) + CAPTION}px`);
    const held = document.activeElement;
    while (rows.length > kept) rows[rows.length - 1].remove();
    for (let from = kept * columns; from < this.#tiles.length; from += columns) {
      this.#element.append(make("div", { className: "row", role: "row" }, ...this.#tiles.slice(from, from + columns)));
    }
    if (held !== document.activeElement && this.#tiles.includes(held)) held.focus({ preventScroll: true });
  }

  #rove(place) {
    if (place < 0 || place >= this.hits.length) return;
    this.#tiles[this.#at].tabIndex = -1;
    this.#at = place;
    this.#tiles[place].tabIndex = 0;
  }

  #placeOf(target) {
    return this.#tiles.indexOf(target.closest("[role=gridcell]"));
  }

  #clicked(event) {
    const place = this.#placeOf(event.target);
    const button = event.target.closest("button");
    if (button && this.hits[place]) this.#act(button.className === "picture" ? "like" : "open", this.hits[place]);
  }

  #pressed(event) {
    const place = this.#placeOf(event.target);
    if (!this.hits[place] || event.altKey || event.metaKey) return;
    const named = { Enter: "open", m: "like", "+": "add", "-": "without" }[event.key];
    const goal = event.ctrlKey && named ? null : named ? place : this.#goal(event, place);
    if (goal === null) return;
    event.preventDefault();
    if (named) this.#act(named, this.hits[place]);
    else this.focus(goal);
  }

  /** The place a key leads to, null for a key that leads nowhere. */
  #goal(event, place) {
    const last = this.hits.length - 1, columns = this.#columns, row = place - (place % columns);
    const clamp = (goal) => Math.max(0, Math.min(last, goal));
    if (event.key === "Home") return event.ctrlKey ? 0 : row;
    if (event.key === "End") return event.ctrlKey ? last : clamp(row + columns - 1);
    if (event.ctrlKey) return null;
    if (event.key in STEPS) return clamp(place + STEPS[event.key]);
    if (event.key === "ArrowUp") return place - columns < 0 ? place : place - columns;
    if (event.key === "ArrowDown") return place + columns > last && row + columns > last ? place : clamp(place + columns);
    if (event.key === "PageUp") return Math.max(place % columns, place - 3 * columns);
    if (event.key === "PageDown") return clamp(place + 3 * columns);
    return null;
  }
}

function tile(hit, first) {
  const said = hit.answer ?? hit.labels[0]?.label ?? hit.name;
  const picture = thumbnail(hit.image_id, { alt: hit.alt, width: SIDE, height: SIDE, loading: "lazy", decoding: "async", draggable: false });
  const folded = hit.folded ? make("span", { className: "folded", title: "near-duplicates folded behind this picture" }, `+${count(hit.folded)}`) : null;
  return make(
    "div", { className: "tile", role: "gridcell", tabIndex: first ? 0 : -1 },
    make("button", { type: "button", className: "picture", tabIndex: -1, title: "more like this" }, picture, folded),
    make(
      "button", { type: "button", className: "caption", tabIndex: -1, title: `${hit.name}: details` },
      make("span", { className: hit.answer ? "answer" : "best" }, said), make("span", { className: "score" }, score(hit.score)),
    ),
  );
}
