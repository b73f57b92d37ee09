"""The page of all results, in Markdown: per xApp its verdict, what it gains over its best tuned rule, what that costs, where it fails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ranloop.evaluation.result import Change, Place, Result, verdict
from ranloop.statistics import LEVEL

__all__ = ("page",)

_PARTS = {
    "held_out": "held-out drops of worlds that tuning knew",
    "held_out_worlds": "held-out scenarios",
}


def page(results: Sequence[Result], command: str) -> str:
    """The page.

    Args:
        command: That writes it.
    """
    lines = [
        "# What the xApps gain",
        "",
        f"Written by `{command}`. Each xApp stands beside its best tuned rule. Where drops of the simulator judge, nothing was",
        "tuned on them, and all arms meet the same positions, fading, sessions and packets; claims and drops are in `claims.toml` and",
        "`plan.toml` of the folder. Where a row names another command, the README beside the xApp says what was judged and how the rule was",
        f"tuned. Intervals are over drops; the verdicts on the claims of one place hold together at {100 * LEVEL:g} %",
        "([compare.md](compare.md)). The verdict on what stands beside the rule:",
        "",
        "- *… wins*: on the held-out drops of known worlds all its claims are shown;",
        "- *harm*: a claim is refuted there, or in all held-out scenarios together, as a loss;",
        "- *rule suffices*: neither. Then, and where it harms, the rule is the xApp's default.",
        "",
        "| xApp | verdict | best tuned rule | beside it | first claim, on held-out drops | in held-out scenarios |",
        "|---|---|---|---|---|---|",
        *(_overview(result) for result in results),
    ]
    for result in results:
        lines += ["", *_section(result)]
    return "\n".join(lines) + "\n"


def _overview(result: Result) -> str:
    cells = []
    for part in _PARTS:
        places = [place for place in result.places if place.part == part]
        cells.append("; ".join(map(_first_claim, _overviewed(places))))
    link = f"[{result.xapp}](#{result.xapp})"
    return f"| {link} | **{verdict(result)}** | {result.rule} | {result.ours} | {' | '.join(cells)} |"


def _overviewed(places: Sequence[Place]) -> Sequence[Place]:
    """All known worlds, up to three; of the others the place that is all of them together."""
    return places[:3] if places and places[0].part == "held_out" else places[-1:]


def _first_claim(place: Place) -> str:
    first = place.claims[0]
    return f"{first.what}, {place.name}: {_difference(first)} ({first.word})"


def _section(result: Result) -> Iterator[str]:
    yield f"## {result.xapp}"
    yield ""
    yield f"**{verdict(result)}**. The best tuned rule: {result.rule}. Beside it: {result.ours}. Measured by `{result.measured_by}`."
    for part, title in _PARTS.items():
        places = [place for place in result.places if place.part == part]
        if not places:
            continue
        beside = bool(result.nothing)
        yield ""
        yield f"On {title}:"
        yield ""
        yield (
            "| where | claim | verdict | "
            + (f"{result.nothing} | " if beside else "")
            + "rule | ours | difference |"
        )
        yield "|---" * (7 if beside else 6) + "|"
        for place in places:
            for change in place.claims:
                yield f"| {place.name}, {place.n} {place.of} | {change.what} | {change.word} | {_means(change, beside=beside)} |"
    yield from _costs(result)
    yield ""
    yield "Where it fails: " + (_failures(result) or "in none of these places.")


def _costs(result: Result) -> Iterator[str]:
    rows = [(place, cost) for place in result.places for cost in place.costs]
    if not rows:
        return
    beside = bool(result.nothing)
    yield ""
    yield "Told beside, and claimed by nobody:"
    yield ""
    yield "| where | what | " + (f"{result.nothing} | " if beside else "") + "rule | ours | difference |"
    yield "|---" * (6 if beside else 5) + "|"
    for place, cost in rows:
        yield f"| {place.name} | {', '.join(filter(None, (cost.what, cost.unit)))} | {_means(cost, beside=beside)} |"


def _failures(result: Result) -> str:
    found = [
        f"{place.name}: {change.what} ({change.word}, {_difference(change)})"
        for place in result.places
        for change in place.claims
        if change.shown == "no"
    ]
    return "; ".join(found) + "." if found else ""


def _means(change: Change, *, beside: bool) -> str:
    numbers = ([change.nothing] if beside else []) + [change.rule, change.ours]
    cells = [
        "" if number is None or math.isnan(number) else f"{number:,.{change.digits}f}" for number in numbers
    ]
    return " | ".join([*cells, _difference(change)])


def _difference(change: Change) -> str:
    """With its interval, in the unit, and in percent of the rule's mean where that is above 0."""
    if math.isnan(change.difference):
        return ""
    spec = f"+,.{change.digits}f"
    unknown = math.isnan(change.low) or math.isnan(change.high)
    interval = "" if unknown else f"[{change.low:{spec}}, {change.high:{spec}}]"
    text = " ".join(filter(None, (f"{change.difference:{spec}}", interval, change.unit)))
    share = (
        f", {100 * change.difference / change.rule:+.1f} %" if change.rule > 0 and change.unit != "%" else ""
    )
    return text + share
