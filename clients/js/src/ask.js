// One request for a document: the first GET, a poll, or a long poll.

import { delayOfAnswer, HOUR_MS, numberOf } from "./slots.js";

/** The time in ms after which a request without an answer has failed. */
const ANSWER_MS = 10_000;
/** The longest time in seconds for which a long poll waits for the next version. */
const MOST_WAIT_S = 25;
/** The time in ms after which a document is asked for again that is not there, without the random part. */
const MISSING_MS = 30_000;

/** The fields, without the beginning of their names; the last four are times. */
const FIELDS = ["Version", "Sequence", "State", "Reason", "Overlay", "Age", "Next", "Lifetime", "Waiting"];

/**
 * Asks for a document once, and delivers the answer as a message.
 *
 * @param {AbortController} turn Ends the request.
 * @param {boolean} isWaiting Whether livefeed is asked to wait for the next version.
 * @returns {Promise<number>} The time in ms after which the client asks again.
 * @throws {Error} If there is no answer, or one that says nothing about the document.
 */
export async function ask(line, feed, turn, isWaiting) {
  const headers = {};
  // The answer comes before the page has to say that it knows nothing.
  const waitS = isWaiting ? Math.min(MOST_WAIT_S, Math.floor(line.tick / 1000) + 1) : 0;
  // A page of another origin cannot set these fields without one more request each time
  // (docs/reference/protocol.md). The browser asks for changes by itself, and hands over the document from its cache if
  // there are none.
  if (feed.have && !feed.isForeign) {
    headers["If-None-Match"] = `"${feed.have}"`;
    // Caches pass these two on, so polls do not have them.
    if (isWaiting) Object.assign(headers, { Prefer: `wait=${waitS}`, "A-IM": "livefeed-splices" });
  }
  const timeout = setTimeout(() => turn.abort(), ANSWER_MS + 1000 * waitS);
  try {
    const { fetch = globalThis.fetch } = line.options;
    const asked = performance.now();
    const cache = feed.isForeign ? "no-cache" : "no-store";
    const answer = await fetch(feed.urlOf(""), { cache, headers, signal: turn.signal });
    const { status } = answer;
    const field = (name) => answer.headers.get(name);
    const [version, sequence, state, reason, overlay, ...times] = FIELDS.map((name) => field(`Livefeed-${name}`));
    const [age, due = line.tick, lifetime, waiting, cacheAge = 0] = [...times, field("Age")].map(numberOf);
    const next = Math.min(due, HOUR_MS);
    // What a cache sends once more was right some time ago.
    const cacheMs = 1000 * cacheAge;
    const delay = delayOfAnswer(field("Retry-After"));
    // Its delay is the time in ms after which the client may ask again.
    const failure = Object.assign(new Error(`status ${status}`), { status, delay });
    // 503: nothing has been pulled since livefeed started. The document that the client has stays.
    const type = {
      ...{ 200: version && (version === feed.have ? "heartbeat" : "document"), 226: version && "splices" },
      ...{ 304: version && "heartbeat", 404: feed.state && "missing", 410: "heartbeat", 503: state && "heartbeat" },
    }[status];
    if (!type) throw failure;
    let error = status < 400 ? null : failure;
    const bytes = type === "document" || type === "splices" ? new Uint8Array(await answer.arrayBuffer()) : [];
    const message = {
      type,
      version: version ?? feed.have,
      sequence,
      state: state ?? (status === 410 ? "expired" : null),
      age: 1000 * age + cacheMs,
      next: cacheMs ? NaN : next,
      // No number makes NaN: there is no limit, and nothing waits.
      lifetime: lifetime - cacheMs,
      waiting: 1000 * waiting + cacheMs,
      reason: reason && (await import("./later.js")).readList(reason)[0],
      overlay: overlay ? (await import("./later.js")).readList(overlay) : [],
      from: field("Delta-Base")?.split(/["-]/)[1],
      bytes,
    };
    turn.signal.throwIfAborted();
    // A cache may have an older version than the one that came by another way.
    if (!isEarlier(sequence, feed.sequence) && !(await feed.deliver(message, asked, bytes.length))) {
      feed.have = null;
      if (status !== 200) return 0;
      error = failure;
      error.message = "not its version";
    }
    feed.fail(error);
    if (delay) return delay;
    if (error) return MISSING_MS * (1 + Math.random());
    // A cache that knows nothing of waiting is not asked without a pause.
    if (isWaiting && (field("Preference-Applied") || type !== "heartbeat")) return 0;
    return Math.max(line.expectTick(next) / 2, next) + (Math.random() * line.tick) / 10;
  } finally {
    clearTimeout(timeout);
  }
}

/** Tells whether a sequence is of the same epoch as another one, and before it. */
function isEarlier(sequence, other) {
  const [epoch, number, otherEpoch, otherNumber] = `${sequence}.${other}`.split(".");
  return epoch === otherEpoch && number - otherNumber < 0;
}
