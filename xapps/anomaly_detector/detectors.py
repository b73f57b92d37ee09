"""The detectors of the xApp, and how often a score of theirs comes by chance; their numbers are in `tuned.toml`, which training writes."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import rules, weights
from .signs import F32, KINDS

TUNED = Path(__file__).with_name("tuned.toml")
Step = Callable[[F32, Mapping[str, F32], Mapping[str, float]], tuple[F32, dict[str, F32]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A function of signs and memory, with its tuned numbers.

    Attributes:
        start: What it remembers of a cell that has told nothing yet.
        tuned: Of the function, and of each kind `limit_KIND`, the score that fault-free cells reach once a day, and `tail_KIND`, by how
            much more the score is that they reach e times as seldom.
    """

    start: Callable[[], dict[str, Any]]
    function: Step
    tuned: Mapping[str, float]

    def step(self, signs: F32, memory: Mapping[str, F32]) -> tuple[F32, dict[str, F32]]:
        """Scores of a second, shape [n_cell, len(KINDS)], and what is to be remembered."""
        return self.function(signs, memory, self.tuned)

    def false_alarms(self, scores: F32) -> F32:
        """How often fault-free cells reach such scores, per cell and day; an extrapolation below 1."""
        limit = np.array([self.tuned[f"limit_{kind}"] for kind in KINDS], np.float32)
        tail = np.array([self.tuned[f"tail_{kind}"] for kind in KINDS], np.float32)
        per_day: F32 = np.exp(np.clip((limit - scores) / tail, -30.0, 30.0)).astype(np.float32)
        return per_day


FUNCTIONS: Mapping[str, tuple[Callable[[], dict[str, Any]], Step]] = {
    "thresholds": (rules.thresholds_start, rules.thresholds),
    "cusum": (rules.cusum_start, rules.cusum),
    "weights": (weights.start, weights.weighted),
}


def read() -> dict[str, Detector]:
    """All detectors as they are tuned."""
    tuned = tomllib.loads(TUNED.read_text("utf-8"))
    return {
        name: Detector(start=start, function=function, tuned=tuned[name])
        for name, (start, function) in FUNCTIONS.items()
    }
