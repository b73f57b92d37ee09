"""Every value that a scrape shows, counted by hand."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranloop.bus import Bus, open_bus
from ranloop.durations import EDGES_NS
from ranloop.embedded import run_embedded
from ranloop.errors import ModelError
from ranloop.inference import load_model
from ranloop.inference.ladder import LastAnswers
from ranloop.inference.rollout import Stage, Trial
from ranloop.inference.seen import with_seen
from ranloop.metrics import HostSource, PageSource, Process, XAppSource
from ranloop.metrics.exposition import _readings, exposition
from ranloop.metrics.metric import Metric, Reading
from ranloop.node import LiveHost, LockstepHost, NodeHost, Registration
from ranloop.node.clock import VirtualClock
from ranloop.node.outlets import Aside, Event
from ranloop.page import History
from ranloop.page.server import Page
from ranloop.testing import make_report
from ranloop.testing.predictors import DelayedPredictor, FailingPredictor
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Order
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import MANIFEST, write_xapp
from tests.model_packages import FEATURES, write_model
from tests.ranloop.metrics.scraped import Scraped, read

APP = """
from ranloop import SetUeWeight, XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report):
    if report.node == "toy-1":
        return SetUeWeight(ue=[0, 1], weight=[2.0, 9.0])  # 9 is beyond what the manifest allows
"""
MS = 1_000_000
_fresh = itertools.count()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = MANIFEST.format(name="weigher").replace("CQI", "DRB.UEThpDl")
    return write_xapp(tmp_path / "weigher", app=APP, text=manifest)


@pytest.fixture
def buses() -> Iterator[tuple[Bus, Bus]]:
    """The host's and the xApp's."""
    url = f"memory://metrics-{next(_fresh)}"
    with closing(open_bus(url, name="host")) as host, closing(open_bus(url, name="weigher")) as xapp:
        yield host, xapp


class Loop:
    """A live host and an xApp, which a test lets turn."""

    def __init__(self, folder: Path, host_bus: Bus, xapp_bus: Bus) -> None:
        package = load_package(folder)
        rights = {"weigher": Registration(rights=package.manifest.rights)}
        self.clock, self.xapp_bus = VirtualClock(), xapp_bus
        self.host = NodeHost(ToyWorld(), host_bus, xapps=rights)
        self.live = LiveHost(self.host, clock=self.clock)
        self.live.begin()
        self.runner = LiveRunner(Instance(package), xapp_bus)
        self.process = Process()
        sources = HostSource(pace=self.live), XAppSource(self.runner)
        self.process.show("run", "weigher", {"all": host_bus}, *sources)
        self.page = exposition(self.process)
        self.runner.turn()

    def until(self, ran_time_ms: int) -> None:
        while self.host.runtime.port.now_ns < ran_time_ms * MS:
            self.live.turn(ran_time_ms * MS)
            self.live.settle()
            self.runner.turn()

    def scrape(self) -> Scraped:
        return read(self.page("")[0].decode())


@pytest.fixture
def loop(folder: Path, buses: tuple[Bus, Bus]) -> Loop:
    return Loop(folder, *buses)


def test_in_lockstep_every_count_is_exact_at_every_step(folder: Path) -> None:
    """Two nodes report every 100 ms. The xApp acts on two targets of one of them: one is applied, one out of range."""
    pages: list[Scraped] = []
    process = Process()
    page = exposition(process)

    def show(pace: LockstepHost, runners: list[LockstepRunner]) -> None:
        process.show(
            "run", "weigher", {"all": pace.host.bus}, HostSource(pace=pace), *map(XAppSource, runners)
        )

    run_embedded(
        ToyWorld(),
        [folder],
        until_ns=500 * MS,
        on_start=show,  # type: ignore[arg-type]  # because a list is a sequence
        on_progress=lambda now_ns, _: (
            pages.append(read(page("")[0].decode())) if now_ns % (100 * MS) == 0 else None
        ),
    )
    assert len(pages) == 5
    for step, seen in enumerate(pages, 1):
        for node in ("toy-1", "toy-2"):
            assert seen["ranloop_host_reports_total", node] == step
            assert seen["ranloop_xapp_reports_total", node, "weigher"] == step
        # The result of step n is there 10 ms after it, before step n + 1.
        applied = ("SetUeWeight", "none", "applied", "weigher")
        refused = ("SetUeWeight", "range", "refused", "weigher")
        assert seen.get(("ranloop_host_targets_total", *applied), 0) == step - 1
        assert seen.get(("ranloop_host_targets_total", *refused), 0) == step - 1
        assert seen.get(("ranloop_xapp_targets_total", *applied), 0) == step - 1
        assert seen["ranloop_host_stage_seconds_count", "step"] == step
        assert seen["ranloop_xapp_handler_seconds_count", "report", "100", "act", "weigher"] == 2 * step
        assert seen["ranloop_host_ran_time_seconds",] == step / 10
        assert seen["ranloop_host_answers_missed_total",] == 0
        assert seen["ranloop_ready",] == 1
    assert ("ranloop_host_lag_seconds",) not in pages[-1]  # in lockstep there is none


def test_a_live_loop_shows_the_same(loop: Loop) -> None:
    loop.until(510)
    seen = loop.scrape()
    assert seen["ranloop_host_reports_total", "toy-1"] == 5
    assert seen["ranloop_xapp_reports_total", "toy-2", "weigher"] == 5
    assert seen["ranloop_host_targets_total", "SetUeWeight", "none", "applied", "weigher"] == 5
    assert seen["ranloop_host_targets_total", "SetUeWeight", "range", "refused", "weigher"] == 5
    assert seen["ranloop_xapp_actions_total", "weigher"] == 5
    assert (
        seen["ranloop_xapp_answer_seconds_count", "weigher"] + seen["ranloop_xapp_actions_pending", "weigher"]
        == 5
    )
    assert seen["ranloop_host_stage_seconds_count", "guard"] == 5
    assert seen["ranloop_xapp_reports_missed_total", "weigher"] == 0
    assert seen["ranloop_host_xapp_alive", "weigher"] == 1
    assert seen["ranloop_host_xapp_acts", "toy-1", "weigher"] == 1
    assert seen["ranloop_host_lag_seconds",] == 0


def test_what_is_lost_or_wrong_is_counted_where_it_was(loop: Loop) -> None:
    loop.xapp_bus.publish(topics.act("weigher", "toy-1"), b"no batch", qos=1)
    report = topics.report("toy-1", "ue", 100)
    loop.host.bus.publish(report, b"no report")
    loop.runner.turn()  # before a report of the host takes its place
    loop.until(110)
    seen = loop.scrape()
    assert seen["ranloop_host_messages_dropped_total", "weigher"] == 1
    assert seen["ranloop_host_messages_dropped_total", "operator"] == 0
    assert seen["ranloop_xapp_messages_malformed_total", "weigher"] == 1


def test_the_kill_switch_shows_at_its_node(loop: Loop) -> None:
    order = Order(id="1", kill=True, by="test")
    loop.xapp_bus.publish(topics.order("toy-2"), encode(order), qos=1, retain=True)
    loop.until(110)
    seen = loop.scrape()
    assert (seen["ranloop_host_node_killed", "toy-1"], seen["ranloop_host_node_killed", "toy-2"]) == (0, 1)


def test_a_page_shows_what_has_come_and_is_not_ready_once_it_has_ended(loop: Loop) -> None:
    """Three reports, of which the history has room for one."""
    report, history = make_report({"CQI": [1.0]}), History(keep_bytes=500)
    for number in range(3):
        history.take(replace(report, seq=number, ran_time_ns=number * MS))
    with Page(history, "127.0.0.1:0") as page:
        loop.process.show("page", "observer", {}, source := PageSource(page=page, is_all=True))
        seen = loop.scrape()
        assert source.not_ready() == ""
    assert source.not_ready() == "the page's server has ended"
    assert (seen["ranloop_page_open",], seen["ranloop_page_reports_total",]) == (0, 3)
    assert history.n_evicted == 2


def test_messages_that_wait_are_shown_until_they_are_handled(loop: Loop) -> None:
    loop.host.bus.poll()
    for _ in range(3):
        loop.xapp_bus.publish(topics.act("weigher", "toy-1"), b"no batch", qos=1)
    waiting = "ranloop_bus_messages_waiting", "all"
    assert loop.scrape()[waiting] == 3
    loop.host.bus.poll()
    assert loop.scrape()[waiting] == 0


def test_a_report_that_never_came_is_missed(loop: Loop, folder: Path) -> None:
    loop.until(110)
    loop.live.turn(210 * MS)  # two periods without a turn of the xApp: it reads the newer report alone
    while loop.host.runtime.port.now_ns < 310 * MS:
        loop.live.turn(310 * MS)
    loop.runner.turn()
    assert loop.scrape()["ranloop_xapp_reports_missed_total", "weigher"] == 2  # one of each node


def test_nodes_that_are_late_show_as_lag(loop: Loop) -> None:
    """The next report is due at 200 ms; nobody has let the host turn until 450 ms."""
    loop.until(110)
    loop.live.turn(1000 * MS)
    loop.clock.wait(450 * MS, lambda _: 0)
    lag_s = loop.scrape()["ranloop_host_lag_seconds",]
    assert lag_s == pytest.approx(0.25)


def test_a_histogram_is_cumulative_and_in_seconds(loop: Loop) -> None:
    for took_ns in (20_000, 20_000, 3_000_000, 60_000_000_000):
        loop.runner.answered.add(took_ns)
    seen, name = loop.scrape(), "ranloop_xapp_answer_seconds"
    buckets = {key[1]: value for key, value in seen.items() if key[0] == f"{name}_bucket"}
    assert len(buckets) == len(EDGES_NS) + 1
    edges = {"1e-05": 0, "2.5e-05": 2, "0.0025": 2, "0.005": 3, "10.0": 3, "+Inf": 4}
    assert {edge: buckets[edge] for edge in edges} == edges
    assert seen[f"{name}_count", "weigher"] == 4
    assert seen[f"{name}_sum", "weigher"] == pytest.approx(60.00304)


def test_calls_of_a_model_are_counted_by_their_outcome(loop: Loop, tmp_path: Path) -> None:
    model = loop.runner.instance.models["rate"] = load_model(write_model(tmp_path / "sum"))
    inner, report = model.predictor, make_report({"CQI": [1.0], "DRB.UEThpDl": [2.0]})
    model(report)
    model.predictor = DelayedPredictor(inner, delay_ms=101)
    for _ in range(2):
        model(report)  # has no answer within its period of 100 ms
    model.predictor = FailingPredictor()
    for _ in range(3):
        with pytest.raises(ModelError):
            model(report)
    seen = loop.scrape()
    outcomes = {
        outcome: seen["ranloop_model_calls_total", "rate", outcome, "weigher"]
        for outcome in ("answered", "late", "failed")
    }
    assert outcomes == {"answered": 1, "late": 2, "failed": 3}
    assert seen["ranloop_model_seconds_count", "rate", "weigher"] == 1


def test_what_grows_while_it_is_read_is_read_again() -> None:
    """A loop drops the first message of a sender just while a scrape goes through the senders."""
    dropped = {"a": 1}

    def read_dropped(source: object) -> Iterator[Reading]:
        for sender, n in dropped.items():
            dropped.setdefault("b", 2)
            yield (sender,), n

    metric: Metric[Any] = Metric(
        name="ranloop_x", kind="counter", labels=("sender",), meaning="x", read=read_dropped
    )
    assert _readings(metric, Process()) == [(("a",), 1), (("b",), 2)]


def test_an_outlet_that_is_slow_shows_what_waits_and_what_it_has_missed(loop: Loop) -> None:
    go_on, stuck = threading.Event(), threading.Event()

    class Slow:
        def take(self, event: Event) -> None:
            stuck.set()
            go_on.wait(10)

    report = make_report({"CQI": [1.0]})
    with Aside(Slow(), keep_bytes=1500) as slow:  # room for two reports of some 512 bytes
        loop.host.runtime.outlets = [slow]
        slow.take(report)
        assert stuck.wait(10)
        for _ in range(5):
            slow.take(report)
        seen = loop.scrape()
        assert seen["ranloop_host_outlet_events_waiting", "Slow"] == 2
        assert seen["ranloop_host_outlet_events_dropped_total", "Slow"] == 3
        assert 1024 <= seen["ranloop_host_outlet_waiting_bytes", "Slow"] <= 1500
        go_on.set()


def test_the_inputs_and_answers_of_a_model_are_counted(loop: Loop, tmp_path: Path) -> None:
    features = with_seen(FEATURES, np.array([[0, 1], [10, 3]], np.float32))
    model = load_model(write_model(tmp_path / "sum", features=features))
    loop.runner.instance.models["rate"] = model
    model.budget_ns = 1
    model.put_ladder({"last": LastAnswers(300)})
    model(make_report({"DRB.UEThpDl": [5.0, 11.0], "CQI": [0.0, 4.0]}))  # one of two outside, and two of two
    model.predictor = DelayedPredictor(model.predictor, delay_ms=101)
    model(make_report({"DRB.UEThpDl": [5.0, 5.0, 5.0], "CQI": [2.0, 2.0, 2.0]}, seq=1))  # one more UE
    model.error.note([1.0], [3.0])
    model.trial = Trial(load_model(write_model(tmp_path / "other", features=FEATURES)), Stage(kind="shadow"))
    model(make_report({"DRB.UEThpDl": [5.0], "CQI": [2.0]}, seq=2))
    seen = loop.scrape()
    assert {
        (name.removeprefix("ranloop_model_"), *labels): value
        for (name, *labels), value in seen.items()
        if name.startswith("ranloop_model_") and "seconds" not in name and "model_calls_total" not in name
    } == {
        ("calls_over_budget_total", "rate", "weigher"): 1,
        ("rows_total", "model", "rate", "weigher"): 2,
        ("rows_total", "last", "rate", "weigher"): 3,
        ("rows_total", "none", "rate", "weigher"): 1,
        ("candidate_calls_total", "rate", "answered", "weigher"): 1,
        ("inputs_total", "rate", "weigher"): 2,
        ("inputs_outside_total", "DRB.UEThpDl", "rate", "weigher"): 1,
        ("inputs_outside_total", "CQI", "rate", "weigher"): 2,
        ("error", "rate", "weigher"): 2,
    }
