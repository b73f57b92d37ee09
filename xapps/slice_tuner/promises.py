"""What was promised to slices, as an operator writes it in the setting `promises`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from .policy import Promises

_ONE = re.compile(r"(?P<slice>[0-9a-f-]+): (?P<amount>[\d.]+) (?P<unit>ms|Mb/s)")


@cache
def read(text: str) -> Mapping[str, tuple[float, str]]:
    """S-NSSAI -> amount and unit, of "1-000002: 15 ms; 1-000003: 20 Mb/s"; the manifest's pattern lets nothing else in."""
    return {one["slice"]: (float(one["amount"]), one["unit"]) for one in _ONE.finditer(text)}


def to(slices: Sequence[str], text: str) -> Promises:
    """The promises to these slices, in their order."""
    said = [read(text).get(name, (np.nan, "")) for name in slices]
    delay_ms = [amount if unit == "ms" else np.nan for amount, unit in said]
    ue_kbps = [1e3 * amount if unit == "Mb/s" else np.nan for amount, unit in said]
    return Promises(np.array(delay_ms, np.float32), np.array(ue_kbps, np.float32))
