// Follows protected feeds (docs/howto/access.md): sends a token with each request and each handshake, or the cookies of a page.

/** The handlers that livefeed.js sets. */
const HANDLERS = ["onopen", "onmessage", "onerror", "onclose"];

/** Gives the name of the subprotocol that carries a token: browsers can set no field of a handshake. */
const subprotocol = (token) =>
  `livefeed.bearer.${btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;

/**
 * Gives options with which a feed is followed by a token.
 *
 * @param {string | (() => string | Promise<string>)} token The token, or a function that gives the present one. It is
 *   called before each request and each WebSocket, and once more if the server refuses the token.
 * @param {object} [options] The other options.
 */
export function withToken(token, options = {}) {
  const { fetch = globalThis.fetch, WebSocket = globalThis.WebSocket } = options;
  const present = async () => (typeof token === "function" ? token() : token);

  /** A WebSocket that is opened as soon as there is a token. */
  class Socket {
    #socket;
    #isClosed = false;

    constructor(url, names) {
      this.#open(url, names);
    }

    async #open(url, names) {
      try {
        const name = subprotocol(await present());
        if (this.#isClosed) return;
        this.#socket = new WebSocket(url, [...names, name]);
        for (const handler of HANDLERS) this.#socket[handler] = (event) => this[handler]?.(event);
      } catch {
        // As a browser says it of a server that is not there.
        this.onclose?.({ code: 1006, reason: "" });
      }
    }

    send(data) {
      this.#socket.send(data);
    }

    close() {
      this.#isClosed = true;
      this.#socket?.close();
    }
  }

  return {
    ...options,
    WebSocket: Socket,
    async fetch(url, init) {
      const send = (value) => fetch(url, { ...init, headers: { ...init?.headers, Authorization: `Bearer ${value}` } });
      const first = await present();
      const answer = await send(first);
      const second = answer.status === 401 ? await present() : first;
      if (second === first) return answer;
      await answer.body?.cancel();
      return send(second);
    },
  };
}

/**
 * Gives options with which a page of another origin follows a feed by its cookie. Pages of the same origin need none.
 *
 * @param {object} [options] The other options.
 */
export function withCookie(options = {}) {
  const { fetch = globalThis.fetch } = options;
  return { ...options, fetch: (url, init) => fetch(url, { ...init, credentials: "include" }) };
}
