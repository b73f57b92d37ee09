"""The operator's limits: floors and ceilings of parameters that bind every xApp, from a TOML file.

    [[limits]]
    name = "video-floor"
    action = "SetSliceQuota"
    parameter = "min_pct"
    slice = "1-000001"
    at_least = 10.0
    why = "contract with the broadcaster"

No manifest can widen one. A setting that goes back to its default is the node's own configuration and is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from ranloop.errors import LimitsError
from ranloop.guard.leases import Mask
from ranloop.guard.rules import Question, Rule
from ranloop.toml import read_toml
from ranloop.vocabulary import action_type
from ranloop.vocabulary.model import Parameter
from ranloop.vocabulary.near import near_matches
from ranloop.wire.messages import Catalogue, Cause, Status

__all__ = ("Limit", "Limits", "load_limits")

# Target columns that a limit may narrow itself to. Not "ue": a UE's id means nothing to an operator.
COLUMNS = ("cell", "slice", "five_qi")


class Limit(BaseModel):
    """A floor, a ceiling or both, of one parameter; without a target it binds all targets.

    Attributes:
        name: Name in every refusal and in the audit.
        node: Only this node.
        cell: Only this cell, by the node's own name of it.
        slice: Only this slice, by its S-NSSAI.
        five_qi: Only this class of QoS flows.
        at_least: The floor, in the parameter's unit.
        at_most: The ceiling.
        why: For the xApp's author, who reads the refusal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    action: str
    parameter: str
    node: str | None = None
    cell: str | None = None
    slice: str | None = None
    five_qi: int | None = Field(default=None, ge=0, le=255)
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None
    why: str = Field(default="", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        parameter, spec = self.spec, action_type(self.action).spec
        for column in self.narrowed:
            if column not in spec.targets:
                raise ValueError(f"{self.action} acts on a {' and a '.join(spec.targets)}, not on a {column}")
        if parameter.unit == "id":
            raise ValueError(f"{self.parameter} is a name and no quantity; it has no floor and no ceiling")
        bounds = [bound for bound in (self.at_least, self.at_most) if bound is not None]
        if not bounds:
            raise ValueError("it says neither at_least nor at_most")
        for bound in bounds:
            if not parameter.low <= bound <= parameter.high:
                takes = f"{parameter.low:g} to {parameter.quantity(parameter.high)}"
                raise ValueError(
                    f"{bound:g} is outside what {self.action} takes for {parameter.name}: {takes}"
                )
        if sorted(bounds) != bounds:
            raise ValueError(f"at_least {bounds[0]:g} is above at_most {bounds[1]:g}")
        return self

    @property
    def spec(self) -> Parameter:
        """The parameter in the catalogue."""
        return action_type(self.action).spec.parameter(self.parameter)

    @property
    def narrowed(self) -> dict[str, str | int]:
        """Target column -> the wanted value, as the file has it."""
        said = {column: getattr(self, column) for column in COLUMNS}
        return {column: value for column, value in said.items() if value is not None}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limits: tuple[Limit, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = [limit.name for limit in self.limits]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: the name of more than one limit; a refusal names it")
        return self


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of one file."""

    file: Path
    limits: tuple[Limit, ...]

    def check(self, catalogues: Sequence[Catalogue]) -> None:
        """Refuse limits that bind nothing: their node, cell or slice is in none of the `catalogues`.

        Raises:
            LimitsError: One line with the limit's name and near matches.
        """
        for limit in self.limits:
            nodes = {catalogue.node: catalogue for catalogue in catalogues}
            if limit.node is not None:
                self._find(limit, "node", limit.node, nodes)
                nodes = {limit.node: nodes[limit.node]}
            for column, name in limit.narrowed.items():
                if isinstance(name, str):
                    known = [one for node in nodes.values() for one in _names(node, column).values()]
                    self._find(limit, column, name, known)

    def _find(self, limit: Limit, what: str, name: str, known: Iterable[str]) -> None:
        known = sorted(set(known))
        if name not in known:
            there = near_matches(name, known) or known[:3]
            where = f" at {limit.node}" if limit.node and what != "node" else ""
            raise LimitsError(
                f"{self.file}: {limit.name}: no {what} {name!r}{where}; there is {', '.join(there) or 'none'}"
            )

    def at(self, catalogue: Catalogue) -> Rule:
        """The rule that the guard of this node asks."""
        bounds: dict[str, list[_Bound]] = {}
        for limit in self.limits:
            bound = _bound(limit, catalogue)
            if bound is not None:
                bounds.setdefault(limit.action, []).append(bound)

        def refuse_beyond_limits(question: Question) -> None:
            verdicts = question.verdicts
            for bound in bounds.get(verdicts.batch.action.spec.name, ()):
                beyond = bound.beyond(question)
                if beyond.any():
                    verdicts.decide(
                        beyond, Status.REFUSED, Cause.LIMIT, bound.text(question, beyond, self.file)
                    )

        return refuse_beyond_limits


@dataclass(frozen=True, slots=True)
class _Bound:
    """One limit at one node: positions of columns, and ids in place of names."""

    limit: Limit
    column: int  # of the parameter
    low: float  # compared as float32, as parameters travel: 33.3 % is not below 33.3 %
    high: float
    targets: tuple[tuple[int, int], ...]  # (id column, id) that must all be met

    def beyond(self, question: Question) -> Mask:
        """Targets past the limit, shape [n]."""
        values = question.verdicts.parameters[:, self.column]
        hit: Mask = (values < self.low) | (values > self.high)
        for column, wanted in self.targets:
            hit &= question.verdicts.targets[:, column] == wanted
        return hit

    def text(self, question: Question, beyond: Mask, file: Path) -> str:
        """Names the value that is furthest out, the bound, the limit and its file."""
        limit, spec = self.limit, self.limit.spec
        values = question.verdicts.parameters[beyond, self.column]
        below, above = float(values.min()), float(values.max())
        under = self.low - below > above - self.high
        said, bound = ("at least", self.low) if under else ("at most", self.high)
        why = f" ({limit.why})" if limit.why else ""
        return (
            f"{limit.parameter} {spec.quantity(below if under else above)}; the operator's limit {limit.name!r} in {file.name} "
            f"says {said} {spec.quantity(bound)}{why}"
        )


def _bound(limit: Limit, catalogue: Catalogue) -> _Bound | None:
    """`limit` at the node of `catalogue`; None where it says nothing about it."""
    spec = action_type(limit.action).spec
    if limit.node not in (None, catalogue.node):
        return None
    targets = []
    for column, wanted in limit.narrowed.items():
        ids = [wanted] if isinstance(wanted, int) else _ids(catalogue, column, wanted)
        if not ids:
            return None
        targets.append((spec.targets.index(column), ids[0]))
    return _Bound(
        limit=limit,
        column=spec.parameter_names.index(limit.parameter),
        low=-math.inf if limit.at_least is None else limit.at_least,
        high=math.inf if limit.at_most is None else limit.at_most,
        targets=tuple(targets),
    )


def _names(catalogue: Catalogue, column: str) -> Mapping[int, str]:
    return catalogue.cells if column == "cell" else catalogue.slices


def _ids(catalogue: Catalogue, column: str, name: str) -> list[int]:
    return [i for i, known in _names(catalogue, column).items() if known == name]


def load_limits(path: Path) -> Limits:
    """Read and check a file of limits; `Limits.check` then holds it to the nodes that a host has.

    Raises:
        LimitsError: Missing, not TOML, or not limits; one line with the field's path.
    """
    missing = f"{path} does not exist; limits are [[limits]] tables in a TOML file"
    return Limits(path, read_toml(path, _File, missing=missing, error_type=LimitsError).limits)
