"""SS-RSRP, SS-RSRQ and SS-SINR against their definitions, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran_sim.core.state import Cells, Links
from ran_sim.energy.power import ACTIVE, LIGHT_SLEEP
from ran_sim.engine.radio_state import no_ailments
from ran_sim.measure.layer1 import (
    RSRP_RANGE_DBM,
    RSRQ_RANGE_DB,
    SINR_RANGE_DB,
    Layer1Values,
    of_every_cell,
    report,
)

N_PRB, RBG_PRB, SLOT_MS = 51, 4, 0.5
RE_SHARE_DB = -10 * math.log10(12 * N_PRB)
BLOCK_SHARE = 4 / 140  # of the 140 symbols of 5 ms at 30 kHz


def network(
    gain_db: list[float], *, load: float = 1.0, power_dbm: float = 44.0, noise_dbm: float = -100.0
) -> tuple[Cells, Links]:
    """One UE and a cell for each gain; noise per RBG."""
    n = len(gain_db)
    zeros = np.zeros(n)
    cells = Cells(
        x_m=zeros, y_m=zeros, azimuth_rad=zeros, site=np.zeros(n, np.int32), tx_power_dbm=np.full(n, power_dbm),
        cio_db=zeros, activity=np.zeros((n, 13), np.float32), load=np.full(n, load, np.float32),
        ailments=no_ailments(n), state=np.full(n, ACTIVE, np.int32),
    )  # fmt: skip
    links = Links(
        gain_db=np.array([gain_db], np.float32), rsrp_l3_dbm=np.zeros((1, n), np.float32),
        cell=np.zeros((1, 5), np.int32), rx_mw=np.zeros((1, 5), np.float32), rest_mw=np.zeros(1, np.float32),
        outside_mw=np.zeros(1, np.float32), noise_mw=np.array([10 ** (noise_dbm / 10)], np.float32), fading=np.zeros((1, 5, 13), np.float32),
    )  # fmt: skip
    return cells, links


def of(network: tuple[Cells, Links], cell: int = 0) -> Layer1Values:
    return report(*network, np.array([0]), np.array([cell]), n_prb=N_PRB, rbg_prb=RBG_PRB, slot_ms=SLOT_MS)


def test_rsrp_is_the_power_of_one_resource_element() -> None:
    assert of(network([-100.0])).rsrp_dbm[0] == pytest.approx(44 + RE_SHARE_DB - 100, abs=1e-4)


def test_rsrq_of_a_lone_loaded_cell_is_one_of_twelve_resource_elements() -> None:
    # N RSRP / RSSI of a PRB that is full of its own signal: 1/12
    assert of(network([-60.0])).rsrq_db[0] == pytest.approx(-10 * math.log10(12), abs=1e-3)


def test_rsrq_tells_the_load_and_sinr_does_not() -> None:
    # Two cells at the same level: SINR 0 dB; RSSI is twice a cell's activity
    for load in (0.0, 0.5, 1.0):
        activity = BLOCK_SHARE + (1 - BLOCK_SHARE) * load
        heard = of(network([-60.0, -60.0], load=load))
        assert heard.sinr_db[0] == pytest.approx(0.0, abs=1e-3)
        assert heard.rsrq_db[0] == pytest.approx(-10 * math.log10(12 * 2 * activity), abs=1e-3)


def test_sinr_without_interference_is_signal_over_noise_of_a_resource_element() -> None:
    # Noise of -100 dBm per RBG of 48 subcarriers
    heard = of(network([-110.0]))
    noise_dbm = -100 - 10 * math.log10(12 * RBG_PRB)
    assert heard.sinr_db[0] == pytest.approx(heard.rsrp_dbm[0] - noise_dbm, abs=1e-3)


def test_a_sleeping_neighbour_is_no_interferer_and_a_sleeping_cell_has_no_report() -> None:
    cells, links = network([-80.0, -83.0])
    assert of((cells, links)).sinr_db[0] == pytest.approx(3.0, abs=1e-2)
    cells.state[1] = LIGHT_SLEEP
    assert of((cells, links)).sinr_db[0] > 30.0
    assert np.isnan([values[0] for values in of((cells, links), cell=1)]).all()


@given(
    gain_db=st.lists(st.floats(-250.0, 0.0), min_size=1, max_size=5),
    load=st.floats(0.0, 1.0),
    power_dbm=st.floats(0.0, 60.0),
)
def test_reports_stay_in_the_ranges_of_ts_38_133(gain_db: list[float], load: float, power_dbm: float) -> None:
    heard = of(network(gain_db, load=load, power_dbm=power_dbm))
    for values, (low, high) in zip(heard, (RSRP_RANGE_DBM, RSRQ_RANGE_DB, SINR_RANGE_DB), strict=True):
        assert low <= values[0] <= high


def test_every_cell_has_rsrq_over_one_rssi_and_sinr_over_the_others() -> None:
    """Two cells, 40 % and 80 % loaded: N RSRP / RSSI with N = 1, RSSI 12 resource elements of both and of noise.

    At -60 and -66 dB and 44 dBm over 612 subcarriers RSRP is -43.87 and -49.87 dBm; noise is -116.8 dBm.
    """
    cells, links = network([-60.0, -66.0])
    cells.load[:] = 0.4, 0.8
    signal_mw = 10 ** ((44 + RE_SHARE_DB + np.array([-60.0, -66.0])) / 10)
    noise_mw = 10 ** (-100 / 10) / (12 * RBG_PRB)
    activity = BLOCK_SHARE + (1 - BLOCK_SHARE) * np.array([0.4, 0.8])
    rssi_mw = 12 * (signal_mw @ activity + noise_mw)
    rsrq_db, sinr_db = of_every_cell(
        cells, links, np.array([0]), n_prb=N_PRB, rbg_prb=RBG_PRB, slot_ms=SLOT_MS
    )
    assert rsrq_db[0] == pytest.approx(10 * np.log10(signal_mw / rssi_mw), abs=1e-3)
    assert sinr_db[0] == pytest.approx(10 * np.log10(signal_mw / (signal_mw[::-1] + noise_mw)), abs=1e-3)
    assert sinr_db[0] == pytest.approx([6.0, -6.0], abs=1e-3)


def test_every_cell_is_heard_as_the_serving_cell_is() -> None:
    """One definition for both: a report of the serving cell has what every cell's has of it, within its range."""
    cells, links = network([-80.0, -83.0, -95.0], load=0.3)
    cells.state[2] = LIGHT_SLEEP
    rsrq_db, sinr_db = of_every_cell(
        cells, links, np.array([0]), n_prb=N_PRB, rbg_prb=RBG_PRB, slot_ms=SLOT_MS
    )
    for cell in range(3):
        heard = of((cells, links), cell)
        np.testing.assert_allclose([rsrq_db[0, cell], sinr_db[0, cell]], [heard.rsrq_db[0], heard.sinr_db[0]], atol=1e-3)  # fmt: skip
    assert np.isnan([rsrq_db[0, 2], sinr_db[0, 2]]).all()
