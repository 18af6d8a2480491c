// The list of all feeds, with the state, age and version of each, as they change.

import { arrange, element, write } from "./dom.js";
import { Plots } from "./plots.js";
import { isShownByServer } from "./shows.js";
import { strings } from "./strings.js";
import { themeSwitch } from "./theme.js";

const words = strings.index;
const PAUSE_MS = 2000;
const LONGEST_MS = 30_000;
const ANSWER_MS = 10_000;
const EXPLAINED = new Set(["stale", "waiting", "expired", "held", "withdrawn", "ended"]);

const body = document.getElementById("feeds");
const trouble = document.getElementById("trouble");
const rows = new Map();
let etag = null;
let feeds = [];
let failures = 0;

class Row {
  constructor(name) {
    this.badge = element("span", { class: "badge" });
    this.age = element("td");
    this.version = element("td");
    this.why = element("td", { colspan: "5", class: "note" });
    this.reason = element("tr", { class: "reason" }, this.why);
    this.interval = element("td", { class: "number" });
    this.element = element(
      "tr",
      {},
      element("th", { scope: "row" }, element("a", { href: `${encodeURIComponent(name)}.html` }, name)),
      element("td", {}, this.badge),
      this.age,
      this.version,
      this.interval,
    );
  }

  // The rows of the table: one, and another one for the reason if there is one.
  get elements() {
    return this.why.textContent === "" ? [this.element] : [this.element, this.reason];
  }

  // now: the server's time, since the times in the list are by its clock.
  update(feed, now) {
    const state = failures > 0 ? "offline" : feed.protected ? "protected" : feed.version === null && feed.state === "stale" ? "waiting" : feed.state;
    this.badge.dataset.state = state;
    write(this.badge, strings.states[state] ?? String(state));
    const why = EXPLAINED.has(state) && feed.reason ? strings.reason(feed.reason) : "";
    write(this.why, why);
    const seconds = feed.at === null || now === null ? null : Math.max(0, (now - Date.parse(feed.at)) / 1000);
    write(this.age, feed.at === null ? "–" : seconds === null ? words.unknown : seconds < 2 ? words.fresh : words.ago(seconds));
    write(this.version, feed.version === null ? "–" : feed.version.slice(0, 8));
    write(this.interval, words.seconds(feed.interval_s));
  }
}

let serverTime = null; // the server's time when it answered
let answeredAt = 0; // the time of that by the monotonic clock

function draw() {
  if (document.hidden) return;
  const now = serverTime === null ? null : serverTime + performance.now() - answeredAt;
  const shown = feeds.flatMap((feed) => {
    let row = rows.get(feed.name);
    if (row === undefined) rows.set(feed.name, (row = new Row(feed.name)));
    row.update(feed, now);
    return row.elements;
  });
  for (const name of rows.keys()) if (!feeds.some((feed) => feed.name === name)) rows.delete(name);
  if (feeds.length > 0) arrange(body, shown);
  trouble.hidden = failures === 0;
  write(trouble, failures === 0 ? "" : words.unreachable);
}

async function ask() {
  try {
    const answer = await fetch("-/feeds.json", {
      cache: "no-store",
      headers: etag === null ? {} : { "If-None-Match": etag },
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (answer.status === 200) {
      feeds = (await answer.json()).feeds;
      etag = answer.headers.get("ETag");
    } else if (answer.status !== 304) {
      throw new Error(`status ${answer.status}`);
    }
    const date = answer.headers.get("Date");
    serverTime = date === null ? null : Date.parse(date);
    answeredAt = performance.now();
    failures = 0;
  } catch {
    failures++;
  }
  draw();
  const pause = Math.min(PAUSE_MS * 2 ** failures, LONGEST_MS);
  setTimeout(ask, pause * (0.75 + Math.random() / 2));
}

for (const one of document.querySelectorAll("[data-text]")) write(one, words[one.dataset.text]);
document.title = words.title;
const panels = document.getElementById("panels");
panels.setAttribute("aria-label", strings.tools);
if (isShownByServer("figures")) panels.append(new Plots().element);
document.getElementById("switches").append(themeSwitch());
document.addEventListener("visibilitychange", draw);
setInterval(draw, 1000);
ask();
