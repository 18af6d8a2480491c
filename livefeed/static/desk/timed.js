// Everything that is to happen at a time, in all feeds, and the form by which a hold ends at one.

import { arrange, element, write } from "../page/dom.js";
import { moment, strings } from "./strings.js";
import { parseTime, TimeError } from "./times.js";

// Clocks may differ by so much without a warning.
const CLOCKS_DIFFER_MS = 5000;
const MOST_REASON = 200;

// Gives what has failed in a feed, or what is next there; undefined if there is nothing.
export function nextOf(entries, name) {
  const own = entries.filter(({ feed }) => feed === name);
  return own.find(({ failed }) => failed) ?? own[0];
}

// What is to happen once. It stays while the seconds are counted, so that a click on it is not lost.
class Item {
  constructor(run, ask) {
    Object.assign(this, { run, ask });
    this.what = element("strong");
    this.feed = element("span", { class: "note" });
    this.time = element("span", { class: "time" });
    this.note = element("p", { class: "note" });
    this.why = element("p", { class: "refused" });
    this.now = element("button", { type: "button", onclick: () => this.press("publish") });
    this.cancel = element("button", { type: "button", onclick: () => this.press("cancel") });
    this.element = element("li", {}, element("p", {}, this.what, " ", this.feed), element("p", {}, this.time), this.note, this.why, element("p", { class: "choices" }, this.now, this.cancel));
  }

  update(entry, elapsed) {
    this.entry = entry;
    const { kind, feed, at, in_s: seconds, by, asked_at: since, reason, failed } = entry;
    const words = strings.timed;
    const what = words.what(entry);
    write(this.what, what);
    write(this.feed, words.of(feed));
    write(this.time, failed ? words.wasDue(moment(at)) : words.due(moment(at), Math.max(0, seconds - elapsed)));
    const notes = [words.by(by, moment(since)), ...words.conditions(entry)];
    if (reason) notes.push(strings.quote(reason));
    write(this.note, notes.join(" "));
    write(this.why, failed ? words.failed(failed) : "");
    this.why.hidden = !failed;
    const isRelease = kind === "release";
    write(this.now, isRelease ? words.endNow : words.publishNow);
    write(this.cancel, isRelease ? words.cancel : words.cancelDocument);
    for (const button of [this.now, this.cancel]) button.setAttribute("aria-label", words.buttonOf(button.textContent, what, feed));
  }

  // What cannot be taken back is asked about.
  press(kind) {
    const { entry } = this;
    const { id, feed, if_match: match, if_none_match: none } = entry;
    const retry = kind === "publish" && (match ?? none) !== null ? { name: strings.timed.anyVersion, more: { id, any_version: true } } : null;
    const run = () => this.run(kind, { id }, retry);
    if (kind === "cancel" && entry.kind === "release") run();
    else this.ask(strings.timed.confirm[entry.kind === "release" ? "end" : kind](feed), run);
  }
}

export class Timed {
  // run: gives a command, and a promise of whether it succeeded. ask: asks whether to go on.
  // ahead: gives by how many milliseconds the clock of livefeed is ahead of that of the browser.
  constructor(run, ask, ahead) {
    Object.assign(this, { run, ask, ahead });
    this.items = new Map();
    this.feed = null;
    const words = strings.timed;
    this.count = element("span", { class: "note" });
    this.none = element("p", { class: "note" }, words.none);
    this.list = element("ul", { class: "timed" });
    this.at = element("input", { id: "release-at", autocomplete: "off", spellcheck: "false", placeholder: words.example, "aria-describedby": "release-at-hint", oninput: () => this.check(false) });
    this.reason = element("input", { id: "release-reason", autocomplete: "off", maxlength: String(MOST_REASON) });
    this.hint = element("p", { id: "release-at-hint", class: "note", role: "status" }, words.form);
    this.go = element("button", { class: "main" }, words.go);
    const row = (id, label, ...more) => element("div", { class: "field" }, element("label", { for: id }, label), element("div", {}, ...more));
    this.form = element(
      "form",
      { class: "edit", "aria-labelledby": "release-at-title", novalidate: true, onsubmit: (event) => this.submit(event) },
      element("h4", { id: "release-at-title" }, words.title),
      element("p", { class: "note" }, words.hint),
      row("release-at", words.at, this.at, this.hint),
      row("release-reason", strings.editing.reason, this.reason),
      element("p", { class: "choices" }, this.go),
    );
    this.element = element("details", { class: "panel" }, element("summary", {}, element("h3", {}, words.panel), " ", this.count), this.none, this.list, this.form);
  }

  // entries: what is to happen, in all feeds. elapsed: the seconds since the report was made.
  update(entries, elapsed, feed) {
    if (feed !== this.feed) {
      this.feed = feed;
      this.at.value = this.reason.value = "";
      this.check(false);
    }
    const ids = new Set(entries.map(({ id }) => id));
    for (const id of this.items.keys()) if (!ids.has(id)) this.items.delete(id);
    const shown = entries.map((entry) => {
      let item = this.items.get(entry.id);
      if (item === undefined) this.items.set(entry.id, (item = new Item(this.run, this.ask)));
      item.update(entry, elapsed);
      return item.element;
    });
    // The next element of the keyboard, if that of the focus goes.
    const isLost = this.list.contains(document.activeElement) && !shown.some((each) => each.contains(document.activeElement));
    arrange(this.list, shown);
    if (isLost) this.element.querySelector("summary").focus();
    this.none.hidden = entries.length > 0;
    const [next] = entries;
    write(this.count, next === undefined ? "" : strings.timed.count(entries.length, next.failed ? null : Math.max(0, next.in_s - elapsed)));
  }

  // Shows which time is meant, or why it is none; gives it, or null.
  check(isWhole) {
    const text = this.at.value.trim();
    const words = strings.timed;
    const ahead = this.ahead();
    const now = Date.now() + ahead;
    let at = null;
    let said = words.form;
    if (text !== "") {
      try {
        const found = parseTime(text, now);
        ({ at } = found);
        said = words.meant(new Date(at), (at - now) / 1000, found.isTomorrow);
        if (Math.abs(ahead) > CLOCKS_DIFFER_MS) said += ` ${words.clocks(ahead / 1000)}`;
      } catch (error) {
        if (!(error instanceof TimeError)) throw error;
        said = words.wrong[error.message];
      }
    } else if (isWhole) said = words.wrong.form;
    const isWrong = at === null && (text !== "" || isWhole);
    write(this.hint, said);
    this.hint.classList.toggle("error", isWrong);
    this.at.setAttribute("aria-invalid", String(isWrong));
    return at;
  }

  async submit(event) {
    event.preventDefault();
    const at = this.check(true);
    if (at === null) {
      this.at.focus();
      return;
    }
    const { feed } = this;
    const isDone = await this.run("timed", { at: new Date(at).toISOString(), reason: this.reason.value.trim() });
    if (!isDone || this.feed !== feed) return;
    this.at.value = this.reason.value = "";
    this.check(false);
  }
}
