// All texts of the desk, for translation: another language is another file of this form.

import { counting, format as page } from "../page/strings.js";

// No script can write these two texts: the server puts them into the page. Each is a literal in double quotes, without HTML.
const language = "en";
export const noscript = "This page needs JavaScript. Without it, ask for the desk on the command line:";

const whole = new Intl.NumberFormat(language);
const calendar = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
const counted = (count, one, many) => `${whole.format(count)} ${count === 1 ? one : many}`;

// A time of a report; with the date if it is not of today.
export function moment(text) {
  const date = new Date(text);
  if (Number.isNaN(date.valueOf())) return String(text);
  return date.toDateString() === new Date().toDateString() ? page.time(date) : calendar.format(date);
}

// A time that somebody chooses, with the day and the time zone, so that both can be checked.
const chosen = new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short" });

// The texts of JSON in sentences. Long ones are cut.
const MOST_CHARACTERS = 60;
const json = (text) => (text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text);

const versionsOf = (versions) => versions.map(short).join(" or ") || "(none)";

export const short = (version) => (version ? version.slice(0, 8) : "–");

export const strings = {
  title: "Desk",
  titleOf: (feed, waiting) => `${waiting ? "(!) " : ""}${feed} – Desk`,
  skip: "Skip to the feed",
  leave: "Log out",

  login: "Log in to the desk",
  token: "Token",
  tokenHint: "The content of the file that --admin-token names. It stays in this tab, and is forgotten when you close it.",
  enter: "Log in",
  wrongToken: "This is not the token. Copy it again, without blanks around it.",
  lostAccess: "The token is not valid any more. Log in with the new one.",
  tooMany: "There were too many wrong tokens from your address. Try again in a second.",
  unreachable: (why) => `livefeed does not answer: ${why}`,
  noAnswer: "no answer within the time limit",
  noNetwork: "there is no connection",
  status: (status) => `status ${status}`,
  silent: (seconds) => `livefeed has not answered for ${counting(seconds)}. All that you see below may be old. This page tries again by itself.`,
  contact: (instance, seconds) => `${instance}, ${seconds < 2 ? "up to date" : `as of ${counting(seconds)} ago`}`,

  feeds: "Feeds",
  noFeeds: "This livefeed has no feeds.",
  noFeed: (name) => `This livefeed has no feed called ${name}. Choose one in the list.`,
  waits: (seconds) => `waiting ${counting(seconds)}`,
  alarms: (count) => counted(count, "alarm", "alarms"),

  states: {
    live: "Live",
    stale: "Stale",
    held: "Held",
    ended: "Ended",
    expired: "Expired",
    withdrawn: "Withdrawn",
  },
  seen: {
    live: "Watchers see the newest version.",
    stale: "Watchers see the last version that the source gave, and that it is stale.",
    held: "Watchers keep the version below. They see that it is held.",
    ended: "Watchers see the version below as the final one. Nothing that the source gives is shown.",
    expired: "Watchers see no document: the last one is too old.",
    withdrawn: "Watchers see no document: it is withdrawn (410), also for those who had it.",
  },
  seenNothing: "There is no document yet, so watchers see none.",
  unknownState: (state) => `The state is “${state}”, which this page does not know. Use livefeed ctl.`,
  decisions: {
    hold: (by, since) => `Held by ${by} since ${since}.`,
    pin: (by, since, version) => `Pinned to version ${short(version)} by ${by} since ${since}.`,
    withdraw: (by, since) => `Withdrawn by ${by} at ${since}.`,
    end: (by, since) => `Ended by ${by} at ${since}.`,
  },
  decision: (kind, by, since) => `Decision “${kind}” of ${by}, ${since}.`,
  quote: (reason) => `Reason: ${reason}`,
  heldBy: (rule) => `The rule ${rule} holds a newer version back.`,
  edited: (count, unfit) =>
    `The overlay has ${counted(count, "entry", "entries")}: values of an editor, below.${unfit > 0 ? ` ${counted(unfit, "entry does", "entries do")} not fit the source's document.` : ""}`,
  alarm: (rule, why, since) => `Alarm of the rule ${rule} since ${since}: ${why}`,
  restart: (warning) => `Beware: ${warning}.`,

  shown: "Watchers see",
  failing: (seconds, why) => `Pulls have failed for ${counting(seconds)}: ${why}`,
  waiting: "Waiting",
  nothingShown: "No document",
  hidden: (version, time) => `No document. The last one was version ${short(version)} of ${time}.`,
  nothingWaits: "Nothing waits: there is no newer version than the one that watchers see.",
  facts: {
    version: "Version",
    sequence: "Sequence",
    confirmed: "Confirmed",
    size: "Size",
    since: "Waiting since",
    rule: "Held by",
    pulls: "Pulled",
    release: "Released by itself",
  },
  ago: (time, seconds) => `${time}, ${counting(seconds)} ago`,
  bytes: (count) => page.bytes(count),
  byRule: (rule) => `the rule ${rule}`,
  byDecision: "the decision above",
  times: (count) => counted(count, "time in a row", "times in a row"),
  inTime: (seconds) => `in ${counting(seconds)}`,
  afterPulls: (count) => `after ${counted(count, "more pull", "more pulls")} with the same value`,
  never: "no: it waits for you",

  differences: "What would change",
  differencesTable: "Table of differences",
  differencesOf: (count, most) =>
    count === 0
      ? "No value differs: only the spelling does."
      : `${count >= most ? `The first ${whole.format(most)}` : whole.format(count)} ${count === 1 ? "difference" : "differences"} between the version that watchers see and the waiting one.`,
  columns: { place: "Value", shown: "Watchers see", waiting: "Waiting" },
  added: "(not there)",
  removed: "(removed)",
  refused: (rule) => `refused by ${rule}`,
  loading: "The documents are being loaded.",
  notLoaded: (why) => `The documents cannot be compared at present: ${why}`,
  tooLarge: (bytes) => `The documents have ${page.bytes(bytes)}, so they are compared on request only.`,
  compare: "Compare now",
  unreadable: "The documents are nested too deeply to be compared.",
  whole: "Whole documents",

  decide: "Decide",
  reason: "Reason",
  reasonHint: "Optional. It goes into the audit file with the next command. Watchers see it if --public-reasons is on.",
  commands: {
    hold: { name: "Hold", effect: "Watchers keep the version that they see. Newer ones wait.", undo: "Release" },
    release: { name: "Release", effect: "Watchers get the waiting version, and newer ones follow unless a rule holds them.", undo: "Roll back" },
    once: { name: "Release once", effect: "Watchers get the waiting version. The next ones are held as before.", undo: "Roll back" },
    rollback: { name: "Roll back", effect: "Watchers get the version that they saw before this one. Newer ones wait.", undo: "Unpin" },
    unpin: { name: "Unpin", effect: "Watchers get the newest version, unless a rule holds it.", undo: "Roll back" },
    withdraw: { name: "Withdraw …", effect: "Watchers see no document any more, at once. Caches drop it.", undo: "Resume" },
    end: { name: "End …", effect: "Watchers see this version as the final one, and stop asking.", undo: "Resume" },
    resume: { name: "Resume", effect: "Takes back Withdraw or End: watchers get the newest version, unless a rule holds it.", undo: "Withdraw or End" },
  },
  undo: (name) => `Undo: ${name}`,
  unavailable: {
    hold: "It is held already.",
    release: "Nothing waits, and nothing is held.",
    once: "Nothing waits.",
    rollback: "There is no version before this one.",
    unpin: "No version is pinned.",
    withdraw: "It is withdrawn already.",
    end: "It has ended already.",
    resume: "It is neither withdrawn nor ended.",
    closed: "First resume the feed.",
    pinned: "First unpin the version.",
    none: "There is no document yet.",
  },
  confirm: {
    withdraw: (feed) => `Withdraw ${feed}?`,
    end: (feed) => `End ${feed}?`,
  },
  consequence: {
    withdraw: "Every watcher loses the document at once: pages are empty, requests are answered 410. Resume takes it back.",
    end: "Every watcher is told that this version is final, and stops asking. Resume takes it back, but pages notice that only within a minute, and later within some minutes.",
  },
  confirmed: { withdraw: "Withdraw it now", end: "End it now" },
  cancel: "Cancel",
  close: "Close",
  openers: {
    correct: { name: "Correct a value …", effect: "Puts your value over the source's, in each document, until it is dropped." },
    timed: { name: "At a time …", effect: "Has a hold end at a time. Shows all that is to happen, to cancel it or to do it now." },
  },
  // The commands that have no button above.
  names: {
    pin: "Pin",
    rule: "Release",
    set: "Put over the source",
    add: "Add",
    remove: "Take out",
    drop: "Drop",
    clear: "Clear the overlay",
    timed: "Release at a time",
    cancel: "Cancel",
    publish: "Do it now",
  },
  running: (name) => `${name}: waiting for livefeed to write it to the disk …`,
  done: {
    hold: "Held.",
    release: "Released.",
    once: "Released once.",
    rule: "The rule lets everything pass for a time.",
    rollback: "Rolled back.",
    pin: "Pinned.",
    unpin: "Unpinned.",
    withdraw: "Withdrawn.",
    end: "Ended.",
    resume: "Resumed.",
    set: "Put over the source.",
    add: "Added.",
    remove: "Taken out.",
    drop: "Dropped from the overlay.",
    clear: "The overlay is empty: the document is that of the source.",
    timed: ({ feed, at, in_s: seconds }) => `The hold of ${feed} ends at ${moment(at)}, in ${counting(seconds)}.`,
    cancel: ({ feed, kind }) => (kind === "release" ? `Cancelled: the hold of ${feed} does not end at a time.` : `Cancelled: the document that was set aside for ${feed} is gone.`),
    publish: ({ feed, kind }) => (kind === "release" ? `The hold of ${feed} has ended.` : `The document is stored. The state of ${feed} says whether watchers are shown it.`),
  },
  now: (feed, state, version) => `${feed} is ${state} now${version ? `, with version ${short(version)}` : ""}.`,
  stillWaits: "A version waits.",
  undoNow: "Undo:",
  failed: (name, why) => `${name} had no effect: ${why}`,
  unsure: (name, why) => `${name}: ${why}. Nobody knows whether it took effect. Look at the state above before you try again.`,
  anyVersion: "Release the newest version, whatever it is",

  versions: "Earlier versions",
  versionsHint: "Pin shows an earlier version to watchers, until you unpin. Newer ones wait.",
  noVersions: "There are no earlier versions.",
  versionColumns: { version: "Version", sequence: "Sequence", at: "Confirmed", command: "Command" },
  entries: (count) => whole.format(count),
  pin: "Pin",
  pinOf: (version) => `Pin version ${short(version)}`,
  isShown: "watchers see it",
  rules: "Rules",
  noRules: "This feed has no rules.",
  ruleColumns: { name: "Rule", kind: "Check", action: "Action", command: "Let everything pass for" },
  rulePass: (rule, seconds) => `Let everything pass the rule ${rule} for ${counting(seconds)}`,
  minutes: (seconds) => (seconds < 3600 ? `${seconds / 60} min` : `${seconds / 3600} h`),
  releasedUntil: (time) => `lets everything pass until ${time}`,
  overlay: "Overlay: values over the source",
  noOverlay: "The document is that of the source, byte for byte.",
  overlayHint: "Values that an editor has put in place of the source's, until they are dropped.",
  overlayColumns: { pointer: "Value", value: "Watchers see", hidden: "The source has", command: "Command" },
  overlayRemoved: "(removed)",
  overlayNothing: "(nothing)",
  conflict: (why) => `changes nothing: ${why}`,
  drop: "Drop",
  change: "Change",
  changeOf: (pointer) => `Change the entry of ${pointer}`,
  origin: (by, time, expected, reason) => `${expected === null ? "" : `Only while the source has ${json(expected)}. `}By ${by}, ${time}${reason ? `: ${reason}` : "."}`,
  correct: "Correct this value",
  dropOf: (pointer) => `Drop ${pointer} from the overlay`,

  editing: {
    title: "Put a value over the source",
    action: "Do this",
    actions: { set: "Replace a value", add: "Add a member that may not be there", remove: "Take a value out" },
    pointer: "Where",
    pointerHint: "A pointer, such as /districts/{name=North}/votes. Choose it below, or in the differences above, or type it.",
    value: "New value, as JSON",
    expect: "Only while the source has",
    expectHint: "Optional. Once the source has another value there, such as a corrected one, that is shown.",
    present: (text) => `Take its value of now: ${json(text)}`,
    reason: "Reason",
    go: { set: "Put it over the source", add: "Add it", remove: "Take it out" },
    clear: "Clear the overlay …",
    confirm: (feed, count) => ({
      title: `Clear the overlay of ${feed}?`,
      text: `Watchers are shown the source's values in place of ${counted(count, "value", "values")} of editors, at once. No command brings all of them back.`,
      go: "Clear it now",
    }),
    noPointer: "Choose the value, or type its pointer.",
    noSlash: "A pointer begins with a slash, as in /districts/{name=North}/votes.",
    noValue: "Type the new value.",
    notJson: "This is no JSON. A number is 1200 or 1.50; a text has quotation marks, as in \"North\"; others are true, false, null, […] and {…}.",
    asText: (text) => `Take it as the text ${json(text)}`,
  },
  preview: {
    title: "What this would do",
    nothing: (why) => `It changes nothing: ${why}.`,
    conflict: (pointer, why) => `It does not change ${pointer}: ${why}.`,
    place: (pointer, hidden, value) => {
      const now = hidden === null ? "the source has nothing there" : `the source has ${json(hidden)}`;
      return `${pointer}: ${now}; ${value === null ? "it is taken out" : `it becomes ${json(value)}`}.`;
    },
    more: (count) => `It changes ${counted(count, "more value", "more values")} as well.`,
    shown: "Watchers are shown it at once.",
    same: "That is what watchers are shown now.",
    rule: (rule, why) => `The rule ${rule} would hold the document back: ${why}. Release shows it all the same.`,
    waits: (state) => `The feed is ${state.toLowerCase()}, so the document waits until that is taken back.`,
    unknown: "No document was pulled yet. It is put into the first one.",
    replaces: (by, value) => `It takes the place of the entry of ${by}${value === null ? "" : `, ${json(value)}`}.`,
  },
  picker: {
    title: "Choose it in the document that watchers see",
    find: "Find",
    list: "Values of the document",
    none: "There is no document.",
    tooLarge: (bytes) => `The document has ${page.bytes(bytes)}, which is too much for a list. Type the pointer.`,
    notLoaded: (why) => `The document cannot be loaded: ${why}`,
    found: (count, isCut) => (count === 0 ? "No value has all of these words." : isCut ? `The first ${whole.format(count)} values. Type words of the pointer or the value to find others.` : counted(count, "value", "values")),
  },
  timed: {
    panel: "At a time",
    none: "Nothing is to happen at a time.",
    count: (count, seconds) => `${whole.format(count)}, ${seconds === null ? "failed" : `the next in ${counting(seconds)}`}`,
    flag: (time) => `due at ${time}`,
    flagFailed: "an embargo has failed",
    next: ({ kind, failed }, time, seconds) => {
      const what = kind === "release" ? "The end of the hold" : "The publication of a document";
      return failed ? `${what} has failed: ${failed}` : `${what} is due at ${time}, in ${counting(seconds)}.`;
    },
    what: ({ kind, version, bytes }) => (kind === "release" ? "End of the hold" : kind === "publish" ? `Document ${short(version)}, ${page.bytes(bytes)}` : String(kind)),
    of: (feed) => `of ${feed}`,
    due: (time, seconds) => `${time}, in ${counting(seconds)}`,
    wasDue: (time) => `was due at ${time}`,
    by: (by, time) => `By ${by}, ${time}.`,
    conditions: ({ kind, if_match: match, if_none_match: none }) => {
      const found = [];
      if (match !== null) {
        const which = match.includes("*") ? "any document" : `version ${versionsOf(match)}`;
        found.push(kind === "release" ? `Only if no rule holds back another version than ${versionsOf(match)}.` : `Only if ${which} is stored then.`);
      }
      if (none !== null) found.push(none.includes("*") ? "Only if no document is stored then." : `Only if version ${versionsOf(none)} is not stored then.`);
      return found;
    },
    failed: (why) => `It has not happened: ${why}.`,
    publishNow: "Publish now …",
    endNow: "End the hold now …",
    cancel: "Cancel it",
    cancelDocument: "Cancel it …",
    buttonOf: (name, what, feed) => `${name.replace(" …", "")}: ${what} of ${feed}`,
    anyVersion: "Do it whatever is stored or waits",
    confirm: {
      publish: (feed) => ({ title: `Publish it now, to all watchers of ${feed}?`, text: "The time of the embargo is passed over. A document that watchers have seen cannot be made secret again.", go: "Publish it now" }),
      end: (feed) => ({ title: `End the hold of ${feed} now?`, text: "Watchers are shown what waits at once, and not only at the agreed time.", go: "End it now" }),
      cancel: (feed) => ({ title: `Cancel the publication for ${feed}?`, text: "The document that is set aside is deleted. To publish it, it must be sent again.", go: "Cancel the publication", keep: "Keep it" }),
    },
    title: "End a hold at a time",
    hint: "Watchers keep what they see until then. A hold of a rule ends only for the version that waits now.",
    at: "At",
    example: "21:30 or +10m",
    form: "A time is 21:30, +10m from now on, or 2026-11-30 21:30.",
    meant: (date, seconds, isTomorrow) => `${isTomorrow ? "TOMORROW: " : ""}${chosen.format(date)}, in ${counting(seconds)}.`,
    clocks: (seconds) => `The clock of livefeed is ${counting(Math.abs(seconds))} ${seconds > 0 ? "ahead of" : "behind"} the one here, and it counts.`,
    wrong: {
      form: "This is no time. Write 21:30, +10m, 2026-11-30 21:30, or 2026-11-30T21:30:00+01:00.",
      passed: "This time has passed.",
      far: "This is too far ahead: a duration has 7 days at most, and a date is within a year.",
      skipped: "There is no such time on that day: clocks are set forwards over it.",
      twice: "This time comes twice on that day, as clocks are set back. Write it with its offset, as in 2026-10-25T02:30:00+01:00.",
    },
    go: "End the hold then",
  },
};
