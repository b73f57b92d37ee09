"""Prediction: the SNR of each sub-band at the moment of its use, from the UE's last reports, their age and their change.

A report is some milliseconds old when a slot uses it. For a walker most of it still holds. For a car nothing does: beyond the coherence
time the mean is the best guess. The prediction of sub-band b is

    m + sum over i of w_i (r_i[b] - m)

r_1, r_2, ... are the SNRs that the last `ORDER` reports stand for, the newest first, and m their mean over sub-bands and time. A report
says of a sub-band between which two SNRs it lies, or that it lies beyond the end of the offsets; it stands for the mean of what lies
there (`level_db`). The weights depend on two numbers of the UE, the inputs of a model (`channel_model`):

1. age: of the newest report, from its measurement to the slot, in report periods
2. change: half the mean squared difference of two successive reports over their variance, both averages over sub-bands and time.
   It is 1 less the channel's correlation over a period, so it tells the UE's speed: near 0 for a UE that stands, near 1 from 0.4
   wavelengths a period on (12 km/h at 3.5 GHz and 10 ms)

Both count in steps, and the weights of all steps are a table that is made when the model is read. A slot looks weights up and
computes no model. The outer loop's offset comes on top, as ever.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, F64, I32, U8
from ran_sim.link.adaptation import LinkTables

FEATURES: Final = ("age", "change")
ORDER: Final = 4  # reports that a prediction may use
AGE_STEPS: Final = 32  # in a report period
CHANGE_STEPS: Final = 24  # in a change of 1
N_AGE: Final = 2 * AGE_STEPS + 1  # a report is used for one period, after a delay of one at most
N_CHANGE: Final = 4 * CHANGE_STEPS // 3 + 1

# The ends of the 2-bit offset, TS 38.214 Table 5.2.2.1-1. On the mean a sub-band of "at most -1" lies this far below the T10 of the
# wideband CQI, one of "at least +2" this far above the T10 of its own CQI. `python -m models.channel.train levels` measures both.
BELOW_DB: Final = 3.1
ABOVE_DB: Final = 2.4
# Taken off everything: where the outer loop has no offset yet, the MCS is that of the CQI.
HALF_STEP_DB: Final = 1.0

# Averages over the last reports, exponential. Each begins as a plain mean, together with what is assumed of an unknown UE.
MEAN_REPORTS: Final = 16.0
CHANGE_REPORTS: Final = 32.0
START_WEIGHT: Final = 4.0  # reports that the assumption counts for
START_VARIANCE_DB2: Final = 10.0
START_CHANGE: Final = 0.3  # of a walker

# Columns of `Prediction.memory`: the UE's mean in dB, variance and mean squared difference in dB^2, and number of reports
MEAN, VARIANCE, DIFFERENCE, N_REPORT = range(4)


class Prediction(NamedTuple):
    """The model, and what it remembers of each UE; all of it is empty in a network without a model."""

    weights: F32  # [N_CHANGE, N_AGE, ORDER]
    used: U8  # [n_cell] 1: the cell uses it; 0: it uses reports as they are, from each UE's next one on
    known_db: F32  # [n_ue, ORDER, n_rbg] SNR by the last reports, the newest first
    memory: F64  # [n_ue, 4]
    every_slots: int  # a prediction is made anew this often
    mean_reports: float
    change_reports: float


def no_prediction() -> Prediction:
    """Reports are used as they are."""
    return init_prediction(np.zeros((0, N_AGE, ORDER), np.float32), 0, 0, 0, 1)


def init_prediction(weights: F32, n_cell: int, n_ue: int, n_rbg: int, every_slots: int) -> Prediction:
    """All cells use `weights`, [N_CHANGE, N_AGE, ORDER]; nothing is known of any UE."""
    return Prediction(
        weights=weights,
        used=np.ones(n_cell, np.uint8),
        known_db=np.zeros((n_ue, ORDER, n_rbg), np.float32),
        memory=np.zeros((n_ue, 4)),
        every_slots=every_slots,
        mean_reports=MEAN_REPORTS,
        change_reports=CHANGE_REPORTS,
    )


def model_grid() -> F64:
    """The inputs that weights are tabulated at, [N_CHANGE * N_AGE, 2]: row by row as in `Prediction.weights`."""
    change, age = np.mgrid[:N_CHANGE, :N_AGE]
    return np.column_stack((age.ravel() / AGE_STEPS, change.ravel() / CHANGE_STEPS))


@bare_kernel
def level_db(tables: LinkTables, cqi: int, wideband: int) -> float:
    """SNR that a sub-band of `cqi` has on the mean, less half a step, in a report whose wideband CQI is `wideband`."""
    at_db = tables.cqi_t10_db
    if cqi < wideband:
        return float(at_db[wideband] - BELOW_DB - HALF_STEP_DB)
    if cqi >= wideband + 2 or cqi == at_db.size - 1:
        return float(at_db[cqi] + ABOVE_DB - HALF_STEP_DB)
    return float(0.5 * (at_db[cqi] + at_db[cqi + 1]) - HALF_STEP_DB)


@bare_kernel
def remember(
    prediction: Prediction, tables: LinkTables, u: int, cqi: I32, wideband: int, first: bool
) -> None:
    """Take in a report, `cqi` [n_rbg] and its wideband CQI; it is the `first` that the cell gets of the UE."""
    known, memory = prediction.known_db[u], prediction.memory[u]
    n_rbg = cqi.size
    for i in range(ORDER - 1, 0, -1):
        for b in range(n_rbg):
            known[i, b] = known[i - 1, b]
    mean = 0.0
    for b in range(n_rbg):
        known[0, b] = level_db(tables, cqi[b], wideband)
        mean += known[0, b] / n_rbg
    if first:
        for i in range(1, ORDER):
            for b in range(n_rbg):
                known[i, b] = known[0, b]
        memory[MEAN], memory[N_REPORT] = mean, 1.0
        memory[VARIANCE], memory[DIFFERENCE] = START_VARIANCE_DB2, 2.0 * START_CHANGE * START_VARIANCE_DB2
        return
    variance, difference = 0.0, 0.0
    for b in range(n_rbg):
        variance += (known[0, b] - memory[MEAN]) ** 2 / n_rbg
        difference += (known[0, b] - known[1, b]) ** 2 / n_rbg
    gain = 1.0 / min(memory[N_REPORT] + START_WEIGHT, prediction.change_reports)
    memory[VARIANCE] += gain * (variance - memory[VARIANCE])
    memory[DIFFERENCE] += gain * (difference - memory[DIFFERENCE])
    memory[N_REPORT] += 1.0
    memory[MEAN] += (mean - memory[MEAN]) / min(memory[N_REPORT], prediction.mean_reports)


@bare_kernel
def change_of(memory: F64) -> float:
    """The input `change` of a UE, `memory` [4]."""
    return float(memory[DIFFERENCE] / max(2.0 * memory[VARIANCE], 1e-3))


@bare_kernel
def predict_into(
    snr_db: F32, efficiency: F32, prediction: Prediction, tables: LinkTables, u: int, age_periods: float
) -> float:
    """Predicted SNR of each sub-band, and bits per resource element there, [n_rbg] each; the largest of these."""
    known, memory = prediction.known_db[u], prediction.memory[u]
    change = min(int(change_of(memory) * CHANGE_STEPS + 0.5), N_CHANGE - 1)
    age = min(int(age_periods * AGE_STEPS + 0.5), N_AGE - 1)
    weight = prediction.weights[change, age]
    mean = np.float32(memory[MEAN])
    rest = np.float32(1.0)
    for i in range(ORDER):
        rest -= weight[i]
    for b in range(snr_db.size):
        snr_db[b] = rest * mean
    for i in range(ORDER):
        for b in range(snr_db.size):
            snr_db[b] += weight[i] * known[i, b]
    best = np.float32(0.0)
    for b in range(snr_db.size):
        efficiency[b] = efficiency_at(tables, snr_db[b])
        best = max(best, efficiency[b])
    return float(best)


@bare_kernel
def efficiency_at(tables: LinkTables, snr_db: float) -> float:
    """Bits per resource element at an SNR, on straight lines between those of the CQIs; 0 up to the SNR that CQI 0 stands for."""
    at_db, cqi = tables.cqi_t10_db, 0
    top = at_db.size - 1
    for candidate in range(1, top + 1):
        cqi += at_db[candidate] <= snr_db
    if cqi == top:
        return float(tables.cqi_efficiency[top])
    part = (snr_db - at_db[cqi]) / (at_db[cqi + 1] - at_db[cqi])
    return float(
        tables.cqi_efficiency[cqi]
        + max(part, 0.0) * (tables.cqi_efficiency[cqi + 1] - tables.cqi_efficiency[cqi])
    )
