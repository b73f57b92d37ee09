// The stream of decisions: lines of the audit log, the newest first, filtered, each with its reason and what is in force.

import { number } from "./colours.js";

const KEPT = 4000;
const SHOWN = 150;
const FAILED = ["refused", "expired", "unknown"];

export class SaidList {
  constructor(place, words) {
    this.place = place;
    this.words = words; // actions, remedies, nameOf(kind, id), worlds
    this.lines = [];
    this.shown = [];
  }

  // New lines; a server that was started again tells its own from the beginning.
  add(lines) {
    for (const line of lines) {
      line.t = (line.ran_time_ns ?? 0) / 1e9;
      line.verdicts = Object.keys(line.verdict ?? {});
      this.lines.push(line);
    }
    if (this.lines.length > KEPT) this.lines.splice(0, this.lines.length - KEPT);
  }

  xapps() {
    return [...new Set(this.lines.map((line) => line.xapp).filter(Boolean))].sort();
  }

  draw(filter, until) {
    const wanted = [];
    for (let i = this.lines.length - 1; i >= 0 && wanted.length < SHOWN; i--) {
      const line = this.lines[i];
      if (line.t <= until + 1e-9 && this.matches(line, filter)) wanted.push(line);
    }
    if (wanted.length === this.shown.length && wanted.every((line, i) => line === this.shown[i])) return;
    this.shown = wanted;
    if (wanted.length) this.place.replaceChildren(...wanted.map((line) => (line.element ??= this.element(line))));
    else {
      const empty = document.createElement("li");
      empty.textContent = this.lines.length ? "No decision matches up to this moment." : "No decision yet.";
      this.place.replaceChildren(empty);
    }
  }

  matches(line, { kind, xapp, text, about }) {
    if (xapp && line.xapp !== xapp) return false;
    const isDecision = line.event === "result" || line.event === "ended" || line.event === "renewed";
    if (kind === "applied" && !line.verdicts.includes("applied")) return false;
    if (kind === "refused" && !line.verdicts.some((one) => FAILED.includes(one.split("/")[0]))) return false;
    if (kind === "ended" && line.event !== "ended") return false;
    if (kind === "operator" && isDecision) return false;
    if (about && !this.strikes(line, about)) return false;
    return !text || this.words_of(line).includes(text.toLowerCase());
  }

  // Whether a line is about the chosen cell or UE.
  strikes(line, { cell, ue }) {
    const ids = this.words.actions[line.action]?.targets ?? [];
    const has = (name, id) => id !== null && ids.includes(name) && line.targets?.some((one) => one[ids.indexOf(name)] === id);
    return has("ue", ue) || has("cell", cell);
  }

  words_of(line) {
    line.words ??= [line.node, line.xapp, line.event, this.head(line), this.targets(line, 1024), this.why(line), ...line.verdicts].join(" ").toLowerCase();
    return line.words;
  }

  targets(line, most) {
    const names = this.words.actions[line.action]?.targets ?? [];
    const all = (line.targets ?? []).slice(0, most).map((ids) => ids.map((id, i) => this.words.nameOf(names[i], id)).join(" "));
    const left = (line.n_targets ?? 0) - all.length;
    return all.length ? all.join(", ") + (left > 0 ? ` and ${left} more` : "") : line.n_targets ? `${line.n_targets} targets` : "";
  }

  values(line, rows) {
    const parameters = this.words.actions[line.action]?.parameters ?? [];
    return parameters
      .map(([name, unit], i) => {
        const known = (rows ?? []).map((row) => row[i]).filter((one) => one !== null && one !== undefined);
        if (!known.length) return "";
        const [low, high] = [Math.min(...known), Math.max(...known)];
        return `${name} ${low === high ? number(low) : `${number(low)} to ${number(high)}`}${unit === "1" ? "" : ` ${unit}`}`;
      })
      .filter(Boolean)
      .join(", ");
  }

  head(line) {
    const world = this.words.worlds.length > 1 ? ` (${this.words.worlds[line.w]})` : "";
    if (line.action) return `${line.xapp} ${line.action}${world}`;
    const order = line.event === "order" ? (line.kill ? "kill switch on" : line.kill === false ? "kill switch off" : `autonomy ${line.autonomy ?? ""}`) : line.event.replaceAll("_", " ");
    return [order, line.xapp, line.by ? `by ${line.by}` : ""].filter(Boolean).join(" ") + world;
  }

  why(line) {
    const causes = Object.entries(line.causes ?? {}).map(([cause, text]) => `${cause}: ${text}`);
    const facts = [line.text, line.reason, line.severity && `severity ${line.severity}`, line.dropped_so_far && `${line.dropped_so_far} so far`];
    return [...causes, ...facts.filter(Boolean).map(String)].join("; ");
  }

  element(line) {
    const item = document.createElement("li");
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.append(span("when", `${line.t.toFixed(2)} s`), this.what(line));
    const why = this.why(line);
    if (why) summary.append(document.createElement("span"), span("why", why));
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(this.facts(line));
    });
    item.append(details);
    return item;
  }

  what(line) {
    const cell = document.createElement("span");
    const wanted = this.values(line, line.parameters);
    cell.append(`${line.node ? `${line.node}: ` : ""}${this.head(line)} `);
    if (line.n_targets) cell.append(`on ${this.targets(line, 3)} ${wanted ? `(${wanted}) ` : ""}`);
    for (const [verdict, n] of Object.entries(line.verdict ?? {})) {
      cell.append(span(`mark ${verdict.split("/")[0]}`, `${n} ${verdict}`), " ");
    }
    if (line.event === "renewed") cell.append(span("mark applied", `renewed ${line.n} times`));
    if (line.unchanged) cell.append(span("why", `${line.unchanged} unchanged`));
    if (!line.action) cell.className = `mark ${line.event === "dropped" ? "dropped" : line.event.startsWith("alarm") ? "alarm" : "order"}`;
    return cell;
  }

  facts(line) {
    const list = document.createElement("dl");
    const add = (name, text) => {
      if (text === "" || text === undefined || text === null) return;
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      value.textContent = text;
      list.append(term, value);
    };
    add("targets", this.targets(line, 64));
    add("wanted", this.values(line, line.parameters));
    const applied = this.values(line, line.applied);
    add("in force", applied || (line.verdicts.includes("applied") ? "as wanted" : ""));
    for (const cause of Object.keys(line.causes ?? {})) add("what to do", this.words.remedies[cause.split("#")[0]]);
    if (line.report_seq >= 0) add("rests on", `report ${line.report_seq} of ${line.node}`);
    add("models", (line.models ?? []).join(", "));
    if (line.held_until_ns) add("held until", `${(line.held_until_ns / 1e9).toFixed(2)} s, unless it is renewed`);
    add("wall clock", line.time);
    add("batch", line.id);
    return list;
  }
}

export function span(kind, text) {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  return element;
}
