"""Results of a calibration: figures with their tolerances, curves to look at, and what the model leaves out.

Each subject (large-scale radio, fading, link, scheduling, traffic, handover, energy, …) is a module beside this one with a
function `run(quick, seed) -> Section`. The tests assert the same checks that the report prints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ran_sim.core.state import F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure compared with a closed form, a table of a specification or a published calibration."""

    what: str
    unit: str
    measured: float
    wanted: float  # the reference's value
    low: float  # the lowest value that passes
    high: float  # the highest value that passes
    source: str  # clause, document or closed form
    known_miss: str = ""  # reason of a miss that is accepted; to be removed once the check passes

    @property
    def passes(self) -> bool:
        """Whether `measured` lies in [low, high]; NaN does not."""
        return bool(self.low <= self.measured <= self.high)

    @property
    def as_told(self) -> bool:
        """Whether a check passes, or is a known miss and misses. A known miss that passes must be removed."""
        return self.passes != bool(self.known_miss)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One curve of a plot; a band needs `upper`."""

    name: str
    x: F64
    y: F64  # [len(x)]
    upper: F64 | None = None  # [len(x)] fills the area between `y` and it: a published range
    style: Literal["line", "points"] = "line"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plot:
    """One picture of the report."""

    name: str  # file name without suffix: letters, digits, hyphens
    title: str
    x_label: str  # with its unit
    y_label: str
    series: tuple[Series, ...]
    log_y: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """Everything that the report says about one subject."""

    title: str
    checks: tuple[Check, ...]
    plots: tuple[Plot, ...] = ()
    seeds: str = ""  # of the networks and draws; empty where nothing is drawn
    notes: tuple[str, ...] = ()  # findings beside the checks, with their figures, one paragraph each
    only_long: tuple[str, ...] = ()  # names (`Check.what`) of the checks that a quick run leaves out
    left_out: tuple[str, ...] = ()  # what the model does not do, one sentence each
    quick: bool = False  # whether it was a quick run


def near(
    what: str,
    measured: float,
    wanted: float,
    *,
    unit: str,
    source: str,
    within: float = 0.0,
    share: float = 0.0,
) -> Check:
    """A check that passes if `measured` differs from `wanted` by `within` (same unit) plus `share` (0..1) of it at most."""
    slack = within + share * abs(wanted)
    return Check(
        what=what,
        unit=unit,
        measured=float(measured),
        wanted=float(wanted),
        low=float(wanted) - slack,
        high=float(wanted) + slack,
        source=source,
    )


def above(what: str, measured: float, floor: float, *, unit: str, source: str) -> Check:
    """A check that passes above `floor`, for an order of two quantities where no source has a figure."""
    return Check(
        what=what,
        unit=unit,
        measured=float(measured),
        wanted=floor,
        low=math.nextafter(floor, math.inf),
        high=math.inf,
        source=source,
    )


def surprises(checks: Iterable[Check]) -> list[str]:
    """One line for each check that fails and for each known miss that passes now; tests require an empty list."""
    return [
        f"{check.what}: {check.measured:.5g}, want {check.low:.5g} to {check.high:.5g}"
        + (f", known to miss: {check.known_miss}" if check.known_miss else "")
        for check in checks
        if not check.as_told
    ]
