"""From reports to the model's input matrix, by the names on the card."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranloop.errors import ModelError
from ranloop.inference.card import Card, Feature
from ranloop.vocabulary import Level
from ranloop.wire.messages import F32, Report

__all__ = ("FeatureBinder",)

I64 = NDArray[np.int64]

# What tells a row from the others of its report and stays with it: a UE and its flows take their past along when they
# change the cell. 5QIs come first: they are below 2**8 (TS 23.501 clause 5.7.4), so that three ids fit one int64.
_IDENTITY: dict[Level, tuple[str, ...]] = {
    "cell": ("cell",),
    "ue": ("ue",),
    "slice": ("slice", "cell"),
    "qos_flow": ("five_qi", "ue", "slice"),
}
_ID_BITS = 24


class _Past(NamedTuple):
    """One earlier report of a stream, reduced to what the features need."""

    seq: int
    targets: I64  # sorted, see `_identity`
    values: F32  # [n_target, n_measurement], rows as in `targets`


class FeatureBinder:
    """Builds the matrix a card asks for, and remembers as many reports per stream as its features look back.

    A target is followed by its dense ids, so a UE keeps its history when rows move.
    What is missing (no value, a lost report, a UE that was not there) becomes the feature's `fill`.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._fill = np.array([feature.fill for feature in card.features], np.float32)
        self._named = [(column, f.name) for column, f in enumerate(card.features) if f.name]
        self._measured = tuple(dict.fromkeys(f.measurement for f in card.features if f.measurement))
        self._plain = card.history == 1 and not self._named
        # What a report is made of -> where the card's measurements stand in its block.
        self._columns: dict[tuple[int, tuple[str, ...], tuple[str, ...]], NDArray[np.intp]] = {}
        self._past: dict[tuple[str, str], deque[_Past]] = {}

    def matrix(self, report: Report, extra: Mapping[str, ArrayLike] | None = None) -> F32:
        """Input matrix for one report.

        Args:
            report: Must carry every measurement of the card, at the card's period.
            extra: Values of the card's named features, each of shape [n_rows].

        Returns:
            Shape [n_rows, n_features], float32, no NaN.

        Raises:
            ModelError: The report lacks a measurement, has another period, or `extra` lacks a name.
        """
        values = report.block[:, self._column_index(report)]  # [n_rows, n_measured]
        matrix = values if self._plain else self._assemble(report, values, extra or {})
        missing = np.isnan(matrix)
        return np.where(missing, self._fill, matrix) if missing.any() else matrix

    def _column_index(self, report: Report) -> NDArray[np.intp]:
        made_of = (report.period_ms, report.ids, report.names)
        index = self._columns.get(made_of)
        if index is None:
            if report.period_ms != self._card.period_ms:
                raise ModelError(
                    f"model {self._card.name} was trained on {self._card.period_ms} ms reports but got one of "
                    f"{report.period_ms} ms; subscribe with every_ms={self._card.period_ms}"
                )
            lacking = [name for name in self._measured if name not in report.names]
            if lacking:
                raise ModelError(
                    f"model {self._card.name} needs {', '.join(lacking)}, which the {report.level} report of "
                    f"{report.node} does not carry; add it to on_report and to the manifest"
                )
            wanted = [f.measurement for f in self._card.features] if self._plain else self._measured
            index = np.array([len(report.ids) + report.names.index(name) for name in wanted], np.intp)
            self._columns[made_of] = index
        return index

    def _assemble(self, report: Report, values: F32, extra: Mapping[str, ArrayLike]) -> F32:
        targets = _identity(report)
        past = self._past.setdefault((report.node, report.level), deque(maxlen=self._card.history))
        order = np.argsort(targets, kind="stable")
        if past and past[-1].seq >= report.seq:  # a new run on the same node name
            past.clear()
        past.append(_Past(report.seq, targets[order], values[order]))
        matrix = np.full((len(report), len(self._card.features)), np.nan, np.float32)
        window = _aligned(past, report.seq, targets, self._card.history, len(self._measured))
        for column, feature in enumerate(self._card.features):
            if feature.measurement:
                matrix[:, column] = _statistic(
                    feature, window[:, :, self._measured.index(feature.measurement)]
                )
        for column, name in self._named:
            if name not in extra:
                raise ModelError(
                    f"model {self._card.name} needs the feature {name!r}: pass it as extra={{{name!r}: …}}"
                )
            matrix[:, column] = extra[name]
        return matrix


def _identity(report: Report) -> I64:
    """One number per row by which its target is found again in other reports of the stream, shape [n_rows]."""
    key = np.zeros(len(report), np.int64)
    for column in _IDENTITY[report.level]:
        key = (key << _ID_BITS) | report.id(column)
    return key


def _aligned(past: Sequence[_Past], seq: int, targets: I64, history: int, n_measured: int) -> F32:
    """Values of each target over the last `history` periods; index 0 is now; NaN where unknown. [history, n, m]"""
    window = np.full((history, len(targets), n_measured), np.nan, np.float32)
    for earlier in past:
        age = seq - earlier.seq
        if 0 <= age < history and len(earlier.targets):
            place = np.searchsorted(earlier.targets, targets).clip(max=len(earlier.targets) - 1)
            known = earlier.targets[place] == targets
            window[age, known] = earlier.values[place[known]]
    return window


def _statistic(feature: Feature, history: F32) -> F32:
    """One feature column out of a measurement's history [history, n]."""
    if feature.stat == "last":
        return np.asarray(history[feature.lag])
    span = history[feature.lag : feature.lag + feature.window]
    known = ~np.isnan(span)
    count = known.sum(axis=0)
    filled = np.where(known, span, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / count  # NaN where nothing is known
        if feature.stat == "mean":
            result = mean
        elif feature.stat == "std":
            result = np.sqrt((np.where(known, span - mean, 0.0) ** 2).sum(axis=0) / count)
        elif feature.stat == "min":
            result = np.where(count > 0, np.where(known, span, np.inf).min(axis=0), np.nan)
        else:
            result = np.where(count > 0, np.where(known, span, -np.inf).max(axis=0), np.nan)
    return np.asarray(result, np.float32)
