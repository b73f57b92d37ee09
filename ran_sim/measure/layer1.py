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
    """Measurements of the cells `cell` by the UEs in slots `u`, shape [n] each."""
    re_share_db = -10.0 * np.log10(12 * n_prb)
    at_antenna_dbm = cells.tx_power_dbm - cells.ailments.loss_db + re_share_db
    sent_dbm = np.where(cells.state == ACTIVE, at_antenna_dbm, -np.inf).astype(np.float32)
    heard_mw: F32 = np.exp(_NEPER_PER_DB * (links.gain_db[u] + sent_dbm))  # [n, n_cell] per resource element
    noise_mw = (links.noise_mw[0] + links.outside_mw[u]) / (12 * rbg_prb)
    serving = np.arange(len(u)), cell
    signal_mw = heard_mw[serving].astype(np.float64)
    heard_mw[serving] = 0.0
    block_share = SSB_SHARE_OF_SLOT * slot_ms / SMTC_WINDOW_MS
    activity = block_share + (1.0 - block_share) * cells.load
    rssi_mw = 12.0 * (heard_mw @ activity + signal_mw * activity[cell] + noise_mw)  # per PRB
    return Layer1Values(
        rsrp_dbm=_db(signal_mw, RSRP_RANGE_DBM),
        rsrq_db=_db(signal_mw / rssi_mw, RSRQ_RANGE_DB),
        sinr_db=_db(signal_mw / (heard_mw.sum(axis=1) + noise_mw), SINR_RANGE_DB),
    )


def _db(values: F64, limits: tuple[float, float]) -> F64:
    heard = values > 0.0
    level_db = 10.0 * np.log10(np.where(heard, values, 1.0))
    return np.where(heard, np.clip(level_db, *limits), np.nan)


def mean_sinr(load: F32, links: Links) -> F64:
    """`radio_tick.serving_sinr` of every UE, shape [n_ue]: linear, of one branch, without fading; 0 without a link."""
    others = links.cell[:, 1:]
    interference_mw = (np.where(others >= 0, load[others], 0.0) * links.rx_mw[:, 1:]).sum(axis=1)
    return np.asarray(links.rx_mw[:, 0] / (links.noise_mw[0] + links.rest_mw + interference_mw), np.float64)
