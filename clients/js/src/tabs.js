// One connection for all tabs of a browser. It is loaded when it is needed.
//
// The tab that holds a lock leads: it opens the stream, and passes every message on to the other tabs, which apply those
// of the documents that they follow. A tab that lacks a version asks the leader, who asks the server. When the leader
// ends, the browser gives the lock to another tab. When the leader falls silent, since its page was frozen, another tab
// takes the lock away from it.

import { onAbort } from "./slots.js";

/** The time in ms in which the leader has to be heard at first, and later beyond two ticks, with a random part. */
const SILENCE_MS = 2000;
/** The time in ms for which the lock is kept after the other tabs were told to come back later. */
const HANDOVER_MS = 200;
/** The time in ms in which requests of other tabs are gathered before an event stream is replaced. */
const GATHER_MS = 200;

/** A document that only other tabs follow. */
class Guest {
  isGuest = true;
  have = null;
  /** As of a document that was asked for: a stream may begin. */
  state = "unknown";
  tabs = new Set();

  constructor(path) {
    this.path = path;
  }

  async deliver({ version }, at, size, isOwn) {
    if (isOwn) this.have = version ?? this.have;
    return true;
  }

  doubt() {}
  fail() {}
  notify() {}
}

/** Gives a controller whose signal is also given by another signal. */
function childOf(signal) {
  const child = new AbortController();
  onAbort(signal, () => child.abort());
  return child;
}

/**
 * Follows the documents of a line by a stream that all tabs share.
 *
 * @param {Stream} stream The stream of this tab.
 * @param {AbortSignal} signal Ends it.
 * @param {(stream: Stream, signal: AbortSignal) => Promise<number | undefined>} open Opens the stream.
 * @param {boolean} canChange Whether documents can be added to the stream while it is open.
 * @returns {Promise<number | undefined>} As `open` gives it.
 */
export function share(stream, signal, open, canChange) {
  const { locks } = globalThis.navigator ?? {};
  if (!locks || !globalThis.BroadcastChannel) return open(stream, signal);
  const { line } = stream;
  return new Promise((resolve) => {
    const own = Math.random();
    const turn = childOf(signal);
    const channel = new BroadcastChannel(line.name);
    let isLeader = false;
    let opened = null;
    let silence;
    let gathering;

    const end = (delay) => {
      clearTimeout(silence);
      clearTimeout(gathering);
      turn.abort();
      channel.close();
      stream.relay = null;
      for (const feed of line.feeds) if (feed.isGuest) line.feeds.delete(feed);
      resolve(delay);
    };

    const expect = () => {
      clearTimeout(silence);
      const ms = 2 * line.tick + SILENCE_MS * (0.5 + Math.random());
      if (!isLeader) silence = setTimeout(() => ask({ steal: true }), ms);
    };

    const announce = () => {
      for (const feed of line.feeds) channel.postMessage({ tab: own, follow: feed.path, have: feed.have });
    };

    const lead = async () => {
      if (turn.signal.aborted) return;
      isLeader = true;
      clearTimeout(silence);
      channel.postMessage({ begins: true });
      stream.relay = (text) => channel.postMessage({ text });
      let delay;
      do {
        // What the leader before has followed is not on this stream yet.
        for (const feed of line.feeds) feed.isPolled = undefined;
        opened = childOf(turn.signal);
        stream.send = null;
        delay = await open(stream, opened.signal).catch(() => {});
      } while (opened.signal.aborted && !turn.signal.aborted);
      if (!turn.signal.aborted) {
        channel.postMessage({ ends: true, delay });
        await new Promise((resume) => {
          setTimeout(resume, HANDOVER_MS);
          onAbort(turn.signal, resume);
        });
      }
      end(delay);
    };

    const ask = (options) => locks.request(line.name, options, lead).catch(() => end());

    const serve = ({ tab, follow, unfollow, have = null }) => {
      const path = follow ?? unfollow;
      let feed = [...line.feeds].find((each) => each.path === path);
      if (follow) {
        if (!feed) line.feeds.add((feed = new Guest(path)));
        feed.tabs?.add(tab);
        if (feed.isGuest) feed.have = have;
        if (canChange) stream.send?.({ follow, have });
        else {
          clearTimeout(gathering);
          gathering = setTimeout(() => opened.abort(), GATHER_MS);
        }
      } else if (feed?.tabs?.delete(tab) && feed.tabs.size === 0) {
        line.feeds.delete(feed);
        if (canChange) stream.send?.({ unfollow });
      }
    };

    channel.onmessage = ({ data }) => {
      if (isLeader) {
        if (data.tab) serve(data);
      } else if (data.text) {
        expect();
        stream.receive(data.text);
      } else if (data.begins) {
        expect();
        announce();
      } else if (data.ends) end(data.delay);
    };
    stream.send = (message) => channel.postMessage({ tab: own, ...message });
    onAbort(signal, () => {
      for (const feed of line.feeds) if (!isLeader) channel.postMessage({ tab: own, unfollow: feed.path });
      end();
    });
    expect();
    announce();
    ask({ signal: turn.signal });
  });
}
