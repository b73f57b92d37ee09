"""Signs of trouble in a cell, of each second: numbers that are small while all is well. NumPy in, NumPy out; NaN is "no value".

Each stands for one thing that goes wrong, and is relative to the cell's own past, to what its UEs hear of other cells, or to another
counter that should say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop import Report

F32 = NDArray[np.float32]
Ids = NDArray[np.int32]

PERIOD_MS: Final = 1000
OF_CELLS: Final = (
    "RRC.ConnMean",
    "RRU.PrbTotDl",
    "RRU.PrbUsedDl",
    "RRU.PrbAvailDl",
    "DRB.RlcSduTransmittedVolumeDL",
    "DRB.PdcpSduVolumeDL",
    "X.DRB.BufferedVolDl",
)
OF_UES: Final = ("RSRP", "SINR")
VOLUMES: Final = OF_CELLS[4:]  # so fine that two seconds with traffic never have the same

NAMES: Final = (
    "starved",  # ln of the data that waited or came, over the data that went out
    "unused",  # share of the PRBs that stayed free while data waited
    "faded_db",  # RSRP of the cell, less than it was, at UEs that hear no other change
    "moved_db",  # mean size of these changes, whatever their sign
    "noise_db",  # RSRP over SINR at the UEs of the site: noise and all other cells, more than it was
    "prb_mismatch",  # |ln| of the PRBs by two counters
    "ue_mismatch",  # |ln| of the connected UEs by the counter and by their measurement reports
    "volume_mismatch",  # |ln| of the volume that went out, and of that which came and is no longer there
    "efficiency",  # |ln| of volume per PRB over what it was
    "repeats",  # seconds for which a volume has been the same to the bit
    "missing",  # measurements without a value
)
KINDS: Final = ("sleeping-cell", "degraded-coverage", "interference", "faulty-reports")  # names of the alarms
OF_KIND: Final = ((0, 1), (2, 3), (4,), (5, 6, 7, 8, 9, 10))  # the signs of each kind
PAST_S: Final = 15.0  # in which the past of a counter loses 63 % of its weight
HEARD_S: Final = 3.0  # likewise, of what UEs heard: they move
FEWEST: Final = 3  # UEs that say something of a cell's RSRP
MOST_DB: Final = 6.0  # to which changes are cut: one UE that enters a building is no fault
MOST_NOISE_DB: Final = 10.0  # likewise, of noise: a transmitter may stand beside a UE
COMMON_DB: Final = 3.0  # likewise, of changes that a UE sees in all cells
WAITS_KBIT: Final = 100.0
RSRP_DBM: Final = (-156.0, -31.0)  # what UEs report, TS 38.133 10.1.6; all else is no value
MOST_SINR_DB: Final = 40.0  # likewise, 10.1.16
SERVABLE_DB: Final = -6.0  # SINR of a UE to which a cell can send


class Heard(NamedTuple):
    """What UEs of a node measure, a row per UE and cell; shape [n] each."""

    ue: Ids
    cell: Ids  # the serving one
    measured: Ids  # the cell that the row is about
    rsrp_dbm: F32
    sinr_db: F32

    def where(self, chosen: NDArray[np.intp]) -> Heard:
        """Some of the rows."""
        ue, cell, measured, rsrp_dbm, sinr_db = self
        return Heard(ue[chosen], cell[chosen], measured[chosen], rsrp_dbm[chosen], sinr_db[chosen])


def heard(report: Report) -> Heard:
    """The rows of a report of level `ue_cell`."""
    return Heard(report.ue, report.cell, report.measured_cell, report["RSRP"], report["SINR"])


class Ears:
    """What the UEs of a node heard, pair by pair of UE and cell; it remembers the pairs of the last report alone."""

    def __init__(self) -> None:
        self._pairs, self._rsrp_dbm = np.empty(0, np.int64), np.empty(0, np.float32)
        self._served, self._noise_dbm = np.empty(0, np.int64), np.empty(0, np.float32)
        self._ues: Mapping[int, int] = {}

    def listen(self, heard: Heard, cells: Ids) -> dict[str, F32]:
        """The signs of `cells` in what their UEs hear, and how many each serves and could serve, by name; shape [n_cell] each."""
        keys = heard.ue.astype(np.int64) << 32 | heard.measured.astype(np.int64) & 0xFFFFFFFF
        order = np.argsort(keys, kind="stable")  # quicker where they are nearly sorted, as a node sends them
        known = (heard.rsrp_dbm >= RSRP_DBM[0]) & (heard.rsrp_dbm <= RSRP_DBM[1])
        order = order[known[order]]
        heard, pairs = heard.where(order), keys[order]
        change_db, now_dbm = _change(self._pairs, self._rsrp_dbm, pairs, heard.rsrp_dbm)
        of_ue = np.cumsum(np.diff(heard.ue, prepend=heard.ue[:1]) != 0)
        common_db = _mean(of_ue, np.clip(change_db, -COMMON_DB, COMMON_DB), of_ue.max(initial=-1) + 1)
        own_db = np.clip(change_db, -MOST_DB, MOST_DB) - common_db[of_ue]
        at = _places(cells, heard.measured)
        faded_db, moved_db, n_heard = _sums(at, own_db, len(cells))

        own = (heard.cell == heard.measured) & (np.abs(heard.sinr_db) <= MOST_SINR_DB)
        noise_dbm = heard.rsrp_dbm[own] - heard.sinr_db[own]
        noisier_db, base_dbm = _change(self._served, self._noise_dbm, pairs[own], noise_dbm)
        at_own = _places(cells, heard.cell[own])
        _, _, n_served = _sums(at_own, noisier_db, len(cells))
        cut_db = np.clip(noisier_db, -MOST_NOISE_DB, MOST_NOISE_DB)
        noise_db = cut_db.sum() / np.sqrt(len(cut_db) + 1)

        self._pairs, self._rsrp_dbm = pairs, now_dbm
        self._served, self._noise_dbm = pairs[own], base_dbm
        few = n_heard < FEWEST
        return {
            "faded_db": np.where(few, np.nan, -faded_db).astype(np.float32),
            "moved_db": np.where(few, np.nan, moved_db).astype(np.float32),
            "noise_db": np.full(len(cells), noise_db, np.float32),
            "n_ue": n_served.astype(np.float32),
            "n_servable": np.bincount(
                at_own[(at_own >= 0) & (heard.sinr_db[own] > SERVABLE_DB)], minlength=len(cells)
            ).astype(np.float32),
        }


def start() -> dict[str, Any]:
    """What is remembered of the counters of a cell that has told nothing yet, by name."""
    unknown = np.full(len(VOLUMES), np.nan, np.float32)
    return {"volumes": unknown, "same": np.zeros(len(VOLUMES), np.float32), "ues": np.nan, "per_prb": np.nan}


def look(
    told: Mapping[str, F32], heard: Mapping[str, F32], before: Mapping[str, F32]
) -> tuple[F32, dict[str, F32]]:
    """The signs of a second, shape [n_cell, len(NAMES)], and what is to be remembered.

    Args:
        told: Measurements of the cells.
        heard: From `Ears.listen`; empty if no UE reports came.
        before: What was remembered, as `start` has it.
    """
    nothing = np.full(len(told[OF_CELLS[0]]), np.nan, np.float32)
    columns = np.stack([told[name] for name in OF_CELLS])
    columns = np.where(np.isfinite(columns), np.maximum(columns, 0.0), np.nan)
    ues, prb_pct, used, available, sent, came, waits = columns
    volumes = np.stack((sent, came, waits), axis=1).astype(np.float32)
    waited = before["volumes"][:, 2]
    same = np.where((volumes == before["volumes"]) & (volumes > 0), before["same"] + 1, 0).astype(np.float32)
    n_ue = heard.get("n_ue", nothing)
    n_mean = np.where(np.isnan(before["ues"]), n_ue, (n_ue + before["ues"]) / 2)
    per_prb = np.log((sent + 50.0) / (used + 1.0))
    past = np.where(np.isnan(before["per_prb"]), per_prb, before["per_prb"])
    has_data = (waited > WAITS_KBIT) & (waits > WAITS_KBIT)
    # A cell whose data is for UEs out of reach sends nothing, and is well.
    servable = heard.get("n_servable", np.ones_like(nothing))
    reach = servable / (servable + 1.0)
    found = {
        "starved": reach * np.log((waited + came + 1.0) / (sent + 1.0)),
        "unused": np.where(np.isnan(waited + waits), np.nan, reach * has_data * (1.0 - np.minimum(prb_pct, 100.0) / 100.0)),
        "prb_mismatch": np.abs(np.log((prb_pct + 3.0) / (100.0 * used / np.maximum(available, 1.0) + 3.0))),
        "ue_mismatch": np.abs(np.log((ues + 1.0) / (n_mean + 1.0))),
        "volume_mismatch": np.abs(np.log((sent + 500.0) / (np.maximum(waited + came - waits, 0.0) + 500.0))),
        "efficiency": np.abs(per_prb - past),
        "repeats": same.max(axis=1),
        "missing": np.isnan(columns).sum(axis=0),
        **heard,
    }  # fmt: skip
    signs = np.stack([found.get(name, nothing) for name in NAMES], axis=1).astype(np.float32)
    signs[np.isnan(available)] = np.nan  # a cell that sleeps to save energy is not ill
    gain = -np.expm1(-PERIOD_MS / 1e3 / PAST_S)
    moved = np.where(np.isnan(per_prb), before["per_prb"], past + gain * (per_prb - past))
    after = {"volumes": volumes, "same": same, "ues": n_ue, "per_prb": moved.astype(np.float32)}
    return signs, after


def _change(keys: NDArray[np.int64], past: F32, now_keys: NDArray[np.int64], now: F32) -> tuple[F32, F32]:
    """How far values are from their past, 0 for a new key, and the past with them; shape [n] each. `keys` are sorted."""
    if not len(keys):
        return np.zeros(len(now), np.float32), now
    place = np.searchsorted(keys, now_keys).clip(max=len(keys) - 1)
    before = np.where(keys[place] == now_keys, past[place], now)
    change = now - before
    return change, (before - np.float32(np.expm1(-PERIOD_MS / 1e3 / HEARD_S)) * change).astype(np.float32)


def _places(cells: Ids, of: Ids) -> NDArray[np.intp]:
    """Row in `cells` of each, -1 where it is not there."""
    if not len(cells):
        return np.full(len(of), -1)
    first = cells.min()
    rows = np.full(
        cells.max() - first + 2, -1
    )  # a node numbers its cells densely; the last place is for all others
    rows[cells - first] = np.arange(len(cells))
    place: NDArray[np.intp] = rows[np.clip(of - first, -1, len(rows) - 1)]
    return place


def _mean(at: NDArray[np.intp], values: F32, n: int) -> NDArray[np.float64]:
    return np.bincount(at, values, n) / np.maximum(np.bincount(at, minlength=n), 1)


def _sums(
    at: NDArray[np.intp], values: NDArray[np.floating], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Sum over the root of the number, mean size, and number by place, one value more taken as 0; places of -1 are left out."""
    here = at >= 0
    at, values = at[here], values[here]
    number = np.bincount(at, minlength=n)
    total, size = np.bincount(at, values, n), np.bincount(at, np.abs(values), n)
    return total / np.sqrt(number + 1), size / (number + 1), number
