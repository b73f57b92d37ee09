"""`[placement.NAME]` of a manifest: how a model is computed on several tiers. The xApp's code does not change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ranloop.placement.packing import Wire
from ranloop.wire.inference import Instead

__all__ = ("Placement",)

_BELONGS = {
    "keep_ms": 'it belongs to on_miss = "last"',
    "audit": 'it belongs to pattern = "cascade"',
    **dict.fromkeys(("cut", "wire"), 'it belongs to pattern = "split"'),
    **dict.fromkeys(
        ("worth", "per_joule", "per_wait_s"), 'it belongs to policy = "planner", which a hybrid has'
    ),
}


class Placement(BaseModel):
    """The pattern of one model.

    Attributes:
        pattern: "edge-first": the model here always answers, and the better one's answer is taken if it comes in time;
            "cascade": the same for rows that the model here is not sure of, all others stay; "hybrid": a planner weighs the
            better answer against its cost for each question, and may stay; "split": as edge-first, but the first part of the
            better model is computed here, and tiers get what comes out of it in place of its inputs.
        better: Folder of the model that the tiers above compute, relative to the manifest; "" for the model itself.
        ask: The tiers to ask, the first choice first.
        wait_ms: RAN time after the report for which the handler waits for the better answer.
        on_miss: What a handler gets without it: "rule", the answer of the model here; "last", for each target the last
            better answer of at most `keep_ms`, else as "rule"; "hold", no value, so that what is in force stays until its
            lease ends.
        policy: Chooses the tier: "first", the author's order; "quickest", what was measured; "planner", worth and cost. Default:
            "planner" of a hybrid, else "first".
        keep_ms: Age of a better answer's report up to which "last" takes it.
        offload: Of a cascade: share of rows that go up at most.
        wrong_here: Of a cascade, in place of `offload`: share of all rows that are answered here and wrong at most.
        worth: Of a hybrid: of a better answer, in any unit.
        per_joule: Of a hybrid: price of a joule in that unit.
        per_wait_s: Of a hybrid: price of a second for which the handler waits.
        audit: Of a cascade: share of the rows that it is sure of that go up all the same.
        cut: Of a split: where, as `ranloop model cuts` names it; "" for the quickest by the tiers file.
        wire: Of a split: "f32", the tensors as they are; "u8", a byte for each value, with a loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pattern: Literal["edge-first", "cascade", "hybrid", "split"]
    better: str = ""
    ask: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")], ...] = Field(
        min_length=1, max_length=8
    )
    wait_ms: float = Field(gt=0, le=60_000)
    on_miss: Instead = "rule"
    keep_ms: float = Field(default=300.0, gt=0, le=86_400_000)
    offload: float | None = Field(default=None, gt=0, lt=1)
    wrong_here: float | None = Field(default=None, gt=0, lt=1)
    audit: float = Field(default=0.02, ge=0, le=1)
    worth: float = Field(default=1.0, gt=0)
    per_joule: float = Field(default=0.0, ge=0)
    per_wait_s: float = Field(default=0.0, ge=0)
    policy: Literal["", "first", "quickest", "planner"] = ""
    cut: str = Field(default="", max_length=4096)
    wire: Wire = "f32"

    @model_validator(mode="after")
    def _is_one(self) -> Placement:
        if len(set(self.ask)) < len(self.ask):
            raise ValueError(f"ask names a tier twice: {', '.join(self.ask)}")
        if not self.on_miss:
            raise ValueError("on_miss is hold, rule or last")
        if idle := [name for name in self._idle if name in self.model_fields_set]:
            raise ValueError(f"{idle[0]} means nothing here: {_BELONGS[idle[0]]}")
        if self.pattern == "split" and not self.better:
            raise ValueError(
                "a split wants better, the model that is split; the model of the node stands in for it"
            )
        n_goals = (self.offload is not None) + (self.wrong_here is not None)
        if n_goals != (self.pattern == "cascade"):
            raise ValueError("a cascade has one goal, offload or wrong_here; other patterns have none")
        return self

    @property
    def _idle(self) -> list[str]:
        """Keys that this placement would ignore."""
        is_used = {
            "keep_ms": self.on_miss == "last",
            "audit": self.pattern == "cascade",
            **dict.fromkeys(("cut", "wire"), self.pattern == "split"),
            **dict.fromkeys(("worth", "per_joule", "per_wait_s"), self.chosen_by == "planner"),
        }
        return [name for name, used in is_used.items() if not used]

    @property
    def chosen_by(self) -> str:
        """Name of the policy."""
        return self.policy or ("planner" if self.pattern == "hybrid" else "first")

    @property
    def wait_ns(self) -> int:
        return round(self.wait_ms * 1e6)
