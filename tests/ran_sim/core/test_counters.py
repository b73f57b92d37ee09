"""Counters: folding into cells, and what a period is when UEs come and go."""

import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.counters import Snapshot, fold


def snapshot(slot: int, ue_id: list[int], delivered: list[int]) -> Snapshot:
    n = len(ue_id)
    ue = np.zeros((n, count.N), np.int64)
    ue[:, count.DELIVERED_BYTES] = delivered
    gauges = np.zeros(n, np.int64)
    return Snapshot(
        slot=slot,
        ue_id=np.array(ue_id),
        connected=np.ones(n, np.uint8),
        cell=np.zeros(n, np.int32),
        ue=ue,
        cell_class=np.full((1, 1, count.N), sum(delivered)),
        backlog_bytes=gauges,
        hol_slots=gauges,
        cqi=np.zeros(n, np.int32),
        handover=np.zeros((1, 1), np.int64),
        energy_j=np.zeros(1),
        active_slots=np.zeros(1, np.int64),
    )


def test_column_numbers_match_their_names() -> None:
    assert count.NAMES[count.PRB_USED] == "prb_used"
    assert count.NAMES[count.PACKETS_DROPPED] == "packets_dropped"
    assert count.NAMES[count.CQI_REPORTS] == "cqi_reports"
    assert len(set(count.NAMES)) == count.N


def test_fold_moves_only_what_is_new() -> None:
    row, folded, total = np.arange(count.N), np.zeros(count.N, np.int64), np.full(count.N, 100)
    fold(row, folded, total)
    fold(row, folded, total)
    row[3] += 5
    fold(row, folded, total)
    expected = 100 + np.arange(count.N)
    expected[3] += 5
    assert total.tolist() == expected.tolist()


def test_period_of_a_new_ue_counts_from_its_session_s_start() -> None:
    period = snapshot(300, [4, 12], [900, 70]).since(snapshot(100, [4, 5], [600, 50]))
    assert period.slots == 200
    assert period.ue[:, count.DELIVERED_BYTES].tolist() == [300, 70]


def test_period_backwards_in_time_is_refused() -> None:
    with pytest.raises(ValueError, match="earlier snapshot is of slot 300"):
        snapshot(100, [1], [0]).since(snapshot(300, [1], [0]))
