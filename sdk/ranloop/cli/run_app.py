"""Verbs that start an xApp, or run it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

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
    Models,
    NodeProfile,
    Overrides,
    Priority,
    ProviderName,
    Record,
    Seed,
    Settings,
    State,
    Tiers,
    Trusted,
    XAppFolders,
)

__all__ = ("run_app",)

run_app = typer.Typer()


@run_app.command()
def demo(
    context: typer.Context,
    what: Annotated[
        Literal["gain", "placement"],
        typer.Argument(
            help="gain: of an xApp over a tuned baseline; placement: a tier of models fails and comes back."
        ),
    ] = "gain",
    drops: Annotated[
        int, typer.Option(help="Held-out drops, each run with the tuned baseline and with the xApp.", min=2)
    ] = 24,
    duration_s: Annotated[float, typer.Option(help="Measured seconds per drop.", min=1)] = 10.0,
    dashboard: Dashboard = False,
    dashboard_at: DashboardAt = "",
    json_output: Json = False,
) -> None:
    """Close a loop on the simulator and measure what it gains over a tuned baseline, or watch one live through failing tiers.

    With a page: first one drop there, in real time, with the xApp and with the baseline side by side.
    """
    from ranloop.cli.dashboard import wanted_page
    from ranloop.cli.demo import run_demo
    from ranloop.cli.demo_placement import demo_placement
    from ranloop.cli.ways import refuse_idle

    if what == "placement":
        idle = ("drops", "duration_s", "dashboard", "dashboard_at")
        refuse_idle(context, dict.fromkeys(idle, "belongs to ranloop demo gain"))
        raise typer.Exit(demo_placement(json_output=json_output))
    page = wanted_page(dashboard, dashboard_at)
    raise typer.Exit(run_demo(drops=drops, duration_s=duration_s, json_output=json_output, dashboard=page))


@run_app.command()
def new(
    folder: Annotated[
        Path, typer.Argument(metavar="NAME", help="Folder to write; its last part is the name.")
    ],
    template: Annotated[
        str, typer.Option(help="monitor | loop | model | steering | slice | energy")
    ] = "loop",
    json_output: Json = False,
) -> None:
    """Write a new xApp that runs: app.py, a policy to change, its manifest, README and test."""
    from ranloop.cli.new import make_xapp

    raise typer.Exit(make_xapp(folder, template, json_output=json_output))


@run_app.command()
def run(
    context: typer.Context,
    xapps: XAppFolders,
    node: Annotated[
        str,
        typer.Option(
            "--node",
            help="Run here in lockstep on sim:SCENARIO, replay:PATH or table:PATH instead of joining a bus.",
        ),
    ] = "",
    bus: BusUrl = LOCAL_BUS,
    seed: Seed = 1,
    duration_s: Annotated[
        float | None,
        typer.Option(
            help="With --node RAN seconds, default: the scenario's length; on a bus wall-clock seconds, default: "
            "until stopped."
        ),
    ] = None,
    settings: Settings = None,
    model: Models = None,
    trust: Trusted = None,
    provider: ProviderName = "cpu",
    override: Overrides = None,
    autonomy: Autonomy = None,
    priority: Priority = None,
    limits: Limits = None,
    audit: Audit = None,
    record: Record = None,
    state: State = None,
    profile: NodeProfile = "",
    handler_delay: HandlerDelay = "",
    tiers: Tiers = None,
    dashboard: Dashboard = False,
    dashboard_at: DashboardAt = "",
    beside: Annotated[
        bool,
        typer.Option("--beside", help="With --dashboard: show the same world without the xApps beside it."),
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(
            help="With --dashboard: RAN seconds per wall-clock second at most; default: as fast as it computes.",
            min=0.001,
        ),
    ] = None,
    lockstep: Annotated[
        bool, typer.Option("--lockstep", help="On a bus: answer a lockstep host step by step.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --lockstep: name of the host to answer.")] = "host",
    shard: Annotated[
        str,
        typer.Option(
            envvar="RANLOOP_SHARD",
            metavar="I/N",
            help="On a bus: be the I-th of N processes of this xApp that share the nodes among them; named XAPP-IofN.",
        ),
    ] = "",
    metrics: Metrics = "",
    json_output: Json = False,
) -> None:
    """Run xApps: on a node in this process (--node), or on a bus."""
    from ranloop.cli.dashboard import wanted_page
    from ranloop.cli.run import join_bus, run_on_node
    from ranloop.cli.ways import advised, idle_in_run, refuse_idle

    page = wanted_page(dashboard, dashboard_at, beside=beside, speed=speed)
    refuse_idle(context, idle_in_run(node=node, lockstep=lockstep, page=page is not None))
    source = context.get_parameter_source("state")
    if (node or lockstep) and source is not None and source.name == "ENVIRONMENT":
        state = None  # meant for live runs: the same seed gives the same bits, whatever was learned before
    if node:
        raise typer.Exit(
            run_on_node(
                xapps,
                node,
                seed=seed,
                duration_s=duration_s,
                settings=settings or [],
                models=model or [],
                trust=trust,
                provider=provider,
                overrides=override or [],
                autonomy=autonomy or [],
                priorities=priority or [],
                profile=profile,
                limits=limits,
                audit=audit,
                record=record,
                state=state,
                handler_delay=handler_delay,
                tiers=tiers,
                metrics=metrics,
                dashboard=page,
                json_output=json_output,
            )
        )
    with advised(context, "or run it without a bus: --node sim:one-cell"):
        raise typer.Exit(
            join_bus(
                xapps,
                bus,
                settings=settings or [],
                models=model or [],
                trust=trust,
                provider=provider,
                duration_s=duration_s,
                lockstep=lockstep,
                host=host,
                state=state,
                shard=shard,
                tiers=tiers,
                metrics=metrics,
                json_output=json_output,
            )
        )


@run_app.command()
def record(
    node: Annotated[str, typer.Argument(help="sim:SCENARIO or replay:PATH")],
    folder: Annotated[Path, typer.Argument(help="Where the recording goes; made if it does not exist.")],
    level: Annotated[
        list[str] | None,
        typer.Option(help="cell | ue | slice | qos_flow | ue_cell; repeatable. Default: ue, cell."),
    ] = None,
    every_ms: Annotated[int, typer.Option(help="Granularity period.", min=1)] = 100,
    measurement: Annotated[
        list[str] | None, typer.Option(help="Only these measurements; repeatable. Default: all.")
    ] = None,
    seed: Seed = 1,
    duration_s: Annotated[
        float | None, typer.Option(help="RAN seconds; default: the scenario's length.")
    ] = None,
    override: Overrides = None,
    profile: NodeProfile = "",
    json_output: Json = False,
) -> None:
    """Record what a node measures while no xApp runs, for replay:FOLDER and any tool that reads Parquet."""
    from ranloop.cli.record import record_node

    raise typer.Exit(
        record_node(
            node,
            folder,
            levels=level or ["ue", "cell"],
            every_ms=every_ms,
            measurements=measurement or [],
            seed=seed,
            duration_s=duration_s,
            overrides=override or [],
            profile=profile,
            json_output=json_output,
        )
    )
