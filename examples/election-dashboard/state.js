/** What the reader is told about the document: whether it is current, and why it is not. */

import { at, put } from "./elements.js";

/** The word, and a sentence for states that need one. */
const WORDS = {
  connecting: ["Connecting"],
  live: ["Live"],
  stale: ["Not updated", "The count does not reach us at the moment. These are the last numbers that we have."],
  held: ["Being checked", "New numbers are being checked. These are the ones before."],
  ended: ["Final", "The count is over. These numbers do not change any more."],
  expired: ["Too old", "The last numbers are too old to be shown."],
  withdrawn: ["Withdrawn", "The numbers were withdrawn. Please come back later."],
  offline: ["No connection", "This page has no connection. It goes on by itself."],
};

/**
 * Shows the state, and hides the numbers while there is no document that may be shown.
 *
 * @param data The document; undefined while none may be shown.
 */
export function showState(data, { state, line }) {
  const isLineNews = line === "offline" && state !== "withdrawn" && state !== "expired";
  const now = isLineNews ? "offline" : (state ?? "connecting");
  // livefeed may have states in the future that this page does not know: it never shows them as live.
  const [word, sentence = ""] = WORDS[now] ?? ["Not confirmed", `The state of these numbers is: ${now}.`];
  document.body.dataset.state = now;
  document.body.classList.toggle("empty", data === undefined);
  put(at("state"), word);
  put(at("message"), sentence);
  at("message").hidden = sentence === "";
}
