"""What a run tells at its end beside its counters: the world's score, the handlers' times, what came to nothing and why."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ranloop.errors import NodeError
from ranloop.foreign import one_line
from ranloop.guard.fates import Told, fruitless, is_meant
from ranloop.inference.watch import SETTLED
from ranloop.node import RunSummary
from ranloop.node.delay import HandlerDelay
from ranloop.node.port import NodePort, ScoredPort
from ranloop.wire.messages import Cause
from ranloop.xapp.times import HandlerTime, too_slow

__all__ = ("delay_facts", "ending", "exit_code", "in_words", "lines", "not_applied", "score_facts")

_MOST_TEXT = 300  # characters of a text of the guard, a part of which may be a node's own


def score_facts(world: NodePort) -> dict[str, Any]:
    """The world's score, where it keeps one; a score that cannot be told yet has its reason."""
    if not isinstance(world, ScoredPort):
        return {}
    try:
        score = world.score()
    except NodeError as error:
        return {"score": None, "no_score": str(error)}
    return {"score": {name: value if math.isfinite(value) else None for name, value in score.items()}}


def delay_facts(delay: HandlerDelay, summary: RunSummary) -> dict[str, Any]:
    """What a handler delay did; nothing if there was none."""
    if not delay:
        return {}
    said = f"{delay:g} ms" if not isinstance(delay, str) else "measured: the next run will be another one"
    return {"handler_delay": said, "reports_missed": dict(summary.n_missed)}


def ending(
    told: Sequence[Told],
    times: Mapping[str, Sequence[HandlerTime]],
    *,
    models: Mapping[str, Mapping[str, Mapping[str, Any]]],
    takes_actions: bool = True,
    is_live: bool = False,
) -> dict[str, Any]:
    """The facts about handlers and fates, for JSON; what nobody should overlook also goes to standard error.

    Args:
        told: All fates of the run.
        times: xApp -> the times of its handlers.
        models: xApp -> model -> what it was asked and what came of that.
        takes_actions: False where the node takes none at all, as a recording: that all are refused is no news there.
        is_live: In lockstep RAN time waits for the handlers, and what they would miss is told as such.
    """
    would = "" if is_live else " live; --handler-delay measured shows what that costs"
    drifted = [
        f"{xapp}: inputs of the model {name} have drifted from its training: {', '.join(model['drifted'])}"
        for xapp, of_one in models.items()
        for name, model in of_one.items()
        if model.get("drifted")
    ]
    vain = fruitless(told).values() if takes_actions else ()
    slow = [f"{xapp}: {line}{would}" for xapp, of_one in times.items() for line in too_slow(of_one)]
    warnings = [one_line(line, 2 * _MOST_TEXT) for line in (*vain, *slow, *drifted)]
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    return {
        "handlers": {xapp: [time._asdict() for time in of_one] for xapp, of_one in times.items()},
        **({"models": models} if models else {}),
        "not_applied": not_applied(told),
        "warnings": warnings,
    }


def not_applied(told: Sequence[Told]) -> dict[str, Any]:
    """xApp -> action -> fate -> how many targets met it, with one text of the guard."""
    facts: dict[str, dict[str, dict[str, Any]]] = {}
    for one in told:
        if one.cause != Cause.NONE:
            of_action = facts.setdefault(one.xapp, {}).setdefault(one.action, {})
            of_action[one.name] = {"targets": one.n_targets, "example": one_line(one.text, _MOST_TEXT)}
    return facts


def exit_code(told: Sequence[Told], *, takes_actions: bool = True) -> int:
    """1 if every target of some xApp was refused or expired, and not by the operator's own word alone; else 0."""
    return int(takes_actions and any(not is_meant(told, xapp) for xapp in fruitless(told)))


def in_words(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of `ending`, among others, for people; warnings stand on standard error already."""
    words = {key: fact for key, fact in facts.items() if key != "warnings"}
    if "handlers" in facts:
        words["handlers"] = {
            xapp: {time["handler"]: _time_in_words(time) for time in of_one}
            for xapp, of_one in facts["handlers"].items()
        }
    if "models" in facts:
        words["models"] = {
            xapp: {name: _model_in_words(model) for name, model in of_one.items()}
            for xapp, of_one in facts["models"].items()
        }
    words["not_applied"] = {
        xapp: {
            action: {name: f"{fate['targets']}, e.g. {fate['example']}" for name, fate in by_name.items()}
            for action, by_name in by_action.items()
        }
        for xapp, by_action in facts["not_applied"].items()
    }
    return words


def _time_in_words(time: Mapping[str, Any]) -> str:
    called, period_ms = time["called"], time["period_ms"]
    period = f", {called} every {period_ms} ms" if period_ms else f", on {called.removesuffix('s')}s"
    nodes = f" from {time['sources']} nodes" if time["sources"] > 1 else ""
    return f"p50 {time['p50_ms']:.3g} ms, p99 {time['p99_ms']:.3g} ms{period}{nodes}, {time['calls']} calls"


def _candidate_in_words(trial: Mapping[str, Any]) -> str:
    counts = [f"{n:,} {outcome}" for outcome, n in trial["calls"].items()]
    rows = [f"{n:,} rows {answer}" for answer, n in trial["rows"].items()]
    off = [f"mean difference {trial['mean_difference']:.4g}"] if "mean_difference" in trial else []
    fate = [f"rolled back: {trial['rolled_back']}"] if "rolled_back" in trial else []
    return "; ".join(
        [
            f"{trial['model']}, version {trial['version']}, {trial['stage']}",
            ", ".join([*counts, *rows, *off]),
            *fate,
        ]
    )


def _model_in_words(model: Mapping[str, Any]) -> dict[str, Any]:
    """Counts on one line, and the inputs that have something to tell."""
    counts = [
        f"{key} {model[key]:,}"
        for key in ("calls", "late", "failed", "over_budget", "rested")
        if key in model
    ]
    by = [f"{n:,} by {name}" for name, n in model["rows"].items()]
    words: dict[str, Any] = {f"{model['model']}, version {model['version']}": ", ".join([*counts, *by])}
    strange = {
        label: f"{input['outside']:.2%} outside of training"
        + (f", PSI {input['psi']:.2f}" if "psi" in input else "")
        for label, input in model.get("inputs", {}).items()
        if input["outside"] or input.get("psi", 0.0) > SETTLED
    }
    if "inputs" in model:
        words["inputs"] = strange or "as in training"
    if "candidate" in model:
        words["candidate"] = _candidate_in_words(model["candidate"])
    if "error" in model:
        words["error"] = (
            f"{model['error']['mean']:.4g} of {model['error']['n']:,}, lately {model['error']['recent']:.4g}"
        )
    return words


def lines(facts: Mapping[str, Any], indent: str = "") -> str:
    """Nested facts as indented lines; so are lists of text."""
    told = []
    for key, value in facts.items():
        if isinstance(value, dict):
            told.append(f"{indent}{key}:" + (" none" if not value else ""))
            told += [lines(value, indent + "  ")] if value else []
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            told += [f"{indent}{key}:", *(f"{indent}  {item}" for item in value)]
        elif isinstance(value, float):
            told.append(f"{indent}{key}: {value:.4g}")
        else:
            told.append(f"{indent}{key}: {'none' if value is None else value}")
    return "\n".join(told)
