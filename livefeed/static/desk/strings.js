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
    drop: "Dropped from the overlay.",
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
  pin: "Pin",
  pinOf: (version) => `Pin version ${short(version)}`,
  isShown: "watchers see it",
  rules: "Rules",
  noRules: "This feed has no rules.",
  ruleColumns: { name: "Rule", kind: "Check", action: "Action", command: "Let everything pass for" },
  rulePass: (rule, seconds) => `Let everything pass the rule ${rule} for ${counting(seconds)}`,
  minutes: (seconds) => (seconds < 3600 ? `${seconds / 60} min` : `${seconds / 3600} h`),
  releasedUntil: (time) => `lets everything pass until ${time}`,
  overlay: "Overlay",
  noOverlay: "The document is that of the source, byte for byte.",
  overlayHint: "Values that an editor has put in place of the source's. livefeed ctl overlay changes them.",
  overlayColumns: { pointer: "Value", value: "Watchers see", hidden: "The source has", command: "Command" },
  overlayRemoved: "(removed)",
  overlayNothing: "(nothing)",
  conflict: (why) => `changes nothing: ${why}`,
  drop: "Drop",
  dropOf: (pointer) => `Drop ${pointer} from the overlay`,
};
