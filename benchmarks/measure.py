"""The shared part of benchmarks: calls timed in turns with their peer, a row of the table, and the machine.

Other processes often use the machine, too. A benchmark and its peer are therefore measured in one run, in rounds that
alternate, and the median over the rounds is taken. A process that is busy for a second then spoils some rounds of both sides,
and not the ratio.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
ROUNDS = 20
_DISTRIBUTIONS = ("numpy", "numba", "onnxruntime", "pydantic", "paho-mqtt")
_LEAST_FOR_P99 = 200  # samples a round: two of them lie above the percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: Name of the measured operation.
        unit: Of `p50`, `p99` and their peers.
        p50: Median over rounds of the rounds' medians; of a throughput, the median itself.
        p99: Median over rounds of the rounds' 99th percentiles; None where there are too few samples.
        peer: Time of the peer in the same run.
        bar: Upper bound of the ratio to the peer, or of `p50` if there is no peer.
        bar_p99: Whether the bar holds for the ratio of the 99th percentiles, too.
        note: A remark that a reader of the number needs.
    """

    name: str
    unit: str
    p50: float
    p99: float | None = None
    peer: str = ""
    peer_p50: float | None = None
    ratio_p50: float | None = None
    ratio_p99: float | None = None
    bar: float | None = None
    bar_p99: bool = False
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the bar is met; None without one."""
        if self.bar is None:
            return None
        measured = self.p50 if self.ratio_p50 is None else self.ratio_p50
        worst = max(measured, self.ratio_p99) if self.bar_p99 and self.ratio_p99 is not None else measured
        return worst <= self.bar


def in_turns(
    calls: Mapping[str, Callable[[], object]], *, samples: int, calls_per_sample: int = 1
) -> dict[str, F64]:
    """Microseconds per call, shape [ROUNDS, samples / ROUNDS] each; the calls take turns sample by sample.

    Several calls per sample keep the clock's own 50 ns out of the result.
    """
    took_us = {name: np.empty((ROUNDS, samples // ROUNDS)) for name in calls}
    for call in calls.values():
        for _ in range(200):
            call()
    for at in np.ndindex(ROUNDS, samples // ROUNDS):
        for name, call in calls.items():
            began_ns = time.perf_counter_ns()
            for _ in range(calls_per_sample):
                call()
            took_us[name][at] = (time.perf_counter_ns() - began_ns) / 1e3 / calls_per_sample
    return took_us


def latency_row(
    name: str,
    took: F64,
    *,
    unit: str = "us",
    peer: str = "",
    peer_took: F64 | None = None,
    bar: float | None = None,
    bar_p99: bool = False,
    note: str = "",
) -> Row:
    """The row of samples [round, sample]; ratios are taken round by round, then their median."""
    p50, p99 = np.percentile(took, [50, 99], axis=1)
    enough = took.shape[1] >= _LEAST_FOR_P99
    row = Row(
        name=name,
        unit=unit,
        p50=_median(p50),
        p99=_median(p99) if enough else None,
        bar=bar,
        bar_p99=bar_p99,
        note=note,
    )
    if peer_took is None:
        return row
    peer_p50, peer_p99 = np.percentile(peer_took, [50, 99], axis=1)
    return replace(
        row,
        peer=peer,
        peer_p50=_median(peer_p50),
        ratio_p50=_median(p50 / peer_p50),
        ratio_p99=_median(p99 / peer_p99) if enough else None,
    )


def _median(values: F64) -> float:
    return float(np.median(values))


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table; its first line is the head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rest))


def machine() -> str:
    """Where it was measured, and how busy the machine was: a load above the number of CPUs slows everything."""
    versions = ", ".join(f"{name} {version(name)}" for name in _DISTRIBUTIONS)
    load = os.getloadavg()[1]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {_cpu()}, {os.cpu_count()} CPUs, load {load:.1f} (5 min); "
        f"{platform.system()} {platform.release()}; Python {platform.python_version()}, {versions}"
    )


def _cpu() -> str:
    """The processor's own name where the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else ())
        if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()
