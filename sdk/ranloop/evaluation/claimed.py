"""`claims.toml` of an xApp's folder: the arms, and what is claimed of one over the other on the held-out drops of its `plan.toml`.

    claims = ["energy_kwh less", "satisfied at most 2% of users less"]
    costs = ["handovers_per_ue_min"]    # told beside, and not judged

    [rule]                              # the best tuned rule
    name = "thresholds"
    contender = "threshold"             # as `ranloop train` has tuned it; or settings and overrides of its own

    [ours]
    name = "burdens"
    kind = "model"                      # how the verdict calls it
    contender = "burden"

    [nothing]                           # may be left out: told beside both
    name = "always on"
    xapp = false

The drops are those of `[held_out]` and `[held_out_worlds]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ranloop.arm import Arm
from ranloop.claims import Claim, parse_claim
from ranloop.errors import EvaluationError
from ranloop.evaluation.result import Place, Result
from ranloop.toml import read_toml
from ranloop.training import Plan, read_plan, tuned_arm
from ranloop.xapp.manifest import load_manifest

__all__ = ("CLAIMS_FILE", "Claimed", "read_claimed")

CLAIMS_FILE: Final = "claims.toml"


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Side(_Declared):
    """One of the arms.

    Attributes:
        kind: How the verdict calls it.
        xapp: Whether the folder's xApp runs.
        contender: Of the folder's training, whose winner this is.
        settings: Of the xApp; those that are left out are the manifest's.
        overrides: Scenario fields.
    """

    name: str = Field(min_length=1)
    kind: str = Field(default="rule", min_length=1)
    xapp: bool = True
    contender: str = ""
    settings: dict[str, Any] = {}
    overrides: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_one_arm(self) -> _Side:
        if self.contender and (self.settings or self.overrides or not self.xapp):
            raise ValueError("a contender alone, or xapp, settings and overrides without one")
        if self.settings and not self.xapp:
            raise ValueError("no settings without the xApp, which alone takes them")
        return self

    def arm(self, name: str, folder: Path) -> Arm:
        """What runs.

        Raises:
            TrainingError: The contender is not tuned yet.
            RanloopError: The manifest has no such setting.
        """
        if self.contender:
            return replace(tuned_arm(folder, self.contender), name=name)
        if not self.xapp:
            return Arm(name=name, overrides=self.overrides)
        manifest = load_manifest(folder)
        settings = {manifest.name: manifest.effective_settings(self.settings)}
        return Arm(name=name, overrides=self.overrides, xapps=(folder,), settings=settings)


class _File(_Declared):
    """All of `claims.toml`.

    Attributes:
        measured_by: In place of arms: the command that judges the xApp by itself and writes `result.json` beside this file.
    """

    claims: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    measured_by: str = ""
    rule: _Side | None = None
    ours: _Side | None = None
    nothing: _Side | None = None

    @field_validator("claims")
    @classmethod
    def _can_be_read(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            parse_claim(text)
        return texts

    @model_validator(mode="after")
    def _has_arms_or_a_command(self) -> _File:
        arms = self.rule and self.ours and self.claims
        none = not (self.rule or self.ours or self.nothing or self.claims)
        if not (none if self.measured_by else arms):
            raise ValueError(
                "either claims, [rule] and [ours], or measured_by alone, the command that judges it by itself"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An xApp's claims with all that they are judged by.

    Attributes:
        arms: The rule's, ours, perhaps that of nothing, called "A …", "B …", "C …".
        plan: None where another command judges.
    """

    folder: Path
    xapp: str
    claims: tuple[Claim, ...]
    costs: tuple[str, ...]
    measured_by: str
    kind: str
    arms: tuple[Arm, ...]
    plan: Plan | None

    def result(self, command: str, places: Sequence[Place]) -> Result:
        """What came of the claims, measured by `command`."""
        rule, ours, *nothing = (arm.name[2:] for arm in self.arms)
        return Result(
            xapp=self.xapp,
            kind=self.kind,
            rule=rule,
            ours=ours,
            nothing=nothing[0] if nothing else "",
            measured_by=command,
            places=tuple(places),
        )


def read_claimed(folder: Path) -> Claimed:
    """The claims of an xApp's folder.

    Raises:
        EvaluationError: No such file, or one that does not fit; one line.
        RanloopError: Its manifest or plan cannot be read.
    """
    path = folder / CLAIMS_FILE
    missing = f"{folder} has no {CLAIMS_FILE}; want its claims over its best tuned rule"
    file = read_toml(path, _File, missing=missing, error_type=EvaluationError)
    sides = [side for side in (file.rule, file.ours, file.nothing) if side]
    arms = [side.arm(f"{letter} {side.name}", folder) for letter, side in zip("ABC", sides, strict=False)]
    return Claimed(
        folder=folder,
        xapp=load_manifest(folder).name,
        claims=tuple(map(parse_claim, file.claims)),
        costs=file.costs,
        measured_by=file.measured_by,
        kind=file.ours.kind if file.ours else "xApp",
        arms=tuple(arms),
        plan=read_plan(folder) if arms else None,
    )
