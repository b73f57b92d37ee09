"""slice_tuner: minima follow what slices were promised and need, and whatever its reports are like, the node's own come back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from ranloop import SetSliceQuota
from ranloop.errors import ManifestError
from ranloop.evaluate import run_drop
from ranloop.testing import VirtualRan, XAppHarness, make_report
from ranloop.testing.mail import Kind
from ranloop.training import Drop, World
from ranloop.vocabulary import Action
from ranloop.wire.messages import Catalogue
from ranloop.xapp.manifest import load_manifest
from xapps.slice_tuner import policy, promises, train
from xapps.slice_tuner.policy import Backlog, Demand, Integral, Known, Needs, Promises, Seen
from xapps.slice_tuner.site import PATIENCE

XAPP = Path(policy.__file__).parent
NAN = math.nan
Columns = Mapping[str, Sequence[float]]
# Best effort, a promised delay of 10 ms, a promised throughput of 20 Mb/s
PROMISED = Promises(np.array([NAN, 10, NAN], np.float32), np.array([NAN, NAN, 20_000], np.float32))


def known(**columns: Sequence[float]) -> Known:
    """A cell of three slices, where each PRB carries 500 kbit/s."""
    made = {name: np.zeros((1, 3), np.float32) for name in Known._fields}
    made |= {"sent_kbps": np.full((1, 3), 500, np.float32), "prbs": np.ones((1, 3), np.float32)}
    return Known(**made | {name: np.array([values], np.float32) for name, values in columns.items()})


def seen(**columns: Sequence[float]) -> Seen:
    """The same cell of 100 PRBs in a period without traffic."""
    made = {name: np.zeros((1, 3), np.float32) for name in Seen._fields}
    made |= {name: np.full((1, 3), 100, np.float32) for name in ("cell_prbs", "max_pct")}
    made |= {name: np.full((1, 3), NAN, np.float32) for name in ("delay_ms", "ue_kbps")}
    return Seen(**made | {name: np.array([values], np.float32) for name, values in columns.items()})


# What was promised


def test_promises_are_read_by_slice_in_their_units() -> None:
    found = promises.to(["1-000001", "1-000003", "1-000002"], "1-000002: 30 ms; 1-000003: 2.5 Mb/s")
    assert found.delay_ms.tolist() == pytest.approx([NAN, NAN, 30], nan_ok=True)
    assert found.ue_kbps.tolist() == pytest.approx([NAN, 2500, NAN], nan_ok=True)
    assert found.any.tolist() == [False, True, True]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1-000002",
        "1-000002: 15",
        "1-000002: 0 ms",
        "1-000002: 0.0 Mb/s",
        "1-000002: -5 ms",
        "1-000002: nan ms",
        "gaming: 15 ms",
        "1-000002: 15 ms, 1-000003: 20 Mb/s",
        "1-000002: 30 ms; 1-000002: 20 Mb/s",  # twice
    ],
)
def test_promises_of_another_form_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(
        ManifestError, match=r"promises: got .*, want a text like '1-000002: 30 ms; "
    ) as caught:
        load_manifest(XAPP).effective_settings({"promises": text})
    assert "\n" not in str(caught.value)


def test_a_promise_to_a_slice_that_the_node_does_not_have_is_an_alarm() -> None:
    xapp = harness(promises="1-000002: 30 ms; 1-000009: 5 ms")
    send(xapp)
    assert [(alarm.name, alarm.text) for alarm in xapp.alarms] == [
        ("slice-unknown", "something is promised to 1-000009; the node has 1-000001, 1-000002, 1-000003")
    ]
    xapp.change(promises="1-000002: 15 ms")
    send(xapp, seq=1)
    assert xapp.alarms == ()


# What slices want


def test_the_rule_by_demand_shares_a_cell_in_proportion_to_prbs_and_best_effort_counts_less() -> None:
    offered = known(offered_kbps=[1000, 3000, 4000])  # 2, 6 and 8 PRBs; best effort counts as 1
    wanted = policy.by_demand(offered, PROMISED, Demand(floor_pct=45.0, best_effort=0.5))
    assert wanted.tolist() == [pytest.approx([0, 45, 100 * 8 / 15])]  # 6 / 15 is less than the floor


def test_the_rule_by_backlog_weighs_what_waits_for_a_promised_delay_more() -> None:
    waiting = known(waiting_kbit=[100, 400, 900])  # roots of 4 * 400 and of 900: 40 and 30
    wanted = policy.by_backlog(
        waiting, PROMISED, Backlog(floor_pct=1.0, total_pct=70.0, power=0.5, delay_weight=4.0)
    )
    assert wanted.tolist() == [pytest.approx([0, 40, 30])]  # 70 % in the ratio of 4 to 3


@pytest.mark.parametrize(
    ("columns", "to_pct"),
    [
        (
            {"delay_ms": [NAN, 10, NAN], "ue_kbps": [NAN, NAN, 20_000]},
            [33, 33],
        ),  # at twice and half of what is aimed at
        ({"delay_ms": [NAN, 2.5, NAN], "ue_kbps": [NAN, NAN, 80_000]}, [29.4, 29.4]),  # a fifth as fast down
        ({"delay_ms": [NAN, 1e4, NAN], "ue_kbps": [NAN, NAN, 40_000]}, [33, 30]),  # never faster; as aimed at
        ({"waiting_kbit": [0, 9, 0]}, [33, 29.4]),  # nothing is sent though something waits; nothing to do
    ],
)
def test_the_controller_integrates_how_far_slices_are_from_what_is_aimed_at(
    columns: dict[str, list[float]], to_pct: list[float]
) -> None:
    rule = Integral(floor_pct=5.0, gain_pct_per_s=30.0, release=0.2, aim=0.5)
    after = policy.integrated(known(share_pct=[0, 30, 30]), seen(**columns), PROMISED, rule, 0.1)
    assert after.share_pct.tolist() == [pytest.approx([0, *to_pct])]


def test_the_controller_does_not_wind_up() -> None:
    rule = Integral(floor_pct=5.0, gain_pct_per_s=1000.0, release=1.0, aim=1.0)
    late, idle = seen(delay_ms=[NAN, 1e3, NAN], waiting_kbit=[0, 0, 9]), seen()
    up = policy.integrated(known(share_pct=[0, 90, 90]), late, PROMISED, rule, 1.0)
    assert up.share_pct.tolist() == [[0, 100, 100]]
    assert policy.integrated(up, idle, PROMISED, rule, 1.0).share_pct.tolist() == [[0, 5, 5]]


def test_a_need_is_the_prbs_with_which_a_promise_would_be_kept() -> None:
    rule = Needs(floor_pct=2.0, delay_margin=1.5, clearing=0.1, ue_margin=1.2, spare=0.0, triage=0.0)
    busy = known(offered_kbps=[9, 3000, 9], waiting_kbit=[9, 6, 9], active_ues=[9, 9, 1.5])
    # 1.5 * 3000 kbit/s and a tenth of 6 kbit in 10 ms are 4560 kbit/s: 9.12 PRBs of 100.
    # 1.2 * 1.5 UEs at 20 Mb/s are 36 Mb/s: 72 PRBs.
    assert policy.by_needs(busy, seen(), PROMISED, rule).tolist() == [pytest.approx([0, 11.12, 74])]


def test_a_prb_of_a_slice_that_had_none_carries_what_it_carries_in_the_cell() -> None:
    rule = Demand(floor_pct=0.0, best_effort=1.0)
    quiet = known(
        offered_kbps=[2000, 0, 1000], sent_kbps=[4000, 0, 0], prbs=[4, 0, 0]
    )  # 1000 kbit/s a PRB: 2 and 1
    assert policy.by_demand(quiet, PROMISED, rule).tolist() == [pytest.approx([0, 0, 100 / 3])]


def test_what_is_known_moves_by_the_weight_of_a_period_and_remembers_the_most_active_ues() -> None:
    before = known(offered_kbps=[100, 100, 100], active_ues=[4, 1, 0])
    after = before.brought_to(seen(offered_kbps=[200, 0, 100], active_ues=[1, 3, 0], prbs=[1, 1, 1]), 0.75)
    assert after.offered_kbps.tolist() == [[125, 75, 100]]
    assert after.active_ues.tolist() == [[3, 3, 0]]
    assert before.brought_to(seen(offered_kbps=[200, NAN, 100]), 0.75).offered_kbps.tolist() == [[100] * 3]


# How it is made to fit


def fitted(
    wanted: Sequence[float], low: Sequence[float] = (0, 0, 0), high: float = 100.0, **fit: float
) -> list[float]:
    row = np.array([wanted], np.float32)
    return list(
        policy.minima(row, np.array([low], np.float32), np.full_like(row, high), 90.0, **fit)[0].tolist()
    )


def test_where_room_is_short_all_are_cut_or_those_that_want_least_come_first() -> None:
    assert fitted([20, 60, 40]) == pytest.approx([15, 45, 30])  # 120 in a room of 90
    assert fitted([20, 60, 40], triage=1.0) == pytest.approx([20, 30, 40])
    assert fitted([20, 60, 40], triage=0.5) == pytest.approx([17.5, 37.5, 35])


def test_what_nobody_wants_is_handed_out_as_far_as_it_is_said_to() -> None:
    assert fitted([10, 20, 15]) == [10, 20, 15]
    assert fitted([10, 20, 15], spare=1.0) == pytest.approx([20, 40, 30])
    assert fitted([0, 0, 0], spare=1.0) == [0, 0, 0]


def test_dedicated_and_maximal_shares_are_kept() -> None:
    assert fitted([0, 20, 95], low=(5, 0, 0), high=50.0) == pytest.approx([5, 20, 50])
    assert fitted([0, 95, 95], low=(30, 30, 30)) == [30, 30, 30]


# In the network


def harness(**settings: Any) -> XAppHarness:
    """The xApp at a node of two cells of 100 PRBs and three slices, of which 1-000001 has 10 % by configuration."""
    xapp = XAppHarness(XAPP, **dict[str, Any](promises="1-000002: 10 ms; 1-000003: 20 Mb/s") | settings)
    xapp.know(
        Catalogue(
            node="site0", measurements={}, actions=(), periods_ms=(), cells={0: "a", 1: "b"},
            slices={7: "1-000001", 8: "1-000002", 9: "1-000003"}, slice_min_pct={7: 10.0, 8: 30.0, 9: 30.0},
        )
    )  # fmt: skip
    return xapp


def send(
    xapp: XAppHarness, columns: Columns = MappingProxyType({}), *, seq: int = 0, drop: int = 0
) -> list[Action]:
    """A period of both cells, in the order of slices; `drop` rows are missing."""
    xapp.send(make_report({"RRU.PrbAvailDl": [100.0, 100.0]}, level="cell", seq=seq))
    values = shown(2, columns)
    ids = {"slice": [7, 7, 8, 8, 9, 9], "cell": [0, 1] * 3}
    keep = slice(drop, None)
    return xapp.send(
        make_report(
            {name: list(column)[keep] for name, column in values.items()},
            level="slice", ids={name: column[keep] for name, column in ids.items()}, seq=seq,
        )
    )  # fmt: skip


def shown(n_cell: int, columns: Columns) -> dict[str, list[float]]:
    """Columns of a report: each slice is offered 1 Mb/s in each cell and sends it with 2 PRBs."""
    n = 3 * n_cell
    return {
        "DRB.PdcpSduVolumeDL": [100.0] * n,
        "DRB.RlcSduTransmittedVolumeDL": [100.0] * n,
        "X.DRB.BufferedVolDl": [0.0] * n,
        "DRB.MeanActiveUeDl": [1.0] * n,
        "RRU.PrbUsedDl": [2.0] * n,
        "DRB.RlcSduDelayDl": [20.0] * n,
        "DRB.AirIfDelayDl": [5.0] * n,
        "DRB.UEThpDl": [9000.0] * n,
        "X.Slice.MaxQuota": [100.0] * n,
        "X.Slice.DedicatedQuota": [0.0] * n,
    } | {name: list(values) for name, values in columns.items()}  # fmt: skip


def test_minima_are_held_in_every_cell_for_the_slices_with_a_promise_alone() -> None:
    xapp = harness(policy="demand", floor_pct=0.0, best_effort=0.0)
    [action] = send(xapp)
    # both were offered as much: half of the 90 % that best effort leaves by the node's configuration, each
    assert action == SetSliceQuota(
        cell=[0, 0, 1, 1], slice=[8, 9, 8, 9], min_pct=45.0, max_pct=100.0, dedicated_pct=0.0
    )


def test_the_sum_of_a_delay_is_that_of_rlc_and_the_air() -> None:
    xapp = harness(policy="integral", floor_pct=5.0, gain_pct_per_s=10.0, release=1.0, aim=1.0)
    # 2 + 0.5 ms are below half of 10 ms, 15 + 5 ms twice of it: the floor, and 5 + 1 %
    delays: Columns = {
        "DRB.RlcSduDelayDl": [0, 0, 20, 150, 0, 0],
        "DRB.AirIfDelayDl": [0, 0, 5, 50, NAN, NAN],
    }
    [action] = send(xapp, delays)
    assert action.parameters()[[0, 2], 0].tolist() == pytest.approx([5, 5])  # an integral begins at its floor
    [action] = send(xapp, delays, seq=1)
    assert action.parameters()[[0, 2], 0].tolist() == pytest.approx([5, 6])


def test_a_report_that_lacks_a_slice_of_a_cell_changes_nothing() -> None:
    assert send(harness(), drop=1) == []
    assert send(harness(), drop=6) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RRU.PrbUsedDl", NAN),
        ("RRU.PrbUsedDl", 1e6),
        ("RRU.PrbUsedDl", -3.0),
        ("DRB.PdcpSduVolumeDL", NAN),
        ("DRB.PdcpSduVolumeDL", 1e9),  # 10 Tb/s
        ("DRB.RlcSduTransmittedVolumeDL", 1e9),
        ("X.DRB.BufferedVolDl", math.inf),
        ("X.DRB.BufferedVolDl", -1.0),
        ("DRB.MeanActiveUeDl", 1e7),
        ("X.Slice.MaxQuota", NAN),
    ],
)
def test_a_cell_with_a_value_that_cannot_be_true_is_left_alone(name: str, value: float) -> None:
    columns = list(shown(2, {})[name])
    columns[5] = value  # of the last slice in the second cell
    [action] = send(harness(), {name: columns})
    assert action.targets()[:, 0].tolist() == [0, 0]


@pytest.fixture(params=["demand", "backlog", "integral", "needs"])
def ran(request: pytest.FixtureRequest) -> Iterator[VirtualRan]:
    """A busy node of three cells and two slices whose minima the xApp holds."""
    said = "1-000001: 10 ms; 2-000001: 20 Mb/s"
    with VirtualRan(XAPP, policy=request.param, promises=said) as network:
        show(network)
        network.run(400)
        assert len(network.held) == 6
        yield network


def show(network: VirtualRan, columns: Columns = MappingProxyType({})) -> None:
    network.show({"RRU.PrbAvailDl": [100.0] * 3}, level="cell")
    ids = {"slice": [1, 1, 1, 2, 2, 2], "cell": [0, 1, 2] * 2}
    network.show(shown(2, columns), level="slice", ids=ids)


@pytest.mark.parametrize("kind", ["report", "act"])
def test_killed_or_cut_off_all_quotas_are_the_nodes_own_within_the_lease(ran: VirtualRan, kind: Kind) -> None:
    ran.lose(100, kind=kind)
    ran.run(500)
    assert ran.held == {}


def test_stale_reports_hold_no_quota(ran: VirtualRan) -> None:
    ran.delay(5000, 100)
    ran.run(500)
    assert ran.held == {}


@pytest.mark.parametrize("value", [NAN, -5.0, 1e9, math.inf])
def test_absurd_reports_hold_no_quota(ran: VirtualRan, value: float) -> None:
    show(ran, {"RRU.PrbUsedDl": [value] * 6})
    ran.run(500)
    assert ran.held == {}


def test_reports_that_repeat_each_other_while_there_is_traffic_are_not_believed(ran: VirtualRan) -> None:
    ran.run(100 * PATIENCE + 500)
    assert ran.held == {}
    assert [alarm.name for alarm in ran.alarms] == ["reports-not-believed"]
    show(ran, {"DRB.PdcpSduVolumeDL": [101.0] * 6})
    ran.run(300)
    assert len(ran.held) == 6
    assert ran.alarms == ()


def test_a_node_without_traffic_may_repeat_itself(ran: VirtualRan) -> None:
    show(ran, {"RRU.PrbUsedDl": [0.0] * 6})
    ran.run(100 * PATIENCE + 500)
    assert len(ran.held) == 6


# Training


def test_static_quotas_leave_best_effort_its_tenth() -> None:
    point = {"gaming_pct": 60.0, "premium_pct": 60.0, "transport_pct": 1.0}
    minima = [float(str(value)) for value in train.static(point).overrides.values()]
    assert minima == pytest.approx([90 * 60 / 121, 90 * 60 / 121, 90 / 121], abs=0.01)
    assert sum(minima) <= 90


def test_a_point_of_the_training_scores_as_its_arm_does_in_the_loop() -> None:
    """Without bus and guard the decisions and their slots are the same."""
    world = World(
        name="one site",
        node="sim:sliced-district",
        overrides={"layout.sites": 1, "layout.wrap_around": False, "radio.k_interferers": 2},
    )
    drop = Drop(world=world, seed=1, load=1.0, warmup_s=0.05, measured_s=0.95)
    contender = next(each for each in train.CONTENDERS if each.name == "needs")
    [forked] = contender.score([contender.start], drop, {})
    looped = run_drop(drop.task(contender.arm(contender.start)))
    assert looped.outcomes["applied"] > 0
    assert forked == pytest.approx(dict(looped.score), nan_ok=True, rel=1e-12)


@pytest.mark.parametrize(
    ("changed", "worth"),
    [
        ({}, 0.0),
        ({"violations": 30.0}, 25.0),
        ({"best_effort_mbps": 100.0 * math.exp(-0.03)}, -6.0),  # 3 % less cost 6
        ({"best_effort_mbps": 100.0 * math.exp(0.03)}, 0.6),
        ({"user_p5_mbps": math.exp(-0.3)}, -2.0),  # of 30 %, 20 count, a tenth each
    ],
)
def test_broken_promises_are_weighed_against_what_best_effort_pays(
    changed: dict[str, float], worth: float
) -> None:
    before = {"violations": 40.0, "best_effort_mbps": 100.0, "user_p5_mbps": 1.0}
    assert train.worth([before | changed], [before]) == pytest.approx(worth)
