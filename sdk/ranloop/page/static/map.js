// The map: sectors by azimuth and beam width, UEs where they are, both coloured by a measurement. One canvas a world, one view.

import { Scale, colour, withUnit } from "./colours.js";

const TURN = Math.PI / 180;

export class Maps {
  constructor(place, worlds, on) {
    this.on = on; // chosen(cell, ue, world), moved()
    this.view = null; // centre in m and pixels per m, of the first canvas's size; null fits all
    this.cells = new Map(); // dense id -> place, name and shape
    this.places = worlds.map((name, world) => this.figure(place, name, world));
  }

  figure(place, name, world) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    const caption = document.createElement("figcaption");
    caption.textContent = name;
    canvas.className = "map";
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "map");
    canvas.setAttribute(
      "aria-label",
      `Map of cells and UEs ${name}. Arrow keys choose a cell, plus and minus zoom, 0 shows all. The chosen cell's values are in the table "Chosen".`,
    );
    figure.append(canvas, caption);
    place.append(figure);
    this.listen(canvas, world);
    return { canvas, ues: [] };
  }

  // What the catalogues say of the cells.
  learn(catalogues) {
    this.cells.clear();
    for (const one of catalogues.values()) {
      for (const [cell, place] of Object.entries(one.geometry)) {
        this.cells.set(Number(cell), { ...place, node: one.node, name: one.cells[cell] ?? `cell ${cell}` });
      }
    }
    const sites = [...new Map([...this.cells.values()].map((c) => [`${c.x_m}|${c.y_m}`, c])).values()];
    let nearest = Infinity;
    for (const a of sites) for (const b of sites) if (a !== b) nearest = Math.min(nearest, Math.hypot(a.x_m - b.x_m, a.y_m - b.y_m));
    this.reachM = Number.isFinite(nearest) ? 0.42 * nearest : 150;
    for (const site of sites) {
      const own = [...this.cells.values()].filter((c) => c.x_m === site.x_m && c.y_m === site.y_m);
      for (const cell of own) {
        // A node that does not know its beam is drawn with its share of the circle.
        const width = cell.azimuth_deg === null ? 360 : (cell.beam_width_deg ?? 360 / own.length);
        cell.from = cell.azimuth_deg === null ? 0 : (cell.azimuth_deg - width / 2) * TURN;
        cell.to = cell.azimuth_deg === null ? 2 * Math.PI : (cell.azimuth_deg + width / 2) * TURN;
      }
    }
  }

  bounds() {
    const xs = [...this.cells.values()].map((c) => c.x_m);
    const ys = [...this.cells.values()].map((c) => c.y_m);
    if (!xs.length) return { x: 0, y: 0, width: 500, height: 500 };
    const reach = 1.15 * this.reachM;
    const [left, right] = [Math.min(...xs) - reach, Math.max(...xs) + reach];
    const [low, high] = [Math.min(...ys) - reach, Math.max(...ys) + reach];
    return { x: (left + right) / 2, y: (low + high) / 2, width: right - left, height: high - low };
  }

  project(canvas) {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const all = this.bounds();
    const fit = Math.min(width / all.width, height / all.height);
    const { x, y, zoom } = this.view ?? { x: all.x, y: all.y, zoom: 1 };
    const scale = fit * zoom;
    return {
      scale,
      to: (mx, my) => [width / 2 + (mx - x) * scale, height / 2 - (my - y) * scale],
      from: (px, py) => [x + (px - width / 2) / scale, y - (py - height / 2) / scale],
    };
  }

  // `picture`: per world {cells: Map id -> value, ues: [{id, x, y, cell, value}], struck: Set of "ue 7", "cell 3"}.
  draw(pictures, scales, chosen) {
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => style.getPropertyValue(name).trim();
    const paint = { edge: ink("--edge"), faint: ink("--faint"), accent: ink("--accent"), panel: ink("--panel"), soft: ink("--soft") };
    this.places.forEach((place, world) => this.drawOne(place, pictures[world], scales, chosen, paint));
  }

  drawOne(place, picture, scales, chosen, paint) {
    const { canvas } = place;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const { to, scale } = this.project(canvas);
    const reach = this.reachM * scale;
    for (const [id, cell] of this.cells) {
      const [x, y] = to(cell.x_m, cell.y_m);
      pen.beginPath();
      if (cell.azimuth_deg !== null) pen.moveTo(x, y);
      pen.arc(x, y, reach, -cell.to, -cell.from); // y is up, and angles are counter-clockwise
      pen.closePath();
      const value = picture.cells.get(id);
      pen.globalAlpha = 0.55;
      pen.fillStyle = value === undefined || Number.isNaN(value) ? paint.panel : scales.cell.of(value);
      pen.fill();
      pen.globalAlpha = 1;
      const isChosen = chosen.cell === id;
      pen.lineWidth = isChosen ? 3 : 1;
      pen.strokeStyle = isChosen ? paint.accent : paint.faint;
      pen.setLineDash(value === undefined || Number.isNaN(value) ? [4, 3] : []);
      pen.stroke();
      pen.setLineDash([]);
      if (picture.struck.has(`cell ${id}`)) ring(pen, x, y, reach * 0.3, paint.edge);
    }
    const one = picture.ues.find((ue) => ue.id === chosen.ue);
    const server = one && this.cells.get(one.cell);
    if (server) {
      pen.beginPath();
      pen.moveTo(...to(one.x, one.y));
      pen.lineTo(...to(server.x_m, server.y_m));
      pen.strokeStyle = paint.accent;
      pen.lineWidth = 1.5;
      pen.stroke();
    }
    const dot = Math.min(Math.max(2.6 * Math.sqrt(scale / 0.25), 2.6), 6);
    for (const ue of picture.ues) {
      const [x, y] = to(ue.x, ue.y);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
      pen.beginPath();
      pen.arc(x, y, dot, 0, 2 * Math.PI);
      if (!Number.isNaN(ue.value)) {
        pen.fillStyle = scales.ue.of(ue.value);
        pen.fill();
      }
      pen.lineWidth = ue.id === chosen.ue ? 3 : 0.8;
      pen.strokeStyle = ue.id === chosen.ue ? paint.accent : paint.edge;
      pen.stroke();
      if (picture.struck.has(`ue ${ue.id}`)) ring(pen, x, y, dot + 4, paint.edge);
    }
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    for (const [id, cell] of this.cells) {
      if (reach < 60 && chosen.cell !== id) continue;
      const along = cell.azimuth_deg === null ? Math.PI / 2 : cell.azimuth_deg * TURN;
      const [x, y] = to(cell.x_m, cell.y_m);
      const at = [x + 0.72 * reach * Math.cos(along), y - 0.72 * reach * Math.sin(along) + 4];
      pen.lineWidth = 3;
      pen.strokeStyle = paint.panel;
      pen.strokeText(cell.name, ...at);
      pen.fillStyle = paint.edge;
      pen.fillText(cell.name, ...at);
    }
    this.bar(pen, height, scale, paint);
    place.ues = picture.ues;
  }

  bar(pen, height, scale, paint) {
    const steps = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000];
    const metres = steps.find((one) => one * scale > 50) ?? 50000;
    pen.beginPath();
    pen.moveTo(10, height - 14);
    pen.lineTo(10, height - 9);
    pen.lineTo(10 + metres * scale, height - 9);
    pen.lineTo(10 + metres * scale, height - 14);
    pen.lineWidth = 1;
    pen.strokeStyle = paint.soft;
    pen.stroke();
    pen.textAlign = "left";
    pen.fillStyle = paint.soft;
    pen.fillText(metres < 1000 ? `${metres} m` : `${metres / 1000} km`, 14, height - 13);
  }

  // What is at a pixel: the nearest UE within reach of a finger, else the sector.
  hit(world, px, py) {
    const { canvas, ues } = this.places[world];
    const { from, scale } = this.project(canvas);
    const [x, y] = from(px, py);
    let best = null;
    for (const ue of ues) {
      const away = Math.hypot(ue.x - x, ue.y - y) * scale;
      if (away < 9 && (!best || away < best.away)) best = { ...ue, away };
    }
    if (best) return { cell: best.cell, ue: best.id };
    for (const [id, cell] of this.cells) {
      const [dx, dy] = [x - cell.x_m, y - cell.y_m];
      if (Math.hypot(dx, dy) > this.reachM) continue;
      const turn = (((Math.atan2(dy, dx) - cell.from) % (2 * Math.PI)) + 2 * Math.PI) % (2 * Math.PI);
      if (turn <= cell.to - cell.from + 1e-9) return { cell: id, ue: null };
    }
    return null;
  }

  listen(canvas, world) {
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      drag = { x: event.offsetX, y: event.offsetY, far: false };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
      if (!drag.far && Math.hypot(dx, dy) < 5) return;
      const { scale } = this.project(canvas);
      const view = this.looks();
      this.view = { ...view, x: view.x - dx / scale, y: view.y + dy / scale };
      drag = { x: event.offsetX, y: event.offsetY, far: true };
      this.on.moved();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.far) this.on.chosen(this.hit(world, event.offsetX, event.offsetY), world);
      drag = null;
    });
    canvas.addEventListener("pointercancel", () => (drag = null));
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && document.activeElement !== canvas) return; // a page that scrolls must not zoom
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) this.on.stepped(step);
      else if (event.key === "+" || event.key === "=") this.zoom(1.3);
      else if (event.key === "-") this.zoom(1 / 1.3);
      else if (event.key === "0") this.fit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  looks() {
    const all = this.bounds();
    return this.view ?? { x: all.x, y: all.y, zoom: 1 };
  }

  zoom(by) {
    const view = this.looks();
    this.view = { ...view, zoom: Math.min(Math.max(view.zoom * by, 0.3), 40) };
    this.on.moved();
  }

  fit() {
    this.view = null;
    this.on.moved();
  }
}

function ring(pen, x, y, radius, stroke) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.lineWidth = 1.2;
  pen.strokeStyle = stroke;
  pen.stroke();
}

// A legend: what the colours of one kind of thing mean.
export class Legend {
  constructor(place, what) {
    this.what = what;
    this.element = document.createElement("div");
    this.element.className = "legend";
    this.low = document.createElement("span");
    this.bar = document.createElement("canvas");
    this.bar.width = 144;
    this.bar.height = 1;
    this.bar.setAttribute("aria-hidden", "true");
    this.high = document.createElement("span");
    this.of = document.createElement("span");
    this.of.className = "of";
    this.element.append(this.low, this.bar, this.high, this.of);
    place.append(this.element);
    const pen = this.bar.getContext("2d");
    for (let x = 0; x < 144; x++) {
      pen.fillStyle = colour(x / 143);
      pen.fillRect(x, 0, 1, 1);
    }
  }

  show(name, scale) {
    const known = scale instanceof Scale && !Number.isNaN(scale.low);
    this.low.textContent = known ? withUnit(scale.low, scale.about.unit) : "–";
    this.high.textContent = known ? withUnit(scale.high, scale.about.unit) : "–";
    this.of.textContent = `${this.what}: ${name || "nothing"}`;
  }
}
