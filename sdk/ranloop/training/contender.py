"""Contenders of a training: rules and models with parameters in bounds, and how a point of them is scored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranloop.arm import Arm
from ranloop.evaluate import run_drop
from ranloop.training.plan import Drop, Plan

__all__ = ("Arms", "Contender", "Kind", "Parameter", "Point", "Score")

F64 = NDArray[np.float64]
Point = Mapping[str, float]  # parameter -> value
Score = Mapping[str, float]  # KPI -> value
Kind = Literal["rule", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One number that is tuned.

    Attributes:
        start: Where CMA-ES begins.
        log: It is searched in its logarithm.
        scale: The unit of the search's spread, of the parameter or of its logarithm; default: all between the bounds.
        values: Those that a grid tries.
    """

    name: str
    low: float
    high: float
    start: float
    log: bool = False
    scale: float = 0.0
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (
            self.low < self.high
            and all(self.low <= value <= self.high for value in (self.start, *self.values))
        ):
            raise ValueError(f"parameter {self.name}: want low < high, and start and values between them")
        if self.log and self.low <= 0.0:
            raise ValueError(f"parameter {self.name}: has a logarithm; want a low above 0, got {self.low:g}")

    def coordinate(self, value: float) -> float:
        """The value in units of the search."""
        return (math.log(value) if self.log else value) / self._unit

    def value(self, coordinate: float) -> float:
        """The value at a coordinate of the search, within the bounds; of 12 digits, so that 32 is 32 after its logarithm."""
        scaled = coordinate * self._unit
        value = float(f"{math.exp(scaled) if self.log else scaled:.12g}")
        return min(max(value, self.low), self.high)

    @property
    def _unit(self) -> float:
        return self.scale or (math.log(self.high / self.low) if self.log else self.high - self.low)


@dataclass(frozen=True, kw_only=True)
class Contender(ABC):
    """A rule or a model with parameters.

    Attributes:
        kind: A rule is what an engineer would write and tune; a model has to beat it.
        method: CMA-ES moves a cloud of points; a grid and random points are halved round by round (`ranloop.training.search`).
    """

    name: str
    kind: Kind
    space: tuple[Parameter, ...]
    method: Literal["cma-es", "random", "grid"] = "cma-es"

    @abstractmethod
    def score(self, points: Sequence[Point], drop: Drop, prepared: Mapping[str, Any]) -> Sequence[Score]:
        """The score of each point on a drop; the same, whichever points are asked together."""

    def prepare(self, plan: Plan) -> Mapping[str, Any]:
        """What all points need and costs time: found once, before the search, and kept. Numbers, text and lists of them."""
        return {}

    def point(self, coordinates: F64) -> dict[str, float]:
        """The point at coordinates of the search, [n_parameter]."""
        return {each.name: each.value(float(at)) for each, at in zip(self.space, coordinates, strict=True)}

    def coordinates(self, point: Point) -> F64:
        """The reverse."""
        return np.array([each.coordinate(point[each.name]) for each in self.space])

    @property
    def start(self) -> dict[str, float]:
        """Where CMA-ES begins."""
        return {each.name: each.start for each in self.space}


@dataclass(frozen=True, kw_only=True)
class Arms(Contender):
    """A contender each of whose points is an arm: scenario fields, xApps and their settings.

    Attributes:
        arm: The arm of a point.
    """

    arm: Callable[[Point], Arm]

    def score(self, points: Sequence[Point], drop: Drop, prepared: Mapping[str, Any]) -> Sequence[Score]:
        """A run of the drop per point."""
        return [run_drop(drop.task(self.arm(point))).score for point in points]
