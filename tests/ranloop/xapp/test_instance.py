"""What an instance makes of a handler's answer: ids, leases, validity, order, and the user's traceback."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from ranloop.errors import ManifestError, WireError
from ranloop.testing import make_report
from ranloop.wire.messages import Cause, Result, Status, Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.builders import write_xapp
from tests.model_packages import write_model

BOTH = """
from ranloop import Handover, Request, SetUeWeight, XApp
app = XApp()
seen = []

@app.on_report("CQI")
def act(report):
    if report.seq == 99:
        raise RuntimeError("boom")
    yield SetUeWeight(ue=report.ue, weight=2.0)
    yield Request(action=Handover(ue=[1], target_cell=[0]), valid_ms=30, atomic=True)

@app.every("1s")
def heartbeat():
    return SetUeWeight(ue=[1], weight=1.0)

@app.on_result
def learn(result):
    seen.append(result.id)

@app.summary
def found():
    return {"results": len(seen)}
"""


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(load_package(write_xapp(tmp_path / "both", app=BOTH)), incarnation="run7")


def test_a_setting_gets_a_lease_of_three_periods_and_a_one_shot_none(instance: Instance) -> None:
    setting, one_shot = instance.on_report(make_report({"CQI": [5]}, seq=4))
    assert (setting.lease_ms, one_shot.lease_ms) == (300, None)
    # report of period 4 ends at 500 ms; valid two periods, or what the request says
    assert (setting.valid_until_ns, one_shot.valid_until_ns) == (700_000_000, 530_000_000)
    assert (setting.atomic, one_shot.atomic) == (False, True)
    assert (setting.report_seq, setting.node, setting.xapp) == (4, "site0", "both")


def test_action_ids_never_repeat(instance: Instance) -> None:
    ids = [batch.id for seq in range(3) for batch in instance.on_report(make_report({"CQI": [5]}, seq=seq))]
    assert len(set(ids)) == 6
    assert ids[0] == "both-run7-1"


def test_an_action_carries_the_run_that_the_reports_of_its_node_carry(instance: Instance) -> None:
    def run_of(seq: int, run: str) -> str:
        return instance.on_report(dataclasses.replace(make_report({"CQI": [5]}, seq=seq), run=run))[0].run

    assert (run_of(0, "first"), run_of(1, "first"), run_of(0, "second")) == ("first", "first", "second")


def test_an_action_without_targets_is_not_sent(instance: Instance) -> None:
    batches = instance.on_report(
        make_report({"CQI": np.empty(0)}, ids={"ue": np.empty(0), "cell": np.empty(0)})
    )
    assert [batch.action.spec.name for batch in batches] == ["Handover"]


def test_a_report_of_another_stream_runs_nothing(instance: Instance) -> None:
    assert instance.on_report(make_report({"CQI": [5]}, period_ms=1000)) == []


def test_a_timer_must_say_where(instance: Instance) -> None:
    with pytest.raises(ManifestError, match=r"heartbeat \(.*app\.py:\d+\) wants \w+ without saying where"):
        instance.on_timer("heartbeat", 0)


def test_an_unknown_timer_is_refused(instance: Instance) -> None:
    with pytest.raises(WireError, match="has no timer 'pulse'; it has: heartbeat"):
        instance.on_timer("pulse", 0)


def test_a_raising_handler_becomes_the_answers_error_with_the_users_own_frames(instance: Instance) -> None:
    step = Step(host="host", step=3, ran_time_ns=0, reports=(make_report({"CQI": [5]}, seq=99),))
    answer = instance.handle(step)
    assert answer.batches == ()
    assert answer.error.endswith("RuntimeError: boom")
    assert 'raise RuntimeError("boom")' in answer.error
    assert "instance.py" not in answer.error  # our own frames are not the user's business


def test_the_summary_is_the_apps_own(instance: Instance) -> None:
    assert instance.summary() == {"results": 0}


def test_a_nan_that_a_handler_wants_held_is_its_own_mistake_by_name(tmp_path: Path) -> None:
    folder = write_xapp(tmp_path / "nan", policy="def weight(cqi): return cqi / cqi")
    instance = Instance(load_package(folder))
    with pytest.raises(
        ValueError, match=r"act \(.*app\.py:6\) wants SetUeWeight with weight = nan for target \[8\]"
    ):
        instance.on_report(make_report({"CQI": [5, np.nan]}, ids={"ue": [7, 8]}))


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ("[3, -1]", "wants SetUeWeight for ue -1; an id is a whole number from 0 to 16777215"),
        ("[1 << 24]", "wants SetUeWeight for ue 16777216"),
        ("range(65537)", "wants SetUeWeight for 65537 targets; at most 65536"),
    ],
)
def test_what_no_node_could_read_is_its_authors_mistake_by_name(
    tmp_path: Path, ids: str, reason: str
) -> None:
    app = f"""
        from ranloop import SetUeWeight, XApp
        app = XApp()

        @app.on_report("CQI")
        def act(report):
            return SetUeWeight(ue=list({ids}), weight=2.0)
    """
    instance = Instance(load_package(write_xapp(tmp_path / "wild", app=app)))
    with pytest.raises(ValueError, match=reason):
        instance.on_report(make_report({"CQI": [5]}))


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("5", "returned int, want actions such as SetUeWeight, or None"),
        ("0", "returned int, want"),
        ("report.block", "returned ndarray with ndarray, want"),
        ("[None]", "returned list with NoneType, want"),
        ("'weight 2'", "returned str, want"),
    ],
)
def test_what_is_no_action_is_told_with_the_handlers_name_file_and_line_and_none_of_our_frames(
    tmp_path: Path, returned: str, reason: str
) -> None:
    app = f"""
        from ranloop import XApp
        app = XApp()

        @app.on_report("CQI")
        def act(report):
            return {returned}
    """
    folder = write_xapp(tmp_path / "wrong", app=app)
    instance = Instance(load_package(folder))
    answer = instance.handle(Step(host="host", step=0, ran_time_ns=0, reports=(make_report({"CQI": [5]}),)))
    assert answer.error.startswith(f"TypeError: act ({folder / 'app.py'}:5) {reason}")


def test_a_handler_that_ends_the_process_has_failed_like_any_other(tmp_path: Path) -> None:
    app = """
        import sys
        from ranloop import XApp
        app = XApp()

        @app.on_report("CQI")
        def act(report):
            sys.exit(3)
    """
    instance = Instance(load_package(write_xapp(tmp_path / "leaving", app=app)))
    answer = instance.handle(Step(host="host", step=0, ran_time_ns=0, reports=(make_report({"CQI": [5]}),)))
    assert "in act\n    sys.exit(3)\nSystemExit: 3" in answer.error


def test_more_actions_in_one_step_than_an_answer_holds_are_refused_by_number(tmp_path: Path) -> None:
    app = """
        from ranloop import SetUeWeight, XApp
        app = XApp()

        @app.on_report("CQI")
        def act(report):
            return [SetUeWeight(ue=[1], weight=2.0)] * 4097
    """
    instance = Instance(load_package(write_xapp(tmp_path / "many", app=app)))
    answer = instance.handle(Step(host="host", step=0, ran_time_ns=0, reports=(make_report({"CQI": [5]}),)))
    assert "many wants 4097 actions in one step; at most 4096" in answer.error


ASKING = """
from ranloop import SetUeWeight, XApp
app = XApp()
first, second = app.model("first"), app.model("second")

@app.on_report("DRB.UEThpDl", "CQI")
def act(report):
    if report.seq == 0:
        first(report)  # asked, and nothing done
        return None
    if report.seq == 1:
        first(report)
        raise RuntimeError("boom")
    return wanted(report)

def wanted(report):
    if report.seq == 2:
        second(report)
    yield SetUeWeight(ue=report.ue, weight=2.0)
    if report.seq == 3:
        first(report)
"""
ASKING_MANIFEST = """
name = "asking"
version = "1"
summary = "test"
streams = [{ level = "ue", every_ms = 100, measurements = ["DRB.UEThpDl", "CQI"] }]
actions = [{ name = "SetUeWeight" }]
models = { first = "../first", second = "../second" }
"""


def test_a_batch_names_the_models_that_answered_in_its_own_call(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_model(tmp_path / name)
    instance = Instance(load_package(write_xapp(tmp_path / "asking", app=ASKING, text=ASKING_MANIFEST)))
    report = [make_report({"DRB.UEThpDl": [1], "CQI": [5]}, seq=seq) for seq in range(5)]
    assert instance.on_report(report[0]) == []
    with pytest.raises(RuntimeError, match="boom"):
        instance.on_report(report[1])
    named = [
        [tag.partition("@")[0] for batch in instance.on_report(one) for tag in batch.models]
        for one in report[2:]
    ]
    # Of a generator all that answered until its end; nothing is left of a call that ended in None or an error.
    assert named == [["second"], ["first"], []]


def test_a_batch_names_a_model_with_the_hash_of_its_file(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_model(tmp_path / name)
    instance = Instance(load_package(write_xapp(tmp_path / "asking", app=ASKING, text=ASKING_MANIFEST)))
    (batch,) = instance.on_report(make_report({"DRB.UEThpDl": [1], "CQI": [5]}, seq=2))
    digest = hashlib.sha256((tmp_path / "second" / "model.onnx").read_bytes()).hexdigest()
    assert batch.models == (f"second@{digest[:12]}",)


ANSWERING = """
from ranloop import Request, SetUeWeight, XApp
app = XApp()

@app.every("10s")
def act():
    return Request(action=SetUeWeight(ue=[1], weight=2.0), node="site0")

@app.on_result
def again(result):
    return SetUeWeight(ue=[1], weight=1.0)
"""


def test_what_a_result_leads_to_lives_as_long_as_what_the_result_is_about(tmp_path: Path) -> None:
    """Three periods of the timer; of the manifest's 100 ms stream where the batch is not known (any more)."""
    instance = Instance(load_package(write_xapp(tmp_path / "answering", app=ANSWERING)))
    (sent,) = instance.on_timer("act", 0)
    assert sent.lease_ms == 30_000
    (follows,) = instance.on_result(make_result(sent.id))
    assert (follows.lease_ms, follows.valid_until_ns) == (30_000, 20_000_000_000)
    (other,) = instance.on_result(make_result("of-somebody-else"))
    assert other.lease_ms == 300


def test_of_batches_sent_long_ago_nothing_is_remembered(tmp_path: Path) -> None:
    """What an instance remembers is bounded; a result so late leads to what an unknown one does: 3 x 100 ms."""
    instance = Instance(load_package(write_xapp(tmp_path / "answering", app=ANSWERING)))
    (first,) = instance.on_timer("act", 0)
    for _ in range(5_000):
        instance.on_timer("act", 0)
    (follows,) = instance.on_result(make_result(first.id))
    assert follows.lease_ms == 300


def make_result(batch_id: str) -> Result:
    return Result(
        id=batch_id,
        xapp="answering",
        node="site0",
        action="SetUeWeight",
        targets=np.array([[1]], np.int32),
        status=np.array([Status.APPLIED], np.uint8),
        cause=np.zeros(1, np.uint8),
        causes=((Cause.NONE, ""),),
        applied=np.array([[2]], np.float32),
        ran_time_ns=0,
    )
