// Tables of health, of the chosen cell or UE, and of the score.

import { number, withUnit } from "./colours.js";

const STAGES = {
  advance: "nodes: up to the next event",
  apply: "guard: changes that are due",
  report: "nodes: building reports",
  step: "xApps: publish to the last answer",
  guard: "guard: judging batches",
};

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

export function health({ pulses, bus, page, lost, worlds, handlers }) {
  const tables = [];
  if (bus) {
    const broker = [[bus.bus, bus.connected ? "connected" : ["away", "worse"], number(bus.unreadable_messages), number(bus.reconnects ?? 0)]];
    tables.push(table("broker", ["address", "state", "#unreadable", "#reconnects"], broker));
    const nodes = bus.nodes.map((n) => [n.node, n.host ?? ["no living host", "worse"], n.killed ? ["killed", "worse"] : "no", number(n.ran_time_s), number(n.reports_per_s)]);
    tables.push(table("hosts", ["node", "host", "killed", "#RAN time s", "#reports/s"], nodes));
    const xapps = bus.xapps.map((x) => [x.xapp, x.alive ? "alive" : ["away", "worse"], levels(x.autonomy), held(x.holds), number(x.actions_per_s), number(x.decides_ms), number(x.answered_ms)]);
    tables.push(table("xApps", ["xApp", "state", "autonomy", "holds", "#actions/s", "#decides ms", "#answered ms"], xapps));
  }
  pulses.forEach((pulse, w) => {
    const stages = Object.entries(pulse?.stages_us ?? {}).map(([stage, [p50, p99]]) => [STAGES[stage] ?? stage, number(p50), number(p99)]);
    if (stages.length) tables.push(table(`stages of the loop ${worlds[w] ?? ""}`, ["stage", "#p50 µs", "#p99 µs"], stages));
  });
  if (handlers?.length) tables.push(table("handlers of xApps", ["handler", "#calls", "#p50 ms", "#p99 ms"], handlers.map((h) => [h.name, number(h.calls), number(h.p50_ms), number(h.p99_ms)])));
  const [pulse] = pulses;
  const counts = [
    ["messages dropped by the host", counted(pulse?.dropped)],
    ["values outside their range", counted(pulse?.outside)],
    ["frames that this page passed over", number(lost.frames)],
    ["decisions that this page lost", counted(lost.lines)],
    ["pages open", number(page?.open ?? 0)],
    ["pages refused, slow, hostile", `${page?.refused ?? 0}, ${page?.slow ?? 0}, ${page?.hostile ?? 0}`],
  ];
  tables.push(table("drops and pages", ["what", "#count"], counts));
  return tables;
}

function counted(n) {
  return n ? [number(n), "worse"] : number(n ?? 0);
}

function levels(autonomy) {
  const kinds = [...new Set(Object.values(autonomy))];
  return kinds.length ? kinds.join(", ") : "–";
}

function held(holds) {
  const all = Object.entries(holds);
  return all.length ? all.map(([what, n]) => `${n} ${what}`).slice(0, 3).join(", ") : "–";
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
