"""`ranloop compare`: two arms on the same drops, every KPI with its interval, and a verdict on each claim.

Exit codes beside those of every command: 0 all claims are shown, or none was made; 3 a claim is refuted; 4 no claim is
refuted, but one or more are undecided.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from ranloop.claims import Claim, check_direction, judge, parse_claim
from ranloop.cli.arms import TypedArm, origin, read_arm
from ranloop.cli.compare_outcome import EXIT_CODES, Outcome, facts
from ranloop.cli.compare_page import page
from ranloop.cli.compare_text import plan_line, show
from ranloop.cli.compare_where import Where
from ranloop.cli.kept_drops import KeptDrops, write_results, write_whole
from ranloop.cli.values import check_positive, parse_handler_delay, parse_pairs, parse_seeds
from ranloop.cli.watching import watch
from ranloop.comparison import table
from ranloop.errors import MissingExtraError, RanloopError, VocabularyError
from ranloop.evaluate import Arm, Conditions, DropResult, Task, look_at, start_importing
from ranloop.guard import load_limits
from ranloop.kpi import Kpi, by_key
from ranloop.node import load_profile, require_fit
from ranloop.vocabulary.near import near_matches
from ranloop.xapp.manifest import load_manifest

__all__ = ("run_compare",)

_LEAST_SEEDS: Final = 2  # one pair has no spread
_TALLIED: Final = ("satisfied", "best_effort_mbps")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be run, checked."""

    node: str
    seeds: Sequence[int]
    arms: tuple[Arm, Arm]
    origins: tuple[Mapping[str, Any], Mapping[str, Any]]
    kpis: Sequence[Kpi]
    claims: Sequence[Claim]
    tasks: Sequence[Task]  # the two arms of a drop follow each other


def run_compare(
    typed: tuple[TypedArm, TypedArm],
    node: str,
    *,
    seeds: str,
    overrides: Sequence[str],
    duration_s: float | None,
    warmup_s: float | None,
    claims: Sequence[str],
    profile: str,
    limits: Path | None,
    handler_delay: str,
    where: Where,
    json_output: bool,
) -> int:
    """Run both arms on all drops and tell what came of it.

    Returns:
        The exit code.

    Raises:
        RanloopError: The command line cannot be carried out; nothing has run then.
    """
    started, out = time.monotonic(), where.out
    if out is not None and find_spec("pyarrow") is None:
        raise MissingExtraError("--out writes a Parquet file, which", "record")
    console = Console(stderr=json_output, soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no edge at which to wrap
    stated = [parse_claim(text) for text in claims]
    drops = parse_seeds(seeds, least=_LEAST_SEEDS)
    if not where.on:
        start_importing()
    common = parse_pairs("--override", overrides) | _times(duration_s, warmup_s)
    under = _conditions(profile, limits, handler_delay)
    with tempfile.TemporaryDirectory(prefix="ranloop-compare-") as scratch:
        arms = _read_arms(typed, Path(scratch), under)
        tasks = [
            Task(arm=arm, seed=seed, node=node, overrides=common, under=under, course=where.out is not None)
            for seed in drops
            for arm in arms
        ]
        plan = _plan(tasks, arms, drops, stated)
        kept = None if out is None else KeptDrops(out, dict(zip("AB", plan.origins, strict=True)))
        console.print(escape(plan_line(node, where.part_of(drops), arms, plan.origins[0])))
        with where.marked():
            results, ran = _run(plan, kept, console, where)
    if where.shard:
        console.print(f"shard {where.shard}: {len(results)} runs are in {out}; --merge judges all shards")
        if json_output:
            print(json.dumps({"shard": str(where.shard), "runs": len(results), "out": str(out)}))
        return 0
    outcome = _judged(plan, results, ran, on=where.on, wall_s=time.monotonic() - started)
    if out is not None:
        told = zip((arm.name for arm in arms), plan.origins, outcome.runs, strict=True)
        write_results(out / "results.parquet", list(told), plan.kpis, node)
        write_whole(out / "report.html", page(outcome).encode())
    if json_output:
        print(json.dumps(facts(outcome), indent=2))
    else:
        show(console, outcome)
    return EXIT_CODES[outcome.shown]


# -- before it runs -----------------------------------------------------------------------------------------------


def _times(duration_s: float | None, warmup_s: float | None) -> dict[str, object]:
    given = {"run.duration_s": duration_s, "run.warmup_s": warmup_s}
    check_positive("--duration-s", duration_s)
    if warmup_s is not None and not 0 <= warmup_s < math.inf:
        raise RanloopError(f"--warmup-s {warmup_s:g}: want 0 or more")
    if duration_s is not None and warmup_s is not None and duration_s <= warmup_s:
        raise RanloopError(
            f"--duration-s {duration_s:g} holds the warm-up of {warmup_s:g} s: want more than that"
        )
    return {name: value for name, value in given.items() if value is not None}


def _conditions(profile: str, limits: Path | None, handler_delay: str) -> Conditions:
    delay_ms = parse_handler_delay(handler_delay)
    if isinstance(delay_ms, str):
        raise RanloopError(
            f"--handler-delay {delay_ms}: is another one in each run, and arms are compared in runs that can be repeated; want "
            "milliseconds of RAN time"
        )
    return Conditions(
        profile=load_profile(profile) if profile else None,
        limits=load_limits(limits) if limits else None,
        handler_delay_ms=delay_ms,
    )


def _told(under: Conditions) -> dict[str, Any]:
    """The conditions as an origin has them: files by their name and content. Nothing where there are none."""
    told: dict[str, Any] = {}
    if under.profile:
        told["profile"] = f"{under.profile.name}@{_digest(under.profile.model_dump_json())}"
    if under.limits:
        content = "".join(limit.model_dump_json() for limit in under.limits.limits)
        told["limits"] = f"{under.limits.file.name}@{_digest(content)}"
    if under.handler_delay_ms:
        told["handler_delay_ms"] = under.handler_delay_ms
    return {"under": told} if told else {}


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _read_arms(typed: tuple[TypedArm, TypedArm], scratch: Path, under: Conditions) -> tuple[Arm, Arm]:
    first, second = (read_arm(side, scratch / side.letter) for side in typed)
    for arm in (first, second):
        manifests = [load_manifest(folder) for folder in arm.xapps]
        if under.profile:
            require_fit(under.profile, {manifest.name: manifest.rights for manifest in manifests})
    return first, second


def _plan(
    tasks: Sequence[Task], arms: tuple[Arm, Arm], drops: Sequence[int], claims: Sequence[Claim]
) -> _Plan:
    world = look_at(tasks[0])
    worlds = world, (world if arms[0].overrides == arms[1].overrides else look_at(tasks[1]))
    told = _told(tasks[0].under)
    first, second = (origin(arm, world.provenance) | told for arm, world in zip(arms, worlds, strict=True))
    if first == second:
        raise RanloopError(
            f"{arms[0].name} and {arms[1].name} are the same in files, settings, models and scenario; change one of them, for "
            "example with --set-b or --override-b"
        )
    shared = by_key(worlds[1].kpis)
    kpis = [kpi for kpi in worlds[0].kpis if kpi.key in shared]
    _check_claims(claims, kpis)
    return _Plan(
        node=tasks[0].node,
        seeds=drops,
        arms=arms,
        origins=(first, second),
        kpis=kpis,
        claims=claims,
        tasks=tasks,
    )


def _check_claims(claims: Sequence[Claim], kpis: Sequence[Kpi]) -> None:
    known = by_key(kpis)
    for claim in claims:
        for key in filter(None, (claim.kpi, claim.percent_of)):
            if key not in known:
                raise VocabularyError("KPI", key, near_matches(key, known))
        check_direction(claim, known[claim.kpi])
    texts = Counter(claim.text for claim in claims)
    if twice := [text for text, count in texts.items() if count > 1]:
        raise RanloopError(f"--claim {twice[0]!r}: is made twice; make it once")


# -- running and judging ------------------------------------------------------------------------------------------


def _run(
    plan: _Plan, kept: KeptDrops | None, console: Console, where: Where
) -> tuple[list[DropResult], list[DropResult]]:
    """The results of all tasks, or of a shard, in their order, and those of them that were run now."""
    seeds = set(where.part_of(plan.seeds))
    tasks = [task for task in plan.tasks if task.seed in seeds]
    before = [kept.read(task) if kept else None for task in tasks]
    left = [task for task, result in zip(tasks, before, strict=True) if result is None]
    where.check_complete(plan.seeds, left)
    keys = dict.fromkeys(claim.kpi for claim in plan.claims) or dict.fromkeys(_TALLIED)
    tally = [kpi for kpi in plan.kpis if kpi.key in keys]
    keep = kept.keep if kept else lambda result: None
    ran = watch(left, console, tally, on_done=keep, on=where.on) if left else []
    fresh = iter(ran)
    return [next(fresh) if result is None else result for result in before], ran


def _judged(
    plan: _Plan, results: Sequence[DropResult], ran: Sequence[DropResult], *, on: str | None, wall_s: float
) -> Outcome:
    runs = results[0::2], results[1::2]
    old, new = ([result.score for result in run] for run in runs)
    return Outcome(
        node=plan.node,
        seeds=plan.seeds,
        arms=plan.arms,
        origins=plan.origins,
        claims=judge(plan.claims, old, new),
        rows=table(plan.kpis, old, new),
        runs=runs,
        ran=ran,
        wall_s=wall_s,
        processes=None if on else len(os.sched_getaffinity(0)),
    )
