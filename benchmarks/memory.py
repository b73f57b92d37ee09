"""Memory of a live host over a million reports: what it remembers must be bounded, because an operator's host has no end.

One xApp answers each report with a batch that changes all of its 100 UEs. The clock is virtual, so 28 hours of RAN time take minutes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.measure import Row
from benchmarks.still_world import N_UE, NAMES, NODE, PERIOD_MS, PERIOD_NS, StillWorld
from ranloop.bus import Bus, open_bus
from ranloop.guard import ActionRight, AuditLog, Rights, StreamRight
from ranloop.node import LiveHost, NodeHost, Registration, VirtualClock
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import decode_report, encode
from ranloop.wire.messages import ActionBatch

WARM, MANY = 100_000, 1_000_000  # reports
MOST = 1.05  # of the resident size when it was warm
RIGHTS = Rights(
    streams=(StreamRight(level="ue", every_ms=PERIOD_MS, measurements=NAMES[:4]),),
    actions=(ActionRight(name="SetUeWeight"),),
)


class _Answering(VirtualClock):
    """Polls the xApp whenever the host waits, and says when so many reports have been answered."""

    def __init__(self, bus: Bus, tell: dict[int, Callable[[], object]]) -> None:
        super().__init__()
        self._bus, self._tell, self._n_reports = bus, tell, 0
        self._ues = np.arange(N_UE)
        bus.subscribe(topics.report(NODE, "ue", PERIOD_MS), self._on_report, latest=True)

    def _on_report(self, _topic: str, payload: bytes) -> None:
        report = decode_report(payload)
        self._n_reports += 1
        batch = ActionBatch(
            id=f"memory-{report.seq % 1000}",  # the JSON reader keeps the 16,384 short texts that it saw last
            xapp="memory",
            node=NODE,
            seq=report.seq,
            action=SetUeWeight(ue=self._ues, weight=1.0 + report.seq % 8 / 8),
            valid_until_ns=report.ran_time_ns + 2 * PERIOD_NS,
            report_seq=report.seq,
        )
        self._bus.publish(topics.act("memory", NODE), encode(batch), qos=1)
        if self._n_reports in self._tell:
            self._tell[self._n_reports]()

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        self._bus.poll()
        super().wait(until_ns, poll)


def host_for(tell: dict[int, Callable[[], object]], *, audit: AuditLog | None = None) -> None:
    """Run a live host for as many reports as the last key of `tell` says; call its values after so many."""
    with closing(open_bus("memory://memory", name="memory")) as bus:
        clock = _Answering(bus, tell)
        with closing(open_bus("memory://memory", name="host")) as host_bus:
            xapps = {"memory": Registration(rights=RIGHTS)}
            host = NodeHost(StillWorld(), host_bus, xapps=xapps, audit=audit)
            LiveHost(host, clock=clock).run((max(tell) + 2) * PERIOD_NS / 1e9)


def resident_mb() -> float:
    """Of this process, now; where the system does not say, the most that it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / (1 << 20)


def _measure() -> None:
    host_for({n: lambda: print(resident_mb(), flush=True) for n in (WARM, MANY)})


def run() -> list[Row]:
    command = [sys.executable, "-m", "benchmarks.memory"]  # a process whose memory is the host's alone
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    warm_mb, many_mb = map(float, said.stdout.split())
    return [
        Row(
            name="resident size of a live host, 1,000,000 reports",
            unit="MB",
            p50=many_mb,
            peer="after 100,000 reports",
            peer_p50=warm_mb,
            ratio_p50=many_mb / warm_mb,
            bar=MOST,
            note=f"one xApp that changes {N_UE} UEs at each report; audit in memory; virtual clock",
        )
    ]


if __name__ == "__main__":
    _measure()
