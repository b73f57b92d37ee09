"""A sweep on a cluster or in shards: the files of one on this machine, to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from ran_sim.engine.provenance import platform_provenance
from ran_sim.scenario import load_scenario
from ran_sim.tools import sweep as sweeps
from ran_sim.tools.cli import main
from ran_sim.tools.sweep import SweepError, Where
from ranloop_work import Shard, WorkError
from tests.command import Command
from tests.dask_cluster import dask_cluster

BASE = load_scenario("one-cell").with_overrides({"duration_s": 0.4, "warmup_s": 0.1})
RUNS = sweeps.plan(BASE, [1, 2, 3], {"load": [0.5, 1.0]})
SHORT = ("--override", "duration_s=0.2", "--override", "warmup_s=0.1")
SMALL = ("sweep", "one-cell", "--seeds", "1..5", "--jobs", "1", *SHORT)


@pytest.fixture
def ran_sim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command("ran_sim", main, monkeypatch, capsys)


def bits(folder: Path) -> dict[str, bytes]:
    """The files of runs."""
    return {file.name: file.read_bytes() for file in folder.glob("*-*.*")}


def test_the_workers_of_a_cluster_give_the_bits_of_this_machine(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    sweeps.sweep(BASE, RUNS, here, per_session=True)
    with dask_cluster() as dask:
        where = Where(on=dask.scheduler_address)
        told: list[bool] = []
        sweeps.sweep(BASE, RUNS[:2], there, where=where, per_session=True)
        sweeps.sweep(
            BASE, RUNS, there, where=where, per_session=True, on_done=lambda _, known: told.append(known)
        )
    assert told == [True] * 2 + [False] * 4  # the same call goes on, as on this machine
    assert len(bits(here)) == 12  # a record and sessions of each
    assert bits(here) == bits(there)


def test_a_worker_of_another_processor_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = platform_provenance()
    told = iter([here, {**here, "cpu": "abacus"}, here])  # of the folder, of the caller, of the worker
    monkeypatch.setattr("ran_sim.tools.sweep.platform_provenance", lambda: next(told))
    with (
        dask_cluster() as dask,
        pytest.raises(
            WorkError, match=rf"worker tcp://.* has cpu {here['cpu']}, here is abacus; results could"
        ),
    ):
        sweeps.sweep(BASE, RUNS[:1], tmp_path, where=Where(on=dask.scheduler_address))


def test_what_was_done_on_a_cluster_that_vanishes_is_kept(tmp_path: Path) -> None:
    with dask_cluster() as dask:

        def lose(record: sweeps.Record, known: bool) -> None:
            dask.close()

        with pytest.raises(WorkError, match="the scheduler has gone"):
            sweeps.sweep(BASE, RUNS, tmp_path, where=Where(on=dask.scheduler_address), on_done=lose)
    assert 1 <= len(bits(tmp_path)) < len(RUNS)


# -- shards -------------------------------------------------------------------------------------------------------


def test_shards_in_one_folder_are_the_whole_run_to_the_bit(ran_sim: Command, tmp_path: Path) -> None:
    assert ran_sim(*SMALL, "--out", tmp_path / "whole.parquet").code == 0
    for number in (2, 1):
        told = ran_sim(*SMALL, "--out", tmp_path / "parts.parquet", "--shard", f"{number}/2")
        assert told.code == 0, told
        n_runs = 3 if number == 1 else 2
        assert f"shard {number}/2: {n_runs} of 5 runs are in" in told.out
        assert not (tmp_path / "parts.parquet").exists()  # a part is no table
    assert ran_sim(*SMALL, "--out", tmp_path / "parts.parquet", "--merge").code == 0
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert bits(tmp_path / "parts.runs") == bits(tmp_path / "whole.runs")


def test_a_merge_says_which_shards_are_missing_and_runs_nothing(ran_sim: Command, tmp_path: Path) -> None:
    def complaint(*words: str) -> str:
        told = ran_sim(*SMALL, "--out", tmp_path / "a.parquet", *words)
        assert (told.code, told.out, told.err.strip().count("\n")) == (2, "", 0), told
        return told.err

    assert "5 of 5 runs are missing (the first is seed 1, {'duration_s': 0.2" in complaint("--merge")
    assert ran_sim(*SMALL, "--out", tmp_path / "a.parquet", "--shard", "2/3").code == 0  # seeds 2 and 5
    assert "3 of 5 runs are missing (shards 1/3, 3/3); do them first" in complaint("--merge")
    assert "has shards of 3, which overlap with it; want I/3" in complaint("--shard", "1/2")
    assert "want I/N, the I-th of N" in complaint("--shard", "4/3")
    assert "leave one of them out" in complaint("--shard", "1/3", "--merge")


def test_shards_work_beside_each_other_but_not_beside_the_whole(tmp_path: Path) -> None:
    half = tmp_path / "half.part"
    with sweeps._locked(tmp_path, Shard(1, 2)):
        half.write_bytes(b"")
        sweeps.sweep(BASE, RUNS[:2], tmp_path, where=Where(shard=Shard(2, 2)))
        assert half.exists()  # another shard may be writing it
        with pytest.raises(SweepError, match="a sweep is under way in it"):
            sweeps.sweep(BASE, RUNS[:2], tmp_path)
    assert len(bits(tmp_path)) == 1
