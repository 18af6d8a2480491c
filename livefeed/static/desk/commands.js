// The commands of the desk: what is sent for each, when it can be given, and what takes it back.

export const ORDER = ["release", "once", "hold", "rollback", "unpin", "resume", "withdraw", "end"];
export const DANGEROUS = new Set(["withdraw", "end"]);

// What is sent: the name of the command, and arguments besides feed and reason. All others are sent by their own names.
const overlay = (action) => ["overlay", { action }];
const embargo = (action) => ["embargo", { action }];
export const SENT = {
  once: ["release", { once: true }],
  rule: ["release", {}],
  set: overlay("set"),
  add: overlay("add"),
  remove: overlay("remove"),
  drop: overlay("drop"),
  clear: overlay("clear"),
  timed: embargo("release"),
  cancel: embargo("cancel"),
  publish: embargo("publish"),
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

// A report has so many characters of a value, and then an ellipsis.
const MOST_CHARACTERS = 256;

// Gives why a command cannot be given now, as the name of a text; null if it can.
export function whyNot(kind, report) {
  const { decision, waiting, shown, versions = [] } = report;
  const made = decision?.kind ?? null;
  const isClosed = made === "withdraw" || made === "end";
  if (kind === "resume") return isClosed ? null : "resume";
  if (kind === "unpin") return made === "pin" ? null : "unpin";
  if (made === kind) return kind;
  if (kind === "withdraw") return null;
  if (made === "end" || (isClosed && kind !== "rollback" && kind !== "pin")) return "closed";
  if (kind === "rollback") {
    if (!shown) return "none";
    // An older livefeed does not say where it would lead.
    const leads = report.rollback_to === undefined ? versions.some((each) => each.version !== shown.version) : report.rollback_to;
    return leads ? null : "rollback";
  }
  if (kind === "end") return shown ? null : "none";
  if (made === "pin" && kind !== "pin") return "pinned";
  if (kind === "once") return waiting ? null : "once";
  if (kind === "release") return waiting || made === "hold" ? null : "release";
  return null;
}

// Gives the command that makes an entry of the overlay again; null if the report has only a part of it.
function again({ pointer, action, value, expected, reason }) {
  if ([value, expected].some((text) => text?.length > MOST_CHARACTERS)) return null;
  const texts = { value, expect: expected, reason: reason || null };
  return { kind: action, more: { pointer, ...Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== null)) } };
}

// Gives the command that takes another one back, as {kind, more}; null if there is none.
// before, after: the reports of the feed. answer: that to the command.
export function undoOf(kind, more, before, after, answer) {
  const [name] = SENT[kind] ?? [];
  if (name === "overlay") {
    const earlier = before.overlay?.find(({ pointer }) => pointer === more.pointer);
    if (kind === "clear") return null;
    return earlier === undefined ? { kind: "drop", more: { pointer: more.pointer } } : again(earlier);
  }
  if (kind === "timed") return { kind: "cancel", more: { id: answer.id } };
  if (kind === "cancel" && answer.kind === "release") {
    return { kind: "timed", more: { feed: answer.feed, at: answer.at, ...(answer.reason ? { reason: answer.reason } : {}) } };
  }
  const undo = UNDO[kind]?.find((each) => whyNot(each, after) === null);
  return undo === undefined ? null : { kind: undo, more: null };
}
