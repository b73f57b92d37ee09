"""Units that a table may be written in, and the factors to the units of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from ranloop.vocabulary import Measurement
from ranloop.vocabulary.near import near_matches

__all__ = ("UNITS", "factor_to_catalogue")

# Quantity -> unit -> size in a unit that is common to the quantity. k and M are powers of 1000; Ki and Mi of 1024.
_QUANTITIES: Mapping[str, Mapping[str, float]] = {
    "rate": {
        "bit/s": 1, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9,
        "byte/s": 8, "kbyte/s": 8e3, "Mbyte/s": 8e6,
    },
    "volume": {
        "bit": 1, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9,
        "byte": 8, "kbyte": 8e3, "Mbyte": 8e6, "Kibyte": 8 * 1024, "Mibyte": 8 * 1024**2,
    },
    "time": {"ns": 1e-9, "us": 1e-6, "0.1 ms": 1e-4, "ms": 1e-3, "s": 1},
    "share": {"1": 1, "%": 1e-2, "1e-6": 1e-6},
    "power": {"mW": 1e-3, "W": 1, "kW": 1e3},
    "energy": {"J": 1, "Wh": 3.6e3, "kWh": 3.6e6},
    "speed": {"m/s": 3.6, "km/h": 1, "mph": 1.609344, "knot": 1.852},
    "length": {"m": 1, "km": 1e3},
}  # fmt: skip
_ALIASES = {
    "bps": "bit/s", "kbps": "kbit/s", "Kbps": "kbit/s", "Mbps": "Mbit/s", "Gbps": "Gbit/s",
    "bytes": "byte", "B": "byte", "B/s": "byte/s", "kB": "kbyte", "MB": "Mbyte", "KiB": "Kibyte", "MiB": "Mibyte",
    "µs": "us", "percent": "%", "ppm": "1e-6", "ratio": "1", "kmh": "km/h", "kph": "km/h",
}  # fmt: skip
_QUANTITY_OF = {unit: quantity for quantity, units in _QUANTITIES.items() for unit in units}

UNITS = tuple(_QUANTITY_OF)


def factor_to_catalogue(unit: str, entry: Measurement) -> float:
    """What a value in `unit` is multiplied with to be in the unit of `entry`.

    A share is converted only where the entry is one: the unit "1" is a share if it reaches from 0 to 1.

    Raises:
        ValueError: The unit is unknown, or measures something else; one line with those that would do.
    """
    known = _ALIASES.get(unit, unit)
    if known == entry.unit:
        return 1.0
    quantity = _QUANTITY_OF.get(entry.unit)
    if quantity == "share" and entry.unit == "1" and entry.high != 1:
        quantity = None
    same = _QUANTITIES[quantity] if quantity else {}
    if known not in same:
        wanted = " or ".join(
            near_matches(unit, [*same, *_ALIASES], most=2) or dict.fromkeys((entry.unit, *same))
        )
        raise ValueError(f"unit {unit!r}: {entry.name} is in {entry.unit}; want {wanted}, or a factor")
    return same[known] / same[entry.unit]
