"""`ranloop model deploy` and `terminate`: orders about the models of a running xApp, which travel as its settings do."""

from __future__ import annotations

from pathlib import Path

from ranloop.cli.settings import change_settings
from ranloop.errors import RanloopError
from ranloop.inference.rollout import parse_stage
from ranloop.xapp.rollouts import PREFIX

__all__ = ("deploy_model", "terminate_model")

Place = tuple[str, str, str]  # host or node, xApp, model


def deploy_model(
    place: Place,
    folder: str,
    bus: str,
    *,
    shadow: bool,
    canary: str,
    claim: str,
    everywhere: bool,
    json_output: bool,
) -> int:
    """Order a candidate; 0 when the xApp has loaded it.

    Raises:
        RanloopError: More than one stage, a folder that no process elsewhere would find, or as `change_settings`.
    """
    if shadow + bool(canary) + everywhere > 1:
        raise RanloopError("--shadow, --canary and --all are stages of one candidate: give one of them")
    if claim and not canary:
        raise RanloopError(
            f"--while {claim!r} compares a canary's targets with the others; give --canary, too"
        )
    path = Path(folder)
    if not path.is_absolute():
        if not path.is_dir():
            raise RanloopError(
                f"{folder} is not here; give its absolute path as the process of {place[1]} finds it"
            )
        path = path.resolve()
    held = f" while {claim}:" if claim else ""
    kind = f"canary {canary.removesuffix('%')}%{held}" if canary else "all" if everywhere else "shadow"
    return _order(place, str(parse_stage(f"{kind} {path}")), bus, json_output=json_output)


def terminate_model(place: Place, bus: str, *, json_output: bool) -> int:
    """Order that a model is asked no more; 0 when the xApp says so."""
    return _order(place, "off", bus, json_output=json_output)


def _order(place: Place, stage: str, bus: str, *, json_output: bool) -> int:
    where, xapp, model = place
    return change_settings(
        where, xapp, [f"{PREFIX}{model}={stage}"], bus, forget=False, json_output=json_output
    )
