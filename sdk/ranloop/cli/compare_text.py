"""The words of a comparison, for a terminal and for its page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ranloop.claims import Verdict
from ranloop.cli.compare_outcome import Outcome
from ranloop.comparison import Row
from ranloop.evaluate import Arm
from ranloop.kpi import Kpi, by_key
from ranloop.statistics import LEVEL, Shown

__all__ = ("means", "notes", "plan_line", "reads", "show", "verdict_line")


def plan_line(node: str, seeds: Sequence[int], arms: Sequence[Arm], origin: Mapping[str, Any]) -> str:
    """What is compared, and under what that `origin` names."""
    names = " and with ".join(arm.name for arm in arms)
    under = ", ".join(
        f"{name} {str(value).partition('@')[0]}" for name, value in origin.get("under", {}).items()
    )
    return f"{node}: {len(seeds)} drops, each run in lockstep with {names}" + (
        f", under {under}" if under else ""
    )


def show(console: Console, outcome: Outcome) -> None:
    """Print the outcome."""
    console.print(_table(outcome))
    kpis = by_key(row.kpi for row in outcome.rows)
    lines = [verdict_line(verdict, kpis[verdict.claim.kpi]) for verdict in outcome.claims]
    for line in (*notes(outcome), *_actions(outcome), *lines, _times(outcome)):
        console.print(escape(line))


def _table(outcome: Outcome) -> Table:
    title = f"mean over drops; difference B less A per drop, {100 * LEVEL:g} % interval over drops"
    shown = Table(title=title, box=None, title_justify="left")
    for heading in ("KPI", "unit", "better", "A", "B", "difference", "reads"):
        right = heading in ("A", "B", "difference")
        shown.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for row in outcome.rows:
        better = "" if row.kpi.better == "neither" else row.kpi.better
        shown.add_row(
            escape(row.kpi.key), row.kpi.unit, better, *map(escape, means(row)), reads(row, outcome)
        )
    return shown


def means(row: Row) -> tuple[str, str, str]:
    """Both means and the difference with its interval, "" where there is none."""
    digits = row.kpi.digits
    if not row.n:
        return "", "", ""
    difference = f"{row.difference:+,.{digits}f}" if row.difference else ""
    return f"{row.old:,.{digits}f}", f"{row.new:,.{digits}f}", difference


def reads(row: Row, outcome: Outcome) -> str:
    """The interval in words."""
    drops = "" if row.n == len(outcome.seeds) else f" ({row.n} drops)"
    return ": ".join(filter(None, (row.reading, row.effect))) + drops


def notes(outcome: Outcome) -> list[str]:
    """How far the intervals reach."""
    said = [
        (
            f"The table's intervals are of {100 * LEVEL:g} % each and not corrected for {len(outcome.rows)} KPIs: of 20 KPIs that "
            "nothing changes, one is expected to read higher or lower."
        )
    ]
    if len(outcome.claims) > 1:
        said.append(
            f"The verdicts on {len(outcome.claims)} claims hold together at {100 * LEVEL:g} %, by Holm's correction; the interval "
            "beside a verdict is of the corrected level."
        )
    return said


def verdict_line(verdict: Verdict, kpi: Kpi) -> str:
    """A verdict, its claim, and the interval that it rests on."""
    spec, claim = f"+,.{kpi.digits}f", verdict.claim
    side = "above" if claim.sign > 0 else "below"
    line = f"{verdict.word}: {claim.text}. B less A {verdict.difference:{spec}} {kpi.unit}, claimed {side} {_bound(verdict, spec)}"
    if verdict.shown is not Shown.UNDECIDED:
        return line
    if verdict.missing:
        return f"{line}; {verdict.missing} of {verdict.difference.n} drops have no value"
    if math.isnan(verdict.bound):
        return f"{line}; a share of nothing is no bound"
    if verdict.seeds is None:
        return f"{line}; more than 10,000 seeds would be needed"
    return (
        f"{line}; an estimate: about {verdict.seeds} seeds decide with a chance of 80 %, if mean and spread stay as these "
        f"{verdict.difference.n} drops show them"
    )


def _bound(verdict: Verdict, spec: str) -> str:
    return f"{verdict.bound:{spec}}" if verdict.bound else "0"


def _actions(outcome: Outcome) -> list[str]:
    return [
        f"{arm.name}: targets of its actions, all drops: "
        + (", ".join(f"{name} {count:,}" for name, count in targets.most_common()) or "none")
        for arm, targets in zip(outcome.arms, outcome.targets, strict=True)
        if arm.xapps
    ]


def _times(outcome: Outcome) -> str:
    kept = sum(map(len, outcome.runs)) - len(outcome.ran)
    if outcome.processes is None:
        spread = "on the workers of a cluster"
    else:
        spread = f"on {outcome.processes} processes are {outcome.run_s / outcome.processes:.1f} s"
    return f"{outcome.wall_s:.1f} s in all; {len(outcome.ran)} runs of {outcome.run_s:.1f} s {spread}" + (
        f"; {kept} were kept from an earlier call" if kept else ""
    )
