"""Key figures of a run as a scored world declares them: what `ScoredPort.score` answers, and how to read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ("Better", "Kpi", "by_key")

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """The meaning of one entry of a score.

    Attributes:
        key: Its name in the score, e.g. "delay_ms.gaming".
        label: For a table, a few words.
        unit: E.g. "Mb/s".
        better: The direction that is better; "neither" is a condition or a means, such as PRBs in use.
        digits: Behind the point, in a table.
        definition: What is counted over what, with its clause.
    """

    key: str
    label: str
    unit: str
    better: Better
    digits: int = 1
    definition: str


def by_key(kpis: Iterable[Kpi]) -> dict[str, Kpi]:
    """Key -> its KPI, in their order."""
    return {kpi.key: kpi for kpi in kpis}
