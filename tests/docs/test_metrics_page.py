"""The page on metrics: its table is that of the code, and its alerts are those of the rules."""

from __future__ import annotations

import re
from pathlib import Path

from ranloop.metrics.page import ALL_METRICS, metrics_table
from ranloop.metrics.process import STALLED_AFTER_S
from ranloop.metrics.server import MOST_CLIENTS, PATIENCE_S

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
RULES = (ROOT / "docker" / "prometheus" / "alerts.yml").read_text("utf-8")


def test_the_table_is_printed_from_the_code() -> None:
    assert metrics_table() in PAGE, "python -m ranloop.metrics"


def test_the_page_lists_every_alert_with_its_severity() -> None:
    rules = re.findall(r"- alert: (\w+)(?:.|\n)*?severity: (\w+)", RULES)
    assert re.findall(r"^\| `(Ranloop\w+)` \| (\w+) \|", PAGE, re.MULTILINE) == rules


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"more than {STALLED_AFTER_S:.0f} s" in PAGE
    assert f"{PATIENCE_S:.0f} s for its request, and {MOST_CLIENTS} clients" in PAGE


def test_names_and_labels_follow_the_conventions() -> None:
    """Of prometheus.io/docs/practices/naming: one prefix, base units, total at the end of a counter and nowhere else."""
    for one in ALL_METRICS:
        assert re.fullmatch(r"ranloop_[a-z_]+", one.name)
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        assert not re.search(r"_(ms|us|ns|kb|mb|percent|count|sum|bucket)(_|$)", one.name), one.name
        assert (one.kind != "histogram") or one.name.endswith("_seconds"), one.name
        assert not {"ue", "cell"} & set(one.labels), one.name
    assert len({one.name for one in ALL_METRICS}) == len(ALL_METRICS)
