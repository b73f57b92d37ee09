"""`ranloop evaluate`: the claims of all xApps of a folder, judged on their held-out drops, and one page of the results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape

from ranloop.cli.kept_drops import KeptDrops, write_whole
from ranloop.cli.paired_drops import PairedDrops, Workers
from ranloop.errors import EvaluationError, VocabularyError
from ranloop.evaluate import DropResult
from ranloop.evaluation import CLAIMS_FILE, Claimed, Place, Result, judged_place, page, read_claimed, verdict
from ranloop.evaluation.result import Part
from ranloop.kpi import Kpi, by_key
from ranloop.training import Drops
from ranloop.vocabulary.near import near_matches

__all__ = ("run_evaluate",)

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


class _Where(NamedTuple):
    """A world at a load, of one part of the plan."""

    part: Part
    name: str
    drops: PairedDrops


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
        prepared.append((each, places, [where.drops.kept_in(out / each.xapp) for where in places]))
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
                drops = [listed.drop(world, seed, load) for seed in listed.each]
                paired = PairedDrops.of(f"{part} {name}", claimed.arms, drops)
                paired = replace(paired, kpis=(*paired.kpis, *OWN_KPIS))
                _check_names(claimed, by_key(paired.kpis))
                yield _Where(part, name, paired)


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
            escape(
                f"{claimed.xapp}, {where.name}: {len(where.drops.tasks[0])} drops of {len(claimed.arms)} arms"
            )
        )
        known = by_key(where.drops.kpis)
        costs = [known[key] for key in claimed.costs] + list(OWN_KPIS)
        tally = [known[claim.kpi] for claim in claimed.claims]
        results = where.drops.results(before, workers, console, tally)
        scores = [[_with_own(result) for result in of_arm] for of_arm in results]
        yield judged_place(where.part, where.name, claimed.claims, costs, where.drops.kpis, scores)
        if where.part == PARTS[1] and n_worlds > 1:
            for column, more in zip(pooled, scores, strict=True):
                column.extend(more)
    if pooled[0]:
        yield judged_place(PARTS[1], "all of these", claimed.claims, costs, where.drops.kpis, pooled)


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
