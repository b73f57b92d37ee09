"""Which rows go up: all of them, or those that the model here is not sure of."""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

import numpy as np

from ranloop.placement.asker import Rows
from ranloop.placement.gate import Calibration, Watch, confidence_of
from ranloop.wire.messages import F32, Report

__all__ = ("AllRows", "HardRows", "Sieve")

_NO_ROWS = np.zeros(0, np.intp)


class Sieve(Protocol):
    """Chooses rows, and learns from the better answers to those that it was sure of.

    Attributes:
        keeps_order: Whether all rows, if it chooses them, come in their order.
        watch: Of the confident rows; None if there is none.
    """

    keeps_order: bool
    watch: Watch | None

    def rows(self, outputs: F32, report: Report) -> tuple[Rows, Rows]:
        """Rows that need a better answer, and other rows that go up to be compared."""
        ...

    def learn(self, here: F32, above: F32) -> None:
        """Both answers to the rows that went up to be compared."""
        ...


class AllRows:
    """All rows go up."""

    keeps_order = True
    watch: Watch | None = None

    def rows(self, outputs: F32, report: Report) -> tuple[Rows, Rows]:
        return np.arange(len(outputs)), _NO_ROWS

    def learn(self, here: F32, above: F32) -> None:
        pass


class HardRows:
    """Rows below a threshold of confidence go up, and a random share of the others.

    Args:
        calibration: Rows that the model here was not trained on.
        threshold: Confidence from which on a row is answered here.
        audit: Share of the other rows that go up all the same.
        seed: Of the draw, which is the same for the same report.
    """

    keeps_order = False

    def __init__(self, calibration: Calibration, threshold: float, *, audit: float, seed: int) -> None:
        self.threshold = threshold
        self.watch: Watch | None = Watch(calibration.disagreement(threshold))
        self._audit, self._seed = audit, seed

    def rows(self, outputs: F32, report: Report) -> tuple[Rows, Rows]:
        hard = confidence_of(outputs) < self.threshold
        key = f"{self._seed}/audit/{report.node}/{report.level}/{report.ran_time_ns}".encode()
        draw = np.random.Generator(np.random.Philox(int.from_bytes(blake2b(key, digest_size=8).digest())))
        audited = ~hard & (draw.random(len(outputs)) < self._audit)
        return np.flatnonzero(hard), np.flatnonzero(audited)

    def learn(self, here: F32, above: F32) -> None:
        if self.watch is not None and len(here):
            self.watch.take(here.argmax(axis=1) == above.argmax(axis=1))
