// Colours of values: viridis (Smith and van der Walt, CC0), which eyes that confuse red and green read, too.

const VIRIDIS = "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725"
  .split(" ")
  .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));

export const LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b8a900"]; // Okabe and Ito

export function colour(part) {
  const at = Math.min(Math.max(part, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const mixed = VIRIDIS[low].map((one, i) => Math.round(one + (at - low) * (VIRIDIS[low + 1][i] - one)));
  return `rgb(${mixed.join(" ")})`;
}

// A scale over the range of the catalogue, or over what was seen; it grows, so that a colour keeps its meaning.
export class Scale {
  constructor(about) {
    this.about = about;
    const bounded = about.unit === "%" && about.low !== null && about.high !== null;
    this.fixed = bounded;
    this.low = bounded ? about.low : NaN;
    this.high = bounded ? about.high : NaN;
  }

  see(values) {
    if (this.fixed) return;
    const known = values.filter((one) => !Number.isNaN(one)).sort((a, b) => a - b);
    if (!known.length) return;
    const [low, high] = [known[0], known[Math.floor(0.95 * (known.length - 1))]];
    if (!(low >= this.low && high <= this.high)) {
      const floor = this.about.low === 0 ? 0 : Math.min(low, Number.isNaN(this.low) ? low : this.low);
      [this.low, this.high] = nice(floor, Math.max(high, Number.isNaN(this.high) ? high : this.high));
    }
  }

  of(value) {
    return colour((value - this.low) / (this.high - this.low || 1));
  }
}

function nice(low, high) {
  const step = 10 ** Math.floor(Math.log10(Math.max(high - low, 1e-9))) / 2;
  return [Math.floor(low / step) * step, Math.max(Math.ceil(high / step) * step, low + step)];
}

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "no value";
  const size = Math.abs(value);
  if (size >= 1e5) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

export function withUnit(value, unit) {
  const text = number(value);
  return unit === "1" || text === "no value" ? text : `${text} ${unit}`;
}
