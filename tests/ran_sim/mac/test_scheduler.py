"""Schedulers: one cell of static channels, airtime against closed forms, choices against a NumPy reference."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ran_sim.calibration.bench import N_RBG, RBG_PRB, Bench
from ran_sim.core import counters as count
from ran_sim.engine import Engine
from ran_sim.link.adaptation import RE_PER_PRB, highest_mcs, link_tables
from ran_sim.link.harq import HARQ_RTT_SLOTS, WAITING
from ran_sim.mac.metrics import (
    EDF,
    EXP,
    LEVEL,
    LOG,
    M_LWDF,
    MAX_CI,
    MISS_LOG,
    PF,
    POLICIES,
    RR,
    metric,
    metric_terms,
)
from ran_sim.mac.state import first_rbgs
from ran_sim.scenario import load_scenario
from ran_sim.traffic.queues import ARRIVAL, FULL_BUFFER_BYTES, enqueue

BOUND, FREE = 1, 0  # classes of the one-cell scenario: video call (5QI 2), best effort (5QI 9)


@pytest.mark.parametrize("policy", [RR, PF])
def test_static_channels_and_full_buffers_share_the_airtime_equally(policy: int) -> None:
    share = Bench([2, 5, 9, 15], [FREE] * 4, policy=policy).airtime(4000)
    assert share == pytest.approx(0.25, abs=0.005)


def test_pf_airtime_is_in_proportion_to_the_weights() -> None:
    cell = Bench([4, 4, 12], [FREE] * 3, policy=PF)
    cell.weight[:] = 1.0, 2.0, 5.0
    assert cell.airtime(8000) == pytest.approx(np.array([1, 2, 5]) / 8, abs=0.01)


@pytest.mark.parametrize("loss", [[0.1, 0.0, 0.0], [0.0, 0.0, 0.3], [0.1, 0.1, 0.1]])
def test_pf_airtime_is_in_proportion_to_the_weights_whoever_loses_blocks(loss: list[float]) -> None:
    cell = Bench([4, 9, 12], [FREE] * 3, policy=PF, window_slots=1000.0, loss=loss)
    cell.weight[:] = 1.0, 2.0, 4.0
    assert cell.airtime(20_000) == pytest.approx(np.array([1, 2, 4]) / 7, rel=0.01)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("share_of_losers", [0.1, 0.3])
def test_round_robin_shares_the_airtime_equally_whoever_loses_blocks(n: int, share_of_losers: float) -> None:
    cell = Bench([9] * n, [FREE] * n, policy=RR, loss=[share_of_losers] + [0.0] * (n - 1))
    assert cell.airtime(8000) == pytest.approx(np.full(n, 1 / n), rel=0.01)


def test_round_robin_serves_a_small_buffer_first_but_after_a_tie_that_the_full_one_wins() -> None:
    # A packet of two RBGs comes in every slot. Both UEs were served in slot 0, and UE row 1 is first at ties in odd slots.
    # It takes slot 1 whole, so two packets go first in slot 2, and so on.
    cell = Bench([9, 9], [FREE] * 2, policy=RR)
    cell.fill_buffers()
    cell.queues.backlog_bytes[0] = 0
    mcs = highest_mcs(cell.tables, cell.tables.cqi_t10_db[9])
    used = []
    for slot in range(6):
        cell.queues.backlog_bytes[0] += cell.tables.tbs_bits[mcs, 8] // 8
        used += cell.prbs(1, first=slot).tolist()
    assert used == [[8, 43], [0, 51], [16, 35], [0, 51], [16, 35], [0, 51]]


@pytest.mark.parametrize("offset_db", [-3.0, 3.0])
def test_the_outer_loop_s_offset_moves_no_airtime(offset_db: float) -> None:
    # 3 dB are two or three MCS, so the first UE's blocks hold some 60 or 150 % of what its CQI promises.
    cell = Bench([7, 7], [FREE] * 2, policy=PF, window_slots=1000.0)
    cell.harq.olla_db[0] = offset_db
    assert cell.airtime(8000) == pytest.approx([0.5, 0.5], rel=0.01)


def rayleigh_pf(mean: NDArray[np.float64], slots: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Full buffers under PF, exponential rates of means `mean` on every RBG: (rate per RBG, share of RBGs) by UE."""
    n = len(mean)
    harmonic = np.sum(1 / np.arange(1, n + 1))
    rng = np.random.default_rng(n)
    cell = Bench([9] * n, [FREE] * n, policy=PF, max_dci=n, window_slots=1000.0)
    cell.fill_buffers()
    cell.mac.average_bits[:] = 51 * RE_PER_PRB * mean * harmonic / n
    total, rbgs_of = np.zeros(n), np.zeros(n)
    for slot in range(slots):
        rate = rng.exponential(1.0, (n, N_RBG)) * mean[:, None]
        for u in range(n):
            cell.set_rates(u, rate[u])
        for u, rbgs in cell.schedule(slot).items():
            total[u] += rate[u, rbgs].sum()
            rbgs_of[u] += len(rbgs)
        cell.settle()
    return total / (slots * N_RBG), rbgs_of / (slots * N_RBG)


@pytest.mark.parametrize(("n", "gain"), [(2, 1.5), (5, 2.2833), (10, 2.9290)])
def test_pf_gains_the_harmonic_number_over_round_robin_on_rayleigh_rates(n: int, gain: float) -> None:
    # N UEs with i.i.d. exponential rates of mean 1: the largest of N has mean 1 + 1/2 + ... + 1/N; RR gets 1.
    rate, _ = rayleigh_pf(np.ones(n), 2500)
    assert rate.sum() == pytest.approx(gain, rel=0.02)


def test_pf_gives_equal_airtime_and_the_same_gain_to_ues_near_and_far() -> None:
    # Mean rates over 20 dB: relative to its own mean every UE fades alike, so each gets 1 / N and mean x H_N / N.
    mean = np.array([1.0, 3.0, 10.0, 30.0, 100.0])
    rate, share = rayleigh_pf(mean, 4000)
    assert share == pytest.approx(0.2, abs=0.01)
    assert rate / mean == pytest.approx(2.2833 / 5, rel=0.05)


def test_weight_of_a_ue_and_of_its_class_multiply() -> None:
    cell = Bench([7, 7], [FREE, BOUND], policy=PF)
    cell.weight[0] = 2.0
    cell.traffic.weight[0, BOUND] = 6.0
    assert cell.airtime(8000) == pytest.approx([0.25, 0.75], abs=0.01)


def test_each_rbg_goes_to_the_largest_metric_as_numpy_says() -> None:
    rng = np.random.default_rng(5)
    for trial in range(30):
        n, max_dci = 6, int(rng.integers(1, 7))
        cell = Bench([1] * n, [FREE] * n, policy=PF, max_dci=max_dci)
        cell.fill_buffers()
        cqi = rng.integers(0, 16, (n, N_RBG))
        for u in range(n):
            cell.set_cqi(u, cqi[u])
        cell.mac.average_bits[:] = rng.uniform(100, 20000, n)
        cell.weight[:] = rng.uniform(0.2, 5, n)
        value = cell.tables.cqi_efficiency[cqi] * (cell.weight / cell.mac.average_bits)[:, None]
        chosen = np.argsort(-value.max(axis=1))[:max_dci]
        winner = chosen[value[chosen].argmax(axis=0)]
        granted = np.where(value[chosen].max(axis=0) > 0, winner, -1)  # CQI 0 gets no RBG
        expected = {int(u): np.flatnonzero(granted == u) for u in set(granted) - {-1}}
        got = cell.schedule(trial)
        assert {u: list(rbgs) for u, rbgs in got.items()} == {u: list(rbgs) for u, rbgs in expected.items()}


def numpy_metric(cell: Bench, slot: int) -> NDArray[np.float64]:
    """Metric of every UE on every RBG as the module's docstring has it, [n, n_rbg]; 0 where nothing may be sent."""
    traffic, queues = cell.traffic, cell.queues
    cls = traffic.of_ue[: cell.n]
    bound = (traffic.delay_bound[cls] == 1)[:, None]
    budget, level = traffic.budget_slots[cls][:, None], traffic.priority[cls][:, None]
    weight = (cell.weight * traffic.weight[0, cls])[:, None]
    age = (slot - queues.packet[queues.ring_start + queues.sending, ARRIVAL])[:, None]
    rate = cell.csi.efficiency
    fair = weight * rate / cell.mac.average_bits[:, None]
    due = MISS_LOG / budget * (age + 1)
    has_data = (queues.backlog_bytes > 0)[:, None] & (cell.csi.wideband > 0)[:, None]
    mean = due[bound & has_data].mean() if (bound & has_data).any() else 0.0
    if cell.policy == RR:
        value = np.broadcast_to(1.0 + slot - cell.mac.last_served[:, None], rate.shape)
    elif cell.policy == PF:
        value = fair
    elif cell.policy == M_LWDF:
        value = np.where(bound, fair * due, fair)
    elif cell.policy == EXP:
        value = np.where(bound, fair * np.exp((due - mean) / (1 + np.sqrt(mean))), fair)
    elif cell.policy == LOG:
        value = np.where(bound, fair * np.log(1.1 + due), fair)
    elif cell.policy == MAX_CI:
        value = weight * rate
    else:
        inside = np.where(bound, weight / (1 + np.maximum(budget - age, 0)), fair)
        value = -level + inside / (1 + inside)  # levels are whole numbers: they never mix
        value -= value.min() - 1
    return np.where((rate > 0) & (queues.backlog_bytes > 0)[:, None], value, 0.0)


def numpy_grants(cell: Bench, slot: int) -> dict[int, list[int]]:
    """RBGs by UE: the `max_dci` UEs with the best metric anywhere, RBG after RBG to the best whose block is too small."""
    value = numpy_metric(cell, slot)
    chosen = np.argsort(-value.max(axis=1), kind="stable")[: cell.max_dci]
    first = int(cell.mac.first_rbg[0])
    grants: dict[int, list[int]] = {}
    for b in [*range(first, N_RBG), *range(first)]:
        open_ = [
            int(u)
            for u in chosen
            if value[u, b] > 0 and block_bits(cell, u, grants.get(u, [])) < 8 * cell.queues.backlog_bytes[u]
        ]
        if open_:
            u = max(open_, key=lambda u: value[u, b])
            grants.setdefault(u, []).append(b)
    return {u: sorted(rbgs) for u, rbgs in grants.items()}


def block_bits(cell: Bench, u: int, rbgs: list[int]) -> int:
    """Transport block size at the MCS of the RBGs' mean SNR and the outer loop's offset."""
    if not rbgs:
        return 0
    snr_db = cell.csi.snr_db[u, rbgs].mean(dtype=np.float64) + cell.harq.olla_db[u]
    mcs = np.flatnonzero(np.append(True, cell.tables.t10_db[1:] <= snr_db))[-1]
    return int(cell.tables.tbs_bits[mcs, RBG_PRB[rbgs].sum()])


@pytest.mark.parametrize("policy", [RR, PF, M_LWDF, EXP, LOG, EDF])
def test_every_policy_grants_what_numpy_says(policy: int) -> None:
    rng = np.random.default_rng(policy)
    for _ in range(40):
        n, slot = 7, int(rng.integers(100, 200))
        cell = Bench([1] * n, rng.integers(0, 3, n).tolist(), policy=policy, max_dci=int(rng.integers(1, 6)))
        for u in range(n):
            cell.set_cqi(u, rng.integers(0, 16, N_RBG))
            if rng.random() < 0.8:
                enqueue(
                    cell.queues,
                    cell.traffic,
                    cell.counts[u],
                    u,
                    slot - int(rng.integers(1, 80)),
                    int(rng.integers(1, 9000)),
                )
        cell.mac.average_bits[:] = rng.uniform(100, 20000, n)
        cell.mac.last_served[:] = slot - rng.permutation(90)[:n]  # no ties
        cell.weight[:] = rng.uniform(0.2, 5, n)
        cell.harq.olla_db[:] = rng.uniform(-4, 2, n)
        cell.mac.first_rbg[0] = rng.integers(N_RBG)
        expected = numpy_grants(cell, slot)
        assert {u: rbgs.tolist() for u, rbgs in cell.schedule(slot).items()} == expected


@pytest.mark.parametrize(("olla_db", "n_rbg"), [(0.0, 2), (-4.0, 3), (6.0, 1)])
def test_a_block_is_just_large_enough_for_the_buffer_at_the_mcs_that_the_outer_loop_leaves(
    olla_db: float, n_rbg: int
) -> None:
    # CQI 9 stands for MCS 15, of which an RBG of 4 PRBs holds 2088 bits (TS 38.214 5.1.3.2), so 370 bytes need two. 4 dB
    # lower, at MCS 10, two hold 2728 bits only; 6 dB higher, at MCS 21, one holds 2976.
    cell = Bench([9, 9], [FREE, FREE], policy=PF)
    enqueue(cell.queues, cell.traffic, cell.counts[0], 0, 0, 370)
    cell.harq.olla_db[0] = olla_db
    assert [cell.tables.tbs_bits[mcs, n] for mcs, n in ((15, 4), (10, 8), (21, 4))] == [2088, 2728, 2976]
    assert {u: len(rbgs) for u, rbgs in cell.schedule(0).items()} == {0: n_rbg}
    assert cell.activity.sum() == n_rbg
    assert cell.queues.backlog_bytes[0] == 0


def test_no_block_leaves_data_behind_while_its_ue_could_use_an_idle_rbg() -> None:
    light = load_scenario("one-cell").with_overrides({"load": 0.2, "traffic.best-effort.rate_mbps": 1.0})
    engine = Engine(light, 1)
    engine.run_until(1000)
    world, n_blocks = engine._network, 0
    for slot in range(1000, 2500):
        engine.run_until(slot + 1)
        idle = world.cells.activity[0] == 0.0
        row = slot % HARQ_RTT_SLOTS
        for i in range(world.sent.n[row]):
            u, p = world.sent.ue[row, i], world.sent.process[row, i]
            if world.harq.attempts[u, p] == 1:
                n_blocks += 1
                assert world.queues.backlog_bytes[u] == 0 or not (world.csi.efficiency[u, idle] > 0).any()
    assert n_blocks > 100


def test_the_mcs_of_a_cqi_alike_on_some_rbgs_is_that_of_its_rate() -> None:
    for table in (1, 2):
        tables = link_tables(51, table)
        for t10_db, rate in zip(tables.cqi_t10_db[2:], tables.cqi_efficiency[2:], strict=True):
            for n in range(1, 19):
                assert tables.efficiency[highest_mcs(tables, sum([t10_db] * n) / n)] == rate


def test_what_one_block_cannot_hold_takes_all_rbgs() -> None:
    for backlog in (10_000, FULL_BUFFER_BYTES):
        cell = Bench([9], [FREE], policy=PF)
        cell.queues.backlog_bytes[0] = backlog
        assert list(cell.schedule(0)[0]) == list(range(N_RBG))


SITES = np.repeat(np.arange(7, dtype=np.int32), 3)  # of 21 cells


def test_cells_that_send_little_send_beside_their_neighbours() -> None:
    # 4 of 13 RBGs each: the sectors of a site share none, and no RBG is used much more than another.
    used = np.zeros((21, N_RBG))
    for i, first in enumerate(first_rbgs(SITES, N_RBG)):
        cell = Bench([9], [FREE], policy=PF)
        cell.mac.first_rbg[0] = first
        enqueue(cell.queues, cell.traffic, cell.counts[0], 0, 0, 900)  # 7200 bits, 6144 in three RBGs
        cell.schedule(0)
        used[i] = cell.activity
    assert (used.sum(axis=1) == 4).all()
    assert (used.reshape(7, 3, N_RBG).sum(axis=1) <= 1).all()
    assert used.mean(axis=0) == pytest.approx(4 / 13, abs=0.1)
    same_direction = used.reshape(7, 3, N_RBG)[:, 0]
    assert not (same_direction == same_direction[0]).all()  # sites differ as well


@pytest.mark.parametrize("n_rbg", [1, 4, 13, 18])
def test_whatever_the_sites_a_cell_begins_at_an_rbg_of_its_own(n_rbg: int) -> None:
    assert first_rbgs(np.zeros(1, np.int32), n_rbg).tolist() == [0]
    single = first_rbgs(np.arange(50, dtype=np.int32), n_rbg)
    assert set(single.tolist()) == set(range(n_rbg))  # sites without sectors use the whole carrier
    assert np.bincount(single).max() <= 50 / n_rbg + 2


def test_with_full_buffers_it_does_not_matter_where_a_cell_begins() -> None:
    grants = []
    for first in (0, 7):
        rng = np.random.default_rng(3)
        cell = Bench([1] * 6, [FREE] * 6, policy=PF)
        cell.fill_buffers()
        cell.mac.first_rbg[0] = first
        for u in range(6):
            cell.set_cqi(u, rng.integers(1, 16, N_RBG))
        grants.append([cell.schedule(slot) for slot in range(4)])
    assert str(grants[0]) == str(grants[1])


def test_no_grant_without_data_without_cqi_at_cqi_0_or_while_blocked() -> None:
    cell = Bench([9, 9, 0, 9, 9], [FREE] * 5, policy=PF)
    cell.fill_buffers()
    cell.queues.backlog_bytes[0] = 0
    cell.csi.wideband[1] = -1
    cell.reachable_slot[3] = 6
    assert set(cell.schedule(5)) == {4}
    assert 3 in cell.schedule(6)


def test_retransmission_comes_first_on_as_many_of_its_best_rbgs() -> None:
    cell = Bench([9, 9], [FREE, FREE], policy=PF, max_dci=2)
    cell.fill_buffers()
    cell.set_cqi(1, np.array([5] * 10 + [8, 9, 9]))
    cell.harq.state[1, 4] = WAITING
    cell.harq.n_rbg[1, 4] = 3
    cell.harq.attempts[1, 4] = 1
    cell.harq.n_busy[1] = cell.harq.n_waiting[1] = 1
    got = cell.schedule(0)
    assert list(got[1]) == [10, 11, 12]
    assert list(got[0]) == list(range(10))
    assert cell.harq.attempts[1, 4] == 2
    assert cell.harq.n_waiting[1] == 0


def test_a_retransmission_takes_a_dci_like_new_data() -> None:
    cell = Bench([9] * 4, [FREE] * 4, policy=PF, max_dci=2)
    cell.fill_buffers()
    cell.harq.state[:3, 4], cell.harq.n_rbg[:3, 4], cell.harq.attempts[:3, 4] = WAITING, 1, 1
    cell.harq.n_busy[:3] = cell.harq.n_waiting[:3] = 1
    assert set(cell.schedule(0)) == {0, 1}  # two of three that wait, and no new data
    got = cell.schedule(1)
    assert 2 in got
    assert len(got) == 2


def test_a_block_knows_when_it_was_sent_first_and_last() -> None:
    cell = Bench([9], [FREE], policy=PF)
    cell.fill_buffers()
    cell.schedule(3)
    cell.harq.state[0, 0], cell.harq.n_waiting[0] = WAITING, 1
    cell.schedule(11)
    assert (cell.harq.first_slot[0, 0], cell.harq.sent_slot[0, 0], cell.harq.attempts[0, 0]) == (3, 11, 2)


def test_edf_serves_the_nearest_deadline_and_the_higher_class_first() -> None:
    cell = Bench([9, 9, 9], [FREE, BOUND, BOUND], policy=EDF, max_dci=1)
    cell.fill_buffers()
    cell.queues.backlog_bytes[1:] = 0
    enqueue(cell.queues, cell.traffic, cell.counts[1], 1, 40, 100_000)
    enqueue(cell.queues, cell.traffic, cell.counts[2], 2, 30, 100_000)
    assert set(cell.schedule(50)) == {2}  # the older packet of the same class
    cell.queues.backlog_bytes[1:] = 0
    assert set(cell.schedule(51)) == {0}  # 5QI 9 only when 5QI 2 has nothing


def test_m_lwdf_turns_to_the_older_head_of_line() -> None:
    cell = Bench([9, 9], [BOUND, BOUND], policy=M_LWDF, max_dci=1)
    cell.mac.average_bits[:] = 1000.0, 1500.0
    enqueue(cell.queues, cell.traffic, cell.counts[0], 0, 80, 100_000)
    enqueue(cell.queues, cell.traffic, cell.counts[1], 1, 70, 100_000)
    # Delays of 22 and 32 slots by the end of this one, against averages 1000 and 1500: 0.0220 > 0.0213; with the second
    # 43 slots old the other way round.
    assert set(cell.schedule(101)) == {0}
    cell.queues.packet[cell.queues.ring_start[1], ARRIVAL] = 60
    assert set(cell.schedule(102)) == {1}


def test_m_lwdf_metric_is_the_published_formula() -> None:
    # 29 slots old at the start of the slot: 30 by its end
    base, factor = metric_terms(M_LWDF, 2.0, 5000.0, 29, 0, True, 260.0, 40.0, 0.0)
    expected = 2.0 * (-np.log(0.01) / 260.0) * 30 * 3.9 / 5000.0
    assert metric(M_LWDF, base, factor, 3.9, True) == pytest.approx(expected)


def test_exp_metric_is_the_published_formula() -> None:
    # a W = 4.605 / 260 * 30 = 0.5314 against a mean of 0.25: exp((0.5314 - 0.25) / (1 + 0.5)) = 1.2064
    base, factor = metric_terms(EXP, 2.0, 5000.0, 29, 0, True, 260.0, 40.0, 0.25)
    assert metric(EXP, base, factor, 3.9, True) == pytest.approx(2.0 * 3.9 / 5000.0 * 1.2064, rel=1e-4)


def test_log_metric_is_the_published_formula() -> None:
    # ln(1.1 + 0.5314) = 0.4894
    base, factor = metric_terms(LOG, 2.0, 5000.0, 29, 0, True, 260.0, 40.0, 0.25)
    assert metric(LOG, base, factor, 3.9, True) == pytest.approx(2.0 * 3.9 / 5000.0 * 0.4894, rel=1e-4)


def test_max_ci_serves_the_best_channel_only() -> None:
    share = Bench([4, 12, 7], [FREE] * 3, policy=MAX_CI, max_dci=1).airtime(200)
    assert share.tolist() == [0.0, 1.0, 0.0]


def test_m_lwdf_sends_a_packet_in_the_slot_it_arrives_in_when_the_cell_is_idle() -> None:
    cell = Bench([9], [BOUND], policy=M_LWDF, max_dci=1)
    enqueue(cell.queues, cell.traffic, cell.counts[0], 0, 100, 100)
    assert set(cell.schedule(100)) == {0}


def test_edf_metrics_of_two_priority_levels_never_mix() -> None:
    for weight, average in ((1e6, 1.0), (1e-6, 1e9)):
        low = metric(EDF, *metric_terms(EDF, weight, average, 0, 0, False, 1.0, 90.0, 0.0), 7.4, False)
        high = metric(EDF, *metric_terms(EDF, 1.0, 1.0, 0, 0, True, 1e6, 89.0, 0.0), 0.1, True)
        assert LEVEL * 38 <= low < high


def test_policies_have_their_names() -> None:
    assert set(POLICIES) == {"rr", "pf", "max-ci", "m-lwdf", "exp", "log", "edf"}


def test_a_newcomer_gets_its_share_and_no_more() -> None:
    """Eleven full buffers, the last one from slot 2000 on: of its first 100 ms it may take 1.3 times its fair 1 / 11."""
    cell = Bench([5, 8, 11, 14, 7] * 2 + [10], [FREE] * 11, policy=PF)
    cell.fill_buffers()
    cell.mac.member_start[1] = 10
    cell.prbs(2000)
    cell.mac.member_start[1] = 11
    used = cell.prbs(200, first=2000).sum(axis=0)
    assert used[10] / used.sum() == pytest.approx(1 / 11, rel=0.3)


def test_the_first_average_is_the_share_by_weight_of_the_newcomer_s_own_rate() -> None:
    cell = Bench([9, 9, 9], [FREE] * 3, policy=PF)
    cell.fill_buffers()
    cell.weight[:] = 1.0, 1.0, 2.0
    cell.schedule(0)
    rate = cell.tables.cqi_efficiency[9] * RE_PER_PRB * 51
    assert cell.mac.average_bits == pytest.approx(rate * np.array([0.25, 0.25, 0.5]))


GUARANTEED = load_scenario("one-cell").with_overrides({"traffic.video-call.gbr_mbps": 12.0})


def mbps(cell: Bench, slots: int, first: int) -> NDArray[np.float64]:
    """First transmissions of each UE in Mb/s; a slot is 0.5 ms."""
    before = cell.counts[:, count.OFFERED_BYTES].copy()
    cell.prbs(slots, first=first)
    return 8 * (cell.counts[:, count.OFFERED_BYTES] - before) / (slots * 0.5e-3) / 1e6


def test_a_guaranteed_flow_keeps_its_rate_in_an_overloaded_cell() -> None:
    # CQI 9 carries 3.902 x 132 x 51 bits a slot, 52.5 Mb/s: 12 for the first, the others share 40.5.
    cell = Bench([9] * 6, [BOUND] + [FREE] * 5, policy=PF, scenario=GUARANTEED)
    cell.fill_buffers()
    mbps(cell, 1000, 0)
    rates = mbps(cell, 4000, 1000)
    assert rates[0] == pytest.approx(12.0, rel=0.02)
    assert rates[1:] == pytest.approx((rates.sum() - rates[0]) / 5, rel=0.03)
    plain = Bench([9] * 6, [BOUND] + [FREE] * 5, policy=PF)
    plain.fill_buffers()
    assert mbps(plain, 2000, 0)[0] == pytest.approx(rates.sum() / 6, rel=0.03)


def test_a_guarantee_is_no_limit() -> None:
    # Two UEs: half the cell is 26 Mb/s, more than is guaranteed.
    cell = Bench([9, 9], [BOUND, FREE], policy=PF, scenario=GUARANTEED)
    cell.fill_buffers()
    mbps(cell, 1000, 0)
    rates = mbps(cell, 2000, 1000)
    assert rates[0] == pytest.approx(rates[1], rel=0.03)


def test_a_guaranteed_voice_flow_keeps_its_packets_in_an_overloaded_cell() -> None:
    # 40 bytes every 20 ms are just the 16 kb/s; one RBG, the least that can be sent, carries six times as much, and MaxCI
    # with a weight of 0.001 would never choose the flow.
    voice = load_scenario("one-cell").with_overrides({"traffic.video-call.gbr_mbps": 0.016})
    cell = Bench([9] + [15] * 5, [BOUND] + [FREE] * 5, policy=MAX_CI, scenario=voice)
    cell.queues.backlog_bytes[1:] = FULL_BUFFER_BYTES
    cell.traffic.weight[0, BOUND] = 0.001
    for slot in range(4000):
        if slot % 40 == 0:
            enqueue(cell.queues, cell.traffic, cell.counts[0], 0, slot, 40)
        cell.schedule(slot)
        cell.settle()
    # Each goes out in the slot of its arrival: 8 bits run in per slot, 320 from one packet to the next.
    assert cell.counts[0, [count.SDUS_SENT, count.SDU_WAIT_SLOTS]].tolist() == [100, 0]


def test_a_guarantee_that_could_not_be_given_is_made_up_for_by_its_bucket_only() -> None:
    # With MCS 0 the whole cell carries 1608 bits a slot, 3.2 of the guaranteed 12 Mb/s. In a second at CQI 9 after that:
    # 12 Mb/s and the 100 ms in the bucket.
    cell = Bench([1] + [9] * 5, [BOUND] + [FREE] * 5, policy=PF, scenario=GUARANTEED)
    cell.fill_buffers()
    starved = mbps(cell, 2000, 0)
    assert starved[0] == pytest.approx(3.216)
    cell.set_cqi(0, np.full(N_RBG, 9))
    made_up = mbps(cell, 2000, 2000)
    assert made_up[0] == pytest.approx(12.0 * 1.1, rel=0.03)


def test_no_more_ues_are_scheduled_than_there_are_dcis() -> None:
    for max_dci in (1, 3, 6):
        cell = Bench([9] * 8, [FREE] * 8, policy=RR, max_dci=max_dci)
        cell.fill_buffers()
        for u in range(8):
            cell.set_cqi(u, np.random.default_rng(u).integers(1, 16, N_RBG))
        for slot in range(20):
            assert 1 <= len(cell.schedule(slot)) <= max_dci
            cell.settle()
