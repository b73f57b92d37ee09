"""The live runner: newest report first, one end for every action, the user's failures contained, foreign bytes counted."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from ranloop import Request
from ranloop.bus import Bus, open_bus
from ranloop.testing import make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import decode_action_batch, decode_presence, encode
from ranloop.wire.messages import ActionBatch, Cause, Presence, Report, Result, Status, Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import QUARANTINE_AFTER, QUARANTINE_S, LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import MANIFEST, write_xapp

APP = """
from ranloop import Report, Request, SetUeWeight, XApp

app = XApp()
seen, ends, wanted, columns, slow = [], [], [], [], []


@app.on_report("DRB.UEThpDl")
def act(report):
    seen.append(report.seq)
    columns.append(report.names)
    if slow:
        slow.pop()()
    rate = report["DRB.UEThpDl"][0]
    if rate == 13:
        raise RuntimeError("thirteen")
    if rate == 16:
        raise SystemExit(3)
    if rate == 17:
        raise KeyboardInterrupt
    if rate == 14:
        return "more airtime, please"
    if rate == 15:
        return Request(action=SetUeWeight(ue=[0], weight=2.0), node="nowhere")
    return SetUeWeight(ue=[0, 1], weight=2.0) if rate == 1 else None


@app.on_result
def learn(result):
    ends.append((result.id, [int(status) for status in result.status], result.causes[result.cause[0]]))
    if result.causes[-1][1] == "raise":
        raise KeyError("in on_result")


@app.every("1s")
def beat():
    if slow:
        slow.pop()()
    seen.append("beat")
    return wanted.pop() if wanted else None
"""
TWO_STREAMS = """
from ranloop import SetUeWeight, XApp

app = XApp()
ends = []


@app.on_report("DRB.UEThpDl")
def act(report):
    return SetUeWeight(ue=[0], weight=2.0) if report["DRB.UEThpDl"][0] == 1 else None


@app.on_report("DRB.UEThpDl", every_ms=1000)
def watch(report):
    pass


@app.on_result
def learn(result):
    ends.append((result.id, result.causes[result.cause[0]][1]))
"""
SECOND_STREAM = """
[[streams]]
level = "ue"
every_ms = 1000
measurements = ["DRB.UEThpDl"]
"""
_fresh = itertools.count()


class Wall:
    """The clock on the wall, as far as the test lets it go."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.tick_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.tick_s
        return self.now_s


def result_of(batch: ActionBatch, status: Status = Status.APPLIED, text: str = "") -> Result:
    n = len(batch.action)
    return Result(
        id=batch.id,
        xapp=batch.xapp,
        node=batch.node,
        action=batch.action.spec.name,
        targets=batch.action.targets(),
        status=np.full(n, status, np.uint8),
        cause=np.zeros(n, np.uint8),
        causes=((Cause.NONE, text),),
        applied=batch.action.parameters(),
        ran_time_ns=0,
    )


class Setup:
    """A live runner, and what a node called toy-1 says and hears."""

    def __init__(self, folder: Path, *, app: str = APP, more_manifest: str = "") -> None:
        manifest = MANIFEST.format(name="live").replace('"CQI"', '"DRB.UEThpDl"') + more_manifest
        self.wall = Wall()
        self.instance = Instance(
            load_package(write_xapp(folder / "live", app=app, text=manifest)),
            incarnation="r",
            clock_ns=lambda: round(self.wall.now_s * 1e9),
        )
        url = f"memory://live-{next(_fresh)}"
        self.bus, self.others = open_bus(url, name="live"), open_bus(url, name="node")
        self.batches: list[ActionBatch] = []
        self.run = "1"
        self.others.subscribe(
            topics.act("live", "+"),
            lambda _, payload: self.batches.append(decode_action_batch(payload)),
            qos=1,
        )
        self.catalogue = ToyWorld().catalogues[0]
        self.say(topics.catalogue("toy-1"), encode(self.catalogue), retain=True)
        self.runner = LiveRunner(self.instance, self.bus, clock=self.wall, patience_s=0.05)
        self.bus.poll()

    def app(self, name: str) -> list[Any]:
        found: list[Any] = getattr(self.instance.package.module("app"), name)
        return found

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.others.publish(topic, payload, retain=retain)

    def send(self, seq: int, rate: float = 0.0, *, period_ms: int = 100) -> None:
        """Publish a report of this run; the runner does not look yet."""
        report = make_report({"DRB.UEThpDl": [rate]}, node="toy-1", seq=seq, period_ms=period_ms)
        report = replace(report, run=self.run)
        self.say(topics.report("toy-1", "ue", period_ms), encode(report))

    def hear(self) -> None:
        self.bus.poll()
        self.others.poll()

    def report(self, seq: int, rate: float = 0.0) -> None:
        self.send(seq, rate)
        self.hear()

    def answer(self, batch: ActionBatch, status: Status = Status.APPLIED, text: str = "") -> None:
        self.say(topics.result("live", batch.node), encode(result_of(batch, status, text)))
        self.hear()

    def close(self) -> None:
        self.bus.close()
        self.others.close()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Setup]:
    setup = Setup(tmp_path)
    yield setup
    setup.close()


# Reports


def test_the_newest_report_comes_first_and_the_missed_ones_are_counted(live: Setup) -> None:
    live.report(0)
    for seq in (1, 2, 3, 4):
        live.send(seq)
    live.hear()
    assert live.app("seen") == [0, 4]
    assert (live.runner.stats.reports, live.runner.stats.missed) == (2, 3)


def test_a_node_that_lacks_a_measurement_is_not_joined_and_the_log_says_what(live: Setup) -> None:
    poor = replace(live.catalogue, node="toy-2", measurements={"ue": ("CQI",)})
    live.say(topics.catalogue("toy-2"), encode(poor))
    with capture_logs() as logs:
        live.hear()
    assert [(line["event"], line["lacks"]) for line in logs] == [
        ("node_does_not_fit", ["toy-2 does not measure DRB.UEThpDl per ue; it has CQI"])
    ]
    live.say(topics.report("toy-2", "ue", 100), encode(make_report({"DRB.UEThpDl": [0]}, node="toy-2")))
    live.hear()
    assert live.app("seen") == []


def told_while_waiting(live: Setup, duration_s: float) -> list[tuple[float, str]]:
    live.wall.tick_s = 0.1  # several looks at the clock in each turn
    with capture_logs() as logs, pytest.MonkeyPatch.context() as patched:
        patched.setattr("ranloop.xapp.live._TURN_S", 0.0)  # no message comes, and the wall is the test's own
        live.runner.run(threading.Event(), duration_s=duration_s)
    return [(line["for_s"], line["reason"]) for line in logs if line["event"] == "no_reports"]


def test_an_xapp_without_a_host_says_so_after_three_seconds_and_ever_more_rarely(live: Setup) -> None:
    told = told_while_waiting(live, 30.0)  # three periods of 100 ms are less than 3 s
    assert [for_s - for_s % 3 for for_s, _ in told] == [3, 6, 12, 24]
    assert {reason for _, reason in told} == {
        "no node has what live reads; hosts seen: none. Start one with: ranloop host"
    }


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (["other"], "toy-1, toy-2 is here but has not admitted live: ranloop admit {folder} --host h"),
        (["live"], "toy-1, toy-2 is here and has admitted live, but sends nothing that it reads"),
    ],
)
def test_an_xapp_that_gets_nothing_of_a_host_says_what_that_host_allows(
    live: Setup, allowed: list[str], words: str
) -> None:
    facts = {"kind": "node-host", "nodes": ["toy-1", "toy-2"], "xapps": allowed}
    live.say(topics.presence("h"), encode(Presence(name="h", alive=True, facts=facts)), retain=True)
    told = told_while_waiting(live, 4.0)
    assert [reason for _, reason in told] == [words.format(folder=live.instance.package.folder)]


def test_an_xapp_that_gets_reports_logs_no_silence(live: Setup) -> None:
    live.wall.now_s += 2.9
    live.report(0)
    assert told_while_waiting(live, 2.0) == []


# Answers


def test_an_action_is_answered_once_however_often_the_answer_comes(live: Setup) -> None:
    live.report(0, 1)
    (batch,) = live.batches
    live.answer(batch)
    live.answer(batch)
    assert live.app("ends") == [(batch.id, [Status.APPLIED] * 2, (Cause.NONE, ""))]
    assert live.runner.stats.results[Status.APPLIED] == 2  # targets


def test_a_setting_that_ends_after_its_answer_is_told_too(live: Setup) -> None:
    live.report(0, 1)
    live.answer(live.batches[0])
    live.answer(live.batches[0], Status.ENDED)
    assert [statuses for _, statuses, _ in live.app("ends")] == [[Status.APPLIED] * 2, [Status.ENDED] * 2]


def test_a_lost_answer_is_asked_for_once_again_and_then_ends_unknown_once(live: Setup) -> None:
    live.report(0, 1)  # ends at 100 ms, valid for two periods: to 300 ms
    live.report(1)
    assert len(live.batches) == 1
    live.report(2)  # 300 ms
    assert [batch.id for batch in live.batches] == ["live-r-1", "live-r-1"]
    live.report(3)
    live.report(4)  # 500 ms: two periods for the answer to the retry
    assert (len(live.batches), live.app("ends")) == (2, [])
    live.report(5)
    ((id_, statuses, (cause, text)),) = live.app("ends")
    assert (id_, statuses, cause) == ("live-r-1", [Status.UNKNOWN] * 2, Cause.LOST)
    assert text == "no answer from the node, also not after a retry"
    live.answer(live.batches[0])  # too late: it has ended
    live.report(6)
    assert len(live.app("ends")) == 1
    stats = live.runner.stats
    assert (stats.batches, stats.retried, +stats.results) == (1, 1, {Status.UNKNOWN: 2})


def test_an_answer_to_the_retry_is_the_end(live: Setup) -> None:
    live.report(0, 1)
    live.report(2)
    live.answer(live.batches[1])
    live.report(9)
    assert [statuses for _, statuses, _ in live.app("ends")] == [[Status.APPLIED] * 2]


def test_an_action_for_a_node_that_is_not_there_ends_unknown(live: Setup) -> None:
    live.report(0, 15)
    for seq in range(1, 6):
        live.report(seq)
    assert [(statuses, cause) for _, statuses, (cause, _) in live.app("ends")] == [
        ([Status.UNKNOWN], Cause.LOST)
    ]


def test_a_node_that_starts_anew_ends_what_was_asked_before_and_loses_no_report(live: Setup) -> None:
    live.report(50, 1)
    live.run = "2"
    with capture_logs() as logs:
        live.report(0, 1)
    live.report(1)
    assert [line["event"] for line in logs] == ["node_restarted"]
    assert [id_ for id_, _, _ in live.app("ends")] == ["live-r-1"]
    assert live.app("seen") == [50, 0, 1]
    assert live.runner.stats.missed == 0
    live.answer(live.batches[1])
    assert [statuses[0] for _, statuses, _ in live.app("ends")] == [Status.UNKNOWN, Status.APPLIED]


def test_a_late_report_of_a_former_run_is_no_second_restart(live: Setup) -> None:
    live.report(50)
    live.run = "2"
    live.report(0)
    live.run = "1"
    live.report(51)
    live.run = "2"
    with capture_logs() as logs:
        live.report(1)
    assert (live.app("seen"), live.runner.stats.late, logs) == ([50, 0, 1], 1, [])


def test_after_a_nodes_restart_its_other_streams_end_nothing_that_was_asked_since(tmp_path: Path) -> None:
    live = Setup(tmp_path, app=TWO_STREAMS, more_manifest=SECOND_STREAM)
    live.report(50)
    live.send(5, period_ms=1000)
    live.hear()
    live.run = "2"
    with capture_logs() as logs:
        live.report(0)  # the node was started anew,
        live.report(9, 1)  # and is asked at 1 s,
        live.send(0, period_ms=1000)  # when its slow stream begins anew as well
        live.hear()
    assert [line["event"] for line in logs] == ["node_restarted"]
    (batch,) = live.batches
    live.answer(batch)
    assert live.app("ends") == [(batch.id, "")]
    live.close()


def test_what_is_still_open_when_the_xapp_leaves_ends_unknown(live: Setup) -> None:
    alive: list[bool] = []
    live.others.subscribe(topics.presence("live"), lambda _, p: alive.append(decode_presence(p).alive))
    live.report(0, 1)
    (stop := threading.Event()).set()
    stats = live.runner.run(stop)
    live.others.poll()
    assert stats.results[Status.UNKNOWN] == 2
    assert [text for _, _, (_, text) in live.app("ends")] == ["the xApp left before the answer"]
    assert alive == [True, False]


def test_an_xapp_that_leaves_decides_nothing_more_and_hears_the_answers_to_what_it_decided(
    live: Setup,
) -> None:
    live.report(0, 1)
    live.send(1, 1)  # comes when the xApp is about to leave
    live.say(topics.result("live", "toy-1"), encode(result_of(live.batches[0])))
    (stop := threading.Event()).set()
    stats = live.runner.run(stop)
    live.others.poll()
    assert (live.app("seen"), len(live.batches)) == ([0], 1)
    assert +stats.results == {Status.APPLIED: 2}


PERSISTENT = """
from ranloop import SetUeWeight, XApp

app = XApp()
ends = []


@app.on_report("DRB.UEThpDl")
def act(report):
    return SetUeWeight(ue=[0], weight=2.0)


@app.on_result
def again(result):
    ends.append(result.id)
    return SetUeWeight(ue=[0], weight=3.0)
"""


def test_what_a_leaving_xapp_wants_in_answer_to_a_result_is_not_sent(tmp_path: Path) -> None:
    """Else it would hold a setting that nobody hears the end of."""
    setup = Setup(tmp_path, app=PERSISTENT)
    setup.report(0)
    (asked,) = setup.batches
    setup.say(topics.result("live", "toy-1"), encode(result_of(asked)))  # comes when it is about to leave
    (stop := threading.Event()).set()
    setup.runner.run(stop)
    setup.others.poll()
    assert setup.app("ends") == [asked.id]
    assert setup.batches == [asked]
    setup.close()


def test_a_node_that_is_late_is_not_given_up_yet(live: Setup) -> None:
    live.report(0, 1)
    live.wall.now_s += 30.0  # the node is silent after 30 s and three periods of 100 ms
    live.wall.tick_s = 0.001
    live.runner.run(threading.Event(), duration_s=0.1)
    assert live.app("ends")[0][2][1] == "the xApp left before the answer"


def test_a_silent_node_is_given_up_while_the_xapp_goes_on(live: Setup) -> None:
    live.report(0, 1)
    live.wall.now_s += 30.4
    live.wall.tick_s = 0.001
    live.runner.run(threading.Event(), duration_s=0.1)
    ((_, statuses, (cause, text)),) = live.app("ends")
    assert (statuses, cause, text) == ([Status.UNKNOWN] * 2, Cause.LOST, "the node has fallen silent")


def test_the_life_sign_is_withdrawn_when_somebody_interrupts(live: Setup) -> None:
    alive: list[bool] = []
    live.others.subscribe(topics.presence("live"), lambda _, p: alive.append(decode_presence(p).alive))
    live.send(0, 17)
    with pytest.raises(KeyboardInterrupt):
        live.runner.run(threading.Event())
    live.others.poll()
    assert alive == [True, False]


# The user's code


def test_a_raising_handler_is_counted_and_its_authors_frames_are_logged(live: Setup) -> None:
    with capture_logs() as logs:
        live.report(0, 13)
    live.report(1, 1)
    assert (live.runner.stats.failures, len(live.batches)) == (1, 1)
    (line,) = logs
    assert (line["event"], line["xapp"], line["in_a_row"]) == ("handler_raised", "live", 1)
    assert 'raise RuntimeError("thirteen")' in line["traceback"]
    assert line["traceback"].endswith("RuntimeError: thirteen")
    assert "sdk/ranloop" not in line["traceback"]


def test_a_handler_that_returns_no_action_is_a_failure_of_the_handler(live: Setup) -> None:
    with capture_logs() as logs:
        live.report(0, 14)
    assert live.runner.stats.failures == 1
    assert re.fullmatch(
        r"TypeError: act \(.*app\.py:8\) returned str, want actions such as SetUeWeight, or None",
        logs[0]["traceback"],
    )


def test_a_handler_that_ends_the_process_is_a_failure_and_the_loop_goes_on(live: Setup) -> None:
    with capture_logs() as logs:
        live.report(0, 16)
    live.report(1, 1)
    assert (live.runner.stats.failures, len(live.batches)) == (1, 1)
    assert logs[0]["traceback"].endswith("raise SystemExit(3)\nSystemExit: 3")


def test_after_five_failures_in_a_row_it_rests_and_is_tried_again(live: Setup) -> None:
    for seq in range(QUARANTINE_AFTER - 1):
        live.report(seq, 13)
    live.report(10)  # a success in between starts the count again
    with capture_logs() as logs:
        for seq in range(11, 11 + QUARANTINE_AFTER):
            live.report(seq, 13)
    assert [line["event"] for line in logs].count("xapp_quarantined") == 1
    live.wall.now_s += QUARANTINE_S - 0.001
    live.report(20, 1)
    assert live.runner.stats.skipped == 1
    assert live.app("seen")[-1] == 15
    live.wall.now_s += 0.001
    live.report(21, 1)
    assert live.app("seen")[-1] == 21
    assert live.runner.stats.failures == 2 * QUARANTINE_AFTER - 1


def test_a_raising_result_handler_does_not_lose_the_count(live: Setup) -> None:
    live.report(0, 1)
    live.answer(live.batches[0], text="raise")
    live.report(1)
    assert (live.runner.stats.failures, live.runner.stats.results[Status.APPLIED]) == (1, 2)
    assert live.app("seen") == [0, 1]


def tick(live: Setup, step: int, ran_time_ns: int, timer: str = "beat") -> bytes:
    """Have the host say that a timer is due."""
    payload = encode(Step(host="h", step=step, ran_time_ns=ran_time_ns, timers=(timer,)))
    live.say(topics.step("h", "live"), payload)
    live.hear()
    return payload


def test_a_timer_runs_when_the_host_says_so_and_once_however_often_the_broker_delivers(live: Setup) -> None:
    payload = tick(live, 0, 1_000_000_000)
    live.say(topics.step("h", "live"), payload)
    live.hear()
    assert live.app("seen") == ["beat"]
    tick(live, 1, 2_000_000_000)
    assert live.app("seen") == ["beat", "beat"]


def test_what_a_timer_wants_is_valid_by_the_hosts_ran_time(live: Setup) -> None:
    live.report(99)  # RAN time 10 s; the clock on the wall says something else
    live.app("wanted").append(Request(action=SetUeWeight(ue=[0], weight=2.0), node="toy-1"))
    tick(live, 0, 11_000_000_000)
    (batch,) = live.batches
    assert (batch.valid_until_ns, batch.run) == (13_000_000_000, "1")  # two periods of the timer later


def test_a_timer_that_the_xapp_has_not_is_counted(live: Setup) -> None:
    tick(live, 0, 1_000_000_000, timer="tock")
    assert (live.runner.stats.malformed, live.app("seen")) == (1, [])


def test_a_late_copy_of_a_report_is_counted_and_no_restart(live: Setup) -> None:
    with capture_logs() as logs:
        for seq in (5, 6, 5, 6, 7):
            live.report(seq)
    assert (live.app("seen"), live.runner.stats.late, live.runner.stats.missed) == ([5, 6, 7], 2, 0)
    assert logs == []


def test_a_handler_sees_the_columns_of_its_manifest_and_no_others(live: Setup) -> None:
    wide = make_report({"CQI": [3], "DRB.UEThpDl": [1]}, node="toy-1")
    live.say(topics.report("toy-1", "ue", 100), encode(replace(wide, run="1")))
    live.hear()
    assert live.app("columns") == [("DRB.UEThpDl",)]


def test_a_value_that_cannot_be_is_none_and_a_report_that_contradicts_itself_is_counted(live: Setup) -> None:
    topic = topics.report("toy-1", "ue", 100)
    impossible = make_report({"DRB.UEThpDl": [-1.0]}, node="toy-1")
    doubled = make_report({"DRB.UEThpDl": [5, 6]}, ids={"ue": [3, 3]}, node="toy-1", seq=1)
    for report in (impossible, doubled):
        live.say(topic, encode(replace(report, run="1")))
        live.hear()
    stats = live.runner.stats
    assert (live.app("seen"), stats.outside, stats.malformed, stats.failures) == ([0], 1, 1, 0)


def test_a_slow_handler_is_told_as_such_and_no_node_is_blamed(live: Setup) -> None:
    live.report(0, 1)
    live.app("slow").append(lambda: setattr(live.wall, "now_s", live.wall.now_s + 40.0))
    with capture_logs() as logs:
        live.report(1)
        live.wall.tick_s = 0.001
        live.runner.run(threading.Event(), duration_s=0.1)
    slow = [line for line in logs if line["event"] == "handler_slow"]
    assert [(line["took_s"], line["period_ms"]) for line in slow] == [(40.0, 100)]
    assert "no_reports" not in [line["event"] for line in logs]
    assert [text for _, _, (_, text) in live.app("ends")] == ["the xApp left before the answer"]


def test_a_handler_is_slow_beyond_its_period_and_is_told_once(live: Setup) -> None:
    with capture_logs() as logs:
        for seq, took_s in enumerate((0.05, 0.15, 0.15, 0.15, 0.15, 0.15)):
            live.app("slow").append(lambda s=took_s: setattr(live.wall, "now_s", live.wall.now_s + s))
            live.report(seq)
    told = [line["took_s"] for line in logs if line["event"] == "handler_slow"]
    assert (live.runner.stats.slow, told) == (5, [0.15])


def test_a_handler_that_cannot_keep_up_is_told_once_with_what_is_missed(live: Setup) -> None:
    """200 ms of work on reports that come every 100 ms: the runner hears every second one."""
    with capture_logs() as logs:
        for seq in range(0, 14, 2):
            live.app("slow").append(lambda: setattr(live.wall, "now_s", live.wall.now_s + 0.2))
            live.report(seq)
    told = [line["reason"] for line in logs if line["event"] == "handlers_too_slow"]
    assert told == [
        "handler act: 200 ms at p50, its reports come every 100 ms: every second report is missed"
    ]
    assert live.runner.stats.missed == 6


def test_answers_that_wait_are_read_before_the_next_report_reaches_a_slow_handler(live: Setup) -> None:
    """Otherwise each report lets one answer through, and those that wait end as UNKNOWN although the node answered."""
    for seq in range(3):
        live.report(seq, rate=1)
    ends: list[int] = []
    live.app("slow").append(lambda: ends.append(len(live.app("ends"))))
    live.send(3)
    for batch in live.batches:
        live.say(topics.result("live", "toy-1"), encode(result_of(batch)))
    live.hear()
    assert ends == [3]


# Foreign bytes


def test_reports_of_another_stream_or_without_a_column_are_not_the_handlers_fault(live: Setup) -> None:
    topic = topics.report("toy-1", "ue", 100)
    strangers: list[Report] = [
        make_report({"CQI": [1]}, node="toy-1"),
        make_report({"DRB.UEThpDl": [1]}, node="toy-2"),
        make_report({"DRB.UEThpDl": [1]}, node="toy-1", period_ms=1000),
        make_report({"DRB.UEThpDl": [1]}, node="toy-1", level="cell"),
    ]
    for stranger in strangers:
        live.say(topic, encode(stranger))
        live.hear()
    stats = live.runner.stats
    assert (stats.malformed, stats.failures, stats.reports, live.app("seen")) == (4, 0, 0, [])
    live.report(0)
    live.say(topic, encode(strangers[0]))  # also after one that had all
    live.hear()
    assert (stats.malformed, live.app("seen")) == (5, [0])


def test_a_node_that_answers_for_another_or_other_targets_ends_nothing(live: Setup) -> None:
    live.report(0, 1)
    (batch,) = live.batches
    lies = [
        (replace(batch, node="toy-2"), topics.result("live", "toy-1")),  # on a topic that is not its own
        (replace(batch, node="toy-2"), topics.result("live", "toy-2")),  # an id that toy-1 was asked with
        (replace(batch, action=SetUeWeight(ue=[0], weight=2.0)), topics.result("live", "toy-1")),
    ]
    live.say(topics.catalogue("toy-2"), encode(ToyWorld().catalogues[1]), retain=True)
    live.hear()
    for told, topic in lies:
        live.say(topic, encode(result_of(told)))
    live.hear()
    assert (live.runner.stats.malformed, live.app("ends")) == (3, [])
    live.answer(batch)
    assert [statuses for _, statuses, _ in live.app("ends")] == [[Status.APPLIED] * 2]


def test_a_catalogue_on_the_topic_of_another_node_changes_nothing(live: Setup) -> None:
    live.say(topics.catalogue("toy-9"), encode(ToyWorld().catalogues[1]), retain=True)
    live.hear()
    live.say(topics.report("toy-2", "ue", 100), encode(make_report({"DRB.UEThpDl": [0.0]}, node="toy-2")))
    live.hear()
    assert (live.runner.stats.malformed, live.runner.stats.reports) == (1, 0)


@pytest.mark.parametrize(
    "garbage", [b"", b"\x00\xff", b"{}\n", b"[" * 100_000, b'{"v": 2}\n', b"9" * 100_000]
)
def test_garbage_is_counted_on_each_topic_and_the_loop_goes_on(live: Setup, garbage: bytes) -> None:
    for topic in (
        topics.report("toy-1", "ue", 100),
        topics.catalogue("toy-1"),
        topics.result("live", "toy-1"),
    ):
        live.say(topic, garbage)
    live.hear()
    live.hear()  # on a machine that stalls, one poll leaves messages to the next, and a newer report takes the place of one
    live.report(0, 1)
    live.answer(live.batches[0])
    stats = live.runner.stats
    assert (stats.malformed, stats.reports, stats.results[Status.APPLIED]) == (3, 1, 2)


def test_the_life_sign_is_shown_again_after_a_reconnection(live: Setup) -> None:
    signs: list[bool] = []
    watcher: Bus = live.others
    watcher.subscribe(topics.presence("live"), lambda _, p: signs.append(decode_presence(p).alive))
    watcher.poll()
    live.bus.stats.reconnects += 1
    live.wall.tick_s = 0.01
    live.runner.run(threading.Event(), duration_s=0.05)
    watcher.poll()
    assert signs == [True, True, False]  # at the start, after the reconnection, and good-bye


SLOW_RESULT = """
from ranloop import SetUeWeight, XApp
app = XApp()
ends, slow = [], []

@app.on_report("DRB.UEThpDl")
def act(report):
    return SetUeWeight(ue=[0], weight=2.0)

@app.on_result
def learn(result):
    ends.append(result.causes[result.cause[0]][1])
    if slow:
        slow.pop()()
"""


def test_a_slow_result_handler_is_no_silence_of_a_node(tmp_path: Path) -> None:
    with closing(Setup(tmp_path, app=SLOW_RESULT)) as setup:
        setup.report(0)
        setup.report(1)
        first, second = setup.batches

        def meanwhile() -> None:
            setup.wall.now_s += 40.0
            setup.say(topics.result("live", "toy-1"), encode(result_of(second)))

        setup.app("slow").append(meanwhile)
        setup.say(topics.result("live", "toy-1"), encode(result_of(first)))
        setup.wall.tick_s = 0.001
        setup.runner.run(threading.Event(), duration_s=0.05)
        assert setup.app("ends") == ["", ""]


def test_a_slow_timer_is_no_silence_of_a_node_that_sends_no_reports(tmp_path: Path) -> None:
    with closing(Setup(tmp_path)) as setup:

        def step(number: int) -> None:
            said = Step(host="host", step=number, ran_time_ns=number * 10**9, timers=("beat",))
            setup.say(topics.step("host", "live"), encode(said))

        setup.app("wanted").append(Request(action=SetUeWeight(ue=[0], weight=2.0), node="toy-1"))
        step(1)
        setup.hear()
        (asked,) = setup.batches

        def meanwhile() -> None:
            setup.wall.now_s += 40.0
            setup.say(topics.result("live", "toy-1"), encode(result_of(asked)))

        setup.app("slow").append(meanwhile)
        step(2)
        setup.wall.tick_s = 0.001
        setup.runner.run(threading.Event(), duration_s=0.05)
        assert [text for _, _, (_, text) in setup.app("ends")] == [""]


def test_a_restarted_node_ends_what_was_open_before_the_xapp_is_told_of_the_restart(tmp_path: Path) -> None:
    app = APP + "\n\n@app.on_restart\ndef anew(node):\n    ends.append(node)\n"
    setup = Setup(tmp_path, app=app)
    with closing(setup):
        setup.report(5, rate=1.0)
        setup.run = "2"
        setup.report(0)
        assert [end if isinstance(end, str) else end[1] for end in setup.app("ends")] == [
            [Status.UNKNOWN, Status.UNKNOWN],
            "toy-1",
        ]
        assert setup.app("seen") == [5, 0]
