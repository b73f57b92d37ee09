"""Verbs that look things up for an author, and at what the author wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranloop.bundled import xapp_folder
from ranloop.cli.options import LOCAL_BUS, BusUrl, Json, NodeProfile, Overrides, Seed, XAppFolders
from ranloop.errors import RanloopError

__all__ = ("author_app",)

author_app = typer.Typer()


@author_app.command()
def check(
    xapps: XAppFolders,
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


@author_app.command()
def describe(
    context: typer.Context,
    node: Annotated[
        str,
        typer.Argument(
            help="sim:SCENARIO, replay:PATH, pipe:COMMAND, or a node on the bus; none: all there."
        ),
    ] = "",
    bus: BusUrl = LOCAL_BUS,
    seed: Seed = 1,
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


@author_app.command()
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


@author_app.command()
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


@author_app.command()
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


@author_app.command()
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
