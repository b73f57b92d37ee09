"""The ports of placement: the way to other tiers, and the policy that chooses one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ranloop.inference import Card, Model, Predictor, Provider, Trust
from ranloop.placement.split import Head
from ranloop.placement.tiers import Tiers
from ranloop.vocabulary import Level
from ranloop.wire.inference import Reason, Sensitivity
from ranloop.wire.messages import F32

__all__ = ("HEADER_BYTES", "Choice", "Policy", "Question", "Reach", "Reply")

HEADER_BYTES = 256  # of a question, beside its matrix
Fault = Literal["", "busy", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What a model of another tier is asked.

    Attributes:
        model: "name@hash" of the model.
        matrix: Input of the model, float32, rows first.
        n_outputs: Columns of the answer.
        node: RAN node of the report.
        level: Of the report.
        sensitivity: Of what is sent.
        asked_ns: RAN time of the report.
        mmac: Million multiply-accumulates of all rows for the tier, 0 if unknown.
        head: The part of the model that is computed here; None if the tier gets the input.
    """

    model: str
    matrix: F32
    n_outputs: int
    node: str
    level: Level
    asked_ns: int
    sensitivity: Sensitivity
    mmac: float = 0.0
    head: Head | None = None

    @property
    def n_bytes(self) -> int:
        n_bytes = self.matrix.nbytes if self.head is None else len(self.matrix) * self.head.row_bytes
        return n_bytes + HEADER_BYTES

    @property
    def sent(self) -> F32:
        """What the tier gets, rows first.

        Raises:
            ModelError: The head cannot be computed.
        """
        return self.matrix if self.head is None else self.head.rows(self.matrix)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reply:
    """The answer to the question of this number, or the reason why there is none.

    Attributes:
        tier: Where it comes from.
        outputs: Shape [n_rows, n_outputs], finite; None with a fault.
        took_ns: From the question to the answer.
    """

    number: int
    tier: str
    took_ns: int
    outputs: F32 | None = None
    fault: Fault = ""


class Reach(Protocol):
    """The way to other tiers. Time is RAN time in lockstep; live, it passes by itself.

    Attributes:
        tiers: The file's.
        waited_ns: RAN time for which this step has waited, for the host to add; 0 where time passes by itself.
    """

    tiers: Tiers
    waited_ns: int

    def serve(self, here: Model, folder: Path | None, trust: Trust | None, provider: Provider) -> Card:
        """The card of a model that the tiers compute: the one in `folder`, or the one of this place.

        Args:
            trust: Whose packages may be used; those of everybody, if None.
            provider: What computes it, where that is this process.

        Raises:
            ModelError: The package cannot be used.
        """
        ...

    def offer(self, tag: str, predictor: Predictor) -> None:
        """Let tiers that are in this process compute a model; the hosts of other machines have their own."""
        ...

    def begin(self, now_ns: int) -> None:
        """A step begins at this RAN time."""
        ...

    def now_ns(self, asked_ns: int) -> int:
        """RAN time now, as far as it is known, while a report of `asked_ns` is handled."""
        ...

    def work(self, mmac: float) -> None:
        """This place computes so many million multiply-accumulates before it asks; live, the time has passed by itself."""
        ...

    def is_there(self, tier: str) -> bool:
        """False if the tier is known to be away."""
        ...

    def send(self, tier: str, question: Question, until_ns: int) -> int:
        """Put a question whose answer is of use until then; its number."""
        ...

    def wait(self, number: int, until_ns: int) -> Reply | None:
        """The reply to a question as soon as it is there; None if it is not by `until_ns`."""
        ...

    def arrived(self, numbers: Collection[int]) -> Sequence[Reply]:
        """Replies that have come to these questions, which nobody waits for any more; those to others stay."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where a question goes.

    Attributes:
        tier: "" to stay here.
        reason: Why it stays here.
        trial: A tier that is asked besides, and nobody waits for its answer: it shows whether the tier is back. "" for none.
    """

    tier: str = ""
    reason: Reason = "stay"
    trial: str = ""


class Policy(Protocol):
    """Chooses a tier for each question, and learns from what came back. It draws no random numbers of its own."""

    def choose(self, question: Question, candidates: Sequence[str], now_ns: int, left_ns: int) -> Choice:
        """A tier of `candidates`, which may see the data, or none.

        Args:
            left_ns: Time until the answer is of no use.
        """
        ...

    def learn(self, tier: str, now_ns: int, took_ns: int | None) -> None:
        """A tier answered after `took_ns`, or did not in time (None)."""
        ...
