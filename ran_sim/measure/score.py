"""The score of a run, and of a part of one: what `figures` declares, computed of sessions, handovers and energy.

Packets before the end of the warm-up do not count. A session without an outcome after it does not count as a user.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ran_sim.core.counters import NAMES
from ran_sim.core.state import F64, I64
from ran_sim.energy.power import JOULE_PER_KWH
from ran_sim.engine import Engine
from ran_sim.engine.session_rows import SessionRows
from ran_sim.measure.figures import SATISFIED_SHARE, Figure
from ran_sim.measure.figures import figures as declared
from ran_sim.mobility import handover

__all__ = ("SATISFIED_SHARE", "Tally", "figures", "score")

_OUTCOMES: Final = ("packets_in_budget", "packets_late", "packets_dropped")
_FAILURES: Final = (handover.COMMANDS_LOST, handover.TARGETS_LOST, handover.PREPARATIONS_LOST)
Bools = NDArray[np.bool_]


def figures(engine: Engine) -> tuple[Figure, ...]:
    """What `score` of this engine answers, in its order, with the meaning of each entry."""
    return declared(engine.classes)


def score(engine: Engine, since: Tally | None = None) -> dict[str, float]:
    """Key figures of the run so far, warm-up removed, or of the time since an earlier tally of the same engine.

    Returns:
        The entries that `figures` declares, in its order; NaN where there was nothing to judge.
    """
    tally = Tally.of(engine)
    found = dict(_entries(engine, tally if since is None else tally.since(since)))
    return {figure.key: found[figure.key] for figure in figures(engine)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """What a score is computed of: counts from the end of the warm-up, or from an earlier tally, to `slot`."""

    slot: int
    slots: int
    sessions: SessionRows
    handovers: I64  # [len(handover.COUNTERS)], all cells
    energy_j: float  # all cells

    @classmethod
    def of(cls, engine: Engine) -> Tally:
        """The tally of a run so far."""
        return cls(
            slot=engine.slot,
            slots=max(engine.slot - engine.warmup_slot, 0),
            sessions=engine.sessions(),
            handovers=engine.handovers().sum(axis=1),
            energy_j=float(engine.energy_j().sum()),
        )

    def since(self, earlier: Tally) -> Tally:
        """The time from `earlier` to this one; a session counts with what it did in it."""
        rows, old = self.sessions.copy(), np.sort(earlier.sessions, order="ue_id")
        place = np.searchsorted(old["ue_id"], rows["ue_id"])
        known = place < len(old)
        known[known] = old["ue_id"][place[known]] == rows["ue_id"][known]
        for name in NAMES:
            rows[name][known] -= old[name][place[known]]
        return replace(
            self,
            slots=self.slots - earlier.slots,
            sessions=rows,
            handovers=self.handovers - earlier.handovers,
            energy_j=self.energy_j - earlier.energy_j,
        )


def _entries(engine: Engine, tally: Tally) -> Iterator[tuple[str, float]]:
    """All entries that any network has, with those of its classes and slices."""
    rows, slot_ms = tally.sessions, engine.slot_ns / 1e6
    measured_s = tally.slots * slot_ms / 1e3
    outcomes = sum(rows[name] for name in _OUTCOMES)
    bound = np.array([c.delay_bound for c in engine.classes])[rows["traffic_class"]]
    judged = bound & (outcomes > 0)
    happy = judged & (rows["packets_in_budget"] >= SATISFIED_SHARE * outcomes)
    promised_mbps = np.array([c.promised_mbps or np.nan for c in engine.classes])[rows["traffic_class"]]
    best_effort = ~bound & np.isnan(promised_mbps)
    served = ~np.isnan(promised_mbps) & (rows["active_slots"] > 0)
    below = served & (8e-3 * rows["delivered_bytes"] < promised_mbps * rows["active_slots"] * slot_ms)
    yield "users", float(judged.sum())
    yield "satisfied", float(happy.sum())
    yield "satisfied_pct", _percent(happy, judged)
    for i, traffic_class in enumerate(engine.classes):
        of_class = rows["traffic_class"] == i
        yield f"users.{traffic_class.name}", float((judged & of_class).sum())
        yield f"satisfied_pct.{traffic_class.name}", _percent(happy & of_class, judged & of_class)
        yield f"below_promise_pct.{traffic_class.name}", _percent(below & of_class, served & of_class)
        yield f"delay_ms.{traffic_class.name}", _mean_delay_ms(rows[of_class], slot_ms)
        yield f"delay_p95_ms.{traffic_class.name}", _percentile(_delays_ms(rows[of_class], slot_ms), 95)
    slices = np.array([c.slice for c in engine.classes])[rows["traffic_class"]]
    for name in engine.slice_names:
        yield f"delay_ms.slice.{name}", _mean_delay_ms(rows[slices == name], slot_ms)
    yield "best_effort_mbps", _mbps(rows["delivered_bytes"][best_effort], measured_s)
    yield "user_p5_mbps", _percentile(_throughputs_mbps(rows[best_effort], slot_ms), 5)
    yield "delivered_mbps", _mbps(rows["delivered_bytes"], measured_s)
    yield "prb_use_pct", 100 * _ratio(rows["prb_used"].sum(), engine.n_prb * engine.n_cell * tally.slots)
    ue_min = float(rows["connected_slots"].sum()) * slot_ms / 60e3
    yield "handovers_per_ue_min", _ratio(tally.handovers[handover.SUCCESSES], ue_min)
    yield "handover_failures_per_ue_min", _ratio(tally.handovers[[*_FAILURES]].sum(), ue_min)
    yield "ping_pongs_per_ue_min", _ratio(tally.handovers[handover.PING_PONGS], ue_min)
    yield "link_failures_per_ue_min", _ratio(tally.handovers[handover.LINK_FAILURES], ue_min)
    yield "outage_pct", 100 * _ratio(rows["lost_slots"].sum(), rows["connected_slots"].sum())
    yield "energy_kwh", tally.energy_j / JOULE_PER_KWH
    yield "bits_per_joule", _ratio(8.0 * rows["delivered_bytes"].sum(), tally.energy_j)
    due, broken = judged | served, (judged & ~happy) | below
    yield "promised_users", float(due.sum())
    yield "violations", float(broken.sum())
    yield "violations_pct", _percent(broken, due)
    stalled, playing = rows["stalled_slots"], rows["playing_slots"]
    played = stalled + playing > 0
    yield "streams", float(played.sum())
    yield "stall_pct", 100 * _ratio(stalled.sum(), (stalled + playing).sum())
    yield "stalled_streams_pct", _percent(played & (rows["stalls"] > 0), played)


def _mean_delay_ms(rows: SessionRows, slot_ms: float) -> float:
    return slot_ms * _ratio(rows["sdu_delay_slots"].sum(), rows["sdus_delivered"].sum())


def _delays_ms(rows: SessionRows, slot_ms: float) -> F64:
    """Mean of each session's SDUs, of those that got some."""
    served = rows[rows["sdus_delivered"] > 0]
    return np.asarray(slot_ms * served["sdu_delay_slots"] / served["sdus_delivered"], np.float64)


def _throughputs_mbps(rows: SessionRows, slot_ms: float) -> F64:
    """Of each session over the time in which data waited or was under way, of those that had such a time."""
    active = rows[rows["active_slots"] > 0]
    return np.asarray(8e-3 * active["delivered_bytes"] / (active["active_slots"] * slot_ms), np.float64)


def _percentile(values: F64, percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else float("nan")


def _percent(part: Bools, whole: Bools) -> float:
    return 100.0 * _ratio(part.sum(), whole.sum())


def _mbps(volume_bytes: NDArray[np.int64], measured_s: float) -> float:
    return _ratio(8 * volume_bytes.sum() / 1e6, measured_s)


def _ratio(numerator: Any, denominator: Any) -> float:
    return float(numerator) / float(denominator) if denominator else float("nan")
