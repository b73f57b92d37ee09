"""Paired experiments: the same drops with and without an xApp, on all cores, with intervals over drops.

A drop is one seed of one scenario: positions, fading, sessions and packets are the same in every arm. Two arms therefore
differ by their decisions alone.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranloop.embedded import run_embedded
from ranloop.errors import NodeError
from ranloop.guard import verdict_counts
from ranloop.node import open_world
from ranloop.node.outlets import Event
from ranloop.node.port import NodePort, ScoredPort
from ranloop.wire.messages import Result

__all__ = ("Arm", "DropResult", "Progress", "Task", "run_drop", "run_tasks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to run the network.

    Attributes:
        overrides: Scenario fields, e.g. {"scheduler.class_weight": {"2": 8.0}}.
        xapps: xApp folders.
        settings: xApp name -> setting -> value.
    """

    name: str
    overrides: Mapping[str, object] = field(default_factory=dict)
    xapps: tuple[Path, ...] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One arm on one drop."""

    arm: Arm
    seed: int
    node: str
    overrides: Mapping[str, object] = field(default_factory=dict)


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
    """

    arm: str
    seed: int
    score: Mapping[str, float]
    outcomes: Mapping[str, int]
    latencies_ns: Mapping[str, NDArray[np.int64]]
    xapps: Mapping[str, Mapping[str, Any]]
    wall_s: float


def run_drop(task: Task, report_progress: Callable[[Progress], None] | None = None) -> DropResult:
    """Run one arm on one drop, in this process.

    Raises:
        NodeError: The node keeps no score; only simulated worlds do.
    """
    started = time.monotonic()
    overrides = {**task.overrides, **task.arm.overrides}
    world = open_world(task.node, seed=task.seed, overrides=overrides)
    try:
        if not isinstance(world, ScoredPort):
            raise NodeError(
                f"{task.node} keeps no score; compare arms on a simulated node such as sim:seven-sites"
            )
        run = run_embedded(
            world,
            task.arm.xapps,
            settings=task.arm.settings,
            outlets=[_Reporter(task, world, report_progress)] if report_progress else (),
        )
        return DropResult(
            arm=task.arm.name,
            seed=task.seed,
            score=world.score(),
            outcomes=run.summary.outcomes,
            latencies_ns=run.summary.latencies_ns,
            xapps=run.xapps,
            wall_s=time.monotonic() - started,
        )
    finally:
        world.close()


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
    return run_drop(task, _news.put if _news else None)


def _drain(news: multiprocessing.Queue[Progress]) -> Iterable[Progress]:
    while True:
        try:
            yield news.get_nowait()
        except queue.Empty:
            return


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
