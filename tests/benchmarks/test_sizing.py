"""The sizing page: plans worked out by hand, and the page in step with the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import sizing
from benchmarks.scale import Load, Size, measure
from tests.builders import MANIFEST, write_xapp


def load(size: Size, *, in_time: float = 1.0, closed: float = 1.0, host_us: float = 1000.0) -> Load:
    parts = ("host", "xApp", "broker")
    return Load(
        size=size,
        loops_per_s=closed * size.due_per_s,
        in_time=in_time,
        p50_ms=1.0,
        p99_ms=2.0,
        busy=dict.fromkeys(parts, 0.1),
        cpu_us={"host": host_us, "xApp": 500.0, "broker": 100.0},
        resident_mb={"host": 80.0, "xApp": 64.0, "broker": 10.0},
    )


def test_a_plan_is_loops_times_cost_over_processes_that_are_half_busy() -> None:
    # 100,000 cells of 3 to a node are 33,334 nodes, and with a report a second as many loops a second.
    # Broker: 33,334 * 100 us / 0.5 = 6.7 buses. xApp: 33,334 * 500 us / 0.5 = 33.3 shards. A core carries
    # 0.5 / 1000 us = 500 nodes of a host, but the largest host that was measured has 334: 33,334 / 334 = 99.8 hosts.
    found = sizing.plan([load(Size(cells=1000))], "mosquitto", 100_000, 1000)
    assert (found.loops_per_s, found.buses, found.shards, found.hosts) == (33_334, 7, 34, 100)
    assert found.nodes_per_host == 334
    assert found.cores == pytest.approx(33_334 * 1600e-6)
    assert found.memory_gb == pytest.approx((100 * 80 + 34 * 64 + 7 * 10) / 1024)


def test_a_host_gets_no_more_nodes_than_half_a_core_carries() -> None:
    loads = [load(Size(cells=1000, period_ms=100), host_us=2000.0)]
    # 10 loops a second and node: 0.5 / (2000 us * 10) = 25 nodes.
    assert sizing.plan(loads, "mosquitto", 1000, 100).nodes_per_host == 25


def test_the_dearest_size_counts_that_is_neither_overloaded_nor_tiny() -> None:
    loads = [
        load(Size(cells=1000), host_us=1200.0),
        load(Size(cells=100)),
        load(Size(cells=10), host_us=9000.0),
        load(Size(cells=10_000), host_us=9000.0, in_time=0.1),
        load(
            Size(cells=3000), host_us=9000.0, closed=0.5
        ),  # the host fell behind, and sent half of its reports
        load(Size(broker="nats", cells=1000), host_us=9000.0),
    ]
    assert {one.cpu_us["host"] for one in sizing.fair(loads, "mosquitto", 1000)} == {1000.0, 1200.0}
    assert sizing.plan(loads, "mosquitto", 1000, 1000).cores == pytest.approx(334 * 1800e-6)
    assert [(one.broker, one.period_ms) for one in sizing.plans(loads)][::3] == [
        ("mosquitto", 1000),
        ("nats", 1000),
    ]


def test_a_row_that_was_measured_and_not_carried_is_named_below_the_plan() -> None:
    # 1,000 cells are 334 nodes; a host of 100 cells has 34 nodes, so the plan has 334 / 34 = 9.8 hosts: the ten that were measured.
    ten = Size(cells=100, hosts=10)
    (line,) = sizing.refuted([load(Size(cells=100)), load(ten, in_time=0.5)])
    assert "1,000 cells over mosquitto was measured: 10 hosts of 100 cells answered 50 % in time" in line
    assert list(sizing.refuted([load(Size(cells=100)), load(ten, closed=0.5)]))
    assert not list(sizing.refuted([load(Size(cells=100)), load(ten)]))
    other = Size(cells=100, hosts=10, shards=2)
    assert not list(sizing.refuted([load(Size(cells=100)), load(other, in_time=0.5)]))


def test_a_period_without_a_fair_size_is_named_below_the_plan() -> None:
    assert list(sizing.unplanned([load(Size(cells=100))])) == ["No plan is given for 0.1 s."]
    assert not list(sizing.unplanned([load(Size(cells=100)), load(Size(cells=100, period_ms=100))]))


def test_the_page_has_the_tables_that_the_command_prints() -> None:
    page = sizing.PAGE.read_text("utf-8")
    assert sizing.filled(page) == page, "python -m benchmarks.sizing --write"
    assert all(text in page for text in sizing.blocks().values())
    with pytest.raises(ValueError, match="has no <!-- plan --> with its <!-- /plan -->"):
        sizing.filled(page.replace("<!-- /plan -->", ""))


@pytest.mark.slow
@pytest.mark.broker
def test_a_small_size_is_measured_without_overload(tmp_path: Path) -> None:
    text = MANIFEST.format(name="threshold").replace("every_ms = 100", "every_ms = 1000")
    app = "from ranloop import SetUeWeight, XApp\napp = XApp()\n\n@app.on_report('CQI', every_ms=1000)\ndef act(report):\n    return SetUeWeight(ue=report.ue, weight=2.0)\n"
    found = measure(Size(cells=10), write_xapp(tmp_path / "threshold", app=app, text=text))
    assert found.in_time == 1.0
    assert found.loops_per_s == pytest.approx(
        4.0, abs=1.1
    )  # 10 cells are 4 nodes, each with a report a second
