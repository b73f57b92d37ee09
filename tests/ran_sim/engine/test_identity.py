"""What becomes of a UE's id, settings, queue, HARQ, channel state and averages when it changes cell: docs/mobility.md."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from ran_sim.bridge import SimWorld
from ran_sim.core import counters as count
from ran_sim.engine import Engine
from ran_sim.mobility.handover import reestablish
from ran_sim.scenario import load_scenario
from ranloop.bus import open_bus
from ranloop.guard import ActionRight, Rights
from ranloop.node import NodeHost, Registration
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import ActionBatch, Cause, Status

SCENARIO = load_scenario("seven-sites").with_overrides({"traffic.best-effort.rate_mbps": 40.0})
START: Final = 400
MS: Final = 1_000_000
AFTER_FAILURE: Final = (False, True)
PLACES: Final = ("same cell", "same node", "other node")


def busy_ue(engine: Engine) -> int:
    """The best received UE row with data in its buffer and blocks in HARQ: commands reach it."""
    world = engine._network
    busy = (world.harq.n_busy > 0) & (world.queues.backlog_bytes > 0) & (world.radio.handover.phase == 0)
    heard_mw = world.links.rx_mw[:, 0]
    return int(np.argmax(np.where(busy & (world.radio.handover.t310_end < 0), heard_mw, 0.0)))


def target_cell(engine: Engine, u: int, place: str) -> int:
    cell, site = int(engine.ues.cell[u]), engine.cells.site
    if place == "same cell":
        return cell
    same_node = site == site[cell]
    others = same_node & (np.arange(engine.n_cell) != cell) if place == "same node" else ~same_node
    return int(np.argmax(others))


def change_cell(engine: Engine, u: int, cell: int, *, after_failure: bool) -> None:
    """Hand the UE over, or let it re-establish as after a radio link failure."""
    if not after_failure:
        assert engine.request_handover(u, cell)
        return
    world = engine._network
    assert reestablish(u, engine.slot, cell, 1e3, world.ues, world.radio.handover)
    engine._sync()


@pytest.mark.parametrize("after_failure", AFTER_FAILURE)
@pytest.mark.parametrize("place", PLACES)
def test_what_a_ue_keeps_and_loses_when_it_changes_cell(place: str, after_failure: bool) -> None:
    if place == "same cell" and not after_failure:
        pytest.skip("there is no handover into the same cell")
    engine = Engine(SCENARIO, seed=1)
    engine.run_until(START)
    world, u = engine._network, busy_ue(engine)
    engine.set_ue_weight(u, 5.0)
    engine.set_olla_target(u, 0.02)
    world.harq.olla_db[u] = -1.5
    ue_id, backlog_bytes = int(world.ues.id[u]), int(world.queues.backlog_bytes[u])
    in_flight_bytes, before = int(world.queues.in_flight_bytes[u]), world.counts.ue[u].copy()
    assert in_flight_bytes > 0
    cell = target_cell(engine, u, place)
    change_cell(engine, u, cell, after_failure=after_failure)

    assert (world.ues.id[u], world.queues.owner[u], world.queues.cell[u]) == (ue_id, ue_id, cell)
    assert world.queues.backlog_bytes[u] == backlog_bytes  # forwarded
    assert (world.harq.n_busy[u], world.queues.in_flight_bytes[u]) == (0, 0)
    settled = (world.counts.ue[u] - before)[[count.DELIVERED_BYTES, count.DROPPED_BYTES]].sum()
    assert settled == in_flight_bytes  # decoded already, or lost
    assert (world.csi.wideband[u], world.mac.average_bits[u]) == (-1, 0.0)  # nothing known yet
    kept = (world.ues.weight[u], world.ues.olla_target[u], world.harq.olla_db[u])
    assert kept == ((1.0, 0.1, 0.0) if place == "other node" else (5.0, 0.02, -1.5))
    assert world.ues.reestablished[u] == 0
    engine.run_until(START + 1000)
    assert world.counts.ue[u, count.DELIVERED_BYTES] >= before[count.DELIVERED_BYTES]


def test_a_ue_that_searches_is_served_nothing_and_keeps_its_queue() -> None:
    engine = Engine(SCENARIO, seed=1)
    engine.run_until(START)
    world, u = engine._network, busy_ue(engine)
    handover = world.radio.handover
    handover.t310_end[u] = START  # T310 expires on the tick of this slot
    handover.sinr[u] = 0.0
    world.cells.tx_power_dbm[:] = -60.0  # nobody is received, nobody is found
    engine.run_until(START + 110)
    used, backlog_bytes = world.counts.ue[u, count.PRB_USED], world.queues.backlog_bytes[u]
    engine.run_until(START + 900)
    assert world.counts.ue[u, count.PRB_USED] == used
    assert world.queues.backlog_bytes[u] >= backlog_bytes
    assert engine.ues.connected[u]


@pytest.mark.parametrize("after_failure", AFTER_FAILURE)
@pytest.mark.parametrize("place", PLACES[1:])
def test_a_lease_follows_its_ue_inside_the_node_and_ends_with_a_cause_at_the_border(
    place: str, after_failure: bool
) -> None:
    world = SimWorld(SCENARIO, seed=1)
    rights = Rights(streams=(), actions=(ActionRight(name="SetUeWeight"),))
    host = NodeHost(
        world, open_bus("memory://identity", name="host"), xapps={"weigher": Registration(rights=rights)}
    )
    engine = world.engine
    world.advance(100 * MS)
    world.advance(200 * MS)
    u = busy_ue(engine)
    node = f"site{engine.cells.site[engine.ues.cell[u]]}"
    action = SetUeWeight(ue=[int(engine.ues.id[u])], weight=4.0)
    batch = ActionBatch(
        id="1", xapp="weigher", node=node, seq=1, action=action, valid_until_ns=world.now_ns + 100 * MS,
        lease_ms=60_000,
    )  # fmt: skip
    assert host.runtime.submit(batch, sender="weigher", node=node, now_ns=world.now_ns) == []
    world.advance(world.now_ns + 10 * MS)  # the control delay
    (applied,) = host.runtime.carry_out(world.now_ns)
    assert applied.status.tolist() == [Status.APPLIED]
    assert engine.ues.weight[u] == 4.0

    change_cell(engine, u, target_cell(engine, u, place), after_failure=after_failure)
    ended = host.runtime.carry_out(world.now_ns)
    if place == "same node":
        assert ended == []
        assert engine.ues.weight[u] == 4.0
    else:
        (result,) = ended
        assert result.id == "1"
        assert [cause for cause, _ in result.causes][1:] == [Cause.UE_LEFT]
        assert engine.ues.weight[u] == 1.0
