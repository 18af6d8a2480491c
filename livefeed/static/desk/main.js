// The page of the desk: it brings the parts together, and asks for the reports once a second.

import { element, write } from "../page/dom.js";
import { themeSwitch } from "../page/theme.js";
import { Access, DeniedError, RefusedError } from "./access.js";
import { Actions } from "./actions.js";
import { Comparison } from "./comparison.js";
import { Confirming } from "./confirming.js";
import { Details } from "./details.js";
import { Editing } from "./editing.js";
import { Feeds } from "./feeds.js";
import { Login } from "./login.js";
import { strings } from "./strings.js";
import { Timed } from "./timed.js";

const PAUSE_MS = 1000;
const DRAW_MS = 250;
// After this time without an answer, the page says that what it shows may be old.
const SILENT_S = 4;

const byId = (id) => document.getElementById(id);
const chosenByAddress = () => {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
};

class Desk {
  constructor() {
    this.access = new Access();
    this.status = null; // the report about all feeds
    this.report = null; // that about the chosen one
    this.due = null; // what is to happen at a time; null if livefeed does not tell
    this.at = null; // when they were made, by the monotonic clock
    this.problem = "";
    this.timer = null;
    this.turn = 0; // the number of the last question: an answer to an earlier one comes too late
    this.login = new Login((token) => this.enter(token));
    this.feeds = new Feeds();
    const lock = (error) => this.lock(error);
    const run = (kind, more, retry) => this.actions.run(kind, more, retry);
    this.confirming = new Confirming();
    const ask = (texts, then) => this.confirming.ask(texts, then);
    this.editing = new Editing(this.access, run, () => this.askToClear(), lock);
    this.timed = new Timed(run, ask, () => this.access.ahead);
    this.comparison = new Comparison(this.access, lock, (pointer, value) => {
      this.details.overlay.element.open = true;
      this.editing.fill(pointer, value);
    });
    this.details = new Details(run, this.editing, this.timed);
    const open = (panel, target) => {
      panel.open = true;
      target.focus({ preventScroll: true });
      target.closest("form").scrollIntoView({ block: "start" });
    };
    const more = [
      { id: "correct", ...strings.openers.correct, open: () => open(this.details.overlay.element, this.editing.pointer) },
      { id: "at-a-time", ...strings.openers.timed, open: () => open(this.timed.element, this.timed.at) },
    ];
    this.actions = new Actions(this.access, { seen: () => this.comparison.seen, ask, done: () => this.ask(), denied: lock, more });
    this.missing = element("p", { class: "card", hidden: true });
    this.body = element("div", { class: "feed" }, this.details.head, this.actions.element, this.details.sides, this.comparison.element, this.details.lists, this.confirming.element);
    this.body.addEventListener("input", () => this.actions.settle());
    this.main = element("main", { id: "main", tabindex: "-1" }, this.missing, this.body);
    this.leave = element("button", { type: "button", class: "quiet", onclick: () => this.logOut(), hidden: true }, strings.leave);
    byId("skip").textContent = strings.skip;
    byId("switches").append(themeSwitch(), this.leave);
    write(byId("title"), strings.title);
    addEventListener("hashchange", () => this.choose());
    setInterval(() => this.draw(), DRAW_MS);
    this.ask();
  }

  get chosen() {
    return chosenByAddress() ?? (this.status?.feeds.length > 0 ? this.status.feeds[0].name : null);
  }

  // Tries a token; gives the reason why it does not fit, or null.
  async enter(token) {
    this.access.keep(token);
    try {
      await this.access.read("../../status");
    } catch (error) {
      if (!(error instanceof DeniedError)) return strings.unreachable(error.message);
      this.access.keep(null);
      return error.status === 429 ? strings.tooMany : strings.wrongToken;
    }
    await this.ask();
    this.main.focus({ preventScroll: true });
    return null;
  }

  // Shows the form for the token, and nothing else.
  lock(error) {
    clearTimeout(this.timer);
    this.turn++;
    const isLost = error !== null && this.access.token !== null;
    this.status = this.report = this.at = this.due = null;
    this.problem = "";
    this.access.keep(null);
    this.login.say(!isLost ? "" : error.status === 429 ? strings.tooMany : strings.lostAccess);
    byId("desk").replaceChildren(element("main", { id: "main", tabindex: "-1" }, this.login.element));
    this.leave.hidden = true;
    byId("trouble").hidden = true;
    write(byId("contact"), "");
    document.title = strings.title;
    this.login.token.focus();
  }

  askToClear() {
    const { feed, overlay } = this.report;
    this.confirming.ask(strings.editing.confirm(feed, overlay.length), () => {
      // The reader may have gone to another feed behind the dialog.
      if (this.report.feed === feed) this.actions.run("clear", {});
    });
  }

  logOut() {
    this.lock(null);
  }

  choose() {
    this.report = null;
    this.ask();
  }

  // Asks for the reports, and again after a pause.
  async ask() {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    const began = performance.now();
    try {
      const status = await this.access.read("../../status");
      const name = chosenByAddress() ?? status.feeds[0]?.name ?? null;
      const isThere = status.feeds.some((feed) => feed.name === name);
      const [report, due] = await Promise.all([isThere ? this.access.read(encodeURIComponent(name)) : null, this.askForDue()]);
      if (turn !== this.turn) return;
      Object.assign(this, { status, report, due, at: began, problem: "" });
      this.unlock();
      this.draw();
      if (report !== null) {
        this.actions.update(report);
        this.comparison.update(report);
        this.editing.update(report);
      }
    } catch (error) {
      if (turn !== this.turn) return;
      if (error instanceof DeniedError) {
        this.lock(error);
        return;
      }
      this.problem = error.message;
      if (this.status === null) {
        byId("trouble").hidden = false;
        write(byId("trouble"), strings.unreachable(this.problem));
      }
    }
    this.timer = setTimeout(() => this.ask(), PAUSE_MS);
  }

  // Gives what is to happen at a time; null if livefeed does not offer that.
  async askForDue() {
    try {
      return await this.access.read("../embargoes");
    } catch (error) {
      if (error instanceof RefusedError) return null;
      throw error;
    }
  }

  unlock() {
    if (this.feeds.element.isConnected) return;
    byId("desk").replaceChildren(this.feeds.element, this.main);
    this.leave.hidden = this.access.token === null;
  }

  draw() {
    if (this.status === null) return;
    const elapsed = (performance.now() - this.at) / 1000;
    const isSilent = elapsed > SILENT_S;
    const { chosen, report } = this;
    document.body.classList.toggle("silent", isSilent);
    byId("trouble").hidden = !isSilent;
    // The seconds are counted aside: an alert that changes is read aloud each time.
    write(byId("trouble"), isSilent ? strings.silent(Math.floor(elapsed / 10) * 10 || SILENT_S) : "");
    write(byId("contact"), strings.contact(this.status.instance, elapsed));
    this.feeds.update(this.status.feeds, elapsed, chosen, this.due ?? []);
    this.body.hidden = report === null;
    const isMissing = chosen !== null && !this.status.feeds.some((feed) => feed.name === chosen);
    this.missing.hidden = !isMissing;
    write(this.missing, isMissing ? strings.noFeed(chosen) : "");
    if (report !== null) this.details.update(report, elapsed, this.due);
    document.title = chosen === null ? strings.title : strings.titleOf(chosen, this.status.feeds.some((feed) => feed.waiting));
  }
}

new Desk();
