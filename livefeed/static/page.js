// Shows the document as the WebSocket brings it. State, age and version come from HEAD requests: a plain
// WebSocket message is the document itself and nothing else.
"use strict";

const feed = document.body.dataset.feed;
const byId = (id) => document.getElementById(id);
const RETRY_MS = [500, 1000, 2000, 5000, 10000];
let failures = 0;
let confirmedAt = null; // milliseconds since 1970, by this browser's clock

function showState(state) {
  byId("state").textContent = state;
  byId("state").dataset.state = state;
}

function showAge() {
  if (confirmedAt === null) return;
  const seconds = Math.max(0, Math.floor((Date.now() - confirmedAt) / 1000));
  byId("age").textContent = seconds === 0 ? "just now" : `${seconds} s old`;
}

function follow() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/${feed}.ws`);
  socket.onmessage = (event) => {
    failures = 0;
    byId("document").textContent = layOut(event.data);
    ask();
  };
  socket.onclose = () => {
    const delay = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
    setTimeout(follow, delay * (0.5 + Math.random()));
  };
}

// Lays the document out without parsing it, so that its numbers stay as they were written.
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

async function ask() {
  if (asking) return;
  asking = true;
  try {
    const answer = await fetch(`/${feed}`, { method: "HEAD", cache: "no-store" });
    showState(answer.headers.get("Livefeed-State") ?? "offline");
    byId("version").textContent = answer.headers.get("Livefeed-Version") ?? "–";
    const age = answer.headers.get("Livefeed-Age");
    if (age !== null) confirmedAt = Date.now() - 1000 * Number(age);
  } catch {
    showState("offline");
  } finally {
    asking = false;
    showAge();
  }
}

follow();
ask();
setInterval(ask, 2000);
setInterval(showAge, 1000);
