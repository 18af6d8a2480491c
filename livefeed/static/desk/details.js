// Everything about one feed besides the commands: what watchers see, what waits, and the lists below.

import { element, write } from "../page/dom.js";
import { preview, parse } from "../page/exact.js";
import { counting } from "../page/strings.js";
import { moment, short, strings } from "./strings.js";
import { nextOf } from "./timed.js";

const PASSES_S = [60, 600, 3600];
// The states in which watchers see no document, although there is a last one.
const HIDING = new Set(["withdrawn", "expired"]);

// A table whose rows are made anew only if the report has changed, so that a focus in it stays.
class List {
  constructor(title, hint, none, columns, row) {
    this.row = row;
    this.before = null;
    this.rows = element("tbody");
    const head = columns.map((name) => element("th", { scope: "col" }, name));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), this.rows);
    this.table = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, table);
    this.none = element("p", { class: "note" }, none);
    this.hint = element("p", { class: "note" }, hint);
    this.count = element("span", { class: "note" });
    this.element = element("details", { class: "panel" }, element("summary", {}, element("h3", {}, title), " ", this.count), this.hint, this.none, this.table);
  }

  update(entries, context) {
    const now = JSON.stringify([entries, context]);
    if (now === this.before) return;
    this.before = now;
    const focused = this.rows.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    write(this.count, entries.length > 0 ? strings.entries(entries.length) : "");
    this.none.hidden = entries.length > 0;
    this.hint.hidden = this.table.hidden = entries.length === 0;
    this.rows.replaceChildren(...entries.map((entry) => this.row(entry, context)));
    if (focused !== null) [...this.rows.querySelectorAll("button")].find((each) => each.getAttribute("aria-label") === focused)?.focus();
  }
}

class Facts {
  constructor(title, names) {
    this.title = title;
    this.values = new Map(names.map((name) => [name, element("dd")]));
    this.none = element("p", { class: "note" });
    this.list = element("dl", {}, ...[...this.values].map(([name, value]) => element("div", {}, element("dt", {}, strings.facts[name]), value)));
    const id = `side-${names.length}`;
    this.element = element("section", { class: "card side", "aria-labelledby": id }, element("h3", { id }, title), this.none, this.list);
  }

  // facts: the texts by their names; null for none, with a text in their place.
  update(facts, none) {
    this.none.hidden = facts !== null;
    this.list.hidden = facts === null;
    write(this.none, none);
    for (const [name, value] of this.values) {
      write(value, facts?.[name] ?? "");
      value.parentNode.hidden = !facts?.[name];
    }
  }
}

const button = (name, label, press) => element("button", { type: "button", "aria-label": label, onclick: press }, name);
const cell = (...children) => element("td", {}, ...children);
const heading = (text) => element("th", { scope: "row" }, text);

// Gives a value of an overlay, which is the text of its JSON, as a short text.
function shortValue(text) {
  try {
    return preview(parse(text));
  } catch {
    return String(text);
  }
}

export class Details {
  // run: gives a command, with arguments. editing, timed: the forms of an editor, and of what is to happen at a time.
  constructor(run, editing, timed) {
    this.run = run;
    this.timed = timed;
    this.editing = editing;
    this.name = element("h2", { id: "feed-name" });
    this.badge = element("span", { class: "badge", id: "state" });
    this.seen = element("p", { id: "seen" });
    this.decision = element("p", { class: "decision" });
    this.why = element("p", { class: "why-held" });
    this.failing = element("p", { class: "why-held" });
    this.edited = element("p", { class: "note" });
    this.next = element("p", { class: "next" });
    this.warning = element("p", { class: "why" });
    this.alarms = element("ul", { class: "alarms" });
    this.head = element("div", { class: "head" }, element("div", { class: "title" }, this.name, this.badge), this.seen, this.decision, this.why, this.failing, this.alarms, this.next, this.edited, this.warning);
    this.shown = new Facts(strings.shown, ["version", "sequence", "confirmed", "size"]);
    this.waiting = new Facts(strings.waiting, ["version", "since", "rule", "pulls", "release", "size"]);
    this.sides = element("div", { class: "sides" }, this.shown.element, this.waiting.element);
    const { versionColumns, ruleColumns, overlayColumns } = strings;
    this.versions = new List(strings.versions, strings.versionsHint, strings.noVersions, Object.values(versionColumns), (one, context) => this.version(one, context));
    this.rules = new List(strings.rules, "", strings.noRules, Object.values(ruleColumns), (one) => this.rule(one));
    this.overlay = new List(strings.overlay, strings.overlayHint, strings.noOverlay, Object.values(overlayColumns), (one) => this.entry(one));
    this.overlay.element.append(editing.element);
    this.lists = element("div", { class: "lists" }, this.overlay.element, timed.element, this.versions.element, this.rules.element);
  }

  version({ version, sequence, at }, { shown }) {
    const command = version === shown ? strings.isShown : button(strings.pin, strings.pinOf(version), () => this.run("pin", { version }));
    return element("tr", {}, heading(short(version)), cell(sequence ?? ""), cell(at ? moment(at) : ""), cell(command));
  }

  rule({ name, kind, action, released_until: until }) {
    const passes = PASSES_S.map((seconds) => button(strings.minutes(seconds), strings.rulePass(name, seconds), () => this.run("rule", { rule: name, for_s: seconds })));
    const now = until ? [strings.releasedUntil(moment(until)), " "] : [];
    const commands = action === "alarm" ? [] : [element("span", { class: "choices" }, ...passes)];
    return element("tr", {}, heading(name), cell(kind ?? ""), cell(action ?? ""), cell(...now, ...commands));
  }

  entry(entry) {
    const { pointer, value, changes, places, conflicts, expected, by, at, reason } = entry;
    const hidden = places.map((place) => (place.hidden === null ? strings.overlayNothing : shortValue(place.hidden)));
    const wrong = conflicts.map(({ why }) => element("strong", { class: "refused" }, strings.conflict(why)));
    // An entry that changes nothing is not shown as if watchers saw it.
    const shown = changes === 0 ? "" : value === null ? strings.overlayRemoved : shortValue(value);
    const drop = button(strings.drop, strings.dropOf(pointer), () => this.run("drop", { pointer }));
    const change = button(strings.change, strings.changeOf(pointer), () => this.editing.take(entry));
    const name = heading(pointer || "/");
    name.append(element("span", { class: "note origin" }, strings.origin(by, moment(at), expected, reason)));
    const commands = element("span", { class: "choices" }, change, drop);
    return element("tr", {}, name, cell(shown, ...wrong.flatMap((each) => [" ", each])), cell(hidden.join(", ")), cell(commands));
  }

  // elapsed: the seconds since the report was made. due: what is to happen at a time, in all feeds; null if unknown.
  update(report, elapsed, due) {
    const { feed, state, decision, shown, waiting, failing, alarms = [], warning } = report;
    write(this.name, feed);
    this.badge.dataset.state = state;
    write(this.badge, strings.states[state] ?? String(state));
    const seen = strings.seen[state] ?? strings.unknownState(state);
    write(this.seen, shown || HIDING.has(state) ? seen : strings.seenNothing);
    this.sayDecision(decision);
    const why = waiting?.rule ? `${strings.heldBy(waiting.rule)} ${waiting.why ?? ""}`.trim() : "";
    write(this.why, why);
    this.why.hidden = why === "";
    write(this.failing, failing ? strings.failing(failing.for_s + elapsed, failing.why) : "");
    this.failing.hidden = !failing;
    write(this.warning, warning ? strings.restart(warning) : "");
    this.warning.hidden = !warning;
    this.sayAlarms(alarms);
    const edits = report.overlay ?? [];
    write(this.edited, edits.length > 0 ? strings.edited(edits.length, edits.filter(({ conflicts }) => conflicts.length > 0).length) : "");
    this.edited.hidden = edits.length === 0;
    this.timed.element.hidden = due === null;
    this.timed.update(due ?? [], elapsed, feed);
    const next = nextOf(due ?? [], feed);
    write(this.next, next ? strings.timed.next(next, next.failed ? null : moment(next.at), Math.max(0, next.in_s - elapsed)) : "");
    this.next.hidden = !next;
    this.next.classList.toggle("refused", Boolean(next?.failed));
    const isHidden = HIDING.has(state) && shown !== null;
    this.shown.update(shown && !isHidden ? this.factsOfShown(shown, elapsed) : null, isHidden ? strings.hidden(shown.version, moment(shown.confirmed_at)) : strings.nothingShown);
    this.shown.element.classList.toggle("hides", isHidden || !shown);
    this.waiting.update(waiting ? this.factsOfWaiting(waiting, elapsed) : null, strings.nothingWaits);
    this.waiting.element.classList.toggle("waits", Boolean(waiting));
    this.versions.update(report.versions ?? [], { shown: shown?.version });
    this.rules.update(report.rules ?? []);
    // A livefeed may have no overlays.
    this.overlay.element.hidden = report.overlay === undefined;
    this.overlay.update(report.overlay ?? []);
  }

  sayDecision(decision) {
    let text = "";
    if (decision) {
      const { kind, by, at, version, reason } = decision;
      text = (strings.decisions[kind] ?? ((...facts) => strings.decision(kind, ...facts)))(by, moment(at), version);
      if (reason) text += ` ${strings.quote(reason)}`;
    }
    write(this.decision, text);
    this.decision.hidden = text === "";
  }

  sayAlarms(alarms) {
    const texts = alarms.map(({ rule, why, since }) => strings.alarm(rule, why, moment(since)));
    if (texts.join() !== [...this.alarms.children].map((each) => each.textContent).join()) {
      this.alarms.replaceChildren(...texts.map((text) => element("li", {}, text)));
    }
    this.alarms.hidden = texts.length === 0;
  }

  factsOfShown({ version, sequence, bytes, age_s: age, confirmed_at: at }, elapsed) {
    return { version: short(version), sequence, size: strings.bytes(bytes), confirmed: strings.ago(moment(at), age + elapsed) };
  }

  factsOfWaiting(waiting, elapsed) {
    const { releases_in_s: seconds, releases_after_pulls: pulls } = waiting;
    const release = [];
    if (Number.isFinite(seconds)) release.push(strings.inTime(Math.max(0, seconds - elapsed)));
    if (Number.isFinite(pulls)) release.push(strings.afterPulls(pulls));
    return {
      version: short(waiting.version),
      since: `${moment(waiting.since)}, ${counting(waiting.for_s + elapsed)}`,
      rule: waiting.rule ? strings.byRule(waiting.rule) : strings.byDecision,
      pulls: waiting.pulls > 1 ? strings.times(waiting.pulls) : null,
      release: release.join(", ") || strings.never,
      size: strings.bytes(waiting.bytes),
    };
  }
}
