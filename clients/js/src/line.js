// The line to one server, which all documents that a page follows there share: the ladder of transports.
//
// A plain GET comes first; it shows whether the server is there. Then the best transport that is known to work is tried.
// Each document is polled until a stream delivers its first message, and again when the stream has ended. A transport
// that gives no message, or falls silent, is replaced by the next one, and tried again later.

import { ask } from "./ask.js";
import { isAbout } from "./item.js";
import { backOff, childOf, pause } from "./slots.js";
import { websocket } from "./websocket.js";

export const TRANSPORTS = ["websocket", "events", "long-poll", "poll"];

/** The time in ms in which the first message of a stream has to come. */
const FIRST_MS = 5000;
/** The time in ms that a message may be late. */
const LATE_MS = 2000;
/** The longest tick in ms that is believed. */
const LONGEST_TICK_MS = 60_000;
/** The time in ms after which a better transport is tried again. It doubles, six times at most. */
const BETTER_MS = 60_000;
/** A connection that lives for a shorter time in ms counts as a failure. */
const SHORT_MS = 5000;
/** A difference in ms between wall clock and monotonic clock that shows that the machine slept, or its clock was set. */
const JUMP_MS = 2000;
/** The shortest time in ms between two requests for one document on the same stream. */
const AGAIN_MS = 1000;

/** Gives the time that passed on the wall clock, but not on the monotonic clock. */
const clockOffset = () => Date.now() - performance.now();

export class Line {
  feeds = new Set();
  /** The length of a tick in ms, as far as it is known. */
  tick = 1000;
  state = "connecting";
  transport = null;
  /** Sends a message of the client; null while no stream is open. */
  send = null;
  /** Receives the text of each message, too; null if nobody wants it. */
  relay = null;

  #ladder;
  #isShared;
  #level = 0;
  #workingLevel = 0;
  #isPinned = false;
  #betterAt = 0;
  #attempts = 0;
  #failures = 0;
  #isHidden = false;
  #closed = new AbortController();
  /** Ends the stream, and all waiting. */
  #turn = childOf(this.#closed.signal);
  /** Ends the stream that is open or being opened. */
  #stream = null;
  /** When that was begun. */
  #began = -Infinity;
  #silence;
  /** Whether the last stream has delivered messages until its end. */
  #works = false;
  /** Whether the present transport has failed, unless the server is away. */
  #isBlamed = false;
  #offset = clockOffset();

  /**
   * @param {string[]} ladder The transports, the best first.
   * @param {string} key The name of the line, which is the same in all tabs.
   * @param {boolean} isShared Whether all tabs share one stream.
   */
  constructor(ladder, key, isShared, fetch, WebSocket) {
    this.#ladder = ladder;
    this.key = key;
    this.#isShared = isShared;
    this.fetch = fetch;
    this.WebSocket = WebSocket;
    try {
      this.#moveTo(Math.max(0, ladder.indexOf(sessionStorage[key])));
    } catch {
      // The page may not store anything.
    }
    const { signal } = this.#closed;
    const on = (target, name, listener) => target?.addEventListener?.(name, listener, { signal });
    on(globalThis, "pagehide", () => this.#wake(true));
    on(globalThis, "pageshow", ({ persisted }) => persisted && this.#wake(false));
    on(globalThis, "online", () => this.restart());
    on(globalThis.document, "resume", () => this.#wake(false));
    const timer = setInterval(() => this.checkClock(), 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  get isClosed() {
    return this.#closed.signal.aborted;
  }

  add(feed) {
    this.feeds.add(feed);
    this.#poll(feed);
  }

  remove(feed) {
    this.feeds.delete(feed);
    if ([...this.feeds].every(({ isGuest }) => isGuest)) this.#closed.abort();
    else if (![...this.feeds].some(({ path }) => path === feed.path)) this.send?.({ unfollow: feed.path });
  }

  /** Uses a transport from now on; without one, the best that works. */
  use(transport) {
    this.#isPinned = Boolean(transport);
    this.#moveTo(Math.max(0, this.#ladder.indexOf(transport)));
    this.restart();
  }

  /** Ends the stream, and asks for each document at once. */
  restart() {
    this.#works = this.#isBlamed = false;
    this.#begin(0);
  }

  /** Learns that time may have passed unseen: no age is known until the server answers. */
  checkClock() {
    const offset = clockOffset();
    const jump = offset - this.#offset;
    this.#offset = offset;
    if (Math.abs(jump) > JUMP_MS) this.#wake(this.#isHidden, jump);
  }

  /** Learns when the next tick is due, in ms, and gives the length of a tick. */
  expectTick(next) {
    return (this.tick = Math.max(this.tick, Math.min(next, LONGEST_TICK_MS)));
  }

  /** The documents that a stream begins with; the first one is its address, so it has to be there. */
  get wanted() {
    return [...this.feeds].sort((one, other) => Boolean(one.error) - Boolean(other.error));
  }

  /** Adds a document to the stream that is open, unless it is on it, or has no room there. */
  enter(feed) {
    if (feed.isPolled !== undefined) return;
    feed.isPolled = false;
    feed.asked = undefined;
    this.follow(feed);
  }

  /** Asks for the newest version of a document on the stream that is open. */
  follow(feed) {
    const now = performance.now();
    if (now - feed.asked < AGAIN_MS) return;
    feed.asked = now;
    this.send?.({ follow: feed.path, have: feed.have });
  }

  /** Hands a message of a stream over to the documents that it is for, in order. */
  receive(text) {
    const at = performance.now();
    const message = JSON.parse(text);
    this.relay?.(text);
    this.checkClock();
    this.#works = true;
    this.#show("open", this.#ladder[this.#level]);
    const next = message.next ?? this.tick;
    this.#watch(next + this.expectTick(next) + LATE_MS);
    const each = async (feed) => {
      const isOwn = isAbout(message, feed.path);
      if (isOwn === undefined) return;
      if (!(await feed.deliver(message, at, isOwn ? text.length : 0, isOwn))) this.follow(feed);
    };
    if (this.#isTimeForBetter()) this.restart();
    return Promise.all(Array.from(this.feeds, each));
  }

  /** Polls a document while no stream delivers it. */
  async #poll(feed) {
    while (!feed.isClosed) {
      const { signal } = this.#turn;
      await pause(feed.delay, signal);
      if (this.#isHidden || (this.state === "open" && feed.isPolled === false)) await pause(Infinity, signal);
      if (signal.aborted) continue;
      // After a stream that worked, another one is opened without a request before it.
      if (this.#works) this.#connect();
      if (feed.have && performance.now() - this.#began < this.tick) {
        feed.delay = this.tick;
        continue;
      }
      const isWaiting = this.#ladder[this.#level] === "long-poll" && !this.#isBlamed;
      try {
        feed.delay = await ask(this, feed, signal, isWaiting);
        feed.failures = 0;
        if (this.#isBlamed) this.#moveTo(Math.max(this.#workingLevel, this.#level + 1));
        this.#isBlamed = false;
        this.#isTimeForBetter();
        const name = this.#ladder[this.#level];
        // A stream that is being opened has a moment before the page learns that it polls.
        if (this.state === "open") this.enter(feed);
        else if (this.#stream || name.endsWith("poll")) this.#show("polling", name.endsWith("poll") ? name : "poll");
        // One stream begins with all documents that were followed in the same moment.
        const feeds = [...this.feeds];
        if (feeds.every(({ delay }) => delay) && !feeds.every(({ error }) => error)) this.#connect();
      } catch (error) {
        if (signal.aborted) continue;
        // While the server is away, nothing is known about streams.
        this.#isBlamed = isWaiting;
        feed.delay = error.delay ?? backOff(feed.failures++);
        feed.fail(error);
        if (this.state !== "open") this.#show("offline", null);
      }
    }
  }

  /** Opens a stream, unless there is one, or the present transport is none. */
  async #connect() {
    const name = this.#ladder[this.#level];
    if (this.#stream || name.endsWith("poll")) return;
    const { signal } = this.#turn;
    this.#stream = childOf(signal);
    this.#began = performance.now();
    this.#works = false;
    for (const feed of this.feeds) feed.isPolled = undefined;
    this.#watch(FIRST_MS);
    let delay;
    try {
      const isSocket = name === "websocket";
      const open = isSocket ? websocket : (await import("./events.js")).events;
      const stream = this.#stream.signal;
      delay = await (this.#isShared ? (await import("./tabs.js")).share(this, stream, open, isSocket) : open(this, stream));
    } catch {
      // Whether it has worked is known.
    }
    clearTimeout(this.#silence);
    this.#stream.abort();
    this.#stream = this.send = null;
    if (performance.now() - this.#began > SHORT_MS) this.#failures = 0;
    if (delay === Infinity) {
      // Another connection of this kind would end in the same way.
      this.#ladder = this.#ladder.filter((each) => each !== name);
      this.#works = false;
    } else if (!signal.aborted) this.#isBlamed = !this.#works;
    if (signal.aborted) return;
    this.#began = -Infinity;
    this.#begin(this.#works ? delay ?? backOff(this.#failures++) : 0);
  }

  /** Begins another turn, in which each document is asked for after a time in ms. */
  #begin(delay) {
    for (const feed of this.feeds) feed.delay = delay;
    if (this.state === "open") this.#show("connecting", null);
    const turn = this.#turn;
    this.#turn = childOf(this.#closed.signal);
    turn.abort();
  }

  /** Expects the next message of the stream within a time in ms. */
  #watch(ms) {
    clearTimeout(this.#silence);
    const due = performance.now() + ms;
    this.#silence = setTimeout(() => {
      // A page that was frozen has to receive first what has come meanwhile.
      if (performance.now() > due + LATE_MS) return this.#watch(FIRST_MS);
      this.#works = false;
      this.#stream.abort();
    }, ms);
  }

  #moveTo(level) {
    this.#level = Math.min(level, this.#ladder.length - 1);
    this.#betterAt = performance.now() + BETTER_MS * 2 ** Math.min(6, this.#attempts) * (0.75 + Math.random() / 2);
  }

  /** Begins with the best transport again from time to time; gives whether it did. */
  #isTimeForBetter() {
    const isTime = this.#level > 0 && !this.#isPinned && performance.now() > this.#betterAt;
    if (isTime) {
      this.#attempts++;
      this.#moveTo(0);
    }
    return isTime;
  }

  #wake(isHidden, slept = 0) {
    this.#isHidden = isHidden;
    for (const feed of this.feeds) feed.doubt(slept);
    this.restart();
  }

  /** Tells all documents how they are delivered, and remembers it. */
  #show(state, transport) {
    if (this.state === state && this.transport === transport) return;
    this.state = state;
    this.transport = transport;
    if (transport === this.#ladder[this.#level]) {
      this.#workingLevel = this.#level;
      try {
        sessionStorage[this.key] = transport;
      } catch {
        // The page may not store anything.
      }
    }
    for (const feed of this.feeds) feed.notify();
  }
}
