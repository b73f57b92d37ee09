"""Verbs that watch: what runs, what was decided, and what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranloop.cli.options import LOCAL_BUS, BusUrl, Json, Metrics, OperatorToken

__all__ = ("watch_app",)

watch_app = typer.Typer()


@watch_app.command()
def top(
    bus: BusUrl = LOCAL_BUS,
    every_s: Annotated[float, typer.Option(help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, after that time.")] = False,
    json_output: Json = False,
) -> None:
    """Show who runs on a bus, who holds what, rates, latencies and refusals; reads only."""
    from ranloop.cli.top import run_top

    raise typer.Exit(run_top(bus, every_s=every_s, once=once, json_output=json_output))


@watch_app.command()
def dashboard(
    context: typer.Context,
    bus: BusUrl = LOCAL_BUS,
    recording: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Show what --record kept, in place of a bus."),
    ] = None,
    audit: Annotated[
        Path | None, typer.Option(help="With --recording: the decisions, from the file of --audit.")
    ] = None,
    at: Annotated[
        str, typer.Option("--at", metavar="HOST:PORT", help="Address of the page; port 0 takes a free one.")
    ] = "127.0.0.1:8480",
    served_as: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOSTNAME",
            help="Refuse requests under other host names, repeatable. Default: on loopback its own names, elsewhere any.",
        ),
    ] = None,
    operator_token: OperatorToken = None,
    metrics: Metrics = "",
    json_output: Json = False,
) -> None:
    """Serve a live page about a bus, or a page about a recording: map, series, decisions, health; reads only."""
    from ranloop.cli.dashboard_command import show_bus, show_recording
    from ranloop.cli.values import check_host_names
    from ranloop.cli.ways import advised, idle_in_dashboard, refuse_idle

    refuse_idle(context, idle_in_dashboard(is_recording=recording is not None))
    names = check_host_names("--served-as", served_as or ())
    if recording is not None:
        raise typer.Exit(show_recording(recording, at, served_as=names, audit=audit, json_output=json_output))
    with advised(context, "or show a recording: ranloop dashboard --recording FOLDER"):
        raise typer.Exit(
            show_bus(
                bus,
                at,
                served_as=names,
                operator_token=operator_token,
                metrics=metrics,
                json_output=json_output,
            )
        )


@watch_app.command()
def audit(
    file: Annotated[Path, typer.Argument(help="The file of --audit; its rotated files are read, too.")],
    xapp: Annotated[str, typer.Option(help="Only this xApp.")] = "",
    cell: Annotated[int | None, typer.Option(help="Only this cell, by its id in the node's reports.")] = None,
    ue: Annotated[int | None, typer.Option(help="Only this UE, by its id in the node's reports.")] = None,
    cause: Annotated[str, typer.Option(help="Only this cause, such as conflict or range.")] = "",
    since: Annotated[
        str, typer.Option(help="From this wall clock on: 2026-11-30T12:00 (UTC), or 90s, 15m, 2h, 1d ago.")
    ] = "",
    each: Annotated[
        bool, typer.Option("--all", help="Each verdict, also where a target's are equal one after the other.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Say what became of each target, why, and who holds it until when.

    Equal verdicts on one target that follow each other are one line, with their number and the times of the first and the last.
    --json prints each as an object a line.
    """
    from ranloop.cli.audit import show_audit

    raise typer.Exit(
        show_audit(
            file, xapp=xapp, cell=cell, ue=ue, cause=cause, since=since, each=each, json_output=json_output
        )
    )


@watch_app.command()
def alive(
    participant: Annotated[str, typer.Argument(help="Name of a host or xApp, or the xApp's folder.")],
    bus: BusUrl = LOCAL_BUS,
    timeout_s: Annotated[
        float, typer.Option(help="Patience with the broker, and again with the participant.")
    ] = 3.0,
    or_no_broker: Annotated[
        bool, typer.Option("--or-no-broker", help="Be content where no broker can be reached.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Ask a participant of the bus for a sign of life, with its own credentials: 0 it answers, 1 it does not."""
    from ranloop.cli.alive import tell_alive

    raise typer.Exit(
        tell_alive(participant, bus, timeout_s=timeout_s, or_no_broker=or_no_broker, json_output=json_output)
    )


@watch_app.command()
def doctor(
    folder: Annotated[Path | None, typer.Argument(help="An xApp folder; its code is read, not run.")] = None,
    bus: Annotated[
        str,
        typer.Option(
            "--bus", envvar="RANLOOP_BUS", help="Look at this bus, too: mqtt://[user:password@]host:port"
        ),
    ] = "",
    json_output: Json = False,
) -> None:
    """Look for the commonest faults and say what to do about each; exit code 1 if there is a problem."""
    from ranloop.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(folder, bus, json_output=json_output))
