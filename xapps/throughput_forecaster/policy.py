"""Forecasts of a phone's application throughput, kept until their second comes, scored, and learned from.

Experts forecast, and a mixture learns how much each of them is worth for this phone (`mixture`). Some experts are rules: persistence
(the throughput stays as in the last second), exponentially weighted moving averages (EWMA) and window means. The others look for the
seconds of this phone's own past that were most like the last ones (`analogues`). Each forecast has an interval (`interval`).

A forecast is scored when the phone reports its very second. If that second is missing from the log, or lies past the
log's end, there is no truth: it counts as `n_without_truth` and in no error. Forecasts are grouped by what was known
when they were made: on 5G or not, downloading or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop import Report

from .analogues import FADES, NEIGHBOURS, Analogues
from .interval import AdaptiveInterval, Interval
from .mixture import Mixture

HORIZONS_S = (1, 5)
GROUPS = ("all", "on_5g", "downloading")
EWMA_S = (2.0, 8.0, 32.0)  # time constants
MEAN_S = (5, 10, 30)  # windows
RULES = ("persistence", *(f"ewma_{s:g}s" for s in EWMA_S), *(f"mean_{s}s" for s in MEAN_S))
FORECASTERS = ("model", *RULES)  # the model is the mixture
N_EXPERTS = len(RULES) + 2 * len(FADES) * len(NEIGHBOURS)
F64 = NDArray[np.float64]


class Second(NamedTuple):
    """One second of one phone, NaN = no value."""

    number: int  # counts seconds; gaps stay gaps
    thp_kbps: float
    on_5g: bool
    downloading: bool

    @classmethod
    def rows_of(cls, report: Report) -> list[Second]:
        """One per row of a report."""
        columns = (report["X.UE.AppThpDl"], report["X.UE.NrMode"] == 1, report["X.UE.Downloading"] == 1)
        return [cls(report.seq, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]


class Forecast(NamedTuple):
    """What is expected of one second to come."""

    experts_kbps: F64  # [N_EXPERTS], the rules first
    kbps: float  # the mixture
    spread_kbps: float  # mean distance of the experts from the mixture
    interval: Interval
    groups: tuple[bool, ...]  # as GROUPS


class Score:
    """Forecasts of one horizon: how many were made, and how good those were whose second came."""

    def __init__(self) -> None:
        self.n_made = 0
        self.n = np.zeros(len(GROUPS), np.int64)
        self.n_held = np.zeros(len(GROUPS), np.int64)  # truths within the interval
        self.n_unbounded = np.zeros(len(GROUPS), np.int64)
        self.sum_width_kbps = np.zeros(len(GROUPS))  # of the bounded intervals
        self.sum_kbps = np.zeros((len(GROUPS), len(FORECASTERS)))  # absolute errors

    def add(self, forecast: Forecast, truth_kbps: float) -> None:
        groups, (low, high) = np.array(forecast.groups), forecast.interval
        self.n += groups
        self.n_held += groups & (low <= truth_kbps <= high)
        self.n_unbounded += groups & (high == math.inf)
        self.sum_width_kbps += groups * (high - low if high < math.inf else 0.0)
        errors = np.abs(np.append(forecast.kbps, forecast.experts_kbps[: len(RULES)]) - truth_kbps)
        self.sum_kbps += groups[:, None] * errors

    def join(self, other: Score) -> None:
        """Count the forecasts of another score as this one's."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def facts(self) -> dict[str, Any]:
        """Per group the number of scored forecasts, mean absolute errors in kbit/s, and how the intervals did; None if there is none.

        The EWMA is the one of `EWMA_S` with the least error in the group, as only hindsight could choose it, and so is the window mean.
        """
        found: dict[str, Any] = {}
        for g, (group, n) in enumerate(zip(GROUPS, self.n.tolist(), strict=True)):
            maes = dict(zip(FORECASTERS, (self.sum_kbps[g] / n).tolist(), strict=True)) if n else {}
            n_bounded = n - int(self.n_unbounded[g])
            found[group] = {
                "n": n,
                "mae_model_kbps": maes.get("model"),
                "mae_persistence_kbps": maes.get("persistence"),
                "mae_ewma_kbps": min((maes[f"ewma_{s:g}s"] for s in EWMA_S), default=None) if n else None,
                "mae_mean_kbps": min((maes[f"mean_{s}s"] for s in MEAN_S), default=None) if n else None,
                "interval_held_pct": 100 * int(self.n_held[g]) / n if n else None,
                "interval_unbounded_pct": 100 * int(self.n_unbounded[g]) / n if n else None,
                "interval_width_kbps": self.sum_width_kbps[g] / n_bounded if n_bounded else None,
            }
        return {**found, "n_without_truth": self.n_made - int(self.n[0])}


Scores = dict[int, Score]  # by horizon in seconds


def new_scores() -> Scores:
    return {horizon: Score() for horizon in HORIZONS_S}


class Phone:
    """All that is known of one phone: its history, what its forecasts have taught, and the forecasts whose second is to come.

    A phone takes less than 64 KiB.
    """

    def __init__(self) -> None:
        self._history = Analogues(HORIZONS_S)
        self._ewma_kbps = np.full(len(EWMA_S), math.nan)
        self._mixtures = {horizon: Mixture(N_EXPERTS) for horizon in HORIZONS_S}
        self._intervals = {horizon: AdaptiveInterval() for horizon in HORIZONS_S}
        self._last = -1
        self._waiting: dict[tuple[int, int], Forecast] = {}  # (horizon, second) -> forecast

    def observe(self, now: Second, scores: Scores) -> dict[int, Forecast]:
        """Score the forecasts of this second, learn from them, and make new ones.

        Args:
            now: The second.
            scores: Of the phone's trace.

        Returns:
            The new forecasts by horizon; none for a second without a throughput, or one that is not new, which changes nothing.
        """
        if now.number <= self._last:
            return {}
        for due in [due for due in self._waiting if due[1] <= now.number]:
            forecast = self._waiting.pop(due)
            if due[1] == now.number and not math.isnan(now.thp_kbps):
                scores[due[0]].add(forecast, now.thp_kbps)
                self._learn(due[0], forecast, now.thp_kbps)
        if math.isnan(now.thp_kbps):
            return {}
        elapsed_s = now.number - self._last if self._last >= 0 else 1
        self._last = now.number
        made = self._forecasts(now, elapsed_s)
        for horizon, forecast in made.items():
            scores[horizon].n_made += 1
            self._waiting[horizon, now.number + horizon] = forecast
        return made

    def _learn(self, horizon: int, past: Forecast, truth_kbps: float) -> None:
        self._mixtures[horizon].learn(past.experts_kbps, past.kbps, truth_kbps)
        self._intervals[horizon].learn(past.kbps, past.spread_kbps, past.interval, truth_kbps)

    def _forecasts(self, now: Second, elapsed_s: int) -> dict[int, Forecast]:
        self._history.add(now.thp_kbps, elapsed_s)
        self._ewma_kbps = smoothed(self._ewma_kbps, now.thp_kbps, elapsed_s)
        past = self._history.kbps
        means = [np.add.reduce(past[:s]) / min(s, len(past)) for s in MEAN_S]
        rules = (now.thp_kbps, *self._ewma_kbps, *means)
        groups = (True, now.on_5g, now.downloading)
        made = {}
        for horizon, analogues in zip(HORIZONS_S, self._history.forecasts(), strict=True):
            experts = np.concatenate((rules, analogues))
            kbps, spread_kbps = self._mixtures[horizon].mix(experts)
            interval = self._intervals[horizon].around(kbps, spread_kbps)
            made[horizon] = Forecast(experts, kbps, spread_kbps, interval, groups)
        return made


def smoothed(before: F64, value: float, elapsed_s: float) -> F64:
    """Moving averages with the time constants `EWMA_S`, brought on by `elapsed_s`; NaN before the first value."""
    gains = -np.expm1(-elapsed_s / np.array(EWMA_S))
    return np.where(np.isnan(before), value, before + gains * (value - before))


def summary(scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Errors per trace and overall, each horizon beside its rules; plain data."""
    return {
        "overall": _facts(scores.values()),
        "traces": {trace: _facts([own]) for trace, own in scores.items()},
    }


def _facts(several: Iterable[Scores]) -> dict[str, Any]:
    total = new_scores()
    for scores in several:
        for horizon, score in scores.items():
            total[horizon].join(score)
    return {f"{horizon}s": score.facts() for horizon, score in total.items()}
