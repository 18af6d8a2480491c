// livefeed/react: a document, or a part of one, as the state of a component.

import { useMemo, useSyncExternalStore } from "react";
import { follow } from "./livefeed.js";

/** What a component sees before the first answer, and on a server. */
const NOTHING = { value: undefined, version: null, state: null, reason: null, line: "connecting", verified: null, error: null, feed: null };

/** Feeds that components use: of each address one, for all components together. */
const shared = new Map();

function acquire(url, options) {
  const key = String(url);
  const entry = shared.get(key) ?? { feed: follow(url, options), users: 0 };
  shared.set(key, entry);
  entry.users += 1;
  const release = () => {
    entry.users -= 1;
    // A component that is replaced by another one in the same moment leaves the feed open.
    setTimeout(() => {
      if (entry.users > 0 || shared.get(key) !== entry) return;
      shared.delete(key);
      entry.feed.close();
    });
  };
  return { feed: entry.feed, release };
}

function storeOf(url, pointer, options) {
  let seen = NOTHING;
  const subscribe = (callback) => {
    const { feed, release } = acquire(url, options);
    const selection = feed.select(pointer);
    const look = () => {
      const { version, state, reason, line, verified, error } = feed;
      const now = { value: selection.value, version, state, reason, line, verified, error, feed };
      // The version of another part says nothing to a component that shows this one.
      const isSame = ["value", "state", "reason", "line", "verified", "error", "feed"].every((name) => now[name] === seen[name]);
      if (!isSame) seen = now;
      return !isSame;
    };
    if (look()) callback();
    const end = feed.subscribe(() => {
      if (look()) callback();
    });
    return () => {
      end();
      release();
    };
  };
  return { subscribe, look: () => seen };
}

/**
 * Follows a document while a component is mounted. The component is drawn again when the part, state or line change.
 *
 * @param {string | URL} url The address of the document.
 * @param {string} [pointer] A JSON Pointer to a part of it.
 * @param {object} [options] Those of `follow`, which count for the first component that uses the address.
 */
export function useFeed(url, pointer = "", options = {}) {
  // The options are often written in place, and so another object each time.
  const store = useMemo(() => storeOf(url, pointer, options), [String(url), pointer]);
  return useSyncExternalStore(store.subscribe, store.look, () => NOTHING);
}
