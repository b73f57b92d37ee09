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
    f"at least {_PER_CENT:g} % of the packets with an outcome came within the radio's share of the delay budget of their 5QI (TS "
    "23.501 Table 5.7.4-1); late and dropped ones count against it"
)
_WHOLE: Final = (
    _USERS,
    Figure(
        "satisfied", f"satisfied users (>= {_PER_CENT:g} % of packets in budget)", "UE", "higher", 1,
        f"Delay-bound users of which {_SATISFIED}.",
    ),
    Figure(
        "satisfied_pct", "satisfied share of delay-bound users", "%", "higher", 1,
        f"Share of delay-bound users of which {_SATISFIED}. TR 38.838 judges an XR user so.",
    ),
    Figure(
        "best_effort_mbps", "best-effort throughput, whole network", "Mb/s", "higher", 1,
        "Bits that UEs of classes without a delay budget decoded, over the time after the warm-up.",
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
        "energy_kwh", "energy of all cells", "kWh", "lower", 5,
        "Energy that the cells drew after the warm-up, by the power model of TR 38.864.",
    ),
    Figure(
        "bits_per_joule", "delivered bits per energy", "b/J", "higher", 0,
        "Delivered bits of all classes over the energy of all cells: data energy efficiency, TS 28.554 6.7.1.",
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
    head, tail = _WHOLE[:3], _WHOLE[3:]
    streams = _STREAMS if any(c.model == "streaming" for c in classes) else ()
    return (*head, *_of_classes(classes), *tail, *streams)


def _of_classes(classes: Sequence[TrafficClass]) -> Iterator[Figure]:
    for traffic_class in classes:
        if traffic_class.delay_bound:
            for figure in (_USERS, _WHOLE[2]):
                yield figure._replace(
                    key=f"{figure.key}.{traffic_class.name}",
                    label=f"… of {traffic_class.name}",
                    definition=f"{figure.definition} Of the class {traffic_class.name}, 5QI {traffic_class.five_qi}.",
                )
