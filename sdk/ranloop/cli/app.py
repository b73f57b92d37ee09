"""The verbs of the command line; each lives in its own module and is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ranloop.bundled import xapp_folder
from ranloop.cli.evaluate_app import evaluate_app
from ranloop.cli.model_app import model_app
from ranloop.cli.options import (
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
    OperatorToken,
    Overrides,
    Priority,
    ProviderName,
    Record,
    Settings,
    Shard,
    Shards,
    State,
    Tiers,
    Trusted,
)
from ranloop.errors import RanloopError

app = typer.Typer(
    name="ranloop",
    help="Close loops in a radio access network: KPM reports in, a small decision, a guarded action out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(model_app, name="model")
app.add_typer(evaluate_app, name="evaluate")


def _show_version(wanted: bool) -> None:
    if wanted:
        from ranloop import __version__

        print(f"ranloop {__version__}")
        raise typer.Exit


@app.callback()
def configure(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Set up logging for the command line; importing ranloop never does."""
    from ranloop.cli.logs import configure_logs

    configure_logs()


@app.command()
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


@app.command()
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


@app.command()
def run(
    context: typer.Context,
    xapps: Annotated[list[Path], typer.Argument(help="xApp folders.", parser=xapp_folder, metavar="XAPP")],
    node: Annotated[
        str,
        typer.Option(
            "--node",
            help="Run here in lockstep on sim:SCENARIO, replay:PATH or table:PATH instead of joining a bus.",
        ),
    ] = "",
    bus: BusUrl = "mqtt://localhost:1883",
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 1,
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


@app.command()
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
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 1,
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


@app.command()
def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="xApp folders joined by +, each perhaps FOLDER@REVISION of git; or: nothing."
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The same; what is claimed is claimed of B.")],
    node: Annotated[str, typer.Option("--node", help="A simulated node, e.g. sim:seven-sites.")],
    seeds: Annotated[str, typer.Option(help="The drops: 1..16 or 1,2,5.")] = "1..16",
    claim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help='A claim about B, e.g. "best_effort_mbps more" or "satisfied at most 2% less"; repeatable.',
        ),
    ] = None,
    set_a: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An xApp setting of arm A; repeatable.")
    ] = None,
    set_b: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An xApp setting of arm B; repeatable.")
    ] = None,
    model_a: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER", help="A model package of arm A; repeatable.")
    ] = None,
    model_b: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER", help="A model package of arm B; repeatable.")
    ] = None,
    override_a: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="A scenario field of arm A; repeatable.")
    ] = None,
    override_b: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="A scenario field of arm B; repeatable.")
    ] = None,
    override: Overrides = None,
    duration_s: Annotated[
        float | None,
        typer.Option(help="RAN seconds of a drop, warm-up included; default: the scenario's length."),
    ] = None,
    warmup_s: Annotated[
        float | None,
        typer.Option(help="RAN seconds at a drop's begin that do not count; default: the scenario's."),
    ] = None,
    limits: Limits = None,
    profile: NodeProfile = "",
    handler_delay: Annotated[
        str,
        typer.Option(
            metavar="MS", help="RAN time that each step of an xApp takes, in which it misses reports."
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep each finished drop here, for the same call to go on, and write results.parquet and report.html.",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="A dask scheduler, whose workers run the drops."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Run only the I-th of N parts of the drops into --out, as a batch job."
        ),
    ] = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Run nothing: judge what shards left in --out, if nothing is missing."),
    ] = False,
    json_output: Json = False,
) -> None:
    """Run two arms on the same simulated drops and say what B changes, with intervals and a verdict on each claim.

    Exit code: 0 all claims are shown (or none is made), 2 wrong input, 3 a claim is refuted, 4 one is undecided.
    """
    from ranloop.cli.arms import TypedArm
    from ranloop.cli.compare import run_compare
    from ranloop.cli.compare_where import Where

    first = TypedArm(
        letter="A", text=a, settings=set_a or [], models=model_a or [], overrides=override_a or []
    )
    second = TypedArm(
        letter="B", text=b, settings=set_b or [], models=model_b or [], overrides=override_b or []
    )
    raise typer.Exit(
        run_compare(
            (first, second),
            node,
            seeds=seeds,
            overrides=override or [],
            duration_s=duration_s,
            warmup_s=warmup_s,
            claims=claim or [],
            profile=profile,
            limits=limits,
            handler_delay=handler_delay,
            where=Where.typed(out, on=on, shard=shard, merge=merge),
            json_output=json_output,
        )
    )


@app.command()
def train(
    folder: Annotated[
        Path, typer.Argument(help="xApp or model folder, with plan.toml and train.py.", metavar="FOLDER")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CONTENDER", help="Tune this rule or model alone; repeatable."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Of this machine; default: all cores.", min=1, max=4096)
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="A dask scheduler, whose workers run the drops."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Tune only the I-th of N parts of the contenders, as a batch job."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Tune rules and models with the same budget on simulated drops, and write the winner with its card.

    What is found is kept in FOLDER/journal: the same call goes on where a training was stopped.
    """
    from ranloop.cli.train_command import run_train

    raise typer.Exit(
        run_train(folder, only=only or [], processes=processes, on=on, shard=shard, json_output=json_output)
    )


@app.command()
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
    bus: BusUrl = "mqtt://localhost:1883",
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 1,
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


@app.command("infer-host")
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
    bus: BusUrl = "mqtt://localhost:1883",
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


@app.command()
def order(
    node: Annotated[str, typer.Argument(help="Node name, or 'all' for every node on the bus.")],
    bus: BusUrl = "mqtt://localhost:1883",
    kill: Annotated[
        bool | None, typer.Option("--kill/--revive", help="Return everything to default and refuse actions.")
    ] = None,
    xapp: Annotated[str, typer.Option(help="The xApp that --autonomy is about.")] = "",
    autonomy: Annotated[str, typer.Option(help="observe | recommend | act")] = "",
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="Withdraw the order about the kill switch, or about --xapp, that nodes find when they start.",
        ),
    ] = False,
    json_output: Json = False,
) -> None:
    """An operator's order to the guards: the kill switch, or one xApp's autonomy."""
    from ranloop.cli.forget import forget_orders
    from ranloop.cli.operator import send_order

    if forget:
        if kill is not None or autonomy:
            raise RanloopError(
                "--forget withdraws an order and gives none: leave out --kill, --revive and --autonomy"
            )
        raise typer.Exit(forget_orders(node, bus, xapp=xapp, json_output=json_output))
    raise typer.Exit(send_order(node, bus, kill=kill, xapp=xapp, autonomy=autonomy, json_output=json_output))


@app.command()
def table(
    path: Annotated[str, typer.Argument(help="A table, a folder of tables, or PATH?mapping=NAME|FILE.toml")],
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml", help="Write the start of a mapping of one's own into this new file."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Say what a table is as a RAN node: the mapping, the measurements, and what is left out; or start a mapping."""
    from ranloop.cli.table import show_table, write_mapping

    raise typer.Exit(
        write_mapping(path, write) if write is not None else show_table(path, json_output=json_output)
    )


@app.command()
def admit(
    folder: Annotated[
        Path,
        typer.Argument(
            help="xApp folder to admit, with the rights of its manifest.", parser=xapp_folder, metavar="XAPP"
        ),
    ],
    host: Annotated[str, typer.Option(help="Name of the host that is to hear it.")] = "host",
    bus: BusUrl = "mqtt://localhost:1883",
    autonomy: Annotated[str, typer.Option(help="observe | recommend | act")] = "act",
    priority: Annotated[int, typer.Option(help="A higher one displaces the settings of a lower one.")] = 0,
    shard: Shard = "",
    json_output: Json = False,
) -> None:
    """Let a running host hear an xApp, or change what an admitted one may do."""
    from ranloop.cli.admission import admit as admit_xapp

    raise typer.Exit(
        admit_xapp(
            folder, host, bus, autonomy=autonomy, priority=priority, shard=shard, json_output=json_output
        )
    )


@app.command()
def dismiss(
    xapp: Annotated[str, typer.Argument(help="Name of the xApp.")],
    host: Annotated[str, typer.Option(help="Name of the host that is to hear it no longer.")] = "host",
    bus: BusUrl = "mqtt://localhost:1883",
    json_output: Json = False,
) -> None:
    """Let a running host hear an xApp no longer; what it holds goes back to its default."""
    from ranloop.cli.admission import dismiss as dismiss_xapp

    raise typer.Exit(dismiss_xapp(xapp, host, bus, json_output=json_output))


@app.command()
def settings(
    where: Annotated[str, typer.Argument(metavar="HOST|NODE", help="A host, or one of its nodes.")],
    xapp: Annotated[str, typer.Argument(help="Name of the xApp.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="What to change; nothing shows all settings."),
    ] = None,
    bus: BusUrl = "mqtt://localhost:1883",
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Withdraw what was changed; the xApp's next start has its own values."),
    ] = False,
    json_output: Json = False,
) -> None:
    """Change the settings of a running xApp within the bounds of its manifest, or show them."""
    from ranloop.cli.settings import change_settings

    raise typer.Exit(change_settings(where, xapp, values or [], bus, forget=forget, json_output=json_output))


@app.command()
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


@app.command()
def check(
    xapps: Annotated[list[Path], typer.Argument(help="xApp folders.", parser=xapp_folder, metavar="XAPP")],
    profile: NodeProfile = "",
    no_run: Annotated[
        bool,
        typer.Option(
            "--no-run",
            help="Run nothing: read the manifest, the models' cards and files, and the syntax of the code.",
        ),
    ] = False,
    trials: Annotated[
        bool,
        typer.Option(
            "--trials",
            help="Drive each xApp through what a network does to it: lost and late reports, restarts, leaving UEs, ….",
        ),
    ] = False,
    json_output: Json = False,
) -> None:
    """Load xApp folders, their manifests and models, and say what they read and write, and lack on a stack.

    Loading runs the xApp's code (app.py and what it imports) and its models; --no-run does not.
    """
    from ranloop.cli.check import check_xapps

    raise typer.Exit(
        check_xapps(xapps, profile=profile, run=not no_run, trials=trials, json_output=json_output)
    )


@app.command()
def package(
    folder: Annotated[
        Path | None, typer.Argument(help="xApp folder.", parser=xapp_folder, metavar="XAPP")
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="The live page's image in place of an xApp's.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the context; default: build/NAME.", file_okay=False)
    ] = None,
    json_output: Json = False,
) -> None:
    """Make the build context of the container image of an xApp or the page, and print the command that builds it."""
    from ranloop.cli.package import package_page, package_xapp

    if (folder is None) != page:
        raise RanloopError("give the folder of an xApp, or --page")
    if folder is None:
        raise typer.Exit(package_page(out, json_output=json_output))
    raise typer.Exit(package_xapp(folder, out, json_output=json_output))


@app.command()
def alive(
    participant: Annotated[str, typer.Argument(help="Name of a host or xApp, or the xApp's folder.")],
    bus: BusUrl = "mqtt://localhost:1883",
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


@app.command()
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


@app.command()
def schema(
    name: Annotated[str, typer.Argument(help="A message, or asyncapi; none lists.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write asyncapi.json and schemas/ into this folder.", file_okay=False)
    ] = None,
    json_output: Json = False,
) -> None:
    """Print the JSON Schema of a message, or the AsyncAPI document of all topics."""
    from ranloop.cli.schema import show_schema

    raise typer.Exit(show_schema(name, out, json_output=json_output))


@app.command()
def describe(
    context: typer.Context,
    node: Annotated[
        str,
        typer.Argument(
            help="sim:SCENARIO, replay:PATH, pipe:COMMAND, or a node on the bus; none: all there."
        ),
    ] = "",
    bus: BusUrl = "mqtt://localhost:1883",
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 1,
    override: Overrides = None,
    profile: NodeProfile = "",
    json_output: Json = False,
) -> None:
    """Say what a node offers: measurements, actions and their ranges, cells, neighbours, slices."""
    from ranloop.cli.describe import describe as describe_node
    from ranloop.cli.ways import advised, idle_in_describe, refuse_idle

    refuse_idle(context, idle_in_describe(node=node))
    with advised(context, "or look at a node without a bus: ranloop describe sim:one-cell"):
        raise typer.Exit(
            describe_node(
                node, bus, seed=seed, overrides=override or [], profile=profile, json_output=json_output
            )
        )


@app.command()
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


@app.command()
def top(
    bus: BusUrl = "mqtt://localhost:1883",
    every_s: Annotated[float, typer.Option(help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, after that time.")] = False,
    json_output: Json = False,
) -> None:
    """Show who runs on a bus, who holds what, rates, latencies and refusals; reads only."""
    from ranloop.cli.top import run_top

    raise typer.Exit(run_top(bus, every_s=every_s, once=once, json_output=json_output))


@app.command()
def dashboard(
    context: typer.Context,
    bus: BusUrl = "mqtt://localhost:1883",
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


@app.command()
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


@app.command()
def vocabulary(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="The name of a measurement or action, or words to find some; none lists all."),
    ] = None,
    profile: NodeProfile = "",
    json_output: Json = False,
) -> None:
    """Look up measurements and actions: unit, level, range, clause."""
    from ranloop.cli.lookup import show_vocabulary

    raise typer.Exit(show_vocabulary(" ".join(words or []), profile=profile, json_output=json_output))
