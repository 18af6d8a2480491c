/** Follows a JSON document of a livefeed server that is signed, and shows nothing else. */

import type { Feed as UnverifiedFeed, Meta as UnverifiedMeta, Options as UnverifiedOptions } from "./livefeed.js";

/** Public keys, as livefeed has them at `/-/keys`: a JSON Web Key Set (RFC 7517). Those that are not of Ed25519 are left out. */
export interface KeySet {
  readonly keys: readonly { readonly kty: string; readonly crv?: string; readonly x?: string }[];
}

export interface Meta extends UnverifiedMeta {
  /** Whether there is a document: each one that is shown was signed. */
  readonly signed: boolean;
}

export interface Options<T = unknown> extends Omit<UnverifiedOptions<T>, "onChange" | "onState" | "share"> {
  /** The keys that are trusted. They come from a place that a mirror cannot change, such as the page itself. */
  verify: KeySet;
  /** The name of the feed in its statements. By default the last part of the address. */
  feed?: string;
  /** Milliseconds by which the clocks of the signer and of this machine may differ. By default a minute. */
  tolerance?: number;
  /** Is called when an answer or a message could not be verified. Nothing of it is shown. */
  onDistrust?(error: Error): void;
  onChange?(data: T | undefined, meta: Meta): void;
  onState?(meta: Meta): void;
}

export interface Feed<T = unknown> extends Omit<UnverifiedFeed<T>, "subscribe"> {
  readonly signed: boolean;
  subscribe(callback: (data: T | undefined, meta: Meta) => void): () => void;
}

/**
 * Follows a document. Parts of documents are not signed.
 *
 * @param url Its address, such as `https://mirror.example.org/results`.
 */
export function follow<T = unknown>(url: string | URL, options: Options<T>): Feed<T>;
