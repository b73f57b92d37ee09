"""Channel state: the UE's measurement, its quantised report, and the gNB's later knowledge.

TS 38.214 5.2.2.1: a 4-bit wideband CQI and, per sub-band, a 2-bit offset to it (Table 5.2.2.1-1); sub-bands are the
RBGs, and carriers below 24 PRBs have none (Table 5.2.1.4-2). A UE measures interference as a mean over time (no
timeRestrictionForInterferenceMeasurements): each explicit interferer counts with its cell's load and its present fading.
Left out: RI, PMI (one layer), reports lost on PUCCH.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core import counters as count
from ran_sim.core import random
from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, I32, I64, NEVER, Links
from ran_sim.link.adaptation import LinkTables, highest_cqi
from ran_sim.link.prediction import Prediction, no_prediction, predict_into, remember

_NEPER_PER_DB: Final = math.log(10.0) / 10.0  # of power; exp takes a quarter of pow's time


class Reports(NamedTuple):
    """How UEs report their channels."""

    seed: int  # of the run; measurement errors are drawn by it
    period_slots: int
    delay_slots: int  # from a measurement until the gNB knows it
    error_db: float  # standard deviation of a measurement's error
    subbands: bool  # whether they tell RBGs apart


class Csi(NamedTuple):
    """Shape [n_ue] unless said otherwise."""

    wideband: I32  # CQI that the gNB works with, -1 before the first report of a serving cell
    efficiency: F32  # [n_ue, n_rbg] bits per resource element of each sub-band's CQI
    best: F32  # the largest of them
    snr_db: (
        F32  # [n_ue, n_rbg] T10 of each sub-band's CQI; this and the two above: or what is predicted of them
    )
    pending_wideband: I32
    pending: I32  # [n_ue, n_rbg] sub-band CQI on its way
    due_slot: I64  # when it is known at the gNB, NEVER if nothing is on its way
    next_slot: I64  # of the UE's next measurement; NEVER while no cell would receive its report
    measured_slot: I64  # that the newest report at the gNB is of
    reports: Reports
    prediction: Prediction  # that takes the place of the reports, if there is a model
    sinr: F32  # [n_rbg] scratch, linear


def init_csi(n_ue: int, n_rbg: int, reports: Reports, prediction: Prediction | None = None) -> Csi:
    """State in which nothing is known of any UE and no report is on its way."""
    return Csi(
        wideband=np.full(n_ue, -1, np.int32),
        efficiency=np.zeros((n_ue, n_rbg), np.float32),
        best=np.zeros(n_ue, np.float32),
        snr_db=np.zeros((n_ue, n_rbg), np.float32),
        pending_wideband=np.full(n_ue, -1, np.int32),
        pending=np.zeros((n_ue, n_rbg), np.int32),
        due_slot=np.full(n_ue, NEVER, np.int64),
        next_slot=np.full(n_ue, NEVER, np.int64),
        measured_slot=np.zeros(n_ue, np.int64),
        reports=reports,
        prediction=prediction or no_prediction(),
        sinr=np.zeros(n_rbg, np.float32),
    )


@bare_kernel
def forget_csi(csi: Csi, u: int, next_slot: int) -> None:
    """Forget a UE's channel; it measures in `next_slot` (NEVER: it left, or no cell would receive its report)."""
    csi.wideband[u] = -1
    csi.due_slot[u] = NEVER
    csi.next_slot[u] = next_slot


@bare_kernel
def apply_report(csi: Csi, tables: LinkTables, counts: I64, u: int) -> None:
    """Let the report on its way become the gNB's knowledge."""
    predicts, first = csi.prediction.weights.shape[0] > 0, csi.wideband[u] < 0
    csi.wideband[u] = csi.pending_wideband[u]
    csi.measured_slot[u] = csi.due_slot[u] - csi.reports.delay_slots
    csi.due_slot[u] = NEVER
    best = 0
    for b in range(csi.pending.shape[1]):
        cqi = csi.pending[u, b]
        best = max(best, cqi)
        csi.efficiency[u, b] = tables.cqi_efficiency[cqi]
        csi.snr_db[u, b] = tables.cqi_t10_db[cqi]
    csi.best[u] = tables.cqi_efficiency[best]
    counts[count.CQI_SUM] += csi.wideband[u]
    counts[count.CQI_REPORTS] += 1
    if predicts:
        remember(csi.prediction, tables, u, csi.pending[u], csi.wideband[u], first)


@bare_kernel
def predict(csi: Csi, tables: LinkTables, slot: int, u: int) -> None:
    """Let the gNB work with the prediction for `slot` in place of the newest report; a UE without a report is left out."""
    reports, prediction = csi.reports, csi.prediction
    age = slot - csi.measured_slot[u]
    if csi.wideband[u] >= 0 and (age - reports.delay_slots) % prediction.every_slots == 0:
        csi.best[u] = predict_into(
            csi.snr_db[u], csi.efficiency[u], prediction, tables, u, age / reports.period_slots
        )


@bare_kernel
def sinr_into(out: F32, links: Links, u: int, share: F32, per_rbg: bool) -> None:
    """SINR of every RBG, linear, written to `out`, shape [n_rbg]; loops over RBGs are innermost, to become vectors.

    `Links.rest_mw` brings interference from outside the network. `share` is the share of full power that each cell sends: [n_cell, n_rbg] with `per_rbg`, else [n_cell, 1].
    """
    fading = links.fading[u]
    out[:] = links.noise_mw[0] + links.rest_mw[u]
    for k in range(1, fading.shape[0]):
        cell = links.cell[u, k]
        if cell < 0:
            continue
        rx_mw = links.rx_mw[u, k]
        if per_rbg:
            for b in range(out.size):
                out[b] += share[cell, b] * (rx_mw * fading[k, b])
        else:
            rx_mw *= share[cell, 0]
            for b in range(out.size):
                out[b] += rx_mw * fading[k, b]
    rx_mw = links.rx_mw[u, 0]
    for b in range(out.size):
        out[b] = rx_mw * fading[0, b] / out[b]


@bare_kernel
def measure(csi: Csi, tables: LinkTables, load: F32, links: Links, slot: int, u: int, ue_id: int) -> None:
    """Put a report of this slot's channel on its way.

    The wideband CQI is that of the flat channel with the RBGs' mean capacity log2(1 + SINR): 1 + its SINR is the
    geometric mean of theirs. One error per report.

    Args:
        csi: Gets the report in row `u` of `pending`, and the slot from which the gNB knows it.
        tables: CQI table.
        load: Share of full power that each cell sends on average, shape [n_cell].
        links: Received power and fading of serving cell and interferers.
        slot: Slot that is measured.
        u: UE row.
        ue_id: Of the UE in it; errors are drawn by it.
    """
    sinr_into(csi.sinr, links, u, load.reshape(-1, 1), False)
    reports, error = csi.reports, 1.0
    if reports.error_db > 0.0:
        normal = random.normal(reports.seed, random.CQI_ERROR, ue_id, slot)
        error = math.exp(_NEPER_PER_DB * reports.error_db * normal)
    n_rbg = csi.sinr.size
    product = 1.0
    for b in range(n_rbg):  # at most 18 factors: no overflow below 170 dB
        product *= 1.0 + float(csi.sinr[b])
        csi.sinr[b] *= np.float32(error)
    mean_sinr = math.exp(math.log(product) / n_rbg) - 1.0
    wideband = highest_cqi(tables, mean_sinr * error)
    csi.pending[u, :] = wideband
    if reports.subbands:
        _add_offsets(csi.pending[u], wideband, csi.sinr, tables.cqi_sinr)
    csi.pending_wideband[u] = wideband
    csi.due_slot[u] = slot + reports.delay_slots


@bare_kernel
def _add_offsets(cqi: I32, wideband: int, sinr: F32, lowest_sinr: F32) -> None:
    """The offset of each sub-band to `wideband`, TS 38.214 Table 5.2.2.1-1: at most -1, 0, +1, at least +2."""
    least, next_one, after_next = lowest_sinr[wideband], lowest_sinr[wideband + 1], lowest_sinr[wideband + 2]
    for b in range(cqi.size):
        offset = (sinr[b] >= next_one) + (sinr[b] >= after_next) - (sinr[b] < least)
        cqi[b] = max(cqi[b] + offset, 0)
