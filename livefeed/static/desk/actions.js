// The commands: what each does, whether it can be given now, and what came of the last one.

import { element, write } from "../page/dom.js";
import { DeniedError, RefusedError } from "./access.js";
import { strings } from "./strings.js";

const ORDER = ["release", "once", "hold", "rollback", "unpin", "resume", "withdraw", "end"];
const DANGEROUS = new Set(["withdraw", "end"]);
const MOST_REASON = 200;

// What is sent for each command: its name, and arguments besides feed and reason.
const SENT = {
  once: ["release", { once: true }],
  rule: ["release", {}],
  drop: ["overlay", { action: "drop" }],
};

// The commands that take back what another has done, in the order in which they are looked for.
const UNDO = {
  hold: ["release"],
  release: ["rollback"],
  once: ["rollback"],
  pin: ["unpin"],
  rollback: ["unpin"],
  unpin: ["rollback"],
  withdraw: ["resume"],
  end: ["resume"],
};

// Gives why a command cannot be given now; null if it can.
export function whyNot(kind, report) {
  const { decision, waiting, shown, versions = [] } = report;
  const made = decision?.kind ?? null;
  const why = strings.unavailable;
  const isClosed = made === "withdraw" || made === "end";
  if (kind === "resume") return isClosed ? null : why.resume;
  if (kind === "unpin") return made === "pin" ? null : why.unpin;
  if (made === kind) return why[kind];
  if (kind === "withdraw") return null;
  if (made === "end" || (isClosed && kind !== "rollback" && kind !== "pin")) return why.closed;
  if (kind === "rollback") {
    if (!shown) return why.none;
    return versions.some((each) => each.version !== shown.version) ? null : why.rollback;
  }
  if (kind === "end") return shown ? null : why.none;
  if (made === "pin" && kind !== "pin") return why.pinned;
  if (kind === "once") return waiting ? null : why.once;
  if (kind === "release") return waiting || made === "hold" ? null : why.release;
  return null;
}

export class Actions {
  // seen: gives the waiting version that the reader sees compared. done: called after each command. denied: called if the
  // token does not fit any more.
  constructor(access, seen, done, denied) {
    Object.assign(this, { access, seen, done, denied });
    this.report = null;
    this.isRunning = false;
    this.reason = element("input", { id: "reason", maxlength: String(MOST_REASON), autocomplete: "off", "aria-describedby": "reason-hint" });
    this.commands = new Map(ORDER.map((kind) => [kind, this.make(kind)]));
    this.text = element("span");
    this.hint = element("span", { class: "undo" });
    this.again = element("button", { type: "button", hidden: true }, "");
    this.result = element("p", { class: "result", role: "status", tabindex: "-1" }, this.text, " ", this.hint, " ", this.again);
    this.dialog = this.makeDialog();
    this.element = element(
      "section",
      { class: "card actions", "aria-labelledby": "decide-title" },
      element("h3", { id: "decide-title" }, strings.decide),
      this.result,
      element("p", { class: "reason" }, element("label", { for: "reason" }, strings.reason), this.reason),
      element("p", { id: "reason-hint", class: "note" }, strings.reasonHint),
      element("div", { class: "commands" }, ...[...this.commands.values()].map(({ element: each }) => each)),
      this.dialog.element,
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

  makeDialog() {
    const title = element("h2", { id: "confirm-title" });
    const text = element("p", { id: "confirm-text" });
    const cancel = element("button", { type: "button" }, strings.cancel);
    const go = element("button", { type: "button", class: "danger" }, "");
    const dialog = element("dialog", { "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" }, title, text, element("p", { class: "choices" }, cancel, go));
    cancel.addEventListener("click", () => dialog.close());
    return { element: dialog, title, text, go, cancel };
  }

  update(report) {
    if (report.feed !== this.report?.feed) this.say("");
    this.report = report;
    for (const [kind, { button, why }] of this.commands) {
      const reason = whyNot(kind, report);
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
      this.run(kind, version === null ? {} : { version });
      return;
    }
    const { element: dialog, title, text, go, cancel } = this.dialog;
    const { feed } = this.report;
    write(title, strings.confirm[kind](feed));
    write(text, strings.consequence[kind]);
    write(go, strings.confirmed[kind]);
    go.onclick = () => {
      dialog.close();
      // The reader may have gone to another feed behind the dialog.
      if (this.report.feed === feed) this.run(kind, {});
    };
    dialog.showModal();
    cancel.focus();
  }

  // Gives a command. `kind` is one of the buttons, or pin, rule, drop.
  async run(kind, more) {
    if (this.isRunning || this.report === null) return;
    this.isRunning = true;
    this.update(this.report);
    const [command, usual] = SENT[kind] ?? [kind, {}];
    const name = strings.commands[kind]?.name.replace(" …", "") ?? strings[kind] ?? strings.commands.release.name;
    const { feed } = this.report;
    this.say(strings.running(name));
    const reason = this.reason.value.trim();
    try {
      const after = await this.access.command(command, { feed, ...usual, ...more, ...(reason === "" ? {} : { reason }) });
      this.reason.value = "";
      this.isRunning = false;
      this.tell(kind, after);
      await this.done();
      if (this.report.feed === feed) this.offer(kind);
    } catch (error) {
      this.isRunning = false;
      if (error instanceof DeniedError) this.denied(error);
      else if (error instanceof RefusedError) {
        this.say(strings.failed(name, error.message), "bad");
        if (more.version !== undefined && command === "release") this.offerAny(kind);
      } else this.say(strings.unsure(name, error.message), "bad");
    }
    this.update(this.report);
  }

  tell(kind, { feed, state, version, waiting, warning }) {
    const parts = [strings.done[kind]];
    if (state) parts.push(strings.now(feed, (strings.states[state] ?? state).toLowerCase(), state === "withdrawn" ? null : version));
    if (waiting) parts.push(strings.stillWaits);
    if (warning) parts.push(strings.restart(warning));
    this.say(parts.join(" "), "good");
  }

  // Offers the command that takes the last one back, if it can be given.
  offer(kind) {
    const undo = UNDO[kind]?.find((each) => whyNot(each, this.report) === null);
    if (undo === undefined) return;
    write(this.hint, strings.undoNow);
    this.show(strings.commands[undo].name, () => this.press(undo));
  }

  // The waiting version has changed since the reader saw it.
  offerAny(kind) {
    this.show(strings.anyVersion, () => this.run(kind, {}));
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
