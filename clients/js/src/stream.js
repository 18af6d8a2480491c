// A stream of messages for all documents of a line. It is loaded beside the first document, which does not wait for it.

import { delayOfRetry } from "./closes.js";
import { events } from "./events.js";
import { isAbout, readMessage } from "./messages.js";
import { after } from "./slots.js";
import { websocket } from "./websocket.js";

/** The time in ms in which the first message of a stream has to come. */
const FIRST_MS = 5000;
/** The time in ms that a message may be late. */
const LATE_MS = 2000;
/** The shortest time in ms between two requests for one document on the same stream. */
const AGAIN_MS = 1000;

export class Stream {
  /** Sends a message of the client; null while the stream is not open. */
  send = null;
  /** Receives the text of each message, too; null if nobody wants it. */
  relay = null;

  #end;
  #silence;
  /** Whether messages have come, and the last one not long ago. */
  #works = false;

  /** @param {AbortController} end Ends it. */
  constructor(line, end) {
    this.line = line;
    this.#end = end;
  }

  /**
   * Delivers messages until the stream ends.
   *
   * @param {string} name The transport.
   * @returns {Promise<number | undefined>} The time in ms after which the server wants the client back, if it said one.
   * @throws {Error} If no message came, or none any more.
   */
  async run(name) {
    for (const feed of this.line.feeds) feed.isPolled = undefined;
    const { signal } = this.#end;
    this.#watch(FIRST_MS);
    let delay;
    try {
      const isSocket = name === "websocket";
      const open = isSocket ? websocket : events;
      if (!this.line.options.share) delay = await open(this, signal);
      else delay = await (await import("./tabs.js")).share(this, signal, open, isSocket);
    } catch {
      // Whether it has worked is known.
    }
    this.#end.abort();
    this.send = null;
    clearTimeout(this.#silence);
    for (const feed of this.line.feeds) clearTimeout(feed.again);
    if (!this.#works && delay !== Infinity) throw new Error("silence");
    return delay;
  }

  /** The documents that a stream begins with; the first one is its address, so it has to be there. */
  get wanted() {
    return [...this.line.feeds].sort((one, other) => Boolean(one.error) - Boolean(other.error));
  }

  /** Adds a document, unless it is on the stream, or has no room there. */
  enter(feed) {
    if (feed.isPolled !== undefined) return;
    feed.isPolled = false;
    feed.asked = undefined;
    this.demand(feed);
  }

  /** Takes a document off the stream that nobody follows any more. */
  leave({ path, again }) {
    clearTimeout(again);
    if (![...this.line.feeds].some((feed) => feed.path === path)) this.send?.({ unfollow: path });
  }

  /** Asks for the newest version of a document. */
  demand(feed) {
    const now = performance.now();
    if (now - feed.asked < AGAIN_MS) return;
    feed.asked = now;
    this.send?.({ follow: feed.path, have: feed.have });
  }

  /** Hands a message over to the documents that it is for, in order. Something else ends the stream. */
  async receive(text) {
    if (this.#end.signal.aborted) return;
    try {
      await this.#handOver(readMessage(text), text);
    } catch {
      this.#fail();
    }
  }

  async #handOver(message, text) {
    const at = performance.now();
    this.relay?.(text);
    this.line.checkClock();
    this.#works = true;
    // Between changes, a message may come at each tick, or more rarely.
    const next = Math.max(message.next ?? this.line.tick, message.heartbeat ?? 0);
    this.#watch(next + this.line.expectTick(next) + LATE_MS);
    const each = async (feed) => {
      const isOwn = isAbout(message, feed.path);
      if (isOwn === undefined) return;
      if (isOwn && message.type === "refused") this.#refuse(feed, message);
      if (!(await feed.deliver(message, at, isOwn ? text.length : 0, isOwn))) this.demand(feed);
    };
    this.line.hear();
    await Promise.all(Array.from(this.line.feeds, each));
    this.line.rest();
  }

  /** Asks again for a document as soon as the server allows it. */
  #refuse(feed, { status, detail, retry }) {
    feed.error = Object.assign(new Error(detail), { status });
    clearTimeout(feed.again);
    if (retry !== undefined) feed.again = after(delayOfRetry(retry), () => this.demand(feed));
  }

  /** Expects the next message within a time in ms. */
  #watch(ms) {
    clearTimeout(this.#silence);
    const due = performance.now() + ms;
    this.#silence = after(ms, () => {
      // A page that was frozen has to receive first what has come meanwhile.
      if (performance.now() > due + LATE_MS) return this.#watch(FIRST_MS);
      this.#fail();
    });
  }

  /** Ends the stream as one that does not work. */
  #fail() {
    this.#works = false;
    this.#end.abort();
  }
}
