"""A training: each contender of a folder is searched with the same budget, chosen on validation drops, and kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ranloop.arm import Arm
from ranloop.errors import TrainingError
from ranloop.training.contender import Arms, Contender
from ranloop.training.crew import Crew
from ranloop.training.folder import Trainee, load_trainee, of_the_author
from ranloop.training.journal import Journal, read_journal
from ranloop.training.outcome import Outcome, Winner
from ranloop.training.plan import Plan, read_plan
from ranloop.training.search import Finalist, search
from ranloop.training.weighing import Weighing, mean_worth
from ranloop_work import Shard

__all__ = ("Training", "train", "tuned_arm")


def train(
    folder: Path,
    *,
    only: Sequence[str] = (),
    shard: Shard | None = None,
    processes: int | None = None,
    on: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome | None:
    """Tune what is not tuned yet, and hand the winners to the folder's `keep`.

    The reference comes first, and is weighed against its own start; the others are weighed against the tuned reference.

    Args:
        folder: With `plan.toml` and `train.py`; journals come into its folder `journal`.
        only: Names of contenders; the others are left as they are.
        shard: Only this part of the contenders, as a batch job: the reference must be tuned by then.
        processes: Of this machine; default: all cores that this process may use.
        on: In their place the workers of the dask scheduler at this address.
        say: Called with a line of progress.

    Returns:
        The outcome, or None as long as contenders are missing.

    Raises:
        TrainingError: The training cannot be carried out; one line.
        WorkError: A cluster cannot be used.
    """
    training = Training(folder.resolve(), say)
    wanted = training.wanted(only, shard)
    (probe, *_) = training.plan.training.of_round(0, training.plan.loads)
    with Crew(training.folder, probe, processes=processes, on=on) as crew:
        for contender in wanted:
            if training.winner(contender) is None:
                training.tune(contender, crew)
    winners = {each.name: training.winner(each) for each in training.trainee.contenders}
    whole = {name: winner for name, winner in winners.items() if winner}
    if len(whole) < len(winners):
        return None
    outcome = Outcome(folder=training.folder, plan=training.plan, winners=whole)
    with of_the_author(training.folder, "keep()"):
        training.trainee.keep(outcome)
    return outcome


def tuned_arm(folder: Path, name: str) -> Arm:
    """The arm of a contender's winner.

    Raises:
        TrainingError: There is no such contender, its points are no arms, or it is not tuned yet.
    """
    training = Training(folder)
    contender = training.trainee.contender(name)
    winner = training.winner(contender)
    if not isinstance(contender, Arms):
        raise TrainingError(f"{folder}: the points of {name} are no arms")
    if winner is None:
        raise TrainingError(f"{folder}: {name} is not tuned yet; first: ranloop train {folder}")
    return contender.arm(winner.point)


@dataclass
class Training:
    """The contenders of a folder and how far they are.

    Raises:
        TrainingError: The folder's plan or its `train.py` do not fit.
    """

    folder: Path
    say: Callable[[str], None] = lambda line: None
    plan: Plan = field(init=False)
    trainee: Trainee = field(init=False)

    def __post_init__(self) -> None:
        self.plan = read_plan(self.folder)
        self.trainee = load_trainee(self.folder)
        self.reference = self.trainee.contender(self.plan.search.reference)

    def wanted(self, only: Sequence[str], shard: Shard | None) -> list[Contender]:
        """The contenders that are to be tuned, the reference first."""
        others = [each for each in self.trainee.contenders if each is not self.reference]
        for name in only:
            self.trainee.contender(name)  # or an error
        chosen = list(shard.of(others)) if shard else [self.reference, *others]
        chosen = [each for each in chosen if not only or each.name in only]
        if self.reference not in chosen and self.winner(self.reference) is None:
            raise TrainingError(
                f"{self.folder}: {self.reference.name}, which the others are weighed against, is not tuned yet; "
                f"first: ranloop train {self.folder} --only {self.reference.name}"
            )
        return chosen

    def winner(self, contender: Contender) -> Winner | None:
        """The winner of a search that is through; none before the reference has one.

        Raises:
            TrainingError: The journal is of another search.
        """
        if contender is not self.reference and self._beside(contender) is None:
            return None
        lines = read_journal(self.folder, contender.name, self._digest(contender))
        if not lines or "winner" not in lines[-1]:
            return None
        return Winner(
            name=contender.name, kind=contender.kind, prepared=lines[0]["prepared"], **lines[-1]["winner"]
        )

    def tune(self, contender: Contender, crew: Crew) -> None:
        """Search and validate, from where the journal ends."""
        with Journal.opened(self.folder, contender.name, self._digest(contender)) as journal:
            lines = list(journal.lines)
            if lines and "winner" in lines[-1]:
                return  # another process was quicker
            if not lines:
                began = time.process_time()
                with of_the_author(self.folder, f"prepare() of {contender.name}"):
                    prepared = contender.prepare(self.plan)
                lines = [{"prepared": prepared, "cpu_s": round(time.process_time() - began, 2)}]
                journal.append(lines[0])
            beside, prepared = self._beside(contender), lines[0]["prepared"]
            weighing = Weighing(
                trainee=self.trainee,
                crew=crew,
                contender=contender,
                reference=self.reference,
                beside=beside.point if beside else self.reference.start,
                prepared=(prepared, beside.prepared if beside else prepared),
            )
            finalists = self._search(weighing, journal, lines)
            journal.append({"winner": self._validate(weighing, finalists, lines)})

    def _search(self, weighing: Weighing, journal: Journal, lines: list[dict[str, Any]]) -> list[Finalist]:
        """Follow the search; rounds that `lines` has are not run again, and those that are run are added to it."""
        contender, began, before = weighing.contender, time.monotonic(), _rollouts(lines)
        searching, place = search(contender, self.plan), 1
        try:
            asked = next(searching)
            while True:
                if place == len(lines):
                    points = [contender.point(each) for each in asked.points]
                    found = weighing.weigh(points, asked.drops)
                    lines.append(
                        {
                            "worth": [round(each, 4) for each in found.worth],
                            "rollouts": len(points) * len(asked.drops),
                            "cpu_s": round(found.cpu_s, 2),
                        }
                    )
                    journal.append(lines[-1])
                    pace_s = (time.monotonic() - began) / (_rollouts(lines) - before)
                    self.say(self._progress(contender, lines, pace_s))
                worth = lines[place]["worth"]
                place += 1
                asked = searching.send(worth)
        except StopIteration as end:
            finalists: list[Finalist] = end.value
            return finalists

    def _progress(self, contender: Contender, lines: Sequence[Mapping[str, Any]], pace_s: float) -> str:
        done, budget = _rollouts(lines), self.plan.search.rollouts
        worth = lines[-1]["worth"]
        return (
            f"{contender.name}: {done} of {budget} rollouts, worth {np.mean(worth):+.2f} on the mean and {max(worth):+.2f} at best, "
            f"{_cpu_s(lines) / 60:.1f} CPU min, about {max(budget - done, 0) * pace_s / 60:.0f} min left"
        )

    def _validate(
        self, weighing: Weighing, finalists: Sequence[Finalist], lines: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The winner among the finalists, as the journal keeps it."""
        contender = weighing.contender
        points = [contender.point(each.coordinates) for each in finalists]
        found = weighing.weigh(points, self.plan.validation.all(self.plan.loads))
        best = int(np.argmax(found.worth))
        winners = {where: [row[best] for row in rows] for where, rows in found.scores.items()}
        worth = found.worth[best]
        if contender is self.reference:  # all winners are weighed against its winner
            worth = mean_worth(self.trainee, winners, winners)
        return {
            "point": points[best],
            "worth": round(worth, 4),
            "figures": {
                where: {
                    key: round(float(np.mean([row[key] for row in rows])), 4) for key in self.trainee.kept
                }
                for where, rows in winners.items()
            },
            "rollouts": _rollouts(lines),
            "cpu_minutes": round((_cpu_s(lines) + found.cpu_s) / 60, 2),
            "how": f"{contender.method}, seed {self.plan.search.seed}, {finalists[best].origin}",
        }

    def _beside(self, contender: Contender) -> Winner | None:
        """The tuned reference that a contender is weighed against; None is its start."""
        return None if contender is self.reference else self.winner(self.reference)

    def _digest(self, contender: Contender) -> str:
        """What the numbers of a search depend on, beside the code."""
        plan = self.plan.model_dump(mode="json", include={"loads", "search", "training", "validation"})
        beside = self._beside(contender)
        of = [plan, contender.method, repr(contender.space), beside.point if beside else self.reference.start]
        return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


def _rollouts(lines: Sequence[Mapping[str, Any]]) -> int:
    return sum(line.get("rollouts", 0) for line in lines)


def _cpu_s(lines: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(line["cpu_s"] for line in lines))
