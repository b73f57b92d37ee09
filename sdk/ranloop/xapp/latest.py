"""The newest value of one measurement of each UE or cell, kept for handlers of other streams."""

from __future__ import annotations

from typing import Final

import numpy as np

from ranloop.wire.messages import F32, Report
from ranloop.xapp.memory import Memory

__all__ = ("LEVELS", "Latest")

LEVELS: Final = ("ue", "cell")  # a report of these has one row per target


class Latest:
    """One measurement's newest values, from `XApp.latest`. They are forgotten as those of a `Memory` are.

    Args:
        measurement: Its catalogue name.
        level: "ue" or "cell".
        unknown: What a target has that no report has shown of late.
    """

    def __init__(self, measurement: str, level: str, unknown: float) -> None:
        self.__name__ = f"latest {measurement}"  # in the times of handlers
        self._measurement, self._target, self._unknown = measurement, level, unknown
        self._memory = Memory(level, {"value": float(unknown)})
        # Node -> RAN time of its newest report, and the values by the names that the node gives its cells.
        self._named: dict[str, tuple[int, dict[str, float]]] = {}

    def __call__(self, report: Report) -> None:
        """Take the values of a report; the runner's call."""
        values = report[self._measurement]
        self._memory.update(report, value=values)
        newest_ns, _ = self._named.get(report.node, (0, {}))
        if self._target == "cell" and report.ran_time_ns >= newest_ns:
            names = report.names_of("cell").tolist()
            self._named[report.node] = report.ran_time_ns, dict(zip(names, values.tolist(), strict=True))

    def of(self, report: Report, column: str = "") -> F32:
        """The values beside the rows of a report of any level, shape [n_rows].

        Args:
            column: "measured_cell" for the cells that UEs hear, of whatever node: they are found by their names. Default:
                the report's own UEs or cells.

        Raises:
            VocabularyError: The report has no such ids.
        """
        if column in ("", self._target):
            return self._memory.of(report)["value"]
        known = {name: value for _, named in self._named.values() for name, value in named.items() if name}
        names = report.names_of(column).tolist()
        return np.array([known.get(name, self._unknown) for name in names], np.float32)

    def forget(self, node: str | None = None) -> None:
        """Drop all values of a node, or of all nodes."""
        self._memory.forget(node)
        if node is None:
            self._named.clear()
        else:
            self._named.pop(node, None)
