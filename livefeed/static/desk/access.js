// Requests to the operator's port, with the token. It is kept for this tab alone, and sent as a field of each request: no
// other page can have the browser send it.

import { strings } from "./strings.js";

const KEPT = "livefeed.desk.token";
const READ_MS = 10_000;
// A command is answered when it is on the disk, and its feed was pulled.
const COMMAND_MS = 30_000;

// The server refuses the token, or wants one.
export class DeniedError extends Error {
  constructor(status) {
    super(strings.status(status));
    this.status = status;
  }
}

// The server has refused a request; the message is its reason.
export class RefusedError extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

// No answer came.
export class SilenceError extends Error {}

function kept() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

export class Access {
  constructor() {
    this.token = kept();
    this.ahead = 0; // by how many milliseconds the clock of livefeed is ahead of that of the browser
  }

  keep(token) {
    this.token = token;
    try {
      if (token === null) sessionStorage.removeItem(KEPT);
      else sessionStorage.setItem(KEPT, token);
    } catch {
      // The token is forgotten when the page is loaded again.
    }
  }

  async read(path) {
    return (await this.ask(path, {}, READ_MS)).json();
  }

  // Gives the text of a document and its version, or null if there is none.
  async document(path) {
    const answer = await this.ask(path, {}, READ_MS);
    const version = /"([0-9a-f]{32})/.exec(answer.headers.get("ETag") ?? "")?.[1] ?? null;
    return { version, text: await answer.text() };
  }

  async command(name, body) {
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    return (await this.ask(`../${name}`, options, COMMAND_MS)).json();
  }

  async ask(path, { headers = {}, ...options }, ms) {
    if (this.token !== null) headers.Authorization = `Bearer ${this.token}`;
    let answer;
    try {
      answer = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", headers, signal: AbortSignal.timeout(ms), ...options });
    } catch (error) {
      throw new SilenceError(error.name === "TimeoutError" ? strings.noAnswer : strings.noNetwork);
    }
    const date = Date.parse(answer.headers.get("Date") ?? "");
    // The field has whole seconds.
    if (!Number.isNaN(date)) this.ahead = date + 500 - Date.now();
    const { status } = answer;
    if (status === 401 || status === 429) throw new DeniedError(status);
    if (answer.ok) return answer;
    let detail;
    try {
      ({ detail } = await answer.json());
    } catch {
      // It was no livefeed, or a part of an answer.
    }
    throw new RefusedError(status, typeof detail === "string" ? detail : strings.status(status));
  }
}
