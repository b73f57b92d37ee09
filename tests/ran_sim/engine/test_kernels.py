"""The slot's stages against plain NumPy."""

import numpy as np
import pytest

from ran_sim.core import counters, random
from ran_sim.core.state import NEVER, Cells, Links
from ran_sim.engine.kernels import LOAD_WINDOW_SLOTS, _average, _receive
from ran_sim.engine.radio_state import no_ailments
from ran_sim.link.adaptation import block_error_rate, link_tables
from ran_sim.link.harq import HARQ_RTT_SLOTS, init_harq, init_sent
from ran_sim.mac.state import init_mac

N_UE, N_CELL, N_RBG, K = 6, 7, 13, 4
TABLES = link_tables(51)


def some_links(rng: np.random.Generator) -> Links:
    cell = np.array([rng.permutation(N_CELL)[: 1 + K] for _ in range(N_UE)], np.int32)
    cell[1, 3:] = -1  # a UE with fewer interferers
    return Links(
        gain_db=np.zeros((N_UE, N_CELL), np.float32),
        rsrp_l3_dbm=np.zeros((N_UE, N_CELL), np.float32),
        cell=cell,
        rx_mw=(10 ** rng.uniform(-10.5, -8.5, (N_UE, 1 + K))).astype(np.float32),
        rest_mw=rng.uniform(0, 1e-10, N_UE).astype(np.float32),
        outside_mw=np.zeros(N_UE, np.float32),
        noise_mw=np.array([3e-11], np.float32),
        fading=rng.exponential(1.0, (N_UE, 1 + K, N_RBG)).astype(np.float32),
    )


@pytest.mark.parametrize("seed", range(8))
def test_reception_is_chase_combined_eesm_and_one_draw_per_block(seed: int) -> None:
    rng, slot = np.random.default_rng(seed), 1000 + seed
    links, owner = some_links(rng), np.arange(N_UE) + 100
    activity = rng.integers(0, 2, (N_CELL, N_RBG)).astype(np.float32)
    harq, sent, row = init_harq(N_UE), init_sent(N_UE), slot % HARQ_RTT_SLOTS
    masks = rng.integers(1, 2**N_RBG, N_UE)
    harq.mcs[:, 3] = rng.integers(0, 28, N_UE)
    harq.n_prb[:, 3] = rng.integers(1, 52, N_UE)
    harq.sinr[:, 3] = before = rng.choice([0.0, 1.5], N_UE)  # some blocks were sent before
    sent.n[row] = N_UE
    sent.ue[row], sent.process[row], sent.rbgs[row] = np.arange(N_UE), 3, masks
    _receive(slot, seed, sent, harq, links, activity, TABLES, owner, np.zeros(N_RBG, np.float32))
    for u in range(N_UE):
        rbgs = np.flatnonzero((int(masks[u]) >> np.arange(N_RBG)) & 1)
        interference = float(links.noise_mw[0] + links.rest_mw[u])
        power = np.full(len(rbgs), interference)
        for k in range(1, 1 + K):
            if links.cell[u, k] >= 0:
                power += activity[links.cell[u, k], rbgs] * links.rx_mw[u, k] * links.fading[u, k, rbgs]
        sinr = links.rx_mw[u, 0] * links.fading[u, 0, rbgs] / power
        mcs, n_prb = int(harq.mcs[u, 3]), int(harq.n_prb[u, 3])
        beta, low = TABLES.beta[mcs], sinr.min()
        combined = before[u] + low - beta * np.log(np.mean(np.exp((low - sinr) / beta)))
        assert harq.sinr[u, 3] == pytest.approx(combined, rel=1e-5)
        lost = block_error_rate(TABLES, 10 * np.log10(harq.sinr[u, 3]), mcs, n_prb)
        draw = random.uniform(seed, random.BLER, int(owner[u]), slot)
        assert harq.decoded[u, 3] == (draw >= lost)


def test_draws_lose_blocks_as_often_as_the_curve_says() -> None:
    # A flat channel at the midpoint of MCS 5 on 4 PRBs: one code block, half of them lost, 4000 blocks +- 4 sigma.
    links = some_links(np.random.default_rng(1))
    links.cell[:, 1:] = -1
    links.fading[:] = 1.0
    links.rx_mw[:, 0] = (links.noise_mw + links.rest_mw) * 10 ** (TABLES.t50_db[5] / 10)
    harq, sent = init_harq(N_UE), init_sent(N_UE)
    harq.mcs[:, 0], harq.n_prb[:, 0] = 5, 4
    lost = 0
    for slot in range(4000):
        row = slot % HARQ_RTT_SLOTS
        sent.n[row], sent.rbgs[row, 0], harq.sinr[0, 0] = 1, 1, 0.0
        activity = np.zeros((N_CELL, N_RBG), np.float32)
        _receive(slot, 1, sent, harq, links, activity, TABLES, np.arange(N_UE), np.zeros(N_RBG, np.float32))
        lost += 1 - int(harq.decoded[0, 0])
    assert lost / 4000 == pytest.approx(0.5, abs=4 * np.sqrt(0.5 * 0.5 / 4000))


def test_averages_and_load_forget_exponentially() -> None:
    # One UE served 1000 bits in the first of 3 slots with a window of 10; one cell of two full for those 3 slots.
    mac = init_mac(2, np.zeros(2, np.int32), np.full(N_RBG, 4, np.int64), np.zeros(1), np.zeros(1))
    mac.members[:], mac.member_start[:] = [0, 1], [0, 1, 2]
    mac.average_bits[:], mac.served_bits[0] = 500.0, 1000.0
    activity = np.zeros((2, N_RBG), np.float32)
    activity[1] = 1.0
    cells = Cells(
        x_m=np.zeros(2),
        y_m=np.zeros(2),
        azimuth_rad=np.zeros(2),
        site=np.zeros(2, np.int32),
        tx_power_dbm=np.zeros(2),
        cio_db=np.zeros(2),
        activity=activity,
        load=np.full(2, 0.5, np.float32),
        ailments=no_ailments(2),
        state=np.zeros(2, np.int32),
    )
    counts = np.zeros((2, counters.N), np.int64)
    reachable_slot = np.array([5, NEVER])  # executing a handover; without a link
    for _ in range(3):
        _average(10.0, mac, np.array([0, 7]), np.array([0, 0], np.int32), reachable_slot, cells, counts)
    assert mac.average_bits == pytest.approx([(0.9 * 500 + 0.1 * 1000) * 0.81, 500 * 0.9**3])
    assert cells.load == pytest.approx(
        [0.5 * (1 - 1 / LOAD_WINDOW_SLOTS) ** 3, 1 - 0.5 * (1 - 1 / LOAD_WINDOW_SLOTS) ** 3]
    )
    assert counts[:, counters.CONNECTED_SLOTS].tolist() == [3, 3]
    assert counts[:, counters.ACTIVE_SLOTS].tolist() == [0, 3]
    assert counts[:, counters.LOST_SLOTS].tolist() == [0, 3]
