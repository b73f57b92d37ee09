"""Training rows: a second's features beside how the throughput then changed, and the moving average to beat.

Logs and simulated drives come as the same reports, and the features are built by the `FeatureBinder` that serves the
xApp. Everything that looks back or ahead counts seconds, not rows: a second without a row is a gap in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ranloop.inference import Card, Feature, FeatureBinder, Output
from ranloop.node.replay import ReplayWorld
from ranloop.wire.messages import F32, I32, Report

PERIOD_MS = 1000
THP = "X.UE.AppThpDl"
OUTPUTS = (Output(name="change", unit="kbit/s"),)
_UNKNOWN = -1.0  # below any throughput, so that trees can tell it from none


def _throughput(**look_back: int | str) -> Feature:
    return Feature.model_validate({"measurement": THP, "unit": "kbit/s", "fill": _UNKNOWN, **look_back})


FEATURES = (
    *(_throughput(lag=lag) for lag in (0, 1, 2, 3, 4, 5, 8, 13)),
    *(_throughput(window=window, stat="mean") for window in (3, 10, 30)),
    *(_throughput(window=window, stat="max") for window in (5, 15)),
    _throughput(window=5, stat="min"),
    _throughput(window=5, stat="std"),
    Feature(measurement="RSRP", unit="dBm", fill=-140.0),
    Feature(measurement="RSRP", unit="dBm", window=5, stat="mean", fill=-140.0),
    Feature(measurement="CQI", unit="1", fill=0.0),
    Feature(measurement="CQI", unit="1", window=5, stat="mean", fill=0.0),
    Feature(measurement="X.UE.Snr", unit="dB", fill=-30.0),
    Feature(measurement="X.UE.Snr", unit="dB", window=5, stat="mean", fill=-30.0),
    Feature(measurement="X.UE.Speed", unit="km/h", fill=-1.0),
    Feature(measurement="X.UE.NrMode", unit="1", fill=-1.0),
    Feature(measurement="X.UE.Downloading", unit="1", fill=-1.0),
    Feature(measurement="X.UE.Downloading", unit="1", window=5, stat="mean", fill=-1.0),
)
MEASURED = frozenset(feature.measurement for feature in FEATURES)


class Samples(NamedTuple):
    """Rows of a stream; a row whose target second is missing has a truth of NaN."""

    inputs: F32  # [n, n_features]
    now_kbps: F32  # [n]
    truth_kbps: F32  # [n, n_horizon]
    ewma_kbps: F32  # [n, n_time_constant]


def logged(world: ReplayWorld) -> list[list[Report]]:
    """The reports of each log of a replay."""
    wanted = {(catalogue.node, "ue", PERIOD_MS): MEASURED for catalogue in world.catalogues}
    logs: dict[str, list[Report]] = {catalogue.node: [] for catalogue in world.catalogues}
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        for report in world.reports(wanted):
            logs[report.node].append(report)
    return list(logs.values())


def pair_up(
    reports: Sequence[Report], horizons_s: Sequence[int], time_constants_s: Sequence[float]
) -> Samples:
    """Features, truths and moving averages of all rows of one stream that have a throughput."""
    binder = FeatureBinder(probe_card())
    at = {report.seq: report for report in reports}
    averages = _Averages(time_constants_s)
    parts: list[tuple[F32, ...]] = []
    for report in reports:
        inputs = binder.matrix(report)
        known = ~np.isnan(report[THP])
        later = [at.get(report.seq + horizon) for horizon in horizons_s]
        truth = [_throughput_of(report.ue, then) for then in later]
        ewma = averages.brought_to(report.seq, report.ue[known], report[THP][known])
        parts.append((inputs[known], report[THP][known], np.stack(truth, axis=1)[known], ewma))
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def join(parts: Iterable[Samples]) -> Samples:
    return Samples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def probe_card() -> Card:
    """A card that only serves to build features, before there is a model."""
    return Card(
        name="app_throughput",
        version="0",
        summary="",
        sha256="0" * 64,
        period_ms=PERIOD_MS,
        features=FEATURES,
        outputs=OUTPUTS,
    )


def _throughput_of(ue: I32, report: Report | None) -> F32:
    """Throughput of each UE in a report, NaN where there is none."""
    if report is None:
        return np.full(len(ue), np.nan, np.float32)
    there = dict(zip(report.ue.tolist(), report[THP].tolist(), strict=True))
    return np.array([there.get(one, np.nan) for one in ue.tolist()], np.float32)


class _Averages:
    """Moving averages of every UE of a stream, for several time constants at once.

    The rule of the xApp's `policy.smoothed` in arrays; a test holds the two together.
    """

    def __init__(self, time_constants_s: Sequence[float]) -> None:
        self._time_constants_s = np.asarray(time_constants_s, np.float64)
        self._known: dict[int, tuple[int, np.ndarray]] = {}

    def brought_to(self, second: int, ue: I32, kbps: F32) -> F32:
        """Averages including this second, shape [n, n_time_constant]."""
        out = np.empty((len(ue), len(self._time_constants_s)), np.float32)
        for row, (one, value) in enumerate(zip(ue.tolist(), kbps.tolist(), strict=True)):
            since, average = self._known.get(one, (second, np.full(len(self._time_constants_s), value)))
            average = average - np.expm1((since - second) / self._time_constants_s) * (value - average)
            self._known[one] = second, average
            out[row] = average
        return out
