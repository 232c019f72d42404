// What is asked, as the address of the page holds it: the address is the only place; knows no server and no elements.

const TEXTS = ["q", "under", "label", "since", "least"];

/** `{q, under, label, since, least, fold, image}` of the address; "" and false where nothing is asked. `image` is the open one's id. */
export function read() {
  const parameters = new URLSearchParams(location.search);
  const state = Object.fromEntries(TEXTS.map((name) => [name, parameters.get(name) ?? ""]));
  state.fold = parameters.get("fold") === "true";
  state.image = /^#image=(\d+)$/.exec(location.hash)?.[1] ?? "";
  return state;
}

/** Puts a state into the address, as a new entry of the history or in place of this one; an entry keeps `kept`. */
export function write(state, replace = false, kept = {}) {
  const parameters = new URLSearchParams();
  for (const name of TEXTS) if (state[name]) parameters.set(name, state[name]);
  if (state.fold) parameters.set("fold", "true");
  const text = parameters.toString();
  const target = location.pathname + (text ? `?${text}` : "") + (state.image ? `#image=${state.image}` : "");
  if (target === location.pathname + location.search + location.hash) return;
  history[replace ? "replaceState" : "pushState"](kept, "", target);
}

/** What the server is asked: all but the open image. */
export function asked(state) {
  const { image: _, ...rest } = state;
  return rest;
}

/** Whether two states ask the same. */
export const same = (one, other) => JSON.stringify(asked(one)) === JSON.stringify(asked(other));

/** The same question with no filter. */
export const unfiltered = (state) => ({ ...state, under: "", label: "", since: "", least: "", fold: false, image: "" });

/** Keeps beside this entry of the history how far the person had come: tiles shown, the one at hand, pixels from the top. */
export function keepPlace(shown, at, top) {
  history.replaceState({ ...history.state, shown, at, top }, "");
}
