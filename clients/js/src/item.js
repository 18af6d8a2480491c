// One document, or a part of one: what a client has of it, and what it may show.
//
// Transports deliver the messages of livefeed.delta.v2 (docs/protocol.md); answers of polling are turned into the same
// messages. They are applied in order. A document is shown after it has been verified, together with the state that came
// with it. This module does no input or output.

import { applySplices } from "./splices.js";

/** The states after which the client has no document any more. */
const FORGOTTEN = ["expired", "withdrawn"];
/** The largest document in bytes that splices may make. */
const MOST_BYTES = 1 << 28;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Tells whether bytes have a version; null where the browser cannot tell, since the page came by plain HTTP. */
async function isVersion(bytes, version) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("") === version;
}

/** Tells whether a message is about an item: true for its own, false for the heartbeat of the whole document. */
export function isAbout(message, path) {
  if (message.path === path) return true;
  const isWhole = message.type === "heartbeat" && message.path.lastIndexOf("/") === 0;
  return isWhole && path.startsWith(`${message.path}/`) ? false : undefined;
}

export class Item {
  /** What is shown: undefined or null if nothing is. */
  data;
  text = null;
  version = null;
  verified = null;
  sequence = null;
  state = null;
  /** The version that the client has, also while it is not shown. */
  have = null;
  /** Whether the server has refused it, and nothing of its own has come since then. */
  isRefused = false;
  /** Pointers to what has changed with the last version; undefined if nobody knows. */
  changed;

  #bytes = null;
  #text = null;
  #data;
  #version = null;
  #isMissing = false;
  #queue = Promise.resolve();

  /**
   * Applies a message, after all earlier ones.
   *
   * @param {object} message A message of livefeed.delta.v2. A document may have `bytes` in place of `text`.
   * @param {boolean} isOwn Whether its path is that of this item, and not that of the whole document.
   * @returns {Promise<boolean>} Whether the item is up to date. If not, the client asks for the newest version.
   */
  take(message, isOwn = true) {
    return (this.#queue = this.#queue.then(() => this.#apply(message, isOwn)));
  }

  /** Gives the value of a document, and the pointers to what has changed if they are known. */
  async read(text) {
    return [JSON.parse(text)];
  }

  /** Takes a state that follows from the time alone: a live document becomes stale; each may expire. */
  outdate(state) {
    const isExpired = state === "expired";
    if (!isExpired && this.state !== "live") return;
    this.state = state;
    if (isExpired) this.#forget();
    this.#show();
  }

  async #apply(message, isOwn) {
    const { type, version, state, sequence } = message;
    if (type === "refused") {
      this.isRefused = true;
      // Only this status says that there is no document. All others leave what is shown.
      this.#isMissing ||= message.status === 404;
      this.#show();
      return true;
    }
    if (!["document", "splices", "heartbeat", "missing"].includes(type)) return true;
    const isGone = FORGOTTEN.includes(state);
    if (!isOwn) {
      if (this.#isMissing || FORGOTTEN.includes(this.state) || (this.isRefused && !isGone)) return true;
    } else if (type !== "missing" && !isGone && version !== this.have) {
      // A heartbeat's state belongs to a version that this client does not have yet.
      if (type === "heartbeat" || !(await this.#update(message))) return false;
    }
    if (isOwn) {
      this.#isMissing = type === "missing";
      this.isRefused = false;
    }
    this.state = state;
    if (isOwn) this.sequence = sequence ?? this.sequence;
    if (isGone) this.#forget();
    this.#show();
    return true;
  }

  /** Takes another version, unless it cannot be made or is not the one that the message names. */
  async #update({ type, version, from, splices, text, bytes }) {
    try {
      if (type === "splices") {
        if (from !== this.have) throw new RangeError("another base");
        bytes = applySplices(this.#bytes, splices ?? JSON.parse(decoder.decode(bytes)), MOST_BYTES);
      }
      bytes ??= encoder.encode(text);
      const verified = await isVersion(bytes, version);
      if (verified === false) throw new RangeError("another version");
      text ??= decoder.decode(bytes);
      [this.#data, this.changed] = await this.read(text, this.#data);
      this.#bytes = bytes;
      this.#text = text;
      this.have = this.#version = version;
      this.verified = verified;
      return true;
    } catch {
      // The document that is shown stays, but nothing is made from it any more.
      this.have = null;
      return false;
    }
  }

  #forget() {
    this.#bytes = this.#text = this.#version = this.have = null;
    this.#data = undefined;
  }

  #show() {
    const isShown = this.#text !== null && !this.#isMissing;
    this.data = isShown ? this.#data : undefined;
    this.text = isShown ? this.#text : null;
    this.version = isShown ? this.#version : null;
  }
}
