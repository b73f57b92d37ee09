"""Made-up reports of the streams that a manifest lists: values in the catalogue's ranges, some without a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ranloop.guard.rights import StreamRight
from ranloop.testing.messages import make_report
from ranloop.vocabulary import Level, measurement
from ranloop.wire.messages import F32, MAX_ID, Catalogue, CellRelation, Report

__all__ = ("MadeUp", "made_up_catalogue")

_UNBOUNDED = 1e4  # the highest value where the catalogue has no highest
_NO_VALUE_SHARE = 0.1

# Three cells; UEs 0 to 5 with two flows each, in two slices.
_IDS: dict[Level, Mapping[str, tuple[int, ...]]] = {
    "cell": {"cell": (0, 1, 2)},
    "ue": {"ue": (0, 1, 2, 3, 4, 5), "cell": (0, 1, 2, 0, 1, 2)},
    "slice": {"slice": (1, 1, 1, 2, 2, 2), "cell": (0, 1, 2, 0, 1, 2)},
    "qos_flow": {
        "ue": (0, 1, 2, 3, 4, 5, 0, 1),
        "cell": (0, 1, 2, 0, 1, 2, 0, 1),
        "five_qi": (1, 2, 3, 80, 9, 9, 9, 2),
        "slice": (1, 1, 1, 1, 2, 2, 2, 2),
    },
    "ue_cell": {
        "ue": (0, 0, 1, 1, 2, 2),
        "cell": (0, 0, 1, 1, 2, 2),
        "measured_cell": (0, 1, 1, 2, 2, 0),
    },
}


def made_up_catalogue(node: str) -> Catalogue:
    """Three cells that are each other's neighbours, and two slices."""
    cells = {cell: f"{node}/{cell}" for cell in _IDS["cell"]["cell"]}
    return Catalogue(
        node=node,
        measurements={},
        actions=(),
        periods_ms=(),
        cells=cells,
        slices={1: "1-000001", 2: "1-000002"},
        slice_min_pct={1: 0.0, 2: 0.0},
        neighbours={
            cell: tuple(CellRelation(cell=other, name=cells[other]) for other in cells if other != cell)
            for cell in cells
        },
    )


class MadeUp:
    """Reports of one host's run.

    Args:
        seed: Seed of the values: the same seed and the same calls give the same reports.
        run: The run that the reports carry.
    """

    def __init__(self, seed: int, run: str = "1") -> None:
        self._rng = np.random.default_rng(seed)
        self._run = run

    def report(
        self,
        stream: StreamRight,
        seq: int,
        *,
        node: str = "site0",
        empty: bool = False,
        valued: bool = True,
        strange: bool = False,
    ) -> Report:
        """One report.

        Args:
            empty: No rows.
            valued: Whether there are values; otherwise NaN everywhere.
            strange: Random ids up to the highest possible, new ones in each report.
        """
        ids = {name: np.array(column[: 0 if empty else None]) for name, column in _IDS[stream.level].items()}
        if strange:
            ids = {
                name: column if name == "five_qi" else MAX_ID - 1 - 10 * seq - column
                for name, column in ids.items()
            }
        n = len(next(iter(ids.values())))
        columns = {
            name: self._values(name, n) if valued else np.full(n, np.nan, np.float32)
            for name in stream.measurements
        }
        report = make_report(
            columns, level=stream.level, ids=ids, node=node, period_ms=stream.every_ms, seq=seq
        )
        return replace(report, run=self._run)

    def _values(self, name: str, n: int) -> F32:
        entry = measurement(name)
        low = max(entry.low, -_UNBOUNDED)
        high = entry.high if math.isfinite(entry.high) else low + _UNBOUNDED
        values = self._rng.uniform(low, high, n).astype(np.float32).clip(low, high)
        if entry.integer:
            values = np.floor(values)
        values[self._rng.random(n) < _NO_VALUE_SHARE] = np.nan
        return values
