import type { Feed, Line, Options, State } from "./livefeed.js";

export interface Followed<V> {
  /** The part of the document; undefined while nothing may be shown. As long as it is equal, it is the same object. */
  readonly value: V | undefined;
  readonly version: string | null;
  readonly state: State | null;
  /** Why the document is in this state; null unless the operator tells it. */
  readonly reason: string | null;
  readonly line: Line;
  readonly verified: true | null;
  readonly error: (Error & { readonly status?: number }) | null;
  /** The feed, for `age()`, `next()` and all else; null before the component is mounted. */
  readonly feed: Feed | null;
}

/** Follows a document, or a part of one, while a component is mounted. All components share one feed per address. */
export function useFeed<V = unknown>(url: string | URL, pointer?: string, options?: Options): Followed<V>;
