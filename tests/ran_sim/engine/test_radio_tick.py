"""The slow radio as a whole: links add up, actions reach them, worlds are paired and do not depend on how they are run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.core.state import Cells, Links, Ues
from ran_sim.engine.link_powers import refresh_links
from ran_sim.engine.radio_state import RadioState, init_radio
from ran_sim.engine.radio_tick import radio_tick, request_handover
from ran_sim.mobility.handover import ATTEMPTS, CONNECTED, COUNTERS, REESTABLISHMENTS, REQUESTED, SEARCHING
from ran_sim.radio.fading import fade_to
from ran_sim.scenario import load_scenario

Network = tuple[Cells, Ues, Links, RadioState]
TICK_SLOTS, GRID_SLOTS = 100, 4


def world(seed: int = 1, name: str = "seven-sites", **overrides: object) -> Network:
    scenario = load_scenario(name).with_overrides({key.replace("__", "."): v for key, v in overrides.items()})
    return init_radio(scenario, seed)


def fade(slot: int, world: Network) -> None:
    """Evaluate the fading of every UE that is there."""
    _, ues, links, radio = world
    for u in np.flatnonzero(ues.connected).tolist():
        fade_to(u, slot // GRID_SLOTS, radio.fading, links.fading[u])


def run(world: Network, first_slot: int, end_slot: int) -> None:
    for slot in range(first_slot, end_slot, TICK_SLOTS):
        radio_tick(slot, *world)
    fade(end_slot - GRID_SLOTS, world)


def ue_state(world: Network, u: int) -> tuple[float, ...]:
    """What the world itself does to a UE, apart from controllers."""
    _, ues, links, _ = world
    return int(ues.id[u]), float(ues.x_m[u]), float(ues.y_m[u]), *links.gain_db[u].tolist()


@pytest.fixture(scope="module")
def seven() -> Network:
    made = world()
    run(made, 0, 4000)
    return made


def test_received_powers_are_split_without_loss(seven: Network) -> None:
    cells, ues, links, _ = seven
    cells.load[:] = np.linspace(0.1, 0.9, 21)
    refresh_links(*seven)
    for u in np.flatnonzero(ues.connected):
        # 44 dBm over 51 PRBs, 4 of them per RBG
        per_rbg_mw = 10 ** ((44 + 10 * math.log10(4 / 51) + links.gain_db[u].astype(float)) / 10)
        explicit = links.cell[u]
        assert links.rx_mw[u] == pytest.approx(per_rbg_mw[explicit], rel=1e-4)
        rest = np.setdiff1d(np.arange(21), explicit)
        assert links.rest_mw[u] == pytest.approx(per_rbg_mw[rest] @ cells.load[rest], rel=1e-2, abs=1e-12)
        assert explicit[0] == ues.cell[u]
        assert per_rbg_mw[explicit[1:]].min() >= per_rbg_mw[rest].max() * (1 - 1e-6)


def test_noise_is_thermal_plus_noise_figure(seven: Network) -> None:
    # -174 dBm/Hz + 9 dB + 10 log10(4 * 12 * 30 kHz) = -103.42 dBm
    assert 10 * math.log10(seven[2].noise_mw[0]) == pytest.approx(
        -174 + 9 + 10 * math.log10(1.44e6), abs=1e-3
    )


def test_path_gain_of_one_ue_by_hand() -> None:
    """A UE in the street 200 m in front of a lone sector, no shadow: path loss, element, column, and nothing else."""
    made = world(
        layout__sites=1,
        radio__k_interferers=2,
        radio__indoor_share=0.0,
        radio__shadowing=False,
        radio__line_of_sight="always",
        radio__angular_spread=False,
    )
    _, ues, links, radio = made
    radio.motion.speeds_mps[:] = 0.0
    radio_tick(0, *made)
    ues.x_m[0], ues.y_m[0] = 200 * math.cos(math.radians(30)), 200 * math.sin(math.radians(30))
    radio_tick(TICK_SLOTS, *made)
    below_deg = math.degrees(math.atan2(23.5, 200))  # 6.70 degrees below the horizon
    half_phase = math.pi / 2 * (math.cos(math.radians(90 + below_deg)) - math.cos(math.radians(102)))
    column_db = 10 * math.log10(math.sin(10 * half_phase) ** 2 / (10 * math.sin(half_phase) ** 2))
    boresight_db = (
        8 - 12 * (below_deg / 65) ** 2 + column_db - 89.57
    )  # path loss of TR 38.901 UMa LOS at 200 m
    assert links.gain_db[0, 0] == pytest.approx(boresight_db, abs=0.01)
    # 120 degrees off: 12 (120 / 65)^2 is more than the 30 dB that both cuts may have together.
    assert links.gain_db[0, 1:] == pytest.approx(8 - 30 + column_db - 89.57, abs=0.01)


def test_a_run_does_not_depend_on_how_it_is_split() -> None:
    whole, steps = world(), world()
    run(whole, 0, 6000)
    for slot in range(0, 6000, GRID_SLOTS):  # fading evaluated on every step, not only on the last
        if slot % TICK_SLOTS == 0:
            radio_tick(slot, *steps)
        fade(slot, steps)
    for part, fields in enumerate((Cells._fields, Ues._fields, Links._fields)):
        for name in fields:
            assert np.array_equal(getattr(whole[part], name), getattr(steps[part], name)), name


def test_two_seeds_are_two_worlds() -> None:
    one, other = world(1), world(2)
    run(one, 0, 100)
    run(other, 0, 100)
    assert not np.array_equal(one[2].gain_db, other[2].gain_db)


def test_what_a_controller_does_leaves_the_world_alone() -> None:
    plain, steered = world(), world()
    for slot in range(0, 20_000, TICK_SLOTS):
        radio_tick(slot, *plain)
        radio_tick(slot, *steered)
        cells, ues, _, _ = steered
        if slot == 1000:
            cells.cio_db[:7] = 6.0
            cells.tx_power_dbm[3] = 38.0
        if slot % 2000 == 0:
            request_handover(slot, 5, int((ues.cell[5] + 1) % 21), *steered)
    assert all(ue_state(plain, u) == ue_state(steered, u) for u in range(210))
    assert not np.array_equal(plain[1].cell, steered[1].cell)


def test_load_changes_who_is_there_but_not_where_best_effort_is() -> None:
    light, heavy = world(load=0.5), world(load=2.0)
    run(light, 0, 2000)
    run(heavy, 0, 2000)
    assert heavy[1].connected.sum() == 210
    assert light[1].connected[63:].mean() == pytest.approx(0.25, abs=0.15)  # 147 slots: 4 sd
    assert all(ue_state(light, u) == ue_state(heavy, u) for u in range(63))


def test_a_new_ue_takes_the_slot_with_everything_at_its_default() -> None:
    made = world()
    _, ues, _, _ = made
    radio_tick(0, *made)
    ues.weight[0], ues.olla_target[0] = 5.0, 0.3
    first_id, end = int(ues.id[0]), int(ues.end_slot[0])
    for slot in range(TICK_SLOTS, end + TICK_SLOTS, TICK_SLOTS):
        assert ues.id[0] == first_id
        radio_tick(slot, *made)
    assert ues.id[0] == first_id + 210  # session 1 of slot 0, without a pause
    assert (ues.connected[0], ues.start_slot[0]) == (1, end)
    assert (ues.weight[0], ues.olla_target[0]) == (1.0, 0.1)


def test_an_empty_slot_has_no_cell() -> None:
    made = world(load=0.2)
    run(made, 0, 100_000)
    _, ues, links, _ = made
    empty = ues.connected == 0
    assert empty.any()
    assert (ues.cell[empty] == -1).all()
    assert (links.cell[empty] == -1).all()
    assert (ues.cell[~empty] >= 0).all()


def test_transmit_power_moves_received_power_db_for_db() -> None:
    made = world()
    run(made, 0, 100)
    cells, _, links, _ = made
    before = links.rx_mw[:, 0].copy()
    cells.tx_power_dbm[:] -= 3.0
    refresh_links(*made)
    ratio = links.rx_mw[:, 0][before > 0] / before[before > 0]
    assert ratio == pytest.approx(10**-0.3, rel=1e-5)


def test_forced_handover_moves_the_ue_and_its_links() -> None:
    made = world()
    run(made, 0, 2000)
    _, ues, links, radio = made
    # A UE on whose link no command is lost.
    u = next(u for u in np.flatnonzero(ues.connected).tolist() if radio.handover.t310_end[u] < 0)
    source, target = int(ues.cell[u]), int(links.cell[u, 1])
    attempts = int(radio.handover.counts[ATTEMPTS, source])
    fading_of_target = links.fading[u, 1].copy()
    assert not request_handover(2003, u, source, *made)
    assert not request_handover(2003, u, 21, *made)
    assert request_handover(2003, u, target, *made)
    assert (ues.cell[u], links.cell[u, 0], ues.reachable_slot[u]) == (target, target, 2100)
    counts = radio.handover.counts
    assert (counts[ATTEMPTS, source], counts[REQUESTED, source]) == (attempts + 1, 1)
    # The serving link adds a second branch to the same first one.
    fade_to(u, 1996 // GRID_SLOTS, radio.fading, links.fading[u])
    assert (links.fading[u, 0] >= fading_of_target - 1e-6).all()
    assert not request_handover(2004, u, source, *made)  # still being executed


def test_nobody_is_handed_over_from_an_empty_slot() -> None:
    made = world(load=0.2)
    radio_tick(0, *made)
    u = int(np.flatnonzero(made[1].connected == 0)[0])
    assert not request_handover(1, u, 3, *made)


def test_cell_individual_offset_moves_ues_to_the_favoured_cell() -> None:
    served = []
    for cio_db in (-6.0, 6.0):
        made = world(radio__indoor_share=0.0)
        made[0].cio_db[4] = cio_db
        run(made, 0, 20_000)
        served.append(int(np.sum(made[1].cell == 4)))
    assert served[1] > served[0]


def test_handovers_mostly_succeed_and_grow_with_speed() -> None:
    rates = []
    for speed_kmh in (3.0, 30.0):
        made = world(radio__indoor_share=0.0, mobility__speeds_kmh=[speed_kmh], mobility__speed_shares=[1.0])
        run(made, 0, 40_000)
        handover = made[3].handover
        total = dict(zip(COUNTERS, handover.counts.sum(axis=1).tolist(), strict=True))
        failures = total["commands_lost"] + total["targets_lost"]
        # A session may end before the outcome.
        assert 0 <= total["attempts"] - total["successes"] - failures <= 0.05 * total["attempts"]
        assert failures <= 0.15 * total["attempts"]
        rates.append(total["attempts"])
    assert rates[1] > 2 * rates[0]


def test_a_ue_without_any_cell_searches_and_returns_when_there_is_one() -> None:
    made = world(load=1.0, radio__indoor_share=0.0)
    cells, ues, _, radio = made
    run(made, 0, 1000)
    u = 0  # best effort: in session
    cells.tx_power_dbm[:] = -60.0
    for slot in range(1000, 6000, TICK_SLOTS):
        radio_tick(slot, *made)
    # 0.2 s of Qout's window, 1 s of T310: failed by 1.2 s, found nothing by 2.5 s.
    assert radio.handover.phase[u] == SEARCHING
    assert radio.handover.counts[REESTABLISHMENTS].sum() == 0
    assert not request_handover(6000, u, int((ues.cell[u] + 1) % 21), *made)
    cells.tx_power_dbm[:] = 44.0
    for slot in range(6000, 7000, TICK_SLOTS):  # the layer-3 filter has to see it
        radio_tick(slot, *made)
    assert (radio.handover.phase[u], ues.reestablished[u]) == (CONNECTED, 1)
    assert radio.handover.counts[REESTABLISHMENTS].sum() > 0


def test_best_effort_is_at_home_in_every_cell(seven: Network) -> None:
    """Three of ten slots of every cell; shadowing moves some to a neighbour, so that seldom a cell has none."""
    _, ues, _, _ = seven
    assert ues.connected[:63].all()
    assert len(set(ues.cell[:63].tolist())) >= 18


def test_one_cell_has_no_interference() -> None:
    made = world(name="one-cell")
    run(made, 0, 1000)
    _, ues, links, _ = made
    assert (links.rest_mw[ues.connected > 0] == 0.0).all()
    assert links.cell.shape == (30, 1)
    assert links.fading[ues.connected > 0].mean() == pytest.approx(2.0, abs=0.5)


def test_a_ue_that_keeps_its_place_keeps_its_path_gains_and_one_that_moves_does_not() -> None:
    made = world()
    run(made, 0, 200)
    _, ues, links, radio = made
    still = (ues.connected > 0) & (radio.motion.indoor > 0)
    moving = (ues.connected > 0) & (radio.motion.speed_mps > 5.0)
    before = links.gain_db.copy()
    started = ues.start_slot == 200
    links.gain_db[:] = 0.0  # what is not evaluated again stays as it is
    run(made, 200, 300)
    assert (links.gain_db[still & ~started] == 0.0).all()
    assert (links.gain_db[moving & ~started] != 0.0).all()
    assert np.abs(links.gain_db - before)[moving & ~started].max() > 0.0
    u = int(np.flatnonzero(still)[0])
    ues.x_m[u] += 1.0
    run(made, 300, 400)
    assert (links.gain_db[u] != 0.0).all()


@pytest.mark.parametrize("environment", ["uma", "umi"])
def test_a_walker_s_path_gains_are_those_of_a_place_nearby(environment: str) -> None:
    # A twentieth of the shadows' grid: 3.2 m / 20 = 16 cm and 1.6 m / 20 = 8 cm; 3 km/h is 4.2 cm a tick.
    renew_m = {"uma": 3.2 / 20, "umi": 1.6 / 20}[environment]
    made = world(
        layout__environment=environment,
        layout__bs_height_m=25.0 if environment == "uma" else 10.0,
        radio__indoor_share=0.0,
        mobility__speeds_kmh=[3.0],
        mobility__speed_shares=[1.0],
        load=2.0,
    )
    _, ues, links, radio = made
    run(made, 0, 10 * TICK_SLOTS)
    here = ues.connected > 0
    away_m = np.hypot(ues.x_m - radio.gain_x_m, ues.y_m - radio.gain_y_m)[here]
    assert 0.04 < away_m.max() <= renew_m
    kept_db = links.gain_db[here].astype(float)
    radio.gain_x_m[:] = 1e9  # as if all had come from far away
    radio_tick(10 * TICK_SLOTS, *made)
    off_db = kept_db - links.gain_db[here]
    # Shadows of the longest way: 6 dB sqrt(2 (1 - exp(-3.2 / 50))) / 20 = 0.11 dB (UMi 7.82 dB, 13 m, 1.6 m: 0.19 dB), and
    # one tick more. Edges of sight add a tail.
    assert np.median(np.abs(off_db)) < {"uma": 0.11, "umi": 0.19}[environment]
    assert np.mean(np.abs(off_db) > 1.0) < 0.02
    assert np.mean(off_db) == pytest.approx(0.0, abs=0.05)


def test_a_car_s_path_gains_are_renewed_on_every_tick() -> None:
    made = world(radio__indoor_share=0.0, mobility__speeds_kmh=[30.0], mobility__speed_shares=[1.0])
    _, ues, _, radio = made
    run(made, 0, 10 * TICK_SLOTS)
    here = ues.connected > 0  # 42 cm a tick
    assert np.array_equal(radio.gain_x_m[here], ues.x_m[here])


@pytest.mark.parametrize("k", [0, 1, 4, 20])
def test_interferers_are_the_strongest_awake_cells_in_their_order(k: int) -> None:
    made = world(radio__k_interferers=k)
    cells, ues, links, radio = made
    run(made, 0, TICK_SLOTS)
    cells.state[[2, 5, 11]] = 1  # asleep
    refresh_links(*made)
    for u in np.flatnonzero(ues.connected).tolist():
        power = radio.gain[u].astype(float) * 10 ** ((44 + 10 * math.log10(4 / 51)) / 10)
        power[[2, 5, 11]] = 0.0
        strongest = np.argsort(-power, kind="stable").tolist()  # of two that are alike the first
        expected = [cell for cell in strongest if cell != ues.cell[u] and power[cell] > 0][:k]
        assert links.cell[u].tolist() == [ues.cell[u], *expected] + [-1] * (k - len(expected))
        assert links.rx_mw[u, : 1 + len(expected)] == pytest.approx(power[[ues.cell[u], *expected]], rel=1e-5)
        assert (links.rx_mw[u, 1 + len(expected) :] == 0.0).all()


def test_a_power_set_between_ticks_counts_at_once_in_a_requested_handover() -> None:
    made = world()
    run(made, 0, 2000)
    cells, ues, links, radio = made
    u = next(u for u in np.flatnonzero(ues.connected).tolist() if radio.handover.t310_end[u] < 0)
    target, before = int(links.cell[u, 1]), float(links.rx_mw[u, 1])
    cells.tx_power_dbm[target] -= 10.0
    assert request_handover(2003, u, target, *made)
    assert links.rx_mw[u, 0] == pytest.approx(before / 10.0, rel=1e-5)
