"""Writes the Grafana dashboard: `python docker/grafana/dashboard.py >docker/grafana/ranloop.json`.

Rows follow what an operator asks when something is wrong: does everything run, do reports come, what becomes of actions,
what is slow, what is lost.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

COLUMNS, WIDTH, HEIGHT = 3, 8, 7  # panels a row; Grafana's grid is 24 wide
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HOST = 'job=~"$job", instance=~"$instance"'
XAPP = f'{HOST}, xapp=~"$xapp"'
RATE = "[$__rate_interval]"


def quantile(q: float, histogram: str, selector: str, *by: str) -> str:
    """The expression of a quantile of a histogram."""
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({q}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}{RATE})))"


def rate(counter: str, selector: str, *by: str) -> str:
    """The expression of a counter's rate."""
    return f"sum by ({', '.join(by)}) (rate({counter}{{{selector}}}{RATE}))"


def quantiles(histogram: str, selector: str, *by: str) -> dict[str, str]:
    """The median and the 99th percentile, each with its legend."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return {f"{legend} p{round(100 * q)}".strip(): quantile(q, histogram, selector, *by) for q in (0.5, 0.99)}


# Row -> panels: title, unit of Grafana, {legend: expression}.
ROWS: Mapping[str, Sequence[tuple[str, str, Mapping[str, str]]]] = {
    "Does everything run?": [
        ("Processes that answer", "short", {"{{instance}}": f"up{{{HOST}}}"}),
        ("Ready", "short", {"{{instance}}": f"ranloop_ready{{{HOST}}}"}),
        (
            "Connected to the broker",
            "short",
            {"{{instance}} {{connection}}": f"ranloop_bus_connected{{{HOST}}}"},
        ),
        ("Loop away from its bus", "s", {"{{instance}}": f"ranloop_loop_busy_seconds{{{HOST}}}"}),
        ("Kill switch", "short", {"{{node}}": f"ranloop_host_node_killed{{{HOST}}}"}),
        (
            "Admitted xApps: life sign",
            "short",
            {
                "{{xapp}}": f"ranloop_host_xapp_alive{{{XAPP}}}",
                "{{xapp}} shut out": f"ranloop_host_xapp_shut_out{{{XAPP}}}",
            },
        ),
    ],
    "Do reports come?": [
        ("Reports that left a node", "cps", {"{{node}}": rate("ranloop_host_reports_total", HOST, "node")}),
        (
            "Reports that xApps handled",
            "cps",
            {"{{xapp}} of {{node}}": rate("ranloop_xapp_reports_total", XAPP, "xapp", "node")},
        ),
        (
            "Reports that xApps missed",
            "cps",
            {
                "{{xapp}} missed": rate("ranloop_xapp_reports_missed_total", XAPP, "xapp"),
                "{{xapp}} late": rate("ranloop_xapp_reports_late_total", XAPP, "xapp"),
                "{{xapp}} skipped": rate("ranloop_xapp_events_skipped_total", XAPP, "xapp"),
            },
        ),
        ("RAN time", "s", {"{{instance}}": f"ranloop_host_ran_time_seconds{{{HOST}}}"}),
        (
            "Lag of RAN time behind the clock",
            "s",
            {
                "{{instance}} now": f"ranloop_host_lag_seconds{{{HOST}}}",
                "{{instance}} worst": f"ranloop_host_worst_lag_seconds{{{HOST}}}",
            },
        ),
        (
            "Time given up, because nodes are slow",
            "percentunit",
            {"{{instance}}": rate("ranloop_host_given_up_seconds_total", HOST, "instance")},
        ),
    ],
    "What becomes of actions?": [
        (
            "Targets by status",
            "cps",
            {"{{xapp}} {{status}}": rate("ranloop_host_targets_total", XAPP, "xapp", "status")},
        ),
        (
            "Targets refused, expired or ended, by cause",
            "cps",
            {
                "{{xapp}} {{action}} {{status}}/{{cause}}": rate(
                    "ranloop_host_targets_total",
                    f'{XAPP}, status!="applied"',
                    "xapp",
                    "action",
                    "status",
                    "cause",
                )
            },
        ),
        (
            "Answers that xApps wait for",
            "short",
            {"{{xapp}}": f"ranloop_xapp_actions_pending{{{XAPP}}}"},
        ),
        (
            "Actions sent",
            "cps",
            {
                "{{xapp}}": rate("ranloop_xapp_actions_total", XAPP, "xapp"),
                "{{xapp}} again": rate("ranloop_xapp_actions_retried_total", XAPP, "xapp"),
            },
        ),
        (
            "Targets without a known end",
            "cps",
            {"{{xapp}}": rate("ranloop_xapp_targets_total", f'{XAPP}, status="unknown"', "xapp")},
        ),
        (
            "Alarms of xApps",
            "short",
            {"{{xapp}} {{severity}}": f"ranloop_host_alarms{{{XAPP}}}"},
        ),
    ],
    "What is slow?": [
        ("Stages of the host", "s", quantiles("ranloop_host_stage_seconds", HOST, "stage")),
        ("Handlers", "s", quantiles("ranloop_xapp_handler_seconds", XAPP, "xapp", "handler")),
        ("From action to answer", "s", quantiles("ranloop_xapp_answer_seconds", XAPP, "xapp")),
        (
            "Calls of handlers beyond their period, or that raised",
            "cps",
            {
                "{{xapp}} too slow": rate("ranloop_xapp_handler_overruns_total", XAPP, "xapp"),
                "{{xapp}} raised": rate("ranloop_xapp_handler_failures_total", XAPP, "xapp"),
            },
        ),
        ("Model calls", "s", quantiles("ranloop_model_seconds", XAPP, "model")),
        (
            "Model calls by outcome",
            "cps",
            {
                "{{model}} {{outcome}}": rate("ranloop_model_calls_total", XAPP, "model", "outcome"),
                "{{model}} over budget": rate("ranloop_model_calls_over_budget_total", XAPP, "model"),
            },
        ),
        (
            "Rows by what answered",
            "cps",
            {"{{model}} {{by}}": rate("ranloop_model_rows_total", XAPP, "model", "by")},
        ),
        (
            "Model inputs outside training",
            "cps",
            {"{{model}} {{feature}}": rate("ranloop_model_inputs_outside_total", XAPP, "model", "feature")},
        ),
        (
            "Drift of model inputs (PSI)",
            "short",
            {"{{model}} {{feature}}": f"ranloop_model_drift_psi{{{XAPP}}}"},
        ),
        (
            "Candidates of models",
            "cps",
            {
                "{{model}} {{outcome}}": rate(
                    "ranloop_model_candidate_calls_total", XAPP, "model", "outcome"
                ),
                "{{model}} rows {{answer}}": rate(
                    "ranloop_model_candidate_rows_total", XAPP, "model", "answer"
                ),
            },
        ),
        ("Error of models", "short", {"{{model}}": f"ranloop_model_error{{{XAPP}}}"}),
    ],
    "What is lost?": [
        (
            "Messages lost",
            "cps",
            {
                "{{instance}} dropped": rate("ranloop_bus_messages_dropped_total", HOST, "instance"),
                "{{instance}} unsent": rate("ranloop_bus_messages_unsent_total", HOST, "instance"),
                "{{sender}} unusable": rate("ranloop_host_messages_dropped_total", HOST, "sender"),
            },
        ),
        (
            "Messages that wait",
            "short",
            {
                "{{instance}} {{connection}} in": f"ranloop_bus_messages_waiting{{{HOST}}}",
                "{{instance}} {{connection}} out": f"ranloop_bus_messages_outbox{{{HOST}}}",
            },
        ),
        ("Reconnections", "cps", {"{{instance}}": rate("ranloop_bus_reconnects_total", HOST, "instance")}),
        (
            "Events that wait for audit log and recorder",
            "bytes",
            {"{{outlet}}": f"ranloop_host_outlet_waiting_bytes{{{HOST}}}"},
        ),
        (
            "Records lost",
            "cps",
            {
                "{{outlet}} events": rate("ranloop_host_outlet_events_dropped_total", HOST, "outlet"),
                "audit records": rate("ranloop_host_audit_records_lost_total", HOST, "instance"),
                "reports": rate("ranloop_host_reports_unrecorded_total", HOST, "instance"),
            },
        ),
        (
            "Memory",
            "bytes",
            {"{{instance}}": f"process_resident_memory_bytes{{{HOST}}}"},
        ),
        ("CPU", "percentunit", {"{{instance}}": rate("process_cpu_seconds_total", HOST, "instance")}),
        (
            "Messages",
            "cps",
            {
                "{{instance}} in": rate("ranloop_bus_messages_received_total", HOST, "instance"),
                "{{instance}} out": rate("ranloop_bus_messages_published_total", HOST, "instance"),
            },
        ),
        ("Open descriptors", "short", {"{{instance}}": f"process_open_fds{{{HOST}}}"}),
        (
            "Live page: browsers",
            "short",
            {
                "{{instance}} open": f"ranloop_page_open{{{HOST}}}",
                "{{instance}} is served": f"ranloop_page_up{{{HOST}}}",
            },
        ),
        (
            "Live page: what it lost",
            "cps",
            {
                "{{instance}} events": rate("ranloop_page_events_dropped_total", HOST, "instance"),
                "{{instance}} frames of slow browsers": rate(
                    "ranloop_page_frames_passed_over_total", HOST, "instance"
                ),
                "{{instance}} decisions of slow browsers": rate(
                    "ranloop_page_lines_lost_total", HOST, "instance"
                ),
                "{{instance}} names": rate("ranloop_page_names_forgotten_total", HOST, "instance"),
            },
        ),
        (
            "Live page: strangers",
            "cps",
            {
                "{{instance}} wrong tokens": rate("ranloop_page_wrong_tokens_total", HOST, "instance"),
                "{{instance}} {{reason}}": rate("ranloop_page_closed_total", HOST, "instance", "reason"),
            },
        ),
    ],
}


def panels() -> Iterator[dict[str, Any]]:
    """A title for each row, and its panels below."""
    y = 0
    for row, entries in ROWS.items():
        yield {"type": "row", "title": row, "collapsed": False, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
        y += 1
        for at, (title, unit, targets) in enumerate(entries):
            line, column = divmod(at, COLUMNS)
            yield {
                "type": "timeseries",
                "title": title,
                "datasource": SOURCE,
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "gridPos": {"x": column * WIDTH, "y": y + line * HEIGHT, "w": WIDTH, "h": HEIGHT},
                "targets": [
                    {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
                    for n, (legend, expr) in enumerate(targets.items())
                ],
            }
        y += -(-len(entries) // COLUMNS) * HEIGHT


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice on top of the page, all values by default."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "title": "ranloop",
        "uid": "ranloop",
        "schemaVersion": 39,
        "tags": ["ranloop"],
        "time": {"from": "now-30m", "to": "now"},
        "refresh": "15s",
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                variable("job", "label_values(ranloop_build_info, job)"),
                variable("instance", 'label_values(ranloop_build_info{job=~"$job"}, instance)'),
                variable("xapp", "label_values(ranloop_host_xapp_alive, xapp)"),
            ]
        },
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels(), 1)],
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1)
    sys.stdout.write("\n")
