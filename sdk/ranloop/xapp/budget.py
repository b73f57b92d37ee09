"""`[budget.NAME]` of a manifest: how long a call of a model may take, and what stands in for its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ranloop.errors import ManifestError
from ranloop.wire.messages import F32, Report

if TYPE_CHECKING:
    from ranloop.inference import Model
    from ranloop.inference.ladder import Rung

__all__ = ("LAST", "RULE", "Budget", "Rule", "put_budgets")

LAST, RULE = "last", "rule"
Rule = Callable[[Report], ArrayLike]


class Budget(BaseModel):
    """The budget of one model, and the ladder past it.

    Attributes:
        call_ms: Wall-clock time that a call may take; None: any. Live, a model that exceeds it three times in a row rests for ten
            calls; in lockstep the calls over budget are only counted.
        past: What answers in place of the model when it is late, fails or rests, in this order: "last", its last answer for the
            target; "rule", the xApp's own function (`app.model(NAME).rule`); or another model of the manifest.
        keep_ms: RAN time for which "last" stands.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    call_ms: float | None = Field(default=None, gt=0, le=60_000)
    past: tuple[str, ...] = Field(default=(), max_length=8)
    keep_ms: float = Field(default=300.0, gt=0, le=86_400_000)

    @model_validator(mode="after")
    def _names_each_once(self) -> Budget:
        if len(set(self.past)) < len(self.past):
            raise ValueError(f"past names one twice: {', '.join(self.past)}")
        return self


def put_budgets(
    xapp: str, models: Mapping[str, Model], budgets: Mapping[str, Budget], rules: Mapping[str, Rule]
) -> None:
    """Give models their budgets and ladders.

    Args:
        xapp: Its name, for errors.
        models: The xApp's models by the names of its manifest.
        budgets: Model -> its budget.
        rules: Model -> the xApp's rule.

    Raises:
        ManifestError: A budget is of no model, or a rung is none; or the other model has other outputs.
    """
    for name, budget in budgets.items():
        where = f"{xapp}: the budget of {name}"
        if name not in models:
            raise ManifestError(f"{where}: there is no such model; there are: {', '.join(models) or 'none'}")
        models[name].budget_ns = None if budget.call_ms is None else round(budget.call_ms * 1e6)
        rungs = {rung: _rung(rung, name, budget, models, rules, where) for rung in budget.past}
        models[name].put_ladder(rungs)


def _rung(
    rung: str,
    name: str,
    budget: Budget,
    models: Mapping[str, Model],
    rules: Mapping[str, Rule],
    where: str,
) -> Rung:
    from ranloop.inference.ladder import LastAnswers

    if rung == LAST:
        return LastAnswers(budget.keep_ms)
    if rung == RULE:
        if name not in rules:
            raise ManifestError(
                f"{where}: past names the rule, and app.py has none: @app.model({name!r}).rule"
            )
        return _of_rule(rules[name])
    if rung not in models or rung == name:
        others = [other for other in models if other != name]
        raise ManifestError(f"{where}: past names {rung!r}; want {', '.join((LAST, RULE, *others))}")
    mine, other = models[name].card.outputs, models[rung].card.outputs
    if [(each.name, each.unit) for each in mine] != [(each.name, each.unit) for each in other]:
        raise ManifestError(
            f"{where}: {rung} gives {_shown(other)}, and {name} {_shown(mine)}; want the same"
        )
    return _of_model(models[rung])


def _shown(outputs: tuple[object, ...]) -> str:
    return ", ".join(f"{each.name} in {each.unit}" for each in outputs)  # type: ignore[attr-defined]  # outputs of a card


def _of_rule(rule: Rule) -> Rung:
    return lambda report, extra: np.asarray(rule(report), np.float32)


def _of_model(model: Model) -> Rung:
    def answer(report: Report, extra: Mapping[str, ArrayLike] | None) -> F32:
        """Without its own ladder, which might lead back."""
        from ranloop.inference import Late

        said = model.ask(report, extra)
        if not isinstance(said, Late):
            return said
        n = len(model.card.outputs)
        return np.full((len(report),) if n == 1 else (len(report), n), np.nan, np.float32)

    return answer
