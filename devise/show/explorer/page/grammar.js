// Texts of queries: terms, signs, weights, quotes, and which word the caret is in; knows no page. The server alone judges a query.

const STORED = "image:ID/";
const OWN = "image:VECTOR/";

/** Whether a term is a picture that only a machine can name: it is shown as a chip, never as text. */
export const isPicture = (body) => storedId(body) !== null || body.startsWith(OWN);

/** The id of a stored picture's term; null for any other. */
export const storedId = (body) => /^image:ID\/(\d{1,19})$/.exec(body)?.[1] ?? null;

export const storedTerm = (id) => STORED + id;

/** Where each term of a text lies: `[{minus, from, to}]`, the sign left out. Signs are operators between spaces, outside of quotes. */
function ranges(text) {
  const found = [];
  let from = 0, minus = false, quoted = false;
  const lead = /^\s*([+-])\s+/.exec(text);
  if (lead) [from, minus] = [lead[0].length, lead[1] === "-"];
  for (let at = from; at < text.length; at++) {
    if (text[at] === '"') quoted = !quoted;
    if (quoted || !/^\s[+-](\s|$)/.test(text.slice(at, at + 3))) continue;
    found.push({ minus, from, to: at });
    [minus, from] = [text[at + 1] === "-", at + 3];
    at += 1;
  }
  return [...found, { minus, from, to: text.length }];
}

/** The terms of a text: `{minus, weight, body}`; weight as it was written, above 0, "" for 1. */
export function terms(text) {
  return ranges(text).map(({ minus, from, to }) => split(text.slice(from, to), minus)).filter((term) => term.body !== "");
}

function split(text, minus) {
  const found = /^\s*(-?)(\d*\.?\d+)\s+\*\s+(.*)$/s.exec(text);
  if (!found) return { minus, weight: "", body: text.trim() };
  return { minus: minus !== (found[1] === "-"), weight: Number(found[2]) === 1 ? "" : found[2], body: found[3].trim() };
}

/** The text of terms: one that is added stands first, where there is one; alone, a subtracted one has a weight below 0. */
export function compose(all) {
  const first = all.findIndex((term) => !term.minus);
  const order = first > 0 ? [all[first], ...all.slice(0, first), ...all.slice(first + 1)] : all;
  return order.map((term, place) => {
    const told = term.weight ? `${term.weight} * ${term.body}` : term.body;
    if (place > 0) return `${term.minus ? " - " : " + "}${told}`;
    return term.minus ? `-${term.weight || 1} * ${term.body}` : told;
  }).join("");
}

/** A label as a query may hold it: in quotes where it has signs of its own. */
export const quote = (label) => (/(^|\s)[-+*](\s|$)/.test(label) || /^image:/i.test(label) ? `"${label}"` : label);

/** The word under the caret: `{from, to, text}`, without sign, weight and quotes; null where it is a picture. */
export function wordAt(text, caret) {
  const range = ranges(text).find(({ from, to }) => caret >= Math.min(from, text.length) && caret <= to);
  if (!range) return null;
  const told = text.slice(range.from, range.to);
  const skipped = /^\s*(-?\d*\.?\d+\s+\*\s+)?/.exec(told)[0].length;
  const body = told.slice(skipped).trimEnd();
  if (/^image:/i.test(body)) return null;
  return { from: range.from + skipped, to: range.from + skipped + body.length, text: body.replace(/"/g, "").trim() };
}
