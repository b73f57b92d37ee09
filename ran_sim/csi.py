"""Channel state: what a UE measures and quantises, and what the gNB knows of it, later.

TS 38.214 5.2.2.1: a 4-bit wideband CQI and, per sub-band, a 2-bit offset to it (Table 5.2.2.1-1); sub-bands are the
RBGs. A UE measures interference as a mean over time (no timeRestrictionForInterferenceMeasurements): each explicit
interferer counts with its cell's load and its present fading. Left out: RI, PMI (one layer), reports lost on PUCCH.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ran_sim import counters as count
from ran_sim import random
from ran_sim._jit import bare_kernel
from ran_sim.link import LinkTables, highest_cqi
from ran_sim.queues import NEVER
from ran_sim.state import F32, F64, I32, I64, Links


class Csi(NamedTuple):
    """Shape [n_ue] unless said otherwise."""

    wideband: I32  # CQI that the gNB works with, -1 before the first report of a serving cell
    efficiency: F64  # [n_ue, n_rbg] bits per resource element of each sub-band's CQI
    snr_db: F64  # [n_ue, n_rbg] T10 of each sub-band's CQI
    pending_wideband: I32
    pending: I32  # [n_ue, n_rbg] sub-band CQI on its way
    due_slot: I64  # when it is known at the gNB, NEVER if nothing is on its way
    next_slot: I64  # when the UE measures next
    sinr: F64  # [n_rbg] scratch, linear


def init_csi(n_ue: int, n_rbg: int) -> Csi:
    """Nothing known, nothing on its way."""
    return Csi(
        wideband=np.full(n_ue, -1, np.int32),
        efficiency=np.zeros((n_ue, n_rbg)),
        snr_db=np.zeros((n_ue, n_rbg)),
        pending_wideband=np.full(n_ue, -1, np.int32),
        pending=np.zeros((n_ue, n_rbg), np.int32),
        due_slot=np.full(n_ue, NEVER, np.int64),
        next_slot=np.full(n_ue, NEVER, np.int64),
        sinr=np.zeros(n_rbg),
    )


@bare_kernel
def forget_csi(csi: Csi, u: int, next_slot: int) -> None:
    """No report of the serving cell yet; the UE measures in `next_slot` (NEVER: it left)."""
    csi.wideband[u] = -1
    csi.due_slot[u] = NEVER
    csi.next_slot[u] = next_slot


@bare_kernel
def apply_report(csi: Csi, tables: LinkTables, counts: I64, u: int) -> None:
    """The report on its way is now what the gNB knows."""
    csi.wideband[u] = csi.pending_wideband[u]
    csi.due_slot[u] = NEVER
    for b in range(csi.pending.shape[1]):
        cqi = csi.pending[u, b]
        csi.efficiency[u, b] = tables.cqi_efficiency[cqi]
        csi.snr_db[u, b] = tables.cqi_t10_db[cqi]
    counts[count.CQI_SUM] += csi.wideband[u]
    counts[count.CQI_REPORTS] += 1


@bare_kernel
def sinr_into(out: F64, links: Links, u: int, share: F32, per_rbg: bool) -> None:
    """SINR of every RBG, linear, written to `out`, shape [n_rbg].

    `share` is the share of full power that each cell sends: [n_cell, n_rbg] with `per_rbg`, else [n_cell, 1].
    """
    n_rbg = out.shape[0]
    floor_mw = links.noise_mw[0] + links.rest_mw[u]
    for b in range(n_rbg):
        out[b] = floor_mw
    for k in range(1, links.cell.shape[1]):
        cell = links.cell[u, k]
        if cell < 0:
            continue
        rx_mw = links.rx_mw[u, k]
        for b in range(n_rbg):
            out[b] += share[cell, b if per_rbg else 0] * rx_mw * links.fading[u, k, b]
    for b in range(n_rbg):
        out[b] = links.rx_mw[u, 0] * links.fading[u, 0, b] / out[b]


@bare_kernel
def measure(
    csi: Csi,
    tables: LinkTables,
    load: F32,
    links: Links,
    seed: int,
    slot: int,
    u: int,
    ue_id: int,
    error_db: float,
    delay_slots: int,
) -> None:
    """Put a report of this slot's channel on its way.

    The wideband CQI is that of the flat channel with the RBGs' mean capacity log2(1 + SINR). One error per report.
    """
    sinr_into(csi.sinr, links, u, load.reshape(-1, 1), False)
    off = 0.0
    if error_db > 0.0:
        off = error_db * random.normal(seed, random.CQI_ERROR, ue_id, slot)
    n_rbg = csi.sinr.shape[0]
    capacity = 0.0
    for b in range(n_rbg):
        capacity += math.log2(1.0 + csi.sinr[b])
    mean_sinr = 2.0 ** (capacity / n_rbg) - 1.0
    wideband = highest_cqi(tables, 10.0 * math.log10(max(mean_sinr, 1e-9)) + off)
    for b in range(n_rbg):
        subband = highest_cqi(tables, 10.0 * math.log10(max(csi.sinr[b], 1e-9)) + off)
        # TS 38.214 Table 5.2.2.1-1: 0, +1, at least +2, at most -1
        csi.pending[u, b] = min(max(wideband + min(max(subband - wideband, -1), 2), 0), 15)
    csi.pending_wideband[u] = wideband
    csi.due_slot[u] = slot + delay_slots
