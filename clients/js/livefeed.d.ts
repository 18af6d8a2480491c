/** Follows the JSON documents of a livefeed server. */

/** States of a document. There may be more of them later: never show one that you do not know as live. */
export type State = "live" | "stale" | "held" | "ended" | "expired" | "withdrawn" | (string & {});

/**
 * Whether the server is reached. `polling`: without a stream. `offline`: not, or this document is refused. `closed`: all
 * documents have ended, so the server is asked only from time to time.
 */
export type Line = "connecting" | "open" | "polling" | "offline" | "closed";

export type Transport = "websocket" | "events" | "long-poll" | "poll";

/** A number that JavaScript would change, such as 12345678901234567890 or 1.50. */
export interface ExactNumber {
  /** The number as it is written in the document. */
  readonly source: string;
  toString(): string;
  valueOf(): number;
  /** The nearest number of JavaScript, which `JSON.stringify` writes. */
  toJSON(): number;
}

export interface Meta {
  /** The version of the data; null while nothing is shown. */
  readonly version: string | null;
  readonly sequence: string | null;
  /** The state of the data; null before the first answer. */
  readonly state: State | null;
  /** Why the data is in this state, in a few words for readers; null unless the operator tells it. */
  readonly reason: string | null;
  /** Milliseconds for which a newer document has been held back, at the time of the call; null while none waits. */
  readonly waiting: number | null;
  /** Pointers to the values that an editor has put in place of those of the source: each is at or below one of them. */
  readonly overlay: readonly string[];
  readonly line: Line;
  /** Whether the data was verified; null if the browser cannot tell, because the page came by plain HTTP. */
  readonly verified: true | null;
  /** Milliseconds since the data was confirmed, at the time of the call; null while that is unknown. */
  readonly age: number | null;
  /** The transport that delivers the data; null for none. */
  readonly transport: Transport | null;
  /**
   * JSON Pointers to the smallest parts that have changed since the version before, with the option `changes`.
   * The whole document is `""`; undefined if there was no version before.
   */
  readonly changed?: readonly string[];
}

export interface Options<T = unknown> {
  /** Is called when there is another version, and with undefined when the document may not be shown any more. */
  onChange?(data: T | undefined, meta: Meta): void;
  /** Is called when state, reason, line, transport, verification or error have changed, when a newer document begins or ends to wait, and for each version. */
  onState?(meta: Meta): void;
  /** The transports that may be used, the best first. By default all of them. Where none of them works, there are polls. */
  transports?: readonly Transport[];
  /** Numbers that JavaScript would change are {@link ExactNumber}s. */
  exact?: boolean;
  /** Parts that do not change stay the same objects, and `meta.changed` names those that do. */
  changes?: boolean;
  /** All tabs of the browser that say so share one connection. */
  share?: boolean;
  /** The address of the server, if its paths do not begin at the root of the host: `https://example.org/live/`. */
  base?: string | URL;
  /** Ends the feed. */
  signal?: AbortSignal;
  /** Functions in place of those of the browser. The feed then has a connection of its own. */
  fetch?: typeof globalThis.fetch;
  WebSocket?: typeof globalThis.WebSocket;
}

export interface Selection<V = unknown> {
  /** The part of the present data; undefined if there is none. As long as it is equal, it is the same object. */
  readonly value: V | undefined;
  /** Calls a function whenever the part has changed; gives a function that ends this. */
  subscribe(callback: (value: V | undefined) => void): () => void;
}

export interface Feed<T = unknown> {
  /** The document; undefined while nothing may be shown. */
  readonly data: T | undefined;
  /** The document's text, to the byte; null while nothing may be shown. */
  readonly text: string | null;
  readonly version: string | null;
  readonly sequence: string | null;
  readonly state: State | null;
  /** Why the document is in this state; null unless the operator tells it. */
  readonly reason: string | null;
  readonly line: Line;
  readonly verified: true | null;
  readonly transport: Transport | null;
  /** The number of bytes that were received for this document, before compression; of messages their characters. */
  readonly bytes: number;
  /** The last error; null after a success. With `status` if the server has answered. */
  readonly error: (Error & { readonly status?: number }) | null;
  /** Milliseconds since the data was confirmed; null while that is unknown. */
  age(): number | null;
  /** Milliseconds until the next version may come; null while that is unknown. */
  next(): number | null;
  /** Milliseconds for which a newer document has been held back; null while none waits. */
  waiting(): number | null;
  /** Calls a function when `onChange` or `onState` would be called; gives a function that ends this. */
  subscribe(callback: (data: T | undefined, meta: Meta) => void): () => void;
  /** Follows a part of the data, by a JSON Pointer such as `/results/0`. */
  select<V = unknown>(pointer: string): Selection<V>;
  /** Uses a transport from now on, for all documents on the same connection; without one, the best that works. */
  use(transport?: Transport): void;
  /** Asks the server at once, unless a stream is open: whether a document that has ended goes on, for example. */
  refresh(): void;
  /** Ends the feed. */
  close(): void;
}

/**
 * Follows a document, or a part of one.
 *
 * @param url Its address, such as `/feed` or `/feed/results/3`.
 */
export function follow<T = unknown>(url: string | URL, options?: Options<T>): Feed<T>;
