"""What the benchmarks say of other simulators, there or not."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import peer_runs, peers
from benchmarks.measure import Row

Measured = Callable[[str], list[Row]]
REPOSITORY = Path(__file__).parents[2]
PEER = peers.Peer(run="fake", title="Fake", sites=1, n_step=40, step_s=0.01, note="leaves all out")
ANSWERS = "import sys; print('\"fake 1.2\"', flush=True)\nfor line in sys.stdin: print(0.5, flush=True)"


class Engine:
    """Counts slots; 3 cells, 30 UEs, slots of 0.5 ms."""

    n_cell, n_ue, slot_ns = 3, 30, 500_000

    def __init__(self, scenario: object, seed: int) -> None:
        self.slot = 0

    def run_until(self, slot: int) -> None:
        self.slot = slot


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    """The rows of a peer whose process runs the given source."""

    def measured(source: str) -> list[Row]:
        script = tmp_path / "peer.py"
        script.write_text(source, "utf-8")
        monkeypatch.setattr(peers, "_SCRIPT", script)
        monkeypatch.setattr(peers, "_ours_s", lambda engine, n_slots: 0.25)
        monkeypatch.setattr(peers, "Engine", Engine)
        monkeypatch.delenv(peers.INTERPRETER, raising=False)
        return peers.rows(PEER)

    return measured


def test_a_peer_stands_beside_ours_in_steps_and_in_real_time(rows: Measured) -> None:
    steps, real_time = rows(ANSWERS)
    # Ours: 30 UEs x 4000 slots in 0.25 s; the peer: 30 UEs x 40 steps in 0.5 s.
    assert (steps.p50, steps.peer, steps.peer_p50) == pytest.approx((0.48, "fake 1.2", 0.0024))
    assert steps.ratio_p50 == pytest.approx(0.0024 / 0.48)  # share of the peer's time that a step takes
    # 4000 slots of 0.5 ms are 2 s, 40 steps of 10 ms are 0.4 s.
    assert (real_time.p50, real_time.peer_p50, real_time.ratio_p50) == pytest.approx((8.0, 0.8, 0.1))
    assert steps.name == "beside Fake, UE·steps; 3 cells, 30 UEs"
    assert steps.note == "leaves all out"


def test_a_missing_peer_is_a_row_that_says_how_to_install_it(rows: Measured) -> None:
    for row in rows("import a_simulator_that_nobody_wrote"):
        assert (row.peer, row.peer_p50, row.ratio_p50) == ("Fake", None, None)
        assert row.note == "not installed: pip install --group peers"
        assert row.p50 > 0.0
        assert row.ok is None


@pytest.mark.parametrize("rounds", [0, 2])
def test_a_peer_that_fails_is_a_row_with_its_last_words(rows: Measured, rounds: int) -> None:
    source = (
        f"print('\"fake 1.2\"', flush=True)\nfor _ in range({rounds}): input(); print(0.5, flush=True)\n1 / 0"
    )
    for row in rows(source):
        assert row.peer_p50 is None
        assert row.note == "did not run: ZeroDivisionError: division by zero"


def test_an_interpreter_that_is_not_there_is_named(rows: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(ANSWERS)
    monkeypatch.setenv(peers.INTERPRETER, "/no/such/python")
    (row, _) = peers.rows(PEER)
    assert row.note == "RANLOOP_PEERS_PYTHON=/no/such/python: No such file or directory"


def test_the_interpreter_of_the_peers_is_the_one_that_was_named(
    rows: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows("1 / 0")
    monkeypatch.setenv(peers.INTERPRETER, sys.executable)
    assert peers.rows(PEER)[0].note.startswith("did not run")


def test_peers_are_pinned_in_a_group_that_no_other_group_installs() -> None:
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    pinned = {
        requirement.split("==")[0].split("[")[0] for requirement in groups["peers"] if "==" in requirement
    }
    assert pinned == {distribution for distribution, _ in peer_runs.RUNS.values()}
    included = [entry for group in groups.values() for entry in group if isinstance(entry, dict)]
    assert {"include-group": "peers"} not in included


def test_every_peer_has_a_run_and_says_what_it_leaves_out() -> None:
    assert {peer.run for peer in peers.PEERS} == set(peer_runs.RUNS)
    assert all("no " in peer.note for peer in peers.PEERS)
