// The server's calls; knows no page. Addresses are relative, so that a proxy may serve the explorer below a path.

/** What the server said in one line, and its status; `wait_s` where it named a time to come again. Status 0: it was not reached. */
export class Refused extends Error {
  constructor(line, status, wait_s = null) {
    super(line);
    this.status = status;
    this.wait_s = wait_s;
  }
}

async function call(path, parameters = {}, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path, parameters), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The explorer's server was not reached.", 0);
  }
  if (answer.ok) return answer.json();
  throw await refusal(answer);
}

async function refusal(answer) {
  const told = await answer.json().catch(() => ({}));
  const wait = Number(answer.headers.get("Retry-After"));
  return new Refused(told.error ?? `The server answered ${answer.status}.`, answer.status, wait || null);
}

/** Path and parameters; those that say nothing are left out. */
export function address(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false);
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
}

export const live = () => call("api/live");
export const words = (text, k, signal) => call("api/words", { text, k }, { signal });
export const search = (asked, offset, signal) => call("api/search", { ...asked, offset, limit: 100 }, { signal });
export const why = (q, image_id, signal) => call("api/why", { q, image_id }, { signal });
export const image = (id, signal) => call(`api/images/${id}`, {}, { signal });
export const link = (id) => call(`api/images/${id}/link`);
export const thumbnail = (id) => `api/images/${id}/thumbnail`;

/** Why a thumbnail did not come, which its `img` does not tell: the server's line, and seconds to wait if waiting helps. */
export async function thumbnailFault(id) {
  try {
    const answer = await fetch(thumbnail(id));
    if (answer.ok) return { line: "it is no picture that this browser shows", wait_s: null };
    throw await refusal(answer);
  } catch (error) {
    return { line: error.message, wait_s: error.wait_s ?? null };
  }
}

/** The term, labels and answer of a picture of one's own. */
export function picture(file) {
  const body = new FormData();
  body.append("picture", file);
  return call("api/pictures", {}, { method: "POST", body });
}

/** Sends the token; a cookie that no script can read keeps it. */
export const session = (token) =>
  call("api/session", {}, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
