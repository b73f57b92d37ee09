"""A candidate beside a model that runs: in its shadow, for some targets, or in its place, until it proves unfit.

A candidate is rolled back by itself if, over its last 200 calls and from the twentieth on, more than one in twenty failed or was late; if its
mean call takes longer than the model's budget, live; if more of the actions on its targets are refused than on the others, by more
than five points of at least fifty targets each; or if a claim about a KPI, which its order states, is refuted (`KpiEffect`).
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import structlog
from numpy.typing import ArrayLike, NDArray

from ranloop.claims import Claim, ClaimError, parse_claim
from ranloop.errors import ModelError
from ranloop.inference.card import Card
from ranloop.inference.effect import KpiEffect
from ranloop.inference.predictor import Late
from ranloop.vocabulary import Action
from ranloop.wire.asked import Asked
from ranloop.wire.messages import F32, Report, Result, Status

if TYPE_CHECKING:
    from ranloop.inference.model import Model

__all__ = ("Stage", "Trial", "parse_stage")

log = structlog.get_logger(__name__)

LAST_CALLS, LEAST_CALLS = 200, 20
MOST_FAILED = 0.05
LEAST_TARGETS, MOST_REFUSED_MORE = 50, 0.05
SAME = 1e-5  # outputs that differ by less, relative to 1 or to the model's own where that is larger, are the same
_BY: Final = (
    "ue",
    "cell",
    "slice",
)  # the id that says to which side a row belongs, the first that a report has

Kind = Literal["packaged", "shadow", "canary", "all", "off"]
_GRAMMAR = re.compile(
    r"(?P<kind>shadow|all) (?P<folder>.+)|canary (?P<percent>\d{1,2}(\.\d+)?)% (while (?P<claim>[^:]+): )?(?P<of>.+)"
)
_WANTED = "want 'shadow FOLDER', 'canary 10% FOLDER', 'canary 10% while CLAIM: FOLDER', 'all FOLDER', 'off' or 'packaged'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far a candidate has come.

    Attributes:
        kind: "packaged": the manifest's model alone; "shadow": the candidate is asked, too, and its answers are compared; "canary": it
            answers for a share of the targets; "all": it answers, and the manifest's model where it does not; "off": no model
            answers, but the ladder.
        folder: The candidate's package, as the xApp's process finds it.
        share: Of the targets that the candidate answers for.
        claim: About a KPI of a canary's targets against the others'; None if only failures, time and refusals are looked at.
    """

    kind: Kind
    folder: Path | None = None
    share: float = 0.0
    claim: Claim | None = None

    def __str__(self) -> str:
        share = f" {100 * self.share:g}%" if self.kind == "canary" else ""
        share += f" while {self.claim.text}:" if self.claim else ""
        return f"{self.kind}{share}" + (f" {self.folder}" if self.folder else "")


def parse_stage(text: str) -> Stage:
    """A stage as an order says it, such as "canary 10% /models/rate-0.2".

    Raises:
        ModelError: The text is no stage.
    """
    if text in ("packaged", "off"):
        return Stage(kind="off" if text == "off" else "packaged")
    match = _GRAMMAR.fullmatch(text)
    if match is None or not text.isprintable():  # no file opens under a name with a NUL
        raise ModelError(f"got {text[:100]!r} as the stage of a model; {_WANTED}")
    if match["of"]:
        share = float(match["percent"]) / 100
        if not 0 < share < 1:
            raise ModelError(f"a canary of {match['percent']}%: want more than 0 and less than 100")
        claim = _parse_while(match["claim"]) if match["claim"] else None
        return Stage(kind="canary", folder=Path(match["of"]), share=share, claim=claim)
    return Stage(
        kind="shadow" if match["kind"] == "shadow" else "all", folder=Path(match["folder"]), share=1.0
    )


def _parse_while(text: str) -> Claim:
    try:
        claim = parse_claim(text)
    except ClaimError as error:
        raise ModelError(str(error)) from error
    if claim.percent_of not in ("", claim.kpi):
        raise ModelError(
            f"claim {text!r}: a canary's claim is about one measurement; want a share of {claim.kpi} itself"
        )
    return claim


class Trial:
    """A candidate at work beside a model.

    Args:
        candidate: It has the same outputs.
        stage: How far it has come.

    Attributes:
        calls: Calls of the candidate by what came of them: "answered", "failed", "late".
        rows: Rows that both answered: "same" and "other", by `SAME`.
        difference: Sum of the absolute differences of these rows' outputs.
        rolled_back: Why the candidate was given up; "" while it is at work.
    """

    def __init__(self, candidate: Model, stage: Stage) -> None:
        self.candidate, self.stage = candidate, stage
        self.calls: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.difference = 0.0
        self.rolled_back = ""
        self._effect = KpiEffect(stage.claim) if stage.claim else None
        self._answered: deque[bool] = deque(maxlen=LAST_CALLS)
        self._targets: Counter[tuple[bool, bool]] = Counter()  # is the candidate's, is refused

    def ask(
        self, model: Model, report: Report, extra: Mapping[str, ArrayLike] | None, within_ms: int | None
    ) -> F32 | Late:
        """The answer that the xApp gets; see `Stage`."""
        said = self._of_candidate(report, extra, within_ms)
        if self.stage.kind == "all" and said is not None:
            return said
        answer = model.ask_itself(report, extra, within_ms)
        if said is None or isinstance(answer, Late):
            return answer
        self._compare(answer, said)
        if self.stage.kind != "canary":
            return answer
        ids = _deciding(report)
        mine = self.is_candidates(report.node, ids)
        if self._effect and (reason := self._effect.take(report, ids, mine)):
            self.give_up(reason)
        return np.where(mine if answer.ndim == 1 else mine[:, None], said, answer)

    def is_candidates(self, node: str, ids: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether the candidate answers for these targets: the same ones as long as their ids stand, and more of them with a larger share."""
        mixed = ids.astype(np.uint32) + np.uint32(zlib.crc32(node.encode()))
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # the finaliser of MurmurHash3
            mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
        mixed ^= mixed >> np.uint32(16)
        return np.asarray(mixed < np.uint32(min(self.stage.share, 1.0) * 0xFFFFFFFF))

    def _of_candidate(
        self, report: Report, extra: Mapping[str, ArrayLike] | None, within_ms: int | None
    ) -> F32 | None:
        try:
            said = self.candidate.ask(report, extra, within_ms=within_ms)
        except ModelError as error:
            if not self.calls["failed"]:
                log.warning("model_candidate_failed", model=self.candidate.tag, reason=str(error))
            self._note("failed")
            return None
        if isinstance(said, Late):
            self._note("late")
            return None
        self._note("answered")
        return said

    def _note(self, outcome: str) -> None:
        self.calls[outcome] += 1
        self._answered.append(outcome == "answered")
        failed = self._answered.count(False)
        if len(self._answered) >= LEAST_CALLS and failed > MOST_FAILED * len(self._answered):
            self.give_up(f"{failed} of its last {len(self._answered)} calls failed or were late")

    def _compare(self, answer: F32, said: F32) -> None:
        off = np.abs(answer - said)
        known = np.isfinite(off)
        self.difference += float(off[known].sum())
        other = known & (off > SAME * np.maximum(np.abs(answer), 1))
        n_other = int(np.count_nonzero(other if other.ndim == 1 else other.any(axis=1)))
        self.rows["other"] += n_other
        self.rows["same"] += len(answer) - n_other

    def hold_to_budget(self, budget_ns: int | None) -> None:
        """Give the candidate up if its calls take longer than the model may, by the wall clock."""
        took = self.candidate.took
        if budget_ns is not None and took.n >= LEAST_CALLS and took.sum_ns > budget_ns * took.n:
            mean_ms = took.sum_ns / took.n / 1e6
            self.give_up(f"its mean call takes {mean_ms:.3g} ms, the budget is {budget_ns / 1e6:g} ms")

    def take_result(self, result: Result, names: tuple[str, ...]) -> None:
        """Count refused targets on both sides of a canary.

        Args:
            result: Of an action of the xApp.
            names: Columns of its targets.
        """
        name = next((name for name in _BY if name in names), None)
        if self.stage.kind != "canary" or name is None:
            return
        mine = self.is_candidates(result.node, result.targets[:, names.index(name)])
        refused = result.status == Status.REFUSED
        for side in (False, True):
            n_refused = int(np.count_nonzero(refused & (mine == side)))
            self._targets[side, True] += n_refused
            self._targets[side, False] += int(np.count_nonzero(mine == side)) - n_refused
        n = {side: self._targets[side, True] + self._targets[side, False] for side in (False, True)}
        if min(n.values()) < LEAST_TARGETS:
            return
        others, its = (self._targets[side, True] / n[side] for side in (False, True))
        if its > others + MOST_REFUSED_MORE:
            self.give_up(f"{its:.0%} of its targets are refused, {others:.0%} of the others")

    def takes(self, card: Card) -> bool:
        """Whether the candidate answers about a ready matrix of another model's features."""
        its = self.candidate.card
        same = [each.label for each in card.features] == [each.label for each in its.features]
        return self.has_taken_over and same and card.steps == its.steps

    @property
    def has_taken_over(self) -> bool:
        """Whether the candidate answers for all targets."""
        return self.stage.kind == "all" and not self.rolled_back

    def tags(self) -> list[str]:
        """The candidate's tag and stage, if it had a part in the answers: in the shadow it has none."""
        return [self._tag] if self.candidate.used and self.stage.kind != "shadow" else []

    def asked(self, action: Action, of_interest: NDArray[np.intp]) -> list[Asked]:
        """What the candidate was asked and said, also in the shadow; see `Model.asked`."""
        return [replace(one, model=self._tag) for one in self.candidate.asked(action, of_interest)]

    @property
    def _tag(self) -> str:
        return f"{self.candidate.tag}:{self.stage.kind}"

    def give_up(self, reason: str) -> None:
        """Roll the candidate back."""
        if not self.rolled_back:
            self.rolled_back = reason
            log.warning("model_rolled_back", model=self.candidate.tag, stage=str(self.stage), reason=reason)

    def told(self) -> dict[str, Any]:
        """What came of the candidate, for a summary."""
        n = sum(self.rows.values())
        facts: dict[str, Any] = {
            "model": self.candidate.tag,
            "version": self.candidate.card.version,
            "stage": str(self.stage),
            "calls": dict(self.calls),
            "rows": dict(self.rows),
        }
        if n:
            facts["mean_difference"] = self.difference / n / len(self.candidate.card.outputs)
        return facts | ({"rolled_back": self.rolled_back} if self.rolled_back else {})


def _deciding(report: Report) -> NDArray[np.int32]:
    """The ids of a report's rows that say to which side they belong."""
    name = next((name for name in _BY if name in report.ids), report.ids[0])
    return np.asarray(report.id(name), np.int32)
