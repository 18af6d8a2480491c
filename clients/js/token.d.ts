/** Follows protected feeds. */

import type { Options } from "./livefeed.js";
import type { Options as SignedOptions } from "./verify.js";

/**
 * Gives options with which a feed is followed by a token. The feed then has a connection of its own.
 *
 * @param token The token, or a function that gives the present one. It is called before each request and each WebSocket,
 *   and once more if the server refuses the token.
 * @param options The other options.
 */
export function withToken<T = unknown>(
  token: string | (() => string | Promise<string>),
  options: SignedOptions<T>,
): SignedOptions<T>;
export function withToken<T = unknown>(
  token: string | (() => string | Promise<string>),
  options?: Options<T>,
): Options<T>;

/**
 * Gives options with which a page of another origin follows a feed by its cookie. Pages of the same origin need none.
 *
 * @param options The other options.
 */
export function withCookie<T = unknown>(options: SignedOptions<T>): SignedOptions<T>;
export function withCookie<T = unknown>(options?: Options<T>): Options<T>;
