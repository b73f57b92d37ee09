"""Paired drops on several processes: results in the order of the tasks, progress on the way, a failure with its error."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ranloop import evaluate
from ranloop.embedded import run_embedded
from ranloop.errors import LockstepError, ManifestError, MissingExtraError, NodeError, VocabularyError
from ranloop.evaluate import Arm, DropResult, Progress, Task, run_drop, run_tasks
from ranloop.node import Recorder, open_world
from ranloop_work import Parcel, WorkError
from tests.builders import APP, write_xapp
from tests.dask_cluster import dask_cluster

SHORT = {"run.duration_s": 0.4, "run.warmup_s": 0.1}
NOTHING = Arm(name="nothing")
ROOT = Path(__file__).parents[2]


def task(arm: Arm, seed: int = 1, duration_s: float = 0.4) -> Task:
    return Task(arm=arm, seed=seed, node="sim:one-cell", overrides={**SHORT, "run.duration_s": duration_s})


def test_results_come_in_the_order_of_the_tasks_and_each_is_told(tmp_path: Path) -> None:
    weigher = Arm(
        name="weigher", xapps=(write_xapp(tmp_path / "weigher"),), settings={"weigher": {"gain": 1.0}}
    )
    # The first takes longest: with two processes it is done after the second, unless that process starts very late.
    tasks = [task(weigher, 4, duration_s=8.0), task(NOTHING, 5), task(NOTHING, 4), task(weigher, 5)]
    done: list[DropResult] = []
    progress: list[Progress] = []
    results = run_tasks(tasks, processes=2, on_done=done.append, on_progress=progress.append)
    expected = [("weigher", 4), ("nothing", 5), ("nothing", 4), ("weigher", 5)]
    assert [(result.arm, result.seed) for result in results] == expected
    assert sorted((result.arm, result.seed) for result in done) == sorted(expected)
    assert ("weigher", 4) in {(news.arm, news.seed) for news in progress}
    assert all(0 < news.ran_time_s <= news.end_s for news in progress)
    assert results[0].outcomes["applied"] > 0
    assert results[1].outcomes == {}
    alone = run_drop(tasks[3])
    assert (alone.score, alone.outcomes) == (
        results[3].score,
        results[3].outcomes,
    )  # the process does not matter


def test_two_arms_of_one_drop_face_the_same_world(tmp_path: Path) -> None:
    idle = Arm(name="idle", xapps=(write_xapp(tmp_path / "idle"),), settings={"idle": {"gain": 0.1}})
    one, other = run_drop(task(NOTHING)), run_drop(task(idle))
    assert set(other.outcomes) == {"refused/range"}  # it asks for what it may not have: nothing changes
    assert one.score == other.score
    assert run_drop(task(NOTHING, seed=2)).score != one.score


def test_a_task_that_raises_shows_its_error(tmp_path: Path) -> None:
    broken = write_xapp(
        tmp_path / "broken", app=APP.replace("return SetUeWeight", "1 / 0; return SetUeWeight")
    )
    with pytest.raises(
        LockstepError, match=r"(?s)broken failed at 0\.\d+ s:.*broken/app.py.*ZeroDivisionError"
    ):
        run_drop(task(Arm(name="broken", xapps=(broken,))))
    lacking = write_xapp(tmp_path / "lacking", app="import nowhere_to_be_found\n" + APP)
    with pytest.raises(
        LockstepError, match=rf"(?s){re.escape(str(lacking))}/app.py.*ModuleNotFoundError: No module named"
    ):
        run_drop(task(Arm(name="lacking", xapps=(lacking,))))
    unknown = write_xapp(tmp_path / "unknown", app=APP.replace('"CQI"', '"CQY"'))
    with pytest.raises(VocabularyError, match="unknown measurement 'CQY'; did you mean CQI") as caught:
        run_tasks([task(Arm(name="unknown", xapps=(unknown,)))], processes=1)
    assert caught.value.near == ("CQI",)


def test_after_a_failure_the_waiting_tasks_are_not_run(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    leaves_a_mark = f"open({str(marks)!r}, 'a').write('x')\ndef weight(cqi): return cqi * 0 + 1.0"
    marking = Arm(name="marking", xapps=(write_xapp(tmp_path / "marking", policy=leaves_a_mark),))
    wrong = Arm(name="wrong", overrides={"lod": 1})
    with pytest.raises(NodeError, match="lod"):
        run_tasks([task(wrong), *(task(marking, seed) for seed in range(20))], processes=1)
    assert not marks.exists() or len(marks.read_text()) < 10


def test_what_an_xapp_prints_stays_out_of_the_commands_answer(tmp_path: Path) -> None:
    loud = write_xapp(tmp_path / "loud", policy="print('loud')\ndef weight(cqi): return cqi * 0 + 1.0")
    times = ("--seeds", "2..3", "--duration-s", "0.4", "--warmup-s", "0.1")
    compare = ("compare", "nothing", str(loud), "--node", "sim:one-cell", *times, "--json")
    done = subprocess.run(
        [sys.executable, "-c", "from ranloop.cli import main; main()", *compare],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["runs"]
    assert "loud" in done.stderr


def test_the_course_is_the_score_in_parts_and_changes_nothing() -> None:
    plain, parts = task(NOTHING, duration_s=1.6), replace(task(NOTHING, duration_s=1.6), course=True)
    one, other = run_drop(plain), run_drop(parts)
    assert one.score == other.score
    assert one.course == ()
    # at least half a second each; the first begins in the warm-up of 0.1 s, and the last 0.1 s are no part
    assert [time_s for time_s, _ in other.course] == [0.5, 1.0, 1.5]
    delivered = sum(
        score["delivered_mbps"] * s for s, (_, score) in zip((0.4, 0.5, 0.5), other.course, strict=True)
    )
    assert delivered == pytest.approx(run_drop(task(NOTHING, duration_s=1.5)).score["delivered_mbps"] * 1.4)


def test_no_task_is_no_work() -> None:
    assert run_tasks([]) == []


def test_a_setting_for_an_xapp_that_does_not_run_is_refused(tmp_path: Path) -> None:
    arm = Arm(name="typo", xapps=(write_xapp(tmp_path / "weigher"),), settings={"wieghter": {"gain": 1.0}})
    with pytest.raises(ManifestError, match="settings for wieghter, which does not run here"):
        run_drop(task(arm))


def test_a_node_without_a_score_cannot_be_compared(tmp_path: Path) -> None:
    with (
        closing(open_world("sim:one-cell", overrides=SHORT)) as world,
        Recorder(tmp_path / "run", world) as recorder,
    ):
        run_embedded(world, [write_xapp(tmp_path / "weigher")], outlets=[recorder])
    with pytest.raises(NodeError, match="keeps no score; compare arms on a simulated node"):
        run_drop(Task(arm=NOTHING, seed=1, node=f"replay:{tmp_path / 'run'}"))


def test_an_error_with_facts_comes_back_whole_from_another_process() -> None:
    for error in (
        VocabularyError("action", "SetUeWait", ("SetUeWeight",)),
        MissingExtraError("a broker", "broker"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_cluster_gives_the_results_of_this_machine_with_the_xapp_and_model_sent_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weigher = write_xapp(tmp_path / "weigher")
    arm = Arm(name="weigher", xapps=(weigher,), settings={"weigher": {"gain": 1.0}})
    modelled = Arm(name="with a model", xapps=(ROOT / "docs" / "examples" / "guide" / "rate_watch",))
    tasks = [task(arm), task(NOTHING), task(modelled)]
    here = [run_drop(each) for each in tasks]

    def unpack(parcel: Parcel, folder: Path) -> None:
        unpacked.append(folder)
        do(parcel, folder)

    unpacked: list[Path] = []
    do = Parcel.unpack
    monkeypatch.setattr(Parcel, "unpack", unpack)
    monkeypatch.setattr("ranloop.arm._copy", None)  # the worker has no such folders
    with dask_cluster() as dask:
        there = run_tasks(tasks, on=dask.scheduler_address)
    assert [(a.score, a.outcomes) for a in there] == [(a.score, a.outcomes) for a in here]
    assert {folder.name for folder in unpacked} >= {"weigher", "rate_watch"}
    assert len(unpacked) > 2  # and the model


def test_an_xapp_that_raises_on_a_worker_shows_its_authors_own_paths(tmp_path: Path) -> None:
    broken = write_xapp(
        tmp_path / "broken", app=APP.replace("return SetUeWeight", "1 / 0; return SetUeWeight")
    )
    with dask_cluster() as dask, pytest.raises(LockstepError, match=rf"(?s){broken}/app.py.*ZeroDivision"):
        run_tasks([task(Arm(name="broken", xapps=(broken,)))], on=dask.scheduler_address)


def test_a_worker_whose_scenario_differs_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    look = evaluate.look_at
    told = {"scenario_hash": "of the caller's file", "cpu": "any"}
    monkeypatch.setattr(evaluate, "look_at", lambda task: replace(look(task), provenance=told))
    with (
        dask_cluster() as dask,
        pytest.raises(WorkError, match=r"worker tcp.* has scenario_hash \w+, here is of the caller's file"),
    ):
        run_tasks([task(NOTHING)], on=dask.scheduler_address)
