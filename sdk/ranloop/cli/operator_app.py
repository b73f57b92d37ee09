"""Verbs of an operator, to hosts that run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranloop.bundled import xapp_folder
from ranloop.cli.options import LOCAL_BUS, BusUrl, Json, Level, Shard
from ranloop.errors import RanloopError

__all__ = ("operator_app",)

operator_app = typer.Typer()


@operator_app.command()
def order(
    node: Annotated[str, typer.Argument(help="Node name, or 'all' for every node on the bus.")],
    bus: BusUrl = LOCAL_BUS,
    kill: Annotated[
        bool | None, typer.Option("--kill/--revive", help="Return everything to default and refuse actions.")
    ] = None,
    xapp: Annotated[str, typer.Option(help="The xApp that --autonomy is about.")] = "",
    autonomy: Level = "",
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


@operator_app.command()
def admit(
    folder: Annotated[
        Path,
        typer.Argument(
            help="xApp folder to admit, with the rights of its manifest.", parser=xapp_folder, metavar="XAPP"
        ),
    ],
    host: Annotated[str, typer.Option(help="Name of the host that is to hear it.")] = "host",
    bus: BusUrl = LOCAL_BUS,
    autonomy: Level = "act",
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


@operator_app.command()
def dismiss(
    xapp: Annotated[str, typer.Argument(help="Name of the xApp.")],
    host: Annotated[str, typer.Option(help="Name of the host that is to hear it no longer.")] = "host",
    bus: BusUrl = LOCAL_BUS,
    json_output: Json = False,
) -> None:
    """Let a running host hear an xApp no longer; what it holds goes back to its default."""
    from ranloop.cli.admission import dismiss as dismiss_xapp

    raise typer.Exit(dismiss_xapp(xapp, host, bus, json_output=json_output))


@operator_app.command()
def settings(
    where: Annotated[str, typer.Argument(metavar="HOST|NODE", help="A host, or one of its nodes.")],
    xapp: Annotated[str, typer.Argument(help="Name of the xApp.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="What to change; nothing shows all settings."),
    ] = None,
    bus: BusUrl = LOCAL_BUS,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Withdraw what was changed; the xApp's next start has its own values."),
    ] = False,
    json_output: Json = False,
) -> None:
    """Change the settings of a running xApp within the bounds of its manifest, or show them."""
    from ranloop.cli.settings import change_settings

    raise typer.Exit(change_settings(where, xapp, values or [], bus, forget=forget, json_output=json_output))
