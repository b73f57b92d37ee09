// The chart of one measurement over RAN time: a line for each cell, slice, class or UE, or the spread over all.

import { LINES, number } from "./colours.js";

const KNOWN = 8000;
const MOST_LINES = 60;
const LEGEND_LINES = 10;

export class Series {
  constructor(place, on) {
    this.place = place;
    this.on = on; // moment(t), span([from, to] | null)
    this.plot = null;
    this.shape = "";
    this.known = new Map(); // moment|world -> what its frames come to
    new ResizeObserver(() => this.resize()).observe(place);
  }

  forget() {
    this.known.clear();
    this.shape = "";
  }

  // `what`: {level, name, by, unit, chosen: {cell, ue}, nameOf(by, id)}; `at`: the moment that the map shows.
  draw(store, worlds, what, at, marks) {
    const key = [what.level, what.name, what.by, what.by === "ue" ? what.chosen.ue : ""].join("|");
    if (key !== this.key) {
      this.key = key;
      this.known.clear();
    }
    const times = [...new Set(worlds.flatMap((_, w) => store.moments(w, what.level)))].sort((a, b) => a - b);
    const rows = worlds.map((_, w) => times.map((t, i) => this.row(store, w, t, what, i >= times.length - 2)));
    const groups = [...new Set(rows.flat().flatMap((row) => [...row.keys()]))];
    groups.sort((a, b) => (typeof a === "number" ? a - b : 0));
    const shown = this.choose(groups, what);
    const lines = worlds.flatMap((world, w) => shown.map((group) => ({ world, w, group })));
    const data = [times, ...lines.map(({ w, group }) => rows[w].map((row) => row.get(group) ?? null))];
    const shape = JSON.stringify([key, shown, worlds, what.chosen, matchMedia("(prefers-color-scheme: dark)").matches]);
    this.at = at;
    this.marks = marks;
    if (shape !== this.shape) {
      this.shape = shape;
      this.make(data, lines, what);
    } else this.plot.setData(data, !this.span);
    if (this.span) this.plot.setScale("x", { min: this.span[0], max: this.span[1] });
    const left = groups.length - shown.length;
    return { n: times.length, left, groups: shown.length };
  }

  choose(groups, what) {
    if (groups.length <= MOST_LINES) return groups;
    const chosen = what.by === "cell" ? what.chosen.cell : null;
    const first = groups.slice(0, MOST_LINES);
    return chosen !== null && groups.includes(chosen) && !first.includes(chosen) ? [...first.slice(1), chosen] : first;
  }

  // What a moment comes to: group -> value. The newest moments may still be waiting for a node.
  row(store, world, moment, what, isFresh) {
    const key = `${moment}|${world}`;
    const known = this.known.get(key);
    if (known && !isFresh) return known;
    const sums = new Map();
    const values = [];
    for (const frame of store.of(world, what.level, moment, what.name)) {
      const column = frame.columns.get(what.name);
      const ids = frame.columns.get(COLUMN[what.by]);
      for (let i = 0; i < frame.rows; i++) {
        const value = column[i];
        if (Number.isNaN(value)) continue;
        values.push(value);
        if (!ids || (what.by === "ue" && ids[i] !== what.chosen.ue)) continue;
        const sum = sums.get(ids[i]);
        if (sum) {
          sum[0] += value;
          sum[1] += 1;
        } else sums.set(ids[i], [value, 1]);
      }
    }
    const row = new Map();
    if (what.by === "all" || what.by === "ue") {
      values.sort((a, b) => a - b);
      const at = (part) => (values.length ? values[Math.round(part * (values.length - 1))] : null);
      if (what.by === "all") row.set("95 of 100 below", at(0.95));
      row.set("median", at(0.5));
      if (what.by === "all") row.set("5 of 100 below", at(0.05));
    }
    for (const [group, [sum, n]] of sums) row.set(group, sum / n);
    if (this.known.size > KNOWN) this.known.clear(); // of a page that is open for hours
    this.known.set(key, row);
    return row;
  }

  make(data, lines, what) {
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => style.getPropertyValue(name).trim();
    const many = lines.length > LEGEND_LINES;
    const axis = { stroke: ink("--ink"), grid: { stroke: ink("--line"), width: 1 }, ticks: { stroke: ink("--line") }, font: "12px system-ui" };
    const series = lines.map(({ world, w, group }, i) => {
      const id = what.by === "cell" ? what.chosen.cell : what.by === "ue" ? what.chosen.ue : null;
      const isChosen = group === id;
      const name = typeof group === "number" ? what.nameOf(what.by, group) : group;
      const own = lines.filter((line) => line.w === w).findIndex((line) => line.group === group);
      return {
        label: world ? `${name}, ${world}` : name,
        stroke: many && !isChosen ? (id === null ? LINES[own % LINES.length] : ink("--faint")) : LINES[own % LINES.length],
        width: isChosen ? 3 : many ? 1 : 1.75,
        dash: w ? [6, 4] : undefined,
        alpha: many && !isChosen && id !== null ? 0.6 : 1,
        spanGaps: false,
        points: { show: false },
        value: (_, value) => number(value),
      };
    });
    this.plot?.destroy();
    this.plot = new uPlot(
      {
        ...this.size(many),
        scales: { x: { time: false } },
        axes: [
          { ...axis, label: "RAN time, s", labelSize: 18, size: 34, labelFont: "12px system-ui" },
          { ...axis, label: what.unit === "1" ? what.name : `${what.name}, ${what.unit}`, labelSize: 18, size: 62, labelFont: "12px system-ui" },
        ],
        series: [{ label: "s", value: (_, value) => (value === null ? "" : value.toFixed(2)) }, ...series],
        legend: { show: !many },
        cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        hooks: {
          setSelect: [(plot) => this.selected(plot)],
          draw: [(plot) => this.marked(plot, ink)],
          ready: [(plot) => this.listen(plot)],
        },
      },
      data,
      this.place,
    );
  }

  size(many) {
    return { width: this.place.clientWidth, height: Math.max(this.place.clientHeight - (many ? 0 : 34), 120) };
  }

  resize() {
    this.plot?.setSize(this.size(!this.plot.root.querySelector(".u-legend")));
  }

  selected(plot) {
    if (plot.select.width < 6) return;
    this.span = [plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.on.span(this.span);
  }

  listen(plot) {
    let down = 0;
    plot.over.addEventListener("mousedown", (event) => (down = event.clientX));
    plot.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - down) < 6) this.on.moment(plot.posToVal(event.offsetX, "x"));
    });
    plot.over.addEventListener("dblclick", () => {
      this.span = null;
      this.on.span(null);
    });
  }

  marked(plot, ink) {
    const pen = plot.ctx;
    const { left, top, width, height } = plot.bbox;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    const line = (t, stroke, dash) => {
      const x = plot.valToPos(t, "x", true);
      pen.beginPath();
      pen.setLineDash(dash);
      pen.moveTo(x, top);
      pen.lineTo(x, top + height);
      pen.lineWidth = 1.5 * devicePixelRatio;
      pen.strokeStyle = stroke;
      pen.stroke();
    };
    for (const t of this.marks) line(t, ink("--bad"), [3, 3]);
    if (this.at !== null) line(this.at, ink("--accent"), []);
    pen.restore();
  }
}

const COLUMN = { cell: "cell", slice: "slice", class: "five_qi", ue: "ue" };
