"""Paired experiments: the same drops with and without an xApp, on all cores, with intervals over drops.

A drop is one seed of one scenario: positions, fading, sessions and packets are the same in every arm. Two arms therefore
differ by their decisions alone. Each task runs on a fresh copy of its xApp folders, in a working folder of its own, so that
nothing an xApp writes there reaches another drop.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import queue
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranloop.embedded import run_embedded
from ranloop.errors import LockstepError, NodeError, RanloopError
from ranloop.guard import Limits, verdict_counts
from ranloop.kpi import Kpi
from ranloop.node import Profile, open_world, under_profile
from ranloop.node.outlets import Event
from ranloop.node.port import NodePort, ScoredPort
from ranloop.wire.messages import Result
from ranloop.xapp.instance import user_traceback
from ranloop.xapp.manifest import load_manifest

__all__ = (
    "UNCOPIED",
    "Arm",
    "Conditions",
    "DropResult",
    "Progress",
    "Task",
    "World",
    "look_at",
    "run_drop",
    "run_tasks",
)

UNCOPIED = frozenset(("__pycache__", ".git"))  # what a run gets no copy of


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to run the network.

    Attributes:
        overrides: Scenario fields, e.g. {"scheduler.class_weight": {"2": 8.0}}.
        xapps: xApp folders.
        settings: xApp name -> setting -> value.
        models: xApp name -> model name -> model package, in place of the manifest's own.
    """

    name: str
    overrides: Mapping[str, object] = field(default_factory=dict)
    xapps: tuple[Path, ...] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What runs are under beside the scenario; the arms of a comparison have the same.

    Attributes:
        profile: The stack whose parts alone the nodes have.
        limits: The operator's, which no manifest can widen.
        handler_delay_ms: RAN time that each step of an xApp takes (`ranloop.node.delay`).
    """

    profile: Profile | None = None
    limits: Limits | None = None
    handler_delay_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One arm on one drop.

    Attributes:
        course: Keep the score of each part of the run as well.
    """

    arm: Arm
    seed: int
    node: str
    overrides: Mapping[str, object] = field(default_factory=dict)
    under: Conditions = Conditions()
    course: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running task is."""

    arm: str
    seed: int
    ran_time_s: float
    end_s: float
    outcomes: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropResult:
    """The result of one arm on one drop.

    Attributes:
        score: Key figures of the world, warm-up removed.
        outcomes: Outcome -> number of targets, e.g. {"applied": 700, "refused/conflict": 3}.
        latencies_ns: Stage of the loop -> duration of each pass.
        xapps: xApp name -> its summary.
        course: With `Task.course`: (RAN time in s, score since the entry before) at the ends of the parts of the run.
    """

    arm: str
    seed: int
    score: Mapping[str, float]
    outcomes: Mapping[str, int]
    latencies_ns: Mapping[str, NDArray[np.int64]]
    xapps: Mapping[str, Mapping[str, Any]]
    wall_s: float
    course: Sequence[tuple[float, Mapping[str, float]]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a scored world says of itself before it runs.

    Attributes:
        kpis: The meaning of each entry of its score.
        provenance: Everything that the bits of a run depend on beside the xApps.
    """

    kpis: tuple[Kpi, ...]
    provenance: Mapping[str, str | int]


def look_at(task: Task) -> World:
    """Open the world of a task and run nothing.

    Raises:
        NodeError: The node cannot be opened, or keeps no score; only simulated worlds do.
        LimitsError: A limit names what the node does not have.
    """
    with closing(_open(task)) as world:
        if task.under.limits:
            task.under.limits.check(world.catalogues)
        return World(kpis=tuple(world.kpis()), provenance=world.provenance())


def run_drop(task: Task, report_progress: Callable[[Progress], None] | None = None) -> DropResult:
    """Run one arm on one drop, in this process.

    Raises:
        NodeError: The node keeps no score; only simulated worlds do.
    """
    started = time.monotonic()
    with closing(_open(task)) as world, _fresh_copies(task.arm) as arm:
        course = _Course(world) if task.course else None
        run = run_embedded(
            world,
            arm.xapps,
            settings=arm.settings,
            models=arm.models,
            limits=task.under.limits,
            handler_delay_ms=task.under.handler_delay_ms,
            outlets=[_Reporter(task, world, report_progress)] if report_progress else (),
            on_progress=course.look if course else None,
        )
        return DropResult(
            arm=task.arm.name,
            seed=task.seed,
            score=world.score(),
            outcomes=run.summary.outcomes,
            latencies_ns=run.summary.latencies_ns,
            xapps=run.xapps,
            wall_s=time.monotonic() - started,
            course=course.entries if course else (),
        )


def _open(task: Task) -> ScoredPort:
    world = open_world(task.node, seed=task.seed, overrides={**task.overrides, **task.arm.overrides})
    if task.under.profile:
        world = under_profile(world, task.under.profile)
    if not isinstance(world, ScoredPort):
        world.close()
        raise NodeError(
            f"{task.node} keeps no score; compare arms on a simulated node such as sim:seven-sites"
        )
    return world


@contextmanager
def _fresh_copies(arm: Arm) -> Iterator[Arm]:
    """The arm with its xApps' folders copied, in an empty working folder; both vanish afterwards.

    Models stay where they are: they are read, never run.
    """
    if not arm.xapps:
        yield arm
        return
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="ranloop-drop-") as scratch:
        root = Path(scratch).resolve()
        copies, models = [], dict[str, Mapping[str, Path]]()
        for number, folder in enumerate(path.resolve() for path in arm.xapps):
            manifest = load_manifest(folder)
            given = {name: path.resolve() for name, path in arm.models.get(manifest.name, {}).items()}
            models[manifest.name] = manifest.model_folders(folder, given)
            copies.append(root / str(number) / folder.name)
            _copy(folder, copies[-1])
        work = root / "work"
        work.mkdir()
        os.chdir(work)
        try:
            yield replace(arm, xapps=tuple(copies), models={**arm.models, **models})
        except Exception as error:
            if isinstance(error, RanloopError) and not isinstance(error, LockstepError):
                raise
            # The xApp's own error; where its module fails on import, no runner has made a text of it.
            raised = f"the xApp raised {type(error).__name__}\n"
            text = str(error) if isinstance(error, LockstepError) else raised + user_traceback(error, root)
            for copied, folder in zip(
                copies, arm.xapps, strict=True
            ):  # its author looks for the files he knows
                text = text.replace(str(copied), str(folder))
            raise LockstepError(text) from error
        finally:
            os.chdir(before)


def _copy(folder: Path, to: Path) -> None:
    try:
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns(*UNCOPIED))
    except OSError as error:  # shutil.Error is one; it may list many files
        raise NodeError(f"{folder} cannot be copied for a run: {str(error)[:200]}") from error


def run_tasks(
    tasks: Sequence[Task],
    *,
    processes: int | None = None,
    on_done: Callable[[DropResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[DropResult]:
    """Run tasks on several processes (default: all cores this process may use); results in the order of `tasks`.

    Raises:
        Exception: The first error of a task; tasks that have not begun by then are not run.
    """
    if not tasks:
        return []
    count = min(processes or len(os.sched_getaffinity(0)), len(tasks))
    context = multiprocessing.get_context("spawn")
    news: multiprocessing.Queue[Progress] | None = context.Queue() if on_progress else None
    results: dict[int, DropResult] = {}
    with ProcessPoolExecutor(count, mp_context=context, initializer=_remember, initargs=(news,)) as pool:
        futures = {pool.submit(_run_reporting, task): index for index, task in enumerate(tasks)}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                if news and on_progress:
                    for progress in _drain(news):
                        on_progress(progress)
                for future in done:
                    results[futures[future]] = result = future.result()
                    if on_done:
                        on_done(result)
        except BaseException:
            pool.shutdown(
                wait=False, cancel_futures=True
            )  # tasks that have not begun are not needed any more
            raise
    return [results[index] for index in range(len(tasks))]


_news: multiprocessing.Queue[Progress] | None = None  # of a worker process, set by its initializer


def _remember(news: multiprocessing.Queue[Progress] | None) -> None:
    global _news
    _news = news
    if news:
        news.cancel_join_thread()  # unread progress must not delay the end of the process


def _run_reporting(task: Task) -> DropResult:
    with redirect_stdout(sys.stderr):  # what an xApp prints is not part of the command's answer
        return run_drop(task, _news.put if _news else None)


def _drain(news: multiprocessing.Queue[Progress]) -> Iterable[Progress]:
    while True:
        try:
            yield news.get_nowait()
        except queue.Empty:
            return


class _Course:
    """Scores of the parts of a run: a sixtieth of it each, at least half a second."""

    PARTS, SHORTEST_NS = 60, 500_000_000

    def __init__(self, world: ScoredPort) -> None:
        self._world = world
        self._part_ns = max(world.end_ns // self.PARTS, self.SHORTEST_NS)
        self._next_ns = self._part_ns
        self._mark = world.mark()
        self.entries: list[tuple[float, Mapping[str, float]]] = []

    def look(self, now_ns: int, end_ns: int) -> None:
        if now_ns < self._next_ns:
            return
        score = self._world.score(self._mark)
        if any(value and math.isfinite(value) for value in score.values()):  # in the warm-up nothing counts
            self.entries.append((now_ns / 1e9, score))
        self._mark, self._next_ns = self._world.mark(), now_ns + self._part_ns


class _Reporter:
    """An outlet that reports the progress of a task a few times a second."""

    EVERY_S = 0.25

    def __init__(self, task: Task, world: NodePort, report: Callable[[Progress], None]) -> None:
        self._task, self._world, self._report = task, world, report
        self._outcomes: Counter[str] = Counter()
        self._last = 0.0

    def take(self, event: Event) -> None:
        if isinstance(event, Result):
            self._outcomes.update(verdict_counts(event))
        now = time.monotonic()
        if now - self._last < self.EVERY_S:
            return
        self._last = now
        self._report(
            Progress(
                arm=self._task.arm.name,
                seed=self._task.seed,
                ran_time_s=self._world.now_ns / 1e9,
                end_s=self._world.end_ns / 1e9,
                outcomes=dict(self._outcomes),
            )
        )
