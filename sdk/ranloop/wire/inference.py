"""Where the answer of a model came from: part of an action batch, so that the audit log can tell it of each decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

__all__ = (
    "Inference",
    "InferenceForm",
    "Inferences",
    "Instead",
    "Reason",
    "Sensitivity",
    "inferences_key",
    "inferences_of",
)

Reason = Literal["better", "late", "away", "busy", "private", "stay", "failed"]
Instead = Literal["", "rule", "last", "hold"]
Sensitivity = Literal["raw", "per-ue", "per-cell", "public"]
_MOST = 64  # of one batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """The answer of one model that an action rests on.

    Attributes:
        model: "name@hash" of the model that answered; of the local one if several tiers answered rows.
        tier: Where it was computed.
        reason: "better": a tier above answered in time; "late": it was asked and did not; "away": no tier above could be
            asked; "busy": it had no room; "private": the data may not go there; "stay": no better answer was wanted;
            "failed": its answer was of no use.
        instead: What stands in for the better answer: "rule" (the node's own model), "last" (earlier better answers),
            "hold" (no value); "" if nothing has to.
        asked_ns: RAN time of the report that the model was asked about.
        waited_ns: RAN time from the question to the answer, or to the end of patience.
        rows: Rows that were asked about.
        rows_above: Rows whose answer came from a tier above.
        sent_bytes: Sensitivity -> bytes that left the node.
        joules: Energy of computing and sending by the model of the tiers file, not measured; None where that has no figures.
        confidence: The least among the rows, 0 to 1; None if the model says none.
    """

    model: str
    tier: str
    reason: Reason
    asked_ns: int
    instead: Instead = ""
    waited_ns: int = 0
    rows: int = 0
    rows_above: int = 0
    sent_bytes: Mapping[str, int] = field(default_factory=dict)
    joules: float | None = None
    confidence: float | None = None

    def form(self) -> dict[str, Any]:
        """As it travels, and as it stands in the audit log."""
        return {
            "model": self.model,
            "tier": self.tier,
            "reason": self.reason,
            "asked_ns": self.asked_ns,
            "instead": self.instead,
            "waited_ns": self.waited_ns,
            "rows": self.rows,
            "rows_above": self.rows_above,
            "sent_bytes": dict(self.sent_bytes),
            "joules": self.joules,
            "confidence": self.confidence,
        }


_Count = Annotated[int, Field(ge=0, lt=1 << 40)]  # 18 minutes in ns, or 1 TB: of one answer


@with_config(ConfigDict(strict=True, allow_inf_nan=False))
class InferenceForm(TypedDict):
    """Where the answer of one model came from; `joules` are modelled, not measured."""

    model: Annotated[str, Field(max_length=256)]
    tier: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    reason: Reason
    asked_ns: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
    instead: NotRequired[Instead]
    waited_ns: NotRequired[_Count]
    rows: NotRequired[_Count]
    rows_above: NotRequired[_Count]
    sent_bytes: NotRequired[Annotated[dict[Sensitivity, _Count], Field(max_length=4)]]
    joules: NotRequired[Annotated[float, Field(ge=0)] | None]
    confidence: NotRequired[Annotated[float, Field(ge=0, le=1)] | None]


Inferences = Annotated[list[InferenceForm], Field(max_length=_MOST)]


def inferences_key(inferences: Iterable[Inference]) -> dict[str, Any]:
    """The key of an action batch, with as many as a reader takes; none if no model with a placement had a part in it."""
    forms = [one.form() for one in islice(inferences, _MOST)]
    return {"inferences": forms} if forms else {}


def inferences_of(forms: Iterable[InferenceForm]) -> tuple[Inference, ...]:
    """Checked forms as data."""
    return tuple(
        Inference(**{**form, "sent_bytes": MappingProxyType(form.get("sent_bytes", {}))})  # type: ignore[arg-type]  # mypy loses the keys' types
        for form in forms
    )
