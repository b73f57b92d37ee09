"""The options that belong to each way of running: an option that would be ignored is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer

from ranloop.errors import BusError, NameTakenError, RanloopError

__all__ = (
    "advised",
    "idle_in_dashboard",
    "idle_in_describe",
    "idle_in_host",
    "idle_in_run",
    "refuse_idle",
)

_HOSTS = ("seed", "override", "profile", "autonomy", "priority", "limits", "audit", "record")


def idle_in_run(*, node: str, lockstep: bool, page: bool = False) -> dict[str, str]:
    """Parameters of `ranloop run` that this way of running ignores, each with advice."""
    if node:
        of_a_page = {} if page else dict.fromkeys(("beside", "speed"), "belongs to --dashboard")
        on_a_bus = of_a_page | dict.fromkeys(
            ("bus", "lockstep", "host"), "belongs to a bus; with --node there is none"
        )
        return on_a_bus | _idle_at(node)
    idle = dict.fromkeys(
        (*_HOSTS, "handler_delay", "dashboard", "dashboard_at"),
        "belongs to --node; on a bus the host says it: ranloop host … {option}",
    )
    idle |= dict.fromkeys(("beside", "speed"), "belongs to --node with --dashboard")
    if lockstep:
        return idle | {"duration_s": "is the host's to say in lockstep: ranloop host … --lockstep {option}"}
    return idle | {"host": "belongs to --lockstep; a live xApp joins every host on the bus"}


def idle_in_host(*, node: str, lockstep: bool, page: bool = False) -> dict[str, str]:
    """Parameters of `ranloop host` that this way of running ignores, each with advice."""
    of_a_page = {} if page else {"operator_token": "belongs to --dashboard"}
    if lockstep:
        idle = {"speed": "belongs to a live host; in lockstep time waits for the xApps"}
        return of_a_page | idle | _idle_at(node)
    waiting = ("timeout_s", "on_timeout", "handler_delay")
    on_answers = dict.fromkeys(waiting, "belongs to --lockstep; a live host never waits")
    return of_a_page | on_answers | _idle_at(node)


def idle_in_dashboard(*, is_recording: bool) -> dict[str, str]:
    """Parameters of `ranloop dashboard` that this way of watching ignores, each with advice."""
    if is_recording:
        idle = {"metrics": "belongs to a bus; a recording does not go on"}
        return idle | dict.fromkeys(
            ("bus", "operator_token"), "belongs to a bus; a recording takes no orders"
        )
    return {"audit": "belongs to --recording; on a bus the decisions come with the results"}


def idle_in_describe(*, node: str) -> dict[str, str]:
    """Parameters of `ranloop describe` that this way of looking ignores, each with advice."""
    if ":" in node:
        return {"bus": f"belongs to a node on a bus; {node} is opened here"} | _idle_at(node)
    return dict.fromkeys(
        ("seed", "override", "profile"), "belongs to sim:… and other addresses; a node on a bus is as it is"
    )


def _idle_at(node: str) -> dict[str, str]:
    if node.startswith("pipe:"):
        return {"seed": "belongs to sim:…; a program knows its own", "speed": "belongs to sim:… and replay:…"}
    if node.startswith(("replay:", "table:")):
        return {"seed": "belongs to sim:…; a recording draws nothing"}
    return {}


def refuse_idle(context: typer.Context, idle: Mapping[str, str]) -> None:
    """Refuse options that would be ignored. An environment variable is not refused: it may be meant for another command.

    Raises:
        RanloopError: One of `idle` was typed.
    """
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name, why in idle.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise RanloopError(f"{options[name]} {why.format(option=options[name])}")


@contextmanager
def advised(context: typer.Context, advice: str) -> Iterator[None]:
    """Add advice to the error of a bus that nobody has named: a newcomer may want none."""
    try:
        yield
    except NameTakenError:
        raise
    except BusError as error:
        source = context.get_parameter_source("bus")
        if source is None or source.name != "DEFAULT":
            raise
        raise BusError(f"{error}; {advice}") from error
