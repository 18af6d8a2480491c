// The map: each district is a hexagon, in the colour of the party that leads there.

import { element, graphic, write } from "./dom.js";
import { format, strings } from "./strings.js";

const words = strings.election;
const WIDTH = Math.sqrt(3); // of a hexagon whose sides are 1
const MARGIN = 0.4;
const GAP = 0.94; // the size of a hexagon, of the room that it has

function corners(x, y) {
  const points = [];
  for (let corner = 0; corner < 6; corner++) {
    const angle = (Math.PI / 180) * (60 * corner - 90);
    points.push(`${(x + GAP * Math.cos(angle)).toFixed(3)},${(y + GAP * Math.sin(angle)).toFixed(3)}`);
  }
  return points.join(" ");
}

export class Tiles {
  constructor(choose) {
    this.choose = choose;
    this.shape = "";
    this.tiles = new Map();
    this.picture = graphic("svg", { class: "tiles", role: "img", "aria-label": words.mapLabel });
    this.card = new Card();
    this.element = element("div", {}, this.picture, element("p", { class: "note" }, words.mapHint), this.card.element);
  }

  update(night, chosen) {
    const { parties, districts } = night;
    const shape = districts.map(({ name, x, y }) => `${name} ${x} ${y}`).join();
    if (shape !== this.shape) this.lay(districts, shape);
    const colors = new Map(parties.map((party) => [party.key, party.color]));
    for (const district of districts) {
      const { tile, dot } = this.tiles.get(district.name);
      const color = colors.get(district.leader);
      tile.classList.toggle("open", color === undefined);
      tile.style.fill = color ?? "";
      tile.style.fillOpacity = color === undefined ? "" : String(0.35 + 0.65 * (district.counted / 100));
      tile.classList.toggle("chosen", district.name === chosen);
      dot.toggleAttribute("hidden", !(district.leader && district.before && district.leader !== district.before));
    }
    if (chosen !== null) this.picture.append(this.tiles.get(chosen)?.group ?? "");
    const picked = districts.find((district) => district.name === chosen);
    this.card.update(night, picked ?? closest(districts), picked === undefined);
  }

  lay(districts, shape) {
    this.shape = shape;
    this.tiles.clear();
    const groups = districts.map((district) => {
      const x = WIDTH * (district.x + (district.y % 2) / 2);
      const y = 1.5 * district.y;
      const tile = graphic("polygon", { points: corners(x, y), class: "tile" });
      const dot = graphic("circle", { cx: x.toFixed(3), cy: String(y), r: "0.2", class: "flip" });
      const group = graphic("g", { onclick: () => this.choose(district.name), onpointerenter: (event) => event.pointerType === "mouse" && this.choose(district.name) }, graphic("title", {}, district.name), tile, dot);
      this.tiles.set(district.name, { tile, dot, group });
      return group;
    });
    const xs = districts.map(({ x, y }) => WIDTH * (x + (y % 2) / 2));
    const ys = districts.map(({ y }) => 1.5 * y);
    const left = Math.min(...xs) - WIDTH / 2 - MARGIN;
    const top = Math.min(...ys) - 1 - MARGIN;
    const width = Math.max(...xs) + WIDTH / 2 + MARGIN - left;
    const height = Math.max(...ys) + 1 + MARGIN - top;
    this.picture.setAttribute("viewBox", [left, top, width, height].map((value) => value.toFixed(2)).join(" "));
    this.picture.replaceChildren(...groups);
  }
}

// Gives the district whose race is the closest, of those with at least half of their votes.
function closest(districts) {
  let best = null;
  let least = Infinity;
  for (const district of districts) {
    const [first, second] = [...district.votes].sort((a, b) => b - a);
    const lead = district.counted < 50 || second === undefined ? Infinity : (first - second) / first;
    if (lead < least) [best, least] = [district, lead];
  }
  return best ?? districts.find((district) => district.counted > 0) ?? districts[0] ?? null;
}

// The facts of one district.
class Card {
  constructor() {
    this.kicker = element("p", { class: "kicker" }, words.closest);
    this.title = element("h3");
    this.facts = element("p", { class: "note" });
    this.bars = element("ul", { class: "shares" });
    this.element = element("div", { class: "district" }, this.kicker, this.title, this.facts, this.bars);
  }

  update({ parties }, district, isClosest) {
    this.element.hidden = district === null;
    if (district === null) return;
    this.kicker.hidden = !isClosest || district.counted < 50;
    write(this.title, district.name);
    const sum = district.votes.reduce((total, votes) => total + votes, 0);
    const before = parties.find((party) => party.key === district.before);
    const facts = [words.progress(format.percent(district.counted))];
    if (before) facts.push(words.heldBy(before.name));
    write(this.facts, sum === 0 ? words.noVotes : facts.join(" · "));
    const order = parties.map((party, place) => ({ party, votes: district.votes[place] })).sort((a, b) => b.votes - a.votes);
    while (this.bars.children.length < order.length) this.bars.append(shareRow());
    while (this.bars.children.length > order.length) this.bars.lastChild.remove();
    for (const [place, { party, votes }] of order.entries()) {
      const [name, bar, share] = this.bars.children[place].children;
      write(name, party.name);
      bar.firstChild.style.inlineSize = `${sum === 0 ? 0 : (100 * votes) / order[0].votes}%`;
      bar.firstChild.style.background = party.color;
      write(share, sum === 0 ? "–" : format.percent((100 * votes) / sum));
    }
  }
}

const shareRow = () =>
  element("li", {}, element("span", { class: "name" }), element("span", { class: "bar" }, element("span", { class: "fill" })), element("span", { class: "number" }));
