"""`ranloop evaluate`: the claims of all xApps of a folder, judged on their held-out drops, and one page of the results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape

from ranloop.cli.arms import origin
from ranloop.cli.kept_drops import KeptDrops, write_whole
from ranloop.cli.watching import watch
from ranloop.errors import EvaluationError, VocabularyError
from ranloop.evaluate import DropResult, Task, look_at
from ranloop.evaluation import CLAIMS_FILE, Claimed, Place, Result, judged_place, page, read_claimed, verdict
from ranloop.evaluation.result import Part
from ranloop.kpi import Kpi, by_key
from ranloop.training import Drop, Drops
from ranloop.vocabulary.near import near_matches

__all__ = ("Workers", "run_evaluate")

RESULT_FILE: Final = "result.json"  # of an xApp that another command judges
PARTS: Final[tuple[Part, ...]] = ("held_out", "held_out_worlds")
STEP: Final = "step"  # the stage of the loop in which xApps decide
OWN_KPIS: Final = (
    Kpi(
        key="actions", label="targets of actions", unit="a drop", better="lower",
        definition="UEs, cells, … that actions were about, whatever became of them.",
    ),
    Kpi(
        key="step_us", label="time to decide, median", unit="us", better="lower", digits=0,
        definition="From the reports of a period to the answers of the xApps to all of them, on the machine that ran it.",
    ),
)  # fmt: skip
_results: Final = TypeAdapter(dict[str, Result])


class Workers(TypedDict):
    """Processes of this machine, by default all cores, or the address of a dask scheduler."""

    processes: int | None
    on: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    """One world at one load, in which all arms run the same drops.

    Attributes:
        tasks: By arm, in the order of the seeds.
        kpis: Of the world, and ours.
        origins: Arm letter -> all that its results depend on beside the seed.
    """

    part: Part
    name: str
    tasks: tuple[tuple[Task, ...], ...]
    kpis: tuple[Kpi, ...]
    origins: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, claimed: Claimed, part: Part, name: str, drops: Sequence[Drop]) -> _Where:
        """All arms of `claimed` on these drops, checked."""
        tasks = tuple(tuple(drop.task(arm) for drop in drops) for arm in claimed.arms)
        worlds = [look_at(of_arm[0]) for of_arm in tasks]
        kpis = (*worlds[0].kpis, *OWN_KPIS)
        _check_names(claimed, by_key(kpis))
        origins = {
            arm.name[0]: origin(arm, world.provenance)
            for arm, world in zip(claimed.arms, worlds, strict=True)
        }
        return cls(part=part, name=name, tasks=tasks, kpis=kpis, origins=origins)

    def kept_in(self, folder: Path) -> KeptDrops:
        """The drops of it that an earlier call left in a folder of all places."""
        slug = re.sub(r"[^a-z0-9]+", "-", f"{self.part} {self.name}".lower()).strip("-")
        return KeptDrops(folder / slug, self.origins)


def run_evaluate(
    folder: Path,
    names: Sequence[str],
    *,
    page_file: Path,
    out: Path,
    workers: Workers,
    json_output: bool,
) -> int:
    """Judge the xApps called `names`, or all with claims, and write the page; results of the others stay as they were.

    Raises:
        RanloopError: Claims that cannot be judged, or files that cannot be used; one line, and nothing has run then.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if not page_file.parent.is_dir():
        raise EvaluationError(
            f"--page {page_file}: {page_file.parent} is no folder; name a file of one that is there"
        )
    claimed = [read_claimed(each) for each in _chosen(folder, names)]
    prepared = []  # all is looked at, before anything runs
    for each in claimed:
        places = list(_places(each))
        prepared.append((each, places, [where.kept_in(out / each.xapp) for where in places]))
    kept_results = page_file.with_suffix(".json")
    results = _read(kept_results)
    for each, places, kept in prepared:
        if each.measured_by:
            found = _of_own_command(each, console)
        else:
            command = f"{_command(folder)} {each.folder.name}"
            found = each.result(command, list(_measured(each, places, kept, workers, console)))
        if found:
            results[each.xapp] = found
            write_whole(kept_results, _results.dump_json(results, indent=1) + b"\n")
    ordered = [results[name] for name in sorted(results)]
    write_whole(page_file, page(ordered, _command(folder)).encode())
    if json_output:
        print(
            json.dumps(
                {
                    result.xapp: {"verdict": verdict(result), **result.model_dump(mode="json")}
                    for result in ordered
                },
                indent=2,
            )
        )
    else:
        for result in ordered:
            print(f"{result.xapp}: {verdict(result)}")
        print(f"{page_file} has all of it")
    return 0


def _command(folder: Path) -> str:
    return "ranloop evaluate xapps" + ("" if folder == Path("xapps") else f" --folder {folder}")


def _chosen(folder: Path, names: Sequence[str]) -> list[Path]:
    there = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CLAIMS_FILE}"))}
    if not there:
        raise EvaluationError(
            f"{folder}: no folder in it has a {CLAIMS_FILE}; want a folder of xApps that claim something"
        )
    for name in names:
        if name not in there:
            raise VocabularyError("xApp with claims", name, near_matches(name, there) or tuple(there))
    return [there[name] for name in dict.fromkeys(names or there)]


def _places(claimed: Claimed) -> Iterator[_Where]:
    if claimed.plan is None:
        return
    loads = claimed.plan.loads
    for part in PARTS:
        listed: Drops = getattr(claimed.plan, part)
        for world in listed.worlds:
            for load in loads:
                name = world.name if len(loads) == 1 else f"{world.name}, load {load:g}"
                yield _Where.of(claimed, part, name, [listed.drop(world, seed, load) for seed in listed.each])


def _check_names(claimed: Claimed, known: Mapping[str, Kpi]) -> None:
    of_claims = (key for claim in claimed.claims for key in (claim.kpi, claim.percent_of) if key)
    for key in (*of_claims, *claimed.costs):
        if key not in known:
            raise VocabularyError(f"KPI in {claimed.folder / CLAIMS_FILE}", key, near_matches(key, known))


def _measured(
    claimed: Claimed, places: Sequence[_Where], kept: Sequence[KeptDrops], workers: Workers, console: Console
) -> Iterator[Place]:
    """What the drops say, those that are kept from an earlier call and those that are run now."""
    pooled: list[list[dict[str, float]]] = [[] for _ in claimed.arms]
    n_worlds = sum(where.part == PARTS[1] for where in places)
    for where, before in zip(places, kept, strict=True):
        console.print(
            escape(f"{claimed.xapp}, {where.name}: {len(where.tasks[0])} drops of {len(where.tasks)} arms")
        )
        known = by_key(where.kpis)
        costs = [known[key] for key in claimed.costs] + list(OWN_KPIS)
        scores = _scores(where, before, workers, console, [known[claim.kpi] for claim in claimed.claims])
        yield judged_place(where.part, where.name, claimed.claims, costs, where.kpis, scores)
        if where.part == PARTS[1] and n_worlds > 1:
            for column, more in zip(pooled, scores, strict=True):
                column.extend(more)
    if pooled[0]:
        yield judged_place(PARTS[1], "all of these", claimed.claims, costs, where.kpis, pooled)


def _scores(
    where: _Where, kept: KeptDrops, workers: Workers, console: Console, tally: Sequence[Kpi]
) -> list[list[dict[str, float]]]:
    """By arm, the scores of all drops in the order of the seeds."""
    tasks = [task for of_drop in zip(*where.tasks, strict=True) for task in of_drop]
    before = [kept.read(task) for task in tasks]
    left = [task for task, result in zip(tasks, before, strict=True) if result is None]
    ran = iter(watch(left, console, tally, on_done=kept.keep, **workers) if left else [])
    results = [next(ran) if result is None else result for result in before]
    n = len(where.tasks)
    return [[_with_own(result) for result in results[i::n]] for i in range(n)]


def _with_own(result: DropResult) -> dict[str, float]:
    steps_ns = result.latencies_ns.get(STEP, np.zeros(0))
    own = {
        "actions": float(sum(result.outcomes.values())),
        "step_us": float(np.median(steps_ns)) / 1e3 if len(steps_ns) else 0.0,
    }
    return {**result.score, **own}


def _of_own_command(claimed: Claimed, console: Console) -> Result | None:
    path = claimed.folder / RESULT_FILE
    if not path.is_file():
        console.print(escape(f"{claimed.xapp}: is not measured yet; `{claimed.measured_by}` writes {path}"))
        return None
    try:
        return Result.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise EvaluationError(f"{path}: is no result; `{claimed.measured_by}` writes it anew") from error


def _read(path: Path) -> dict[str, Result]:
    if not path.is_file():
        return {}
    try:
        return _results.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise EvaluationError(f"{path}: holds no results; remove it, and all are measured anew") from error
