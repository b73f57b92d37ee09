"""The workers of a training: processes of this machine or a cluster, which score points on drops."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar

from ranloop.evaluate import workers
from ranloop.training.contender import Point, Score
from ranloop.training.folder import Trainee, load_trainee
from ranloop.training.plan import Drop
from ranloop_work import Parcel

__all__ = ("Crew", "Scored", "answered")

P = ParamSpec("P")
T = TypeVar("T")


class Scored(NamedTuple):
    """The scores of points on one drop."""

    scores: list[Score]
    cpu_s: float


Asked = list[list[Future[Scored]]]  # by drop and part of the points


class Crew:
    """Scores points on drops; results do not depend on the number of workers.

    Args:
        folder: That of `train.py`. For a cluster it must hold all that training reads.
        processes: Of this machine; 1 is this process itself. Default: as many as there are cores for it.
        on: In their place the workers of the dask scheduler at this address.
    """

    def __init__(self, folder: Path, *, processes: int | None = None, on: str | None = None) -> None:
        self._count = processes or len(os.sched_getaffinity(0))
        self._away = on is not None
        self._place: Path | Parcel = Parcel.of(folder) if on else folder.resolve()
        self._pool: Executor = _Here() if self._count == 1 and not on else workers(on, self._count)

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error and not self._away:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool.__exit__(kind, error, traceback)

    def ask(
        self, contender: str, points: Sequence[Point], drops: Sequence[Drop], prepared: Mapping[str, Any]
    ) -> Asked:
        """Begin with the scores of all points on each drop.

        Points of a drop stay together as far as there are drops for all workers: they may share work there.
        """
        shares = len(points) if self._away else min(len(points), -(-self._count // len(drops)))
        parts = [points[i * len(points) // shares : (i + 1) * len(points) // shares] for i in range(shares)]
        return [
            [self._pool.submit(_score, self._place, contender, part, drop, prepared) for part in parts]
            for drop in drops
        ]


def answered(asked: Asked) -> list[Scored]:
    """The scores of all points on each drop, in the order of the drops."""
    found = [[future.result() for future in of_drop] for of_drop in asked]
    return [
        Scored([score for part in of_drop for score in part.scores], sum(part.cpu_s for part in of_drop))
        for of_drop in found
    ]


class _Here(Executor):
    """This process as an executor."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = Future[T]()
        future.set_result(function(*args, **kwargs))
        return future


def _score(
    place: Path | Parcel, contender: str, points: Sequence[Point], drop: Drop, prepared: Mapping[str, Any]
) -> Scored:
    """At a worker."""
    with redirect_stdout(sys.stderr):  # what an xApp prints is not part of the command's answer
        trainee = _trainee(place)
        began = time.process_time()
        scores = trainee.contender(contender).score(points, drop, prepared)
        return Scored(scores, time.process_time() - began)


@cache
def _trainee(place: Path | Parcel) -> Trainee:
    if isinstance(place, Path):
        return load_trainee(place)
    folder = Path(tempfile.mkdtemp(prefix="ranloop-train-"))
    place.unpack(folder)
    return load_trainee(folder)
