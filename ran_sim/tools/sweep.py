"""Many runs, seeds times settings, on several processes or machines. Each run is kept at its end, and all go into one Parquet file.

A run is one file in the folder of runs. The file is written under another name, synced and renamed, so it is whole or not
there. A sweep that was killed goes on where it stopped, with the same call. Runs of another scenario or of other versions are
never mixed: such a folder is refused. Results do not depend on the number of processes, on the machines of a cluster, or on the
shards that the jobs of a batch system did.
"""

from __future__ import annotations

import fcntl
import io
import itertools
import math
import multiprocessing
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ran_sim.core.errors import InputError
from ran_sim.core.plugins import PluginError
from ran_sim.engine import Engine
from ran_sim.engine.provenance import platform_provenance, scenario_hash
from ran_sim.measure.score import score
from ran_sim.scenario import Scenario
from ranloop_work import Cluster, Shard, check_alike, shards_left

__all__ = (
    "MOST_RUNS",
    "Record",
    "Run",
    "SweepError",
    "Where",
    "plan",
    "sweep",
    "write_whole",
)

MOST_RUNS: Final = 100_000
_MOST_RECORD_BYTES: Final = 1 << 20
_COLLECT_EVERY_S: Final = 5.0

M = TypeVar("M", bound=BaseModel)


class SweepError(InputError):
    """A sweep cannot be done: one line with the fault and advice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One seed of one combination of settings."""

    seed: int
    settings: Mapping[str, Any]
    scenario: Scenario  # with the settings in it
    scenario_hash: str = field(init=False)  # with the content of the files that it refers to

    def __post_init__(self) -> None:
        object.__setattr__(self, "scenario_hash", scenario_hash(self.scenario))

    @property
    def name(self) -> str:
        """Name of its files; runs of the same scenario and seed have the same name."""
        return f"{self.scenario_hash}-{self.seed:010d}"


class Record(BaseModel):
    """The record of a finished run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    settings: dict[str, Any]
    scenario_hash: str
    score: dict[str, float | None]  # None where there was nothing to judge


def plan(scenario: Scenario, seeds: Sequence[int], settings: Mapping[str, Sequence[Any]]) -> list[Run]:
    """All seeds of all combinations of settings, seeds innermost.

    Raises:
        ScenarioError: A setting that does not fit.
        SweepError: No run or too many, a seed that is negative, the same run twice, or one that ends within its warm-up.
    """
    n_runs = len(seeds) * math.prod(len(values) for values in settings.values())
    if not 1 <= n_runs <= MOST_RUNS:
        raise SweepError(f"{n_runs} runs: want 1 to {MOST_RUNS}")
    if min(seeds) < 0:
        raise SweepError(f"seed {min(seeds)} is negative; take 0 or more")
    if max(seeds) >= 2**62:
        raise SweepError(f"seed {max(seeds)}: want less than 2^62")
    runs = []
    for values in itertools.product(*settings.values()):
        chosen = dict(zip(settings, values, strict=True))
        changed = scenario.with_overrides(chosen)
        if changed.slots(changed.run.duration_s * 1e3) <= changed.slots(changed.run.warmup_s * 1e3):
            raise SweepError(
                f"{chosen or scenario.name}: ends at {changed.run.duration_s:g} s, within its warm-up of "
                f"{changed.run.warmup_s:g} s, before anything counts; want run.duration_s above run.warmup_s"
            )
        runs += [Run(seed=seed, settings=chosen, scenario=changed) for seed in seeds]
    if len({run.name for run in runs}) < n_runs:
        raise SweepError("the same run twice: want different seeds and different values of a setting")
    return runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where the runs are done.

    Attributes:
        jobs: Number of processes.
        on: In place of processes, the workers of the dask scheduler at this address.
        shard: Only these of the runs; the others are other jobs'.
        merge: Nothing: all runs must be there.
    """

    jobs: int = 1
    on: str | None = None
    shard: Shard | None = None
    merge: bool = False


def sweep(
    base: Scenario,
    runs: Sequence[Run],
    folder: Path,
    *,
    where: Where = Where(),
    per_session: bool = False,
    on_done: Callable[[Record, bool], None] | None = None,
    collect: Callable[[list[Record]], None] | None = None,
) -> list[Record]:
    """Do the runs that `folder` does not hold yet; the records of all runs, or of a shard, in the order of `runs`.

    Args:
        base: The scenario without settings.
        runs: See `plan`.
        folder: Folder of the runs' files; made if it is missing.
        where: The processes, machines or shard that do them.
        per_session: Keep `Engine.sessions` of each run as well.
        on_done: Called with each record, and whether the record was there before.
        collect: Called with all records so far, every few seconds and at the end, also after an exception.

    Raises:
        SweepError: The folder holds other runs, another sweep is at work in it, a run cannot be done, or one is missing of which
            all must be there.
        WorkError: A cluster or shard cannot be used.
    """
    with _locked(folder, where.shard):
        return _sweep(base, runs, folder, where, per_session, on_done, collect)


@contextmanager
def _locked(folder: Path, shard: Shard | None) -> Iterator[None]:
    """Keep the folder for this sweep, or for shards. The lock ends with the process, even if that is killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("wb")
    except OSError as error:
        raise SweepError(f"{folder}: cannot be written ({error.strerror})") from error
    with file, ExitStack() as marks:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shard else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SweepError(f"{folder}: a sweep is under way in it; wait or choose another place") from error
        if shard:
            marks.enter_context(shard.at_work(folder))
        yield


def _sweep(
    base: Scenario,
    runs: Sequence[Run],
    folder: Path,
    where: Where,
    per_session: bool,
    on_done: Callable[[Record, bool], None] | None,
    collect: Callable[[list[Record]], None] | None,
) -> list[Record]:
    _prepare(folder, scenario_hash(base), alone=where.shard is None)
    every, runs = runs, where.shard.of(runs) if where.shard else runs
    done: dict[str, Record] = {}
    for run in runs:
        if (record := _read(folder, run, per_session)) is not None:
            done[run.name] = record
            if on_done:
                on_done(record, True)
    left = [run for run in runs if run.name not in done]
    if left and where.merge:
        places = [place for place, run in enumerate(every) if run.name not in done]
        whose = shards_left(folder, places) or f"the first is seed {left[0].seed}, {dict(left[0].settings)}"
        raise SweepError(f"{folder}: {len(left)} of {len(runs)} runs are missing ({whose}); do them first")
    collected_s = time.monotonic()

    def so_far() -> list[Record]:
        return [done[run.name] for run in runs if run.name in done]

    try:
        with closing(_run_all(left, folder, where, per_session)) as results:
            for run, record in results:
                done[run.name] = record
                if on_done:
                    on_done(record, False)
                if collect and time.monotonic() - collected_s > _COLLECT_EVERY_S:
                    collect(so_far())
                    collected_s = time.monotonic()
    except KeyboardInterrupt:
        # Processes have finished the runs that they had begun.
        done |= {run.name: record for run in left if (record := _read(folder, run, per_session)) is not None}
        raise
    finally:
        if collect and done:
            collect(so_far())
    return so_far()


class _Origin(BaseModel):
    """The scenario and versions that all runs of a folder share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_hash: str
    provenance: dict[str, str]


def _prepare(folder: Path, base_hash: str, *, alone: bool) -> None:
    """Mark the folder, or check that its runs are of the same scenario and versions.

    Args:
        folder: Of the runs' files.
        base_hash: Of the scenario without settings.
        alone: Nobody else is writing runs, so half a file is of a process that was killed.
    """
    own, path = _Origin(base_hash=base_hash, provenance=platform_provenance()), folder / "sweep.json"
    try:
        for part in folder.glob("*.part") if alone else ():
            part.unlink(missing_ok=True)
        if not path.exists():
            write_whole(path, own.model_dump_json(indent=1).encode())
    except OSError as error:
        raise SweepError(f"{folder}: cannot be written ({error.strerror})") from error
    found = _parsed(path, _Origin)
    if found.base_hash != base_hash:
        raise SweepError(f"{folder}: holds runs of another scenario; choose another place or remove it")
    if changed := [name for name in own.provenance if found.provenance.get(name) != own.provenance[name]]:
        raise SweepError(
            f"{folder}: holds runs of another {', '.join(changed)}; choose another place or remove it"
        )


def _read(folder: Path, run: Run, per_session: bool) -> Record | None:
    """The record of a finished run, None if the run is not finished. Its settings are those of the plan, which may name more."""
    path = folder / f"{run.name}.json"
    if not path.is_file() or (per_session and not path.with_suffix(".npy").is_file()):
        return None
    record = _parsed(path, Record)
    if (record.seed, record.scenario_hash) != (run.seed, run.scenario_hash):
        raise SweepError(f"{path}: is of another run than its name says; remove it")
    return record.model_copy(update={"settings": dict(run.settings)})


def _parsed(path: Path, kind: type[M]) -> M:
    try:
        if path.stat().st_size > _MOST_RECORD_BYTES:
            raise SweepError(f"{path}: is longer than 1 MiB, so none of a sweep; remove it")
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SweepError(f"{path}: is none of a sweep ({error.errors()[0]['msg']}); remove it") from error
    except OSError as error:
        raise SweepError(f"{path}: cannot be read ({error.strerror})") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is whole or missing, even if the machine stops meanwhile."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _run_all(
    runs: Sequence[Run], folder: Path, where: Where, per_session: bool
) -> Generator[tuple[Run, Record], None, None]:
    """Runs and their records, in the order in which they finish."""
    if where.on and runs:
        with Cluster(where.on, alike=("numba", "llvmlite")) as cluster:
            own = platform_provenance()
            away = {cluster.submit(_do_away, run, per_session, own): run for run in runs}
            for answer in as_completed(away):
                run = away[answer]
                yield run, _keep(run, folder, *answer.result())
        return
    if where.jobs == 1 or len(runs) < 2:
        for run in runs:
            yield run, _do(run, folder, per_session)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(where.jobs, len(runs)), mp_context=context, initializer=_follow_parent
    ) as pool:
        try:
            futures = {pool.submit(_do, run, folder, per_session): run for run in runs}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise SweepError(
                f"a process died; {folder} keeps the finished runs, the same call goes on"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # runs that have not begun are cancelled


def _follow_parent() -> None:
    """Ignore Ctrl-C, which reaches all processes: the parent handles it. End if the parent ends, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="ran_sim[sweep].parent", daemon=True).start()


def _do(run: Run, folder: Path, per_session: bool) -> Record:
    return _keep(run, folder, *_computed(run, per_session))


def _do_away(run: Run, per_session: bool, provenance: Mapping[str, str]) -> tuple[Record, bytes]:
    """At a worker of a cluster, which shares no folder."""
    check_alike(platform_provenance(), provenance)
    return _computed(run, per_session)


def _computed(run: Run, per_session: bool) -> tuple[Record, bytes]:
    """The record of a run, and the content of the file of its sessions, empty if that is not wanted."""
    of_run = f"seed {run.seed}, {dict(run.settings)}"
    try:
        engine = Engine(run.scenario, run.seed)
    except ValueError as error:  # fields that do not fit together
        raise SweepError(f"{of_run}: {error}") from error
    if scenario_hash(run.scenario) != run.scenario_hash:
        files = ", ".join(map(str, run.scenario.files.values()))
        raise SweepError(f"one of {files}: has changed since the sweep began; begin it again")
    try:
        engine.run_until(run.scenario.slots(run.scenario.run.duration_s * 1e3))
    except PluginError as error:
        raise SweepError(f"{of_run}: {error}") from error
    record = Record(
        seed=run.seed,
        settings=dict(run.settings),
        scenario_hash=run.scenario_hash,
        score={name: value if math.isfinite(value) else None for name, value in score(engine).items()},
    )
    buffer = io.BytesIO()
    if per_session:
        np.save(buffer, engine.sessions(), allow_pickle=False)
    return record, buffer.getvalue()


def _keep(run: Run, folder: Path, record: Record, sessions: bytes) -> Record:
    try:
        if sessions:
            write_whole(folder / f"{run.name}.npy", sessions)
        write_whole(folder / f"{run.name}.json", record.model_dump_json(indent=1).encode())
    except OSError as error:
        raise SweepError(f"{folder}: cannot be written ({error.strerror})") from error
    return record
