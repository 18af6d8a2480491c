// All texts of the page, for translation: another language is another file of this form.

const LANGUAGE = "en";
const whole = new Intl.NumberFormat(LANGUAGE);
const oneDigit = new Intl.NumberFormat(LANGUAGE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const upToOneDigit = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 1 });
const signed = new Intl.NumberFormat(LANGUAGE, { signDisplay: "exceptZero" });
const signedDigit = new Intl.NumberFormat(LANGUAGE, {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
  signDisplay: "exceptZero",
});
const clock = new Intl.DateTimeFormat(LANGUAGE, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

const calendar = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium", timeStyle: "short" });

const counted = (count, one, many) => `${whole.format(count)} ${count === 1 ? one : many}`;

export const format = {
  whole: (value) => whole.format(value),
  percent: (value) => `${oneDigit.format(value)}\u202f%`,
  change: (value) => signed.format(value),
  pointsChange: (value) => signedDigit.format(value),
  time: (date) => clock.format(date),
  bytes: (value) =>
    value < 1000 ? `${value} B` : value < 1e6 ? `${oneDigit.format(value / 1e3)} KB` : `${oneDigit.format(value / 1e6)} MB`,
  compare: new Intl.Collator(LANGUAGE, { numeric: true, sensitivity: "base" }).compare,
};

function duration(seconds) {
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

// A time that is counted up before a reader's eyes: in two units, which stay on one line.
export function counting(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  if (all < 60) return `${all}\u00a0s`;
  if (all < 3600) return `${Math.floor(all / 60)}\u00a0min ${all % 60}\u00a0s`;
  if (all < 86_400) return `${Math.floor(all / 3600)}\u00a0h ${Math.floor((all % 3600) / 60)}\u00a0min`;
  return `${counted(Math.floor(all / 86_400), "day", "days")} ${Math.floor((all % 86_400) / 3600)}\u00a0h`;
}

// A time of today, and with the date if it is not of today.
function moment(date) {
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : calendar.format(date);
}

export const strings = {
  // No script can write this text, so the server puts it into the page, with the address of the document behind it. It
  // reads this line, and that of LANGUAGE: each is a literal in double quotes, without HTML.
  noscript: "This page needs JavaScript. Without it, the document is here:",
  skip: "Skip to the document",
  tools: "Tools",
  allFeeds: "All feeds",
  themes: { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" },

  states: {
    live: "Live",
    stale: "Stale",
    held: "Held back",
    ended: "Final",
    expired: "Expired",
    withdrawn: "Withdrawn",
    waiting: "Waiting",
    connecting: "Connecting",
    offline: "Offline",
    protected: "Protected",
  },
  explanations: {
    live: "",
    stale: "The source gives no document at present. This is the last one that it gave.",
    held: "This is the last version that was released.",
    ended: "This is the final version. No more versions will come.",
    expired: "The document is too old to be shown. The next one appears here as soon as there is one.",
    withdrawn: "The publisher has withdrawn the document. If there is another one, it appears here.",
    waiting: "This feed has no document yet. The first one appears here as soon as there is one.",
    connecting: "The document is being loaded.",
    offline: "There is no connection to the server at present. This page tries again by itself.",
    protected: "This feed requires a token, and this page has none that is good. Sign in where you got this address, or follow the feed with a client that sends a token.",
  },
  overlaid: (names) => {
    const [first, more] = [names.slice(0, 5), names.length - 5];
    return `Changed by an editor: ${first.map((name) => name || "the whole document").join(", ")}${more > 0 ? ` and ${more} more` : ""}.`;
  },
  overlaidTitle: "Values of an editor",
  overlaidValue: "An editor has put this value in place of that of the source.",
  heldAlone: "The publisher keeps this version for now.",
  waiting: (seconds) => `A newer version is being checked. It has been waiting for ${counting(seconds)}.`,
  staleSince: (date) => `The source has given no document since ${moment(date)}. This is the last one that it gave.`,
  reason: (why) => `Reason: ${why}`,
  unknownState: (state) => `This page does not know the state “${state}”, so it shows no document.`,
  announcement: (title, state, explanation) => `${title}: ${state}. ${explanation}`.trim(),
  ageUnknown: "age unknown",
  fresh: "confirmed just now",
  age: (seconds) => `confirmed ${duration(seconds)} ago`,
  next: (seconds) => (seconds < 1 ? "next check now" : `next check in ${duration(seconds)}`),
  version: (version) => `Version ${version.slice(0, 8)}`,

  wholeDocument: "The whole document",
  entries: (count) => counted(count, "entry", "entries"),
  rows: (count) => counted(count, "row", "rows"),
  more: (count) => `Show ${whole.format(count)} more`,
  moreCharacters: (count) => `… and ${counted(count, "character", "characters")} more`,
  root: "(document)",
  table: (name) => `Table: ${name}`,
  expand: "Expand all",
  fold: "Fold all",

  search: "Search",
  searchHint: "Names and values",
  matches: (at, of, path) => (of === 0 ? "Nothing found" : `${at} of ${of}: ${path}`),
  previousMatch: "Previous match",
  nextMatch: "Next match",

  history: "History",
  historySlider: "Version shown",
  historyCompare: "Compare with another version",
  historyOther: "Version to compare with",
  historyLive: "newest version",
  historyAt: (ago, time) => `${duration(ago)} ago, ${time}`,
  historyEmpty: "The slider goes back over the versions that arrived since this page was opened.",
  historyShown: (ago, time) => `You are looking at an earlier version: ${duration(ago)} ago, ${time}.`,
  backToLive: "Back to the newest version",
  differencesOf: (count, most) =>
    count === 0 ? "No value differs" : `${count >= most ? `The first ${whole.format(most)}` : whole.format(count)} ${count === 1 ? "difference" : "differences"}`,
  columns: { path: "Value", before: "Before", after: "After" },
  added: "added",
  removed: "removed",

  connection: "Connection",
  transport: "Transport",
  transports: { websocket: "WebSocket", events: "Event stream", "long-poll": "Long poll", poll: "Polling" },
  transportNone: "none yet",
  transportClosed: "none is needed: the document is final",
  received: "Received",
  receivedOf: (bytes, versions) => `${format.bytes(bytes)} for ${counted(versions, "version", "versions")}`,
  perVersion: "For each version",
  ofDocument: (bytes, share) => `${format.bytes(bytes)}, ${format.percent(share)} of the document`,
  size: "Size of the document",
  documentSize: (bytes) => format.bytes(bytes),
  verified: "Verified",
  isVerified: "Yes: the hash of the bytes is the version",
  notVerified: "Not possible here: the browser computes hashes over HTTPS only",
  switchTransport: "Use this transport",

  howto: "Use this feed",
  howtoIntro: "The lines below work as they are. Pages of other sites may use them if the operator allows their origin.",
  languages: { javascript: "JavaScript", curl: "curl", python: "Python" },
  copy: "Copy",
  copied: "Copied",

  election: {
    leads: (party, seats, total) => `${party} lead with ${whole.format(seats)} of ${whole.format(total)} seats`,
    majority: (party) => `${party} win a majority`,
    strongest: (party, seats, total) => `${party} come first with ${whole.format(seats)} of ${whole.format(total)} seats`,
    tied: "No votes are counted yet",
    noMajority: (missing) => `${counted(missing, "seat", "seats")} short of a majority`,
    overMajority: (more) => (more === 0 ? "exactly a majority" : `${counted(more, "seat", "seats")} more than needed`),
    progress: (percent) => `${percent} of the votes are counted`,
    final: "Final result",
    declared: (count, of) => `${whole.format(count)} of ${whole.format(of)} districts are complete`,
    turnout: (percent) => `Turnout ${percent}`,
    seats: "Seats",
    seatsIn: (count) => counted(count, "seat", "seats"),
    seatsMethod: (total, majority, method) =>
      `${whole.format(total)} seats, divided by the method of ${method}. A majority has ${whole.format(majority)}.`,
    majorityMark: "Majority",
    hemicycle: (parties) => `Seats from left to right: ${parties}.`,
    votes: "Votes",
    share: "Share",
    change: "Change",
    changeHint: "Change since the last election, in percentage points",
    party: "Party",
    districts: "Districts",
    district: "District",
    leader: "First",
    second: "Second",
    lead: "Lead",
    countedShare: "Counted",
    gain: "gain",
    map: "Map",
    mapHint: "Each hexagon is a district, in the colour of the party that leads there. Its colour is faint until all votes are counted. A dot marks a district that changes hands.",
    mapLabel: "Map of the districts. The table of districts has the same facts.",
    closest: "The closest race so far",
    noVotes: "No votes are counted here yet.",
    coalition: "Build a majority",
    coalitionHint: "Choose parties to add up their seats.",
    filter: "Find a district",
    heldBy: (party) => `won by ${party} at the last election`,
  },

  index: {
    title: "Feeds",
    feed: "Feed",
    state: "State",
    age: "Confirmed",
    version: "Version",
    interval: "Interval",
    fresh: "just now",
    ago: (seconds) => `${duration(seconds)} ago`,
    unknown: "unknown",
    seconds: (value) => `${value} s`,
    unreachable: "The list cannot be loaded at present. This page tries again by itself.",
  },

  plots: {
    title: "Watchers and deliveries",
    intro: "All feeds of this server together, once a second.",
    watchers: "Watchers",
    deliveries: "Deliveries per second",
    delay: "Delay in ms",
    hints: {
      watchers: "Readers by WebSocket, by an event stream or by a request that waits. Polls are not counted.",
      deliveries: "Documents and updates that watchers are sent, over the last five seconds.",
      delay: "From the beginning of a pull to the last delivery of its version.",
    },
    value: (value) => (value === null ? "–" : (value < 10 ? upToOneDigit : whole).format(value)),
    range: (least, most, span) => (least === most ? `the same for ${span}` : `${least} to ${most} in the last ${span}`),
    span: (seconds) => duration(Math.round(seconds)),
    none: "no value yet",
    ago: (seconds) => {
      if (seconds < 60) return seconds === 0 ? "now" : `−${seconds} s`;
      const rest = seconds % 60 === 0 ? "" : `:${String(seconds % 60).padStart(2, "0")}`;
      return `−${Math.floor(seconds / 60)}${rest} min`;
    },
    failed: "The figures cannot be loaded at present. This page tries again by itself.",
    empty: "There are no figures yet.",
  },
};
