// One document, or a part of one: what a client has of it, and what it may show.
//
// Transports deliver the messages of livefeed.delta.v2 (docs/reference/protocol.md); answers of polling are turned into the same
// messages. They are applied in order. A document is shown after it has been verified, together with the state that came
// with it. This module does no input or output.

/** The states after which a client has no document any more. */
const FORGOTTEN = ["expired", "withdrawn"];
/** What is shown of no document. */
const NOTHING = { data: undefined, text: null, version: null, verified: null, changed: undefined };

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Tells whether bytes have a version; null where the browser cannot tell, since the page came by plain HTTP. */
async function isVersion(bytes, version) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) return null;
  const beginning = new Uint8Array(await subtle.digest("SHA-256", bytes), 0, 16);
  return Array.from(beginning, (byte) => byte.toString(16).padStart(2, "0")).join("") === version;
}

export class Item {
  sequence = null;
  state = null;
  /** Why the document is in its state, if the operator tells it. */
  reason = null;
  /** The version that the client has, also while it is not shown. */
  have = null;
  /** Whether the server has refused it, and nothing of its own has come since then. */
  isRefused = false;

  /** The document of the last good version, which is the base of the next one. */
  #document = NOTHING;
  #bytes;
  #isMissing = false;
  #queue = Promise.resolve();

  constructor() {
    // Data, text, version, whether it was verified, and pointers to what has changed if they are known.
    Object.assign(this, NOTHING);
  }

  /**
   * Applies a message, after all earlier ones.
   *
   * @param {object} message A message of livefeed.delta.v2, of a known type. A document may have `bytes` in place of
   *   `text`.
   * @param {boolean} isOwn Whether its path is that of this item, and not that of the whole document.
   * @returns {Promise<boolean>} Whether the item is up to date. If not, the client asks for the newest version.
   */
  take(message, isOwn = true) {
    return (this.#queue = this.#queue.then(() => this.#apply(message, isOwn)));
  }

  /** Gives the value of a document, and the pointers to what has changed if they are known. */
  async valueOfText(text) {
    return [JSON.parse(text)];
  }

  /** Takes a state that follows from the time alone: a live document becomes stale; each may expire. */
  outdate(state) {
    if (state === "expired" || this.state === "live") this.#show(state);
  }

  async #apply(message, isOwn) {
    const { type, version, state = this.state, sequence, status, reason, overlay } = message;
    const isGone = FORGOTTEN.includes(state);
    const isRefused = type === "refused";
    if (isOwn) {
      const isMissing = type === "missing";
      if (!isRefused && !isMissing && !isGone && version !== this.have) {
        // A heartbeat's state belongs to a version that this client does not have yet.
        if (type === "heartbeat" || !(await this.#update(message))) return false;
      }
      this.isRefused = isRefused;
      // Pointers to the values that an editor has put in place of those of the source.
      if (!isRefused) this.overlay = overlay;
      // Of all refusals only this one says that there is no document.
      this.#isMissing = isMissing || (isRefused && (this.#isMissing || status === 404));
      this.sequence = sequence ?? this.sequence;
    } else if (this.#isMissing || FORGOTTEN.includes(this.state) || (this.isRefused && !isGone)) return true;
    // A refusal says nothing about the document.
    if (!isRefused) this.reason = reason || null;
    this.#show(state);
    return true;
  }

  /** Takes another version, unless it cannot be made or is not the one that the message names. */
  async #update({ type, version, from, splices, text, bytes }) {
    try {
      if (type === "splices") {
        // They are for another version than this one.
        if (from !== this.have) throw new RangeError();
        const { applySplices } = await import("./later.js");
        bytes = applySplices(this.#bytes, splices ?? JSON.parse(decoder.decode(bytes)));
      }
      bytes ??= encoder.encode(text);
      const verified = await isVersion(bytes, version);
      if (verified === false) throw new RangeError();
      text ??= decoder.decode(bytes);
      const [data, changed] = await this.valueOfText(text, this.#document.data);
      this.#document = { data, text, version, verified, changed };
      this.#bytes = bytes;
      this.have = version;
      return true;
    } catch {
      // The document that is shown stays, but nothing is made from it any more.
      this.have = null;
      return false;
    }
  }

  /** Shows the document in a state, both in the same moment. */
  #show(state) {
    this.state = state;
    if (FORGOTTEN.includes(state)) {
      this.#document = NOTHING;
      this.have = null;
    }
    Object.assign(this, this.#isMissing ? NOTHING : this.#document);
  }
}
