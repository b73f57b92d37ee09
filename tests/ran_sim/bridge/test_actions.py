"""Settings of the simulated nodes: what they do, what they answer, and how quotas go back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ran_sim.bridge import SimWorld, open_world
from ran_sim.core import counters as count
from ranloop.errors import NodeError, VocabularyError
from ranloop.guard import ActionRight, AuditLog, Guard, Rights
from ranloop.vocabulary import (
    ACTIONS,
    SetCellOffset,
    SetClassWeight,
    SetOllaTarget,
    SetSchedulerModel,
    SetSliceQuota,
    SetTxPower,
    SetUeWeight,
)
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch
from tests.ran_sim.bridge.worlds import FILES, FULL_BUFFER, GAMING, MS, VOICE, last, pick, run_to, small_world

SLOT_METRIC = Path(__file__).parents[3] / "models" / "slot_metric"


def test_a_ue_weight_moves_prbs_from_the_next_slot_on() -> None:
    world, twin = (small_world({**FULL_BUFFER, "ues": 4}) for _ in range(2))
    for each in (world, twin):
        run_to(each, 400)
    before = world.engine.snapshot()

    def used_in_the_next_slot(each: SimWorld) -> NDArray[np.int64]:
        each.advance(each.now_ns + each.slot_ns)
        return each.engine.snapshot().since(before).ue[:, count.PRB_USED]

    without = used_in_the_next_slot(twin)
    u = int(np.argmin(without))
    applied = world.apply("site0", SetUeWeight(ue=[int(world.engine.ues.id[u])], weight=[100.0]))
    assert applied.tolist() == [[100.0]]
    assert used_in_the_next_slot(world)[u] > without[u]
    report = last(world, 500, "ue")
    assert report["X.UE.Weight"].tolist() == [100.0 if i == u else 1.0 for i in range(4)]
    assert report["RRU.PrbTotDl"][u] > 80


def test_settings_answer_with_the_values_in_force() -> None:
    world = small_world(VOICE, {**FILES, "ues": 2}, sectors=3)
    run_to(world, 100)
    ue = int(world.engine.ues.id[0])
    assert world.apply("site0", SetOllaTarget(ue=[ue], bler_target=[0.25])).tolist() == [[0.25]]
    assert world.apply("site0", SetCellOffset(cell=[0, 2], cio_db=[3.0, -3.0])).tolist() == [[3.0], [-3.0]]
    assert world.apply("site0", SetTxPower(cell=[1], tx_power_dbm=[40.0])).tolist() == [[40.0]]
    applied = world.apply("site0", SetClassWeight(cell=[1, 1], five_qi=[9, 2], weight=[5.0, 5.0]))
    np.testing.assert_array_equal(applied, [[5.0], [np.nan]])  # nobody has 5QI 2 here
    reports = run_to(world, 200)
    cell, report = pick(reports, "cell")[0], pick(reports, "ue")[0]
    assert cell["X.Cell.Offset"].tolist() == [3.0, 0.0, -3.0]
    assert cell["X.Cell.TxPower"].tolist() == [44.0, 40.0, 44.0]
    assert report["X.UE.OllaTarget"][report.ue == ue].tolist() == [0.25]


PCT = ("min_pct", "max_pct", "dedicated_pct")
QUOTAS = ("X.Slice.MinQuota", "X.Slice.MaxQuota", "X.Slice.DedicatedQuota")


def test_slice_quotas_move_prbs_and_stand_in_the_report() -> None:
    world = small_world(
        {**FULL_BUFFER, "ues": 3}, {**FULL_BUFFER, "name": "other", "ues": 3, "slice": "1-000002"}
    )
    run_to(world, 200)
    for first, second in ((60.0, 40.0), (40.0, 60.0)):
        both = SetSliceQuota(cell=0, slice=[0, 1], min_pct=[first, second], max_pct=100, dedicated_pct=0)
        assert world.apply("site0", both).tolist() == [[first, 100.0, 0.0], [second, 100.0, 0.0]]
        start = world.now_ns / MS
        run_to(world, start + 100)
        report = last(world, start + 600, "slice")
        assert report["RRU.PrbUsedDl"] == pytest.approx([0.51 * first, 0.51 * second], rel=0.05)
        assert [report[name].tolist() for name in QUOTAS] == [[first, second], [100.0] * 2, [0.0] * 2]
    capped = SetSliceQuota(cell=0, slice=[0], min_pct=0, max_pct=20, dedicated_pct=0)
    assert world.apply("site0", capped).tolist() == [[0.0, 20.0, 0.0]]
    assert last(world, 2000, "slice")["RRU.PrbUsedDl"] == pytest.approx([0.2 * 51, 0.8 * 51], rel=0.05)


def test_quotas_that_contradict_those_in_force_change_nothing_and_the_answer_says_so() -> None:
    world = small_world(VOICE, GAMING, sectors=3, slices={"1-000001": {"min_pct": 70.0}})
    world.advance(10 * MS)
    rows = SetSliceQuota(
        cell=[1, 2, 7, 1], slice=[1, 1, 1, 5], min_pct=[40, 30, 30, 30], max_pct=90, dedicated_pct=0
    )
    applied = world.apply("site0", rows)
    np.testing.assert_array_equal(applied, [[0, 100, 0], [30, 90, 0], [np.nan] * 3, [np.nan] * 3])
    # No value: what the scenario says.
    back = world.apply("site0", SetSliceQuota(cell=2, slice=[0, 1], **dict.fromkeys(PCT, np.nan)))
    assert back.tolist() == [[70, 100, 0], [0, 100, 0]]


def test_quotas_that_go_back_one_after_the_other_end_at_the_configuration() -> None:
    half = {"min_pct": 50.0}
    world = small_world(VOICE, GAMING, slices={"1-000001": half, "1-000002": half})
    assert world.catalogues[0].slice_min_pct == {0: 50.0, 1: 50.0}

    def back(slice_id: int) -> SetSliceQuota:
        return SetSliceQuota(cell=0, slice=slice_id, **dict.fromkeys(PCT, np.nan))

    def minima(of: SimWorld) -> list[float]:
        return [float(pct) for pct in of.engine.slice_quota_pct[0, 0]]

    world.apply("site0", SetSliceQuota(cell=0, slice=[0, 1], min_pct=[30, 70], max_pct=90, dedicated_pct=0))
    # 50 beside the 70 that is still held does not fit: it waits ...
    assert world.apply("site0", back(0)).tolist() == [[30, 90, 0]]
    twin = world.fork()
    # ... until the other one goes back, too, or makes room.
    assert world.apply("site0", back(1)).tolist() == [[50, 100, 0]]
    assert minima(world) == [50.0, 50.0]
    twin.apply("site0", SetSliceQuota(cell=0, slice=1, min_pct=45, max_pct=90, dedicated_pct=0))
    assert minima(twin) == [50.0, 45.0]
    # Who sets it again holds it again.
    world.apply("site0", SetSliceQuota(cell=0, slice=[0, 1], min_pct=[30, 70], max_pct=90, dedicated_pct=0))
    world.apply("site0", SetSliceQuota(cell=0, slice=1, min_pct=20, max_pct=90, dedicated_pct=0))
    assert minima(world) == [30.0, 20.0]


def test_leases_that_lapse_one_after_the_other_leave_the_configured_quotas() -> None:
    half = {"min_pct": 50.0}
    world = small_world(VOICE, GAMING, slices={"1-000001": half, "1-000002": half})
    guard = Guard(world.catalogues[0], control_delay_ns=10 * MS, slot_ns=world.slot_ns, audit=AuditLog())
    guard.register("a", Rights(actions=(ActionRight(name="SetSliceQuota"),)))
    for slice_id, (min_pct, lease_ms) in enumerate([(30, 600), (70, 800)]):
        quota = SetSliceQuota(cell=0, slice=slice_id, min_pct=min_pct, max_pct=100, dedicated_pct=0)
        batch = ActionBatch(
            id=str(slice_id),
            xapp="a",
            node="site0",
            seq=slice_id,
            action=quota,
            valid_until_ns=20 * MS,
            lease_ms=lease_ms,
        )
        assert guard.submit(batch, sender="a", now_ns=0) is None
    in_force = {}
    while (event_ns := guard.next_event_ns()) < FOR_EVER_NS:
        run_to(world, event_ns / MS)
        for change in guard.due(world.now_ns):
            guard.settle(change, world.apply("site0", change.action), world.now_ns)
        in_force[world.now_ns // MS] = world.engine.slice_quota_pct[0, 0].tolist()
    assert in_force == {10: [30, 70], 610: [30, 70], 810: [50, 50]}


def test_no_value_for_a_parameter_goes_back_to_the_node_s_own() -> None:
    scheduler = {"class_weight": {"9": 2.0}}
    world = small_world(FILES, scheduler=scheduler, layout={"sites": 1, "sectors": 1, "tx_power_dbm": 40.0})
    run_to(world, 100)
    ue = int(world.engine.ues.id[0])
    world.apply("site0", SetTxPower(cell=[0], tx_power_dbm=[30.0]))
    assert world.apply("site0", SetTxPower(cell=[0], tx_power_dbm=[np.nan])).tolist() == [[40.0]]
    assert world.engine.cells.tx_power_dbm.tolist() == [40.0]
    world.apply("site0", SetClassWeight(cell=[0], five_qi=[9], weight=[7.0]))
    assert world.apply("site0", SetClassWeight(cell=[0], five_qi=[9], weight=[np.nan])).tolist() == [[2.0]]
    assert world.apply("site0", SetUeWeight(ue=[ue], weight=[np.nan])).tolist() == [[1.0]]


@pytest.mark.parametrize(("name", "own"), [("log", 0.0), ("learned", 1.0)])
def test_a_scheduler_model_holds_for_its_lease_and_goes_back_to_the_node_s_own(name: str, own: float) -> None:
    scheduler = {"name": name, "models": [str(SLOT_METRIC), str(SLOT_METRIC)]}
    world = small_world(VOICE, GAMING, sectors=3, scheduler=scheduler)
    assert "SetSchedulerModel" in world.catalogues[0].actions
    assert world.catalogues[0].scheduler_models == {1: "slot_metric", 2: "slot_metric"}
    guard = Guard(world.catalogues[0], control_delay_ns=10 * MS, slot_ns=world.slot_ns, audit=AuditLog())
    guard.register("a", Rights(actions=(ActionRight(name="SetSchedulerModel"),)))
    batch = ActionBatch(
        id="1",
        xapp="a",
        node="site0",
        seq=0,
        action=SetSchedulerModel(cell=[0, 2], model=[2, 1.0 - own]),
        valid_until_ns=20 * MS,
        lease_ms=600,
    )
    assert guard.submit(batch, sender="a", now_ns=0) is None
    in_force = {}
    while (event_ns := guard.next_event_ns()) < FOR_EVER_NS:
        run_to(world, event_ns / MS)
        for change in guard.due(world.now_ns):
            guard.settle(change, world.apply("site0", change.action), world.now_ns)
        in_force[world.now_ns // MS] = (world.engine.slot_model_of + 1).tolist()
    assert in_force == {10: [2, own, 1 - own], 610: [own, own, own]}


def test_a_scheduler_model_that_is_not_loaded_is_not_in_force_and_the_reason_names_those_that_are() -> None:
    world = small_world(VOICE, scheduler={"models": [str(SLOT_METRIC)]})
    action = SetSchedulerModel(cell=[0], model=[2])
    np.testing.assert_array_equal(world.apply("site0", action), [[np.nan]])
    assert world.engine.slot_model_of.tolist() == [-1]
    assert world.why_not("site0", action) == {
        0: "no such model is loaded here; 0 is none, the others are 1 (slot_metric)"
    }


def test_targets_elsewhere_are_left_alone_and_have_no_value() -> None:
    world = open_world("seven-sites")
    run_to(world, 100)
    ues, site = world.engine.ues, world.engine.cells.site
    u = np.flatnonzero(ues.connected)
    here, there = u[site[ues.cell[u]] == 0][0], u[site[ues.cell[u]] == 1][0]
    never = 2**23
    applied = world.apply(
        "site0", SetUeWeight(ue=[*ues.id[[here, there]].tolist(), never], weight=[2.0, 2.0, 2.0])
    )
    np.testing.assert_array_equal(applied, [[2.0], [np.nan], [np.nan]])
    assert (ues.weight[here], ues.weight[there]) == (2.0, 1.0)
    np.testing.assert_array_equal(
        world.apply("site0", SetCellOffset(cell=[0, 3, 99], cio_db=1.0)), [[1.0], [np.nan], [np.nan]]
    )
    asked = np.array([ues.id[here], ues.id[there], never, np.nan], np.float32)
    assert world.hosts("site0", "ue", asked).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert world.hosts("site1", "cell", np.array([2, 3, 5, 6], np.float32)).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert world.hosts("site1", "five_qi", np.array([9, 4], np.float32)).tolist() == [1.0, 0.0]
    assert world.hosts("site1", "slice", np.array([1, 2], np.float32)).tolist() == [1.0, 0.0]
    with pytest.raises(VocabularyError, match="bearer"):
        world.hosts("site1", "bearer", asked)


def test_an_action_that_the_node_does_not_take_is_refused() -> None:
    class NobodysOffset(SetCellOffset):
        """The node takes all that the vocabulary has, and no type beside it."""

    world = small_world(VOICE)
    assert set(world.catalogues[0].actions) == set(ACTIONS) - {"SetSchedulerModel"}  # it has loaded no model
    with pytest.raises(NodeError, match="site0 takes no SetCellOffset"):
        world.apply("site0", NobodysOffset(cell=[0], cio_db=[0.0]))
    with pytest.raises(NodeError, match="site9"):
        world.apply("site9", SetCellOffset(cell=[0], cio_db=[0.0]))
