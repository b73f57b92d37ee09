"""The decisions of slice_tuner: NumPy in, NumPy out. Rows are the cells of a node, columns its slices; a NaN is "no value"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
TYPICAL_KBPS = 400.0  # of a PRB of 30 kHz at 1.1 bit/s/Hz, where nothing was sent yet
# No PRB carries more: 12 subcarriers of 60 kHz, 7.4 bit (TS 38.214 Table 5.1.3.1-2), 8 layers.
MOST_KBPS = 12 * 60.0 * 7.4063 * 8


class Promises(NamedTuple):
    """What was promised to each slice, shape [n_slice]; no value where nothing was."""

    delay_ms: F32  # from arrival to decoding, mean
    ue_kbps: F32  # of a UE while data waits for it

    @property
    def any(self) -> Bools:
        """Slices to which something was promised."""
        return ~(np.isnan(self.delay_ms) & np.isnan(self.ue_kbps))


class Seen(NamedTuple):
    """One period, shape [n_cell, n_slice]."""

    offered_kbps: F32
    sent_kbps: F32
    waiting_kbit: F32
    active_ues: F32  # with data, mean
    prbs: F32  # used in a slot, mean
    delay_ms: F32
    ue_kbps: F32
    cell_prbs: F32  # available in a slot, of the whole cell
    max_pct: F32
    dedicated_pct: F32

    @property
    def sound(self) -> Bools:
        """Cells whose values can be true, shape [n_cell]; a PRB more may be used than is available, as both are rounded."""
        rates = self.offered_kbps, self.sent_kbps, self.waiting_kbit
        possible = [(rate >= 0) & (rate <= MOST_KBPS * self.cell_prbs) for rate in rates]
        possible += [
            (self.prbs >= 0) & (self.prbs <= self.cell_prbs + 1),
            (self.active_ues >= 0) & (self.active_ues <= 1e4),
            self.cell_prbs > 0,
            self.dedicated_pct <= self.max_pct,
        ]
        return np.asarray(np.logical_and.reduce(possible).all(axis=1))


class Known(NamedTuple):
    """What is remembered of each slice in each cell, shape [n_cell, n_slice]."""

    offered_kbps: F32
    sent_kbps: F32
    waiting_kbit: F32
    prbs: F32
    active_ues: F32  # the most of late
    share_pct: F32  # of the controller with integral action

    @classmethod
    def nothing(cls, n_cell: int, n_slice: int) -> Known:
        """Before the first report."""
        return cls(*(np.zeros((n_cell, n_slice), np.float32) for _ in cls._fields))

    def brought_to(self, seen: Seen, kept: float) -> Known:
        """With one period more; `kept` is the weight of all before, 0 to 1. Cells that are not sound stay as they were."""
        now = self._replace(active_ues=np.maximum(kept * self.active_ues, seen.active_ues))
        for name in ("offered_kbps", "sent_kbps", "waiting_kbit", "prbs"):
            old, new = getattr(self, name), getattr(seen, name)
            now = now._replace(**{name: kept * old + (1 - kept) * new})
        sound = seen.sound[:, None]
        return Known(*(np.where(sound, new, old) for new, old in zip(now, self, strict=True)))


class Demand(NamedTuple):
    """Settings of the rule in proportion to demand; see the manifest."""

    floor_pct: float
    best_effort: float


class Backlog(NamedTuple):
    """Settings of the rule by what waits; see the manifest."""

    floor_pct: float
    total_pct: float
    power: float
    delay_weight: float


class Integral(NamedTuple):
    """Settings of the controller with integral action; see the manifest."""

    floor_pct: float
    gain_pct_per_s: float
    release: float
    aim: float


class Needs(NamedTuple):
    """Settings of the searched policy; see the manifest."""

    floor_pct: float
    delay_margin: float
    clearing: float
    ue_margin: float
    spare: float
    triage: float


def by_demand(known: Known, promises: Promises, rule: Demand) -> F32:
    """Wanted minima in percent: in proportion to the PRBs that slices need for what they are offered, `floor_pct` at least."""
    need = known.offered_kbps / _kbps_of_a_prb(known)
    need *= np.where(promises.any, 1.0, rule.best_effort)
    return np.asarray(np.maximum(rule.floor_pct, _shares(need)) * promises.any, np.float32)


def by_backlog(known: Known, promises: Promises, rule: Backlog) -> F32:
    """Wanted minima in percent: `total_pct` in proportion to a power of what waits, which a promised delay gives another weight."""
    waiting = np.where(np.isnan(promises.delay_ms), 1.0, rule.delay_weight) * known.waiting_kbit
    share = rule.total_pct / 100.0 * _shares(waiting**rule.power * promises.any)
    return np.asarray(np.maximum(rule.floor_pct, share) * promises.any, np.float32)


def integrated(known: Known, seen: Seen, promises: Promises, rule: Integral, period_s: float) -> Known:
    """What is known with `share_pct`, the wanted minima, moved by how far each slice is from its promise.

    The distance is the binary logarithm of measured over promised delay, or of promised over measured throughput, within -1
    and 1; `aim` tightens the promise. A slice without a measurement is at 1 if data waits, else at -1. `release` slows the way down.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        delay = np.log2(seen.delay_ms / (rule.aim * promises.delay_ms))
        throughput = np.log2(promises.ue_kbps / (rule.aim * seen.ue_kbps))
    off = np.where(np.isnan(promises.delay_ms), throughput, delay)
    off = np.where(np.isnan(off), np.where(seen.waiting_kbit > 0, 1.0, -1.0), np.clip(off, -1.0, 1.0))
    step = rule.gain_pct_per_s * period_s * np.where(off < 0, rule.release * off, off)
    share_pct = np.clip(known.share_pct + step, rule.floor_pct, 100.0).astype(np.float32) * promises.any
    return known._replace(share_pct=share_pct)


def by_needs(known: Known, seen: Seen, promises: Promises, rule: Needs) -> F32:
    """Wanted minima in percent: the PRBs with which a slice would just be given what was promised, and a margin.

    With a promised delay these carry what is offered, and what waits within this delay; with a promised throughput, each
    active UE at it.
    """
    to_clear = rule.clearing * known.waiting_kbit / (promises.delay_ms / 1e3)
    in_time = rule.delay_margin * known.offered_kbps + to_clear
    fast = rule.ue_margin * known.active_ues * promises.ue_kbps
    kbps = np.where(np.isnan(promises.delay_ms), fast, in_time)
    need_pct = 100.0 * kbps / (_kbps_of_a_prb(known) * seen.cell_prbs)
    return np.asarray(np.where(promises.any, rule.floor_pct + need_pct, 0.0), np.float32)


def minima(
    wanted_pct: F32, low_pct: F32, high_pct: F32, room_pct: float, *, spare: float = 0.0, triage: float = 0.0
) -> F32:
    """The minima of slices that want `wanted_pct`, within bounds and, of a cell, within `room_pct` in all.

    Args:
        wanted_pct: Shape [n_cell, n_slice].
        low_pct: Dedicated shares, likewise; where these alone exceed the room, they are the minima.
        high_pct: Maximal shares, likewise.
        room_pct: For all of these slices together.
        spare: How much of the room that nobody wants is handed out as well, in proportion; 0 to 1. What idles is lent anyway.
        triage: Where there is too little room: 0 cuts all in proportion, 1 gives the slices that want least all that
            they want and the others what is left.
    """
    extra = np.clip(wanted_pct, low_pct, high_pct) - low_pct
    room = np.maximum(room_pct - low_pct.sum(axis=1, keepdims=True), 0.0)
    total = extra.sum(axis=1, keepdims=True)
    in_proportion = extra * (room / np.maximum(total, 1e-6))
    left = np.maximum(room - total, 0.0)
    if triage > 0.0:
        in_proportion = triage * _least_first(extra, room) + (1.0 - triage) * in_proportion
    fitted = np.where(total > room, in_proportion, extra + spare * left * extra / np.maximum(total, 1e-6))
    return np.asarray(np.minimum(low_pct + fitted, high_pct), np.float32)


def _least_first(extra: F32, room: F32) -> F32:
    """Each all that it wants, the one that wants least first, until the room is full."""
    order = np.argsort(extra, axis=1, kind="stable")
    sorted_ = np.take_along_axis(extra, order, axis=1)
    before = np.cumsum(sorted_, axis=1) - sorted_
    given = np.zeros_like(extra)
    np.put_along_axis(given, order, np.clip(room - before, 0.0, sorted_).astype(extra.dtype), axis=1)
    return given


def _kbps_of_a_prb(known: Known) -> F32:
    """What a PRB carries of each slice; of slices that had next to none, what it carries in the whole cell."""
    cell_prbs = known.prbs.sum(axis=1, keepdims=True)
    of_cell = np.where(
        cell_prbs > 0.5, known.sent_kbps.sum(axis=1, keepdims=True) / np.maximum(cell_prbs, 0.5), TYPICAL_KBPS
    )
    own = np.where(known.prbs > 0.5, known.sent_kbps / np.maximum(known.prbs, 0.5), of_cell)
    return np.asarray(np.maximum(own, 0.05 * TYPICAL_KBPS), np.float32)


def _shares(amount: F32) -> F32:
    """Each one's share of its cell's amount, in percent; 0 where there is none."""
    return np.asarray(100.0 * amount / np.maximum(amount.sum(axis=1, keepdims=True), 1e-6), np.float32)
