// Tables of health, of the chosen cell or UE, and of the score.

import { number, withUnit } from "./colours.js";

const STAGES = {
  advance: "nodes: up to the next event",
  apply: "guard: changes that are due",
  report: "nodes: building reports",
  step: "xApps: publish to the last answer",
  guard: "guard: judging batches",
};

const MOST_ROWS = 200; // of nodes or xApps; the alarming ones come first

export function table(caption, head, rows) {
  const element = document.createElement("table");
  if (caption) element.createCaption().textContent = caption;
  const top = element.createTHead().insertRow();
  for (const name of head) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name.replace(/^#/, "");
    if (name.startsWith("#")) cell.className = "n";
    top.append(cell);
  }
  const body = element.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value, i) => {
      const cell = i ? line.insertCell() : line.appendChild(document.createElement("th"));
      if (!i) cell.scope = "row";
      const [text, kind] = Array.isArray(value) ? value : [value, ""];
      cell.textContent = text ?? "–";
      if (String(text).length > 40) cell.title = text; // it may be cut off
      cell.className = [kind, head[i].startsWith("#") ? "n" : ""].filter(Boolean).join(" ");
    });
  }
  return element;
}

// The tables of health. `over` is whether the run has ended: its xApps are not missed then.
export function health({ pulses, health: known, page, lost, worlds, handlers, over, silent }) {
  const tables = [];
  if (known?.broker) {
    const { address, connected, ...counts } = known.broker;
    const broker = [[address, connected ? "connected" : ["away", "worse"], number(counts.reconnects), counted(counts.dropped), number(counts.conflated), counted(counts.unsent)]];
    tables.push(table("broker", ["address", "state", "#reconnects", "#dropped", "#overtaken", "#not sent"], broker));
  }
  if (known?.xapps.length) tables.push(known_table("xApps", XAPPS, known.xapps.map((one) => ({ ...one, over }))));
  pulses.forEach((pulse, w) => {
    const stages = Object.entries(pulse?.stages_us ?? {}).map(([stage, [p50, p99]]) => [STAGES[stage] ?? stage, number(p50), number(p99)]);
    if (stages.length) tables.push(table(`stages of the loop ${worlds[w] ?? ""}`, ["stage", "#p50 µs", "#p99 µs"], stages));
  });
  if (handlers?.length) tables.push(table("handlers of xApps", ["handler", "#calls", "#p50 ms", "#p99 ms"], handlers.map((h) => [h.name, number(h.calls), number(h.p50_ms), number(h.p99_ms)])));
  const [pulse] = pulses;
  const counts = [
    ["messages that could not be used", counted(pulse?.dropped ?? known?.unreadable_messages)],
    ["values outside their range", counted(pulse?.outside)],
    ["events that came too quickly for this server", counted(pulse?.unseen)],
    ["frames that this page passed over", number(lost.frames)],
    ["frames that all pages passed over", number(page?.frames ?? 0)],
    ["decisions that this page lost", counted(lost.lines)],
    ["decisions that all pages lost", counted(page?.lines)],
    ["names that were forgotten", counted((page?.forgotten ?? 0) + (known?.forgotten_names ?? 0))],
    ["pages open", number(page?.open ?? 0)],
    ["pages refused, slow, hostile", `${page?.refused ?? 0}, ${page?.slow ?? 0}, ${page?.hostile ?? 0}`],
    ["orders with a wrong token", counted(page?.wrong_tokens)],
  ];
  tables.push(table("drops and pages", ["what", "#count"], counts));
  if (known?.nodes.length) {
    tables.push(known_table("nodes", NODES, known.nodes.map((one) => ({ ...one, isSilent: silent.includes(one.node) }))));
  }
  return tables;
}

// What an operator must know at once, in words: it stands on top of the page. `silent` are the nodes that have stopped to report.
export function troubles({ health: known, over, silent }) {
  if (!known || over) return [];
  const { broker, nodes, xapps } = known;
  const named = (what, some, key) => (some.length ? [`${what}: ${listed(some.map((one) => one[key] ?? one))}.`] : []);
  return [
    ...(broker && !broker.connected ? [`The broker ${broker.address} is away.`] : []),
    ...named("No living host", nodes.filter((one) => one.host === null), "node"),
    ...named("No reports", silent, "node"),
    ...named("Shut out, because it flooded", xapps.filter((one) => one.shut_out), "xapp"),
    ...named("xApp away", xapps.filter((one) => one.admitted && !one.alive), "xapp"),
  ];
}

function listed(names) {
  return names.slice(0, 3).join(", ") + (names.length > 3 ? ` and ${names.length - 3} more` : "");
}

// Columns: key, heading, and the cell of a row. A column that nobody here knows is left out.
const NODES = [
  ["node", "node", (n) => n.node],
  ["host", "host", (n) => n.host ?? ["no living host", "worse"]],
  ["killed", "killed", (n) => (n.killed ? ["killed", "worse"] : n.killed === null ? "–" : "no")],
  ["ran_time_s", "#RAN time s", (n) => number(n.ran_time_s)],
  ["reports_per_s", "#reports/s", (n) => (n.isSilent ? ["0", "worse"] : number(n.reports_per_s))],
];
const XAPPS = [
  ["xapp", "xApp", (x) => x.xapp],
  ["alive", "state", (x) => (x.shut_out ? ["shut out: it flooded", "worse"] : x.over ? "ended" : x.alive ? "alive" : x.admitted ? ["away", "worse"] : "gone")],
  ["autonomy", "autonomy", (x) => levels(x.autonomy)],
  ["holds", "holds", (x) => held(x.holds)],
  ["targets", "#applied", (x) => number(sum(x.targets, ["applied"]))],
  ["targets", "#refused", (x) => counted(sum(x.targets, ["refused", "expired"]))],
  ["refused", "most often", (x) => most(x.refused)],
  ["actions_per_s", "#actions/s", (x) => number(x.actions_per_s)],
  ["decides_ms", "#decides ms", (x) => number(x.decides_ms)],
  ["answered_ms", "#answered ms", (x) => number(x.answered_ms)],
];

function known_table(caption, columns, rows) {
  const shown = columns.filter(([key]) => rows.some((row) => row[key] !== undefined && !(key.endsWith("_ms") && row[key] === null)));
  const isBad = (cells) => cells.some(Array.isArray);
  const cells = rows.map((row) => shown.map(([, , cell]) => cell(row))).sort((a, b) => isBad(b) - isBad(a));
  const left = rows.length > MOST_ROWS ? `, ${MOST_ROWS} of ${rows.length}` : "";
  return table(caption + left, shown.map(([, heading]) => heading), cells.slice(0, MOST_ROWS));
}

function counted(n) {
  return n ? [number(n), "worse"] : number(n ?? 0);
}

function levels(autonomy) {
  const kinds = [...new Set(Object.values(autonomy))];
  return kinds.length ? kinds.join(", ") : "–";
}

function held(holds) {
  const of = new Map(); // action -> targets, at all nodes
  for (const [what, n] of Object.entries(holds)) of.set(what.split(" at ")[0], (of.get(what.split(" at ")[0]) ?? 0) + n);
  return of.size ? [...of].map(([action, n]) => `${n} ${action}`).join(", ") : "–";
}

function sum(targets, statuses) {
  return Object.entries(targets).reduce((n, [name, of]) => (statuses.includes(name.split("/")[0]) ? n + of : n), 0);
}

function most(refused) {
  const [first] = [...refused].sort((a, b) => b.targets - a.targets);
  return first ? `${first.fate.split("/")[1] ?? first.fate}: ${first.example}` : "–";
}

// Rows of the chosen targets: measurement, value, unit and meaning.
export function chosen(targets, measurements, t) {
  const rows = [];
  for (const { label, frames, column, id } of targets) {
    const values = new Map();
    for (const frame of frames) {
      const at = frame.columns.get(column)?.indexOf(id) ?? -1;
      if (at < 0) continue;
      for (const [name, all] of frame.columns) if (measurements[name] && !values.has(name)) values.set(name, all[at]);
    }
    if (!values.size) rows.push([label, ["no report at this moment", ""], ""]);
    for (const [name, value] of [...values].sort()) rows.push([`${label} ${name}`, withUnit(value, measurements[name].unit), measurements[name].definition]);
  }
  return table(`at ${t.toFixed(2)} s`, ["measurement", "#value", "meaning"], rows);
}

// The score of two worlds, and the first less the second.
export function score(kpis, [first, second], worlds) {
  const rows = kpis.map(({ key, label, unit, better, digits }) => {
    const [a, b] = [first[key], second[key]];
    const known = [a, b].every((one) => one !== null && one !== undefined);
    const gain = known ? a - b : null;
    const good = better === "neither" || !gain ? "" : gain > 0 === (better === "higher") ? "better" : "worse";
    const text = (one) => (one === null || one === undefined ? "–" : one.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
    return [label || key, unit, text(a), text(b), [gain === null ? "–" : `${gain > 0 ? "+" : ""}${text(gain)}${good ? ` ${good}` : ""}`, good]];
  });
  return table("one pair of drops: a difference here is no proof, ranloop compare has intervals", ["KPI", "unit", `#${worlds[0]}`, `#${worlds[1]}`, "#difference"], rows);
}
