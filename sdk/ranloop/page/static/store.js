// The frames that this page has, by world, level and stream; asked by RAN time.

const KEPT = 1500; // frames of one stream
const NAMES = 4096; // that anybody may make up

export class Store {
  constructor() {
    this.clear();
  }

  clear() {
    this.every = 1; // only every n-th report of the past is here
    this.streams = new Map(); // "world|level" -> Map of "node|ms" -> frames, ascending in t
    this.times = new Map(); // "world|level" -> ascending RAN times
  }

  add(frame) {
    const key = `${frame.w}|${frame.level}`;
    const streams = getOr(this.streams, key, () => new Map());
    const stream = `${frame.node}|${frame.ms}`;
    const frames = streams.get(stream) ?? [];
    remember(streams, stream, frames);
    insert(frames, frame, (one) => one.t);
    if (frames.length > KEPT) frames.shift();
    frame.moment = Math.round((frame.t * 1000) / frame.ms) * frame.ms / 1000; // nodes of one network report together
    const times = getOr(this.times, key, () => []);
    insert(times, frame.moment, (one) => one);
    if (times.length > KEPT) times.shift();
  }

  moments(world, level) {
    return this.times.get(`${world}|${level}`) ?? [];
  }

  // Of each node the newest frame at `t` that has the column; one that is older than three periods says nothing about now.
  at(world, level, t, name) {
    const found = [];
    for (const frames of this.streams.get(`${world}|${level}`)?.values() ?? []) {
      for (let i = before(frames, t + 1e-6); i >= 0; i--) {
        const frame = frames[i];
        if (t - frame.t > Math.max(0.003 * frame.ms * this.every, 1)) break;
        if (frame.columns.has(name)) {
          found.push(frame);
          break;
        }
      }
    }
    return found;
  }

  // All frames of a moment that have the column.
  of(world, level, moment, name) {
    const found = [];
    for (const frames of this.streams.get(`${world}|${level}`)?.values() ?? []) {
      for (let i = before(frames, moment + 0.5); i >= 0 && frames[i].t > moment - 0.5; i--) {
        if (frames[i].moment === moment && frames[i].columns.has(name)) found.push(frames[i]);
      }
    }
    return found;
  }
}

// Index of the last element whose t is at most `t`, -1 if there is none.
export function before(frames, t) {
  let low = 0;
  let high = frames.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle].t <= t) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function insert(list, item, of) {
  let at = list.length;
  while (at > 0 && of(list[at - 1]) > of(item)) at--;
  if (at > 0 && of(list[at - 1]) === of(item)) list[at - 1] = item;
  else list.splice(at, 0, item);
}

export function getOr(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

// Keep what was heard of last under names that came with messages; where there are too many, the one goes that was silent longest.
export function remember(map, name, value) {
  map.delete(name);
  map.set(name, value);
  if (map.size > NAMES) map.delete(map.keys().next().value);
}
