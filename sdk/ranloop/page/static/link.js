// The WebSocket: decodes what the server says (see ranloop/page/frames.py), and connects again when it is gone.

export function decode(buffer) {
  const view = new DataView(buffer);
  const text = new TextDecoder();
  const frames = [];
  for (let at = 0; at + 8 <= buffer.byteLength; ) {
    const nHead = view.getUint32(at, true);
    const rows = view.getUint32(at + 4, true);
    const head = JSON.parse(text.decode(new Uint8Array(buffer, at + 8, nHead)));
    at += 8 + nHead;
    const columns = new Map();
    for (const name of head.columns) {
      columns.set(name, new Float32Array(buffer, at, rows));
      at += 4 * rows;
    }
    frames.push({ ...head, rows, columns });
  }
  return frames;
}

export class Link {
  // `on` has a function for each kind of message, and `frames` and `closed`.
  constructor(on) {
    this.on = on;
    this.wanted = null;
    this.waitS = 0.5;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/events`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.waitS = 0.5;
      this.socket = socket;
      if (this.wanted) socket.send(this.wanted);
    };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") {
        this.on.frames(decode(data));
        return;
      }
      const fact = JSON.parse(data);
      this.on[fact.kind]?.(fact);
    };
    socket.onclose = ({ reason }) => {
      this.socket = null;
      this.on.closed(reason);
      setTimeout(() => this.open(), 1000 * this.waitS);
      this.waitS = Math.min(2 * this.waitS, 10);
    };
  }

  // Ask for these columns (level -> names) of this span of RAN time; null follows the run.
  watch(columns, span) {
    const wanted = JSON.stringify({ op: "watch", columns, span });
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    this.socket?.send(wanted);
  }
}
