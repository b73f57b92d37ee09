"""The score of a run: satisfied delay-bound sessions, streams that did not stall, and best effort.

A session is satisfied when at least 99 % of its packets with an outcome arrived inside the radio's share of the delay
budget of their 5QI (TS 23.501 Table 5.7.4-1); late and dropped packets both count against it. (TR 38.838
judges an XR user by more than 99 %.) A stream's stall ratio is the time it stood still over the time since it first played.
Packets before the end of the warm-up do not count, and a session without an outcome
after it is no user.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ran_sim.energy.power import JOULE_PER_KWH
from ran_sim.engine import Engine
from ran_sim.measure.figures import SATISFIED_SHARE, Figure
from ran_sim.measure.figures import figures as declared

__all__ = ("SATISFIED_SHARE", "figures", "score")

_OUTCOMES = ("packets_in_budget", "packets_late", "packets_dropped")


def figures(engine: Engine) -> tuple[Figure, ...]:
    """What `score` of this engine answers, in its order, with the meaning of each entry."""
    return declared(engine.classes)


def score(engine: Engine) -> dict[str, float]:
    """Key figures of the run so far, warm-up removed.

    Returns:
        `users` and `satisfied` (delay-bound sessions), `satisfied_pct`, the same per traffic class as
        `satisfied_pct.<class>` and `users.<class>`, `best_effort_mbps` (delivered, whole network), `delivered_mbps`
        (all classes), `prb_use_pct`, `energy_kwh` (all cells) and `bits_per_joule` (delivered); NaN where there was nothing
        to judge. With classes of streams also `streams` (those that have played), `stall_pct` (stalled time / stalled and
        playing time of all of them) and `stalled_streams_pct` (those that stalled at all).
    """
    sessions = engine.sessions()
    measured_s = max(engine.slot - engine.warmup_slot, 0) * engine.slot_ns / 1e9
    outcomes = sum(sessions[name] for name in _OUTCOMES)
    bound = np.array([c.delay_bound for c in engine.classes])[sessions["traffic_class"]]
    judged = bound & (outcomes > 0)
    happy = judged & (sessions["packets_in_budget"] >= SATISFIED_SHARE * outcomes)
    result = {
        "users": float(judged.sum()),
        "satisfied": float(happy.sum()),
        "satisfied_pct": _percent(happy, judged),
    }
    for row, traffic_class in enumerate(engine.classes):
        if traffic_class.delay_bound:
            of_class = judged & (sessions["traffic_class"] == row)
            result[f"users.{traffic_class.name}"] = float(of_class.sum())
            result[f"satisfied_pct.{traffic_class.name}"] = _percent(happy & of_class, of_class)
    result["best_effort_mbps"] = _mbps(sessions["delivered_bytes"][~bound], measured_s)
    result["delivered_mbps"] = _mbps(sessions["delivered_bytes"], measured_s)
    available = engine.n_prb * engine.n_cell * measured_s * 1e9 / engine.slot_ns
    result["prb_use_pct"] = (
        100.0 * float(sessions["prb_used"].sum()) / available if available else float("nan")
    )
    energy_j = float(engine.energy_j().sum())
    result["energy_kwh"] = energy_j / JOULE_PER_KWH
    delivered_bits = 8.0 * float(sessions["delivered_bytes"].sum())
    result["bits_per_joule"] = delivered_bits / energy_j if energy_j else float("nan")
    if any(c.model == "streaming" for c in engine.classes):
        result |= _streams(sessions)
    return result


def _streams(sessions: NDArray[Any]) -> dict[str, float]:
    stalled, playing = sessions["stalled_slots"], sessions["playing_slots"]
    played = stalled + playing > 0
    return {
        "streams": float(played.sum()),
        "stall_pct": 100.0 * float(stalled.sum()) / float((stalled + playing).sum())
        if played.any()
        else float("nan"),
        "stalled_streams_pct": _percent(played & (sessions["stalls"] > 0), played),
    }


def _percent(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return 100.0 * float(part.sum()) / float(whole.sum()) if whole.any() else float("nan")


def _mbps(volume_bytes: NDArray[np.int64], measured_s: float) -> float:
    return float(volume_bytes.sum()) * 8 / 1e6 / measured_s if measured_s else float("nan")
