// Elements and numbers as people read them; knows nothing of searches.

/** The element of an id. */
export const by = (id) => document.getElementById(id);

/**
 * A new element. Properties are set as such (`className`, `onclick`), those with a dash or `role` as attributes; null and undefined
 * ones are left out. Children are elements or texts; texts are never read as HTML.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Shows an element if there is a reason to. */
export const show = (element, wanted = true) => { element.hidden = !wanted; };

/** A whole number, grouped: 12,000. */
export const count = (number) => number.toLocaleString("en");

/** A cosine with two digits, its minus a real one. */
export const score = (number) => number.toFixed(2).replace("-", "−");

/** A share of one in whole percent. */
export const percent = (share) => `${Math.round(share * 100)} %`.replace("-", "−");

/** How sure an answer is, in words; "" where no probability is known. */
export const sure = (probability) => (probability === null ? "" : ` ${percent(probability)} sure`);

/** Bytes in the unit that reads best, decimal. */
export function size(bytes) {
  const unit = bytes >= 1e6 ? [1e6, "MB"] : [1e3, "kB"];
  return `${(bytes / unit[0]).toFixed(bytes >= 1e7 || bytes < 1e6 ? 0 : 1)} ${unit[1]}`;
}

/** What calls it, only after it has not been called for so long; `wait_ms` in milliseconds. */
export function settle(action, wait_ms) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), wait_ms);
  };
}
