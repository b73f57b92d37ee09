"""The verbs of the command line; each lives in its own module and is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ranloop.bundled import xapp_folder
from ranloop.errors import RanloopError

app = typer.Typer(
    name="ranloop",
    help="Close loops in a radio access network: KPM reports in, a small decision, a guarded action out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]
BusUrl = Annotated[
    str,
    typer.Option("--bus", envvar="RANLOOP_BUS", help="mqtt://[user:password@]host:port", show_default=True),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An xApp setting; repeatable.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME=FOLDER", help="A model package in place of the manifest's; repeatable."
    ),
]
Audit = Annotated[
    Path | None, typer.Option(help="Append the audit log to this file, one JSON object a line.")
]
Limits = Annotated[
    Path | None,
    typer.Option(help="The operator's floors and ceilings, which no manifest can widen: a TOML file."),
]
Record = Annotated[Path | None, typer.Option(help="Record the run into this folder, for replay:PATH.")]
NodeProfile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME|FILE.toml",
        help="Only the parts that a real stack has: ns-o-ran, oai, ocudu, onos-ransim, or a profile of your own.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", metavar="FIELD=VALUE", help="A scenario field, e.g. load=1.2; repeatable."),
]
Autonomy = Annotated[
    list[str] | None,
    typer.Option(
        "--autonomy",
        metavar="[NAME=]LEVEL",
        help="The guard's limit: observe | recommend | act, for all xApps or for NAME; repeatable. Default: act.",
    ),
]
Priority = Annotated[
    list[str] | None,
    typer.Option(
        "--priority",
        metavar="NAME=N",
        help="An xApp's priority: a higher one displaces the settings of a lower one; repeatable. Default: 0.",
    ),
]


@app.callback()
def configure() -> None:
    """Set up logging for the command line; importing ranloop never does."""
    from ranloop.cli.logs import configure_logs

    configure_logs()


@app.command()
def demo(
    drops: Annotated[
        int, typer.Option(help="Held-out drops, each run with the tuned baseline and with the xApp.", min=2)
    ] = 24,
    duration_s: Annotated[float, typer.Option(help="Measured seconds per drop.", min=1)] = 10.0,
    json_output: Json = False,
) -> None:
    """Close a loop on the simulator and measure what it gains over a tuned baseline."""
    from ranloop.cli.demo import run_demo

    raise typer.Exit(run_demo(drops=drops, duration_s=duration_s, json_output=json_output))


@app.command()
def run(
    context: typer.Context,
    xapps: Annotated[list[Path], typer.Argument(help="xApp folders.", parser=xapp_folder, metavar="XAPP")],
    node: Annotated[
        str,
        typer.Option(
            "--node", help="Run here in lockstep on sim:SCENARIO or replay:PATH instead of joining a bus."
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
    override: Overrides = None,
    autonomy: Autonomy = None,
    priority: Priority = None,
    limits: Limits = None,
    audit: Audit = None,
    record: Record = None,
    profile: NodeProfile = "",
    lockstep: Annotated[
        bool, typer.Option("--lockstep", help="On a bus: answer a lockstep host step by step.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --lockstep: name of the host to answer.")] = "host",
    json_output: Json = False,
) -> None:
    """Run xApps: on a node in this process (--node), or on a bus."""
    from ranloop.cli.run import join_bus, run_on_node
    from ranloop.cli.ways import idle_in_run, refuse_idle

    refuse_idle(context, idle_in_run(node=node, lockstep=lockstep))
    if node:
        raise typer.Exit(
            run_on_node(
                xapps,
                node,
                seed=seed,
                duration_s=duration_s,
                settings=settings or [],
                models=model or [],
                overrides=override or [],
                autonomy=autonomy or [],
                priorities=priority or [],
                profile=profile,
                limits=limits,
                audit=audit,
                record=record,
                json_output=json_output,
            )
        )
    raise typer.Exit(
        join_bus(
            xapps,
            bus,
            settings=settings or [],
            models=model or [],
            duration_s=duration_s,
            lockstep=lockstep,
            host=host,
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
def host(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="sim:SCENARIO, replay:PATH or pipe:COMMAND")],
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
    speed: Annotated[
        float, typer.Option(help="RAN seconds per wall-clock second, live only.", min=0.001)
    ] = 1.0,
    limits: Limits = None,
    audit: Audit = None,
    record: Record = None,
    json_output: Json = False,
) -> None:
    """Host RAN nodes with their guards on a bus, in real time or in lockstep."""
    from ranloop.cli.host import run_host
    from ranloop.cli.ways import idle_in_host, refuse_idle

    refuse_idle(context, idle_in_host(node=node, lockstep=lockstep))
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
            profile=profile,
            lockstep=lockstep,
            timeout_s=timeout_s,
            on_timeout=on_timeout,
            speed=speed,
            limits=limits,
            audit=audit,
            record=record,
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
    json_output: Json = False,
) -> None:
    """Let a running host hear an xApp, or change what an admitted one may do."""
    from ranloop.cli.admission import admit as admit_xapp

    raise typer.Exit(
        admit_xapp(folder, host, bus, autonomy=autonomy, priority=priority, json_output=json_output)
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
    json_output: Json = False,
) -> None:
    """Load xApp folders, their manifests and models, and say what they read and write, and lack on a stack.

    Loading runs the xApp's code (app.py and what it imports) and its models; --no-run does not.
    """
    from ranloop.cli.check import check_xapps

    raise typer.Exit(check_xapps(xapps, profile=profile, run=not no_run, json_output=json_output))


@app.command()
def package(
    folder: Annotated[Path, typer.Argument(help="xApp folder.", parser=xapp_folder, metavar="XAPP")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the context; default: build/NAME.", file_okay=False)
    ] = None,
    json_output: Json = False,
) -> None:
    """Make the build context of an xApp's container image, and print the command that builds it."""
    from ranloop.cli.package import package_xapp

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
            xapps or [], role or [], broker=broker, certificates=certificates, json_output=json_output
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
def vocabulary(
    name: Annotated[str, typer.Argument(help="A measurement or action; none lists all.")] = "",
    profile: NodeProfile = "",
    json_output: Json = False,
) -> None:
    """Look up measurements and actions: unit, level, range, clause."""
    from ranloop.cli.lookup import show_vocabulary

    raise typer.Exit(show_vocabulary(name, profile=profile, json_output=json_output))
