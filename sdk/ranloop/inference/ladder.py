"""What stands in for a model's answer that does not come: rungs that are asked one after the other, each for the rows still without a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranloop.inference.features import IDENTITY
from ranloop.wire.messages import F32, Report
from ranloop.wire.targets import find, keys

__all__ = ("LastAnswers", "Rung", "fill")

Rung = Callable[[Report, Mapping[str, ArrayLike] | None], F32]
"""Outputs for the rows of a report, shaped as the model's own, NaN where it has none."""


class LastAnswers:
    """A rung: for each target the model's last answer, if that is recent.

    Args:
        keep_ms: RAN time between the two reports up to which an answer stands.
    """

    def __init__(self, keep_ms: float) -> None:
        self._keep_ns = round(keep_ms * 1e6)
        self._last: dict[tuple[str, str], tuple[Report, F32]] = {}  # node and level

    def keep(self, report: Report, outputs: F32) -> None:
        """Remember an answer of the model itself."""
        self._last[report.node, report.level] = report, outputs

    def __call__(self, report: Report, extra: Mapping[str, ArrayLike] | None) -> F32:
        """See `Rung`."""
        before, outputs = self._last.get((report.node, report.level), (None, np.empty(0, np.float32)))
        found = np.full((len(report), *outputs.shape[1:]), np.nan, np.float32)
        if before is None or before.run != report.run:
            return found
        if not 0 <= report.ran_time_ns - before.ran_time_ns <= self._keep_ns:
            return found
        names = IDENTITY[report.level]
        targets = keys(before, names)
        order = np.argsort(targets, kind="stable")
        place, known = find(targets[order], keys(report, names))
        found[known] = outputs[order[place[known]]]
        return found


def fill(
    outputs: F32, rungs: Mapping[str, Rung], report: Report, extra: Mapping[str, ArrayLike] | None
) -> dict[str, int]:
    """Fill the rows of `outputs` that are NaN by the rungs, in their order.

    Returns:
        Rung -> number of rows that it filled; "none" -> number of rows that stay without a value.

    Raises:
        ValueError: A rung, which may be the author's rule, gives another number of values than the report has rows.
    """
    filled: dict[str, int] = {}
    for name, rung in rungs.items():
        if not (missing := _without(outputs)).any():
            break
        found = np.asarray(rung(report, extra), np.float32)
        if found.shape != outputs.shape:
            raise ValueError(
                f"the rung {name!r} gives values of shape {list(found.shape)} for {len(report)} rows: want {list(outputs.shape)}"
            )
        fits = missing & ~_without(found)
        outputs[fits] = found[fits]
        filled[name] = int(np.count_nonzero(fits))
    filled["none"] = int(np.count_nonzero(_without(outputs)))
    return filled


def _without(outputs: F32) -> NDArray[np.bool_]:
    """Which rows lack a value."""
    missing: NDArray[np.bool_] = np.isnan(outputs.reshape(len(outputs), -1).sum(axis=1))
    return missing
