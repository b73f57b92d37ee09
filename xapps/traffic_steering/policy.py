"""The decisions of traffic_steering: NumPy in, NumPy out. A NaN is "no value": such a cell gets no offset, such a UE stays."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]
FASTEST_DB = 2.0  # that an offset moves with one report, so that no report can turn a network over at once
FINEST_DB = 6.0  # TS 38.331 6.3.2, Q-OffsetRange: whole dB up to here, even ones beyond


class Offsets(NamedTuple):
    """Settings of the rule; see the manifest."""

    gain: float
    most_db: float
    step_db: float


class Moves(NamedTuple):
    """Settings of single handovers; see the manifest."""

    worth_db: float
    near_db: float


class Heard(NamedTuple):
    """One row per UE and cell that it measures, shape [n] each; the serving cell is one of them."""

    ue: I32
    cell: I32  # serving
    measured_cell: I32
    rsrp_dbm: F32
    sinr_db: F32
    offset_db: F32  # of the measured cell, in force
    active_ues: F32  # with data waiting in the measured cell
    may_move: Bools  # the UE


def crowding_db(measure: str, active_ues: F32, load_pct: F32) -> F32:
    """How crowded cells are, shape [n]: the share of a cell that one more UE would get falls by as many dB, or 10 dB are a full cell."""
    if measure == "prbs":
        return load_pct / np.float32(10)
    return np.asarray(10.0 * np.log10(1.0 + active_ues), np.float32)


def smoothed(before: F32, now: F32, period_s: float, memory_s: float) -> F32:
    """The exponential mean, shape [n]. It begins with the first value, and has none where `now` has none."""
    share = np.float32(1.0 - np.exp(-period_s / memory_s) if memory_s > 0 else 1.0)
    return np.where(np.isnan(before), now, before + share * (now - before))


def offsets_db(crowding: F32, median_db: float, held_db: F32, rule: Offsets) -> F32:
    """Offsets of cells in event A3, shape [n]: the difference of two cells' offsets is proportional to that of their crowding.

    Args:
        crowding: In dB.
        median_db: Of all cells of the network. One cell with a wrong report does not move it.
        held_db: Offsets that were asked for before.
    """
    wish = np.clip(-rule.gain * (crowding - median_db), -rule.most_db, rule.most_db)
    wish = np.where(np.abs(wish - held_db) < rule.step_db, held_db, wish)
    wish = np.clip(wish, held_db - FASTEST_DB, held_db + FASTEST_DB)
    even = np.float32(2) * np.rint(wish / np.float32(2))
    return np.where(np.abs(wish) <= FINEST_DB, np.rint(wish), even).astype(np.float32)


def moves(heard: Heard, allowed: AbstractSet[tuple[int, int]], rule: Moves) -> tuple[I32, I32]:
    """UEs and their target cells, those that win most first: one out of each cell and one into each, until reports show the effect.

    A UE's rate is taken as the spectral efficiency of its SINR, shared by the UEs with data: log2(1 + SINR) / n before, and
    log2(1 + SINR) / (n + 1) in the target.
    """
    own = _serving_rows(heard)
    biased_dbm = heard.rsrp_dbm + heard.offset_db
    efficiency_db = 10.0 * np.log10(np.log2(1.0 + 10.0 ** (heard.sinr_db / 10.0)))
    there_db = efficiency_db - 10.0 * np.log10(1.0 + heard.active_ues)
    here_db = efficiency_db - 10.0 * np.log10(np.maximum(heard.active_ues, 1.0))
    won_db = np.where(own < 0, -np.inf, there_db - here_db[own])
    is_near = biased_dbm >= biased_dbm[own] - rule.near_db
    wins = heard.may_move & is_near & (won_db >= rule.worth_db) & (heard.measured_cell != heard.cell)
    chosen: dict[int, int] = {}  # serving cell -> row
    taken: set[int] = set()
    for row in np.flatnonzero(wins)[np.argsort(-won_db[wins], kind="stable")].tolist():
        cell, target = int(heard.cell[row]), int(heard.measured_cell[row])
        if cell not in chosen and target not in taken and (cell, target) in allowed:
            chosen[cell] = row
            taken.add(target)
    rows = list(chosen.values())
    return heard.ue[rows], heard.measured_cell[rows]


def _serving_rows(heard: Heard) -> Rows:
    """Of each row the row of its UE's serving cell, -1 where the UE does not report it."""
    serving = np.flatnonzero(heard.measured_cell == heard.cell)
    rows = dict(zip(heard.ue[serving].tolist(), serving.tolist(), strict=True))
    return np.array([rows.get(ue, -1) for ue in heard.ue.tolist()], np.intp)
