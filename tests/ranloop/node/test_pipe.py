"""A node that is a program of its own: the loop closes over a pipe, and no program holds up or confuses its host."""

from __future__ import annotations

import ast
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from ranloop.bus import Bus
from ranloop.embedded import run_embedded
from ranloop.errors import NodeError
from ranloop.node import LiveHost, NodeHost, NodeRuntime, Registration, open_world
from ranloop.node.changes import ANSWER_WITHIN_NS
from ranloop.node.pipe import PipedNode
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch, CellRelation, Result, Status
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import write_xapp
from tests.ranloop.node.scripted import MS, rights

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "foreign_node" / "node.py"
PROLOGUE = """
import json, sys, time
def say(**said):
    print(json.dumps({"v": 1, **said}), flush=True)
def catalogue():
    say(kind="catalogue", node="n", measurements={"ue": ["CQI"]}, actions=["SetUeWeight"], periods_ms=[100],
        cells={"0": "c"}, control_delay_ms=10)
def report(seq, cqi=7.0, **changed):
    say(**{"kind": "report", "node": "n", "level": "ue", "period_ms": 100, "seq": seq,
        "ran_time_ns": (seq + 1) * 100_000_000, "ids": {"ue": [4], "cell": [0]}, "labels": {},
        "values": {"CQI": [cqi]}} | changed)
"""
WEIGHER = """
from ranloop import Report, SetUeWeight, XApp

app = XApp()
found = {"ticks": 0, "rates": []}


@app.on_report("DRB.UEThpDl")
def favour_two(report: Report) -> SetUeWeight:
    found["rates"] = report["DRB.UEThpDl"].tolist()
    return SetUeWeight(ue=report.ue, weight=[1, 1, 2, 2])


@app.every("200ms")
def tick() -> None:
    found["ticks"] += 1


@app.summary
def say():
    return found
"""
MANIFEST = """
name = "weigher"
version = "1"
summary = "Favours two UEs."
streams = [{ level = "ue", every_ms = 100, measurements = ["DRB.UEThpDl"] }]
actions = [{ name = "SetUeWeight" }]
"""


def program(code: str) -> str:
    """The command that runs `code` behind the prologue."""
    return shlex.join([sys.executable, "-c", PROLOGUE + code])


def wait_until(done: Callable[[], bool], within_s: float = 10.0) -> None:
    give_up_s = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < give_up_s
        threading.Event().wait(0.005)


@pytest.fixture
def opened() -> Iterator[Callable[[str], PipedNode]]:
    nodes: list[PipedNode] = []

    def open_one(code: str) -> PipedNode:
        nodes.append(PipedNode(program(code)))
        return nodes[-1]

    yield open_one
    for node in nodes:
        node.close()


def test_the_example_knows_nothing_of_ranloop() -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse(EXAMPLE.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names


def test_the_loop_closes_over_the_example_and_its_settings_go_back_at_the_end(
    connect: Callable[[str], Bus], tmp_path: Path
) -> None:
    instance = Instance(load_package(write_xapp(tmp_path / "weigher", app=WEIGHER, text=MANIFEST)))
    stop = threading.Event()
    with closing(open_world(f"pipe:{shlex.join([sys.executable, str(EXAMPLE)])}")) as node:
        registered = {"weigher": Registration(rights=instance.manifest.rights)}
        host = NodeHost(node, connect("host"), xapps=registered, run="1")
        live = LiveHost(host)
        runner = LiveRunner(instance, connect("weigher"))
        thread = threading.Thread(target=runner.run, args=(stop,), name="weigher")
        thread.start()
        summary = live.run(1.05)
        stop.set()
        thread.join()
    assert summary.n_reports == 10
    assert set(summary.outcomes) <= {"applied", "ended/at-end", "expired/at-end", "expired/stale"}
    assert summary.outcomes["ended/at-end"] == 4  # the four UEs are back at weight 1
    found = instance.summary()
    assert found["rates"] == [10_000, 10_000, 20_000, 20_000]  # 60 Mbit/s by 1 : 1 : 2 : 2
    assert found["ticks"] == 5


# The port


def test_a_program_offers_what_its_ues_measure_of_cells(opened: Callable[[str], PipedNode]) -> None:
    node = opened(
        """
say(kind="catalogue", node="n", measurements={"ue_cell": ["RSRP"]}, actions=["Handover"], periods_ms=[100], cells={"0": "c"},
    control_delay_ms=10, neighbours={"0": [{"cell": 5, "name": "far", "is_ho_allowed": False}]})
report(0, level="ue_cell", ids={"ue": [4, 4], "cell": [0, 0], "measured_cell": [0, 5]},
    labels={"measured_cell": {"5": "far"}}, values={"RSRP": [-90, None]})
sys.stdin.read()
"""
    )
    assert node.catalogues[0].neighbours == {0: (CellRelation(cell=5, name="far", is_ho_allowed=False),)}
    wait_until(lambda: node.next_report_ns() < FOR_EVER_NS)
    node.advance(node.next_report_ns())
    (report,) = node.reports({("n", "ue_cell", 100): frozenset({"RSRP"})})
    assert [(ue, rows.tolist()) for ue, rows in report.by_ue()] == [(4, [0, 1])]
    assert report.names_of("measured_cell").tolist() == ["", "far"]
    np.testing.assert_array_equal(report["RSRP"], [-90, np.nan])


def test_reports_wait_for_their_time_and_have_what_is_wanted(opened: Callable[[str], PipedNode]) -> None:
    node = opened("catalogue(); report(0); report(1); sys.stdin.read()")
    wait_until(lambda: node.next_report_ns() < FOR_EVER_NS)
    assert node.next_report_ns() == 100 * MS
    wanted = {("n", "ue", 100): frozenset({"CQI"})}
    assert node.reports(wanted) == []
    node.advance(100 * MS)
    (report,) = node.reports(wanted)
    assert (report.seq, report["CQI"].tolist(), report.ue.tolist()) == (0, [7.0], [4])
    wait_until(lambda: node.next_report_ns() == 200 * MS)
    node.advance(200 * MS)
    assert node.reports({}) == []
    assert node.next_report_ns() == FOR_EVER_NS
    assert node.hosts("n", "ue", np.array([4, 5], np.float32)).tolist() == [1, 0]
    assert node.hosts("n", "cell", np.array([0, 1], np.float32)).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "the program ended with exit code 0 before it said a catalogue"),
        ("sys.exit(3)", "the program ended with exit code 3 before it said a catalogue"),
        ("print('hello', flush=True); sys.stdin.read()", "a line that is no JSON"),
        ("report(0); sys.stdin.read()", "its first line is no catalogue"),
        ("say(kind='catalogue', node='N 1'); sys.stdin.read()", "catalogue: node: String should match"),
        (
            "say(kind='weather'); sys.stdin.read()",
            "a line of kind 'weather'; want catalogue, report or applied",
        ),
    ],
)
def test_a_program_that_does_not_begin_with_a_catalogue_is_refused_in_one_line(code: str, words: str) -> None:
    with pytest.raises(NodeError) as told:
        PipedNode(program(code))
    assert words in str(told.value)


def test_a_program_that_says_nothing_is_given_up_and_ended() -> None:
    with pytest.raises(NodeError, match=r"it said no catalogue within 0.1 s"):
        PipedNode(program("sys.stdin.read()"), first_word_s=0.1)


@pytest.mark.parametrize("address", ["pipe:no-such-program", "pipe:'", "pipe:"])
def test_a_command_that_cannot_be_started_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(NodeError, match=r"cannot be started|want kind:target"):
        open_world(address)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("report(0, level='cell', ids={'cell': [0]})", "which is not in the catalogue of n"),
        ("report(0, values={'RSRP': [-80.0]})", "with RSRP, which is not in the catalogue of n"),
        ("report(0, node='m')", "a ue report of m"),
        ("report(0, period_ms=50)", "every 50 ms"),
        ("catalogue()", "a second catalogue"),
        ("say(kind='applied', number=3, values={'weight': [1.0]})", "the node is asked nothing: late, twice"),
        ("print('{', flush=True)", "a line that is no JSON"),
        ("print('9' * (1 << 23), flush=True)", "a line of more than 4194304 bytes"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_once_and_the_node_goes_on(
    opened: Callable[[str], PipedNode], said: str, words: str
) -> None:
    with capture_logs() as logs:
        node = opened(f"catalogue(); {said}; report(7); sys.stdin.read()")
        wait_until(lambda: node.next_report_ns() == 800 * MS)
    told = [line["reason"] for line in logs if line["event"] == "node_line_dropped"]
    assert words in told[0]
    assert node.n_dropped >= 1


# Two phases


def ask(node: PipedNode) -> tuple[NodeRuntime, list[Result]]:
    """A runtime in which an xApp has asked for weight 2 on UE 4, and its slot has come."""
    wait_until(lambda: node.next_report_ns() < FOR_EVER_NS)
    runtime = NodeRuntime(node)
    runtime.admit("x", Registration(rights=rights("SetUeWeight", streams=[])))
    runtime.advance(100 * MS)
    batch = ActionBatch(
        id="b",
        xapp="x",
        node="n",
        seq=1,
        action=SetUeWeight(ue=[4], weight=2),
        valid_until_ns=300 * MS,
    )
    assert runtime.submit(batch, sender="x", node="n", now_ns=100 * MS) == []
    return runtime, list(runtime.advance(110 * MS).results)


ANSWERING = """
catalogue(); report(0)
for line in sys.stdin:
    change = json.loads(line)
    {answer}
"""


def test_an_answer_that_comes_later_is_the_result(opened: Callable[[str], PipedNode]) -> None:
    node = opened(
        ANSWERING.format(answer="say(kind='applied', number=change['number'], values={'weight': [1.5]})")
    )
    runtime, results = ask(node)

    def has_come() -> bool:
        results.extend(runtime.carry_out(120 * MS))
        return bool(results)

    wait_until(has_come)
    (result,) = results
    assert (result.status.tolist(), result.applied.tolist()) == ([Status.APPLIED], [[1.5]])


@pytest.mark.parametrize("answer", ["pass", "time.sleep(60)"])
def test_a_change_that_is_never_answered_ends_unknown(
    opened: Callable[[str], PipedNode], answer: str
) -> None:
    runtime, results = ask(opened(ANSWERING.format(answer=answer)))
    assert results == []
    assert runtime.next_event_ns() == 110 * MS + ANSWER_WITHIN_NS
    (result,) = runtime.advance(110 * MS + ANSWER_WITHIN_NS).results
    assert result.status.tolist() == [Status.UNKNOWN]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("{'weight': [1.0, 2.0]}", "with weight [2]; want weight [1]"),
        ("{'share': [1.0]}", "with share [1]; want weight [1]"),
        ("{'weight': [1e39]}", "of shape [1, 1] to change 0; want [1, 1], finite"),
    ],
)
def test_an_answer_that_does_not_fit_the_change_is_told_in_one_line(
    opened: Callable[[str], PipedNode], values: str, words: str
) -> None:
    node = opened(ANSWERING.format(answer=f"say(kind='applied', number=change['number'], values={values})"))
    with capture_logs() as logs:
        runtime, _ = ask(node)
        wait_until(lambda: bool(runtime.carry_out(120 * MS)) or node.n_dropped > 0 or runtime.n_dropped > 0)
    told = [line["reason"] for line in logs if line["event"] in ("node_line_dropped", "message_dropped")]
    assert [words in reason for reason in told] == [True]


def test_a_second_answer_is_told_and_changes_nothing(opened: Callable[[str], PipedNode]) -> None:
    twice = "[say(kind='applied', number=change['number'], values={'weight': [w]}) for w in (1.0, 9.0)]"
    node = opened(ANSWERING.format(answer=twice))
    with capture_logs() as logs:
        runtime, results = ask(node)
        wait_until(lambda: node.n_dropped == 1)
        results += runtime.carry_out(120 * MS)
    assert [result.applied.tolist() for result in results] == [[[1.0]]]
    assert [line["reason"] for line in logs if line["event"] == "node_line_dropped"] == [
        "an answer to change 0; the node is asked nothing: late, twice or another's"
    ]


def test_a_program_that_does_not_read_holds_nobody_up(opened: Callable[[str], PipedNode]) -> None:
    node = opened("catalogue(); time.sleep(60)")
    many = SetUeWeight(ue=np.arange(50_000), weight=2.0)  # more than a pipe holds
    began_s = time.monotonic()
    for number in range(20):
        node.hand_over("n", number, many)
    assert time.monotonic() - began_s < 5.0


def test_a_program_that_ends_ends_its_host_in_order(connect: Callable[[str], Bus]) -> None:
    with closing(PipedNode(program("catalogue(); report(0)"))) as node, capture_logs() as logs:
        registered = {"x": Registration(rights=rights(streams=[]))}
        summary = LiveHost(NodeHost(node, connect("host"), xapps=registered)).run()
    assert summary.ran_time_ns >= 100 * MS
    assert "nodes_ended" in [line["event"] for line in logs]


def test_a_node_that_reports_at_its_own_pace_is_not_run_in_lockstep(
    opened: Callable[[str], PipedNode], tmp_path: Path
) -> None:
    node = opened("catalogue(); sys.stdin.read()")
    with pytest.raises(
        NodeError, match="n reports at its own pace and does not wait for xApps; host it live"
    ):
        run_embedded(node, [])
