"""Forecasts of a phone's application throughput, kept until their second comes, and scored beside two simple rules.

A model says by how much the throughput will change within its horizon; the forecast is the last second plus that
change, never below zero. The rules are persistence (it stays as in the last second) and an exponentially weighted
moving average whose time constant was tuned where the model was trained; it stands on the model's card.

A forecast is scored when the phone reports its very second. If that second is missing from the log, or lies past the
log's end, there is no truth: it counts as `n_without_truth` and in no error. Forecasts are grouped by what was known
when they were made: on 5G or not, downloading or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


class Forecast(NamedTuple):
    """What each forecaster expects of one second to come."""

    kbps: tuple[float, ...]  # as FORECASTERS
    groups: tuple[str, ...]


@dataclass(slots=True)
class Errors:
    """Absolute errors of one horizon in one group, summed."""

    n: int = 0
    sum_kbps: list[float] = field(default_factory=lambda: [0.0] * len(FORECASTERS))

    def add(self, forecast: Forecast, truth_kbps: float) -> None:
        self.n += 1
        for i, kbps in enumerate(forecast.kbps):
            self.sum_kbps[i] += abs(kbps - truth_kbps)

    def merge(self, other: Errors) -> None:
        self.n += other.n
        self.sum_kbps = [a + b for a, b in zip(self.sum_kbps, other.sum_kbps, strict=True)]

    def facts(self) -> dict[str, float | int | None]:
        """Mean absolute errors in kbit/s; None where nothing was scored."""
        maes = [total / self.n if self.n else None for total in self.sum_kbps]
        return {"n": self.n} | {f"mae_{name}_kbps": mae for name, mae in zip(FORECASTERS, maes, strict=True)}


class Score:
    """Forecasts of one horizon: those whose second is still to come, and the errors of the others."""

    def __init__(self) -> None:
        self.errors = {group: Errors() for group in GROUPS}
        self.n_missed = 0  # the phone reported a later second, but not this one
        self._waiting: dict[int, Forecast] = {}

    @property
    def n_without_truth(self) -> int:
        """Forecasts whose second was not reported, or not yet."""
        return self.n_missed + len(self._waiting)

    def expect(self, second: int, forecast: Forecast) -> None:
        self._waiting[second] = forecast

    def settle(self, now: Second) -> None:
        """Score what was expected of this second, and give up what was expected of skipped ones."""
        for due in [second for second in self._waiting if second <= now.number]:
            forecast = self._waiting.pop(due)
            if due < now.number or math.isnan(now.thp_kbps):
                self.n_missed += 1
                continue
            for group in forecast.groups:
                self.errors[group].add(forecast, now.thp_kbps)


class Phone:
    """What is remembered of one phone.

    Args:
        ewma_s: Horizon in seconds -> time constant of the moving average, for each of `HORIZONS_S`.
    """

    def __init__(self, ewma_s: Mapping[int, float]) -> None:
        self.scores = {horizon: Score() for horizon in HORIZONS_S}
        self._ewma_s = ewma_s
        self._ewma_kbps = dict.fromkeys(HORIZONS_S, math.nan)
        self._last = 0

    def observe(self, now: Second, change_kbps: Mapping[int, float]) -> None:
        """Take in one second, and what the models say to it.

        Args:
            now: Later than any second before.
            change_kbps: Horizon in seconds -> expected change of the throughput until then.
        """
        for score in self.scores.values():
            score.settle(now)
        if math.isnan(now.thp_kbps):
            return
        groups = ("all", *(("on_5g",) if now.on_5g else ()), *(("downloading",) if now.downloading else ()))
        for horizon, score in self.scores.items():
            ewma = smoothed(
                self._ewma_kbps[horizon], now.thp_kbps, now.number - self._last, self._ewma_s[horizon]
            )
            self._ewma_kbps[horizon] = ewma
            model_kbps = max(0.0, now.thp_kbps + change_kbps[horizon])
            score.expect(now.number + horizon, Forecast((model_kbps, now.thp_kbps, ewma), groups))
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


def summary(phones: Mapping[str, Iterable[Phone]]) -> dict[str, Any]:
    """Errors per trace and overall, each horizon beside its rules; plain data.

    Args:
        phones: Trace -> the phones in it.
    """
    everyone = [phone for those in phones.values() for phone in those]
    return {
        "overall": _facts(everyone),
        "traces": {trace: _facts(list(those)) for trace, those in phones.items()},
    }


def _facts(phones: list[Phone]) -> dict[str, Any]:
    facts = {}
    for horizon in HORIZONS_S:
        scores = [phone.scores[horizon] for phone in phones]
        errors = {group: Errors() for group in GROUPS}
        for score in scores:
            for group, own in score.errors.items():
                errors[group].merge(own)
        facts[f"{horizon}s"] = {
            **{group: total.facts() for group, total in errors.items()},
            "n_without_truth": sum(score.n_without_truth for score in scores),
        }
    return facts
