"""The options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ranloop.bundled import xapp_folder

__all__ = (
    "LOCAL_BUS",
    "Audit",
    "Autonomy",
    "BusUrl",
    "Dashboard",
    "DashboardAt",
    "HandlerDelay",
    "Json",
    "Level",
    "Limits",
    "Metrics",
    "Models",
    "NodeProfile",
    "On",
    "OperatorToken",
    "Overrides",
    "Priority",
    "Processes",
    "ProviderName",
    "Record",
    "Seed",
    "Settings",
    "Shard",
    "Shards",
    "Tiers",
    "Trusted",
    "XAppFolders",
)

LOCAL_BUS = "mqtt://localhost:1883"  # the default of `BusUrl`

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]
BusUrl = Annotated[
    str,
    typer.Option("--bus", envvar="RANLOOP_BUS", help="mqtt://[user:password@]host:port", show_default=True),
]
XAppFolders = Annotated[list[Path], typer.Argument(help="xApp folders.", parser=xapp_folder, metavar="XAPP")]
Seed = Annotated[int, typer.Option(help="Seed of the simulated world.")]
Level = Annotated[str, typer.Option(help="observe | recommend | act")]
On = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="A dask scheduler, whose workers run the drops."),
]
Processes = Annotated[int | None, typer.Option(help="Of this machine; default: all cores.", min=1, max=4096)]
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
Metrics = Annotated[
    str,
    typer.Option(
        envvar="RANLOOP_METRICS",
        metavar="[ADDRESS:]PORT",
        help="Serve /metrics for Prometheus, /healthz and /readyz; on loopback, unless an address is given. Default: nowhere.",
    ),
]
Dashboard = Annotated[
    bool, typer.Option("--dashboard", help="Serve a live page, on this machine alone, until Ctrl-C.")
]
DashboardAt = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT", help="Serve the page there; port 0 takes a free one.", show_default=False
    ),
]
OperatorToken = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Let whoever knows this file's token order from the page: kill switch, autonomy."
    ),
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
State = Annotated[
    Path | None,
    typer.Option(
        envvar="RANLOOP_STATE",
        help="Keep what the xApp keeps in app.state in this folder, for its next start.",
        file_okay=False,
    ),
]
Shard = Annotated[
    str,
    typer.Option(
        metavar="I/N",
        help="The I-th of N processes of one xApp that share the nodes among them: 1/4 to 4/4.",
    ),
]
Shards = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=N",
        help="An xApp that runs as N processes, each with --shard: its names are NAME-1ofN to NAME-NofN; repeatable.",
    ),
]
Trusted = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        envvar="RANLOOP_TRUST",
        metavar="DIR",
        help="Run only models that a key in this folder has signed: of xApps, a simulated node or an inference host.",
        file_okay=False,
    ),
]
ProviderName = Annotated[
    Literal["cpu", "openvino", "cuda", "tensorrt", "reference"],
    typer.Option(
        "--provider",
        envvar="RANLOOP_PROVIDER",
        help="What computes the models: an execution provider of onnxruntime, or onnx's reference in NumPy.",
    ),
]
Tiers = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help="The tiers where models that the manifest places can be computed; in lockstep they are virtual.",
    ),
]
HandlerDelay = Annotated[
    str,
    typer.Option(
        metavar="MS|measured",
        help="In lockstep: RAN time that each step of an xApp takes, in which it misses reports. measured: as long as "
        "its handlers take by the wall clock, which is another run each time. Default: none.",
    ),
]
