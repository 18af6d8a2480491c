// One request for a document: the first GET, a poll, or a long poll.

import { childOf, delayOfAnswer, lifetimeOf } from "./slots.js";

/** The time in ms after which a request without an answer has failed. */
const ANSWER_MS = 10_000;
/** The longest time in seconds for which a long poll waits for the next version. */
const MOST_WAIT_S = 25;
/** The time in ms after which a document is asked for again that is not there, without the random part. */
const MISSING_MS = 30_000;

/** An answer other than a document: the server's reason, and the time in ms after which the client may ask again. */
export class RefusedError extends Error {
  constructor(status, reason, delay) {
    super(reason ?? `status ${status}`);
    this.status = status;
    this.delay = delay;
  }
}

/**
 * Asks for a document once, and delivers the answer as a message.
 *
 * @param {AbortSignal} signal Ends the request.
 * @param {boolean} isWaiting Whether livefeed is asked to wait for the next version.
 * @returns {Promise<number>} The time in ms after which the client asks again.
 * @throws {Error} If there is no answer, or one that says nothing about the document.
 */
export async function ask(line, feed, signal, isWaiting) {
  const headers = {};
  // The answer comes before the page has to say that it knows nothing.
  const waitS = Math.min(MOST_WAIT_S, Math.ceil(line.tick / 500) + 1);
  // A page of another origin cannot set these fields without one more request each time (docs/protocol.md). The browser
  // asks for changes by itself, and hands over the document from its cache if there are none.
  if (feed.have && !feed.isForeign) {
    headers["If-None-Match"] = `"${feed.have}"`;
    // Caches pass these two on, so polls do not have them.
    if (isWaiting) Object.assign(headers, { Prefer: `wait=${waitS}`, "A-IM": "livefeed-splices" });
  }
  const turn = childOf(signal);
  const timeout = setTimeout(() => turn.abort(), ANSWER_MS + (isWaiting ? 1000 * waitS : 0));
  try {
    const asked = performance.now();
    const cache = feed.isForeign ? "no-cache" : "no-store";
    const answer = await line.fetch(feed.urlOf(""), { cache, headers, signal: turn.signal });
    const { status } = answer;
    const field = (name) => answer.headers.get(name);
    const [version, sequence, state, age, next] = ["Version", "Sequence", "State", "Age", "Next"].map((name) =>
      field(`Livefeed-${name}`),
    );
    const copyAge = field("Age");
    const delay = delayOfAnswer(answer.headers);
    const message = {
      type: "heartbeat",
      version: version ?? feed.have,
      sequence,
      state,
      age: age && 1000 * (Number(age) + Number(copyAge)),
      // What a cache sends once more was right some time ago.
      next: copyAge ? null : Number(next),
      lifetime: lifetimeOf(answer.headers),
    };
    let error = null;
    let size = 0;
    if (status === 404 || status === 410 || (status === 503 && state)) {
      // 503: nothing has been pulled since livefeed started. The document that the client has stays.
      error = new RefusedError(status);
      if (status === 404) message.type = "missing";
      if (status === 410) message.state ??= "expired";
    } else if (!version || ![200, 226, 304].includes(status)) {
      throw new RefusedError(status, undefined, delay);
    } else if (status !== 304 && version !== feed.have) {
      message.bytes = new Uint8Array(await answer.arrayBuffer());
      message.type = status === 226 ? "splices" : "document";
      message.from = field("Delta-Base")?.split(/["-]/)[1];
      size = message.bytes.length;
    }
    signal.throwIfAborted();
    // A cache may have an older version than the one that came by another way.
    if (!isEarlier(message.sequence, feed.sequence) && !(await feed.deliver(message, asked, size))) {
      feed.have = null;
      if (status !== 200) return 0;
      error = new RefusedError(status, "not the version that it names");
    }
    feed.fail(error);
    if (delay !== undefined) return delay;
    if (error) return MISSING_MS * (1 + Math.random());
    // A cache that knows nothing of waiting is not asked without a pause.
    if (isWaiting && (field("Preference-Applied") || message.type !== "heartbeat")) return 0;
    return Math.max(line.expectTick(next ?? 0) / 2, next) + (Math.random() * line.tick) / 10;
  } finally {
    clearTimeout(timeout);
    turn.abort();
  }
}

/** Tells whether a sequence is of the same epoch as another one, and before it. */
function isEarlier(sequence, other) {
  const [epoch, number] = String(sequence).split(".");
  const [otherEpoch, otherNumber] = String(other).split(".");
  return epoch === otherEpoch && Number(number) < Number(otherNumber);
}
