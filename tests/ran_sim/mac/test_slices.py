"""Slice quotas, TS 28.541 4.3.36: caps, guarantees and dedicated shares, to within one RBG over any number of slots."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ran_sim.calibration.bench import Bench
from ran_sim.link.harq import WAITING
from ran_sim.mac.metrics import PF
from ran_sim.mac.slices import DEDICATED, MAX, MIN, set_quota
from ran_sim.scenario import Scenario, ScenarioError, load_scenario
from ran_sim.traffic.queues import FULL_BUFFER_BYTES

N_PRB, RBG = 51, 4
A, B, C = "1-000001", "1-000002", "1-000003"
OF_CLASS = [A, A, B]  # of the traffic in one-cell


def scenario(**slices: dict[str, float]) -> Scenario:
    """Three classes, one per slice, with these quotas."""
    names = {"a": A, "b": B, "c": C}
    return load_scenario("one-cell").with_overrides(
        {
            "traffic.best-effort.slice": A,
            "traffic.video-call.slice": B,
            "traffic.gaming.slice": C,
            "slices": {names[key]: quota for key, quota in slices.items()},
        }
    )


def bench(classes: list[int], *, max_dci: int = 4, **slices: Any) -> Bench:
    """UEs of classes 0, 1, 2 = slices a, b, c with full buffers and CQI 9 each."""
    cell = Bench([9] * len(classes), classes, policy=PF, max_dci=max_dci, scenario=scenario(**slices))
    cell.fill_buffers()
    return cell


def by_slice(cell: Bench, slots: int, first: int = 0) -> NDArray[np.int64]:
    """PRBs of each slice in each slot, [slots, 3]."""
    used = cell.prbs(slots, first=first)
    classes = cell.traffic.of_ue[: cell.n]
    return np.stack([used[:, classes == s].sum(axis=1) for s in range(3)], axis=1)


def most_above(used: NDArray[np.int64], per_slot: float) -> float:
    """The largest excess over `per_slot` of any stretch of slots."""
    level = np.concatenate([[0.0], np.cumsum(used - per_slot)])
    return float((level - np.minimum.accumulate(level)).max())


def most_below(used: NDArray[np.int64], per_slot: float) -> float:
    return most_above(-used, -per_slot)


@pytest.mark.parametrize("max_pct", [3.0, 30.0, 77.0])
def test_cap_holds_to_within_one_rbg_over_any_stretch_and_is_reached(max_pct: float) -> None:
    used = by_slice(bench([0, 0, 1], b={"max_pct": max_pct}), 400)
    assert most_above(used[:, 1], max_pct / 100 * N_PRB) <= RBG + 1e-6
    assert (used.sum(axis=1) == N_PRB).all()  # the others take the rest
    alone = by_slice(bench([1, 1], b={"max_pct": max_pct}), 400)
    assert most_above(alone[:, 1], max_pct / 100 * N_PRB) <= RBG + 1e-6
    assert alone[:, 1].sum() >= max_pct / 100 * N_PRB * 400 - 2 * RBG


def test_a_slice_at_maximum_0_gets_nothing() -> None:
    used = by_slice(bench([0, 1], b={"max_pct": 0.0}), 50)
    assert used[:, 1].sum() == 0


@pytest.mark.parametrize("max_dci", [1, 2, 4])
@pytest.mark.parametrize("min_pct", [4.0, 40.0, 90.0])
def test_minimum_holds_while_another_slice_overloads_the_cell(min_pct: float, max_dci: int) -> None:
    cell = bench([0, 0, 0, 0, 0, 1], max_dci=max_dci, b={"min_pct": min_pct})
    cell.weight[:5] = 100.0  # without the quota the other slice would win every RBG
    used = by_slice(cell, 600)[100:, 1]
    assert used.mean() >= min_pct / 100 * N_PRB - RBG / 500
    if max_dci > 1:  # with one DCI a whole slot goes to one slice, more than it was owed
        assert used.mean() == pytest.approx(min_pct / 100 * N_PRB, rel=0.05)
        assert most_below(used, min_pct / 100 * N_PRB) <= 2 * RBG


def test_sixty_and_forty_percent_are_met_exactly_and_can_be_swapped_at_once() -> None:
    cell = bench([0, 0, 1, 1], a={"min_pct": 60.0}, b={"min_pct": 40.0})
    cell.weight[:2] = 100.0
    before = by_slice(cell, 400).mean(axis=0)
    assert before[:2] == pytest.approx([0.6 * N_PRB, 0.4 * N_PRB], abs=0.05)
    set_quota(cell.slices, 0, [0, 1], [40.0, 60.0], [100.0, 100.0], [0.0, 0.0])
    after = by_slice(cell, 400, 400).mean(axis=0)
    assert after[:2] == pytest.approx([0.4 * N_PRB, 0.6 * N_PRB], abs=0.05)


def test_minimum_is_lent_while_its_slice_is_idle_and_back_at_once() -> None:
    cell = bench([0, 0, 1], b={"min_pct": 60.0})
    cell.weight[:2] = 100.0
    cell.queues.backlog_bytes[2] = 0
    assert (by_slice(cell, 100)[:, 0] == N_PRB).all()
    cell.queues.backlog_bytes[2] = FULL_BUFFER_BYTES
    used = by_slice(cell, 100, 100)
    assert most_below(used[:, 1], 0.6 * N_PRB) <= RBG
    assert used[:, 1].mean() == pytest.approx(0.6 * N_PRB, abs=0.3)  # nothing to catch up on


def test_dedicated_prbs_stay_unused_while_their_slice_is_idle() -> None:
    cell = bench([0, 0, 1], b={"min_pct": 40.0, "dedicated_pct": 40.0})
    cell.queues.backlog_bytes[2] = 0
    used = by_slice(cell, 400)
    assert most_above(used[:, 0], 0.6 * N_PRB) <= RBG + 1e-6
    assert most_below(used[:, 0], 0.6 * N_PRB) <= RBG + 1e-6
    cell.queues.backlog_bytes[2] = FULL_BUFFER_BYTES
    used = by_slice(cell, 100, 400)
    assert (used.sum(axis=1) == N_PRB).mean() > 0.95
    assert most_below(used[:, 1], 0.4 * N_PRB) <= 2 * RBG


def test_what_two_slices_dedicate_is_closed_to_the_third_together() -> None:
    cell = bench(
        [0, 1, 2], a={"min_pct": 30.0, "dedicated_pct": 30.0}, b={"min_pct": 30.0, "dedicated_pct": 30.0}
    )
    cell.queues.backlog_bytes[:2] = 0
    used = by_slice(cell, 300)
    assert used[:, 2].mean() == pytest.approx(0.4 * N_PRB, abs=0.05)


def test_minimum_beyond_the_need_is_lent_in_the_same_slot_but_not_what_is_dedicated() -> None:
    # Slice b needs one RBG a slot: 500 bytes take two at 2060 bits each, 200 bytes one.
    for quota, left in (
        ({"min_pct": 50.0}, N_PRB - 4),
        ({"min_pct": 50.0, "dedicated_pct": 50.0}, N_PRB / 2),
    ):
        cell = bench([0, 1], b=quota)
        used = []
        for slot in range(200):
            cell.queues.backlog_bytes[1] = 200
            used.append(by_slice(cell, 1, slot)[0])
        mean = np.mean(used, axis=0)
        assert mean[:2] == pytest.approx([left, 4], abs=0.1)


quotas = st.tuples(*[st.floats(0, 100)] * 3).map(sorted)
loads = st.lists(st.sampled_from([0, 200, 2000, FULL_BUFFER_BYTES]), min_size=6, max_size=6)


@given(rows=st.tuples(quotas, quotas, quotas), loads=loads, max_dci=st.integers(1, 6), change=loads)
def test_caps_and_dedicated_prbs_hold_for_any_quotas_and_loads(
    rows: tuple[list[float], ...], loads: list[int], max_dci: int, change: list[int]
) -> None:
    """Nobody uses more than there is, its cap, or what others have not dedicated: each plus one RBG over any stretch."""
    scale = min(1.0, 100.0 / max(sum(row[1] for row in rows), 1e-9))  # the minima must fit
    dedicated, low, high = np.array(rows).T * [[scale], [scale], [1.0]]
    cell = bench([0, 0, 1, 1, 2, 2], max_dci=max_dci)
    set_quota(cell.slices, 0, [0, 1, 2], low.tolist(), high.tolist(), dedicated.tolist())
    used = []
    for slot in range(40):
        cell.queues.backlog_bytes[:] = loads if slot < 20 else change
        used.append(by_slice(cell, 1, slot)[0])
    prbs = np.array(used)
    assert (prbs.sum(axis=1) <= N_PRB).all()
    for s in range(3):
        assert most_above(prbs[:, s], high[s] / 100 * N_PRB) <= RBG + 1e-6
    for others in range(1, 8):
        group = [s for s in range(3) if others >> s & 1]
        free_pct = 100 - sum(dedicated[s] for s in range(3) if s not in group)
        # One RBG of the pool, and one of each own share
        slack = RBG * (1 + len(group)) + 1e-6
        assert most_above(prbs[:, group].sum(axis=1), free_pct / 100 * N_PRB) <= slack


def test_a_block_from_before_a_cut_of_the_quota_is_still_sent_again() -> None:
    cell = bench([0, 1], b={"max_pct": 20.0})
    cell.harq.state[1, 0] = WAITING
    cell.harq.n_rbg[1, 0], cell.harq.n_prb[1, 0] = 10, 40
    cell.harq.attempts[1, 0] = cell.harq.n_busy[1] = cell.harq.n_waiting[1] = 1
    assert len(cell.schedule(0)[1]) == 10
    cell.settle()
    # It is charged: 40 PRBs are four slots' share of 10.2.
    used = by_slice(cell, 40, 1)
    assert used[:2, 1].sum() == 0
    assert used[:, 1].sum() + 40 <= 41 * 0.2 * N_PRB + RBG


def test_a_change_that_contradicts_itself_changes_nothing() -> None:
    cell = bench([0], a={"min_pct": 60.0}, b={"min_pct": 40.0})
    before = cell.slices.quota.copy()
    for rows, low, high, own, message in (
        ([0, 1], [40.0, 70.0], [100.0] * 2, [0.0] * 2, "add up to 110 %"),
        ([0], [60.0], [100.0], [61.0], "dedicated <= min"),
        ([0, 1], [50.0, 50.0], [100.0, 40.0], [0.0] * 2, "slice 1: got dedicated 0, min 50, max 40 %"),
        ([1], [-1.0], [100.0], [-2.0], "0 <= dedicated"),
        ([1, 1], [10.0] * 2, [100.0] * 2, [0.0] * 2, "want each once"),
        ([1], [float("nan")], [100.0], [0.0], "nan"),
    ):
        with pytest.raises(ValueError, match=message):
            set_quota(cell.slices, 0, rows, low, high, own)
        assert np.array_equal(cell.slices.quota, before)
    thirds = [float(np.float32(100 / 3))] * 3
    set_quota(cell.slices, 0, [0, 1, 2], thirds, [100.0] * 3, [0.0] * 3)
    assert cell.slices.limited[0] == 1
    set_quota(cell.slices, 0, [0, 1, 2], [0.0] * 3, [100.0] * 3, [0.0] * 3)
    assert cell.slices.limited[0] == 0  # nothing to account for


def test_scenarios_hold_the_quotas_of_the_start_and_refuse_impossible_ones() -> None:
    cell = bench([0], b={"min_pct": 30.0, "max_pct": 80.0, "dedicated_pct": 10.0})
    assert cell.slices.quota[0, :, [MIN, MAX, DEDICATED]].T.tolist() == [
        [0, 1, 0],
        [0.3, 0.8, 0.1],
        [0, 1, 0],
    ]
    one_cell = load_scenario("one-cell")
    for slices, message in (
        ({A: {"min_pct": 20.0, "max_pct": 10.0}}, r"slices.1-000001: .*dedicated_pct <= min_pct <= max_pct"),
        ({A: {"min_pct": 60.0}, B: {"min_pct": 50.0}}, "add up to 100 at most, not 110"),
        ({"1-00000f": {}}, "slices among those of the traffic, 1-000001, 1-000002, not 1-00000f"),
        ({A: {"max_pct": 101.0}}, "slices.1-000001.max_pct"),
    ):
        with pytest.raises(ScenarioError, match=message):
            one_cell.with_overrides({"slices": slices})
