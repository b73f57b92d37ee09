"""`ranloop evaluate together`: all acting xApps on one network, and each one in trouble, judged and written into a page."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Final, get_args

from rich.console import Console
from rich.markup import escape

from ranloop.cli.kept_drops import write_whole
from ranloop.cli.paired_drops import PairedDrops, Workers
from ranloop.errors import EvaluationError
from ranloop.evaluation import Together, judge_fail_safe, judge_joint, read_together, together_page
from ranloop.evaluation.joint import TrialVerdict
from ranloop.evaluation.together import TOGETHER_FILE, drops_of
from ranloop.kpi import by_key

__all__ = ("run_together",)

_FOLDER: Final = Path("xapps")


def run_together(folder: Path, *, page_file: Path, out: Path, workers: Workers, json_output: bool) -> int:
    """Run what is missing of the drops of `together.toml` in a folder of xApps, and write the page.

    Raises:
        RanloopError: The file cannot be used, or what it names; one line, and nothing has run then.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if not page_file.parent.is_dir():
        raise EvaluationError(
            f"--page {page_file}: {page_file.parent} is no folder; name a file of one that is there"
        )
    plan = read_together(folder / TOGETHER_FILE)
    parts = (
        ("joint", plan.joint, plan.joint_arms, plan.claims, plan.costs),
        ("fail_safe", plan.fail_safe, plan.trial_arms, plan.fail_safe_claims, ()),
    )
    prepared = []  # all is looked at, before anything runs
    for part, drops, arms, claims, costs in parts:
        paired = PairedDrops.of(part, arms, drops_of(drops), plan.terms(drops))
        plan.check_names(paired.kpis, claims, costs)
        prepared.append((paired, paired.kept_in(out), claims))
    results = []
    for paired, kept, claims in prepared:
        n_arms = len(paired.tasks)
        console.print(escape(f"{paired.name}: {len(paired.tasks[0])} drops of {n_arms} arms"))
        known = by_key(paired.kpis)
        tally = [known[claim.kpi] for claim in claims]
        results.append(paired.results(kept, workers, console, tally))
    found = Together(
        joint=judge_joint(plan, prepared[0][0].kpis, results[0]),
        fail_safe=judge_fail_safe(plan, prepared[1][0].kpis, results[1]),
    )
    command = "ranloop evaluate together" + ("" if folder == _FOLDER else f" --folder {folder}")
    write_whole(page_file.with_suffix(".json"), found.model_dump_json(indent=1).encode() + b"\n")
    write_whole(page_file, together_page(found, command).encode())
    if json_output:
        print(json.dumps(found.model_dump(mode="json"), indent=2))
        return 0
    for change in found.joint.claims:
        print(f"together: {change.what}: {change.word}")
    words: tuple[TrialVerdict, ...] = get_args(TrialVerdict)
    for xapp in plan.xapps:
        verdicts = Counter(trial.verdict for trial in found.fail_safe.trials if trial.xapp == xapp)
        told = ", ".join(f"{word} in {verdicts[word]}" for word in words)
        print(f"{xapp}, of {verdicts.total()} mishaps: {told}")
    print(f"{page_file} has all of it")
    return 0
