// The calculator: the arithmetic of livefeed/planning/estimate.py, and a form with sliders.
// Rule: a figure is never shown with more than two digits, and always as a range.
"use strict";

const RULES = {
  segmentBytes: 1448,
  packetBytes: [40, 66],
  recordBytes: 16384,
  recordOverhead: 22,
  slowness: [1, 2],
  versionUs: [300, 1000],
  versionByteUs: [0.03, 0.1],
  busy: 0.6,
  kernelBytes: 6 * 1024,
  mostConnectionBytes: 48 * 1024,
  processBytes: [45e6, 70e6],
  keptVersions: [3, 20],
};

const sum = (ranges, start = [0, 0]) => ranges.reduce(([a, b], [c, d]) => [a + c, b + d], start);
const times = ([low, high], factor) => [low * factor, high * factor];
const both = ({ low, high }) => [low, high];

function costAt({ points, slope }, size) {
  const [first, last] = [points[0], points[points.length - 1]];
  if (size <= first.size) return both(first.cost);
  for (let i = 1; i < points.length; i++) {
    const [before, after] = [points[i - 1], points[i]];
    if (size > after.size && after !== last) continue;
    const part = (size - before.size) / (after.size - before.size);
    const [from, to] = [both(before.cost), both(after.cost)];
    const found = [0, 1].map((k) => Math.max(from[k] + (to[k] - from[k]) * part, 0));
    return [Math.min(...found), Math.max(...found)];
  }
  return sum([both(last.cost), times(both(slope), size - last.size)]);
}

function onTheWire(message, packet) {
  const encrypted = message + RULES.recordOverhead * Math.ceil(message / RULES.recordBytes);
  return encrypted + packet * Math.ceil(encrypted / RULES.segmentBytes);
}

function partOf(way, demand, share) {
  const base = demand.document_bytes * (way.content === "change" ? demand.change : 1);
  const message = both(way.part).map((part) => way.head_bytes + base * part);
  const watchers = demand.watchers * share;
  const eachSecond = watchers / demand.interval_s;
  const sent = message.map((size, k) => onTheWire(size, RULES.packetBytes[k]));
  const cost = message.map((size, k) => costAt(way.cost_us, size)[k] * RULES.slowness[k]);
  return {
    way: way.name,
    watchers,
    message_bytes: message,
    mbit_s: times(sent, eachSecond * 8e-6),
    cores: times(cost, eachSecond * 1e-6),
  };
}

function estimate(model, demand) {
  const mix = Object.entries(demand.mix).filter(([, share]) => share);
  const parts = mix.map(([name, share]) => partOf(model.ways[name], demand, share));
  const mbit = sum(parts.map((part) => part.mbit_s));
  const version = RULES.slowness.map(
    (factor, k) => (RULES.versionUs[k] + RULES.versionByteUs[k] * demand.document_bytes) * factor,
  );
  const cores = sum(
    parts.map((part) => part.cores),
    times(version, 1e-6 / demand.interval_s),
  );
  const processes = Math.max(Math.ceil(cores[1] / RULES.busy), 1);
  const measured = mix.reduce((bytes, [name, share]) => bytes + model.ways[name].memory_bytes * share, 0);
  const least = measured + RULES.kernelBytes;
  const base = RULES.processBytes.map((bytes, k) => bytes + RULES.keptVersions[k] * demand.document_bytes);
  const memory = sum([
    times(base, processes === 1 ? 1 : processes + 1),
    times([least, Math.max(RULES.mostConnectionBytes, least)], demand.watchers),
  ]);
  const connection = both(model.connection_us).map((us, k) => us * (k ? RULES.slowness[1] : 1));
  return {
    parts,
    mbit_s: mbit,
    gigabytes: times(mbit, (demand.hours * 3600) / 8000),
    cores,
    processes,
    memory_bytes: memory,
    crowd_s: times(connection, (1e-6 * demand.watchers) / (RULES.busy * processes)),
  };
}

function rounded(value) {
  if (value < 0.001) return value > 0 ? "<0.001" : "0";
  return Number(value.toPrecision(2)).toLocaleString("en", { maximumFractionDigits: 3 });
}

function span(range) {
  const [low, high] = range.map(rounded);
  return low === high ? low : `${low} to ${high}`;
}

// The sliders are logarithmic where a value may be small or large.
const FIELDS = [
  { name: "watchers", label: "watchers", least: 100, most: 1e6, start: 10000, isLog: true, unit: "" },
  { name: "document_bytes", label: "document", least: 500, most: 2e6, start: 20000, isLog: true, unit: " bytes" },
  { name: "interval_s", label: "a new version every", least: 0.1, most: 60, start: 1, isLog: true, unit: " s" },
  { name: "change", label: "changed part", least: 0.1, most: 100, start: 2.5, isLog: true, unit: " %", factor: 0.01 },
  { name: "hours", label: "length of the night", least: 1, most: 24, start: 8, unit: " h" },
];
const MIX = ["ws-v2-deflated", "ws", "sse-v2", "long-poll", "poll-br"];
const START = { "ws-v2-deflated": 90, "poll-br": 10 };

function slider(field) {
  const input = document.createElement("input");
  const position = (value) => (field.isLog ? Math.log10(value) : value);
  const step = field.isLog ? "any" : 1;
  Object.assign(input, { type: "range", min: position(field.least), max: position(field.most), step });
  input.value = position(field.start);
  const shown = document.createElement("output");
  const value = () => Number((field.isLog ? 10 ** Number(input.value) : Number(input.value)).toPrecision(2));
  const show = () => {
    const text = rounded(value()) + field.unit;
    shown.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  show();
  const label = document.createElement("label");
  const name = document.createElement("span");
  name.textContent = field.label;
  label.append(name, input, shown);
  return { label, input, show, value: () => value() * (field.factor ?? 1) };
}

function rowOf([name, text]) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  row.append(head);
  row.insertCell().textContent = text;
  return row;
}

function build(root, model) {
  const fields = FIELDS.map((field) => ({ name: field.name, ...slider(field) }));
  const ways = MIX.filter((name) => model.ways[name]);
  const shares = ways.map((name) => ({
    name,
    ...slider({ label: model.ways[name].text, least: 0, most: 100, start: START[name] ?? 0, unit: "" }),
  }));
  const heading = document.createElement("p");
  heading.textContent = "Ways to follow, as parts of the watchers:";
  const results = document.createElement("table");
  results.setAttribute("aria-live", "polite");
  root.replaceChildren(...fields.map(({ label }) => label), heading, ...shares.map(({ label }) => label), results);

  const update = () => {
    const total = shares.reduce((all, { value }) => all + value(), 0);
    const demand = Object.fromEntries(fields.map(({ name, value }) => [name, value()]));
    demand.mix = Object.fromEntries(shares.map(({ name, value }) => [name, total ? value() / total : 0]));
    const found = estimate(model, demand);
    const rows = [
      ["sent", `${span(found.mbit_s)} Mbit/s`],
      [`sent in ${demand.hours} hours`, `${span(found.gigabytes)} GB`],
      ["processors, busy", `${span(found.cores)} cores`],
      ["to plan with", found.processes === 1 ? "one process" : `--workers ${found.processes}`],
      ["memory", `${span(times(found.memory_bytes, 1e-6))} MB`],
      ["until all have connected", `${span(found.crowd_s)} s`],
    ];
    results.replaceChildren(...rows.map(rowOf));
  };
  for (const { input, show } of [...fields, ...shares]) {
    input.addEventListener("input", () => {
      show();
      update();
    });
  }
  update();
}

if (typeof module !== "undefined") module.exports = { estimate, rounded };
else {
  document.addEventListener("DOMContentLoaded", () => {
    const root = document.getElementById("calculator");
    if (root) build(root, window.livefeedModel);
  });
}
