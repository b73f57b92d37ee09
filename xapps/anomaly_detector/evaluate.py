"""Measures the detectors on held-out drops at the limits that the validation's fault-free hours set.

    python -m xapps.anomaly_detector.evaluate            # prints the section of the README
    python -m xapps.anomaly_detector.evaluate --write    # and puts it there, and writes result.json for `ranloop evaluate`

Drops are those of `plan.toml`; recordings of them are kept in runs/anomaly_detector, or $ANOMALY_DETECTOR_DROPS, so a second call is short.
A false alarm is a minute of a cell without faults in which a score reaches its limit.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ranloop.evaluation import Change, Place, Result
from ranloop.evaluation.result import Part as PartName
from ranloop.statistics import Difference, Shown, paired_difference
from ranloop.training import read_plan
from ranloop.xapp.manifest import load_manifest

from . import detectors
from .judging import Part, find, minutes, part, scores
from .signs import KINDS

FOLDER = Path(__file__).resolve().parent
README, RESULT = FOLDER / "README.md", FOLDER / "result.json"
COMMAND = "python -m xapps.anomaly_detector.evaluate --write"
MARKS = ("<!-- evaluation -->\n", "<!-- /evaluation -->\n")
MODEL = "weights"
RISK = 0.05  # of the one-sided bound on false alarms


class Of(NamedTuple):
    """A detector on the drops of a list, one kind of fault."""

    recall_pct: list[float]  # of each drop
    delays_s: list[float]  # of what was found
    n_faults: int
    false_alarms: int


def watched(name: str, drops: Part) -> dict[str, Of]:
    """A detector as it is tuned, kind by kind."""
    tuned = detectors.read()[name].tuned
    limit = np.array([tuned[f"limit_{kind}"] for kind in KINDS], np.float32)
    of_faulty = scores(name, tuned, drops.faulty)
    found = [find(drop, of_drop, limit) for drop, of_drop in zip(drops.faulty, of_faulty, strict=True)]
    false = (minutes(scores(name, tuned, drops.quiet)) >= limit).sum(axis=0)
    out = {}
    for kind, number in zip(KINDS, false.tolist(), strict=True):
        delays = [[each.delay_s for each in of_drop if each.fault.kind == kind] for of_drop in found]
        every = [delay for of_drop in delays for delay in of_drop]
        out[kind] = Of(
            [100.0 * float(np.mean(~np.isnan(of_drop))) for of_drop in delays],
            [delay for delay in every if not math.isnan(delay)],
            len(every),
            number,
        )
    return out


def most_events(n: int, risk: float = RISK) -> float:
    """The mean above which a Poisson number is `n` or fewer with less than this chance: the exact one-sided upper bound."""
    low, high = 0.0, 10.0 * (n + 10)
    while high - low > 1e-6:
        mean = (low + high) / 2
        chance = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(n + 1))
        low, high = (mean, high) if chance > risk else (low, mean)
    return high


def word(difference: Difference) -> str:
    """Of a recall, the model's less the rule's."""
    return "model wins" if difference.low > 0 else "harm" if difference.high < 0 else "rule suffices"


def table(of: str, drops: Part, rule: str) -> str:
    """All detectors on the drops of a list, kind by kind."""
    lines = [
        (
            f"{of}: {len(drops.faulty)} drops with faults, {24 * drops.cell_days:.1f} cell hours without | detector | recall, % | median delay, s | "
            f"false alarms | per cell and day, at most | model less {rule}, points | verdict"
        ),
        "|".join(["---"] * 8),
    ]
    by_name = {name: watched(name, drops) for name in detectors.FUNCTIONS}
    for kind in KINDS:
        change = paired_difference(by_name[MODEL][kind].recall_pct, by_name[rule][kind].recall_pct)
        for name, found in by_name.items():
            one = found[kind]
            mean = paired_difference(one.recall_pct, [0.0] * len(one.recall_pct))
            cells = [
                f"{kind}, {one.n_faults} faults",
                name,
                f"{mean.mean:.0f} [{max(mean.low, 0):.0f}, {min(mean.high, 100):.0f}]",
                f"{np.median(one.delays_s):.1f}" if one.delays_s else "",
                str(one.false_alarms),
                f"{most_events(one.false_alarms) / drops.cell_days:.1f}",
                f"{change:+.0f}" if name == MODEL else "",
                word(change) if name == MODEL else "",
            ]
            lines.append(" | ".join(cells))
    return "\n".join(lines)


def report(rule: str) -> str:
    """The section of the README."""
    hours = 24 * part("validation").cell_days
    worlds = dict.fromkeys(_base(world.name) for world in read_plan(FOLDER).held_out_worlds.worlds)
    text = f"Limits: the least scores that at most {int(hours / 24)} of the cells' minutes reaches in the {hours:.1f} fault-free cell hours of the validation.\n\n"
    text += (
        table("Known worlds", part("held_out"), rule)
        + "\n\n"
        + table("Other worlds", part("held_out_worlds"), rule)
    )
    text += (
        "\n\nrecall in other worlds, %, " + rule + " | " + " | ".join(KINDS) + "\n" + "|".join(["---"] * 5)
    )
    for world in worlds:
        found = watched(rule, part("held_out_worlds", world))
        text += f"\n{world} | " + " | ".join(f"{np.mean(found[kind].recall_pct):.0f}" for kind in KINDS)
    return text + "\n"


def _base(world: str) -> str:
    return world.removesuffix(", no faults")


def result(rule: str) -> Result:
    """What `ranloop evaluate` shows: for each kind the recall of the weighted sums less that of the rule."""
    places = []
    names: Sequence[PartName] = ("held_out", "held_out_worlds")
    for of in names:
        ours, theirs = (watched(name, part(of)) for name in (MODEL, rule))
        shown = []
        for kind in KINDS:
            change = paired_difference(ours[kind].recall_pct, theirs[kind].recall_pct)
            told = Shown.YES if change.low > 0 else Shown.NO if change.high < 0 else Shown.UNDECIDED
            claim = Change(
                what=f"{kind}: found more",
                unit="%",
                digits=0,
                rule=float(np.mean(theirs[kind].recall_pct)),
                ours=float(np.mean(ours[kind].recall_pct)),
                difference=change.mean,
                low=change.low,
                high=change.high,
                word={Shown.YES: "gain", Shown.NO: "harm", Shown.UNDECIDED: "undecided"}[told],
                shown=told.name.lower(),
            )
            shown.append(claim)
        name = "macro cells" if of == "held_out" else "all of these"
        costs = [
            _cost(kind, what, ours[kind], theirs[kind], part(of))
            for kind in KINDS
            for what in ("delay", "false")
        ]
        places.append(
            Place(part=of, name=name, n=len(part(of).faulty), claims=tuple(shown), costs=tuple(costs))
        )
    return Result(
        xapp="anomaly_detector",
        kind="model",
        rule=rule,
        ours="weighted sums of signs",
        measured_by=COMMAND,
        places=tuple(places),
    )


def _cost(kind: str, what: str, ours: Of, theirs: Of, drops: Part) -> Change:
    def value(of: Of) -> float:
        if what == "false":
            return of.false_alarms / drops.cell_days
        return float(np.median(of.delays_s)) if of.delays_s else math.nan

    label = f"{kind}: " + ("false alarms per cell and day" if what == "false" else "median delay")
    nothing: dict[str, Any] = {"difference": value(ours) - value(theirs), "low": math.nan, "high": math.nan}
    return Change(
        what=label,
        unit="" if what == "false" else "s",
        digits=1,
        rule=value(theirs),
        ours=value(ours),
        **nothing,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--write", action="store_true", help=f"put the section into {README.name}, and write {RESULT.name}"
    )
    given = parser.parse_args(arguments)
    rule = str(load_manifest(FOLDER).settings["detector"].default)
    text = report(rule)
    print(text, end="")
    if given.write:
        RESULT.write_text(result(rule).model_dump_json(indent=1) + "\n", "utf-8")
        before, mark, rest = README.read_text("utf-8").partition(MARKS[0])
        README.write_text(before + mark + text + MARKS[1] + rest.partition(MARKS[1])[2], "utf-8")


if __name__ == "__main__":
    main()
