"""`ranloop compare`: two arms on the same drops, every KPI with its interval, and a verdict on each claim.

Exit codes beside those of every command: 0 all claims are shown, or none was made; 3 a claim is refuted; 4 no claim is
refuted, but one or more are undecided.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ranloop.claims import Claim, Verdict, check_direction, judge, parse_claim
from ranloop.cli.arms import TypedArm, code_digest, identity, read_arm
from ranloop.cli.values import check_positive, parse_pairs, parse_seeds
from ranloop.cli.watching import watch
from ranloop.comparison import Row, table
from ranloop.errors import RanloopError, VocabularyError
from ranloop.evaluate import Arm, DropResult, Task, look_at
from ranloop.kpi import Kpi, by_key
from ranloop.statistics import LEVEL, Shown
from ranloop.vocabulary.near import near_matches

__all__ = ("EXIT_CODES", "run_compare")

EXIT_CODES: Final = {Shown.YES: 0, Shown.NO: 3, Shown.UNDECIDED: 4}
_LEAST_SEEDS: Final = 2
_TALLIED: Final = ("satisfied", "best_effort_mbps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a comparison found.

    Attributes:
        node: Address of the node.
        seeds: The drops.
        arms: The two arms, and what each consists of.
        claims: The verdicts, in the order in which the claims were made.
        rows: One per KPI.
        runs: Results of the first and the second arm, in the order of the seeds.
        wall_s: Time that all took.
    """

    node: str
    seeds: Sequence[int]
    arms: tuple[Arm, Arm]
    origins: tuple[Mapping[str, Any], Mapping[str, Any]]
    claims: Sequence[Verdict]
    rows: Sequence[Row]
    runs: tuple[Sequence[DropResult], Sequence[DropResult]]
    wall_s: float

    @property
    def shown(self) -> Shown:
        """YES if all claims are shown, NO if one is refuted."""
        verdicts = [verdict.shown for verdict in self.claims]
        return Shown.NO if Shown.NO in verdicts else min(verdicts, default=Shown.YES)


def run_compare(
    typed: tuple[TypedArm, TypedArm],
    node: str,
    *,
    seeds: str,
    overrides: Sequence[str],
    duration_s: float | None,
    warmup_s: float | None,
    claims: Sequence[str],
    json_output: bool,
) -> int:
    """Run both arms on all drops and print what came of it.

    Returns:
        The exit code.

    Raises:
        RanloopError: The command line cannot be carried out; nothing has run then.
    """
    started = time.monotonic()
    console = Console(stderr=json_output, soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no edge at which to wrap
    stated = [parse_claim(text) for text in claims]
    drops = parse_seeds(seeds, least=_LEAST_SEEDS)
    common = parse_pairs("--override", overrides) | _times(duration_s, warmup_s)
    with tempfile.TemporaryDirectory(prefix="ranloop-compare-") as scratch:
        arms = _read_arms(typed, Path(scratch))
        worlds = [look_at(Task(arm=arm, seed=drops[0], node=node, overrides=common)) for arm in arms]
        origins = tuple(
            {"xapps": identity(arm), "versions": code_digest(), "world": without_seed(world.provenance)}
            for arm, world in zip(arms, worlds, strict=True)
        )
        if origins[0] == origins[1]:
            raise RanloopError(
                f"{typed[0].text} and {typed[1].text} are the same: files, settings, models and scenario; change one of them, "
                "for example with --set-b or --override-b"
            )
        kpis = [kpi for kpi in worlds[0].kpis if kpi.key in by_key(worlds[1].kpis)]
        _check_claims(stated, kpis)
        tasks = [Task(arm=arm, seed=seed, node=node, overrides=common) for seed in drops for arm in arms]
        console.print(_plan_line(node, drops, arms))
        results = watch(tasks, console, _tallied(kpis, stated))
    runs = results[0::2], results[1::2]
    scores = [[result.score for result in run] for run in runs]
    outcome = Outcome(
        node=node,
        seeds=drops,
        arms=arms,
        origins=(origins[0], origins[1]),
        claims=judge(stated, *scores),
        rows=table(kpis, *scores),
        runs=runs,
        wall_s=time.monotonic() - started,
    )
    if json_output:
        print(json.dumps(facts(outcome), indent=2))
    else:
        _show(console, outcome)
    return EXIT_CODES[outcome.shown]


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


def _read_arms(typed: tuple[TypedArm, TypedArm], scratch: Path) -> tuple[Arm, Arm]:
    first, second = (read_arm(side, scratch / side.letter) for side in typed)
    return first, second


def without_seed(provenance: Mapping[str, str | int]) -> dict[str, str | int]:
    """What all drops of an arm share."""
    return {name: value for name, value in provenance.items() if name != "seed"}


def _check_claims(claims: Sequence[Claim], kpis: Sequence[Kpi]) -> None:
    known = by_key(kpis)
    for claim in claims:
        for key in filter(None, (claim.kpi, claim.percent_of)):
            if key not in known:
                raise VocabularyError("KPI", key, near_matches(key, known))
        check_direction(claim, known[claim.kpi])
    if twice := [
        key for key, n in Counter((claim.kpi, claim.sign, claim.amount) for claim in claims).items() if n > 1
    ]:
        raise RanloopError(f"--claim about {twice[0][0]}: is made twice; make it once")


def _tallied(kpis: Sequence[Kpi], claims: Sequence[Claim]) -> list[Kpi]:
    """KPIs whose means are shown on the way: those of the claims, or two of any world that has them."""
    keys = dict.fromkeys(claim.kpi for claim in claims) or dict.fromkeys(_TALLIED)
    return [kpi for kpi in kpis if kpi.key in keys]


def _plan_line(node: str, drops: Sequence[int], arms: Sequence[Arm]) -> str:
    names = " and ".join(escape(arm.name) for arm in arms)
    return f"{escape(node)}: {len(drops)} drops, each run in lockstep with {names}"


# -- what it prints -----------------------------------------------------------------------------------------------


def _show(console: Console, outcome: Outcome) -> None:
    console.print(_table(outcome))
    console.print(
        f"The table's intervals are each of {100 * LEVEL:g} % and not corrected for {len(outcome.rows)} KPIs: of 20 KPIs that "
        "nothing changes, one is expected to read higher or lower.",
    )
    kpis = by_key(row.kpi for row in outcome.rows)
    for verdict in outcome.claims:
        console.print(escape(verdict_line(verdict, kpis[verdict.claim.kpi])))
    if len(outcome.claims) > 1:
        console.print(
            f"{len(outcome.claims)} claims, together {100 * LEVEL:g} %: Holm's correction, and each claim's interval is that of its "
            "corrected level.",
        )
    for arm, run in zip(outcome.arms, outcome.runs, strict=True):
        if arm.xapps:
            console.print(f"{escape(arm.name)}: {_actions(run)}")
    console.print(_time_line(outcome))


def _table(outcome: Outcome) -> Table:
    title = "mean over drops; difference B less A per drop, 95 % interval over drops"
    shown = Table(title=title, box=None, title_justify="left")
    for heading in ("KPI", "unit", "better", "A", "B", "difference", "reads"):
        right = heading in ("A", "B", "difference")
        shown.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for row in outcome.rows:
        digits = row.kpi.digits
        drops = "" if row.n == len(outcome.seeds) else f" ({row.n} drops)"
        shown.add_row(
            escape(row.kpi.key),
            row.kpi.unit,
            "" if row.kpi.better == "neither" else row.kpi.better,
            f"{row.old:.{digits}f}",
            f"{row.new:.{digits}f}",
            escape(f"{row.difference:+.{digits}f}") if row.difference else "",
            ": ".join(filter(None, (row.reading, row.effect))) + drops,
        )
    return shown


def verdict_line(verdict: Verdict, kpi: Kpi) -> str:
    """A verdict, its claim, and the interval that it rests on."""
    spec, claim = f"+.{kpi.digits}f", verdict.claim
    side = "above" if claim.sign > 0 else "below"
    line = f"{verdict.word}: {claim.text}. {verdict.difference:{spec}} {kpi.unit}, claimed {side} {verdict.bound:{spec}}"
    if verdict.shown is not Shown.UNDECIDED:
        return line
    if verdict.missing:
        return f"{line}; {verdict.missing} of {verdict.difference.n} drops have no value"
    if math.isnan(verdict.bound):
        return f"{line}; a share of nothing is no bound"
    if verdict.seeds is None:
        return f"{line}; no number of seeds that anybody runs would decide"
    return (
        f"{line}; about {verdict.seeds} seeds decide with a chance of 80 %, if mean and spread stay as these "
        f"{verdict.difference.n} drops show them"
    )


def _actions(run: Sequence[DropResult]) -> str:
    total: Counter[str] = Counter()
    for result in run:
        total.update(result.outcomes)
    told = ", ".join(f"{name} {count:,}" for name, count in total.most_common())
    return f"targets of its actions, all drops: {told or 'none'}"


def _time_line(outcome: Outcome) -> str:
    run_s = sum(result.wall_s for run in outcome.runs for result in run)
    processes = len(os.sched_getaffinity(0))
    return f"{outcome.wall_s:.0f} s in all; the runs took {run_s:.0f} s, on {processes} processes {run_s / processes:.0f} s"


def facts(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain values; None where there is no number."""
    return {
        "node": outcome.node,
        "seeds": list(outcome.seeds),
        "arms": {
            letter: {"name": arm.name, "outcomes": _outcomes(run), **origin}
            for letter, arm, run, origin in zip(
                "AB", outcome.arms, outcome.runs, outcome.origins, strict=True
            )
        },
        "level": LEVEL,
        "claims": [_claim_facts(verdict) for verdict in outcome.claims],
        "kpis": {row.kpi.key: _row_facts(row, outcome) for row in outcome.rows},
        "exit_code": EXIT_CODES[outcome.shown],
        "run_s": round(sum(result.wall_s for run in outcome.runs for result in run), 1),
        "wall_s": round(outcome.wall_s, 1),
    }


def _outcomes(run: Sequence[DropResult]) -> dict[str, int]:
    return dict(sum((Counter(result.outcomes) for result in run), Counter()))


def _claim_facts(verdict: Verdict) -> dict[str, Any]:
    return {
        "claim": verdict.claim.text,
        "verdict": verdict.word,
        "shown": verdict.shown.name.lower(),
        "difference": _number(verdict.difference.mean),
        "low": _number(verdict.difference.low),
        "high": _number(verdict.difference.high),
        "tails": list(verdict.tails),
        "bound": _number(verdict.bound),
        "seeds_needed": verdict.seeds,
    }


def _row_facts(row: Row, outcome: Outcome) -> dict[str, Any]:
    key, difference = row.kpi.key, row.difference
    return {
        "label": row.kpi.label,
        "unit": row.kpi.unit,
        "better": row.kpi.better,
        "definition": row.kpi.definition,
        "A": [_number(result.score[key]) for result in outcome.runs[0]],
        "B": [_number(result.score[key]) for result in outcome.runs[1]],
        "difference": None if difference is None else _number(difference.mean),
        "low": None if difference is None else _number(difference.low),
        "high": None if difference is None else _number(difference.high),
        "drops": row.n,
        "reads": row.reading,
        "effect": row.effect,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
