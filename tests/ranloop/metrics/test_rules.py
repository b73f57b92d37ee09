"""Alert rules and dashboard: promtool accepts them, each alert fires when it should, and all metrics in them exist."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from ranloop.metrics import Process
from ranloop.metrics.exposition import exposition
from ranloop.metrics.page import ALL_METRICS
from tests.ranloop.metrics.promtool import promtool
from tests.ranloop.metrics.scraped import read

DOCKER = Path(__file__).parents[3] / "docker"
RULES, RULES_TEST = DOCKER / "prometheus" / "alerts.yml", DOCKER / "prometheus" / "alerts.test.yml"
DASHBOARD = DOCKER / "grafana" / "ranloop.json"
FOR_ALL = {"job", "instance", "le"}  # labels that Prometheus adds
LABELS = {one.name: {*one.labels} for one in ALL_METRICS}
LABELS |= {
    f"{one.name}_{part}": {*one.labels}
    for one in ALL_METRICS
    if one.kind == "histogram"
    for part in ("bucket", "sum", "count")
}


def known() -> dict[str, set[str]]:
    """Every sample that a scrape may have, with its labels."""
    of_the_system = {name: set[str]() for name, *_ in read(exposition(Process())("")[0].decode())}
    return of_the_system | LABELS | {"up": set()}


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def expressions() -> dict[str, str]:
    """Where it stands -> expression, with the dashboard's variables filled in."""
    text = RULES.read_text()
    found = {}
    for name, rule in re.findall(r"- alert: (\w+)\n((?: {8}.*\n)+)", text):
        expression = re.search(r"expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", rule)
        assert expression is not None, name
        found[name] = " ".join((expression[1] or expression[2]).split())
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            filled = target["expr"].replace("$__rate_interval", "1m")
            found[f"{panel['title']} {target['refId']}"] = re.sub(r"\$\w+", ".*", filled)
    return found


@pytest.mark.parametrize(("place", "expression"), expressions().items(), ids=expressions())
def test_an_expression_names_metrics_and_labels_that_exist(place: str, expression: str) -> None:
    there, bare = known(), re.sub(r'"[^"]*"', '""', expression)
    names = set(re.findall(r"\b(?:ranloop|process)_\w+|\bup\b", bare))
    assert names
    assert names <= there.keys(), place
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", bare):
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= there[name] | FOR_ALL, (place, name)
    of_these = set().union(*(there[name] for name in names)) | FOR_ALL
    for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", bare):
        assert {label.strip() for label in labels.split(",")} <= of_these, place


def test_every_counter_and_gauge_of_ours_is_on_the_dashboard_or_in_a_rule_or_named_here() -> None:
    """What an operator would look up by hand."""
    by_hand = {
        "ranloop_build_info",
        "ranloop_bus_messages_conflated_total",
        "ranloop_bus_messages_delivered_total",
        "ranloop_host_answers_missed_total",
        "ranloop_host_messages_unsent_total",
        "ranloop_host_outlet_events_waiting",
        "ranloop_host_values_outside_total",
        "ranloop_page_reports_total",
        "ranloop_xapp_messages_malformed_total",
        "ranloop_xapp_values_outside_total",
    }
    text = " ".join(expressions().values())
    shown = {one.name for one in ALL_METRICS if re.search(rf"\b{one.name}(_bucket|_count|_sum)?\b", text)}
    assert {one.name for one in ALL_METRICS} - shown == by_hand


def test_the_rules_are_rules() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    """The file says for each which series make it fire, with labels and texts, and when it is still quiet."""
    tested = promtool("test", "rules", RULES_TEST)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    groups = re.split(r"^  - name: ", RULES_TEST.read_text(), flags=re.MULTILINE)[1:]
    fires = {name for group in groups for name in re.findall(r"alertname: (\w+)\n +exp_alerts:\n", group)}
    quiet = {name for group in groups for name in re.findall(r"alertname: (\w+)\n(?! +exp_alerts)", group)}
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    assert fires == quiet == alerts


def test_the_configuration_of_prometheus_is_one() -> None:
    checked = promtool("check", "config", DOCKER / "prometheus" / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_expressions_of_the_dashboard_can_be_evaluated(tmp_path: Path) -> None:
    rules = [
        {"record": f"x:{number}", "expr": expression}
        for number, expression in enumerate(expressions().values())
    ]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    checked = promtool("check", "rules", tmp_path / "rules.json")  # JSON is YAML, too
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


def test_the_dashboard_is_what_its_script_writes() -> None:
    script = runpy.run_path(str(DASHBOARD.with_name("dashboard.py")))
    assert dashboard() == script["dashboard"](), (
        "python docker/grafana/dashboard.py >docker/grafana/ranloop.json"
    )
