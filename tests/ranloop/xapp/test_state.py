"""What an xApp keeps beyond its own end: what it may keep, where it is written, and what a damaged file costs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from ranloop import XApp
from ranloop.embedded import Choices, run_embedded
from ranloop.errors import RanloopError
from ranloop.testing import XAppHarness, make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.xapp.state import MAX_BYTES, MAX_NAMES, State
from ranloop.xapp.state_file import EVERY_S, StateFile
from tests.builders import MANIFEST, write_xapp
from tests.command import Command

COUNTS = """
from ranloop import XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def count(report):
    app.state["n"] = app.state.get("n", 0) + 1

@app.summary
def found():
    return {"n": app.state["n"]}
"""
COUNTS_MANIFEST = MANIFEST.format(name="counts").replace("CQI", "DRB.UEThpDl")
KEPT = {
    "n": 3,
    "mean": 0.1 + 0.2,
    "text": "Zelle Nord",
    "nested": {"list": [1, None, [True, 2.5]]},
    "weights": np.array([[1.5, np.nan], [np.inf, -0.0]], np.float32),
    "seen": np.array([True, False]),
    "none": np.empty((0, 3), np.int64),
}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return bool(a == b)


def test_a_state_comes_back_bit_for_bit() -> None:
    state = State.from_bytes(State(KEPT).to_bytes())
    assert set(state) == set(KEPT)
    assert [name for name, value in KEPT.items() if not same(value, state[name])] == []


def test_what_is_set_is_a_copy_and_what_is_changed_in_place_is_kept() -> None:
    mine = np.zeros(2)
    state = State({"array": mine, "list": [1]})
    mine[0] = 5.0
    state["list"].append(2)
    back = State.from_bytes(state.to_bytes())
    assert (back["array"].tolist(), back["list"]) == ([0.0, 0.0], [1, 2])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), r"app.state\['x'\] is nan; app.state keeps None, finite numbers"),
        ({"a": [1, {2, 3}]}, r"app.state\['x'\]\['a'\]\[1\] is set"),
        ({1: "a"}, r"app.state\['x'\] is dict"),
        ([np.zeros(2)], r"app.state\['x'\]\[0\] is an array of float64"),
        (np.array(["a"]), r"app.state\['x'\] is an array of <U1"),
        (1 << 64, r"app.state\['x'\] is 1844"),
    ],
)
def test_what_cannot_be_written_down_is_refused_where_it_is_set(value: object, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        State()["x"] = value


def test_a_state_is_bounded_in_bytes_and_names() -> None:
    state = State()
    with pytest.raises(ValueError, match=rf"at most {MAX_BYTES} are kept"):
        state["x"] = np.zeros(MAX_BYTES, np.uint8)  # 4/3 as many bytes in base64
    state.update((str(i), i) for i in range(MAX_NAMES))
    state["0"] = 1  # a known name is no new one
    with pytest.raises(ValueError, match="one name too many"):
        state["more"] = 1
    state["0"] = []
    state["0"].extend(["a" * MAX_BYTES] * 2)  # behind the back of `__setitem__`
    with pytest.raises(ValueError, match=r"app.state takes 21\d+ bytes; about 1048576 are kept"):
        state.to_bytes()


def test_a_file_is_written_when_the_state_has_changed_at_a_bounded_rate_and_at_the_end(
    tmp_path: Path,
) -> None:
    clock, file = Clock(), tmp_path / "a.json"
    with StateFile(tmp_path, "a", clock=clock) as kept:
        kept.turn()
        assert not file.exists()
        kept.state["n"] = 1
        clock.now_s = EVERY_S - 0.1
        kept.turn()
        assert not file.exists()
        clock.now_s = EVERY_S
        kept.turn()
        first = file.stat().st_ino
        clock.now_s = 2 * EVERY_S
        kept.turn()
        assert file.stat().st_ino == first  # unchanged: not written again
        kept.state["n"] = 2
    assert file.stat().st_ino != first
    assert StateFile(tmp_path, "a").state == {"n": 2}
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    "damage",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"format":2}',
        b'{"format":1,"values":{},"arrays":{"x":["<f4",[3],"AAAA"]}}',
        b"\xff",
    ],
)
def test_a_damaged_file_is_set_aside_in_one_line(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.json").write_bytes(damage)
    with capture_logs() as logs, StateFile(tmp_path, "a") as kept:
        assert len(kept.state) == 0
        kept.state["n"] = 1
    assert [log["event"] for log in logs] == ["state_damaged"]
    assert (tmp_path / "a.json.damaged").read_bytes() == damage
    assert StateFile(tmp_path, "a").state == {"n": 1}


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RanloopError, match=r"--state .*file: .*; want a folder to write in"):
        StateFile(tmp_path / "file", "a")


def test_a_state_that_can_no_longer_be_written_stops_nothing_and_is_told_once(tmp_path: Path) -> None:
    clock = Clock()
    with capture_logs() as logs, StateFile(tmp_path / "state", "a", clock=clock) as kept:
        kept.state["n"] = 1
        (tmp_path / "state").rmdir()
        for _ in range(3):
            clock.now_s += EVERY_S
            kept.turn()
    assert [log["event"] for log in logs] == ["state_not_written"]


def test_a_state_without_a_folder_is_told_once() -> None:
    with capture_logs() as logs, StateFile(None, "a") as kept:
        kept.turn()
        kept.state["n"] = 1
        kept.turn()
        kept.turn()
    assert [log["event"] for log in logs] == ["state_not_kept"]


def test_a_state_before_the_run_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"app\.state is used before the xApp runs"):
        _ = XApp().state


def test_an_embedded_run_begins_with_nothing_unless_told_a_folder(tmp_path: Path) -> None:
    folder = write_xapp(tmp_path / "counts", app=COUNTS, text=COUNTS_MANIFEST)

    def run(state: Path | None) -> int:
        n: int = run_embedded(ToyWorld(), [folder], Choices(state=state), until_ns=500_000_000).xapps[
            "counts"
        ]["n"]
        return n

    assert (run(None), run(None)) == (10, 10)  # five periods of two nodes
    assert (run(tmp_path / "kept"), run(tmp_path / "kept"), run(tmp_path / "other")) == (10, 20, 10)


def test_a_harness_takes_the_state_of_another(tmp_path: Path) -> None:
    folder = write_xapp(tmp_path / "counts", app=COUNTS, text=COUNTS_MANIFEST)
    first = XAppHarness(folder)
    first.send(make_report({"DRB.UEThpDl": [5]}))
    second = XAppHarness(folder, state=first.state)
    second.send(make_report({"DRB.UEThpDl": [5]}))
    assert (dict(first.state), dict(second.state)) == ({"n": 1}, {"n": 2})


def test_ranloop_run_keeps_the_state_in_a_folder(tmp_path: Path, ranloop: Command) -> None:
    folder = write_xapp(tmp_path / "counts", app=COUNTS, text=COUNTS_MANIFEST)
    for _ in range(2):
        ranloop("run", folder, "--node", "sim:one-cell", "--duration-s", "0.2", "--state", tmp_path / "kept")
    assert StateFile(tmp_path / "kept", "counts").state == {"n": 4}


def test_the_variable_of_live_runs_leaves_a_simulation_as_it_is(
    tmp_path: Path, ranloop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_xapp(tmp_path / "counts", app=COUNTS, text=COUNTS_MANIFEST)
    monkeypatch.setenv("RANLOOP_STATE", str(tmp_path / "kept"))
    ranloop("run", folder, "--node", "sim:one-cell", "--duration-s", "0.2")
    assert not (tmp_path / "kept").exists()
