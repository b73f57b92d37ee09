"""All metrics as a table for people, in Markdown."""

from __future__ import annotations

from typing import Any

from ranloop.metrics.host import HostSource
from ranloop.metrics.metric import Metric
from ranloop.metrics.process import Process
from ranloop.metrics.watched import PageSource
from ranloop.metrics.xapp import XAppSource

__all__ = ("ALL_METRICS", "metrics_table")

ALL_METRICS: tuple[Metric[Any], ...] = tuple(
    one for source in (Process, HostSource, XAppSource, PageSource) for one in source.metrics
)
_UNITS = ("seconds", "bytes")


def metrics_table() -> str:
    """A line for each metric: name, kind, labels, unit, meaning."""
    lines = ["| metric | kind | labels | unit | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.kind} | {', '.join(one.labels) or '–'} | {_unit(one.name)} | {one.meaning} |"
        for one in ALL_METRICS
    ]
    return "\n".join(lines) + "\n"


def _unit(name: str) -> str:
    last = name.removesuffix("_total").rpartition("_")[2]
    return last if last in _UNITS else "1"
