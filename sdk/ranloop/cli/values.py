"""Parses what people type behind `--set` and `--override`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from ranloop.errors import RanloopError
from ranloop.guard.autonomy import Autonomy
from ranloop.wire.topics import is_topic_level

__all__ = ("check_host_name", "check_positive", "parse_autonomy", "parse_pairs")


def parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, Any]:
    """`["load=1.2", "scheduler=rr"]` as {"load": 1.2, "scheduler": "rr"}: a value is JSON if it reads as JSON, else text.

    Raises:
        RanloopError: An entry without `=`.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name):
            raise RanloopError(f"{option} {pair!r}: want NAME=VALUE")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def check_positive(option: str, value: float | None) -> float | None:
    """A length of time or a speed, or None if it was left out.

    Raises:
        RanloopError: Zero, negative or no finite number.
    """
    if value is not None and not 0 < value < math.inf:
        raise RanloopError(f"{option} {value:g}: want a number above 0")
    return value


def parse_autonomy(text: str) -> Autonomy:
    """An autonomy level from the command line.

    Raises:
        RanloopError: Not one of the three.
    """
    try:
        return Autonomy(text)
    except ValueError:
        raise RanloopError(f"--autonomy {text!r}: want one of {', '.join(Autonomy)}") from None


def check_host_name(name: str) -> None:
    """Refuse a host name that cannot stand in a topic.

    Raises:
        RanloopError: Not one level of a topic.
    """
    if not is_topic_level(name):
        raise RanloopError(f"host name {name!r}: want lower-case letters, digits, '_' and '-', at most 64")
