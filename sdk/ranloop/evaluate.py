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
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import entry_points
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ranloop.arm import Arm, fresh_copies, packed
from ranloop.conduct import Conduct, Observer, Terms
from ranloop.embedded import Choices, run_embedded
from ranloop.errors import NodeError
from ranloop.guard import Limits, verdict_counts
from ranloop.kpi import Kpi
from ranloop.node import Profile, open_world, under_mishap, under_profile
from ranloop.node.mishaps import death
from ranloop.node.outlets import Event
from ranloop.node.port import NodePort, ScoredPort
from ranloop.node.registry import ENTRY_POINTS
from ranloop.wire.messages import Result
from ranloop_work import Cluster, Parcel, check_alike

__all__ = (
    "Arm",
    "Conditions",
    "DropResult",
    "Progress",
    "Task",
    "World",
    "look_at",
    "run_drop",
    "run_tasks",
    "start_importing",
    "workers",
)

_PROCESSES: Final = multiprocessing.get_context("forkserver")
ALIKE: Final = ("numba", "llvmlite", "onnxruntime")  # with these the same, a worker gives the same bits


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
        observe: Count what its xApps do to settings, on these terms.
    """

    arm: Arm
    seed: int
    node: str
    overrides: Mapping[str, object] = field(default_factory=dict)
    under: Conditions = Conditions()
    course: bool = False
    observe: Terms | None = None


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
        conduct: With `Task.observe`.
    """

    arm: str
    seed: int
    score: Mapping[str, float]
    outcomes: Mapping[str, int]
    latencies_ns: Mapping[str, NDArray[np.int64]]
    xapps: Mapping[str, Mapping[str, Any]]
    wall_s: float
    course: Sequence[tuple[float, Mapping[str, float]]] = ()
    conduct: Conduct | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a scored world says of itself before it runs.

    Attributes:
        kpis: The meaning of each entry of its score.
        provenance: Everything that the bits of a run depend on beside the xApps.
    """

    kpis: tuple[Kpi, ...]
    provenance: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Luggage:
    """What a task takes to another machine.

    Attributes:
        parcels: xApp folders and models of its arm.
        provenance: What the world must say of itself there, beside its seed.
    """

    parcels: Mapping[Path, Parcel]
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
    return _run_drop(task, report_progress)


def _run_drop(
    task: Task,
    report_progress: Callable[[Progress], None] | None = None,
    luggage: _Luggage | None = None,
) -> DropResult:
    started = time.monotonic()
    parcels = luggage.parcels if luggage else {}
    with closing(_open(task)) as world, fresh_copies(task.arm, parcels) as arm:
        if luggage:
            check_alike(world.provenance(), luggage.provenance)
        course = _Course(world) if task.course else None
        observer = Observer(task.observe) if task.observe else None
        reporter = _Reporter(task, world, report_progress) if report_progress else None
        fatal = arm.mishap if arm.mishap and arm.mishap.kind == "killed" else None
        run = run_embedded(
            world,
            arm.xapps,
            Choices(settings=arm.settings, models=arm.models),
            limits=task.under.limits,
            handler_delay_ms=death(world, fatal) if fatal else task.under.handler_delay_ms,
            outlets=[outlet for outlet in (reporter, observer) if outlet],
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
            conduct=observer.conduct() if observer else None,
        )


def _open(task: Task) -> ScoredPort:
    world = open_world(task.node, seed=task.seed, overrides={**task.overrides, **task.arm.overrides})
    if task.under.profile:
        world = under_profile(world, task.under.profile)
    if task.arm.mishap:
        world = under_mishap(world, task.arm.mishap)
    if not isinstance(world, ScoredPort):
        world.close()
        raise NodeError(
            f"{task.node} keeps no score; compare arms on a simulated node such as sim:seven-sites"
        )
    return world


def start_importing() -> None:
    """Start the process that workers are forked from, which imports what they share; a caller has its plan to make meanwhile.

    Workers see the environment variables of the first such call of a process, `run_tasks` included.
    """
    worlds = {point.module for point in entry_points(group=ENTRY_POINTS)}
    _PROCESSES.set_forkserver_preload([__name__, *sorted(worlds)])
    forkserver.ensure_running()


def run_tasks(
    tasks: Sequence[Task],
    *,
    processes: int | None = None,
    on: str | None = None,
    on_done: Callable[[DropResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[DropResult]:
    """Run tasks on several processes; results in the order of `tasks`.

    Args:
        tasks: What to run.
        processes: How many; default: all cores that this process may use.
        on: In place of processes, the workers of the dask scheduler at this address, e.g. tcp://HOST:8786. xApps and models are
            sent there; files that a scenario is read from must be there.
        on_done: Called with each result as it comes.
        on_progress: Called a few times a second and task; not of workers of a cluster.

    Raises:
        WorkError: A cluster cannot be used: see `ranloop_work.Cluster`.
        Exception: The first error of a task; tasks that have not begun by then are not run.
    """
    if not tasks:
        return []
    results: dict[int, DropResult] = {}
    news = _PROCESSES.Queue() if on_progress and not on else None
    with workers(on, min(processes or len(os.sched_getaffinity(0)), len(tasks)), news) as pool:
        jobs = _away(tasks) if on else (partial(_run_reporting, task) for task in tasks)
        futures = {pool.submit(job): index for index, job in enumerate(jobs)}
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


def workers(on: str | None, count: int, news: multiprocessing.Queue[Progress] | None = None) -> Executor:
    """Processes of this machine, or the workers of a cluster, whose runs have the same bits.

    Args:
        on: Address of a dask scheduler.
        count: Processes, where there is none.
        news: Gets the progress of tasks.

    Raises:
        WorkError: The cluster cannot be used.
    """
    if on:
        return Cluster(on, alike=ALIKE)
    start_importing()
    return ProcessPoolExecutor(count, mp_context=_PROCESSES, initializer=_remember, initargs=(news,))


def _away(tasks: Sequence[Task]) -> Iterator[partial[DropResult]]:
    """The tasks, each with all that it needs on another machine."""
    parcels = dict[Path, Parcel]()
    worlds = dict[str, Mapping[str, str | int]]()  # by what makes a world
    for task in (replace(task, arm=packed(task.arm, parcels)) for task in tasks):
        made_of = repr((task.node, task.overrides, task.arm.overrides, task.arm.mishap))
        if made_of not in worlds:
            told = look_at(task).provenance
            worlds[made_of] = {name: value for name, value in told.items() if name != "seed"}
        own = {path: parcels[path] for path in task.arm.folders}
        luggage = _Luggage(parcels=own, provenance=worlds[made_of])
        yield partial(_run_away, task, luggage)


def _run_away(task: Task, luggage: _Luggage) -> DropResult:
    with redirect_stdout(sys.stderr):
        return _run_drop(task, luggage=luggage)


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
