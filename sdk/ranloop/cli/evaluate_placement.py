"""`ranloop evaluate placement`: policies beside an oracle on virtual tiers, and what a cascade's gate is worth."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop.bundled import bundled
from ranloop.cli.values import parse_seeds
from ranloop.errors import PlacementError
from ranloop.inference import load_model
from ranloop.placement import Tiers, load_tiers
from ranloop.placement.gate import confidence_of, read_calibration
from ranloop.placement.trial import REGIMES, WORKLOADS, Outcome, outcomes, place_of

__all__ = ("evaluate_placement",)

LEAST_SEEDS = 2
_BUDGETS = (0.05, 0.1, 0.2, 0.3, 0.5)
_MAP_MMAC = (0.01, 1, 100, 1000, 10_000, 100_000)
_MAP_WAIT_MS = (1, 10, 50, 100, 500, 1000)
_MAP_MBPS = (10, 100, 1000)
_POLICIES = ("first", "quickest", "planner", "random", "oracle")
_MARKS = "<!-- placement -->", "<!-- /placement -->"
_N_RESAMPLES = 2000
F64 = NDArray[np.float64]


class _Task(NamedTuple):
    tiers: Tiers
    workload: int
    regime: str
    seed: int


def _run(task: _Task) -> dict[str, Outcome]:
    return outcomes(task.tiers, WORKLOADS[task.workload], task.regime, task.seed)


def evaluate_placement(tiers: Path | None, *, seeds: str, write: Path | None, json_output: bool) -> int:
    """Print the tables, and write them between the marks of a page if one is named.

    Raises:
        RanloopError: The tiers file cannot be used, there are too few seeds, or the page has no marks.
    """
    path = tiers or bundled("docs/examples/tiers.toml")
    if path is None:
        raise PlacementError("this installation carries no tiers file; give --tiers")
    given, chosen = load_tiers(path), parse_seeds(seeds, least=LEAST_SEEDS)
    page = None if write is None else _page(write)
    places = itertools.product(range(len(WORKLOADS)), REGIMES)
    tasks = [_Task(given, workload, regime, seed) for workload, regime in places for seed in chosen]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        results = list(pool.map(_run, tasks))
    found: dict[tuple[int, str], list[dict[str, Outcome]]] = {}
    for task, result in zip(tasks, results, strict=True):
        found.setdefault((task.workload, task.regime), []).append(result)
    gate = list(_gate_rows())
    if json_output:
        print(json.dumps({"policies": [*_facts(found)], "gate": [row._asdict() for row in gate]}, indent=2))
    text = "\n".join([*_text(found, len(chosen)), *_map_text(given), *_gate_text(gate)])
    if not json_output:
        print(text)
    if page is not None and write is not None:
        before, after = page
        write.write_text(f"{before}{_MARKS[0]}\n{text}\n{_MARKS[1]}{after}", "utf-8")
    return 0


def _page(path: Path) -> tuple[str, str]:
    """What stands before and after the marks."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise PlacementError(f"--write {path}: {error.strerror}") from error
    parts = re.split("|".join(map(re.escape, _MARKS)), text)
    if len(parts) != 3:
        raise PlacementError(f"--write {path}: it has no place for the tables: {_MARKS[0]} … {_MARKS[1]}")
    return parts[0], parts[2]


# Policies


class _Judged(NamedTuple):
    """One regime: values per question and seed [n_seeds], by policy, and the best fixed tier."""

    values: Mapping[str, F64]
    fixed: str

    @property
    def gap(self) -> float:
        return float(self.values["oracle"].mean() - self.values[self.fixed].mean())

    def closed(self, policy: str) -> tuple[float, float, float]:
        """Share of the way from the best fixed tier to the oracle, with its 95 % interval over seeds (bootstrap)."""
        mine, fixed, oracle = (self.values[name] for name in (policy, self.fixed, "oracle"))
        draws = np.random.default_rng(0).integers(len(mine), size=(_N_RESAMPLES, len(mine)))
        shares = (mine - fixed)[draws].mean(axis=1) / np.maximum((oracle - fixed)[draws].mean(axis=1), 1e-12)
        low, high = np.percentile(shares, (2.5, 97.5))
        return float((mine - fixed).mean() / max(self.gap, 1e-12)), float(low), float(high)


def _judge(results: Sequence[Mapping[str, Outcome]]) -> _Judged:
    values = {name: np.array([one[name].value.mean() for one in results]) for name in results[0]}
    fixed = max((name for name in values if name.startswith("always")), key=lambda name: values[name].mean())
    return _Judged(values, fixed)


def _text(found: Mapping[tuple[int, str], Sequence[Mapping[str, Outcome]]], n_seeds: int) -> Iterator[str]:
    for number, workload in enumerate(WORKLOADS):
        goal = workload.goal
        yield (
            f"**{workload.name}.** {n_seeds} paired seeds, a question every 100 ms for 30 s. Value per question: {goal.worth:g} for a better answer in "
            f"time, less {goal.per_wait_s:g} per second of waiting and {goal.per_joule:g} per modelled joule."
        )
        yield ""
        yield f"| regime | best fixed tier | {' | '.join(_POLICIES)} | planner's part of the way to the oracle |"
        yield f"|---|---|{'---|' * (len(_POLICIES) + 1)}"
        for regime in REGIMES:
            judged = _judge(found[number, regime])
            cells = [f"{judged.values[name].mean():.4f}" for name in _POLICIES]
            fixed = f"{judged.fixed.removeprefix('always ')} {judged.values[judged.fixed].mean():.4f}"
            if judged.gap < 0.01 * goal.worth:
                verdict = f"no way: {judged.gap:.4f}"
            else:
                share, low, high = judged.closed("planner")
                verdict = f"{share:.0%} [{low:.0%}, {high:.0%}]"
            yield f"| {regime} | {fixed} | {' | '.join(cells)} | {verdict} |"
        yield ""
        yield "| regime, planner | in time | in vain | wait p50, p99 ms | J | bytes | switches in 30 s |"
        yield "|---|---|---|---|---|---|---|"
        for regime in REGIMES:
            yield f"| {regime} | {_details([one['planner'] for one in found[number, regime]])} |"
        yield ""


def _details(results: Sequence[Outcome]) -> str:
    better = np.concatenate([one.is_better for one in results])
    asked = np.concatenate([one.asked for one in results])
    p50, p99 = np.percentile(np.concatenate([one.waited_ms for one in results]), (50, 99))
    joules = np.mean([one.joules.mean() for one in results])
    sent = np.mean([one.sent_bytes.mean() for one in results])
    switches = np.mean([one.n_switches for one in results])
    return f"{better.mean():.1%} | {(asked & ~better).mean():.1%} | {p50:.1f}, {p99:.1f} | {joules:.3g} | {sent:,.0f} | {switches:.1f}"


def _facts(found: Mapping[tuple[int, str], Sequence[Mapping[str, Outcome]]]) -> Iterator[dict[str, Any]]:
    for (number, regime), results in found.items():
        judged = _judge(results)
        yield {
            "workload": WORKLOADS[number].name,
            "regime": regime,
            "value": {name: float(values.mean()) for name, values in judged.values.items()},
            "best_fixed": judged.fixed,
            "planner_closes": judged.closed("planner"),
        }


# The map


def _map_text(tiers: Tiers) -> Iterator[str]:
    """Where the better model is worth most, over its size, the bandwidth up and the deadline."""
    row = WORKLOADS[-1]
    yield (
        f"**The map.** Where a better model is worth most by the tiers file, before anything is measured: a row of {4 * row.n_values:,} bytes, value and "
        f"costs as in *{row.name}*. `{tiers.here}` is the better model here; – is no place in time, so that the small model stays alone."
    )
    yield ""
    yield f"| MMAC | Mb/s up | {' | '.join(f'{ms:,} ms' for ms in _MAP_WAIT_MS)} |"
    yield f"|---|---|{'---|' * len(_MAP_WAIT_MS)}"
    for mmac, mbps in itertools.product(_MAP_MMAC, _MAP_MBPS):
        places = [place_of(tiers, replace(row, mmac=mmac, wait_ms=ms), mbps) or "–" for ms in _MAP_WAIT_MS]
        yield f"| {mmac:,g} | {mbps:,} | {' | '.join(places)} |"
    yield ""


# The gate of a cascade


class _GateRow(NamedTuple):
    """One budget: what went up, and how often the answers were right with the gate and at random."""

    budget: float
    offloaded: float
    right: float
    right_at_random: float
    right_of_kept: float


def _gate_rows() -> Iterator[_GateRow]:
    """The bundled classifiers on the drops that judge them; nothing if this installation has none."""
    small, large = bundled("models/cell_fault_small"), bundled("models/cell_fault")
    if small is None or large is None:
        return
    with np.load(large / "held_out.npz", allow_pickle=False) as rows:
        label, inputs = rows["label"], (rows["small"], rows["large"])
    here, above = (
        load_model(folder).predict(matrix) for folder, matrix in zip((small, large), inputs, strict=True)
    )
    right_here, right_above = here.argmax(axis=1) == label, above.argmax(axis=1) == label
    calibration, confidence = read_calibration(small), confidence_of(here)
    for budget in (0.0, *_BUDGETS, 1.0):
        threshold = 1.1 if budget == 1.0 else calibration.threshold_of_offload(budget)
        up = confidence < threshold
        share = float(up.mean())
        yield _GateRow(
            budget=budget,
            offloaded=share,
            right=float(np.where(up, right_above, right_here).mean()),
            right_at_random=float(share * right_above.mean() + (1 - share) * right_here.mean()),
            right_of_kept=float(right_here[~up].mean()) if not up.all() else float("nan"),
        )


def _gate_text(rows: Sequence[_GateRow]) -> Iterator[str]:
    if not rows:
        return
    yield (
        "**Cascade.** `models/cell_fault_small` here, `models/cell_fault` above, on drops that neither was trained or calibrated on; a cell's "
        "fault is right if the class is."
    )
    yield ""
    yield "| offload at most | went up | right | right, as many rows at random | right of those that stayed |"
    yield "|---|---|---|---|---|"
    for row in rows:
        kept = "" if np.isnan(row.right_of_kept) else f"{row.right_of_kept:.1%}"
        yield f"| {row.budget:.0%} | {row.offloaded:.1%} | {row.right:.1%} | {row.right_at_random:.1%} | {kept} |"
