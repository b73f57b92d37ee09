"""`together.toml` beside the xApps: all that act, on one network at once, and each one in trouble.

xapps = ["energy_saver", "qos_scheduler"]               # folders
claims = ["satisfied at most 2% of users less"]         # of all together over the best single one
costs = ["handovers_per_ue_min"]                        # told beside
reversal_s = 5.0                                        # see `ranloop.conduct`

[joint]                                                 # drops and worlds, as in a plan
[fail_safe]                                             # likewise, with claims over the network in which nothing runs
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ranloop.arm import Arm
from ranloop.claims import Claim, parse_claim
from ranloop.conduct import Terms
from ranloop.errors import EvaluationError
from ranloop.kpi import Kpi, by_key
from ranloop.node.mishaps import KINDS, Mishap, MishapKind
from ranloop.toml import read_toml
from ranloop.training import Drop, Drops, read_plan
from ranloop.training.plan import PLAN_FILE
from ranloop.xapp.manifest import load_manifest

__all__ = ("TOGETHER_FILE", "TogetherPlan", "drops_of", "read_together")

TOGETHER_FILE: Final = "together.toml"
_LETTERS: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits  # by which drops are kept
_CLAIM_DROPS: Final = 2  # one pair has no spread


class _Claiming(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    claims: tuple[str, ...] = Field(min_length=1)

    @field_validator("claims")
    @classmethod
    def _can_be_read(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            parse_claim(text)
        return texts


class _FailSafeDrops(Drops, _Claiming):
    """The drops in which xApps are in trouble."""


class _File(_Claiming):
    """All of `together.toml`."""

    xapps: tuple[str, ...] = Field(min_length=2)
    costs: tuple[str, ...] = ()
    settings: dict[str, dict[str, Any]] = {}
    reversal_s: float = Field(gt=0, allow_inf_nan=False)
    joint: Drops
    fail_safe: _FailSafeDrops

    @field_validator("xapps")
    @classmethod
    def _differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]} stands there twice")
        if 1 + len(names) * len(KINDS) > len(_LETTERS):
            raise ValueError(f"at most {(len(_LETTERS) - 1) // len(KINDS)} xApps")
        return names

    @field_validator("joint", "fail_safe")
    @classmethod
    def _is_one_network(cls, drops: Drops) -> Drops:
        if len(drops.worlds) != 1 or len(drops.each) < _CLAIM_DROPS:
            raise ValueError(f"one world, and {_CLAIM_DROPS} seeds or more")
        return drops


@dataclass(frozen=True, slots=True, kw_only=True)
class TogetherPlan:
    """What is to be run, and judged by which claims.

    Attributes:
        joint_arms: Nothing, each xApp alone, all together.
        trial_arms: Nothing, and each xApp in each mishap.
        trials: (xApp, mishap) of the arms after the first.
    """

    xapps: tuple[str, ...]
    claims: tuple[Claim, ...]
    costs: tuple[str, ...]
    reversal_s: float
    joint: Drops
    joint_arms: tuple[Arm, ...]
    fail_safe: Drops
    fail_safe_claims: tuple[Claim, ...]
    trial_arms: tuple[Arm, ...]
    trials: tuple[tuple[str, MishapKind], ...]

    def terms(self, drops: Drops) -> Terms:
        """Conduct counts from the end of the warm-up on."""
        return Terms(since_s=drops.warmup_s, reversal_s=self.reversal_s)

    def check_names(self, kpis: Sequence[Kpi], claims: Sequence[Claim], costs: Sequence[str]) -> None:
        """Refuse claims and costs of what the world has not.

        Raises:
            EvaluationError: It has no such KPI.
        """
        known = by_key(kpis)
        for key in (*(key for claim in claims for key in (claim.kpi, claim.percent_of) if key), *costs):
            if key not in known:
                raise EvaluationError(
                    f"{TOGETHER_FILE}: this world has no KPI {key!r}; it has {', '.join(known)}"
                )


def drops_of(drops: Drops) -> list[Drop]:
    """All drops of the one world."""
    return [drops.drop(drops.worlds[0], seed, 1.0) for seed in drops.each]


def read_together(path: Path) -> TogetherPlan:
    """The file, whose xApps are the folders beside it.

    Raises:
        EvaluationError: No such file, one that does not fit, or seeds on which an xApp was tuned; one line.
        RanloopError: An xApp's manifest or plan cannot be read, or it has no such setting.
    """
    missing = f"there is no {path}; want the xApps that act, and what is claimed of all together"
    file = read_toml(path, _File, missing=missing, error_type=EvaluationError)
    folders = {name: path.parent / name for name in file.xapps}
    settings: dict[str, Mapping[str, object]] = {}
    for name, folder in folders.items():
        manifest = load_manifest(folder)
        if manifest.name != name:
            raise EvaluationError(f"{path}: the xApp in {folder} is called {manifest.name}; want that name")
        if not manifest.actions:
            raise EvaluationError(f"{path}: {name} acts on nothing; leave it out")
        settings[name] = manifest.effective_settings(file.settings.get(name, {}))
        _check_untouched(path, name, folder, (file.joint, file.fail_safe))
    if strangers := sorted(file.settings.keys() - folders.keys()):
        raise EvaluationError(f"{path}: settings of {strangers[0]}, which is not among the xApps")

    def arm(names: Sequence[str], **options: Any) -> Arm:
        chosen = {name: settings[name] for name in names}
        return Arm(xapps=tuple(folders[name] for name in names), settings=chosen, **options)

    joint = [
        arm([], name="nothing"),
        *(arm([name], name=name) for name in file.xapps),
        arm(file.xapps, name="together"),
    ]
    trials = [(name, kind) for name in file.xapps for kind in KINDS]
    begins_s = file.fail_safe.warmup_s
    in_trouble = [arm([], name="nothing")] + [
        arm([name], name=f"{name}, {kind}", mishap=Mishap(kind=kind, begins_s=begins_s))
        for name, kind in trials
    ]
    return TogetherPlan(
        xapps=file.xapps,
        claims=tuple(map(parse_claim, file.claims)),
        costs=file.costs,
        reversal_s=file.reversal_s,
        joint=file.joint,
        joint_arms=_lettered(joint),
        fail_safe=file.fail_safe,
        fail_safe_claims=tuple(map(parse_claim, file.fail_safe.claims)),
        trial_arms=_lettered(in_trouble),
        trials=tuple(trials),
    )


def _lettered(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """The arms, each with a letter of its own before its name."""
    return tuple(
        replace(arm, name=f"{letter} {arm.name}") for letter, arm in zip(_LETTERS, arms, strict=False)
    )


def _check_untouched(path: Path, name: str, folder: Path, judged: Sequence[Drops]) -> None:
    """Refuse seeds on which an xApp was tuned."""
    if not (folder / PLAN_FILE).is_file():
        return
    plan = read_plan(folder)
    for drops in judged:
        if shared := sorted({*drops.each} & {*plan.training.each, *plan.validation.each}):
            raise EvaluationError(
                f"{path}: {name} was tuned on seed {shared[0]}; want seeds that it has not seen"
            )
