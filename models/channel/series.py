"""Recorded series: what UEs report and what their channels are, and the samples that predictors are fitted to and judged on.

A sample is one UE at one moment: its last reports as the simulator's own kernel remembers them, and the SINR that a measurement without
error would find then. So a predictor sees here what it sees in a slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bound
from ran_sim.core.state import F32, F64, I32, I64
from ran_sim.engine import Engine
from ran_sim.link.adaptation import link_tables
from ran_sim.link.prediction import (
    AGE_STEPS,
    CHANGE_REPORTS,
    CHANGE_STEPS,
    DIFFERENCE,
    MEAN,
    MEAN_REPORTS,
    N_AGE,
    N_CHANGE,
    VARIANCE,
    init_prediction,
    remember,
)
from ran_sim.scenario import load_scenario

TABLES: Final = link_tables(51)  # the carrier of seven-sites
LOOK_MS: Final = 5.0  # between two looks at the network: none of its reports, every 10 ms, is missed


def at_speed(kmh: float) -> dict[str, object]:
    """Overrides of a scenario by which the fading of all UEs, also those in buildings, is that of one speed."""
    return {
        "mobility.speeds_kmh": [kmh],
        "mobility.speed_shares": [1.0],
        "mobility.indoor_speed_kmh": kmh,
    }


class Series(NamedTuple):
    """One run, looked at every `LOOK_MS`."""

    sinr_db: F32  # [n_look, n_ue, n_rbg]
    cqi: I32  # [n_look, n_ue, n_rbg] of the newest report
    wideband: I32  # [n_look, n_ue] of it, -1 without one
    age: F64  # [n_look, n_ue] of the newest report in periods, NaN without one
    ue: I64  # [n_look, n_ue] the UE's id, -1 for none


class Samples(NamedTuple):
    """n moments of UEs."""

    truth_db: F32  # [n, n_rbg]
    held_db: F32  # [n, n_rbg] SNR that slots use without a prediction: T10 of the CQI
    known_db: F32  # [n, ORDER, n_rbg]
    mean_db: F64  # [n]
    age: F64  # [n]
    change: F64  # [n]
    ue: I64  # [n]


def record(overrides: Mapping[str, object], seed: int, duration_s: float) -> Series:
    """A run of seven-sites in which reports are used as they are."""
    scenario = load_scenario("seven-sites").with_overrides(overrides)
    engine = Engine(scenario, seed)
    period = scenario.slots(scenario.radio.cqi_period_ms)
    looks = []
    for slot in range(0, scenario.slots(duration_s * 1e3), scenario.slots(LOOK_MS)):
        engine.run_until(slot)
        now = engine.channel()
        age = np.where(now.measured_slot >= 0, (slot - now.measured_slot) / period, np.nan)
        cqi = np.searchsorted(TABLES.cqi_t10_db, np.nan_to_num(now.report_db), side="right") - 1
        looks.append((now.sinr_db, cqi.astype(np.int32), now.wideband, age, engine.ues.id.copy()))
    return Series(*(np.stack(column) for column in zip(*looks, strict=True)))


def samples_of(
    series: Series,
    *,
    mean_reports: float = MEAN_REPORTS,
    change_reports: float = CHANGE_REPORTS,
    every: int = 3,
) -> Samples:
    """The UEs with a report at every so many looks, the first second left out."""
    n_look, n_ue, n_rbg = series.cqi.shape
    memory = init_prediction(np.zeros((0, N_AGE, 1), np.float32), 1, n_ue, n_rbg, 1)
    memory = memory._replace(mean_reports=mean_reports, change_reports=change_reports)
    take_in = bound(remember, memory, TABLES, 0, series.cqi[0, 0], 0, True)
    owner = np.full(n_ue, -1)
    found = []
    for look in range(n_look):
        known = np.isfinite(series.age[look])
        fresh = known & (series.age[look] < np.nan_to_num(series.age[look - 1], nan=np.inf))
        first = known & (series.ue[look] != owner)
        for row in np.flatnonzero(fresh | first).tolist():
            take_in(
                memory, TABLES, row, series.cqi[look, row], int(series.wideband[look, row]), bool(first[row])
            )
        owner = np.where(known, series.ue[look], -1)
        if look % every == 0 and look * LOOK_MS >= 1e3:
            u = np.flatnonzero(known)
            change = memory.memory[u, DIFFERENCE] / np.maximum(2.0 * memory.memory[u, VARIANCE], 1e-3)
            held_db = TABLES.cqi_t10_db[series.cqi[look, u]].astype(np.float32)
            rows = (
                series.sinr_db[look, u],
                held_db,
                memory.known_db[u],
                memory.memory[u, MEAN],
                series.age[look, u],
            )
            found.append((*rows, change, series.ue[look, u]))
    return Samples(*(np.concatenate(column) for column in zip(*found, strict=True)))


def together(parts: list[Samples]) -> Samples:
    """All of them, with different ids for the UEs of different runs."""
    apart = [part._replace(ue=part.ue + i * 10**9) for i, part in enumerate(parts)]
    return Samples(*(np.concatenate(column) for column in zip(*apart, strict=True)))


def deviations(samples: Samples) -> F32:
    """Of the last reports from the mean, [n, ORDER, n_rbg]."""
    return np.asarray(samples.known_db - samples.mean_db[:, None, None].astype(np.float32))


def predicted(table: F32, samples: Samples) -> F32:
    """What a table of weights predicts, [n, n_rbg]."""
    change = np.minimum(samples.change * CHANGE_STEPS + 0.5, N_CHANGE - 1).astype(int)
    age = np.minimum(samples.age * AGE_STEPS + 0.5, N_AGE - 1).astype(int)
    weighed = np.einsum("ni,nib->nb", table[change, age], deviations(samples))
    return np.asarray(weighed + samples.mean_db[:, None], np.float32)


def held(samples: Samples) -> F32:
    """The newest report as it is, [n, n_rbg]."""
    return samples.held_db


def exact_report(truth_db: F32) -> tuple[I64, I64]:
    """CQIs [n, n_rbg] and wideband CQI [n, 1] that a measurement without error reports, TS 38.214 5.2.2.1."""
    t10_db = TABLES.cqi_t10_db
    linear = 10.0 ** (truth_db.astype(np.float64) / 10.0)
    mean = np.maximum(2.0 ** np.log2(1.0 + linear).mean(axis=1, keepdims=True) - 1.0, 1e-9)
    wideband = np.searchsorted(t10_db[1:], 10.0 * np.log10(mean), side="right")
    offset = np.searchsorted(t10_db[1:], truth_db, side="right") - wideband
    return np.clip(wideband + np.clip(offset, -1, 2), 0, 15), wideband


def fresh(samples: Samples) -> F32:
    """The ceiling: reports without error, of the very moment, [n, n_rbg]; quantised like any other."""
    return np.asarray(TABLES.cqi_t10_db[exact_report(samples.truth_db)[0]], np.float32)


def error_db(samples: Samples, guess: F32) -> float:
    """Standard deviation of the error in dB inside each UE's samples: the outer loop takes away what is the same in all."""
    return _spread(samples.truth_db - guess, samples.ue)


def error_rate(samples: Samples, guess: F32) -> float:
    """The same of log2(1 + SNR), in bit/s/Hz: an error far below what any CQI reaches counts for little there."""
    truth, guessed = (np.log2(1.0 + 10.0 ** (db / 10.0)) for db in (samples.truth_db, guess))
    return _spread(truth - guessed, samples.ue)


def _spread(error: F32, ue: I64) -> float:
    error = error.astype(np.float64)
    _, of_ue = np.unique(ue, return_inverse=True)
    n = np.bincount(of_ue)
    mean = np.bincount(of_ue, error.mean(axis=1)) / n
    square = np.bincount(of_ue, (error**2).mean(axis=1))
    return float(np.sqrt(np.maximum(square - n * mean**2, 0.0).sum() / n.sum()))
