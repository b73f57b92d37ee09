"""A world in which nothing happens: 100 UEs at one node, a report whenever asked, every action applied unchanged.

The time of a loop around it is the cost of the loop alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ranloop.node.port import AnswersAtOnce
from ranloop.vocabulary import ID_COLUMNS, Action
from ranloop.wire import Catalogue, Labels, Report
from ranloop.wire.messages import F32

N_UE = 100
NAMES = (
    "CQI",
    "RSRP",
    "DRB.UEThpDl",
    "DRB.RlcSduDelayDl",
    "RRU.PrbUsedDl",
    "RRU.PrbTotDl",
    "TB.TotNbrDl",
    "TB.ErrTotNbrDl",
    "X.UE.MeanMcsDl",
    "X.UE.SpectralEffDl",
    "X.UE.Weight",
    "X.DRB.BufferedVolDl",
)
NODE = "gnb-1"
PERIOD_MS = 100
PERIOD_NS = PERIOD_MS * 1_000_000
DELAY_NS = 10_000_000
_SLOT_NS = 500_000
_N_CELLS = 3


class StillWorld(AnswersAtOnce):
    """A `ranloop.node.NodePort` of one node; its reports differ in sequence number and time alone."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._block = np.empty((N_UE, 2 + len(NAMES)), np.float32)
        self._block[:, 0], self._block[:, 1] = np.arange(N_UE), np.arange(N_UE) % _N_CELLS
        self._block[:, 2] = rng.integers(1, 16, N_UE)  # CQI
        self._block[:, 3] = rng.uniform(-120.0, -60.0, N_UE)  # RSRP
        self._block[:, 4:] = rng.random((N_UE, len(NAMES) - 2), np.float32)
        cells = {cell: f"gnb-1/{cell}" for cell in range(_N_CELLS)}
        self._labels = Labels({"ue": {ue: f"ue-{ue:06d}" for ue in range(N_UE)}, "cell": cells})
        self.catalogues: Sequence[Catalogue] = (
            Catalogue(
                node=NODE,
                measurements={"ue": NAMES},
                actions=("SetUeWeight",),
                periods_ms=(PERIOD_MS,),
                cells=cells,
                control_delay_ms=DELAY_NS / 1e6,
            ),
        )
        self.now_ns = self._reported_ns = 0
        self.end_ns = 1 << 62
        self.slot_ns = _SLOT_NS

    def last_until(self, end_ns: int) -> int:
        return end_ns

    def next_report_ns(self) -> int:
        return (self.now_ns // PERIOD_NS + 1) * PERIOD_NS

    def advance(self, until_ns: int) -> None:
        self.now_ns = until_ns

    def reports(self, wanted: Mapping[tuple[str, str, int], frozenset[str]]) -> list[Report]:
        if (NODE, "ue", PERIOD_MS) not in wanted or self._reported_ns == self.now_ns:
            return []
        self._reported_ns = self.now_ns
        return [
            Report(
                node=NODE,
                level="ue",
                period_ms=PERIOD_MS,
                seq=self.now_ns // PERIOD_NS - 1,
                ran_time_ns=self.now_ns,
                ids=ID_COLUMNS["ue"],
                names=NAMES,
                block=self._block,
                labels=self._labels,
            )
        ]

    def apply(self, node: str, action: Action) -> F32:
        values = action.parameters()
        values[action.targets()[:, 0] >= N_UE] = np.nan
        return values

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        return (ids < (N_UE if column == "ue" else _N_CELLS)).astype(np.float32)

    def close(self) -> None:
        """Nothing to release."""
