"""What a calibration finds: figures with their tolerances, curves to look at, and what is left out.

Each module beside this one holds one subject (large-scale radio, fading, link, scheduling, traffic, handover, energy)
and a function `run(quick) -> Section`. The tests assert the same checks that the report prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ran_sim.state import F64


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure held against a closed form, a table of a specification or a published calibration."""

    what: str
    unit: str
    measured: float
    wanted: float  # the reference's value
    low: float  # of what passes
    high: float
    source: str  # clause, document or closed form

    @property
    def passes(self) -> bool:
        """Whether `measured` lies in [low, high]; NaN does not."""
        return self.low <= self.measured <= self.high


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
    """All that the report says about one subject."""

    title: str
    checks: tuple[Check, ...]
    plots: tuple[Plot, ...] = ()
    left_out: tuple[str, ...] = ()  # what the model does not do, one sentence each


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
    """A check that passes within `within` (same unit) plus `share` (0..1) of `wanted`."""
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
