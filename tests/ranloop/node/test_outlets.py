"""An outlet on its own thread: it sees every event in order, within bounds, and holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from ranloop.bus import Bus
from ranloop.guard import AuditRecord
from ranloop.node import LiveHost, NodeHost, Registration, VirtualClock
from ranloop.node.outlets import CLOSE_S, Aside, Event, Outlet
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import ActionBatch, Report, Standing
from tests.ranloop.node.scripted import rights

PATIENCE_S = 10.0


def event(number: int) -> Standing:
    return Standing(
        node="n", order=str(number), killed=False, autonomy={}, orders={}, shut_out={}, refused=""
    )


def report(n_rows: int) -> Report:
    """A report with 8 bytes a row."""
    block = np.zeros((n_rows, 2), np.float32)
    return Report(
        node="n",
        level="cell",
        period_ms=100,
        seq=0,
        ran_time_ns=100_000_000,
        ids=("cell",),
        names=("RRC.ConnMean",),
        block=block,
    )


class Gate:
    """An outlet that looks at its first event for as long as a test likes."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self.began, self.may_go_on = threading.Event(), threading.Event()

    def take(self, event: Event) -> None:
        self.seen.append(event)
        self.began.set()
        assert self.may_go_on.wait(PATIENCE_S)


def test_events_are_seen_in_order_and_all_of_them_before_the_end() -> None:
    gate, events = Gate(), [event(number) for number in range(500)]
    with Aside(gate) as aside:
        for each in events:
            aside.take(each)
        gate.may_go_on.set()
    assert gate.seen == events
    assert aside.n_dropped == 0


def test_audit_records_count_with_their_batches() -> None:
    """2**16 targets of 8 bytes are 512 KiB: with one at work, one more has room in 1 MiB."""
    gate = Gate()
    with Aside(gate, keep_bytes=1 << 20) as aside:
        for number in range(20):
            batch = ActionBatch(
                id=str(number),
                xapp="x",
                node="n",
                seq=number,
                action=SetUeWeight(ue=np.arange(1 << 16), weight=2.0),
                valid_until_ns=0,
            )
            aside.take(AuditRecord(event="result", ran_time_ns=0, node="n", xapp="x", batch=batch))
            assert gate.began.wait(PATIENCE_S)
        assert aside.n_dropped == 18
        gate.may_go_on.set()


def test_a_slow_outlet_holds_nobody_up_and_what_has_no_room_is_counted() -> None:
    gate = Gate()
    # An event counts 512 bytes and its block: with one of 488 + 512 bytes at work, four such and one of 512 more fit.
    with Aside(gate, keep_bytes=4 * 1000 + 512) as aside:
        aside.take(report(61))
        assert gate.began.wait(PATIENCE_S)
        for _ in range(6):
            aside.take(report(61))
        small = event(1)
        aside.take(small)
        assert aside.n_dropped == 2
        gate.may_go_on.set()
    assert len(gate.seen) == 1 + 4 + 1
    assert gate.seen[-1] is small


def test_there_is_room_again_once_events_were_seen() -> None:
    gate = Gate()
    gate.may_go_on.set()
    seen = threading.Event()

    class Telling:
        def take(self, event: Event) -> None:
            gate.take(event)
            seen.set()

    with Aside(Telling(), keep_bytes=1000) as aside:
        for _ in range(10):
            seen.clear()
            aside.take(report(61))
            assert seen.wait(PATIENCE_S)
    assert (len(gate.seen), aside.n_dropped) == (10, 0)


def test_an_outlet_that_looks_now_and_then_gets_some_events_at_once() -> None:
    looks: list[int] = []
    seen: list[Event] = []

    class Looking:
        def take(self, event: Event) -> None:
            seen.append(event)

    events = [event(number) for number in range(40)]
    with Aside(Looking(), every_s=0.2, flush=lambda: looks.append(len(seen))) as aside:
        for each in events[:3]:
            aside.take(each)
        began_s = time.perf_counter()
        while not looks and time.perf_counter() - began_s < PATIENCE_S:
            time.sleep(0.005)
        for each in events[3:]:
            aside.take(each)
    assert seen == events
    assert looks[0] == 3  # nobody woke it at the first event
    assert np.diff(looks).max() <= 8
    assert looks[-1] == 40


def test_an_outlet_that_raises_is_logged_once_and_all_further_events_count_as_dropped() -> None:
    began, may_fail = threading.Event(), threading.Event()

    class Broken:
        def take(self, event: Event) -> None:
            began.set()
            assert may_fail.wait(PATIENCE_S)
            raise OSError("no space left")

    with structlog.testing.capture_logs() as logs, Aside(Broken()) as aside:
        for number in range(5):
            aside.take(event(number))
        assert began.wait(PATIENCE_S)
        may_fail.set()
    aside.take(event(5))
    assert aside.n_dropped == 6
    assert [(log["event"], log["outlet"], log["reason"]) for log in logs] == [
        ("outlet_failed", "Broken", "no space left")
    ]


# In a live host

Connect = Callable[[str], Bus]
N_REPORTS = 40  # of 2 s at two nodes


class Blocked:
    """Blocks in its first event until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def take(self, event: Event) -> None:
        self.go_on.wait()


class Failing:
    """Raises at its third report."""

    def __init__(self, error: BaseException) -> None:
        self.n_reports, self._error = 0, error

    def take(self, event: Event) -> None:
        if isinstance(event, Report):
            self.n_reports += 1
            if self.n_reports == 3:
                raise self._error


class Counting:
    def __init__(self) -> None:
        self.n_reports = 0

    def take(self, event: Event) -> None:
        self.n_reports += isinstance(event, Report)


@pytest.fixture
def blocked() -> Iterator[Blocked]:
    outlet = Blocked()
    yield outlet
    outlet.go_on.set()


def host(connect: Connect, *outlets: Outlet) -> LiveHost:
    node_host = NodeHost(
        ToyWorld(), connect("host"), xapps={"x": Registration(rights=rights("SetUeWeight"))}, outlets=outlets
    )
    return LiveHost(node_host, clock=VirtualClock())


def test_an_outlet_that_blocks_for_ever_costs_a_host_a_bounded_time_at_its_end_and_nothing_else(
    connect: Connect, blocked: Blocked
) -> None:
    other = Counting()
    began_s = time.monotonic()
    with capture_logs() as logs:
        summary = host(connect, blocked, other).run()
    assert time.monotonic() - began_s < CLOSE_S + 2.0
    assert (summary.n_reports, other.n_reports) == (N_REPORTS, N_REPORTS)
    # The audit's record of the xApp's admission is the event in hand; the reports wait.
    assert summary.n_not_shown == 1 + N_REPORTS
    told = [line for line in logs if line["event"] == "outlet_did_not_end"]
    assert [(line["outlet"], line["events_lost"]) for line in told] == [("Blocked", 1 + N_REPORTS)]


@pytest.mark.parametrize(
    "error", [OSError("no space left\x1b[2J"), SystemExit(3)], ids=["OSError", "SystemExit"]
)
def test_an_outlet_that_raises_is_told_once_and_not_called_again(
    connect: Connect, error: BaseException
) -> None:
    outlet = Failing(error)
    with capture_logs() as logs:
        summary = host(connect, outlet).run()
    assert (summary.n_reports, outlet.n_reports) == (N_REPORTS, 3)
    assert summary.n_not_shown == N_REPORTS - 2  # the third is lost in its hands
    told = [line for line in logs if line["event"] == "outlet_failed"]
    assert [line["error"] for line in told] == [type(error).__name__]
    assert "\x1b" not in str(told[0]["reason"])
