"""A UE's layer-1 measurements of its serving cell: SS-RSRP, SS-RSRQ and SS-SINR, TS 38.215 5.1.1, 5.1.3, 5.1.5.

They are of one receive branch, without fast fading, which layer 1 averages out. Cells are synchronous: all send their SS/PBCH
block in the same symbols of the same PRBs, so SS-SINR has the blocks of all other cells as interference, whatever their load.
RSSI, for SS-RSRQ, is taken over a measurement window of 5 ms with one block, and data by the load. Values are clipped to the
reporting ranges of TS 38.133. Left out: the measurement error, beams, rounding to the steps of a report. Blocks are measured
also where `energy.ssb_period_ms` sends none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.state import F32, F64, I64, Cells, Links
from ran_sim.energy.power import ACTIVE, SSB_SHARE_OF_SLOT

# TS 38.133 10.1.6, 10.1.11, 10.1.16
RSRP_RANGE_DBM: Final = (-156.0, -31.0)
RSRQ_RANGE_DB: Final = (-43.0, 20.0)
SINR_RANGE_DB: Final = (-23.0, 40.0)
SMTC_WINDOW_MS: Final = 5.0
_NEPER_PER_DB: Final = np.float32(np.log(10.0) / 10.0)


class Layer1Values(NamedTuple):
    """Shape [n] each; NaN where the cell sends nothing."""

    rsrp_dbm: F64
    rsrq_db: F64
    sinr_db: F64


def report(
    cells: Cells, links: Links, u: I64, cell: I64, *, n_prb: int, rbg_prb: int, slot_ms: float
) -> Layer1Values:
    """Measurements of the cells `cell` by the UEs in rows `u`, shape [n] each."""
    heard_mw, noise_mw = _heard(cells, links, u, n_prb, rbg_prb)
    serving = np.arange(len(u)), cell
    signal_mw = heard_mw[serving].astype(np.float64)
    heard_mw[serving] = 0.0
    activity = _activity(cells.load, slot_ms)
    rssi_mw = 12.0 * (heard_mw @ activity + signal_mw * activity[cell] + noise_mw)  # per PRB
    return Layer1Values(
        rsrp_dbm=_db(signal_mw, RSRP_RANGE_DBM),
        rsrq_db=_db(signal_mw / rssi_mw, RSRQ_RANGE_DB),
        sinr_db=_db(signal_mw / (heard_mw.sum(axis=1) + noise_mw), SINR_RANGE_DB),
    )


def of_every_cell(
    cells: Cells, links: Links, u: I64, *, n_prb: int, rbg_prb: int, slot_ms: float
) -> tuple[F64, F64]:
    """SS-RSRQ and SS-SINR of every cell in dB, not clipped, by the UEs in rows `u`, shape [n, n_cell]; NaN of one that sleeps.

    RSRQ is N x RSRP / RSSI (TS 38.215 5.1.3). All cells are on one carrier, so a UE has one RSSI.
    """
    heard_mw, noise_mw = _heard(cells, links, u, n_prb, rbg_prb)
    signal_mw = heard_mw.astype(np.float64)
    rssi_mw = 12.0 * (signal_mw @ _activity(cells.load, slot_ms) + noise_mw)  # per PRB
    others_mw = np.maximum(signal_mw.sum(axis=1, keepdims=True) - signal_mw, 0.0)
    signal_mw[signal_mw == 0.0] = np.nan
    return 10.0 * np.log10(signal_mw / rssi_mw[:, None]), 10.0 * np.log10(
        signal_mw / (others_mw + noise_mw[:, None])
    )


def _heard(cells: Cells, links: Links, u: I64, n_prb: int, rbg_prb: int) -> tuple[F32, F32]:
    """Power of every cell at the UEs in rows `u`, shape [n, n_cell], and of all else, [n]; in mW per resource element."""
    re_share_db = -10.0 * np.log10(12 * n_prb)
    at_antenna_dbm = cells.tx_power_dbm - cells.ailments.loss_db + re_share_db
    sent_dbm = np.where(cells.state == ACTIVE, at_antenna_dbm, -np.inf).astype(np.float32)
    heard_mw: F32 = np.exp(_NEPER_PER_DB * (links.gain_db[u] + sent_dbm))
    return heard_mw, (links.noise_mw[0] + links.outside_mw[u]) / np.float32(12 * rbg_prb)


def _activity(load: F32, slot_ms: float) -> F32:
    """Share of its full power that a cell sends in the measurement window: its block, and data by its load; shape [n_cell]."""
    block_share = SSB_SHARE_OF_SLOT * slot_ms / SMTC_WINDOW_MS
    return block_share + (1.0 - block_share) * load


def _db(values: F64, limits: tuple[float, float]) -> F64:
    heard = values > 0.0
    level_db = 10.0 * np.log10(np.where(heard, values, 1.0))
    return np.where(heard, np.clip(level_db, *limits), np.nan)


def mean_sinr(load: F32, links: Links) -> F64:
    """`link_powers.serving_sinr` of every UE, shape [n_ue]: linear, of one branch, without fading; 0 without a link."""
    others = links.cell[:, 1:]
    interference_mw = (np.where(others >= 0, load[others], 0.0) * links.rx_mw[:, 1:]).sum(axis=1)
    return np.asarray(links.rx_mw[:, 0] / (links.noise_mw[0] + links.rest_mw + interference_mw), np.float64)
