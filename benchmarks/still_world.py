"""A world in which nothing happens: 100 UEs at each node, a report whenever asked, every action applied unchanged.

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
N_CELLS = 3  # of a node


class StillWorld(AnswersAtOnce):
    """A `ranloop.node.NodePort`; its reports differ in node, sequence number and time alone.

    Args:
        nodes: Their names.
        period_ms: From a report to the next one.
    """

    def __init__(self, nodes: Sequence[str] = (NODE,), period_ms: int = PERIOD_MS) -> None:
        rng = np.random.default_rng(1)
        self._block = np.empty((N_UE, 2 + len(NAMES)), np.float32)
        self._block[:, 0], self._block[:, 1] = np.arange(N_UE), np.arange(N_UE) % N_CELLS
        self._block[:, 2] = rng.integers(1, 16, N_UE)  # CQI
        self._block[:, 3] = rng.uniform(-120.0, -60.0, N_UE)  # RSRP
        self._block[:, 4:] = rng.random((N_UE, len(NAMES) - 2), np.float32)
        cells = {cell: f"gnb-1/{cell}" for cell in range(N_CELLS)}
        self._labels = Labels({"ue": {ue: f"ue-{ue:06d}" for ue in range(N_UE)}, "cell": cells})
        self._nodes, self._period_ms, self._period_ns = nodes, period_ms, period_ms * 1_000_000
        self.catalogues: Sequence[Catalogue] = tuple(
            Catalogue(
                node=node,
                measurements={"ue": NAMES},
                actions=("SetUeWeight",),
                periods_ms=(period_ms,),
                cells=cells,
                control_delay_ms=DELAY_NS / 1e6,
            )
            for node in nodes
        )
        self.now_ns = self._reported_ns = 0
        self.end_ns = 1 << 62
        self.slot_ns = _SLOT_NS

    def last_until(self, end_ns: int) -> int:
        return end_ns

    def next_report_ns(self) -> int:
        return (self.now_ns // self._period_ns + 1) * self._period_ns

    def advance(self, until_ns: int) -> None:
        self.now_ns = until_ns

    def reports(self, wanted: Mapping[tuple[str, str, int], frozenset[str]]) -> list[Report]:
        if self._reported_ns == self.now_ns:
            return []
        self._reported_ns = self.now_ns
        return [
            Report(
                node=node,
                level="ue",
                period_ms=self._period_ms,
                seq=self.now_ns // self._period_ns - 1,
                ran_time_ns=self.now_ns,
                ids=ID_COLUMNS["ue"],
                names=NAMES,
                block=self._block,
                labels=self._labels,
            )
            for node in self._nodes
            if (node, "ue", self._period_ms) in wanted
        ]

    def apply(self, node: str, action: Action) -> F32:
        values = action.parameters()
        values[action.targets()[:, 0] >= N_UE] = np.nan
        return values

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        return (ids < (N_UE if column == "ue" else N_CELLS)).astype(np.float32)

    def close(self) -> None:
        """Nothing to release."""
