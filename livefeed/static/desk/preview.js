// What a change of the overlay would do, in sentences.

import { strings } from "./strings.js";

const MOST_PLACES = 3;

// Gives the sentences, each with a tone: "good", "bad", or "" for neither.
// answer: that of livefeed to the preview. before: the entries of now.
export function sentences(answer, pointer, before) {
  const { effect, rule, why, state } = answer;
  const entry = answer.overlay.find((each) => each.pointer === pointer);
  const { places, conflicts, changes, value } = entry;
  const said = [];
  const words = strings.preview;
  for (const conflict of conflicts.slice(0, MOST_PLACES)) said.push({ text: changes === 0 ? words.nothing(conflict.why) : words.conflict(conflict.pointer, conflict.why), tone: "bad" });
  for (const place of places.slice(0, MOST_PLACES)) said.push({ text: words.place(place.pointer, place.hidden, value), tone: "" });
  if (changes > MOST_PLACES) said.push({ text: words.more(changes - MOST_PLACES), tone: "" });
  if (effect === "unknown") said.push({ text: words.unknown, tone: "" });
  else if (effect === "waits") said.push({ text: rule ? words.rule(rule, why) : words.waits(strings.states[state] ?? state), tone: rule ? "bad" : "" });
  else if (changes > 0) said.push({ text: effect === "shown" ? words.shown : words.same, tone: effect === "shown" ? "good" : "" });
  const earlier = before.find((each) => each.pointer === pointer);
  if (earlier !== undefined) said.push({ text: words.replaces(earlier.by, earlier.value), tone: "" });
  return said;
}
