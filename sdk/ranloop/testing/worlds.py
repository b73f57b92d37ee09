"""A world small enough to predict: a test double for xApps and hosts, not a model of a radio network.

Two nodes or more, two cells each. A cell has 60 Mbit/s, shared by the UEs in it in proportion to their weights, so that
closing a loop has a visible effect that can be worked out by hand. No fading, no queues, no randomness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ranloop.node.port import AnswersAtOnce
from ranloop.vocabulary import Action, Handover, Level, SetSliceQuota, SetUeWeight
from ranloop.wire.messages import F32, Catalogue, Report

__all__ = ("CELL_RATE_KBITS", "ToyWorld")

CELL_RATE_KBITS = 60_000.0
_MS = 1_000_000
_SLOT_NS = 500_000
_PERIODS_MS = (100, 1000)
_NAMES: dict[Level, tuple[str, ...]] = {
    "ue": ("DRB.UEThpDl", "X.UE.Weight"),
    "cell": ("DRB.UEThpDl", "RRC.ConnMean"),
}
_CELLS = {0: "a", 1: "b"}
_SLICES = {1: "1-000001", 2: "2-000001"}
_N_PLACES = 6  # UEs at a node at a time, at most
_STAY_MS = 700  # time that a place is taken; then it is empty for _AWAY_MS. Place k is shifted by 100 ms * k
_AWAY_MS = 200
_NO_QUOTA = (0.0, 100.0, 0.0)  # no guarantee and no cap


class _Node:
    """The state of one node."""

    def __init__(self) -> None:
        self.weight: dict[int, float] = {}  # ue -> weight
        self.moved_to: dict[int, int] = {}  # ue -> cell of its last handover
        self.quota: dict[tuple[int, int], F32] = {}  # (cell, slice) -> min, max, dedicated in percent

    def ues(self, now_ns: int) -> list[int]:
        """Ids of the UEs here at `now_ns`. A UE that comes back has another id: place + places * visit."""
        here = []
        for place in range(_N_PLACES):
            since_ms = now_ns // _MS - 100 * place
            visit, into_ms = divmod(since_ms, _STAY_MS + _AWAY_MS)
            if since_ms >= 0 and into_ms < _STAY_MS:
                here.append(place + _N_PLACES * visit)
        return here

    def cell(self, ue: int) -> int:
        return self.moved_to.get(ue, ue % 2)

    def rates_kbits(self, ues: Sequence[int]) -> list[float]:
        """Throughput of each UE: its share of its cell by weight."""
        weights = [self.weight.get(ue, 1.0) for ue in ues]
        cells = [self.cell(ue) for ue in ues]
        total = [sum(w for w, c in zip(weights, cells, strict=True) if c == cell) for cell in (0, 1)]
        return [CELL_RATE_KBITS * w / total[c] for w, c in zip(weights, cells, strict=True)]


class ToyWorld(AnswersAtOnce):
    """Nodes "toy-1" and "toy-2", or of other names, that take SetUeWeight, Handover and SetSliceQuota.

    Args:
        duration_s: When the world ends.
        control_delay_ms: Of each node.
        nodes: Their names.
    """

    def __init__(
        self,
        *,
        duration_s: float = 2.0,
        control_delay_ms: float = 10.0,
        nodes: Sequence[str] = ("toy-1", "toy-2"),
    ) -> None:
        self._now_ns = self._reported_ns = 0
        self._end_ns = round(duration_s * 1e9)
        self._nodes = {name: _Node() for name in nodes}
        self._catalogues = tuple(
            Catalogue(
                node=name,
                measurements=_NAMES,
                actions=("Handover", "SetSliceQuota", "SetUeWeight"),
                periods_ms=_PERIODS_MS,
                cells={cell: f"{name}/{letter}" for cell, letter in _CELLS.items()},
                slices=_SLICES,
                control_delay_ms=control_delay_ms,
            )
            for name in self._nodes
        )

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        return self._catalogues

    @property
    def now_ns(self) -> int:
        return self._now_ns

    @property
    def end_ns(self) -> int:
        return self._end_ns

    def last_until(self, end_ns: int) -> int:
        """The end of this world, which cannot be moved, as that of a recording."""
        return min(end_ns, self._end_ns)

    @property
    def slot_ns(self) -> int:
        return _SLOT_NS

    def weight(self, node: str, ue: int) -> float:
        """The weight in force."""
        return self._nodes[node].weight.get(ue, 1.0)

    def next_report_ns(self) -> int:
        period_ns = _PERIODS_MS[0] * _MS
        return (self._now_ns // period_ns + 1) * period_ns

    def advance(self, until_ns: int) -> None:
        if not self._now_ns <= until_ns <= self.next_report_ns():
            raise ValueError(f"cannot advance from {self._now_ns} to {until_ns} ns past a report")
        self._now_ns = until_ns
        for node in self._nodes.values():
            here = set(node.ues(until_ns))
            node.weight = {ue: weight for ue, weight in node.weight.items() if ue in here}
            node.moved_to = {ue: cell for ue, cell in node.moved_to.items() if ue in here}

    def reports(self, wanted: Mapping[tuple[str, str, int], frozenset[str]]) -> list[Report]:
        reports: list[Report] = []
        if self._reported_ns == self._now_ns:
            return reports
        self._reported_ns = self._now_ns
        for name, node in self._nodes.items():
            for level, names in _NAMES.items():
                for period_ms in _PERIODS_MS:
                    asked = wanted.get((name, level, period_ms))
                    if asked and self._now_ns % (period_ms * _MS) == 0:
                        columns = tuple(n for n in names if n in asked)
                        reports.append(self._report(name, node, level, period_ms, columns))
        return reports

    def _report(
        self, name: str, node: _Node, level: Level, period_ms: int, columns: tuple[str, ...]
    ) -> Report:
        ues = node.ues(self._now_ns)
        rates, cells = node.rates_kbits(ues), [node.cell(ue) for ue in ues]
        ids: list[list[float]]
        values: dict[str, list[float]]
        if level == "ue":
            ids = [list(map(float, ues)), list(map(float, cells))]
            values = {"DRB.UEThpDl": rates, "X.UE.Weight": [node.weight.get(ue, 1.0) for ue in ues]}
        else:
            in_cell = [[rate for rate, c in zip(rates, cells, strict=True) if c == cell] for cell in (0, 1)]
            ids = [[0.0, 1.0]]
            values = {
                # An empty cell has no throughput per UE, which is not a throughput of 0.
                "DRB.UEThpDl": [float(np.mean(r)) if r else float("nan") for r in in_cell],
                "RRC.ConnMean": [float(len(r)) for r in in_cell],
            }
        return Report(
            node=name,
            level=level,
            period_ms=period_ms,
            seq=self._now_ns // (period_ms * _MS) - 1,
            ran_time_ns=self._now_ns,
            ids=("ue", "cell") if level == "ue" else ("cell",),
            names=columns,
            block=np.array([*ids, *(values[c] for c in columns)], np.float32).T.copy(),
        )

    def apply(self, node: str, action: Action) -> F32:
        state, values = self._nodes[node], action.parameters()
        here = set(state.ues(self._now_ns))
        for row, target in enumerate(action.targets().tolist()):
            if isinstance(action, SetSliceQuota) and not (target[0] in _CELLS and target[1] in _SLICES):
                values[row] = np.nan
            elif isinstance(action, SetSliceQuota):
                values[row] = np.where(np.isnan(values[row]), _NO_QUOTA, values[row])
                state.quota[target[0], target[1]] = values[row]
            elif target[0] not in here:
                values[row] = np.nan
            elif isinstance(action, SetUeWeight):
                state.weight[target[0]] = float(values[row, 0])
            elif isinstance(action, Handover):
                state.moved_to[target[0]] = int(values[row, 0])
            else:
                raise ValueError(f"a toy node takes no {action.spec.name}")
        return values

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        known = self._nodes[node].ues(self._now_ns) if column == "ue" else [0, 1]
        return np.isin(ids, known).astype(np.float32)

    def close(self) -> None:
        """Do nothing: the world holds no resources."""
