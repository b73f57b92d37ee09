"""Sessions as rows: UE, cell and times of each, and its counts from the end of the warm-up on."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ran_sim.core import counters
from ran_sim.core.state import I64
from ran_sim.engine.kernels import Network

SessionRows = NDArray[Any]  # of `SESSION_DTYPE`

SESSION_DTYPE: Final = np.dtype(
    [
        ("ue_id", np.int64),
        ("ue_row", np.int64),
        ("cell", np.int64),  # last serving cell
        ("start_slot", np.int64),
        ("end_slot", np.int64),
        ("traffic_class", np.int64),
        *((name, np.int64) for name in counters.NAMES),
    ]
)


def ended_rows(network: Network, n_ended: int, slot: int, *, counting: bool) -> SessionRows:
    """The sessions that ended at the radio tick of `slot`; their counters stay 0 unless `counting`."""
    counts = network.counts
    return _rows(network, counts.ended_ue[:n_ended], counts.ended[:n_ended], slot, counting)


def running_rows(network: Network, slot: int, *, counting: bool) -> SessionRows:
    """The sessions that go on in `slot`; their counters stay 0 unless `counting`."""
    queues, counts = network.queues, network.counts
    u = np.flatnonzero(queues.owner >= 0)
    ue = np.stack([queues.owner[u], u, queues.cell[u].astype(np.int64), counts.start_slot[u]], axis=1)
    return _rows(network, ue, counts.ue[u] - counts.before[u], slot, counting)


def without_counts(rows: SessionRows) -> SessionRows:
    """The same sessions, with nothing counted yet."""
    rows = rows.copy()
    for name in counters.NAMES:
        rows[name] = 0
    return rows


def _rows(network: Network, ue: I64, counts: I64, end_slot: int, counting: bool) -> SessionRows:
    """`ue` [n, 4]: UE id, UE row, cell, start slot."""
    rows = np.zeros(len(ue), SESSION_DTYPE)
    for i, name in enumerate(("ue_id", "ue_row", "cell", "start_slot")):
        rows[name] = ue[:, i]
    rows["end_slot"] = end_slot
    rows["traffic_class"] = network.traffic.of_ue[ue[:, 1]]
    if counting:
        for i, name in enumerate(counters.NAMES):
            rows[name] = counts[:, i]
    return rows
