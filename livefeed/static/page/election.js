// An election night: the headline, the seats, the parties, the map and the districts.

import { Bars } from "./bars.js";
import { Coalition } from "./coalition.js";
import { Districts } from "./districts.js";
import { element, write } from "./dom.js";
import { Hemicycle } from "./hemicycle.js";
import { format, strings } from "./strings.js";
import { Tiles } from "./tiles.js";

const words = strings.election;
const COLOR = /^#[0-9a-f]{6}$/i;
const isCount = (value) => Number.isFinite(value) && value >= 0;

// Whether a document has the members of an election. Others are shown as any document.
export function isElection(value) {
  const { parties, districts, seats, counted, turnout } = value;
  return (
    Array.isArray(parties) && parties.length > 0 && parties.length <= 40 &&
    parties.every((party) => typeof party.key === "string" && typeof party.name === "string" && COLOR.test(party.color) &&
      isCount(party.votes) && isCount(party.percent) && isCount(party.seats) && isCount(party.before?.percent)) &&
    Array.isArray(districts) && districts.length <= 2000 &&
    districts.every((district) => typeof district.name === "string" && isCount(district.x) && isCount(district.y) &&
      district.x < 200 && district.y < 200 && isCount(district.counted) &&
      Array.isArray(district.votes) && district.votes.length === parties.length && district.votes.every(isCount)) &&
    isCount(seats?.total) && seats.total <= 2000 && isCount(seats.majority) && typeof seats.method === "string" &&
    isCount(counted?.percent) && isCount(counted.districts) && isCount(counted.of) && isCount(turnout?.percent)
  );
}

export class Election {
  constructor() {
    this.chosen = null;
    const choose = (name) => this.choose(name);
    this.headline = element("h2", { class: "headline" });
    this.subline = element("p", { class: "subline" });
    this.progress = element("progress", { max: "100", "aria-label": words.countedShare });
    this.hemicycle = new Hemicycle();
    this.bars = new Bars();
    this.coalition = new Coalition();
    this.tiles = new Tiles(choose);
    this.districts = new Districts(choose);
    this.method = element("p", { class: "note" });
    const heading = (text) => element("h2", {}, text);
    this.element = element(
      "article",
      { class: "election" },
      element("header", { class: "lead" }, this.headline, this.subline, this.progress),
      element("section", { class: "seats card" }, heading(words.seats), this.hemicycle.element, this.method),
      element("section", { class: "votes card" }, heading(words.votes), this.bars.element, this.coalition.element),
      element("section", { class: "map card" }, heading(words.map), this.tiles.element),
      element("section", { class: "districts card" }, heading(words.districts), this.districts.element),
    );
  }

  update(night) {
    this.night = night;
    const { counted, turnout, seats } = night;
    write(this.headline, headline(night));
    const facts = [
      counted.percent === 100 ? words.final : words.progress(format.percent(counted.percent)),
      words.declared(counted.districts, counted.of),
      words.turnout(format.percent(turnout.percent)),
    ];
    write(this.subline, facts.join(" · "));
    this.progress.value = counted.percent;
    write(this.method, words.seatsMethod(seats.total, seats.majority, seats.method));
    this.hemicycle.update(night);
    this.bars.update(night);
    this.coalition.update(night);
    this.tiles.update(night, this.chosen);
    this.districts.update(night, this.chosen);
  }

  choose(name) {
    this.chosen = name;
    this.tiles.update(this.night, name);
    this.districts.update(this.night, name);
  }
}

function headline({ parties, seats, counted }) {
  const first = parties.reduce((best, party) => (party.votes > best.votes ? party : best));
  if (first.votes === 0) return words.tied;
  const done = counted.percent === 100;
  if (!done) return words.leads(first.name, first.seats, seats.total);
  return first.seats >= seats.majority ? words.majority(first.name) : words.strongest(first.name, first.seats, seats.total);
}
