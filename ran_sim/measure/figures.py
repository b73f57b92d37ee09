"""The meaning of every entry of a score: label, unit, better direction, definition with its clause.

Tables, claims and pages read these declarations; `score` computes what they define.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from ran_sim.engine.engine import TrafficClass

__all__ = ("SATISFIED_SHARE", "Figure", "figures")

SATISFIED_SHARE: Final = 0.99
_PER_CENT: Final = 100 * SATISFIED_SHARE


class Figure(NamedTuple):
    """One entry of a score."""

    key: str
    label: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    digits: int
    definition: str


_USERS: Final = Figure(
    "users", "delay-bound users", "UE", "neither", 1,
    "Sessions of a class with a delay budget of which a packet had an outcome after the warm-up.",
)  # fmt: skip
_SATISFIED: Final = (
    f"at least {_PER_CENT:g} % of the packets with an outcome came within the radio's share of the delay budget of their 5QI "
    "(TS 23.501 Table 5.7.4-1); late and dropped ones count against it"
)
_SATISFIED_PCT: Final = Figure(
    "satisfied_pct", "satisfied share of delay-bound users", "%", "higher", 1,
    f"Share of the delay-bound users of which {_SATISFIED}. TR 38.838 judges an XR user by more than 99 %.",
)  # fmt: skip
_HEAD: Final = (
    _USERS,
    Figure(
        "satisfied", f"satisfied users (>= {_PER_CENT:g} % of packets in budget)", "UE", "higher", 1,
        f"Delay-bound users of which {_SATISFIED}.",
    ),
    _SATISFIED_PCT,
)  # fmt: skip
_SDU_DELAY: Final = (
    "from its arrival at RLC to the end of the slot in which the UE decoded its last part: what TS 28.552 5.1.3.3.3 and "
    "5.1.1.1.1 count, added up. SDUs that were dropped or lost do not count, so a queue that drops its late SDUs looks better"
)
_DELAY: Final = Figure(
    "delay_ms", "mean delay", "ms", "lower", 2, f"Mean over SDUs of the time {_SDU_DELAY}."
)  # fmt: skip
_DELAY_P95: Final = Figure(
    "delay_p95_ms", "95th percentile of users' mean delays", "ms", "lower", 2,
    f"95th percentile over sessions of a session's mean over its SDUs of the time {_SDU_DELAY}. It is about users, and no "
    "percentile over packets.",
)  # fmt: skip
_BEST_EFFORT: Final = "classes with neither a delay budget nor a promised throughput"
_THROUGHPUT: Final = "the bits decoded, over the time in which data waited or was under way"
_BELOW_PROMISE_PCT: Final = Figure(
    "below_promise_pct", "users below the promised throughput", "%", "lower", 1,
    f"Share of the sessions with data that got less than the scenario's `promised_mbps` of {_THROUGHPUT}.",
)  # fmt: skip
_TAIL: Final = (
    Figure(
        "best_effort_mbps", "best-effort throughput, whole network", "Mb/s", "higher", 1,
        f"Bits that UEs of {_BEST_EFFORT} decoded, over the time after the warm-up.",
    ),
    Figure(
        "user_p5_mbps", "5th percentile of best-effort users' throughput", "Mb/s", "higher", 2,
        f"5th percentile over sessions of {_BEST_EFFORT} of {_THROUGHPUT}.",
    ),
    Figure(
        "delivered_mbps", "throughput of all classes, whole network", "Mb/s", "higher", 1,
        "Bits that UEs decoded, over the time after the warm-up.",
    ),
    Figure(
        "prb_use_pct", "PRBs in use", "%", "neither", 1,
        "PRBs that carried data, retransmissions included, of all PRBs of all cells, as TS 28.552 5.1.1.2.1 counts them.",
    ),
    Figure(
        "handovers_per_ue_min", "handovers", "/UE/min", "neither", 3,
        "Handovers that reached their target, over the time that UEs were in RRC_CONNECTED.",
    ),
    Figure(
        "handover_failures_per_ue_min", "handover failures", "/UE/min", "lower", 3,
        "Handovers whose command was lost because the link was failing (state 2 of TR 36.839), or whose target was lost (state 3), "
        "over the time that UEs were in RRC_CONNECTED.",
    ),
    Figure(
        "ping_pongs_per_ue_min", "ping-pongs", "/UE/min", "lower", 3,
        "Handovers back to the cell that the UE came from, within the scenario's `handover.ping_pong_s`, over the time that UEs "
        "were in RRC_CONNECTED (TR 36.839).",
    ),
    Figure(
        "link_failures_per_ue_min", "radio link failures", "/UE/min", "lower", 3,
        "Expiries of T310 (TS 38.331 5.3.10), over the time that UEs were in RRC_CONNECTED.",
    ),
    Figure(
        "outage_pct", "time without a radio link", "%", "lower", 3,
        "Share of the time in RRC_CONNECTED from a radio link failure (TS 38.331 5.3.10), or from the loss of a handover's target, to "
        "the re-establishment; the interruption by a handover that succeeds is not in it.",
    ),
    Figure(
        "energy_kwh", "energy of all cells", "kWh", "lower", 6,
        "Energy that the cells drew after the warm-up, by the power model of TR 38.864.",
    ),
    Figure(
        "bits_per_joule", "delivered bits per energy", "b/J", "higher", 0,
        "Delivered bits of all classes over the energy of all cells: data energy efficiency, TS 28.554 6.7.1.",
    ),
)  # fmt: skip
_PROMISES: Final = (
    Figure(
        "promised_users", "users that something was promised to", "UE", "neither", 1,
        "Delay-bound users, and sessions with data of classes with a promised throughput.",
    ),
    Figure(
        "violations", "broken promises", "UE", "lower", 1,
        f"Delay-bound users that are not satisfied, and sessions with data that got less than the scenario's `promised_mbps` of "
        f"{_THROUGHPUT}: what an agreement on delay or on dLThptPerUE (TS 28.541) counts.",
    ),
    Figure(
        "violations_pct", "broken promises, of all", "%", "lower", 1,
        "Share of the users that something was promised to who did not get it; see `violations`.",
    ),
)  # fmt: skip
_STREAMS: Final = (
    Figure("streams", "streams that played", "UE", "neither", 1, "Sessions of streams that have shown content."),
    Figure(
        "stall_pct", "time that streams stood still", "%", "lower", 2,
        "Stalled time over stalled and playing time of all streams after their first content.",
    ),
    Figure(
        "stalled_streams_pct", "streams that stalled", "%", "lower", 1,
        "Share of the streams that ran out of content at least once.",
    ),
)  # fmt: skip


def figures(classes: Sequence[TrafficClass]) -> tuple[Figure, ...]:
    """The declared entries of the score of a network with these traffic classes, in the score's order."""
    slices = dict.fromkeys(traffic_class.slice for traffic_class in classes)
    return (
        *_HEAD,
        *(figure for traffic_class in classes for figure in _of_class(traffic_class)),
        *(_of(_DELAY, f"slice.{name}", f"the slice {name}") for name in slices),
        *_TAIL,
        *(_PROMISES if any(c.promised_mbps is not None for c in classes) else ()),
        *(_STREAMS if any(c.model == "streaming" for c in classes) else ()),
    )


def _of_class(traffic_class: TrafficClass) -> Iterator[Figure]:
    judged = (_USERS, _SATISFIED_PCT) if traffic_class.delay_bound else ()
    promised = (_BELOW_PROMISE_PCT,) if traffic_class.promised_mbps is not None else ()
    for figure in (*judged, *promised, _DELAY, _DELAY_P95):
        yield _of(figure, traffic_class.name, f"the class {traffic_class.name}, 5QI {traffic_class.five_qi}")


def _of(figure: Figure, part: str, whose: str) -> Figure:
    """The figure of a part of the network's sessions."""
    return figure._replace(
        key=f"{figure.key}.{part}",
        label=f"{figure.label}, {part}",
        definition=f"{figure.definition} Of {whose}.",
    )
