// The line to one server, which all documents that a page follows there share: the ladder of transports.
//
// A plain GET comes first; it shows whether the server is there. Then the best transport that is known to work is tried.
// Each document is polled until a stream delivers its first message, and again when the stream has ended. A transport
// that gives no message, or falls silent, is replaced by the next one, and tried again later. Below all of them is polling.

import { ask } from "./ask.js";
import { after, backOff } from "./slots.js";

export const TRANSPORTS = ["websocket", "events", "long-poll", "poll"];

/** The longest tick in ms that is believed. */
const LONGEST_TICK_MS = 60_000;
/** The time in ms after which a better transport is tried again. It doubles up to the second one. */
const BETTER_MS = 60_000;
const MOST_BETTER_MS = 64 * BETTER_MS;
/** A connection that lives for a shorter time in ms counts as a failure. */
const SHORT_MS = 5000;

/** Remembers the transport of a line, if there is one; gives the one that is remembered. */
function remember(key, transport) {
  try {
    if (transport) sessionStorage[key] = transport;
    return sessionStorage[key];
  } catch {
    // The page may not store anything.
  }
}

export class Line {
  feeds = new Set();
  /** The length of a tick in ms, as far as it is known. */
  tick = 1000;
  state = "connecting";
  transport = null;
  /** The stream that is open or being opened; see stream.js. */
  opened = null;
  /** Looks whether the machine has slept; see page.js, which is loaded later. */
  checkClock = () => {};

  #ladder;
  /** The rung of the present transport, and the best one that may be tried. */
  #level;
  #top = 0;
  /** When that is tried again, and the time in ms from one trial to the next. */
  #betterAt;
  #betterMs = BETTER_MS;
  /** Whether the last stream worked until its end; undefined if that says nothing about the next one. */
  #works;
  /** The number of streams that worked for a short time only, one after the other, or of looks at what has ended. */
  #failures = 0;
  /** Ends the stream; null if there is none. */
  #opening = null;
  /** When that was begun. */
  #began;

  /**
   * @param {string[]} ladder The transports, the best first.
   * @param {string} name That of the line, which is the same in all tabs.
   * @param {object} options Those of the first document: whether all tabs `share` one stream, `fetch` and `WebSocket`.
   */
  constructor(ladder, name, options) {
    this.#ladder = ladder;
    this.name = name;
    this.options = options;
    this.#moveTo(this.#levelOf(remember(name)));
  }

  /** The present transport. */
  get #rung() {
    return this.#ladder[this.#level] ?? "poll";
  }

  get #isPolling() {
    return this.#rung.endsWith("poll");
  }

  enter(feed) {
    this.feeds.add(feed);
    this.#schedule(feed, 0);
  }

  leave(feed) {
    this.feeds.delete(feed);
    this.#schedule(feed);
    this.opened?.leave(feed);
    if ([...this.feeds].some(({ isGuest }) => !isGuest)) return;
    this.#opening?.abort();
    this.checkClock();
  }

  /** Uses a transport from now on, and a lower one while it fails; without one, the best that works. */
  use(transport) {
    this.#top = this.#levelOf(transport);
    this.#moveTo(this.#top);
    this.restart();
  }

  /**
   * Ends the stream and all requests, and asks for each document after a time in ms.
   *
   * @param {boolean} [works] Whether the stream worked until its end, if that says something about the next one.
   */
  restart(delay = 0, works) {
    this.#works = works;
    this.#opening?.abort();
    this.#opening = this.opened = null;
    if (this.state === "open") this.#show("connecting", null);
    for (const feed of this.feeds) this.#schedule(feed, delay);
  }

  /** Closes the line if all documents have ended; gives whether it did. Each is asked for again after a long time. */
  rest() {
    const isOver = [...this.feeds].every(({ state }) => state === "ended");
    if (isOver) {
      this.#show("closed", null);
      // An end by mistake is taken back soon: the first look comes after 20 to 60 s, later ones after 2.5 to 7.5 minutes.
      this.restart(10 * backOff(2 + this.#failures++));
    }
    return isOver;
  }

  /** Learns when the next tick is due, in ms, and gives the length of a tick. */
  expectTick(next) {
    return (this.tick = Math.max(this.tick, Math.min(next, LONGEST_TICK_MS)));
  }

  /** Learns that the stream has delivered a message. */
  hear() {
    this.#show("open", this.#rung);
    if (this.#isTimeForBetter()) this.restart();
  }

  /** Asks for a document after a time in ms; without a time, not at all. A request that is running ends. */
  #schedule(feed, delay) {
    feed.turn?.abort();
    feed.turn = undefined;
    clearTimeout(feed.timer);
    if (delay !== undefined) feed.timer = after(delay, () => this.#poll(feed));
  }

  /** Asks for a document that no stream delivers. */
  async #poll(feed) {
    // After a stream that worked, another one is opened without a request before it.
    if (this.#works) this.#connect();
    if (this.state === "open" && feed.isPolled === false) return;
    // A stream that is being opened has a moment before the page learns that it polls.
    if (feed.have && this.#opening && performance.now() - this.#began < this.tick) return this.#schedule(feed, this.tick);
    const isWaiting = this.#rung === "long-poll" && this.#works !== false;
    const turn = (feed.turn = new AbortController());
    try {
      const answer = ask(this, feed, turn, isWaiting);
      this.#load().catch(() => {});
      const delay = await answer;
      if (feed.turn !== turn) return;
      feed.failures = 0;
      if (this.rest()) return;
      this.#schedule(feed, feed.state === "ended" ? 10 * backOff(9) : delay);
      if (this.#works === false) this.#moveTo(this.#level + 1);
      this.#isTimeForBetter();
      if (this.state === "open") this.opened.enter(feed);
      else if (this.#isPolling || this.#opening) this.#show("polling", this.#isPolling ? this.#rung : "poll");
      else if (this.state === "closed") this.#show("connecting", null);
      // One stream begins with all documents that were followed in the same moment.
      if ([...this.feeds].every(({ state, error }) => state || error)) this.#connect();
    } catch (error) {
      if (feed.turn !== turn) return;
      // While the server is away, nothing is known about streams.
      this.#works = isWaiting ? false : this.#works || undefined;
      this.#schedule(feed, error.delay ?? backOff(feed.failures++));
      // An answer shows that the line works, also one that refuses this document.
      if (error.status) feed.isRefused = true;
      else if (this.state !== "open") this.#show("offline", null);
      feed.fail(error);
    }
  }

  /** Loads what is not needed for the first document. If that fails, it is tried again. */
  async #load() {
    const { Stream, watchPage } = await import("./later.js");
    watchPage(this);
    return Stream;
  }

  /** Opens a stream, unless there is one, or the present transport is none. */
  async #connect() {
    if (this.#opening || this.#isPolling) return;
    const opening = (this.#opening = new AbortController());
    this.#began = performance.now();
    this.#works = undefined;
    let works = true;
    let delay;
    try {
      // A module that cannot be loaded is a transport that does not work.
      const Stream = await this.#load();
      opening.signal.throwIfAborted();
      this.opened = new Stream(this, opening);
      delay = await this.opened.run(this.#rung);
    } catch {
      works = false;
    }
    if (this.#opening !== opening) return;
    if (performance.now() - this.#began > SHORT_MS) this.#failures = 0;
    if (delay === Infinity) {
      // Another connection of this kind would end in the same way.
      this.#betterMs = delay;
      this.#moveTo(this.#level + 1);
      works = undefined;
    }
    this.restart(works ? delay ?? backOff(this.#failures++) : 0, works);
  }

  #levelOf(transport) {
    return Math.max(0, this.#ladder.indexOf(transport));
  }

  #moveTo(level) {
    this.#level = level;
    this.#works = undefined;
    this.#betterAt = performance.now() + this.#betterMs * (0.75 + Math.random() / 2);
  }

  /** Begins with the best transport again from time to time; gives whether it did. */
  #isTimeForBetter() {
    const isTime = this.#level > this.#top && performance.now() > this.#betterAt;
    if (isTime) {
      this.#betterMs = Math.min(2 * this.#betterMs, MOST_BETTER_MS);
      this.#moveTo(this.#top);
    }
    return isTime;
  }

  /** Tells all documents how they are delivered, and remembers it. */
  #show(state, transport) {
    if (this.state === state && this.transport === transport) return;
    this.state = state;
    this.transport = transport;
    if (transport === this.#rung) remember(this.name, transport);
    for (const feed of this.feeds) feed.notify();
  }
}
