"""A step of `throughput_forecaster`: a report in; forecasts scored, learned from and made anew, for both horizons, with a full history."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, in_turns, latency_row
from ranloop.testing import XAppHarness, make_report
from ranloop.wire import Report

XAPP = Path(__file__).parents[1] / "xapps" / "throughput_forecaster"
HISTORY_S = 2048  # what a phone remembers
SAMPLES = 2000
_WARM_UP = 200  # calls of `in_turns`
BAR_US = 300.0


def _reports() -> Iterator[Report]:
    """Seconds of a phone that downloads in bursts."""
    rng = np.random.default_rng(1)
    for seq in itertools.count():
        kbps = rng.exponential(20_000.0, 1) * (rng.random() < 0.5)
        columns = {"X.UE.AppThpDl": kbps, "X.UE.NrMode": np.ones(1), "X.UE.Downloading": np.ones(1)}
        yield make_report(columns, period_ms=1000, seq=seq)


def run() -> list[Row]:
    """One row, of a report of one phone."""
    xapp, reports = XAppHarness(XAPP), _reports()
    for _ in range(HISTORY_S):
        xapp.send(next(reports))
    ready = list(itertools.islice(reports, SAMPLES + _WARM_UP))[::-1]  # made beforehand
    took_us = in_turns({"step": lambda: xapp.send(ready.pop())}, samples=SAMPLES)["step"]
    return [latency_row("forecaster step", took_us, bar=BAR_US, note="one phone, two horizons, full history")]
