// Puts the page together: what the server says goes into stores, what a person chooses goes into `place`, both are drawn.

import { Scale } from "./colours.js";
import { chosen as chosenTable, health as healthTables, score as scoreTable, troubles } from "./health.js";
import { Link } from "./link.js";
import { Legend, Maps } from "./map.js";
import { OrderDialog } from "./order.js";
import * as places from "./place.js";
import { SaidList } from "./said.js";
import { Series } from "./series.js";
import { Store, remember } from "./store.js";

const get = (id) => document.getElementById(id);
const X = "X.UE.PosX";
const Y = "X.UE.PosY";
const FIRST = { ueBy: "DRB.UEThpDl", cellBy: "RRU.PrbTotDl" };
const FIRST_SERIES = [["qos_flow", "X.DRB.BudgetMissRateDl", "class"], ["cell", "RRU.PrbTotDl", "cell"], ["ue", "DRB.UEThpDl", "all"]];
const LEVELS = { cell: "cell", ue: "UE", slice: "slice", qos_flow: "flow" };
const BY = { cell: ["cell", "all"], ue: ["all", "cell", "ue"], slice: ["slice", "cell", "all"], qos_flow: ["class", "slice", "cell", "ue", "all"] };
const BY_LABEL = { all: "spread over all", cell: "cell", slice: "slice", class: "class (5QI)", ue: "chosen UE" };
const JUST_NOW_S = 0.15;
const SILENT_MS = 3000; // a live network that reports nothing for so long is told
const OF_A_CELL = ["RRU.PrbTotDl", "DRB.UEThpDl", "DRB.MeanActiveUeDl", "PEE.AvgPower", "X.Cell.TxPower", "X.MM.RadioLinkFailures"];
const OF_A_UE = ["DRB.UEThpDl", "CQI", "RSRP", "X.UE.MeanMcsDl", "X.UE.Weight", "X.DRB.HolDelayDl", "X.DRB.BudgetMissRateDl"];

let hello = null;
let store = new Store();
let filling = null;
let place = places.read();
let span = { from: 0, to: 0 };
let newest = 0;
let zoomed = null; // span of RAN time that the chart shows; null shows all
let isPlaying = false;
let heardAt = performance.now(); // when the last report came
let dirty = true;
let toLearn = false; // there are new catalogues
let maps, legends, series, said, link;
let lost = { frames: 0, lines: 0 };
let facts = { pulses: [], fates: [], health: null, page: null, over: null, score: null, handlers: null };
let connection = { state: "waiting", text: "connecting" };
const reportedAt = new Map(); // node -> when it was last known to report
const catalogues = new Map();
const standings = new Map();
const alarms = new Map();
const scales = {};

const on = {
  hello(fact) {
    if (hello && hello.started !== fact.started) return location.reload(); // another server: nothing here is its own
    if (!hello) begin(fact);
    said.lines.length = 0; // it tells all that it keeps
    connection = { state: "live", text: "" };
  },
  catalogue(fact) {
    remember(catalogues, fact.node, fact);
    toLearn = true;
  },
  standing: (fact) => remember(standings, fact.node, fact),
  alarms: (fact) => remember(alarms, fact.xapp, fact.active),
  pulse: (fact) => (facts.pulses[fact.w] = fact),
  fates: (fact) => (facts.fates[fact.w] = fact.fates),
  health(fact) {
    facts.health = fact;
    for (const { node, reports_per_s: rate } of fact.nodes) {
      if (rate > 0 || !reportedAt.has(node)) remember(reportedAt, node, performance.now());
    }
  },
  page: (fact) => (facts.page = fact),
  over: (fact) => (facts.over = fact),
  score: (fact) => (facts.score = fact),
  handlers: (fact) => (facts.handlers = fact.handlers),
  span: (fact) => (span = fact),
  lost: (fact) => (lost = fact),
  said: ({ lines }) => said.add(lines),
  restart: () => (newest = 0),
  filling: () => (filling = new Store()),
  filled({ every }) {
    store = filling;
    store.every = every;
    filling = null;
    series.forget();
  },
  frames(frames) {
    heardAt = performance.now();
    for (const frame of frames) {
      (filling ?? store).add(frame);
      if (catalogues.has(frame.node)) remember(catalogues, frame.node, catalogues.get(frame.node));
      newest = Math.max(newest, frame.t);
    }
  },
  closed(reason) {
    connection = { state: "lost", text: reason ? `closed: ${reason}` : "no connection; trying again" };
  },
};
for (const name of Object.keys(on)) {
  const take = on[name];
  on[name] = (fact) => {
    take(fact);
    dirty = true;
  };
}

function begin(fact) {
  hello = fact;
  get("title").textContent = fact.title;
  document.title = `${fact.title || "ranloop"} · ranloop`;
  get("order").hidden = !fact.orders;
  maps = new Maps(get("maps"), fact.worlds, {
    chosen: (hit) => choose(hit ? hit.cell : null, hit ? hit.ue : null),
    stepped: (step) => choose(neighbour(step), null),
    moved: () => (dirty = true),
  });
  legends = { cell: new Legend(get("legends"), "sectors"), ue: new Legend(get("legends"), "UEs") };
  series = new Series(get("chart"), {
    moment: (t) => show(t),
    span: (chosen) => {
      zoomed = chosen;
      dirty = true;
    },
  });
  said = new SaidList(get("said"), { actions: fact.actions, remedies: fact.remedies, worlds: fact.worlds, nameOf });
  const admitted = () => (facts.health?.xapps ?? []).filter((one) => one.admitted).map((one) => one.xapp);
  new OrderDialog(() => [...catalogues.keys()].sort(), () => [...new Set([...said.xapps(), ...admitted()])].sort());
  if (fact.mode === "recording" && place.at === null) place.at = 0;
  if (fact.worlds.length > 1) get("score-panel").hidden = false;
}

function nameOf(kind, id) {
  for (const one of catalogues.values()) {
    if (kind === "cell" && id in one.cells) return one.cells[id];
    if (kind === "slice" && id in one.slices) return `slice ${one.slices[id]}`;
  }
  return kind === "ue" ? `UE ${id}` : kind === "class" || kind === "five_qi" ? `5QI ${id}` : `${kind} ${id}`;
}

// What can be chosen from, once catalogues are known.
function learn() {
  toLearn = false;
  const offered = {};
  for (const level of Object.keys(LEVELS)) {
    offered[level] = [...new Set([...catalogues.values()].flatMap((one) => one.measurements[level] ?? []))].sort();
  }
  const pick = (name, level, first) => (offered[level].includes(name) ? name : offered[level].includes(first) ? first : (offered[level][0] ?? ""));
  place.ueBy = pick(place.ueBy, "ue", FIRST.ueBy);
  place.cellBy = pick(place.cellBy, "cell", FIRST.cellBy);
  options(get("ue-by"), offered.ue.filter((name) => name !== X && name !== Y), place.ueBy);
  options(get("cell-by"), offered.cell, place.cellBy);
  const levels = Object.keys(LEVELS).filter((level) => offered[level].length);
  if (!levels.includes(place.level) || !offered[place.level].includes(place.name)) {
    // A level that a person has chosen stays, and gets a measurement that it has.
    const own = levels.includes(place.level) ? [place.level] : levels;
    const first = FIRST_SERIES.find(([level, name]) => own.includes(level) && offered[level].includes(name));
    const any = [own[0] ?? "cell", offered[own[0]]?.[0] ?? "", ""];
    [place.level, place.name, place.by] = first ?? any;
  }
  if (!BY[place.level].includes(place.by)) place.by = BY[place.level][0];
  options(get("series-level"), levels, place.level, (level) => LEVELS[level]);
  options(get("series-name"), offered[place.level], place.name);
  options(get("series-by"), BY[place.level], place.by, (by) => BY_LABEL[by]);
  const cells = [...catalogues.values()].flatMap((one) => Object.entries(one.cells)).sort((a, b) => a[0] - b[0]);
  options(get("cell"), ["", ...cells.map(([id]) => id)], place.cell === null ? "" : String(place.cell), (id) => (id === "" ? "none" : nameOf("cell", Number(id))));
  if (document.activeElement !== get("ue")) get("ue").value = place.ue ?? "";
  maps.learn(catalogues);
  watch();
}

function options(select, values, value, label = (one) => one) {
  const key = values.join("\n");
  if (select.dataset.key !== key) {
    select.dataset.key = key;
    select.replaceChildren(...values.map((one) => new Option(label(one), one)));
  }
  select.value = value;
}

let asked = 0;
function watch() {
  clearTimeout(asked);
  asked = setTimeout(() => {
    const columns = { ue: new Set([X, Y, place.ueBy]), cell: new Set([place.cellBy]) };
    (columns[place.level] ??= new Set()).add(place.name);
    if (place.cell !== null) OF_A_CELL.forEach((name) => columns.cell.add(name));
    if (place.ue !== null) OF_A_UE.forEach((name) => columns.ue.add(name));
    const lists = Object.entries(columns).map(([level, names]) => [level, [...names].filter(Boolean).sort()]);
    link.watch(Object.fromEntries(lists), zoomed);
  }, 60);
}

function choose(cell, ue) {
  place.cell = cell;
  place.ue = ue;
  changed();
}

function neighbour(step) {
  const cells = [...maps.cells.keys()].sort((a, b) => a - b);
  if (!cells.length) return null;
  const at = cells.indexOf(place.cell);
  return at < 0 ? cells[step > 0 ? 0 : cells.length - 1] : cells[(at + step + cells.length) % cells.length];
}

function changed() {
  if (catalogues.size) learn();
  dirty = true;
}

// Time

function now() {
  return place.at === null ? newest : Math.min(Math.max(place.at, span.from), end());
}

// Of what there is, loaded or not.
function end() {
  return Math.max(newest, span.to);
}

function show(t) {
  place.at = t;
  dirty = true;
}

function step(by) {
  isPlaying = false;
  const times = store.moments(0, place.level);
  if (!times.length) return;
  const t = now();
  const next = by > 0 ? times.find((one) => one > t + 1e-6) : times.findLast((one) => one < t - 1e-6);
  show(next ?? (by > 0 ? times.at(-1) : times[0]));
}

function pause() {
  if (place.at === null) {
    place.at = newest;
    isPlaying = false;
  } else if (isPlaying) isPlaying = false;
  else {
    isPlaying = true;
    if (place.at >= end() - 1e-6 && hello.mode !== "live") place.at = span.from;
  }
  dirty = true;
}

let last = performance.now();
function play(stamp) {
  const passed = (stamp - last) / 1000;
  last = stamp;
  if (!isPlaying || place.at === null) return;
  place.at += passed * Number(get("speed").value);
  if (place.at >= end()) {
    isPlaying = false;
    place.at = hello.mode === "recording" || facts.over ? end() : null;
  }
  dirty = true;
}

// Drawing

function picture(world, t) {
  const cells = new Map();
  for (const frame of store.at(world, "cell", t, place.cellBy)) {
    frame.columns.get("cell").forEach((id, i) => cells.set(id, frame.columns.get(place.cellBy)[i]));
  }
  const values = new Map();
  for (const frame of store.at(world, "ue", t, place.ueBy)) {
    frame.columns.get("ue").forEach((id, i) => values.set(id, frame.columns.get(place.ueBy)[i]));
  }
  const ues = [];
  for (const frame of store.at(world, "ue", t, X)) {
    const [ids, own, xs, ys] = ["ue", "cell", X, Y].map((name) => frame.columns.get(name));
    for (let i = 0; ys && i < frame.rows; i++) {
      if (!Number.isNaN(xs[i])) ues.push({ id: ids[i], cell: own[i], x: xs[i], y: ys[i], value: values.get(ids[i]) ?? NaN });
    }
  }
  return { cells, ues, struck: struck(world, t) };
}

// Targets of decisions of just now.
function struck(world, t) {
  const found = new Set();
  for (let i = said.lines.length - 1; i >= 0; i--) {
    const line = said.lines[i];
    if (line.t > t) continue;
    if (line.t < t - JUST_NOW_S) break;
    const names = hello.actions[line.action]?.targets ?? [];
    if (line.w === world && line.event === "result") for (const ids of line.targets ?? []) found.add(`${names[0]} ${ids[0]}`);
  }
  return found;
}

function scale(key, name, values) {
  const about = hello.measurements[name];
  if (!about) return null;
  if (scales[key]?.name !== name) scales[key] = Object.assign(new Scale(about), { name });
  scales[key].see(values);
  return scales[key];
}

function draw() {
  const t = now();
  const pictures = hello.worlds.map((_, world) => picture(world, t));
  const used = {
    cell: scale("cell", place.cellBy, pictures.flatMap((one) => [...one.cells.values()])),
    ue: scale("ue", place.ueBy, pictures.flatMap((one) => one.ues.map((ue) => ue.value))),
  };
  if (used.cell && used.ue) maps.draw(pictures, used, { cell: place.cell, ue: place.ue });
  legends.cell.show(place.cellBy, used.cell);
  legends.ue.show(place.ueBy, used.ue);
  drawSeries();
  drawWords(t);
  places.write(place);
}

function drawSeries() {
  const about = hello.measurements[place.name];
  if (!about) return;
  const what = { level: place.level, name: place.name, by: place.by, unit: about.unit, chosen: { cell: place.cell, ue: place.ue }, nameOf };
  const marks = said.lines.filter((line) => line.event === "order" || line.event === "alarm_raised").map((line) => line.t);
  const drawn = series.draw(store, hello.worlds, what, place.at, marks);
  const more = [
    drawn.n ? "" : "Nothing was reported yet.",
    drawn.left ? `${drawn.groups} of ${drawn.groups + drawn.left} lines.` : "",
    store.every > 1 ? `Every ${store.every}th report; drag over a span to see all of it.` : "",
    zoomed ? "Double click shows all." : "Click shows a moment on the map, drag zooms.",
  ];
  get("series-note").textContent = `${about.definition}. ${more.filter(Boolean).join(" ")}`;
}

function drawWords(t) {
  const killed = [...standings.values()].filter((one) => one.killed).map((one) => one.node);
  const isLost = connection.state === "lost";
  const silentMs = performance.now() - heardAt;
  const isStalled = hello.mode !== "recording" && !facts.over && newest > 0 && silentMs > patienceMs();
  const state = isLost ? "lost" : killed.length ? "killed" : place.at !== null ? "paused" : facts.over ? "over" : isStalled ? "stalled" : connection.state;
  const word = { stalled: `no report for ${Math.round(silentMs / 1000)} s`, lost: connection.text, killed: `killed: ${killed.join(", ")}`, paused: isPlaying ? "playing" : "paused", over: "ended", waiting: "connecting", live: hello.mode === "recording" ? "recording" : "live" };
  setText(get("state"), isLost || !facts.over || state === "over" ? word[state] : `${word[state]}, ended`);
  get("state").dataset.state = state;
  const serious = [...alarms.values()].flat().filter((one) => one.severity === "critical" || one.severity === "major");
  const texts = [...serious.map((one) => `${one.severity}: ${one.name} ${one.target} ${one.text}`), killed.length ? `The kill switch is on at ${killed.join(", ")}.` : "", isStalled ? "No reports come any more." : "", ...troubles({ ...facts, silent: silentNodes() })];
  setText(get("alert"), texts.filter(Boolean).join("  ·  "));
  get("alert").hidden = !get("alert").textContent;
  sums(t);
  options(get("said-xapp"), ["", ...said.xapps()], place.xapp, (one) => one || "all");
  const about = place.about ? { cell: place.cell, ue: place.ue } : null;
  said.draw({ kind: place.kind, xapp: place.xapp, text: place.text, about }, place.at === null ? Infinity : t);
  drawTables(t);
  setText(get("clock"), `${t.toFixed(2)} s`);
  setText(get("pause"), place.at === null ? "Pause" : isPlaying ? "Pause" : "Play");
  const slider = get("time");
  slider.min = span.from;
  slider.max = Math.max(span.to, newest, span.from + 0.1);
  if (document.activeElement !== slider || place.at === null || isPlaying) slider.value = t;
  slider.setAttribute("aria-valuetext", `${t.toFixed(2)} seconds of RAN time`);
}

// Silence is no news before three of the longest granularity periods are over.
function patienceMs() {
  return Math.max(SILENT_MS, ...[...catalogues.values()].map((one) => 3 * (one.longest_ms ?? 0)));
}

// Nodes that report nothing any more while others do. Where none does, perhaps nobody reads.
function silentNodes() {
  const nodes = facts.over ? [] : (facts.health?.nodes ?? []);
  if (!nodes.some((one) => one.reports_per_s > 0)) return [];
  const since = performance.now() - patienceMs();
  return nodes.filter((one) => one.reports_per_s === 0 && reportedAt.get(one.node) < since).map((one) => one.node);
}

function sums(t) {
  const total = { applied: 0, refused: 0, expired: 0, ended: 0 };
  for (const own of facts.fates) for (const [, , name, n] of own ?? []) total[name.split("/")[0]] = (total[name.split("/")[0]] ?? 0) + n;
  const shown = [
    ["RAN time", `${t.toFixed(1)} s`, false],
    ["applied", total.applied.toLocaleString("en"), false],
    ["refused", (total.refused + total.expired).toLocaleString("en"), total.refused + total.expired > 0],
    ["ended", total.ended.toLocaleString("en"), false],
    ["dropped", String(facts.pulses[0]?.dropped ?? 0), facts.pulses[0]?.dropped > 0],
  ];
  const list = get("sums");
  if (list.childElementCount !== shown.length) {
    list.replaceChildren(
      ...shown.map(([name]) => {
        const [pair, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
        term.textContent = name;
        pair.append(term, value);
        return pair;
      }),
    );
  }
  shown.forEach(([, text, isBad], i) => {
    const value = list.children[i].lastChild;
    setText(value, text);
    value.className = isBad ? "bad" : "";
  });
}

const TABLES_MS = 250;
let tablesDue = 0;
let tablesLater = 0;
function drawTables(t) {
  clearTimeout(tablesLater);
  if (performance.now() < tablesDue) {
    tablesLater = setTimeout(() => (dirty = true), TABLES_MS); // the last state is drawn, too
    return;
  }
  tablesDue = performance.now() + TABLES_MS;
  get("health").replaceChildren(...healthTables({ ...facts, lost, worlds: hello.worlds, silent: silentNodes() }));
  const targets = hello.worlds.flatMap((world, w) => [
    ...(place.ue === null ? [] : [{ label: `UE ${place.ue} ${world}`.trim(), column: "ue", id: place.ue, frames: OF_A_UE.concat(place.ueBy).flatMap((name) => store.at(w, "ue", t, name)) }]),
    ...(place.cell === null ? [] : [{ label: `${nameOf("cell", place.cell)} ${world}`.trim(), column: "cell", id: place.cell, frames: OF_A_CELL.concat(place.cellBy).flatMap((name) => store.at(w, "cell", t, name)) }]),
  ]);
  get("chosen-hint").hidden = targets.length > 0;
  get("chosen").replaceChildren(...(targets.length ? chosenTable(targets, hello.measurements, t).children : []));
  if (facts.score) get("score").replaceChildren(...scoreTable(facts.score.kpis, facts.score.worlds, hello.worlds).children);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let drawnAt = 0;
function frame(stamp) {
  if (hello) play(stamp);
  if (dirty && hello && stamp - drawnAt > 40) {
    drawnAt = stamp;
    dirty = false;
    if (toLearn) learn();
    draw();
  }
  requestAnimationFrame(frame);
}

// What a person does

function bind(id, event, name, of = (element) => element.value) {
  get(id).addEventListener(event, () => {
    place[name] = of(get(id));
    changed();
  });
}
bind("ue-by", "change", "ueBy");
bind("cell-by", "change", "cellBy");
bind("series-level", "change", "level");
bind("series-name", "change", "name");
bind("series-by", "change", "by");
bind("said-kind", "change", "kind");
bind("said-xapp", "change", "xapp");
bind("said-text", "input", "text", (element) => element.value.slice(0, 128));
bind("said-chosen", "change", "about", (element) => element.checked);
bind("cell", "change", "cell", (element) => (element.value === "" ? null : Number(element.value)));
bind("ue", "change", "ue", (element) => (element.value === "" ? null : Number(element.value)));
get("zoom-in").addEventListener("click", () => maps?.zoom(1.3));
get("zoom-out").addEventListener("click", () => maps?.zoom(1 / 1.3));
get("zoom-fit").addEventListener("click", () => maps?.fit());
get("back").addEventListener("click", () => step(-1));
get("ahead").addEventListener("click", () => step(1));
get("pause").addEventListener("click", pause);
get("now").addEventListener("click", () => {
  isPlaying = false;
  show(null);
});
get("time").addEventListener("input", () => {
  isPlaying = false;
  show(Number(get("time").value));
});
get("link").addEventListener("click", async () => {
  place.at = now();
  places.write(place);
  try {
    await navigator.clipboard.writeText(location.href);
    setText(get("link"), "Copied");
  } catch {
    setText(get("link"), "It is in the address bar");
  }
  setTimeout(() => setText(get("link"), "Link"), 2000);
  dirty = true;
});
addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea, button, summary, dialog, .u-over") || event.ctrlKey || event.metaKey || event.altKey) return;
  const does = { " ": pause, ArrowLeft: () => step(-1), ArrowRight: () => step(1), End: () => show(null) }[event.key];
  if (!does || !hello) return;
  event.preventDefault();
  does();
});
addEventListener("hashchange", () => {
  place = places.read();
  for (const [id, name] of [["said-kind", "kind"], ["said-text", "text"]]) get(id).value = place[name];
  changed();
});
setInterval(() => (dirty = true), 1000); // silence is news, too
new ResizeObserver(() => (dirty = true)).observe(get("maps"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  series?.forget();
  dirty = true;
});
get("said-kind").value = place.kind;
get("said-text").value = place.text;
get("said-chosen").checked = place.about;
link = new Link(on);
requestAnimationFrame(frame);
