// livefeed.verify.js: follows a document that is signed, and shows nothing else. See docs/howto/signatures.md.
//
// It stands between livefeed.js and the network: each answer and each message is verified before livefeed.js sees it,
// which then compares the document with the version that was signed. So livefeed.js knows nothing of signatures.

import { follow as followUnverified } from "./livefeed.js";

/** The time in ms by which the clocks of signer and page may differ. It counts for the first statement. */
const TOLERANCE_MS = 60_000;
/** The states that need no signature: to say one of them is to promise less. */
const CAREFUL = ["stale", "held", "expired", "withdrawn"];
/** The largest number of characters of a statement, and of its parameters; and the largest number of keys. */
const MOST_CHARACTERS = 1024;
const MOST_KEYS = 16;

const COVERED = '("livefeed-statement")';
const ITEM = '"[ !#-\\[\\]-~]*"|:[A-Za-z0-9+/=]*:|[A-Za-z0-9*][A-Za-z0-9_.:/*-]*';
const MEMBER = new RegExp(`([a-z*][a-z0-9_.*-]*)=(${ITEM})(?:, (?=.)|$)`, "y");
const PARAMETER = new RegExp(`;([a-z*][a-z0-9_.*-]*)=(${ITEM})`, "y");
// A proxy may have added signatures of its own.
const OWN_INPUT = /(?:^|, ?)livefeed=(\("livefeed-statement"\)(?:;[a-z]+=(?:"[^",]*"|[0-9]+))*)(?:$|,)/;
const OWN_SIGNATURE = /(?:^|, ?)livefeed=:([A-Za-z0-9+/]{86}==):(?:$|,)/;

const encoder = new TextEncoder();

/** Gives the values of a list of name=value, as they are written. */
function items(text, pattern) {
  const found = {};
  pattern.lastIndex = 0;
  while (pattern.lastIndex < text.length) {
    const [, name, value] = pattern.exec(text) ?? [];
    if (!name || Object.hasOwn(found, name)) throw new Error("its statement is malformed");
    found[name] = value;
  }
  return found;
}

const unquoted = (text = "") => text.replace(/^"|"$/g, "");
const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Imports the keys of a set (RFC 7517), by their thumbprints (RFC 7638): a set cannot give a key another one's id. */
async function importKeys({ keys } = {}) {
  const { subtle } = globalThis.crypto ?? {};
  if (!subtle) throw new Error("signatures can be verified on pages by HTTPS alone");
  const known = {};
  for (const { kty, crv, x } of (keys ?? []).slice(0, MOST_KEYS)) {
    if (kty !== "OKP" || crv !== "Ed25519") continue;
    const print = new Uint8Array(await subtle.digest("SHA-256", encoder.encode(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`)));
    const id = btoa(String.fromCharCode(...print)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
    const raw = bytesOf(x.replaceAll("-", "+").replaceAll("_", "/"));
    try {
      known[id] = await subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
    } catch (cause) {
      throw new Error("this browser cannot verify signatures of Ed25519, or the key is none", { cause });
    }
  }
  if (!Object.keys(known).length) throw new Error("there is no key of Ed25519");
  return known;
}

/** Verifies the statements about one document, in the order in which they come. */
export class Verifier {
  #keys;
  #feed;
  #tolerance;
  /** The newest statement, and by how much the signer's clock is ahead of performance.now(), in ms, at least. */
  #newest = null;
  #ahead = -Infinity;

  /** @param {object} keys A JSON Web Key Set. */
  constructor(keys, feed, tolerance = TOLERANCE_MS) {
    this.#keys = importKeys(keys);
    // It is awaited later.
    this.#keys.catch(() => {});
    this.#feed = feed;
    this.#tolerance = tolerance;
  }

  /**
   * Takes the statement of an answer or a message, and gives the state that may be shown.
   *
   * @param {object | undefined} signed `statement`, `parameters` and `signature`.
   * @param {object} said The `version`, `sequence` and `state` that the answer or message names, which are not signed.
   * @throws {Error} If the document must not be taken.
   */
  async take(signed, { version, sequence, state }) {
    const found = await this.#verified(signed);
    const before = this.#newest;
    if (found.feed !== this.#feed) throw new Error(`it is signed for the feed ${found.feed}, and not for ${this.#feed}`);
    // livefeed.js compares the document itself with this.
    if (!version || found.version !== version) throw new Error("it is not the document that was signed");
    if (found.sequence.join(".") !== sequence) throw new Error("its sequence is not the one that was signed");
    if (before && (found.sequence[0] - before.sequence[0] || found.sequence[1] - before.sequence[1]) < 0)
      throw new Error(`it is older than one that was verified before: ${sequence} < ${before.sequence.join(".")}`);
    const isSame = before?.sequence.join(".") === sequence;
    if (isSame && before.version !== version) throw new Error(`two documents are signed as ${sequence}`);
    // An older statement about the same version, from a cache, says nothing new.
    if (!isSame || found.created >= before.created) this.#newest = found;
    const now = performance.now();
    this.#ahead = Math.max(this.#ahead, found.created - now, Date.now() - this.#tolerance - now);
    const newest = this.#newest;
    if (newest.state === "ended" && !CAREFUL.includes(state)) return "ended";
    // Both times are whole seconds.
    if (now + this.#ahead >= newest.expires + 1000) return CAREFUL.includes(state) ? state : "stale";
    return CAREFUL.includes(state) ? state : newest.state;
  }

  async #verified(signed) {
    const texts = [signed?.statement, signed?.parameters, signed?.signature];
    if (texts.some((text) => typeof text !== "string" || text.length > MOST_CHARACTERS))
      throw new Error("it is not signed (parts of documents never are)");
    const [statement, parameters, signature] = texts;
    if (!parameters.startsWith(COVERED)) throw new Error("its signature does not cover the statement alone");
    const { keyid, alg = '"ed25519"', tag, created, expires } = items(parameters.slice(COVERED.length), PARAMETER);
    const keys = await this.#keys;
    const id = unquoted(keyid);
    if (!Object.hasOwn(keys, id)) throw new Error(`it is signed by a key that is not trusted: ${id}`);
    // Never chosen by these: they are only compared.
    if (alg !== '"ed25519"' || tag !== '"livefeed"') throw new Error("it is not signed as a statement of livefeed");
    const base = encoder.encode(`"livefeed-statement": ${statement}\n"@signature-params": ${parameters}`);
    if (!(await crypto.subtle.verify("Ed25519", keys[id], bytesOf(signature), base)))
      throw new Error(`its signature is not one of the key ${id}`);
    const { feed, sequence, state, ...more } = items(statement, MEMBER);
    const digest = bytesOf(more["sha-256"].slice(1, -1));
    const order = /^"([0-9]{1,15})\.([0-9]{1,15})"$/.exec(sequence)?.slice(1).map(Number);
    if (digest.length !== 32 || !order) throw new Error("its statement has no digest or no sequence");
    return {
      feed: unquoted(feed),
      sequence: order,
      version: hexOf(digest.subarray(0, 16)),
      state: unquoted(state),
      created: 1000 * Number(created),
      expires: 1000 * Number(expires),
    };
  }
}

/** Gives `fetch`, whose answers with a document are verified. */
function guardedFetch(verifier, { fetch = globalThis.fetch }, report) {
  return async (...request) => {
    const answer = await fetch(...request);
    const { status, headers } = answer;
    if (![200, 226, 304].includes(status)) return answer;
    const field = (name) => headers.get(name) ?? "";
    const [, parameters] = OWN_INPUT.exec(field("Signature-Input")) ?? [];
    const [, signature] = OWN_SIGNATURE.exec(field("Signature")) ?? [];
    const signed = parameters && { statement: field("Livefeed-Statement"), parameters, signature };
    const [version, sequence, state] = ["Version", "Sequence", "State"].map((name) => headers.get(`Livefeed-${name}`));
    const shown = await verifier.take(signed, { version, sequence, state }).catch(report);
    const fields = new Headers(headers);
    fields.set("Livefeed-State", shown);
    // The content was decoded already.
    return { status, headers: fields, arrayBuffer: () => answer.arrayBuffer() };
  };
}

/** Gives a WebSocket whose messages are verified, in their order. One that is refused ends it. */
function guardedWebSocket(verifier, { WebSocket = globalThis.WebSocket }, report) {
  return class {
    #socket;
    #queue = Promise.resolve();

    constructor(...given) {
      const socket = (this.#socket = new WebSocket(...given));
      socket.onopen = (event) => this.onopen?.(event);
      socket.onerror = (event) => this.onerror?.(event);
      // Behind the last message.
      socket.onclose = ({ code, reason }) => (this.#queue = this.#queue.then(() => this.onclose?.({ code, reason })));
      socket.onmessage = ({ data }) => (this.#queue = this.#queue.then(() => this.#take(data)).catch(() => socket.close()));
    }

    async #take(data) {
      const message = JSON.parse(data);
      const { type, state, signed } = message;
      const isHidden = type === "heartbeat" && ["expired", "withdrawn"].includes(state);
      if (["document", "splices", "heartbeat"].includes(type) && !isHidden) {
        const shown = await verifier.take(signed, message).catch(report);
        if (shown !== state) data = JSON.stringify({ ...message, state: shown });
      }
      this.onmessage?.({ data });
    }

    send(data) {
      this.#socket.send(data);
    }

    close() {
      this.#socket.close();
    }
  };
}

/**
 * Follows a document, and shows nothing that is not signed by one of the keys.
 *
 * @param {string | URL} url Its address. Parts of documents are not signed.
 * @param {object} options Those of livefeed.js, and others. See verify.d.ts.
 */
export function follow(url, { verify, feed: name, tolerance, onDistrust, ...options }) {
  const here = new URL(url, globalThis.document?.baseURI);
  const end = decodeURIComponent(here.pathname.split("/").at(-1)).replace(/\.json$/, "");
  const verifier = new Verifier(verify, name ?? end, tolerance);
  const isForeign = globalThis.location && location.origin !== here.origin;
  const usual = isForeign ? ["websocket", "poll"] : ["websocket", "long-poll", "poll"];
  let told;
  const report = (error) => {
    if (error.message !== told) onDistrust?.(error);
    told = error.message;
    throw error;
  };
  const withSigned = (meta) => ({ ...meta, signed: meta.version !== null });
  const { onChange, onState, transports = usual } = options;
  const feed = followUnverified(here, {
    ...options,
    // Events are read by livefeed.js itself, and a tab that does not verify may have the connection of all tabs.
    transports: transports.filter((each) => each !== "events"),
    share: false,
    fetch: guardedFetch(verifier, options, report),
    WebSocket: guardedWebSocket(verifier, options, report),
    onChange: onChange && ((data, meta) => onChange(data, withSigned(meta))),
    onState: onState && ((meta) => onState(withSigned(meta))),
  });
  const subscribe = feed.subscribe.bind(feed);
  feed.subscribe = (callback) => subscribe((data, meta) => callback(data, withSigned(meta)));
  Object.defineProperty(feed, "signed", { get: () => feed.version !== null });
  return feed;
}
