"""Handovers that an xApp commands at the simulated nodes: what they do, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest

from ran_sim.bridge import SimWorld, open_world
from ran_sim.core import counters as count
from ran_sim.energy.power import DEEP_SLEEP
from ran_sim.mobility.handover import COMMAND_LOST
from ranloop.guard import ActionRight, AuditLog, Guard, Rights
from ranloop.vocabulary import Handover, SetCellState
from ranloop.wire.messages import ActionBatch, Cause
from tests.ran_sim.bridge.worlds import MS, pick, run_to


def test_a_handover_to_another_node_takes_the_ue_along_and_counts_it_from_then() -> None:
    world = open_world("seven-sites", overrides={"reports.rounding": False})
    run_to(world, 100)
    before = world.engine.snapshot()
    run_to(world, 160)
    ues, site = world.engine.ues, world.engine.cells.site
    offered_bytes = world.engine.snapshot().since(before).ue[:, count.OFFERED_BYTES]
    rsrp_dbm = world.engine.links.rsrp_l3_dbm
    reachable = np.where(site != 0, rsrp_dbm, -np.inf).max(axis=1) > rsrp_dbm.max(axis=1) - 6.0
    # The busiest UE of site0 that can receive another site.
    u = int(np.argmax(np.where((site[ues.cell] == 0) & reachable, offered_bytes, -1)))
    assert offered_bytes[u] > 0
    ue = int(ues.id[u])
    assert np.isnan(world.apply("site0", Handover(ue=[ue], target_cell=[21]))).all()  # cells are 0..20
    source = int(ues.cell[u])
    target = int(np.argmax(np.where(site != 0, world.engine.links.rsrp_l3_dbm[u], -np.inf)))
    applied = world.apply("site0", Handover(ue=[ue], target_cell=[target]))
    assert applied.tolist() == [[float(ues.cell[u])]]
    moved_to = f"site{site[ues.cell[u]]}"
    assert world.hosts("site0", "ue", np.array([ue], np.float32)).tolist() == [float(moved_to == "site0")]
    at_arrival = world.engine.snapshot().ue[u]
    reports = run_to(world, 200)
    rows = [(r.node, r["X.DRB.OfferedVolDl"][r.ue == ue]) for r in pick(reports, "ue") if ue in r.ue]
    offered = world.engine.snapshot().ue[u, count.OFFERED_BYTES] - at_arrival[count.OFFERED_BYTES]
    assert [(node, value.tolist()) for node, value in rows] == [(moved_to, [np.float32(offered * 8e-3)])]
    cells = next(r for r in pick(reports, "cell") if r.node == "site0")
    assert cells["MM.HoExeIntraFreqReq"][cells.cell == source].tolist() == [1.0]


@pytest.fixture(scope="module")
def settled_world() -> SimWorld:
    world = open_world("seven-sites")
    run_to(world, 100)
    return world


def linked_ue(world: SimWorld) -> int:
    """Slot of a UE of site0 that a command reaches, at a cell of site0 that it hears almost as well."""
    ues, handover = world.engine.ues, world.engine._network.radio.handover
    fit = (
        (ues.connected > 0)
        & (world.engine.cells.site[ues.cell] == 0)
        & (handover.phase == 0)
        & (handover.t310_end < 0)
    )
    return int(np.flatnonzero(fit)[0])


def test_a_second_handover_while_the_first_is_under_way_is_refused_and_says_so(
    settled_world: SimWorld,
) -> None:
    world = settled_world.fork()
    u = linked_ue(world)
    ue, source = int(world.engine.ues.id[u]), int(world.engine.ues.cell[u])
    first, second = (cell for cell in range(3) if cell != source)
    assert world.apply("site0", Handover(ue=[ue], target_cell=[first])).tolist() == [[float(first)]]
    again = Handover(ue=[ue], target_cell=[second])
    assert world.why_not("site0", again) == {
        0: f"interaction-with-other-procedure: its handover from cell {source} to cell {first} is under way"
    }
    assert np.isnan(world.apply("site0", again)).all()
    assert world.engine.ues.cell[u] == first


def test_a_handover_that_cannot_be_says_what_is_wrong(settled_world: SimWorld) -> None:
    world = settled_world.fork()
    u = linked_ue(world)
    ue, source = int(world.engine.ues.id[u]), int(world.engine.ues.cell[u])
    asleep = next(cell for cell in range(3, 21) if cell != source)
    world.apply(f"site{asleep // 3}", SetCellState(cell=[asleep], state=[DEEP_SLEEP]))
    said = {
        99: "unknown-targetID: there is no cell 99; cells are 0 to 20",
        source: f"ho-target-not-allowed: cell {source} serves it already",
        asleep: f"cell-not-available: cell {asleep} sleeps",
    }
    for target, why in said.items():
        action = Handover(ue=[ue, 2**23], target_cell=[target, target])
        assert world.why_not("site0", action) == {
            0: why
        }  # of UE 2**23 there is only to say that it is not here
        assert np.isnan(world.apply("site0", action)).all()


def test_a_lost_command_is_no_handover_and_says_so(settled_world: SimWorld) -> None:
    world = settled_world.fork()
    u = linked_ue(world)
    handover = world.engine._network.radio.handover
    handover.t310_end[u] = world.engine.slot + 1000
    ue, source = int(world.engine.ues.id[u]), int(world.engine.ues.cell[u])
    action = Handover(ue=[ue], target_cell=[(source + 1) % 3])
    assert world.why_not("site0", action) == {
        0: f"failure-in-radio-interface-procedure: T310 runs, so the command is lost and it stays in cell {source}"
    }
    assert np.isnan(world.apply("site0", action)).all()
    assert world.engine.ues.cell[u] == source
    assert handover.phase[u] == COMMAND_LOST  # it was sent: X.MM.HoCommandLost counts it


def test_what_is_refused_and_what_is_told_are_the_same(settled_world: SimWorld) -> None:
    """Every UE towards every cell, while some sleep, some search and some are being handed over."""
    world = settled_world.fork()
    world.apply("site1", SetCellState(cell=[3, 4, 5], state=DEEP_SLEEP))
    run_to(world, 1400)
    u = linked_ue(world)
    world.engine.request_handover(u, (int(world.engine.ues.cell[u]) + 1) % 3)
    reasons = set()
    for u in np.flatnonzero(world.engine.ues.connected).tolist():
        for cell in (0, 3, 20, int(world.engine.ues.cell[u])):
            why = world.engine.why_no_handover(u, cell)
            reasons.add(why.split(" ")[0])
            assert world.engine.fork().request_handover(u, cell) == (why == "")
    assert {"", "cell-not-available:", "interaction-with-other-procedure:"} <= reasons


def test_the_xapp_hears_the_reason_of_the_node(settled_world: SimWorld) -> None:
    world = settled_world.fork()
    u = linked_ue(world)
    guard = Guard(world.catalogues[0], control_delay_ns=10 * MS, slot_ns=world.slot_ns, audit=AuditLog())
    guard.register("a", Rights(actions=(ActionRight(name="Handover"),)))
    batch = ActionBatch(
        id="1",
        xapp="a",
        node="site0",
        seq=1,
        action=Handover(ue=[int(world.engine.ues.id[u])], target_cell=[99]),
        valid_until_ns=world.now_ns + 1_000 * MS,
    )
    guard.submit(batch, sender="a", now_ns=world.now_ns)
    run_to(world, 120)
    (change,) = guard.due(world.now_ns)
    reasons = world.why_not("site0", change.action)
    (result,) = guard.settle(change, world.apply("site0", change.action), world.now_ns, reasons)
    assert result.causes[1] == (Cause.NODE, "unknown-targetID: there is no cell 99; cells are 0 to 20")
