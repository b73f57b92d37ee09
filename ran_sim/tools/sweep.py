"""Many runs, seeds times settings, on several processes. Each run is kept at its end, and all go into one Parquet file.

A run is one file in the folder of runs. The file is written under another name, synced and renamed, so it is whole or not
there. A sweep that was killed goes on where it stopped, with the same call. Runs of another scenario or of other versions are
never mixed: such a folder is refused. Results do not depend on the number of processes.
"""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ran_sim.core.errors import InputError
from ran_sim.core.plugins import PluginError
from ran_sim.engine import Engine
from ran_sim.engine.provenance import platform_provenance, scenario_hash
from ran_sim.engine.session_rows import SESSION_DTYPE
from ran_sim.measure.score import score
from ran_sim.scenario import Scenario

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ("MOST_RUNS", "Record", "Run", "SweepError", "plan", "sweep", "write_results", "write_sessions")

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


def sweep(
    base: Scenario,
    runs: Sequence[Run],
    folder: Path,
    *,
    jobs: int = 1,
    per_session: bool = False,
    on_done: Callable[[Record, bool], None] | None = None,
    collect: Callable[[list[Record]], None] | None = None,
) -> list[Record]:
    """Do the runs that `folder` does not hold yet; the records of all runs, in the order of `runs`.

    Args:
        base: The scenario without settings.
        runs: See `plan`.
        folder: Folder of the runs' files; made if it is missing.
        jobs: Number of processes.
        per_session: Keep `Engine.sessions` of each run as well.
        on_done: Called with each record, and whether the record was there before.
        collect: Called with all records so far, every few seconds and at the end, also after an exception.

    Raises:
        SweepError: The folder holds other runs, another sweep is at work in it, or a run cannot be done.
    """
    with _locked(folder):
        return _sweep(base, runs, folder, jobs, per_session, on_done, collect)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep the folder for this sweep alone. The lock ends with the process, even if that is killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("wb")
    except OSError as error:
        raise SweepError(f"{folder}: cannot be written ({error.strerror})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SweepError(f"{folder}: a sweep is under way in it; wait or choose another place") from error
        yield


def _sweep(
    base: Scenario,
    runs: Sequence[Run],
    folder: Path,
    jobs: int,
    per_session: bool,
    on_done: Callable[[Record, bool], None] | None,
    collect: Callable[[list[Record]], None] | None,
) -> list[Record]:
    _prepare(folder, scenario_hash(base))
    done: dict[str, Record] = {}
    for run in runs:
        if (record := _read(folder, run, per_session)) is not None:
            done[run.name] = record
            if on_done:
                on_done(record, True)
    left = [run for run in runs if run.name not in done]
    collected_s = time.monotonic()

    def so_far() -> list[Record]:
        return [done[run.name] for run in runs if run.name in done]

    try:
        with closing(_run_all(left, folder, jobs, per_session)) as results:
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


def _prepare(folder: Path, base_hash: str) -> None:
    """Mark the folder, or check that its runs are of the same scenario and versions."""
    own, path = _Origin(base_hash=base_hash, provenance=platform_provenance()), folder / "sweep.json"
    try:
        for part in folder.glob("*.part"):  # of processes that were killed
            part.unlink(missing_ok=True)
        if not path.exists():
            _write(path, own.model_dump_json(indent=1).encode())
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


def _write(path: Path, content: bytes) -> None:
    """Write a file that is whole or missing, even if the machine stops meanwhile."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _run_all(
    runs: Sequence[Run], folder: Path, jobs: int, per_session: bool
) -> Generator[tuple[Run, Record], None, None]:
    """Runs and their records, in the order in which they finish."""
    if jobs == 1 or len(runs) < 2:
        for run in runs:
            yield run, _do(run, folder, per_session)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(runs)), mp_context=context, initializer=_follow_parent) as pool:
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
    try:
        if per_session:
            buffer = io.BytesIO()
            np.save(buffer, engine.sessions(), allow_pickle=False)
            _write(folder / f"{run.name}.npy", buffer.getvalue())
        _write(folder / f"{run.name}.json", record.model_dump_json(indent=1).encode())
    except OSError as error:
        raise SweepError(f"{folder}: cannot be written ({error.strerror})") from error
    return record


# -- one file of all ----------------------------------------------------------------------------------------------


def write_results(path: Path, records: Sequence[Record], base: Scenario) -> None:
    """One Parquet row per run: seed, settings, hash of its scenario, and the score; where it came from in the metadata.

    Raises:
        SweepError: `path` cannot be written.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {"seed": pa.array([record.seed for record in records], pa.int64())}
    for name in records[0].settings:
        columns[name] = pa.array(_of_one_type([record.settings[name] for record in records]))
    columns["scenario_hash"] = pa.array([record.scenario_hash for record in records])
    figures = dict.fromkeys(name for record in records for name in record.score)
    for name in figures:
        columns[name] = pa.array([record.score.get(name) for record in records], pa.float64())
    _write_table(path, pa.table(columns), base)


def write_sessions(
    path: Path, records: Sequence[Record], runs: Sequence[Run], folder: Path, base: Scenario
) -> None:
    """One Parquet row per UE session of all runs, see `Engine.sessions`, with the seed and settings of its run.

    Raises:
        SweepError: A file cannot be read or `path` cannot be written.
    """
    import pyarrow as pa

    names = {(run.seed, run.scenario_hash): run.name for run in runs}
    tables = []
    for record in records:
        file = folder / f"{names[record.seed, record.scenario_hash]}.npy"
        try:
            rows = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise SweepError(f"{file}: holds no sessions; remove it") from error
        if rows.dtype != SESSION_DTYPE or rows.ndim != 1:
            raise SweepError(f"{file}: holds no sessions; remove it")
        tables.append((record, rows))
    count = [len(rows) for _, rows in tables]
    columns: dict[str, Any] = {"seed": pa.array(np.repeat([record.seed for record in records], count))}
    for name in records[0].settings:
        values = _of_one_type([record.settings[name] for record in records])
        columns[name] = pa.array([value for value, n in zip(values, count, strict=True) for _ in range(n)])
    together = np.concatenate([rows for _, rows in tables])
    for name in SESSION_DTYPE.names or ():
        columns[name] = pa.array(np.ascontiguousarray(together[name]))
    _write_table(path, pa.table(columns), base)


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    """Numbers, texts and truths as they are, anything else or a mixture as JSON: a column has one type."""
    for kinds in ((bool,), (int,), (str,), (int, float)):
        if all(type(value) in kinds for value in values):
            return [float(value) for value in values] if len(kinds) == 2 else list(values)
    return [json.dumps(value) for value in values]


def _write_table(path: Path, table: pa.Table, base: Scenario) -> None:
    import pyarrow.parquet as pq

    origin = {**platform_provenance(), "scenario": base.name, "base_hash": scenario_hash(base)}
    table = table.replace_schema_metadata(
        {"ran_sim": json.dumps(origin), "ran_sim.scenario": base.model_dump_json()}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, buffer.getvalue())
    except OSError as error:
        raise SweepError(f"{path}: cannot be written ({error.strerror})") from error
