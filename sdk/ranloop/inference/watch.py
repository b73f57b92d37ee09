"""Inputs of a running model beside those of its training: values outside the range, and drift of each feature.

Drift is told by the population stability index over a window of rows, PSI = sum((p - q) ln(p / q)) over the bins of the card's
histogram, q in training and p now. The usual reading is below 0.1 little change, above 0.25 a significant one; both are rules of thumb
without an error rate (B. Yurdakul and J. Naranjo, Statistical properties of the population stability index, Journal of Risk Model
Validation 14, 2020). Without drift the index of n rows that do not depend on each other has a mean of about (bins - 1) / n. Rows of one UE
do depend on each other, so the index of a few UEs is larger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from ranloop.inference.card import Card, Seen
from ranloop.wire.messages import F32

__all__ = ("DRIFTED", "SETTLED", "Watch", "psi")

log = structlog.get_logger(__name__)

DRIFTED, SETTLED = 0.25, 0.1
WINDOW = 4096  # rows that the index is of
LEAST_ROWS = 512  # before it says something
_EVERY, _AT_ONCE = 8, 128  # of every eighth call at most so many rows enter the window
_MOST_VALUES = 1 << 20  # that the window keeps
_MOST_UNSUMMED = 128  # calls; a count of one byte holds 255
_LEAST_SHARE = 1e-4  # of a bin, as an empty one has no logarithm


class _Bench(NamedTuple):
    """Arrays of one number of rows, [n, n_features] each, so that a call makes none; the bounds are in each row, which is three times as
    fast as one row of them."""

    lows: F32
    highs: F32
    below: NDArray[np.bool_]
    above: NDArray[np.bool_]
    beyond: NDArray[np.bool_]
    as_numbers: NDArray[np.uint8]  # the same memory
    counts: NDArray[
        np.uint8
    ]  # of each row and feature since they were summed up: a sum in each call would take twice as long

    @staticmethod
    def of(n: int, low: F32, high: F32) -> _Bench:
        shape = n, len(low)
        below, above, beyond = (np.zeros(shape, np.bool_) for _ in range(3))
        lows, highs = (np.repeat(bound[None], n, axis=0) for bound in (low, high))
        return _Bench(lows, highs, below, above, beyond, beyond.view(np.uint8), np.zeros(shape, np.uint8))


class Watch:
    """Looks at each matrix that one model is asked about.

    Attributes:
        labels: The features that the card has seen in training; counts and indices are in this order.
        n_values: Values that were looked at, of each feature.
        drifted: Labels whose index exceeded `DRIFTED` when it was last looked at, and has not come below `SETTLED` since.
    """

    def __init__(self, card: Card) -> None:
        known = [(at, each, each.seen) for at, each in enumerate(card.features) if each.seen is not None]
        self.labels = tuple(each.label for _, each, _ in known)
        self.n_values = 0
        self.drifted: set[str] = set()
        self._tag = f"{card.name} {card.version}"
        self._seen: list[Seen] = [seen for _, _, seen in known]
        self._at = np.array([at for at, _, _ in known], np.intp)
        self._width = len(card.features)
        self._low = np.full(self._width, -np.inf, np.float32)
        self._high = np.full(self._width, np.inf, np.float32)
        self._low[self._at] = [seen.low for seen in self._seen]
        self._high[self._at] = [seen.high for seen in self._seen]
        self._bench = _Bench.of(0, self._low, self._high)
        self._summed = np.zeros(self._width, np.int64)
        self._window = np.empty((min(WINDOW, _MOST_VALUES // self._width), self._width), np.float32)
        self._filled = self._next = self._fresh = self._turn = 0

    def take(self, matrix: F32) -> None:
        """Count the values outside of training, and let some rows into the window.

        Args:
            matrix: As the model gets it, shape [n >= 1, n_features] or [n >= 1, n_steps, n_features].
        """
        rows = matrix if matrix.ndim == 2 else matrix.reshape(-1, self._width)
        n = len(rows)
        if n != len(self._bench.counts) or self._turn % _MOST_UNSUMMED == 0:
            self._sum_up(n)
        bench = self._bench
        np.less(rows, bench.lows, bench.below)
        np.greater(rows, bench.highs, bench.above)
        np.bitwise_or(bench.below, bench.above, bench.beyond)
        np.add(bench.counts, bench.as_numbers, bench.counts)
        self.n_values += n
        self._turn += 1
        if self._turn % _EVERY == 0:
            self._sample(rows, n)

    def _sum_up(self, n: int) -> None:
        """Take the counts of each row into those of the features, and make room for calls of n rows."""
        self._summed += self._bench.counts.sum(axis=0, dtype=np.int64)
        if n != len(self._bench.counts):
            self._bench = _Bench.of(n, self._low, self._high)
        self._bench.counts[:] = 0

    def _sample(self, rows: F32, n: int) -> None:
        """Rows of all places of the matrix enter the window in turn; the same calls give the same window."""
        size = len(self._window)
        most = min(_AT_ONCE, size)
        stride = -(-n // most)
        some = rows[self._turn // _EVERY % stride :: stride]
        if self._next + len(some) > size:
            self._next = 0
        self._window[self._next : self._next + len(some)] = some
        self._next += len(some)
        self._filled = max(self._filled, self._next)
        self._fresh += len(some)
        if self._fresh >= size:
            self._fresh = 0
            self._look()

    @property
    def outside(self) -> NDArray[np.int64]:
        """Values below or above all of training, of each feature."""
        counts: NDArray[np.int64] = self._summed + self._bench.counts.sum(axis=0, dtype=np.int64)
        return counts.take(self._at)

    def psi(self) -> dict[str, float]:
        """Feature -> index of the window; {} before it has `LEAST_ROWS` rows."""
        if self._filled < min(LEAST_ROWS, len(self._window)):
            return {}
        columns = self._window[: self._filled].T[self._at]
        return {
            label: psi(seen, column)
            for label, seen, column in zip(self.labels, self._seen, columns, strict=True)
        }

    def told(self) -> Mapping[str, Mapping[str, float]]:
        """Feature -> share of its values outside of training, and its index, for a summary."""
        drift = self.psi()
        return {
            label: {"outside": round(int(count) / max(self.n_values, 1), 6)}
            | ({"psi": round(drift[label], 3)} if label in drift else {})
            for label, count in zip(self.labels, self.outside, strict=True)
        }

    def beyond(self, rows: F32) -> tuple[str, ...]:
        """Labels of the features that have a value outside of training in these rows."""
        flat = rows.reshape(-1, self._width)
        found = ((flat < self._low) | (flat > self._high)).T[self._at]
        return tuple(label for label, column in zip(self.labels, found, strict=True) if column.any())

    def _look(self) -> None:
        drift = self.psi()
        new = {label for label, index in drift.items() if index > DRIFTED} - self.drifted
        if new:
            worst = {label: round(drift[label], 3) for label in sorted(new)}
            log.warning("model_inputs_drift", model=self._tag, psi=worst)
        self.drifted = {label for label in self.drifted if drift[label] > SETTLED} | new


def psi(seen: Seen, column: Sequence[float] | F32) -> float:
    """Population stability index of some values of a feature, beside training.

    Args:
        seen: The histogram in training.
        column: The values, shape [n >= 1]; NaN is a bin of its own.
    """
    values = np.asarray(column, np.float32)
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(seen.edges, known, side="right"), minlength=len(seen.shares))
    now = np.maximum(np.append(counts, len(values) - len(known)) / len(values), _LEAST_SHARE)
    then = np.maximum((*seen.shares, seen.missing), _LEAST_SHARE)
    return float(((now - then) * np.log(now / then)).sum())
