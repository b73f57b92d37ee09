"""Cells per host and hosts per broker: who is busy first, and how much CPU a loop costs each.

A loop is a report of a node's 3 cells and 100 UEs, an action of 100 targets and its result, through the guarded live host in real time.
The reports are valid and come from `StillWorld`, so no physics is in the figures. Host, xApp and broker are processes of their own, and
each figure is the CPU time of one of them: other processes of the machine spoil the latencies, and CPU times little.

The last rows multiply. They take the dearest loop that was seen without overload, one report a node and second, and processes that are
busy for `BUSY` of their time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.far_end import THRESHOLD, far_end
from benchmarks.measure import Row
from benchmarks.still_world import DELAY_NS, N_CELLS, StillWorld
from ranloop.bus import Broker, open_bus
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.wire.messages import Report, Result
from ranloop.xapp.manifest import load_manifest

PERIOD_MS = 1000
SECONDS, WARM_UP_S = 10, 3
# Hosts, cells of each: a host alone up to what no process carries, and more and more hosts of the same size.
SIZES = ((1, 10), (1, 100), (1, 1000), (1, 10_000), (2, 300), (4, 300), (8, 300))
PLANNED_CELLS = (1000, 100_000, 1_000_000)
BUSY = 0.5  # of a core, in a plan: the rest is for bursts
PARTS = ("host", "xApp", "broker")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class TimedHost(NodeHost):
    """Notes how long after its report each result leaves, after the warm-up; an action that changes nothing has one, too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._left_s: dict[str, float] = {}
        self.took_s: list[float] = []
        self.n_due = self.n_loops = 0

    def publish_reports(self, reports: Sequence[Report]) -> None:
        counted = [report.node for report in reports if WARM_UP_S <= report.ran_time_ns / 1e9 < SECONDS]
        self.n_due += len(counted)
        self._left_s |= dict.fromkeys(counted, time.monotonic())
        super().publish_reports(reports)

    def publish_results(self, results: Sequence[Result]) -> None:
        super().publish_results(results)
        for result in results:
            if result.cause.any():
                continue
            self.n_loops += 1
            if (left_s := self._left_s.pop(result.node, None)) is not None:
                self.took_s.append(time.monotonic() - left_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a size cost.

    Attributes:
        hosts, cells: Number of hosts, and of cells of each.
        busy: Part -> share of a core; of the hosts the busiest.
        us_per_loop: Part -> CPU time.
        done: Loops that were closed, of those that were due.
        took_ms: From each report until its result leaves, less the node's own delay.
    """

    hosts: int
    cells: int
    busy: Mapping[str, float]
    us_per_loop: Mapping[str, float]
    done: float
    took_ms: Sequence[float]


def host(port: str, name: str, n_nodes: str, folder: str) -> None:
    """The host's process: serves on the word of its standard input, and prints what it cost."""
    manifest = load_manifest(Path(folder))
    world = StillWorld([f"{name}-{number}" for number in range(int(n_nodes))], PERIOD_MS)
    with open_bus(f"mqtt://127.0.0.1:{port}", name=name) as bus:
        xapps = {manifest.name: Registration(rights=manifest.rights)}
        serving = TimedHost(world, bus, xapps=xapps, name=name)
        live = LiveHost(serving)
        print("READY", flush=True)
        sys.stdin.readline()
        began_s = time.process_time()
        live.run(SECONDS)
        told = {"cpu_s": time.process_time() - began_s, "took_s": serving.took_s}
        print(json.dumps(told | {"n_due": serving.n_due, "n_loops": serving.n_loops}), flush=True)


def measure(hosts: int, cells: int, folder: Path) -> Load:
    """Run a size on a broker of its own."""
    n_nodes = -(-cells // N_CELLS)
    with ExitStack() as stack:
        broker = stack.enter_context(Broker.start())
        xapp = stack.enter_context(far_end("ranloop", str(broker.port), str(folder)))
        running = [stack.enter_context(_host(broker.port, f"host{n}", n_nodes, folder)) for n in range(hosts)]
        for process in running:
            _expect(process, "READY")
        before = {"xApp": _cpu_s(xapp.pid), "broker": _cpu_s(broker.pid)}
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told: list[Mapping[str, Any]] = [json.loads(_expect(process, "{")) for process in running]
        cpu_s = {
            "host": sum(of_host["cpu_s"] for of_host in told),
            "xApp": _cpu_s(xapp.pid) - before["xApp"],
            "broker": _cpu_s(broker.pid) - before["broker"],
        }
    took_s = [took for of_host in told for took in of_host["took_s"]]
    n_loops = sum(of_host["n_loops"] for of_host in told)
    return Load(
        hosts=hosts,
        cells=cells,
        busy={part: s / SECONDS for part, s in cpu_s.items()}
        | {"host": max(of_host["cpu_s"] for of_host in told) / SECONDS},
        us_per_loop={part: s / max(n_loops, 1) * 1e6 for part, s in cpu_s.items()},
        done=len(took_s) / max(sum(of_host["n_due"] for of_host in told), 1),
        took_ms=[took * 1e3 - DELAY_NS / 1e6 for took in took_s],
    )


def run() -> list[Row]:
    """All sizes, and what they mean for larger networks."""
    with tempfile.TemporaryDirectory(prefix="ranloop-scale-") as scratch:
        folder = _every(PERIOD_MS, Path(scratch))
        rows, loads = [], []
        for hosts, cells in SIZES:
            loads.append(measure(hosts, cells, folder))
            rows += _rows(loads[-1], f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            print(f"{rows[-4].name}: {rows[-4].note}", file=sys.stderr, flush=True)
    return rows + _plan(loads)


def _rows(load: Load, machine: str) -> list[Row]:
    name = f"scale, {load.hosts} x {load.cells:,} cells"
    first = max(load.busy, key=lambda part: load.busy[part])
    p50, p99 = np.percentile(load.took_ms or [np.nan], (50, 99))
    took = Row(
        name=f"{name}: report to result",
        unit="ms",
        p50=float(p50),
        p99=float(p99),
        note=f"{100 * load.done:.0f} % of loops; busiest: {first}; {machine}",
    )
    shares = [
        Row(
            name=f"{name}: {part}",
            unit="% of a core",
            p50=100 * load.busy[part],
            note=f"{load.us_per_loop[part]:.0f} us a loop",
        )
        for part in PARTS
    ]
    return [took, *shares]


def _plan(loads: Sequence[Load]) -> list[Row]:
    """Processes of each part for networks that nobody measured."""
    fair = [load for load in loads if load.done > 0.95 and load.hosts * load.cells >= 100]
    if not fair:
        return []
    us_per_loop = {part: max(load.us_per_loop[part] for load in fair) for part in PARTS}
    return [
        Row(
            name=f"sizing, {cells:,} cells: {part}",
            unit="processes",
            p50=float(np.ceil(cells / N_CELLS * 1000 / PERIOD_MS * us_per_loop[part] / 1e6 / BUSY)),
            note=f"{us_per_loop[part]:.0f} us a loop, each {100 * BUSY:.0f} % busy",
        )
        for cells in PLANNED_CELLS
        for part in PARTS
    ]


def _every(period_ms: int, scratch: Path) -> Path:
    """The threshold xApp with another period."""
    folder = scratch / "threshold"
    folder.mkdir()
    for name in ("manifest.toml", "app.py"):
        text = (THRESHOLD / name).read_text("utf-8")
        changed = text.replace("every_ms = 100", f"every_ms = {period_ms}").replace(
            "every_ms=100", f"every_ms={period_ms}"
        )
        (folder / name).write_text(changed, "utf-8")
    return folder


def _host(port: int, name: str, n_nodes: int, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scale", str(port), name, str(n_nodes), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _expect(process: subprocess.Popen[str], start: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise RuntimeError(f"a host ended with {process.wait()} before it said {start}")


def _cpu_s(pid: int) -> float:
    """CPU time of a process so far: fields 14 and 15 of its stat, counted after the name, which may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


if __name__ == "__main__":
    host(*sys.argv[1:])
