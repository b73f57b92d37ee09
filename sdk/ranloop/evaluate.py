"""Paired experiments: the same drops with and without an xApp, on all cores, with intervals over drops.

A drop is one seed of one scenario: positions, fading, sessions and packets are the same in every arm, so that what
differs between two arms is what the arms did.
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

from ranloop.embedded import run_embedded
from ranloop.errors import NodeError
from ranloop.node import open_world
from ranloop.node.lockstep import LockstepHost
from ranloop.node.world import ScoredWorld
from ranloop.wire.messages import Status

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
    accepted: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DropResult:
    """What one arm was worth on one drop.

    Attributes:
        score: Key figures of the world, warm-up removed.
        targets: Status name -> targets that ended so.
        causes: Cause -> targets refused for it.
        latency_us: Stage -> percentile name -> microseconds.
        xapps: What each xApp said at the end.
    """

    arm: str
    seed: int
    score: Mapping[str, float]
    targets: Mapping[str, int]
    causes: Mapping[str, int]
    latency_us: Mapping[str, Mapping[str, float]]
    xapps: Mapping[str, Mapping[str, Any]]
    wall_s: float


def run_drop(task: Task, report_progress: Callable[[Progress], None] | None = None) -> DropResult:
    """Run one arm on one drop, in this process.

    Raises:
        NodeError: The node keeps no score (only simulated worlds do).
    """
    started = time.monotonic()
    overrides = {**task.overrides, **task.arm.overrides}
    world = open_world(task.node, seed=task.seed, overrides=overrides)
    try:
        if not isinstance(world, ScoredWorld):
            raise NodeError(f"{task.node} keeps no score; compare arms on a simulated node such as sim:seven-sites")
        run = run_embedded(
            world,
            task.arm.xapps,
            settings=task.arm.settings,
            on_progress=_throttled(task, report_progress) if report_progress else None,
        )
        summary = run.summary
        return DropResult(
            arm=task.arm.name,
            seed=task.seed,
            score=world.score(),
            targets={status.name.lower(): count for status, count in summary.targets.items()},
            causes={cause.value: count for cause, count in summary.causes.items()},
            latency_us=summary.latency_us(),
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
    """Run tasks on several processes (default: all cores this process may use); results in the order of `tasks`."""
    count = min(processes or len(os.sched_getaffinity(0)), len(tasks))
    context = multiprocessing.get_context("spawn")
    news: multiprocessing.Queue[Progress] = context.Queue()
    results: dict[int, DropResult] = {}
    with ProcessPoolExecutor(count, mp_context=context, initializer=_remember, initargs=(news,)) as pool:
        futures = {pool.submit(_run_reporting, task): index for index, task in enumerate(tasks)}
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
            if on_progress:
                for progress in _drain(news):
                    on_progress(progress)
            for future in done:
                results[futures[future]] = result = future.result()
                if on_done:
                    on_done(result)
    return [results[index] for index in range(len(tasks))]


_news: multiprocessing.Queue[Progress] | None = None  # of a worker process, set by its initializer


def _remember(news: multiprocessing.Queue[Progress]) -> None:
    global _news
    _news = news


def _run_reporting(task: Task) -> DropResult:
    return run_drop(task, _news.put if _news else None)


def _drain(news: multiprocessing.Queue[Progress]) -> Iterable[Progress]:
    while True:
        try:
            yield news.get_nowait()
        except queue.Empty:
            return


def _throttled(task: Task, report: Callable[[Progress], None], every_s: float = 0.25) -> Callable[[LockstepHost], None]:
    """Report progress a few times a second, not at every step."""
    last = 0.0

    def step(host: LockstepHost) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every_s:
            return
        last = now
        counts: Counter[Status] = host.summary.targets
        world = host.host.world
        report(
            Progress(
                arm=task.arm.name,
                seed=task.seed,
                ran_time_s=world.now_ns / 1e9,
                end_s=world.end_ns / 1e9,
                accepted=counts[Status.APPLIED],
                refused=counts[Status.REFUSED],
            )
        )

    return step
