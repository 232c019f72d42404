// The form for an explorer that wants a token; the token itself is kept by a cookie that no script can read.
import * as api from "./api.js";
import { by } from "./dom.js";

/** Asks for the token. */
export function ask() {
  if (!by("token").open) by("token").showModal();
}

/** Makes the form send the token; `begin()` is called once the server took it. */
export function setUp(begin) {
  by("token").addEventListener("cancel", (event) => event.preventDefault());   // nothing is to be seen without it
  by("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await api.session(by("token-text").value);
      by("token").close();
      begin();
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
      by("token-said").textContent = error.message;
    }
  });
}
