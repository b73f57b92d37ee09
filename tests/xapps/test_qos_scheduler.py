"""qos_scheduler: the cheapest flows that fit are boosted, the hopeless ones rest, best effort is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranloop.embedded import run_embedded
from ranloop.inference import load_card
from ranloop.node import open_world
from ranloop.testing import XAppHarness, make_report
from ranloop.testing.made_up import made_up_catalogue
from ranloop.vocabulary import Action, SetSchedulerModel
from ranloop.wire.messages import Report
from ranloop.xapp.manifest import load_manifest
from ranloop.xapp.memory import Memory
from xapps.qos_scheduler import policy
from xapps.qos_scheduler.policy import Known, Tuning

XAPP = Path(policy.__file__).parent
NAN, INF = float("nan"), float("inf")
TUNING = Tuning(boost=64.0, cap=0.5, give_up_miss_rate=0.3, give_up_s=1.0, rest_weight=0.5)
F32 = NDArray[np.float32]


def f32(*values: float) -> F32:
    return np.array(values, np.float32)


def flows(
    ue: list[int],
    *,
    offered_kbps: list[float],
    budget_ms: list[float] | None = None,
    miss_rate: list[float] | None = None,
    bits_per_prb: list[float] | None = None,
    cqi: list[float] | None = None,
    seq: int = 0,
) -> Report:
    n = len(ue)
    return make_report(
        {
            "X.DRB.OfferedVolDl": np.array(offered_kbps) / 10,  # kbit in 100 ms
            "X.DRB.RadioBudgetDl": budget_ms or [100.0] * n,
            "X.DRB.BudgetMissRateDl": miss_rate or [0.0] * n,
            "X.UE.SpectralEffDl": bits_per_prb or [100.0] * n,
            "CQI": cqi or [10.0] * n,
        },
        level="qos_flow",
        ids={"ue": ue},
        seq=seq,
    )


def memory() -> Memory:
    """As `app.py` has it."""
    return Memory("ue", {"demand_kbps": NAN, "bits_per_prb": NAN, "miss_rate": NAN, "given_up_s": 0.0})


def brought_to(ues: Memory, seen: Report) -> Known:
    """What is known with this report, and remembered."""
    known = policy.brought_to(Known(**ues.of(seen)), seen)
    ues.update(seen, **known._asdict())
    return known


# Which flows are admitted

cells = st.lists(
    st.tuples(
        st.integers(0, 3),  # cell
        st.one_of(st.floats(0.0, 2.0, width=32), st.sampled_from([INF, NAN])),  # share of the cell needed
        st.booleans(),  # eligible
    ),
    max_size=40,
)


@given(rows=cells, cap=st.floats(0.1, 4.0))
def test_per_cell_the_admitted_are_the_longest_run_of_cheapest_flows_under_the_cap(
    rows: list[tuple[int, float, bool]], cap: float
) -> None:
    cell = np.array([row[0] for row in rows], np.int32)
    share, eligible = f32(*(row[1] for row in rows)), np.array([row[2] for row in rows], bool)
    boosted = policy.admitted(cell, share, eligible, cap)
    assert not (boosted & ~eligible).any()
    for here in np.unique(cell):
        mine = eligible & (cell == here)
        taken, left = share[mine & boosted].astype(float), share[mine & ~boosted].astype(float)
        left = np.nan_to_num(left, nan=INF)
        slack = 1e-6 * (1 + len(rows))
        assert taken.sum() <= cap + slack
        if len(left):
            assert taken.max(initial=0.0) <= left.min()  # cheapest first
            assert taken.sum() + left.min() > cap - slack  # and not one fewer than fit
        alone = policy.admitted(cell[cell == here], share[cell == here], eligible[cell == here], cap)
        np.testing.assert_array_equal(boosted[cell == here], alone)  # no cell sees another


def test_by_hand_two_cells() -> None:
    cell = np.array([0, 1, 0, 1, 0, 1], np.int32)
    share = f32(0.3, 0.6, 0.1, 0.2, 0.2, 0.2)
    boosted = policy.admitted(cell, share, np.ones(6, bool), 0.45)
    # cell 0: 0.1 + 0.2 fit, with 0.3 it would be 0.6; cell 1: 0.2 + 0.2 fit, 0.6 does not
    assert boosted.tolist() == [False, False, True, True, True, True]


def test_what_does_not_count_takes_no_room() -> None:
    boosted = policy.admitted(np.zeros(3, np.int32), f32(0.1, 0.4, 0.4), np.array([False, True, True]), 0.85)
    assert boosted.tolist() == [False, True, True]


def test_a_flow_that_nothing_gets_through_to_leaves_the_next_cell_as_it_is() -> None:
    cell, share = np.array([0, 1, 1], np.int32), f32(INF, 0.4, 0.4)
    assert policy.admitted(cell, share, np.ones(3, bool), 0.5).tolist().count(True) == 1


def test_the_needed_share_is_demand_over_what_the_cell_carries() -> None:
    # 51 PRB at 2000 slots/s and 100 bit/PRB carry 10 200 kbit/s: 1020 kbit/s are a tenth.
    share = policy.needed_share(
        f32(1020, 1020, 0, NAN), f32(100, 0, 100, 100), f32(102_000, 102_000, 102_000, 0)
    )
    assert share.tolist() == [pytest.approx(0.1), INF, 0.0, INF]


# Weights


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 5000.0, width=32),
            st.one_of(st.just(NAN), st.floats(8.0, 130.0, width=32)),
            st.one_of(st.just(NAN), st.floats(0.0, 1.0, width=32)),
            st.one_of(st.just(NAN), st.floats(0.0, 900.0, width=32)),
        ),
        max_size=20,
    )
)
def test_only_delay_bound_ues_get_a_weight_and_it_is_one_of_two(
    rows: list[tuple[float, float, float, float]],
) -> None:
    offered, budget, miss, bits = ([row[i] for row in rows] for i in range(4))
    seen = flows(
        list(range(len(rows))), offered_kbps=offered, budget_ms=budget, miss_rate=miss, bits_per_prb=bits
    )
    known = brought_to(memory(), seen)
    rate = policy.recent_rate(known, seen)
    prb_per_s = np.full(len(rows), 102_000, np.float32)
    bound, weight, after = policy.decide(known, seen, rate, prb_per_s, TUNING)
    assert seen.ue[bound].tolist() == [i for i, ms in enumerate(budget) if not np.isnan(ms)]
    assert set(weight[bound].tolist()) <= {TUNING.boost, TUNING.rest_weight}
    assert {len(column) for column in after} == {len(rows)}


def test_by_hand_three_calls_and_a_download() -> None:
    # 10 200 kbit/s fit at 100 bit/PRB: shares 0.1, 0.3, 0.2; the cap is 0.5, so 0.1 and 0.2, not 0.3.
    seen = flows([7, 3, 9, 5], offered_kbps=[1020, 3060, 2040, 9000], budget_ms=[100, 100, 30, NAN])
    bound, weight, _ = policy.decide(
        brought_to(memory(), seen), seen, f32(100, 100, 100, 100), np.full(4, 102_000, np.float32), TUNING
    )
    by_ue = dict(zip(seen.ue[bound].tolist(), weight[bound].tolist(), strict=True))
    assert by_ue == {7: 64.0, 3: 0.5, 9: 64.0}


def test_a_ue_with_several_flows_gets_the_highest_of_their_weights_once() -> None:
    ue, weight = policy.highest_per_ue(np.array([7, 3, 7, 9, 3], np.int32), f32(0.5, 64, 64, 0.5, 0.5))
    assert (ue.tolist(), weight.tolist()) == ([7, 3, 9], [64.0, 64.0, 0.5])


# Memory


def test_a_ue_keeps_what_is_known_of_it_and_a_new_one_starts_from_what_it_shows() -> None:
    ues = memory()
    brought_to(ues, flows([8, 2], offered_kbps=[800, 200]))
    known = brought_to(ues, flows([5, 2], offered_kbps=[500, 400], seq=1))
    gain = 1 - np.exp(-0.1 / policy.SMOOTHING_S)
    assert known.demand_kbps.tolist() == [500, pytest.approx(200 + gain * 200)]


def test_a_ue_that_left_is_forgotten() -> None:
    ues = memory()
    brought_to(ues, flows([8], offered_kbps=[800]))
    for seq in range(1, 4):
        brought_to(ues, flows([2], offered_kbps=[200], seq=seq))
    # Its last report is four periods old, more than the three for which a target is kept.
    assert brought_to(ues, flows([8], offered_kbps=[10], seq=4)).demand_kbps.tolist() == [10]


def test_a_period_without_a_value_leaves_the_memory_as_it_was() -> None:
    ues = memory()
    brought_to(ues, flows([1], offered_kbps=[100], bits_per_prb=[300]))
    known = brought_to(ues, flows([1], offered_kbps=[100], bits_per_prb=[NAN], seq=1))
    assert known.bits_per_prb.tolist() == [300]


def test_the_rule_takes_the_recent_rate_and_the_cqi_where_there_is_none() -> None:
    seen = flows([1, 2, 3], offered_kbps=[1, 1, 1], bits_per_prb=[300, NAN, NAN], cqi=[2, 15, NAN])
    rate = policy.recent_rate(brought_to(memory(), seen), seen)
    # TS 38.214 Table 5.2.2.1-3, CQI 15: 7.4063 bit per resource element, 144 of which a PRB has for data
    assert rate.tolist() == [300, pytest.approx(7.4063 * 144), 0]


def boosted_over(n_periods: int, miss_rate: list[float]) -> list[bool]:
    """Whether one UE is boosted at each report, 100 ms apart, missing this share of its packets in each."""
    ues = memory()
    boosts = []
    for k in range(n_periods):
        seen = flows([1], offered_kbps=[1020], miss_rate=[miss_rate[k]], seq=k)
        _, weight, known = policy.decide(brought_to(ues, seen), seen, f32(100), f32(102_000), TUNING)
        ues.update(seen, **known._asdict())
        boosts.append(bool(weight[0] == TUNING.boost))
    return boosts


@given(st.lists(st.floats(0.0, 0.25, width=32), min_size=5, max_size=30))
def test_a_ue_that_stays_below_the_miss_rate_is_never_given_up(miss_rate: list[float]) -> None:
    assert all(boosted_over(len(miss_rate), miss_rate))


def test_a_ue_above_the_miss_rate_rests_for_as_long_as_was_set() -> None:
    boosts = boosted_over(20, [0.0] * 3 + [1.0] * 5 + [0.0] * 12)
    first = boosts.index(False)
    gain = 1 - np.exp(-0.1 / policy.SMOOTHING_S)
    n_over = int(np.ceil(np.log(1 - TUNING.give_up_miss_rate) / np.log(1 - gain)))  # 1 - (1 - gain)^n > 0.3
    assert first == 3 + n_over - 1
    resting = round(TUNING.give_up_s / 0.1)
    assert not any(boosts[first : first + resting])
    assert all(boosts[first + resting + 1 :])  # a sum of float32 periods may come out one longer


def test_a_ue_that_still_misses_after_its_rest_goes_on_resting_until_it_does_better() -> None:
    boosts = boosted_over(60, [1.0] * 25 + [0.0] * 35)
    assert not any(boosts[:26])
    # Given up a third time at 2 s; what it misses from then on has faded by the end of that rest at 3 s.
    assert boosts.index(True) in (30, 31, 32)
    assert all(boosts[32:])


# The whole xApp


def report() -> Report:
    return make_report(
        {
            "CQI": [12, 11, 1, 9],
            "RSRP": [-80, -85, -120, -90],
            "X.UE.SpectralEffDl": [500, 450, 0, 400],
            "X.UE.MeanMcsDl": [18, 16, 0, 14],
            "X.DRB.OfferedVolDl": [100, 100, 100, 2000],  # kbit in 100 ms
            "X.DRB.RadioBudgetDl": [100, 30, 30, NAN],
            "X.DRB.BudgetMissRateDl": [0.0, 0.0, 1.0, NAN],
        },
        level="qos_flow",
        ids={"ue": [11, 12, 13, 14]},
        node="site0",
    )


def capacity(prbs: float = 51.0, node: str = "site0") -> Report:
    return make_report({"RRU.PrbAvailDl": [prbs]}, level="cell", ids={"cell": [0]}, node=node)


def harness(loaded: Mapping[int, str] | None = None, **settings: Any) -> XAppHarness:
    """The xApp at two nodes whose schedulers have loaded these metrics."""
    xapp = XAppHarness(XAPP, **settings)
    for node in ("site0", "site1"):
        xapp.know(replace(made_up_catalogue(node), scheduler_models=loaded or {}))
    return xapp


def weights(actions: list[Action]) -> dict[int, float]:
    (action,) = actions
    return dict(zip(action.targets().ravel().tolist(), action.parameters().ravel().tolist(), strict=True))


def test_good_channels_are_boosted_and_a_hopeless_one_and_best_effort_are_not() -> None:
    xapp = harness(boost=64.0, rest_weight=0.5)
    assert xapp.send(capacity()) == []
    assert weights(xapp.send(report())) == {11: 64.0, 12: 64.0, 13: 0.5}


def test_before_the_capacity_of_a_cell_is_known_nobody_is_boosted() -> None:
    xapp = harness(boost=64.0, rest_weight=0.5)
    assert set(weights(xapp.send(report())).values()) == {0.5}


def test_the_cell_of_another_node_with_the_same_number_is_another_cell() -> None:
    xapp = harness(boost=64.0)
    xapp.send(capacity())
    xapp.send(capacity(0.1, node="site1"))
    assert weights(xapp.send(report()))[11] == 64.0


def test_ues_that_left_are_forgotten_however_many_come() -> None:
    xapp = harness(boost=64.0)
    for seq in range(50):
        xapp.send(flows([2 * seq, 2 * seq + 1], offered_kbps=[100, 200], seq=seq))
    assert len(xapp.module("app").ues) == 2 * 4  # those of the last report and of the three periods before it


# On the metric that was tuned together with it


def test_cells_of_a_node_that_has_loaded_the_metric_rank_by_it_and_others_by_their_own_rule() -> None:
    xapp = harness({1: "slot_metric", 2: policy.METRIC})
    (action,) = xapp.send(capacity())
    assert isinstance(action, SetSchedulerModel)
    assert (action.targets().tolist(), action.parameters().tolist()) == ([[0]], [[2.0]])
    assert harness({1: "slot_metric"}).send(capacity()) == []


def test_the_settings_that_begin_with_metric_are_those_of_cells_on_the_metric() -> None:
    metric = {"metric_rest_weight": 0.03, "rest_weight": 0.5}
    for loaded, rest in (({1: policy.METRIC}, 0.03), ({}, 0.5)):
        xapp = harness(loaded, boost=64.0, **metric)
        xapp.send(capacity())
        assert weights(xapp.send(report())) == {11: 64.0, 12: 64.0, 13: pytest.approx(rest)}


def test_its_settings_on_the_metric_are_those_of_the_metrics_card() -> None:
    tuned = load_card(XAPP.parents[1] / "models" / policy.METRIC).training["parameters"]
    own = {
        name.removeprefix("metric_"): setting.default
        for name, setting in load_manifest(XAPP).settings.items()
        if name.startswith("metric_")
    }
    assert own == {name: float(f"{tuned[name]:.3g}") for name in own}
    assert set(own) == {*tuned} & {*Tuning._fields}


def test_on_the_simulator_the_metric_is_in_force_while_the_xapp_holds_it() -> None:
    package = str(XAPP.parents[1] / "models" / policy.METRIC)
    overrides = {"scheduler.models": [package], "run.duration_s": 1.0, "run.warmup_s": 0.0}
    with closing(open_world("sim:one-cell", overrides=overrides)) as world:
        run = run_embedded(world, [XAPP], until_ns=500_000_000)
        assert world.engine.slot_model_of.tolist() == [0]  # type: ignore[attr-defined]  # because only the simulator's worlds have one
    assert not [name for name in run.summary.outcomes if name.startswith("refused")]
