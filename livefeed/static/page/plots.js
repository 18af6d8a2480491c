// Curves of the server's watchers, deliveries and delays. uPlot is loaded when a reader opens them.

import { element, movesLess, write } from "./dom.js";
import { strings } from "./strings.js";

const words = strings.plots;
const PAUSE_MS = 2000;
const CALM_MS = 10_000; // for readers with a preference for less motion
const LONGEST_MS = 60_000;
const ANSWER_MS = 10_000;
const HEIGHT_REM = 9;

// Steps of an axis: 1, 2 and 5, and their multiples by powers of ten.
const steps = (least) => Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** (power + least))).flat();
const CURVES = { watchers: steps(0), deliveries: steps(0), delay: steps(-1) };
const MEMBERS = { watchers: "watchers", deliveries: "deliveries", delay: "delay_ms" };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

let loading = null;

// Loads uPlot once. A failure is no reason to give up.
function load() {
  loading ??= loadFiles().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function loadFiles() {
  const style = element("link", { rel: "stylesheet", href: new URL("./vendor/uPlot.min.css", import.meta.url).href });
  const script = element("script", { src: new URL("./vendor/uPlot.iife.min.js", import.meta.url).href });
  await Promise.all([style, script].map(added));
  return window.uPlot;
}

function added(file) {
  return new Promise((resolve, reject) => {
    file.addEventListener("load", resolve);
    file.addEventListener("error", () => {
      file.remove();
      reject(new Error(file.tagName));
    });
    document.head.append(file);
  });
}

// One curve, with its newest value and its range as text, which is all that a screen reader needs.
class Curve {
  constructor(uPlot, name) {
    this.uPlot = uPlot;
    this.name = name;
    this.data = [[], []];
    this.value = element("strong");
    this.range = element("span", { class: "note" });
    this.canvas = element("div", { class: "canvas", "aria-hidden": "true" });
    this.element = element(
      "figure",
      {},
      element("figcaption", {}, element("h3", {}, words[name]), element("p", {}, this.value, " ", this.range)),
      this.canvas,
      element("p", { class: "note" }, words.hints[name]),
    );
    this.plot = null;
  }

  update(values, interval) {
    this.data = [values.map((_, place) => (place - values.length + 1) * interval), values];
    this.interval = interval;
    if (this.plot === null) this.begin();
    else this.plot.setData(this.data);
    this.say(this.plot.cursor.idx ?? null);
  }

  begin() {
    this.rem = rem();
    const soft = () => colour("--soft");
    const font = `${0.7 * rem()}px system-ui, sans-serif`;
    this.plot = new this.uPlot(
      {
        ...this.size(),
        legend: { show: false },
        padding: [0.4 * rem(), 1.2 * rem(), 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: "livefeed" } },
        scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(most * 1.08, this.name === "delay" ? 0.1 : 1)] } },
        axes: [
          {
            stroke: soft,
            font,
            size: 1.6 * rem(),
            space: 4 * rem(),
            incrs: [5, 10, 30, 60],
            grid: { show: false },
            ticks: { show: false },
            values: (_, places) => places.map((place) => words.ago(-place)),
          },
          {
            stroke: soft,
            font,
            size: (_, labels) => (Math.max(...(labels ?? [""]).map((one) => one.length)) * 0.42 + 0.8) * rem(),
            space: 2 * rem(),
            incrs: CURVES[this.name],
            grid: { stroke: () => colour("--line"), width: 1 },
            ticks: { show: false },
            values: (_, places) => places.map(words.value),
          },
        ],
        series: [
          {},
          { stroke: () => colour("--accent"), fill: () => `${colour("--accent")}22`, width: 0.12 * rem(), spanGaps: true, points: { show: false } },
        ],
        hooks: { setCursor: [(plot) => this.say(plot.cursor.idx ?? null)] },
      },
      this.data,
      this.canvas,
    );
  }

  size() {
    return { width: Math.max(100, Math.floor(this.canvas.clientWidth)), height: Math.round(HEIGHT_REM * rem()) };
  }

  // Takes the width that there is now, and the size of the text, which differs from screen to screen.
  fit() {
    if (this.plot === null) return;
    if (this.rem === rem()) {
      this.plot.setSize(this.size());
      return;
    }
    this.plot.destroy();
    this.begin();
  }

  redraw() {
    this.plot?.redraw(false, true);
  }

  // place: that of the value to say, under the pointer; null for the newest one.
  say(place) {
    const [times, values] = this.data;
    const known = values.filter((value) => value !== null);
    const pointed = place === null ? null : (values[place] ?? null);
    write(this.value, words.value(pointed ?? known.at(-1) ?? null));
    if (pointed !== null) write(this.range, words.ago(-times[place]));
    else if (known.length === 0) write(this.range, words.none);
    else write(this.range, words.range(...[Math.min(...known), Math.max(...known)].map(words.value), words.span(values.length * this.interval)));
  }
}

export class Plots {
  constructor() {
    this.curves = null;
    this.failures = 0;
    this.timer = null;
    this.isAsking = false;
    this.trouble = element("p", { class: "notice", role: "status", hidden: true });
    this.figures = element("div", { class: "plots" });
    this.element = element(
      "details",
      { class: "panel", ontoggle: () => this.askNow() },
      element("summary", {}, element("h2", {}, words.title)),
      element("p", { class: "note" }, words.intro),
      this.trouble,
      this.figures,
    );
    document.addEventListener("visibilitychange", () => this.askNow());
    const redraw = () => this.each((curve) => curve.redraw());
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new ResizeObserver(() => this.each((curve) => curve.fit())).observe(this.figures);
  }

  each(what) {
    for (const curve of this.curves ?? []) what(curve);
  }

  askNow() {
    clearTimeout(this.timer);
    if (this.element.open && !document.hidden && !this.isAsking) this.ask();
  }

  async ask() {
    this.isAsking = true;
    try {
      const uPlot = await load();
      const answer = await fetch("-/figures.json", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      this.show(uPlot, await answer.json());
      this.failures = 0;
    } catch {
      this.failures++;
      this.complain(words.failed);
    }
    this.isAsking = false;
    clearTimeout(this.timer);
    const pause = Math.min((movesLess() ? CALM_MS : PAUSE_MS) * 2 ** this.failures, LONGEST_MS);
    this.timer = setTimeout(() => this.askNow(), pause * (0.75 + Math.random() / 2));
  }

  show(uPlot, figures) {
    const isEmpty = figures.watchers.length === 0;
    this.complain(isEmpty ? words.empty : "");
    this.figures.hidden = isEmpty;
    if (isEmpty) return;
    if (this.curves === null) {
      this.curves = Object.keys(CURVES).map((name) => new Curve(uPlot, name));
      this.figures.replaceChildren(...this.curves.map((curve) => curve.element));
    }
    this.each((curve) => curve.update(figures[MEMBERS[curve.name]], figures.interval_s));
  }

  complain(text) {
    write(this.trouble, text);
    this.trouble.hidden = text === "";
  }
}
