"""`ranloop train`: the progress of a training, and its contenders side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ranloop.training import Outcome, train
from ranloop_work import Shard

__all__ = ("run_train",)


def run_train(
    folder: Path,
    *,
    only: Sequence[str],
    processes: int | None,
    on: str | None,
    shard: str | None,
    json_output: bool,
) -> int:
    """Train, and tell what came of it.

    Raises:
        RanloopError: The training cannot be carried out.
        WorkError: `shard` is none, or the cluster cannot be used.
    """
    outcome = train(
        folder,
        only=only,
        shard=Shard.parse(shard) if shard else None,
        processes=processes,
        on=on,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if json_output:
        print(json.dumps(None if outcome is None else _facts(outcome), indent=2))
    elif outcome is None:
        print(
            f"{folder}: contenders are missing; without --only and --shard the same call tunes them and keeps the winner"
        )
    else:
        print("\n".join(_table(outcome)))
    return 0


def _facts(outcome: Outcome) -> dict[str, object]:
    return {
        name: {
            "kind": each.kind,
            "worth": each.worth,
            "metrics": outcome.metrics(name),
            **outcome.training(name),
        }
        for name, each in outcome.winners.items()
    }


def _table(outcome: Outcome) -> Iterator[str]:
    """A line per contender, the best first, with its figures on the validation drops and its point."""
    reference = outcome.plan.search.reference
    yield f"on the validation drops, worth against {reference} as it is tuned:"
    for each in sorted(outcome.winners.values(), key=lambda winner: -winner.worth):
        yield (
            f"{each.name} ({each.kind}): worth {each.worth:+.2f}, {each.rollouts} rollouts, {each.cpu_minutes:.1f} CPU min, {each.how}"
        )
        yield "    " + "  ".join(f"{name} {value:.4g}" for name, value in each.point.items())
        for where, figures in each.figures.items():
            yield f"    {where}: " + "  ".join(f"{key} {value:,.2f}" for key, value in figures.items())
    yield f"best rule: {outcome.best_rule.name}; what was kept of the winner, {outcome.folder} has"
