"""Channel state: SINR against NumPy, quantisation against TS 38.214, reports that come late."""

import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.state import F32, NEVER, Links
from ran_sim.link.adaptation import link_tables
from ran_sim.link.csi import Csi, Reports, apply_report, forget_csi, init_csi, measure, sinr_into

N_RBG = 13
TABLES = link_tables(51)


def some_links(rng: np.random.Generator, n_ue: int = 3, k: int = 4, n_cell: int = 7) -> Links:
    cell = np.array([rng.permutation(n_cell)[: 1 + k] for _ in range(n_ue)], np.int32)
    cell[1, 3:] = -1  # a UE with fewer interferers
    return Links(
        gain_db=np.zeros((n_ue, n_cell), np.float32),
        rsrp_l3_dbm=np.zeros((n_ue, n_cell), np.float32),
        cell=cell,
        rx_mw=(rng.uniform(1e-10, 1e-8, (n_ue, 1 + k))).astype(np.float32),
        rest_mw=rng.uniform(0, 1e-10, n_ue).astype(np.float32),
        outside_mw=np.zeros(n_ue, np.float32),
        noise_mw=np.array([3e-11], np.float32),
        fading=rng.exponential(1.0, (n_ue, 1 + k, N_RBG)).astype(np.float32),
    )


def numpy_sinr(links: Links, u: int, share: F32) -> np.ndarray:
    """SINR per RBG; `share` [n_cell, n_rbg]."""
    there = links.cell[u, 1:] >= 0
    interference = (
        share[links.cell[u, 1:][there]] * links.rx_mw[u, 1:][there][:, None] * links.fading[u, 1:][there]
    ).sum(axis=0)
    signal = links.rx_mw[u, 0] * links.fading[u, 0]
    return np.asarray(signal / (links.noise_mw[0] + links.rest_mw[u] + interference))


@pytest.mark.parametrize("u", [0, 1, 2])
def test_sinr_is_that_of_numpy(u: int) -> None:
    rng = np.random.default_rng(u)
    links, out = some_links(rng), np.zeros(N_RBG, np.float32)
    activity = rng.integers(0, 2, (7, N_RBG)).astype(np.float32)
    sinr_into(out, links, u, activity, True)
    assert out == pytest.approx(numpy_sinr(links, u, activity), rel=1e-5)


def report(
    links: Links, u: int, load: F32, *, error_db: float = 0.0, slot: int = 40, subbands: bool = True
) -> Csi:
    csi = init_csi(3, N_RBG, Reports(1, 20, 8, error_db, subbands))
    measure(csi, TABLES, load, links, slot, u, 17)
    return csi


def test_report_quantises_mean_capacity_and_offsets_of_sub_bands() -> None:
    rng = np.random.default_rng(9)
    load = rng.uniform(0, 1, 7).astype(np.float32)
    seen = set()
    for i in range(20):
        links = some_links(rng)
        links.rx_mw[0, 0] *= 10 ** (i / 5)  # up to 38 dB more: all of the table
        sinr = numpy_sinr(links, 0, np.tile(load[:, None], N_RBG))
        mean = 2 ** np.log2(1 + sinr).mean() - 1
        wideband = np.searchsorted(TABLES.cqi_t10_db[1:], 10 * np.log10(mean), side="right")
        subband = np.searchsorted(TABLES.cqi_t10_db[1:], 10 * np.log10(sinr), side="right")
        # TS 38.214 Table 5.2.2.1-1: an offset is at most -1, 0, +1 or at least +2
        expected = np.clip(wideband + np.clip(subband - wideband, -1, 2), 0, 15)
        csi = report(links, 0, load)
        assert csi.pending_wideband[0] == wideband
        assert csi.pending[0].tolist() == expected.tolist()
        seen |= set((expected - wideband).tolist())
    assert seen == {-1, 0, 1, 2}


def test_a_report_without_sub_bands_says_the_same_of_all() -> None:
    links = some_links(np.random.default_rng(9))
    csi = report(links, 0, np.ones(7, np.float32), subbands=False)
    assert set(csi.pending[0].tolist()) == {int(csi.pending_wideband[0])}
    assert len(set(report(links, 0, np.ones(7, np.float32)).pending[0].tolist())) > 1


def test_report_is_known_after_its_delay_only() -> None:
    links = some_links(np.random.default_rng(1))
    csi, counts = report(links, 0, np.ones(7, np.float32)), np.zeros(count.N, np.int64)
    assert (csi.wideband[0], csi.due_slot[0]) == (-1, 48)
    apply_report(csi, TABLES, counts, 0)
    assert csi.wideband[0] == csi.pending_wideband[0]
    assert csi.efficiency[0].tolist() == TABLES.cqi_efficiency[csi.pending[0]].tolist()
    assert csi.best[0] == csi.efficiency[0].max() > csi.efficiency[0, -1]
    assert counts[[count.CQI_SUM, count.CQI_REPORTS]].tolist() == [csi.wideband[0], 1]


def test_error_spreads_reports_without_moving_their_mean() -> None:
    # Half way into CQI 8 an error of 0.5 dB shows rarely, one of 3 dB in most reports.
    links = some_links(np.random.default_rng(2))
    links.fading[0, 0] = 1.0
    links.cell[0, 1:] = -1
    snr = 10 ** ((TABLES.cqi_t10_db[8] + TABLES.cqi_t10_db[9]) / 20)
    links.rx_mw[0, 0] = snr * (links.noise_mw[0] + links.rest_mw[0])
    load = np.ones(7, np.float32)
    reported = [report(links, 0, load, error_db=3.0, slot=slot).pending_wideband[0] for slot in range(400)]
    assert report(links, 0, load).pending_wideband[0] == 8
    assert np.mean(reported) == pytest.approx(8.0, abs=0.3)
    assert np.std(reported) > 1.0


def test_forgotten_state_waits_for_the_next_measurement() -> None:
    csi = report(some_links(np.random.default_rng(1)), 0, np.ones(7, np.float32))
    forget_csi(csi, 0, 60)
    assert (csi.wideband[0], csi.due_slot[0], csi.next_slot[0]) == (-1, NEVER, 60)
