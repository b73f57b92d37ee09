"""Finds entries of the catalogue by words: of their names, of what the names abbreviate, and of their definitions."""

from __future__ import annotations

import re

from ranloop.vocabulary.actions import ACTIONS
from ranloop.vocabulary.measurements import MEASUREMENTS

__all__ = ("search", "title")

# The abbreviations in names of TS 28.552, and of ours in the same style.
_ABBREVIATED = {
    "arq": "retransmission",
    "att": "attempt",
    "avail": "available",
    "avg": "average",
    "conn": "connection",
    "cqi": "channel quality indicator",
    "dl": "downlink",
    "drb": "data radio bearer",
    "err": "error",
    "estab": "establishment",
    "exe": "execution",
    "freq": "frequency",
    "ho": "handover",
    "hol": "head of line",
    "max": "maximum",
    "mcs": "modulation coding scheme",
    "min": "minimum",
    "nbr": "number",
    "olla": "outer loop link adaptation",
    "pee": "power energy",
    "pos": "position",
    "prb": "physical resource block",
    "pwr": "power",
    "rach": "random access",
    "req": "request",
    "rrc": "radio resource control",
    "rsrp": "reference signal received power",
    "rsrq": "reference signal received quality",
    "rssi": "received signal strength",
    "sinr": "signal interference noise ratio",
    "snr": "signal noise ratio",
    "succ": "success",
    "tb": "transport block",
    "thp": "throughput",
    "tot": "total",
    "tx": "transmit",
    "ue": "user equipment",
    "ul": "uplink",
    "unres": "unrestricted",
    "vol": "volume",
}
_IN_NAME, _ABBREVIATION, _IN_DEFINITION = (
    3,
    2,
    1,
)  # what a word that is found there is worth; the start of a word half


def search(text: str) -> list[str]:
    """Names of the entries in which every word of `text` is found, best first; in the order of the catalogue among equals.

    If none has them, the words may be pieces of names: PrbUsed is prb and used.
    """
    return _found(_words(text)) or _found(_parts(text))


def _found(words: list[str]) -> list[str]:
    words = [word.removesuffix("s") or word for word in words]  # "packets" finds "packet", too
    values = {name: _value(words, name) for name in (*MEASUREMENTS, *ACTIONS)} if words else {}
    return sorted((name for name, value in values.items() if value), key=lambda name: -values[name])


def title(name: str) -> str:
    """The words that a name is made of: "data radio bearer user equipment throughput downlink" for `DRB.UEThpDl`."""
    return " ".join(_ABBREVIATED.get(part, part) for part in _parts(name))


def _value(words: list[str], name: str) -> float:
    """What the entry is worth for these words; 0 if one of them is not found."""
    definition = ACTIONS[name].spec.definition if name in ACTIONS else MEASUREMENTS[name].definition
    places = (
        (_IN_NAME, _parts(name)),
        (_ABBREVIATION, _words(title(name))),
        (_IN_DEFINITION, _words(definition)),
    )
    found = [
        max(
            (
                worth if word == other else worth / 2
                for worth, others in places
                for other in others
                if other.startswith(word)
            ),
            default=0.0,
        )
        for word in words
    ]
    return sum(found) if all(found) else 0.0


def _parts(name: str) -> list[str]:
    """`DRB.UEThpDl` as drb, ue, thp, dl."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+", name)]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
