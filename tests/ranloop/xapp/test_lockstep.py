"""The lockstep runner: one answer for each step, garbage on its topic changes nothing, a silent host ends the wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ranloop.bus import Bus, is_question
from ranloop.errors import LockstepError
from ranloop.node import LockstepHost, NodeHost, Registration
from ranloop.testing import make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_answer, decode_presence, encode
from ranloop.wire.messages import Answer, Presence, Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import APP, MANIFEST, write_xapp

MANIFEST_OF_TOY = MANIFEST.replace('"CQI"', '"DRB.UEThpDl"')
APP_OF_TOY = APP.replace('"CQI"', '"DRB.UEThpDl"')


def instance_of(folder: Path, app: str = APP_OF_TOY) -> Instance:
    text = MANIFEST_OF_TOY.format(name=folder.name)
    return Instance(load_package(write_xapp(folder, app=app, text=text)))


def test_each_step_has_one_answer_and_the_last_one_ends_the_run(
    connect: Callable[[str], Bus], tmp_path: Path
) -> None:
    host, answers, signs = connect("host"), list[Answer](), list[Presence]()
    host.subscribe(topics.answer("calm", "host"), lambda _, payload: answers.append(decode_answer(payload)))
    host.subscribe(topics.presence("calm"), lambda _, payload: signs.append(decode_presence(payload)))
    instance = instance_of(tmp_path / "calm")
    runner = LockstepRunner(instance, connect("calm"))
    report = make_report({"DRB.UEThpDl": [1.0]})
    host.publish(
        topics.step("host", "calm"), encode(Step(host="host", step=0, ran_time_ns=0, reports=(report,)))
    )
    host.publish(topics.step("host", "calm"), encode(Step(host="host", step=1, ran_time_ns=0, last=True)))
    runner.run(timeout_s=5.0)
    runner.close()
    host.poll()
    assert [(answer.step, len(answer.batches)) for answer in answers] == [(0, 1), (1, 0)]
    assert [(sign.alive, is_question(sign)) for sign in signs] == [
        (True, True),
        (True, False),
        (False, False),
    ]
    assert signs[1].facts["streams"] == [["ue", 100]]


def step_bytes(number: int, *, seq: int = 0) -> bytes:
    report = make_report({"DRB.UEThpDl": [1.0]}, seq=seq)
    return encode(Step(host="host", step=number, ran_time_ns=report.ran_time_ns, reports=(report,)))


def test_a_step_that_a_broker_delivers_twice_has_one_effect_and_the_same_answer(
    connect: Callable[[str], Bus], tmp_path: Path
) -> None:
    host, bus, answers = connect("host"), connect("calm"), list[bytes]()
    host.subscribe(topics.answer("calm", "host"), lambda _, payload: answers.append(payload))
    instance = instance_of(tmp_path / "calm")
    runner = LockstepRunner(instance, bus)
    for payload in (step_bytes(0), step_bytes(0), step_bytes(1, seq=1)):
        host.publish(topics.step("host", "calm"), payload)
    bus.poll()
    host.poll()
    assert answers[0] == answers[1]
    # The third answer carries the second batch: the repetition made none.
    assert [batch.id for batch in decode_answer(answers[2]).batches] == ["calm-0-2"]
    assert not runner.over


def test_two_hosts_of_one_name_are_told_so(connect: Callable[[str], Bus], tmp_path: Path) -> None:
    host, bus, answers = connect("host"), connect("calm"), list[Answer]()
    host.subscribe(topics.answer("calm", "host"), lambda _, payload: answers.append(decode_answer(payload)))
    runner = LockstepRunner(instance_of(tmp_path / "calm"), bus)
    for payload in (step_bytes(0), step_bytes(0, seq=7)):
        host.publish(topics.step("host", "calm"), payload)
    bus.poll()
    host.poll()
    assert [answer.error for answer in answers] == [
        "",
        "step 0 after step 0: another run has begun, or two hosts have one name",
    ]
    assert runner.over


def test_garbage_on_the_step_topic_is_counted_and_the_run_is_the_same(
    connect: Callable[[str], Bus], tmp_path: Path
) -> None:
    def run(name: str, garbage: list[bytes]) -> tuple[str, int]:
        instance, bus, vandal = (
            instance_of(tmp_path / name / "calm"),
            connect(name),
            connect(f"{name}-vandal"),
        )
        runner = LockstepRunner(instance, bus)
        registered = {"calm": Registration(rights=instance.manifest.rights)}

        def vandalise() -> None:
            if garbage:
                vandal.publish(topics.step("host", "calm"), garbage.pop())

        node_host = NodeHost(ToyWorld(), connect(f"{name}-host"), xapps=registered)
        host = LockstepHost(node_host, poll_others=[bus.poll, vandalise])
        summary = host.run(timeout_s=10.0)
        runner.close()
        return summary.trace_hash, runner.malformed

    clean, none = run("clean", [])
    noisy, counted = run(
        "noisy", [b"", b"\x00", b"{}\n", b"[" * 100_000, encode(Presence(name="x", alive=True))]
    )
    assert (none, counted) == (0, 5)
    assert noisy == clean


def test_a_raising_handler_is_answered_with_the_authors_frames_and_ends_the_run(
    connect: Callable[[str], Bus], tmp_path: Path
) -> None:
    app = APP_OF_TOY.replace("return SetUeWeight", "1 / 0; return SetUeWeight")
    instance, bus = instance_of(tmp_path / "broken", app), connect("broken")
    runner = LockstepRunner(instance, bus)
    host = LockstepHost(
        NodeHost(
            ToyWorld(), connect("host"), xapps={"broken": Registration(rights=instance.manifest.rights)}
        ),
        poll_others=[bus.poll],
    )
    with pytest.raises(
        LockstepError, match=r"(?s)broken failed at 0.1 s:.*app.py.*1 / 0.*ZeroDivisionError"
    ) as caught:
        host.run(timeout_s=10.0)
    assert "sdk/ranloop" not in str(caught.value)
    assert runner.over
    with pytest.raises(LockstepError) as told:  # where the xApp runs it is told in the same words
        runner.run(timeout_s=0.1)
    assert str(told.value) == str(caught.value)


def test_a_request_that_no_node_could_read_raises_in_the_authors_line(tmp_path: Path) -> None:
    for wanted, words in {
        "lease_ms=0": "lease_ms is a whole number of milliseconds from 1",
        "valid_ms=2.5": "valid_ms is a whole number of milliseconds from 1",
        'node="Site 1"': "node 'Site 1' is no node's name",
    }.items():
        app = f"""
        from ranloop import Request, SetUeWeight, XApp
        app = XApp()

        @app.on_report("DRB.UEThpDl")
        def act(report):
            return Request(action=SetUeWeight(ue=report.ue, weight=2.0), {wanted})
        """
        instance = instance_of(tmp_path / wanted.partition("=")[0] / "asking", app)
        step = Step(host="host", step=0, ran_time_ns=0, reports=(make_report({"DRB.UEThpDl": [1.0]}),))
        error = instance.handle(step).error
        assert words in error
        assert "return Request" in error


def test_a_host_that_never_speaks_is_given_up(connect: Callable[[str], Bus], tmp_path: Path) -> None:
    runner = LockstepRunner(instance_of(tmp_path / "calm"), connect("calm"))
    with pytest.raises(LockstepError, match=r"calm: no step from host 'host' for 0 s; is it running\?"):
        runner.run(timeout_s=0.05)


def test_a_host_that_goes_away_in_the_middle_ends_the_wait_at_once(
    connect: Callable[[str], Bus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = connect("host")

    def show(*, alive: bool, run: str) -> None:
        sign = Presence(name="host", alive=alive, facts={"kind": "node-host", "run": run})
        host.publish(topics.presence("host"), encode(sign), qos=1, retain=True)

    show(alive=False, run="of the day before")  # nothing to this xApp: it waits for a host to come
    bus = connect("calm")
    runner = LockstepRunner(instance_of(tmp_path / "calm"), bus)
    with pytest.raises(LockstepError, match="no step from host 'host'"):
        runner.run(timeout_s=0.05)
    show(alive=True, run="1")
    host.publish(topics.step("host", "calm"), step_bytes(0))
    bus.poll()
    bus.poll()
    show(alive=False, run="of the day before")  # a late will
    with pytest.raises(LockstepError, match="no step from host 'host'"):
        runner.run(timeout_s=0.05)
    monkeypatch.setattr("ranloop.xapp.lockstep.GONE_S", 0.2)
    show(alive=False, run="1")
    with pytest.raises(LockstepError, match="no step from host 'host'"):
        runner.run(timeout_s=0.05)  # it may be back in a moment
    with pytest.raises(
        LockstepError, match=r"^calm: host 'host' went away in the middle of the run, after step 0$"
    ):
        runner.run(timeout_s=30.0)
