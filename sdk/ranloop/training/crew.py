"""The workers of a training: processes of this machine or a cluster, which score points on drops."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar

from ranloop.arm import Arm
from ranloop.errors import TrainingError
from ranloop.evaluate import Task, look_at, workers
from ranloop.training.contender import Point, Score
from ranloop.training.folder import Trainee, load_trainee, of_the_author
from ranloop.training.plan import Drop
from ranloop_work import Parcel, check_alike

__all__ = ("Crew", "Scored", "answered")

P = ParamSpec("P")
T = TypeVar("T")


class Scored(NamedTuple):
    """The scores of points on one drop."""

    scores: Sequence[Score]
    cpu_s: float


Asked = list[list[Future[Scored]]]  # by drop and part of the points


class Crew:
    """Scores points on drops; results do not depend on the number of workers.

    Args:
        folder: That of `train.py`. For a cluster it must hold all that training reads.
        probe: A drop whose world says what the bits of a run depend on; workers of a cluster must say the same.
        processes: Of this machine; 1 is this process itself. Default: as many as there are cores for it.
        on: In their place the workers of the dask scheduler at this address.
    """

    def __init__(
        self, folder: Path, probe: Drop, *, processes: int | None = None, on: str | None = None
    ) -> None:
        self._count = processes or len(os.sched_getaffinity(0))
        self._away = on is not None
        self._place = _Sent.of(folder, probe) if on else folder.resolve()
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
    place: Path | _Sent, contender: str, points: Sequence[Point], drop: Drop, prepared: Mapping[str, Any]
) -> Scored:
    """At a worker."""
    with redirect_stdout(sys.stderr):  # what an xApp prints is not part of the command's answer
        trainee = _trainee(place)
        began = time.process_time()
        with of_the_author(
            trainee.folder, f"contender {contender} on drop {drop.seed} of {drop.world.name!r}"
        ):
            scores = trainee.contender(contender).score(points, drop, prepared)
        if len(scores) != len(points):
            raise TrainingError(
                f"contender {contender} gave {len(scores)} scores of {len(points)} points; want one each"
            )
        return Scored(scores, time.process_time() - began)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A folder on its way to another machine.

    Attributes:
        provenance: What the world of `probe` must say of itself there.
    """

    parcel: Parcel
    probe: Task
    provenance: Mapping[str, str | int]

    @classmethod
    def of(cls, folder: Path, probe: Drop) -> _Sent:
        task = probe.task(Arm(name="probe"))
        return cls(parcel=Parcel.of(folder), probe=task, provenance=look_at(task).provenance)


_loaded: dict[Path | bytes, Trainee] = {}  # of this process
_scratch: list[tempfile.TemporaryDirectory[str]] = []  # vanish with it


def _trainee(place: Path | _Sent) -> Trainee:
    key = place if isinstance(place, Path) else place.parcel.content
    if key not in _loaded:
        _loaded[key] = load_trainee(place if isinstance(place, Path) else _laid_out(place))
    return _loaded[key]


def _laid_out(sent: _Sent) -> Path:
    check_alike(look_at(sent.probe).provenance, sent.provenance)
    _scratch.append(tempfile.TemporaryDirectory(prefix="ranloop-train-"))
    folder = Path(_scratch[-1].name)
    sent.parcel.unpack(folder)
    return folder
