// Shows the document. Document, version, state and age come from one answer, so they always belong together. A message
// on the WebSocket only tells the page to ask for the document. If the WebSocket is blocked or has died silently, the
// page polls.
"use strict";

const feed = document.body.dataset.feed;
const byId = (id) => document.getElementById(id);
const RETRY_MS = [500, 1000, 2000, 5000, 10000];
const QUIET_MS = 5000; // interval of polling while the WebSocket is open: it may have died silently
const POLL_MS = 1000;
const ANSWER_MS = 10000;
const SOON_MS = 250; // shortest pause before the page asks again for a document that expires soon
const LAST_MS = 1000; // extra time for that answer: the lifetimes in an answer are rounded down to seconds
const MISSED = 3; // versions without a message after which another WebSocket is opened
let tag = null; // the ETag of the document that is shown; null for none
let confirmed = null; // when that document was confirmed, by performance.now(): a monotonic clock
let socket = null;
let failures = 0; // consecutive failures of the WebSocket
let lost = 0; // consecutive failures of requests
let unannounced = 0; // consecutive versions without a message
let until = Infinity; // when the document that is shown expires without another answer, by performance.now()
let expiry = null;
let over = false; // whether that time has passed

function show(text, version) {
  byId("document").textContent = text;
  byId("version").textContent = version ?? "–";
}

function showState(state) {
  byId("state").textContent = state;
  byId("state").dataset.state = state;
}

function hide() {
  over = true;
  tag = null;
  show("", null);
  showState("expired");
}

// When the document expires, livefeed may be away, or restarted without a document. So the page obeys the lifetime that
// the last answer gives to caches.
function keep(answer, asked) {
  const given = answer.headers.get("Cache-Control") ?? "";
  const seconds = (name) => Number(new RegExp(`${name}=(\\d+)`).exec(given)?.[1] ?? Infinity);
  const left = seconds("max-age") + seconds("stale-if-error") - Number(answer.headers.get("Age") ?? 0);
  // The last version of a feed that has ended stays, however old it is.
  until = answer.headers.get("Livefeed-State") === "ended" ? Infinity : asked + 1000 * left;
  clearTimeout(expiry);
  if (until < Infinity) expiry = setTimeout(hide, until + LAST_MS - performance.now());
}

function showAge() {
  const seconds = confirmed === null ? 0 : Math.max(0, Math.floor((performance.now() - confirmed) / 1000));
  byId("age").textContent = confirmed === null ? "" : seconds < 2 ? "just now" : `${seconds} s old`;
}

function follow() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/${feed}.ws`);
  socket.onmessage = () => {
    failures = 0;
    unannounced = 0;
    ask();
  };
  socket.onclose = () => {
    const delay = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
    setTimeout(follow, delay * (0.5 + Math.random()));
  };
}

// Indents the document without parsing it, so that its numbers stay as they were written.
function layOut(text) {
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  return text.replace(/"(?:[^"\\]|\\.)*"|[\[{]\s*[\]}]|[[\]{},:]|\s+/g, (token) => {
    if (token === "{" || token === "[") return (depth++, token + line());
    if (token === "}" || token === "]") return (depth--, line() + token);
    if (token === ",") return token + line();
    if (token === ":") return ": ";
    return token.trim();
  });
}

let asking = false;
let again = false;
let timer = null;

async function ask() {
  again = asking;
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    const asked = performance.now();
    const answer = await fetch(`/${feed}`, {
      cache: "no-store",
      headers: tag === null ? {} : { "If-None-Match": tag },
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (answer.status === 200) {
      show(layOut(await answer.text()), answer.headers.get("Livefeed-Version"));
      tag = answer.headers.get("ETag");
      over = false;
      if (++unannounced >= MISSED && socket.readyState === WebSocket.OPEN) {
        unannounced = 0;
        socket.close();
      }
    } else if (answer.status !== 304) {
      // 410: the document has expired or is withdrawn. 503: there is none yet. Other statuses do not come from livefeed.
      if (answer.status !== 410 && answer.status !== 503) throw new Error(`status ${answer.status}`);
      if (answer.status === 410) {
        show("", null);
        tag = null;
        over = false;
        until = Infinity;
        clearTimeout(expiry);
      }
    }
    if (answer.status === 200 || (answer.status === 304 && !over)) keep(answer, asked);
    // A 304 that arrives too late confirms a document that is no longer shown. It has to be requested again.
    if (answer.status === 304 && over) again = true;
    showState(over ? "expired" : (answer.headers.get("Livefeed-State") ?? "offline"));
    const age = answer.headers.get("Livefeed-Age");
    // A cache on the way says in Age how long it has kept the answer.
    if (age !== null) confirmed = asked - 1000 * (Number(age) + Number(answer.headers.get("Age") ?? 0));
    lost = 0;
  } catch {
    lost++;
    showState(over ? "expired" : "offline");
  } finally {
    asking = false;
    showAge();
    const works = socket.readyState === WebSocket.OPEN && unannounced === 0;
    let pause = lost ? RETRY_MS[Math.min(lost, RETRY_MS.length - 1)] : works ? QUIET_MS : POLL_MS;
    pause *= 0.75 + Math.random() / 2;
    // Without changes there are no messages, so the page asks again before the document expires.
    if (!lost && !over) pause = Math.min(pause, Math.max(SOON_MS, until - performance.now()));
    timer = setTimeout(ask, again ? 0 : pause);
  }
}

follow();
ask();
setInterval(showAge, 1000);
