// Filters of an answer and the chips beside it; knows nothing of how answers are found.
import { complete } from "./complete.js";
import { by, count, make, score, settle, show } from "./dom.js";

const SLIDE_MS = 250;
const FOLDERS = "folders";
const NAMES = { under: "in", label: "with", since: "since", least: "at least", fold: "near-duplicates folded" };

const chip = (text, options, ...more) => make("button", { type: "button", className: "chip", ...options }, text, ...more);

/** Makes the filters ask: `go(change, replace)` is called with what changed of the state. */
export function setUp(go) {
  const label = by("label");
  complete(label, by("label-list"), ({ value }) => ({ text: value.trim() }), (chosen) => {
    label.value = chosen;
    go({ label: chosen });
  });
  by("filter-form").addEventListener("submit", (event) => event.preventDefault());
  by("filter-form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.id === "label") go({ label: label.value.trim() });
  });
  label.addEventListener("change", () => { if (label.value === "") go({ label: "" }); });
  by("under").addEventListener("change", ({ target }) => go({ under: target.value.trim() }));
  by("since").addEventListener("change", ({ target }) => go({ since: target.value }));
  by("fold").addEventListener("change", ({ target }) => go({ fold: target.checked }));
  const slide = settle((value) => go({ least: Number(value) <= Number(by("least").min) ? "" : value }, true), SLIDE_MS);
  by("least").addEventListener("input", ({ target }) => {
    by("least-said").value = score(Number(target.value));
    slide(target.value);
  });
}

/** What the live corpus offers to filter by; what it cannot answer is named with the reason, and cannot be filled in. */
export function offer(live) {
  by(FOLDERS).replaceChildren(...live.folders.map((value) => make("option", { value })));
  for (const name of ["label", "since", "fold"]) {
    const reason = live.lacks[name];
    by(name).disabled = Boolean(reason);
    by(`${name}-lacks`).textContent = reason ? `not here: ${reason}` : "";
    show(by(`${name}-lacks`), Boolean(reason));
  }
}

/** Fills the fields from the state, and draws a chip for each active filter. */
export function draw(state, go) {
  for (const name of ["under", "label", "since"]) by(name).value = state[name];
  by("fold").checked = state.fold;
  const active = Object.keys(NAMES).filter((name) => state[name]);
  by("active").replaceChildren(...active.map((name) => {
    const text = name === "fold" ? NAMES.fold : `${NAMES[name]} ${state[name]}`;
    return chip(text, { className: "chip on", "aria-label": `remove the filter: ${text}`, onclick: () => go({ [name]: name === "fold" ? false : "" }) },
      make("span", { "aria-hidden": "true" }, " ×"));
  }));
  show(by("active"), active.length > 0);
  by("filters-n").textContent = active.length ? `(${active.length})` : "";
  show(by("filters"), state.q !== "");
}

/** Draws the chips that an answer's pictures share, and the slider over its scores. */
export function drawAnswer(answer, state, go) {
  by("chips").replaceChildren(...answer.chips.filter(({ label }) => label !== state.label).map(({ label, count: n }) =>
    chip(label, { onclick: () => go({ label }), "aria-label": `only with ${label}; ${count(n)} of the first answers have it` }, make("i", {}, ` ${count(n)}`))));
  show(by("chips"), by("chips").children.length > 0);
  drawSlider(answer.scores, state);
}

/** `scores` are those of all answers before they were cut by the least score. */
function drawSlider(scores, state) {
  const slider = by("least");
  show(by("least-field"), scores !== null && scores.most > scores.least);
  if (by("least-field").hidden) return;
  slider.min = Math.floor(scores.least * 100) / 100;
  slider.max = Math.ceil(scores.most * 100) / 100;
  slider.value = state.least === "" ? slider.min : state.least;
  by("least-said").value = score(Number(slider.value));
}
