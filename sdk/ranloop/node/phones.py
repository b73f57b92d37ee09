"""Phones as nodes: each drive-test log is a node with one UE, from RAN time 0 on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import structlog

from ranloop.errors import NodeError
from ranloop.node import gnettrack
from ranloop.node.gnettrack import PhoneTrace, is_trace_name, read_trace
from ranloop.node.report_table import ReportTable
from ranloop.wire.messages import Catalogue

__all__ = ("SLOT_NS", "PhoneSource", "node_names", "read_folder")

log = structlog.get_logger(__name__)

SLOT_NS = 1_000_000  # phones have no slots of their own; timers of xApps fall on this grid
_PERIOD_MS = 1000
_NS_PER_S = 1_000_000_000


class PhoneSource:
    """One log as a UE stream of one row, second by second; UE 0 is the phone. A `Source` of a replay."""

    left_out: Sequence[str] = ()
    start_ns = 0

    def __init__(self, node: str, trace: PhoneTrace) -> None:
        n, self._cells = len(trace), dict(enumerate(trace.cell_names))
        ids = np.stack([np.zeros(n), trace.cells], axis=1)
        self._table = ReportTable(
            node=node,
            level="ue",
            period_ms=_PERIOD_MS,
            names=gnettrack.MEASUREMENTS,
            seq=trace.seconds.tolist(),
            times_ns=((trace.seconds + 1) * _NS_PER_S).tolist(),
            start=range(n),
            stop=range(1, n + 1),
            block=np.concatenate([ids, trace.values], axis=1).astype(np.float32),
            spelt={"ue": {0: node}, "cell": self._cells},
        )
        self.stream = node, "ue", _PERIOD_MS
        self.end_ns = self._table.times_ns[-1]

    def __iter__(self) -> Iterator[tuple[int, ReportTable, int]]:
        return ((time_ns, self._table, index) for index, time_ns in enumerate(self._table.times_ns))

    def catalogue(self) -> Catalogue:
        return Catalogue(
            node=self.stream[0],
            measurements={"ue": gnettrack.MEASUREMENTS},
            actions=(),
            periods_ms=(_PERIOD_MS,),
            cells=self._cells,
        )


def read_folder(folder: Path) -> tuple[list[PhoneTrace], list[str]]:
    """The logs in `folder`, and why the others cannot be read; neither where there is none.

    Raises:
        NodeError: There are logs, and none can be read.
    """
    traces, left_out = [], []
    for file in sorted(file for file in folder.iterdir() if is_trace_name(file)):
        try:
            traces.append(read_trace(file))
        except NodeError as error:
            left_out.append(str(error))
    if left_out and not traces:
        raise NodeError(f"{folder}: none of the {len(left_out)} logs can be read; the first: {left_out[0]}")
    for reason in left_out:
        log.warning("log_left_out", reason=reason)
    return traces, left_out


def node_names(files: Sequence[Path]) -> list[str]:
    """A topic level for each file: its name in lower case, other characters as `-`, numbered where two are alike."""
    taken: set[str] = set()
    names = []
    for file in files:
        stem = re.sub(r"\.csv(\.gz)?$", "", file.name.lower())
        base = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-")[:64] or "trace"
        name, k = base, 1
        while name in taken:
            k += 1
            name = f"{base[: 63 - len(str(k))]}-{k}"
        taken.add(name)
        names.append(name)
    return names
