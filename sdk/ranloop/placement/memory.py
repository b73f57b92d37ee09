"""The last answers of a stream, found again by target."""

from __future__ import annotations

import numpy as np

from ranloop.inference.features import IDENTITY
from ranloop.placement.asker import Rows
from ranloop.wire.messages import F32, Report
from ranloop.wire.targets import I64, find, keys

__all__ = ("LastAnswers",)


class LastAnswers:
    """Of each stream the answers about its newest report that has any; a node that was restarted begins with none."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[str, int, I64, F32]] = {}  # run, asked, sorted targets, rows

    def keep(self, report: Report, rows: Rows, outputs: F32) -> None:
        """Keep the answers [n, n_outputs] about n rows of a report."""
        stream = report.node, report.level
        run, asked_ns = self._kept[stream][:2] if stream in self._kept else ("", -1)
        if run == report.run and asked_ns > report.ran_time_ns:
            return
        targets = keys(report, IDENTITY[report.level])[rows]
        order = np.argsort(targets, kind="stable")
        self._kept[stream] = report.run, report.ran_time_ns, targets[order], outputs[order]

    def fill(self, report: Report, rows: Rows, outputs: F32, *, not_before_ns: int) -> tuple[F32, int | None]:
        """`outputs` [n_rows, n_outputs], with the last answer in each of `rows` that has one.

        Args:
            not_before_ns: RAN time of the oldest report whose answer is taken.

        Returns:
            The outputs, and RAN time of the report that the last answers rest on; None if no row has one.
        """
        run, asked_ns, targets, answers = self._kept.get(
            (report.node, report.level), ("", -1, _NONE, outputs)
        )
        if run != report.run or asked_ns < not_before_ns or asked_ns > report.ran_time_ns:
            return outputs, None
        place, known = find(targets, keys(report, IDENTITY[report.level])[rows])
        if not known.any():
            return outputs, None
        filled = outputs.copy()
        filled[rows[known]] = answers[place[known]]
        return filled, asked_ns


_NONE = np.zeros(0, np.int64)
