// The commands: what each does, whether it can be given now, and what came of the last one.

import { element, write } from "../page/dom.js";
import { DeniedError, RefusedError } from "./access.js";
import { DANGEROUS, ORDER, SENT, undoOf, whyNot } from "./commands.js";
import { strings } from "./strings.js";

const MOST_REASON = 200;

// Gives why a command cannot be given now; null if it can.
function unavailable(kind, report) {
  const why = whyNot(kind, report);
  return why === null ? null : strings.unavailable[why];
}

// Gives the name of a command, as it is said about its outcome.
const nameOf = (kind) => strings.names[kind] ?? strings.commands[kind].name.replace(" …", "");

export class Actions {
  // seen: gives the waiting version that the reader sees compared. ask: asks whether to go on. done: called after each
  // command. denied: called if the token does not fit any more. more: buttons that open forms, as {name, effect, open}.
  constructor(access, { seen, ask, done, denied, more }) {
    Object.assign(this, { access, seen, ask, done, denied });
    this.report = null;
    this.isRunning = false;
    this.reason = element("input", { id: "reason", maxlength: String(MOST_REASON), autocomplete: "off", "aria-describedby": "reason-hint" });
    this.commands = new Map(ORDER.map((kind) => [kind, this.make(kind)]));
    this.text = element("span");
    this.hint = element("span", { class: "undo" });
    this.again = element("button", { type: "button", hidden: true }, "");
    this.close = element("button", { type: "button", class: "quiet close", onclick: () => this.dismiss() }, strings.close);
    this.result = element("p", { class: "result", role: "status", tabindex: "-1" }, this.text, " ", this.hint, " ", this.again, " ", this.close);
    // The answer to a command is in sight wherever the command was given.
    this.slot = element("div", { class: "slot" }, this.result);
    new IntersectionObserver(([seen]) => this.slot.classList.toggle("away", !seen.isIntersecting)).observe(this.slot);
    this.element = element(
      "section",
      { class: "card actions", "aria-labelledby": "decide-title" },
      element("h3", { id: "decide-title" }, strings.decide),
      this.slot,
      element("p", { class: "reason" }, element("label", { for: "reason" }, strings.reason), this.reason),
      element("p", { id: "reason-hint", class: "note" }, strings.reasonHint),
      element("div", { class: "commands" }, ...[...this.commands.values()].map(({ element: each }) => each), ...more.map((each) => this.makeOpener(each))),
    );
  }

  make(kind) {
    const { name, effect, undo } = strings.commands[kind];
    const button = element("button", { type: "button", class: DANGEROUS.has(kind) ? "danger" : "", "data-command": kind, "aria-describedby": `${kind}-effect` }, name);
    const why = element("span", { class: "why-not" });
    button.addEventListener("click", () => this.press(kind));
    const possible = element("span", { class: "possible" }, `${effect} `, element("span", { class: "undo" }, strings.undo(undo)));
    const hint = element("p", { id: `${kind}-effect`, class: "note" }, why, possible);
    return { element: element("div", { class: "command" }, button, hint), button, why };
  }

  makeOpener({ id, name, effect, open }) {
    const button = element("button", { type: "button", id, "aria-describedby": `${id}-effect`, onclick: open }, name);
    return element("div", { class: "command" }, button, element("p", { id: `${id}-effect`, class: "note" }, effect));
  }

  update(report) {
    if (report.feed !== this.report?.feed) this.say("");
    this.report = report;
    for (const [kind, { button, why }] of this.commands) {
      const reason = unavailable(kind, report);
      const isOff = reason !== null || this.isRunning;
      // A button that is off keeps the focus, so that a reader at the keyboard loses nothing.
      button.setAttribute("aria-disabled", String(isOff));
      write(why, reason ?? "");
    }
  }

  press(kind) {
    if (this.isRunning || whyNot(kind, this.report) !== null) return;
    if (!DANGEROUS.has(kind)) {
      const version = kind === "release" || kind === "once" ? this.seen() : null;
      // The waiting version may have changed since the reader saw it.
      if (version === null) this.run(kind, {});
      else this.run(kind, { version }, { name: strings.anyVersion, more: {} });
      return;
    }
    const { feed } = this.report;
    const texts = { title: strings.confirm[kind](feed), text: strings.consequence[kind], go: strings.confirmed[kind] };
    this.ask(texts, () => {
      // The reader may have gone to another feed behind the dialog.
      if (this.report.feed === feed) this.run(kind, {});
    });
  }

  // Gives a command, and a promise of whether it succeeded. `kind` is one of the buttons, or another one that is sent.
  // retry: what is offered if it is refused, as {name, more}.
  async run(kind, more, retry = null) {
    if (this.isRunning || this.report === null) return false;
    this.isRunning = true;
    this.update(this.report);
    const [command, usual] = SENT[kind] ?? [kind, {}];
    const { report: before } = this;
    const { feed } = before;
    this.say(strings.running(nameOf(kind)));
    const isOwn = more.reason === undefined;
    const reason = isOwn ? this.reason.value.trim() : more.reason;
    const { reason: _, ...others } = more;
    let isDone = false;
    try {
      const answer = await this.access.command(command, { feed, ...usual, ...others, ...(reason === "" ? {} : { reason }) });
      isDone = true;
      if (isOwn) this.reason.value = "";
      this.isRunning = false;
      this.tell(kind, more, answer);
      await this.done();
      if (this.report?.feed === feed) this.offer(undoOf(kind, more, before, this.report, answer));
    } catch (error) {
      this.isRunning = false;
      if (error instanceof DeniedError) this.denied(error);
      else if (error instanceof RefusedError) {
        this.say(strings.failed(nameOf(kind), error.message), "bad");
        if (retry !== null) this.show(retry.name, () => this.run(kind, retry.more));
      } else this.say(strings.unsure(nameOf(kind), error.message), "bad");
    }
    if (this.report !== null) this.update(this.report);
    return isDone;
  }

  tell(kind, { pointer }, answer) {
    const { feed, state, version, waiting, warning } = answer;
    const done = strings.done[kind];
    const parts = [typeof done === "function" ? done(answer) : done];
    // An entry that does not fit is no success.
    const entry = kind === "drop" ? undefined : answer.overlay?.find((each) => pointer !== undefined && each.pointer === pointer);
    const [conflict] = entry?.conflicts ?? [];
    if (conflict) parts.push(entry.changes === 0 ? strings.preview.nothing(conflict.why) : strings.preview.conflict(conflict.pointer, conflict.why));
    if (state) parts.push(strings.now(feed, (strings.states[state] ?? state).toLowerCase(), state === "withdrawn" ? null : version));
    if (waiting) parts.push(strings.stillWaits);
    if (warning) parts.push(strings.restart(warning));
    this.say(parts.join(" "), conflict ? "bad" : "good");
  }

  // Offers the command that takes the last one back, if there is one: {kind, more}, or null.
  offer(undo) {
    if (undo === null) return;
    write(this.hint, strings.undoNow);
    // One with arguments is given as it is, and without the reason that is being written for the next one.
    this.show(nameOf(undo.kind), () => (undo.more === null ? this.press(undo.kind) : this.run(undo.kind, { reason: "", ...undo.more })));
  }

  // The reader has gone on to something else, above which the answer must not lie. A failure stays.
  settle() {
    if (this.slot.classList.contains("away") && this.result.dataset.tone === "good" && !this.isRunning) this.say("");
  }

  dismiss() {
    const isFocused = this.result.contains(document.activeElement);
    this.say("");
    if (isFocused) this.reason.focus();
  }

  show(name, press) {
    this.again.hidden = false;
    write(this.again, name);
    this.again.onclick = press;
  }

  say(text, tone = "") {
    if (this.again.contains(document.activeElement)) this.result.focus();
    this.result.dataset.tone = tone;
    write(this.text, text);
    write(this.hint, "");
    this.again.hidden = true;
  }
}
