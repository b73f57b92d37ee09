"""A comparison as one HTML page that needs nothing beside itself: verdicts, table, drops, course over RAN time, costs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

import numpy as np

from ranloop.cli.compare_outcome import Outcome
from ranloop.cli.compare_text import means, notes, plan_line, reads, verdict_line
from ranloop.cli.svg import Points, Trace, plot
from ranloop.comparison import Row
from ranloop.evaluate import DropResult
from ranloop.kpi import by_key

__all__ = ("page",)

_COURSES: Final = (
    "satisfied_pct",
    "best_effort_mbps",
    "prb_use_pct",
    "energy_kwh",
)  # beside those of the claims
_COSTS: Final = (
    "handovers_per_ue_min", "handover_failures_per_ue_min", "ping_pongs_per_ue_min", "link_failures_per_ue_min",
    "outage_pct", "energy_kwh", "bits_per_joule", "prb_use_pct",
)  # fmt: skip
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .15em .8em; text-align: right; border-bottom: 1px solid #ddd }
td.text, th.text { text-align: left } code { font-size: 92% } summary { cursor: pointer }
.verdict { padding: .3em .8em; margin: .3em 0; border-left: 6px solid #999; background: #f6f6f6 }
.yes { border-color: #2a7 } .no { border-color: #c33 } .better { color: #174 } .worse { color: #a22 }
figure { display: inline-block; margin: .4em .6em .4em 0 } figcaption { font-weight: 600 }
svg text { font: 11px system-ui, sans-serif; fill: #444 } svg .grid { stroke: #e4e4e4 }
svg .line { fill: none; stroke-width: 1.6 } svg .pair { stroke: #bbb; stroke-width: 1 }
svg .a { stroke: #d5822a } svg .b { stroke: #2469b3 } svg circle.a { fill: #d5822a } svg circle.b { fill: #2469b3 }
.key-a { color: #b9691a; font-weight: 600 } .key-b { color: #2469b3; font-weight: 600 }
"""


def page(outcome: Outcome) -> str:
    """The whole page."""
    a, b = (escape(arm.name) for arm in outcome.arms)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{a} against {b}</title><style>{_STYLE}</style></head><body>",
        f"<h1><span class='key-a'>{a}</span> against <span class='key-b'>{b}</span></h1>",
        f"<p>{escape(plan_line(outcome.node, outcome.seeds, outcome.arms, outcome.origins[0]))}</p>",
        *_verdicts(outcome),
        "<h2>All KPIs</h2>",
        *_table(outcome.rows, outcome),
        *(f"<p>{escape(note)}</p>" for note in notes(outcome)),
        "<h2>What it costs</h2>",
        *_costs(outcome),
        "<h2>Over RAN time</h2><p>Mean over drops of what was counted in each part of the run.</p>",
        *_courses(outcome),
        "<h2>Drop by drop</h2><p>Left: each line is a drop. Right: the share of drops at most at a value.</p>",
        *(_drops(row, outcome) for row in outcome.rows if row.reading not in ("the same", "no value")),
        "<h2>What the arms are</h2>",
        *_origins(outcome),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _verdicts(outcome: Outcome) -> Iterable[str]:
    kpis = by_key(row.kpi for row in outcome.rows)
    if not outcome.claims:
        yield "<p>No claim was made: the table tells what it shows, and decides nothing.</p>"
    for verdict in outcome.claims:
        line = escape(verdict_line(verdict, kpis[verdict.claim.kpi]))
        yield f"<div class='verdict {verdict.shown.name.lower()}'>{line}</div>"


def _table(rows: Iterable[Row], outcome: Outcome) -> Iterable[str]:
    yield (
        "<table><tr><th class='text'>KPI<th class='text'>unit<th class='text'>better<th>A<th>B<th>difference B less A "
        "[95 %]<th class='text'>reads</tr>"
    )
    for row in rows:
        old, new, difference = means(row)
        better = "" if row.kpi.better == "neither" else row.kpi.better
        yield (
            f"<tr title='{escape(row.kpi.definition, quote=True)}'><td class='text'>{escape(row.kpi.label)} "
            f"<code>{escape(row.kpi.key)}</code><td class='text'>{escape(row.kpi.unit)}<td class='text'>{better}"
            f"<td>{old}<td>{new}<td>{difference}<td class='text {row.effect}'>{reads(row, outcome)}</tr>"
        )
    yield "</table>"


def _costs(outcome: Outcome) -> Iterable[str]:
    yield from _table([row for row in outcome.rows if row.kpi.key in _COSTS], outcome)
    totals = outcome.targets
    yield "<p>Targets of the arms' actions, all drops, by what became of them:</p>"
    yield "<table><tr><th class='text'>outcome / cause<th>A<th>B</tr>"
    for name in sorted({*totals[0], *totals[1]}):
        yield f"<tr><td class='text'>{escape(name)}<td>{totals[0][name]:,}<td>{totals[1][name]:,}</tr>"
    yield "</table>"


def _courses(outcome: Outcome) -> Iterable[str]:
    keys = dict.fromkeys((*(verdict.claim.kpi for verdict in outcome.claims), *_COURSES))
    for row in outcome.rows:
        if row.kpi.key in keys:
            traces = [
                Trace(points=_course(run, row.kpi.key), css_class=colour)
                for run, colour in zip(outcome.runs, "ab", strict=True)
            ]
            picture = plot(traces, x_label="RAN time, s", y_label=row.kpi.unit, size=(540, 230))
            yield _figure(row, picture) if picture else ""


def _course(run: Sequence[DropResult], key: str) -> Points:
    """Mean over drops of each part that all drops have."""
    together = zip(*(result.course for result in run), strict=False)
    points = []
    for parts in together:
        values = [score[key] for _, score in parts if math.isfinite(score[key])]
        points.append((parts[0][0], float(np.mean(values)) if values else math.nan))
    return points


def _drops(row: Row, outcome: Outcome) -> str:
    key, unit = row.kpi.key, row.kpi.unit
    values = [[result.score[key] for result in run] for run in outcome.runs]
    pairs = [
        Trace(points=[(0.0, old), (1.0, new)], css_class="pair") for old, new in zip(*values, strict=True)
    ]
    dots = [
        Trace(points=[(float(x), value) for value in arm], css_class="ab"[x], kind="dots")
        for x, arm in enumerate(values)
    ]
    shares = [Trace(points=_steps(arm), css_class=colour) for arm, colour in zip(values, "ab", strict=True)]
    left = plot([*pairs, *dots], x_label="arm", y_label=unit, x_names=("A", "B"), size=(240, 220))
    return _figure(row, left + plot(shares, x_label=unit, y_label="share of drops", size=(320, 220)))


def _steps(values: Sequence[float]) -> Points:
    """The corners of the empirical distribution."""
    ordered = sorted(value for value in values if math.isfinite(value))
    n = len(ordered)
    return [(value, share / n) for i, value in enumerate(ordered) for share in (i, i + 1)]


def _figure(row: Row, picture: str) -> str:
    title = escape(row.kpi.definition, quote=True)
    return f"<figure title='{title}'><figcaption>{escape(row.kpi.label)}</figcaption>{picture}</figure>"


def _origins(outcome: Outcome) -> Iterable[str]:
    for arm, origin in zip(outcome.arms, outcome.origins, strict=True):
        told = escape(json.dumps(origin, indent=1))
        yield f"<details><summary>{escape(arm.name)}</summary><pre>{told}</pre></details>"
