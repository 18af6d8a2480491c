// The event stream: for networks that do not let a WebSocket through.

import { delayOfRetry } from "./closes.js";

/** The longest query in characters that is sent: a server reads 2048 bytes. */
const MOST_QUERY = 2000;
/** The longest line of a stream that is read: a document of 16 MiB, half of which may be quotes. */
const MOST_CHARACTERS = 1 << 25;

/**
 * Follows all documents of a line, until the stream ends, or a signal is given.
 *
 * @returns {Promise<number | undefined>} The time in ms after which the server wants the client back; undefined if it
 *   said none.
 */
export async function events(stream, signal) {
  const [first, ...others] = stream.wanted;
  first.isPolled = false;
  let query = first.have ? `&have=${first.have}` : "";
  for (const feed of others) {
    const more = `&follow=${feed.have ?? ""}${encodeURIComponent(feed.path)}`;
    feed.isPolled = query.length + more.length > MOST_QUERY;
    if (!feed.isPolled) query += more;
  }
  const options = { cache: "no-store", headers: { Accept: "text/event-stream" }, signal };
  const { fetch = globalThis.fetch } = stream.line.options;
  const answer = await fetch(`${first.urlOf(".sse")}?delta=2${query}`, options);
  // Something else in place of a stream is one that ends before its first message.
  if (!answer.headers.get("Content-Type")?.startsWith("text/event-stream")) return undefined;
  // A stream cannot be changed while it runs: another one, with other documents, takes its place.
  stream.send = () => stream.line.restart();
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let delay;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return delay;
    const lines = decoder.decode(value, { stream: true }).split("\n");
    // What has come before is not searched again.
    lines[0] = rest + lines[0];
    rest = lines.pop();
    // A line without an end counts as a stream that is broken.
    if (rest.length > MOST_CHARACTERS) return delay;
    for (const each of lines) {
      const retry = /^retry: ?(\d+)\s*$/.exec(each)?.[1];
      if (retry) delay = delayOfRetry(Number(retry));
      if (each.startsWith("data:")) await stream.receive(each.slice(5));
    }
  }
}
