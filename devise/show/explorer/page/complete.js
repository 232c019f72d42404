// Completion over the vocabulary, the combobox pattern of ARIA: focus stays in the box; knows nothing of what a choice leads to.
import * as api from "./api.js";
import { make, settle, show } from "./dom.js";

const SHOWN = 8;
const WAIT_MS = 120;

/**
 * Makes an input and its listbox a combobox.
 * `wordOf(input)` is the word to complete, `{text}`, or null; `choose(label, word)` is called with a choice and the word it stands for.
 */
export function complete(input, list, wordOf, choose) {
  let asking = new AbortController();
  let word = null, at = -1;

  function close() {
    asking.abort();
    show(list, false);
    at = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function mark(place) {
    const options = [...list.children];
    at = (place + options.length) % options.length;
    options.forEach((option, n) => option.setAttribute("aria-selected", String(n === at)));
    input.setAttribute("aria-activedescendant", options[at].id);
    options[at].scrollIntoView({ block: "nearest" });
  }

  function take(label) {
    const now = wordOf(input);   // it may have grown since its list came
    const taken = now?.from === word.from ? now : word;
    close();
    choose(label, taken);
  }

  function option({ label, seen, said }, n) {
    const told = [said && said !== label ? `“${said}”` : null, seen ? null : "zero-shot"].filter(Boolean).join(", ");
    return make(
      "li", { id: `${list.id}-${n}`, role: "option", "aria-selected": "false", onclick: () => take(label) },
      make("span", {}, label), told ? make("small", {}, told) : null,
    );
  }

  const ask = settle(async () => {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    word = document.activeElement === input ? wordOf(input) : null;
    if (!word?.text) return close();
    let found;
    try {
      found = (await api.words(word.text, SHOWN, signal)).words;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof api.Refused) return close();   // the search itself says what is wrong
      throw error;
    }
    if (signal.aborted) return;
    if (found.length === 0 || (found.length === 1 && found[0].label === word.text)) return close();
    list.replaceChildren(...found.map(option));
    at = -1;
    show(list);
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
  }, WAIT_MS);

  input.addEventListener("input", ask);
  input.addEventListener("blur", close);
  list.addEventListener("pointerdown", (event) => event.preventDefault());   // focus stays in the box
  input.addEventListener("keydown", (event) => {
    if (list.hidden) {
      if (event.key === "ArrowDown") ask();
      return;
    }
    if (event.key === "ArrowDown") mark(at + 1);
    else if (event.key === "ArrowUp") mark(at < 0 ? -1 : at - 1);
    else if (event.key === "Enter" && at >= 0) take(list.children[at].firstChild.textContent);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();   // Escape closes the list first, and clears the box the next time
  });
  return close;
}
