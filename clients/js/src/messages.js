// The messages of livefeed.delta.v2, checked before anything reads them (docs/reference/protocol.md).

import { timeOf } from "./closes.js";

const TYPES = ["document", "splices", "heartbeat", "missing", "refused"];
/** Members that are text, or missing, or null. */
const TEXTS = ["version", "sequence", "from", "text", "detail", "reason"];
/** The longest age and lifetime in ms: 366 days. A longer one counts as this. */
const MOST_AGE_MS = 31_622_400_000;
/** Members that are times in ms, and their longest; that of the others is an hour. */
const TIMES = {
  ...{ age: MOST_AGE_MS, lifetime: MOST_AGE_MS, waiting: MOST_AGE_MS },
  ...{ next: undefined, retry: undefined, heartbeat: undefined },
};

/**
 * Reads a message. A member that should be a time and is none is left out.
 *
 * @throws {Error} If it is no message of the protocol.
 */
export function readMessage(data) {
  const message = JSON.parse(data);
  const { type, path, state = "", status = 0, overlay = [] } = message;
  const texts = [type, state, ...overlay, ...TEXTS.map((name) => message[name] ?? "")];
  // Those of an unknown type may have no path.
  if (TYPES.includes(type)) texts.push(path);
  if (typeof status !== "number" || texts.some((each) => typeof each !== "string")) throw new TypeError("no message");
  for (const name in TIMES) message[name] = timeOf(message[name], TIMES[name]);
  return message;
}

/** Gives the strings of a list in a field, percent-decoded. A string of RFC 8941 is also one of JSON. */
export function readList(field) {
  return JSON.parse(`[${field}]`).map(decodeURIComponent);
}

/**
 * Tells whether a message is about an item: true for its own, false for the heartbeat of the whole document; undefined
 * if it is not, or its type is unknown.
 */
export function isAbout(message, path) {
  if (!TYPES.includes(message.type)) return undefined;
  if (message.path === path) return true;
  return message.type === "heartbeat" && message.path === `/${path.split("/")[1]}` ? false : undefined;
}
