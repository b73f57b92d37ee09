"""Forecasts of a phone's application throughput, kept until their second comes, and scored beside two simple rules.

A model forecasts the change of the throughput within its horizon; the forecast is the last second plus that change, never below
zero. The rules are persistence (the throughput stays as in the last second) and an exponentially weighted moving average. Its time
constant was tuned on the model's training data and is on the model's card.

A forecast is scored when the phone reports its very second. If that second is missing from the log, or lies past the
log's end, there is no truth: it counts as `n_without_truth` and in no error. Forecasts are grouped by what was known
when they were made: on 5G or not, downloading or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ranloop import Report
from ranloop.errors import ModelError
from ranloop.inference import Card

HORIZONS_S = (1, 5)
GROUPS = ("all", "on_5g", "downloading")
FORECASTERS = ("model", "persistence", "ewma")


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
    """The throughput that each forecaster expects in one second to come."""

    kbps: tuple[float, ...]  # as FORECASTERS
    groups: tuple[bool, ...]  # as GROUPS


class Score:
    """Forecasts of one horizon: how many were made, and the errors of those whose second came."""

    def __init__(self) -> None:
        self.n_made = 0
        self.n = np.zeros(len(GROUPS), np.int64)
        self.sum_kbps = np.zeros((len(GROUPS), len(FORECASTERS)))  # absolute errors

    def add(self, forecast: Forecast, truth_kbps: float) -> None:
        self.n += forecast.groups
        self.sum_kbps += np.outer(forecast.groups, np.abs(np.subtract(forecast.kbps, truth_kbps)))

    def facts(self) -> dict[str, Any]:
        """Per group the number of scored forecasts and the mean absolute errors in kbit/s, None where nothing was scored."""
        found: dict[str, Any] = {}
        for group, n, sums in zip(GROUPS, self.n.tolist(), self.sum_kbps.tolist(), strict=True):
            maes = [total / n if n else None for total in sums]
            found[group] = {"n": n} | {
                f"mae_{name}_kbps": mae for name, mae in zip(FORECASTERS, maes, strict=True)
            }
        return {**found, "n_without_truth": self.n_made - int(self.n[0])}


Scores = dict[int, Score]  # by horizon in seconds


def new_scores() -> Scores:
    return {horizon: Score() for horizon in HORIZONS_S}


class Phone:
    """The memory of one phone: its moving averages, and the forecasts whose second is to come.

    Args:
        ewma_s: Horizon in seconds -> time constant of the moving average, for each of `HORIZONS_S`.
    """

    def __init__(self, ewma_s: Mapping[int, float]) -> None:
        self._ewma_s = ewma_s
        self._ewma_kbps = dict.fromkeys(HORIZONS_S, math.nan)
        self._last = -1
        self._waiting: dict[tuple[int, int], Forecast] = {}  # (horizon, second) -> forecast

    def observe(self, now: Second, change_kbps: Mapping[int, float], scores: Scores) -> None:
        """Score the forecasts of this second and make new ones; a second that is not new changes nothing.

        Args:
            now: The second.
            change_kbps: Horizon in seconds -> expected change of the throughput until then, NaN = no forecast.
            scores: Of the phone's trace.
        """
        if now.number <= self._last:
            return
        for due in [due for due in self._waiting if due[1] <= now.number]:
            forecast = self._waiting.pop(due)
            if due[1] == now.number and not math.isnan(now.thp_kbps):
                scores[due[0]].add(forecast, now.thp_kbps)
        if math.isnan(now.thp_kbps):
            return
        for horizon, change in change_kbps.items():
            ewma = smoothed(
                self._ewma_kbps[horizon], now.thp_kbps, now.number - self._last, self._ewma_s[horizon]
            )
            self._ewma_kbps[horizon] = ewma
            if not math.isnan(change):
                scores[horizon].n_made += 1
                kbps = (max(0.0, now.thp_kbps + change), now.thp_kbps, ewma)
                groups = (True, now.on_5g, now.downloading)
                self._waiting[horizon, now.number + horizon] = Forecast(kbps, groups)
        self._last = now.number


def smoothed(before: float, value: float, elapsed_s: float, time_constant_s: float) -> float:
    """An exponentially weighted moving average, brought on by `elapsed_s`; NaN before the first value."""
    return (
        value if math.isnan(before) else before + -math.expm1(-elapsed_s / time_constant_s) * (value - before)
    )


def ewma_s(card: Card) -> float:
    """The time constant of the moving average that the model on this card has to beat.

    Raises:
        ModelError: The card is not of a model for this xApp.
    """
    value = card.training.get("ewma_s")
    outputs = [(output.name, output.unit) for output in card.outputs]
    if outputs != [("change", "kbit/s")] or not isinstance(value, int | float) or value <= 0:
        raise ModelError(
            f"model {card.name} gives {outputs} and has training.ewma_s = {value!r}; want one output 'change' in kbit/s "
            "and seconds > 0, as models/app_throughput/train.py writes them"
        )
    return float(value)


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
            total[horizon].n_made += score.n_made
            total[horizon].n += score.n
            total[horizon].sum_kbps += score.sum_kbps
    return {f"{horizon}s": score.facts() for horizon, score in total.items()}
