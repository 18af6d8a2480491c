/**
 * The dashboard: it follows the document of an election night and hands each version to the parts of the page.
 *
 * The parts know nothing of livefeed: they draw a document, and what has changed since the version before.
 */

import { follow } from "http://localhost:8080/-/livefeed.js";
import { compare } from "./changes.js";
import { showChanges } from "./log.js";
import { Districts } from "./districts.js";
import { at, number, put } from "./elements.js";
import { Parliament } from "./parliament.js";
import { Parties } from "./parties.js";
import { showState } from "./state.js";

const parliament = new Parliament(at("parliament"), at("majority"));
const parties = new Parties(at("parties"), (together) => parliament.choose(together));
const districts = new Districts(at("districts"), at("find"), at("found"));

/** The version that is on the page; undefined while none is. */
let before;

function draw(data, meta) {
  showState(data, meta);
  if (data === undefined || data === before) {
    before = data;
    return;
  }
  const changes = compare(before, data);
  put(at("title"), data.title);
  put(at("counted-text"), `${number(data.counted.percent, 1)} %`);
  put(at("counted-districts"), `${data.counted.districts} of ${data.counted.of} districts are complete`);
  at("counted").value = data.counted.percent;
  parliament.draw(data);
  parties.draw(data, changes);
  districts.draw(data, changes);
  showChanges(at("changes"), changes, data.parties);
  before = data;
}

const feed = follow("http://localhost:8080/feed");
feed.subscribe(draw);

function showAge() {
  const age = feed.age();
  const isShown = feed.data !== undefined && age !== null;
  put(at("age"), isShown ? `confirmed ${number(age / 1000)} s ago` : "");
  const facts = [feed.transport && `Comes by ${feed.transport}`, feed.verified && "each version is verified"];
  put(at("facts"), facts.filter(Boolean).join(", "));
}
setInterval(showAge, 1000);
