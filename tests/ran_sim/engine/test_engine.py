"""The engine: same bits however it is run, paired worlds, nothing lost, figures that a closed form gives."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.counters import Snapshot
from ran_sim.core.state import F32
from ran_sim.engine import Engine
from ran_sim.link.adaptation import RE_PER_PRB, link_tables, transport_block_bits
from ran_sim.mobility.handover import ATTEMPTS, REESTABLISHMENTS, TARGETS_LOST, TOO_EARLY
from ran_sim.radio.fading import fade_to
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.traffic.queues import FULL_BUFFER_BYTES

ONE_CELL = load_scenario("one-cell").with_overrides({"warmup_s": 0.5})
SEVEN_SITES = load_scenario("seven-sites").with_overrides({"warmup_s": 0.5})


def same(a: Snapshot, b: Snapshot) -> bool:
    return all(
        np.array_equal(x, y) for x, y in zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True)
    )


@pytest.fixture(scope="module")
def busy() -> Engine:
    """Seven sites after two seconds, PF."""
    engine = Engine(SEVEN_SITES, seed=1)
    engine.run_until(4000)
    return engine


def test_same_bits_however_the_run_is_cut() -> None:
    whole, cut = Engine(SEVEN_SITES, seed=3), Engine(SEVEN_SITES, seed=3)
    whole.run_until(1500)
    for slot in (0, 1, 7, 99, 100, 101, 640, 1000, 1333, 1500):
        cut.run_until(slot)
        cut.snapshot()  # looking changes nothing
    assert same(whole.snapshot(), cut.snapshot())
    assert np.array_equal(whole.links.fading, cut.links.fading)
    assert np.array_equal(whole.sessions(), cut.sessions())


def test_engines_in_one_process_are_independent() -> None:
    alone = Engine(ONE_CELL, seed=4)
    alone.run_until(2000)
    a, b = Engine(ONE_CELL, seed=4), Engine(ONE_CELL, seed=5)
    for slot in range(100, 2001, 100):
        a.run_until(slot)
        b.run_until(slot)
    assert same(alone.snapshot(), a.snapshot())
    assert not same(a.snapshot(), b.snapshot())


def test_engines_in_threads_give_the_bits_of_engines_in_turn() -> None:
    def run(seed: int) -> Snapshot:
        engine = Engine(ONE_CELL, seed=seed)
        engine.run_until(2000)
        return engine.snapshot()

    with ThreadPoolExecutor(max_workers=2) as pool:
        threaded = list(pool.map(run, (1, 2, 3, 4)))
    assert all(same(snapshot, run(seed)) for seed, snapshot in enumerate(threaded, start=1))


def fading_now(engine: Engine) -> F32:
    """Fast fading of all connected UEs at the engine's slot; the engine evaluates it where it is needed only."""
    links, state = engine.links, engine._network.radio
    for u in np.flatnonzero(engine.ues.connected).tolist():
        fade_to(u, engine.slot // state.grid_slots, state.fading, links.fading[u])
    return links.fading


def test_schedulers_and_weights_face_the_same_world() -> None:
    engines = [Engine(ONE_CELL, seed=6, scheduler=name) for name in ("pf", "rr", "m-lwdf", "edf")]
    engines.append(Engine(ONE_CELL, seed=6))
    engines[-1].run_until(200)
    engines[-1].set_ue_weight(3, 10.0)
    for engine in engines:
        engine.run_until(2000)
    first, *others = [engine.snapshot() for engine in engines]
    for other in others:
        assert np.array_equal(first.ue_id, other.ue_id)
        assert np.array_equal(first.ue[:, count.PACKETS_OFFERED], other.ue[:, count.PACKETS_OFFERED])
        assert np.array_equal(first.ue[:, count.OFFERED_BYTES], other.ue[:, count.OFFERED_BYTES])
        assert not np.array_equal(first.ue[:, count.PRB_USED], other.ue[:, count.PRB_USED])
    assert np.array_equal(fading_now(engines[0]), fading_now(engines[1]))


def test_bytes_and_packets_are_conserved(busy: Engine) -> None:
    snapshot, queues = busy.snapshot(), busy._network.queues
    row = snapshot.ue[snapshot.connected == 1].T
    held = (queues.backlog_bytes + queues.in_flight_bytes)[snapshot.connected == 1]
    assert np.array_equal(
        row[count.OFFERED_BYTES], row[count.DELIVERED_BYTES] + row[count.DROPPED_BYTES] + held
    )
    in_queue = (queues.tail - queues.head)[snapshot.connected == 1]
    outcomes = row[count.PACKETS_IN_BUDGET] + row[count.PACKETS_LATE] + row[count.PACKETS_DROPPED]
    assert np.array_equal(row[count.PACKETS_OFFERED], outcomes + in_queue)


def test_cells_account_for_what_their_ues_did(busy: Engine) -> None:
    snapshot = busy.snapshot()
    ended = busy.sessions()
    running = snapshot.ue[snapshot.connected == 1].sum(axis=0)
    assert len(ended) >= (snapshot.connected == 1).sum()
    assert (snapshot.cell_class.sum(axis=(0, 1)) >= running).all()
    used = snapshot.cell_class[:, :, count.PRB_USED].sum(axis=1)
    assert (used <= snapshot.slot * busy.n_prb).all()
    assert used.max() > 0.9 * snapshot.slot * busy.n_prb  # some cell is overloaded at load 1


def test_head_of_line_is_what_waits_to_be_sent_and_never_older_than_its_budget() -> None:
    # What is unsent of a delay-bound packet is discarded with its budget; blocks in HARQ wait for nothing but feedback.
    engine = Engine(SEVEN_SITES, seed=4)
    budget_slots = np.array([c.budget_ms for c in engine.classes])[engine.class_of] * 1e6 / engine.slot_ns
    bound = np.array([c.delay_bound for c in engine.classes])[engine.class_of]
    oldest = 0.0
    for slot in range(1000, 4000, 100):
        engine.run_until(slot)
        snapshot = engine.snapshot()
        assert np.array_equal(snapshot.hol_slots >= 0, snapshot.backlog_bytes > 0)
        share = snapshot.hol_slots[bound] / budget_slots[bound]
        assert share.max() <= 1.0
        oldest = max(oldest, share.max())
    assert oldest > 0.9  # the network is overloaded: some packets do wait until their end


def test_ten_short_periods_add_up_to_the_long_one() -> None:
    engine = Engine(ONE_CELL, seed=2)
    engine.run_until(2000)
    start = previous = engine.snapshot()
    total = np.zeros_like(start.cell_class)
    for slot in range(2200, 4001, 200):
        engine.run_until(slot)
        now = engine.snapshot()
        total += now.since(previous).cell_class
        previous = now
    assert np.array_equal(total, previous.since(start).cell_class)
    with pytest.raises(ValueError, match="after slot"):
        start.since(previous)


def test_first_transmissions_fail_at_the_olla_target(busy: Engine) -> None:
    total = busy.snapshot().cell_class.sum(axis=(0, 1))
    assert total[count.TB_INITIAL] > 20_000
    # Targets hold for UEs between MCS 0 and 27; the few at the ends move the mean of all.
    assert total[count.TB_INITIAL_ERRORS] / total[count.TB_INITIAL] == pytest.approx(0.1, abs=0.01)
    assert total[count.TB_LOST] < 0.01 * total[count.TB_INITIAL]


def a_still_cell(snr_db: float, ues: int = 1, **traffic: object) -> Engine:
    """UEs with one flat channel of constant SNR, full buffers by default: the radio's own numbers are overwritten."""
    data = ONE_CELL.model_dump()
    always = {"name": "all", "five_qi": 9, "model": "full-buffer", "idle_s": 0.0, "session_s": (1e3, 1e3)}
    data["traffic"] = [{**always, "ues": ues, **traffic}]
    data["radio"]["tick_ms"] = data["radio"]["fading_grid_ms"] = 3.6e6
    engine = Engine(Scenario.model_validate(data), seed=1, scheduler="rr" if traffic else None)
    engine.run_until(1)
    engine.links.rx_mw[:, 0] = engine.links.noise_mw[0] * 10 ** (snr_db / 10)
    engine.links.fading[:] = 1.0
    engine._network.radio.fading.grid_step[:] = 0  # as if evaluated
    engine._network.csi.next_slot[:] = 1
    engine.run_until(200)
    return engine


def a_lone_ue(snr_db: float) -> Engine:
    """One UE with a full buffer."""
    return a_still_cell(snr_db)


def test_lone_ue_at_high_snr_gets_the_largest_block_in_every_slot() -> None:
    engine = a_lone_ue(40.0)
    before = engine.snapshot()
    assert before.cqi[0] == 15
    engine.run_until(2200)
    row = engine.snapshot().since(before).ue[0]
    tbs_bits = transport_block_bits(51, RE_PER_PRB, 8, 948 / 1024)
    assert row[count.DELIVERED_BYTES] == 2000 * (tbs_bits // 8)
    assert row[count.TB_ERRORS] == 0
    assert row[count.PRB_USED] == 2000 * 51
    # TS 28.552's throughput of an endless burst is its rate: one block a slot.
    assert row[count.THP_BYTES] == row[count.THP_SLOTS] * (tbs_bits // 8)


def test_lone_ue_in_the_middle_settles_at_the_olla_target() -> None:
    engine = a_lone_ue(15.3)
    engine.set_olla_target(0, 0.2)
    engine.run_until(2000)
    before = engine.snapshot()
    engine.run_until(22_000)
    row = engine.snapshot().since(before).ue[0]
    assert row[count.TB_INITIAL_ERRORS] / row[count.TB_INITIAL] == pytest.approx(0.2, abs=0.01)


def test_a_full_buffer_shows_no_backlog_in_a_snapshot() -> None:
    engine = a_lone_ue(20.0)
    assert engine._network.queues.backlog_bytes[0] == FULL_BUFFER_BYTES
    assert engine.snapshot().backlog_bytes[0] == 0


def test_sessions_count_from_the_end_of_the_warm_up() -> None:
    engine = Engine(ONE_CELL, seed=7)
    engine.run_until(1000)
    before = engine.snapshot()
    assert engine.warmup_slot == 1000
    assert (engine.sessions()["packets_offered"] == 0).all()
    engine.run_until(3000)
    after, rows = engine.snapshot(), engine.sessions()
    running = rows[rows["end_slot"] == 3000]
    assert np.array_equal(running["ue_id"], after.ue_id[running["ue_row"]])
    expected = after.since(before).ue[running["ue_row"], count.PACKETS_OFFERED]
    assert np.array_equal(running["packets_offered"], expected)
    assert running["packets_offered"].sum() > 0


def test_ended_sessions_keep_their_row_and_free_their_slot() -> None:
    scenario = ONE_CELL.with_overrides({"traffic.gaming.session_s": [0.2, 0.4], "traffic.gaming.idle_s": 0.2})
    engine = Engine(scenario, seed=8)
    engine.run_until(6000)
    rows = engine.sessions()
    # Sessions of slot 0 are in the middle of their lives already.
    ended = rows[(rows["end_slot"] < 6000) & (rows["traffic_class"] == 2) & (rows["start_slot"] > 0)]
    assert len(ended) >= 10
    assert len(set(rows["ue_id"].tolist())) == len(rows)
    length_s = (ended["end_slot"] - ended["start_slot"]) * engine.slot_ns * 1e-9
    # 0.2 to 0.4 s; start and end fall on radio ticks of 50 ms.
    assert 0.15 <= length_s.min() <= length_s.max() <= 0.45
    assert engine.ue_row_of(int(ended["ue_id"][0])) is None
    total = engine.snapshot().cell_class
    counted = rows[rows["start_slot"] >= engine.warmup_slot]["delivered_bytes"].sum()
    assert 0 < counted <= total[:, :, count.DELIVERED_BYTES].sum()


def test_weight_moves_airtime_to_its_ue() -> None:
    overloaded = ONE_CELL.with_overrides({"traffic.best-effort.rate_mbps": 40.0})
    plain, weighted = Engine(overloaded, seed=9), Engine(overloaded, seed=9)
    for engine in (plain, weighted):
        engine.run_until(500)
    u = int(np.argmax(plain.snapshot().backlog_bytes))
    weighted.set_ue_weight(u, 20.0)
    for engine in (plain, weighted):
        engine.run_until(1500)
    moved = [engine.snapshot().ue[u, count.DELIVERED_BYTES] for engine in (plain, weighted)]
    assert moved[1] > 2 * moved[0]


def ue_between_two_cells(engine: Engine, *, other_site: bool = False) -> tuple[int, int]:
    """A UE row and a cell it is not served by but receives almost as well, so that no command is lost."""
    rsrp_dbm, site = engine.links.rsrp_l3_dbm, engine.cells.site
    for u in np.flatnonzero(engine.ues.connected).tolist():
        serving = int(engine.ues.cell[u])
        others = np.where(
            site != site[serving] if other_site else np.arange(engine.n_cell) != serving, rsrp_dbm[u], -999
        )
        target = int(np.argmax(others))
        if others[target] > rsrp_dbm[u].max() - 3.0:
            return u, target
    raise AssertionError("nobody is between two cells")


def test_what_was_set_on_a_ue_stays_with_it_inside_a_node_and_ends_at_the_next() -> None:
    for other_site in (False, True):
        engine = Engine(SEVEN_SITES, seed=1)
        engine.run_until(400)
        u, target = ue_between_two_cells(engine, other_site=other_site)
        same_site = engine.cells.site[target] == engine.cells.site[engine.ues.cell[u]]
        engine.set_ue_weight(u, 50.0)
        engine.set_olla_target(u, 0.01)
        assert engine.request_handover(u, target)
        kept = (float(engine.ues.weight[u]), float(engine.ues.olla_target[u]))
        assert kept == ((50.0, 0.01) if same_site else (1.0, 0.1))


def test_a_command_to_a_cell_that_the_ue_cannot_receive_fails_and_the_ue_returns() -> None:
    engine = Engine(SEVEN_SITES, seed=1)
    engine.run_until(400)
    u = int(np.flatnonzero(engine.ues.connected)[0])
    source, weakest = int(engine.ues.cell[u]), int(np.argmin(engine.links.rsrp_l3_dbm[u]))
    assert engine.request_handover(u, weakest)
    assert engine.ues.cell[u] == weakest
    engine.run_until(1100)  # 40 ms of execution, 200 ms of search, ticks of 50 ms
    assert engine.ues.cell[u] == np.argmax(engine.links.rsrp_l3_dbm[u]) == source
    counts = engine.snapshot().handover[:, source]
    assert counts[[TARGETS_LOST, TOO_EARLY, REESTABLISHMENTS]].tolist() == [1, 1, 1]


def test_no_cell_sends_more_than_it_was_configured_with() -> None:
    engine = Engine(SEVEN_SITES, seed=1)
    with pytest.raises(ValueError, match="at most 44, the configured power of the cells"):
        engine.set_tx_power(0, 44.5)


def test_handover_moves_the_ue_and_asks_for_new_channel_state() -> None:
    engine = Engine(SEVEN_SITES, seed=1)
    engine.run_until(400)
    u, target = ue_between_two_cells(engine)
    source = int(engine.ues.cell[u])
    assert engine.request_handover(u, target)
    snapshot = engine.snapshot()
    assert (snapshot.cell[u], snapshot.cqi[u]) == (target, -1)
    assert snapshot.handover[ATTEMPTS, source] >= 1
    before = snapshot.ue[u, count.PRB_USED]
    engine.run_until(int(engine.ues.reachable_slot[u]))
    assert engine.snapshot().ue[u, count.PRB_USED] == before  # interrupted
    assert not engine.request_handover(u, target)


def test_half_the_power_halves_the_interference_at_once() -> None:
    engine = Engine(SEVEN_SITES, seed=1)
    engine.run_until(1)
    u = int(np.flatnonzero(engine.ues.connected)[0])
    interferer = int(engine.links.cell[u, 1])
    rx_mw = float(engine.links.rx_mw[u, 1])
    engine.set_tx_power(interferer, 44.0 - 3.0103)
    (rank,) = np.flatnonzero(engine.links.cell[u] == interferer)
    assert engine.links.rx_mw[u, rank] == pytest.approx(rx_mw / 2, rel=1e-4)


def test_wrong_arguments_are_told_what_is_wanted() -> None:
    engine = Engine(ONE_CELL, seed=1)
    with pytest.raises(ValueError, match=r"scheduler 'fifo'.*pf"):
        Engine(ONE_CELL, seed=1, scheduler="fifo")
    with pytest.raises(ValueError, match="negative"):
        Engine(ONE_CELL, seed=-1)
    with pytest.raises(ValueError, match=r"weight 0.0: want a positive number"):
        engine.set_ue_weight(0, 0.0)
    with pytest.raises(ValueError, match="UE row 30: want 0 to 29"):
        engine.set_ue_weight(30, 1.0)
    with pytest.raises(ValueError, match="five_qi 82: want one of"):
        engine.set_class_weight(0, 82, 1.0)
    with pytest.raises(ValueError, match="cell 1: want 0 to 0"):
        engine.set_cio(1, 3.0)
    with pytest.raises(ValueError, match=r"bler 0.9"):
        engine.set_olla_target(0, 0.9)
    engine.run_until(10)
    with pytest.raises(ValueError, match="engine is at slot 10"):
        engine.run_until(9)


@pytest.mark.parametrize("setting", ["set_ue_weight", "set_olla_target"])
def test_a_setting_on_an_empty_slot_is_refused_rather_than_lost(setting: str) -> None:
    engine = Engine(ONE_CELL.with_overrides({"load": 0.2}), seed=1)
    put = getattr(engine, setting)
    with pytest.raises(ValueError, match="no UE is connected before the first slot"):
        put(0, 0.3)
    engine.run_until(1)
    connected = engine.ues.connected > 0
    empty, present = int(np.argmin(connected)), int(np.argmax(connected))
    with pytest.raises(ValueError, match=f"UE row {empty}: no UE is in it"):
        put(np.array([present, empty]), 0.3)
    put(present, 0.3)


def test_tables_fit_the_carrier() -> None:
    engine = Engine(ONE_CELL, seed=1)
    assert engine._network.mac.rbg_prb.sum() == engine.n_prb == 51
    assert link_tables(51).tbs_bits.shape == (28, 52)


def test_a_path_loss_of_one_s_own_takes_the_place_of_the_report_s() -> None:
    def same_everywhere(
        d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, frequency_ghz: float, line_of_sight: float
    ) -> float:
        return 100.0

    scenario = load_scenario("one-cell").with_overrides(
        {"radio.shadowing": False, "radio.indoor_share": 0.0, "layout.tilt_deg": 0.0}
    )
    engine = Engine(scenario, 1, path_loss=same_everywhere)
    engine.run_until(1)
    gain_db = engine.links.gain_db[engine.ues.connected > 0].max(axis=1)
    assert gain_db.max() < 10.9 - 100.0  # antenna: 0.86 dBi and 10 dB of the column
    assert gain_db.max() > 3.0 - 100.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda engine: engine.run_until(float("nan")), "slot nan: want a whole number"),
        (lambda engine: engine.run_until(1.5), "slot 1.5: want a whole number"),
        (lambda engine: engine.set_cio(0.7, 3.0), "cell 0.7: want a whole number"),
        (lambda engine: engine.set_cio(-0.5, 3.0), "cell -0.5: want a whole number"),
        (lambda engine: engine.set_ue_weight(np.array([0.5]), 1.0), "UE row .*: want whole numbers"),
        (lambda engine: engine.set_cell_state(0.9, 0), "cell 0.9: want whole numbers"),
        (lambda engine: engine.set_slice_quota(0, [0.5], [1], [2], [0]), "slice 0.5: want a whole number"),
    ],
)
def test_half_a_cell_slot_or_ue_is_refused(call: Callable[[Engine], None], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(Engine(ONE_CELL, seed=1))


@pytest.mark.parametrize("seed", [-1, 2**62, 1.0, float("nan")])
def test_a_seed_is_a_whole_number_of_62_bits(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed "):
        Engine(ONE_CELL, seed=seed)
