"""Verbs that start what xApps meet on a bus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ranloop.bundled import xapp_folder
from ranloop.cli.options import (
    LOCAL_BUS,
    Audit,
    Autonomy,
    BusUrl,
    Dashboard,
    DashboardAt,
    HandlerDelay,
    Json,
    Limits,
    Metrics,
    NodeProfile,
    OperatorToken,
    Overrides,
    Priority,
    ProviderName,
    Record,
    Seed,
    Shards,
    Trusted,
)

__all__ = ("host_app",)

host_app = typer.Typer()


@host_app.command()
def host(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="sim:SCENARIO, replay:PATH, table:PATH or pipe:COMMAND")],
    allow: Annotated[
        list[Path] | None,
        typer.Option(
            "--allow",
            help="xApp folder to admit, with the rights of its manifest; repeatable.",
            parser=xapp_folder,
            metavar="XAPP",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Of this host; hosts on one bus need different ones.")] = "host",
    bus: BusUrl = LOCAL_BUS,
    seed: Seed = 1,
    duration_s: Annotated[
        float | None,
        typer.Option(help="RAN seconds; default: until stopped, in lockstep the scenario's length."),
    ] = None,
    override: Overrides = None,
    autonomy: Autonomy = None,
    priority: Priority = None,
    shards: Shards = None,
    profile: NodeProfile = "",
    lockstep: Annotated[
        bool, typer.Option("--lockstep", help="Wait for the xApps' answers at every step.")
    ] = False,
    timeout_s: Annotated[
        float,
        typer.Option(help="In lockstep: wall-clock patience for the xApps, at the start and each step."),
    ] = 30.0,
    on_timeout: Annotated[
        Literal["fail", "drop", "hold"],
        typer.Option(
            help="In lockstep, of an xApp that does not answer: end, leave it out, or this step only."
        ),
    ] = "fail",
    handler_delay: HandlerDelay = "",
    speed: Annotated[
        float, typer.Option(help="RAN seconds per wall-clock second, live only.", min=0.001)
    ] = 1.0,
    limits: Limits = None,
    trust: Trusted = None,
    audit: Audit = None,
    record: Record = None,
    metrics: Metrics = "",
    dashboard: Dashboard = False,
    dashboard_at: DashboardAt = "",
    operator_token: OperatorToken = None,
    json_output: Json = False,
) -> None:
    """Host RAN nodes with their guards on a bus, in real time or in lockstep."""
    from ranloop.cli.dashboard import wanted_page
    from ranloop.cli.host import run_host
    from ranloop.cli.ways import idle_in_host, refuse_idle

    page = wanted_page(dashboard, dashboard_at, operator_token=operator_token)
    refuse_idle(context, idle_in_host(node=node, lockstep=lockstep, page=page is not None))
    raise typer.Exit(
        run_host(
            node,
            allow or [],
            bus,
            name=name,
            seed=seed,
            duration_s=duration_s,
            overrides=override or [],
            autonomy=autonomy or [],
            priorities=priority or [],
            shards=shards or [],
            profile=profile,
            lockstep=lockstep,
            timeout_s=timeout_s,
            on_timeout=on_timeout,
            handler_delay=handler_delay,
            speed=speed,
            limits=limits,
            trust=trust,
            audit=audit,
            record=record,
            metrics=metrics,
            dashboard=page,
            json_output=json_output,
        )
    )


@host_app.command("infer-host")
def infer_host(
    packages: Annotated[list[Path], typer.Argument(help="Model packages to serve.", metavar="FOLDER")],
    tier: Annotated[str, typer.Option(help="The tier that this host is part of, by its name in tiers.toml.")],
    cut: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CUT",
            help="Also serve the tail of the package from this cut on, to xApps that split it; repeatable. "
            "ranloop model cuts lists them.",
        ),
    ] = None,
    bus: BusUrl = LOCAL_BUS,
    name: Annotated[
        str, typer.Option(help="Of this host on the bus; replicas need different ones. Default: the tier's.")
    ] = "",
    queue: Annotated[
        int, typer.Option(help="Questions that may wait; further ones are answered busy.", min=1, max=65_536)
    ] = 256,
    batch_rows: Annotated[
        int, typer.Option(help="Rows that are computed together at most.", min=1, max=65_536)
    ] = 4096,
    trust: Trusted = None,
    provider: ProviderName = "cpu",
    duration_s: Annotated[
        float | None, typer.Option(help="Wall-clock seconds; default: until stopped.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Serve models to xApps over a bus, as one host of a tier."""
    from ranloop.cli.infer_host import run_infer_host

    raise typer.Exit(
        run_infer_host(
            packages,
            bus,
            cuts=cut or (),
            tier=tier,
            name=name,
            queue=queue,
            batch_rows=batch_rows,
            trust=trust,
            provider=provider,
            duration_s=duration_s,
            json_output=json_output,
        )
    )


@host_app.command()
def broker(
    port: Annotated[int, typer.Option(help="TCP port on loopback; 0 takes a free one.")] = 1883,
    kind: Annotated[
        Literal["auto", "mosquitto", "nats"], typer.Option(help="Which broker to start.")
    ] = "auto",
    json_output: Json = False,
) -> None:
    """Start a broker for this machine: mosquitto if it is installed, else nats-server."""
    from ranloop.cli.operator import run_broker

    raise typer.Exit(run_broker(port=port, kind=kind, json_output=json_output))


@host_app.command()
def access(
    xapps: Annotated[
        list[Path] | None,
        typer.Argument(help="xApp folders, each with its manifest.", parser=xapp_folder, metavar="XAPP"),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE[=NAME]",
            help="host | operator | observer, under its own or another name; repeatable.",
        ),
    ] = None,
    shards: Shards = None,
    broker: Annotated[Literal["mosquitto", "nats"], typer.Option(help="Whose access list.")] = "mosquitto",
    certificates: Annotated[
        bool,
        typer.Option("--certificates", help="Clients are known by their certificates, not by passwords."),
    ] = False,
    json_output: Json = False,
) -> None:
    """Print a broker's access list: what each client may read and write, from the manifests and the table of topics."""
    from ranloop.cli.access import show_access

    raise typer.Exit(
        show_access(
            xapps or [],
            role or [],
            shards=shards or [],
            broker=broker,
            certificates=certificates,
            json_output=json_output,
        )
    )
