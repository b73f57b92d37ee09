"""Cells per host and hosts per broker: what a loop costs each process, and which one is busy first.

A loop is a report of a node's 3 cells and 100 UEs with 12 measurements, an action on all 100, and its result, through the
guarded live host in real time. Reports are valid and come from `StillWorld`: nothing is computed for them. Hosts, xApp (or its
shards) and broker are processes of their own, and each is charged by the system for its CPU time. No client waits awake, as on a
machine with more processes than cores. On such a machine, or beside other work, latencies are the machine's.

`python -m benchmarks.scale` measures, and keeps the figures in scale.json for `python -m benchmarks.sizing`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.far_end import THRESHOLD, far_end
from benchmarks.loop import asleep
from benchmarks.measure import Row, machine
from benchmarks.still_world import DELAY_NS, N_CELLS
from ranloop.bus import Broker
from ranloop.bus.broker import BrokerKind

KEPT = Path(__file__).with_name("scale.json")
SECONDS = 4.0  # of measurement, at each size
PARTS = ("host", "xApp", "broker")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """So many hosts on one broker, cells of each, and xApp processes that share them."""

    broker: BrokerKind = "mosquitto"
    hosts: int = 1
    cells: int
    period_ms: int = 1000
    shards: int = 1

    @property
    def nodes(self) -> int:
        """Of each host."""
        return -(-self.cells // N_CELLS)

    @property
    def due_per_s(self) -> float:
        """Loops that close where nobody is overloaded."""
        return self.hosts * self.nodes * 1000 / self.period_ms


SIZES = (
    *(Size(cells=cells) for cells in (10, 100, 1000, 10_000)),
    *(Size(cells=cells, period_ms=100) for cells in (10, 100, 1000)),
    *(Size(hosts=hosts, cells=100) for hosts in (4, 10)),
    Size(hosts=4, cells=250, shards=4),
    *(Size(broker="nats", cells=cells) for cells in (100, 1000)),
    Size(broker="nats", cells=100, period_ms=100),
    Size(broker="nats", hosts=4, cells=100),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a size cost, in `SECONDS`.

    Attributes:
        loops_per_s: Loops that were closed, in time or not.
        in_time: Share of the reports that had their result before the next one.
        p50_ms, p99_ms: From a report to its result, less the node's control delay, of those in time; None if there is none.
        busy: Part -> share of a core; of several hosts or shards the busiest.
        cpu_us: Part -> CPU time per closed loop.
        resident_mb: Part -> memory; of several the largest.
    """

    size: Size
    loops_per_s: float
    in_time: float
    p50_ms: float | None
    p99_ms: float | None
    busy: Mapping[str, float]
    cpu_us: Mapping[str, float]
    resident_mb: Mapping[str, float]

    @property
    def first(self) -> str:
        """The part that is busiest."""
        return max(PARTS, key=lambda part: self.busy[part])


def measure(size: Size, folder: Path) -> Load:
    """Run a size on a broker of its own."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker.start(size.broker))
        of_shards = (
            [f"{number}/{size.shards}" for number in range(1, size.shards + 1)] if size.shards > 1 else [""]
        )
        xapps = [
            stack.enter_context(far_end("ranloop", str(broker.port), str(folder), *filter(None, [shard])))
            for shard in of_shards
        ]
        hosts = [stack.enter_context(_host(broker.port, f"host{n}", size, folder)) for n in range(size.hosts)]
        for host in hosts:
            _expect(host, "BEGIN")
        pids = {
            "host": [one.pid for one in hosts],
            "xApp": [one.pid for one in xapps],
            "broker": [broker.pid],
        }
        before_s, began_s = _each(pids, _cpu_s), time.monotonic()
        time.sleep(SECONDS)
        after_s, ended_s = _each(pids, _cpu_s), time.monotonic()
        resident_mb = {part: max(found) for part, found in _each(pids, _resident_mb).items()}
        for host in hosts:
            assert host.stdin is not None
            host.stdin.close()
        told = [json.loads(_expect(host, "{")) for host in hosts]
    late_s = ended_s - size.period_ms / 1000  # what left later had no period to be answered in
    loops = [
        (left_s, took_s) for one in told for left_s, took_s in one["loops"] if began_s <= left_s < late_s
    ]
    took_ms = [took_s * 1e3 - DELAY_NS / 1e6 for _, took_s in loops if took_s is not None]
    used_s = {part: np.subtract(after_s[part], before_s[part]) for part in PARTS}
    n_results = sum(began_s <= at_s < ended_s for one in told for at_s in one["results"])
    p50_ms, p99_ms = map(float, np.percentile(took_ms, (50, 99))) if took_ms else (None, None)
    seconds = ended_s - began_s
    loops_per_s = n_results / seconds
    return Load(
        size=size,
        loops_per_s=loops_per_s,
        in_time=len(took_ms) / max(len(loops), 1),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        busy={part: float(used.max()) / seconds for part, used in used_s.items()},
        cpu_us={part: float(used.sum()) / max(n_results, 1) * 1e6 for part, used in used_s.items()},
        resident_mb=resident_mb,
    )


def loads() -> Iterator[Load]:
    """All sizes, in turn."""
    with tempfile.TemporaryDirectory(prefix="ranloop-scale-") as scratch, asleep():
        folders = {ms: _every(ms, Path(scratch) / str(ms)) for ms in {size.period_ms for size in SIZES}}
        for size in SIZES:
            yield measure(size, folders[size.period_ms])


def run() -> list[Row]:
    """A row of each size."""
    return [row_of(load) for load in loads()]


def row_of(load: Load) -> Row:
    """The latency, and in words what the processes were charged."""
    size = load.size
    hosts = f"{size.hosts} host{'s' if size.hosts > 1 else ''} x {size.cells:,} cells"
    shards = f", {size.shards} shards" if size.shards > 1 else ""
    busy = ", ".join(f"{part} {100 * load.busy[part]:.0f}" for part in PARTS)
    memory = ", ".join(f"{part} {load.resident_mb[part]:.0f}" for part in PARTS)
    return Row(
        name=f"scale, {size.broker}, {hosts} every {size.period_ms / 1000:g} s{shards}",
        unit="ms",
        p50=float("nan") if load.p50_ms is None else load.p50_ms,
        p99=load.p99_ms,
        note=f"{load.loops_per_s:.0f} of {size.due_per_s:.0f} loops/s, {100 * load.in_time:.0f} % before the next report; % of a core: {busy}; "
        f"MB: {memory}; busiest: {load.first}",
    )


def keep(found: Sequence[Load]) -> None:
    """Write the figures, and where they were measured, to `KEPT`."""
    facts = {"machine": machine(), "loads": [asdict(load) for load in found]}
    KEPT.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def kept() -> tuple[str, list[Load]]:
    """Where and when the figures of `KEPT` were measured, and the figures."""
    facts = json.loads(KEPT.read_text("utf-8"))
    return facts["machine"], [Load(**{**load, "size": Size(**load["size"])}) for load in facts["loads"]]


def _every(period_ms: int, folder: Path) -> Path:
    """The threshold xApp with another period."""
    folder.mkdir()
    for name in ("manifest.toml", "app.py"):
        text = (THRESHOLD / name).read_text("utf-8")
        for form in ("every_ms = {}", "every_ms={}"):
            text = text.replace(form.format(100), form.format(period_ms))
        (folder / name).write_text(text, "utf-8")
    return folder


@contextmanager
def _host(port: int, name: str, size: Size, folder: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = [str(port), name, str(size.nodes), str(size.period_ms), str(folder), str(size.shards)]
    command = [sys.executable, "-m", "benchmarks.scale_host", *arguments]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _expect(process: subprocess.Popen[str], start: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise RuntimeError(f"a host ended with {process.wait()} before it said {start}")


def _each(pids: Mapping[str, Sequence[int]], look: Any) -> dict[str, list[float]]:
    return {part: [look(pid) for pid in own] for part, own in pids.items()}


def _cpu_s(pid: int) -> float:
    """CPU time of a process so far: proc(5), fields 14 and 15 of stat, counted after the name, which may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> None:
    found = []
    for load in loads():
        found.append(load)
        row = row_of(load)
        print(
            f"{row.name}: p50 {row.p50:.1f} ms, p99 {row.p99 or float('nan'):.1f} ms; {row.note}", flush=True
        )
    keep(found)


if __name__ == "__main__":
    main()
