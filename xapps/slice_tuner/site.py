"""What slice_tuner remembers of a node, and its reports as grids: a row per cell, a column per slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranloop import Report
from ranloop.wire.messages import Catalogue

from .policy import F32, Known, Seen

PATIENCE = 10  # reports in a row that repeat each other


@dataclass(slots=True)
class Site:
    """The memory of one node.

    Attributes:
        order: Row of the report of each slice in each cell, shape [n_cell, n_slice].
        rows: The cells and slices that the report had, in its order.
        slices: Dense ids, shape [n_slice].
    """

    order: NDArray[np.intp]
    rows: bytes
    slices: NDArray[np.int32]
    known: Known
    _as_it_came: bytes = b""
    _times_same: int = 0

    @classmethod
    def of(cls, report: Report, before: Site | None) -> Site | None:
        """The memory that fits a report, a new one if the node has other cells or slices than `before`.

        None if a slice is missing in a cell: the share that it holds is not known.
        """
        rows = report.cell.tobytes() + report.slice.tobytes()
        if before is not None and before.rows == rows:
            return before
        cells, slices = np.unique(report.cell), np.unique(report.slice)
        if not len(report) or len(report) != len(cells) * len(slices):
            return None
        order = np.lexsort((report.slice, report.cell)).reshape(len(cells), len(slices))
        return cls(order, rows, slices, Known.nothing(*order.shape))

    def seen(self, report: Report, cell_prbs: F32) -> Seen:
        """The values of a report; rates in kbit/s, delays in ms, `cell_prbs` [n_row] beside it."""

        def grid(values: F32, factor: float = 1.0) -> F32:
            return np.asarray(values[self.order] * np.float32(factor), np.float32)

        per_s = 1e3 / report.period_ms
        tenths = report["DRB.RlcSduDelayDl"] + np.nan_to_num(report["DRB.AirIfDelayDl"])
        return Seen(
            offered_kbps=grid(report["DRB.PdcpSduVolumeDL"], per_s),
            sent_kbps=grid(report["DRB.RlcSduTransmittedVolumeDL"], per_s),
            waiting_kbit=grid(report["X.DRB.BufferedVolDl"]),
            active_ues=grid(report["DRB.MeanActiveUeDl"]),
            prbs=grid(report["RRU.PrbUsedDl"]),
            delay_ms=grid(tenths, 0.1),
            ue_kbps=grid(report["DRB.UEThpDl"]),
            cell_prbs=grid(cell_prbs),
            max_pct=grid(report["X.Slice.MaxQuota"]),
            dedicated_pct=grid(report["X.Slice.DedicatedQuota"]),
        )

    def is_stuck(self, report: Report, seen: Seen) -> bool:
        """Whether reports repeat each other to the bit: where there is traffic, nothing that is measured does so for long."""
        as_it_came = report.block.tobytes()
        same = as_it_came == self._as_it_came and bool((seen.prbs > 0).any())
        self._times_same = self._times_same + 1 if same else 0
        self._as_it_came = as_it_came
        return self._times_same >= PATIENCE

    def names(self, catalogue: Catalogue) -> list[str]:
        """The S-NSSAI of each slice; "" where the node names none."""
        return [catalogue.slices.get(each, "") for each in self.slices.tolist()]

    def configured_pct(self, catalogue: Catalogue) -> F32:
        """The minimum of each slice by the node's own configuration, shape [n_slice]."""
        return np.array([catalogue.slice_min_pct.get(each, 0.0) for each in self.slices.tolist()], np.float32)
