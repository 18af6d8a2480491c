// livefeed.js: follows the JSON documents of a livefeed server. See docs/reference/javascript.md.

import { Item } from "./item.js";
import { Line, TRANSPORTS } from "./line.js";
import { after, onAbort } from "./slots.js";

/** The time in ms, beyond two ticks, after which a document without a word of the server is not live any more. */
const SILENT_MS = 3000;
/** The address below which livefeed serves this script, its feeds and all else; undefined if it comes from elsewhere. */
const HOME = /^(http.*\/)-\/livefeed/.exec(import.meta.url ?? globalThis.document?.currentScript?.src)?.[1];

/** The lines that documents may share, by what they have in common. */
const lines = new Map();

/** A document, or a part of one, that is followed. Its members are described in livefeed.d.ts. */
class Feed extends Item {
  error = null;
  bytes = 0;
  isClosed = false;
  /** The number of requests that failed since the last answer. */
  failures = 0;
  /** Whether it is polled while a stream is open, because that has no room for it; undefined if it was not added yet. */
  isPolled;

  #connection;
  #options;
  #confirmedAt = null;
  #dueAt = null;
  /** Since when a newer document waits; NaN while none does. */
  #waitsSince = NaN;
  /** When a live document becomes stale, and when any one expires, unless the server says a word before; NaN for never. */
  #staleAt = NaN;
  #goneAt = NaN;
  #timer;
  /** Whether parts that do not change stay the same objects. */
  #isShared;
  #callbacks = new Set();
  #told = [];

  constructor(url, options) {
    super();
    const here = new URL(url, globalThis.document?.baseURI);
    let home = new URL(options.base ?? HOME ?? "/", here).href;
    if (!here.href.startsWith(home)) home = `${here.origin}/`;
    const [name, ...part] = (here.origin + here.pathname).slice(home.length).split("/");
    this.urlOf = (form) => [home + name + form, ...part].join("/");
    this.path = ["", name, ...part].map((each) => decodeURIComponent(each).replaceAll("/", "~1")).join("/");
    this.isForeign = globalThis.location && location.origin !== here.origin;
    this.#options = options;
    this.#isShared = options.changes;
    this.#connection = lineTo(home, this.isForeign, options);
    this.#connection.enter(this);
    if (options.signal) onAbort(options.signal, () => this.close());
  }

  get line() {
    return this.isRefused ? "offline" : this.#connection.state;
  }

  get transport() {
    return this.#connection.transport;
  }

  age() {
    this.#connection.checkClock();
    return this.#confirmedAt === null ? null : performance.now() - this.#confirmedAt;
  }

  next() {
    return this.#dueAt === null ? null : Math.max(0, this.#dueAt - performance.now());
  }

  waiting() {
    const ms = performance.now() - this.#waitsSince;
    return ms >= 0 ? ms : null;
  }

  subscribe(callback) {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  select(pointer) {
    this.#isShared = true;
    const names = pointer.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
    const value = () => names.reduce((part, name) => (part && Object.hasOwn(part, name) ? part[name] : undefined), this.data);
    return {
      get value() {
        return value();
      },
      subscribe: (callback) => {
        let before = value();
        return this.subscribe(() => {
          if (value() !== before) callback((before = value()));
        });
      },
    };
  }

  async valueOfText(text, before) {
    const { exact } = this.#options;
    try {
      if (exact || this.#isShared) return (await import("./values.js")).read(text, before, exact);
    } catch (error) {
      // Without the module, all parts are new ones.
      if (exact) throw error;
    }
    return super.valueOfText(text);
  }

  use(transport) {
    this.#connection.use(transport);
  }

  refresh() {
    if (this.line !== "open") this.#connection.restart();
  }

  close() {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.#timer);
    this.#callbacks.clear();
    this.#connection.leave(this);
  }

  /**
   * Takes a message from any transport.
   *
   * @param {number} at The time when the server had the age that the message says, or later.
   * @returns {Promise<boolean>} Whether the document is up to date.
   */
  async deliver(message, at, size, isOwn = true) {
    this.bytes += size;
    const isUpToDate = await this.take(message, isOwn);
    if (this.isClosed) return true;
    if (isUpToDate && !this.isRefused) {
      this.#confirm(message, at);
      this.error = null;
    }
    this.#look();
    return isUpToDate;
  }

  fail(error) {
    this.error = error;
    this.notify();
  }

  /**
   * Says that the age is unknown.
   *
   * @param {number} slept The time in ms that has passed beside the monotonic clock. Timers know nothing of it, and those
   *   that are due in a page that goes on run after its first picture.
   */
  doubt(slept) {
    this.#confirmedAt = this.#dueAt = null;
    this.#waitsSince -= slept;
    this.#staleAt -= slept;
    this.#goneAt -= slept;
    this.#look();
  }

  /** Shows the state that follows from the time, and looks again when there may be another one. */
  #look() {
    const now = performance.now();
    if (now >= this.#staleAt) this.outdate("stale");
    if (now >= this.#goneAt) this.outdate("expired");
    clearTimeout(this.#timer);
    const ends = [this.#staleAt, this.#goneAt].filter((end) => end > now);
    this.#timer = after(Math.min(...ends) - now, () => this.#look());
    this.notify();
  }

  /** Tells the page what has changed since the last call. */
  notify() {
    if (this.isClosed) return;
    // It may find that the machine has slept, which changes all else.
    const age = this.age();
    const waiting = this.waiting();
    const { data, version, sequence, state, reason, overlay = [], line, transport, verified, error } = this;
    const now = [version, state, reason, overlay, line, transport, verified, age === null, waiting === null, error?.message];
    if (`${now}` === `${this.#told}`) return;
    const hasNewData = version !== this.#told[0];
    this.#told = now;
    const changed = hasNewData ? this.changed : undefined;
    const meta = { version, sequence, state, reason, waiting, overlay, line, transport, verified, age, changed };
    const { onChange, onState } = this.#options;
    // An error in a page's callback is seen there, and keeps no other callback from being called.
    const call = (callback, ...values) => callback && queueMicrotask(() => this.isClosed || callback(...values));
    if (hasNewData) call(onChange, data, meta);
    call(onState, meta);
    this.#callbacks.forEach((callback) => call(callback, data, meta));
  }

  /** Learns how old the document is: times in ms, each of which may be missing. */
  #confirm({ age, next, lifetime, waiting }, at) {
    this.#waitsSince = at - waiting;
    if (!(age >= 0)) return;
    this.#confirmedAt = at - age;
    this.#dueAt = next >= 0 ? at + next : null;
    // Whether a document is live is known for two ticks after the last word of the server.
    this.#staleAt = (this.#dueAt ?? at) + 2 * this.#connection.tick + SILENT_MS;
    this.#goneAt = at + lifetime;
  }
}

/** Gives the line to a server, which documents share unless they have functions of their own. */
function lineTo(home, isForeign, options) {
  const { fetch, WebSocket, share, transports } = options;
  const ladder = transports ?? TRANSPORTS.filter((name) => !(isForeign && name === "long-poll"));
  const key = `livefeed ${home} ${ladder} ${Boolean(share)}`;
  const known = lines.get(key);
  const isAlone = fetch || WebSocket;
  if (known?.feeds.size && !isAlone) return known;
  const line = new Line(ladder, key, options);
  if (!isAlone) lines.set(key, line);
  return line;
}

/**
 * Follows a document of a livefeed server.
 *
 * @param {string | URL} url Its address, such as "/feed", or that of a part, such as "/feed/results/3".
 * @param {object} [options] See livefeed.d.ts.
 */
export function follow(url, options = {}) {
  return new Feed(url, options);
}
