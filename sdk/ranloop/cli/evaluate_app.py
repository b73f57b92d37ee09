"""`ranloop evaluate`: what has to prove itself, judged, and written into its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranloop.cli.options import Json, On, Processes, Tiers

__all__ = ("evaluate_app",)

evaluate_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Judge what xApps and placements gain, and write the page of it.",
)


@evaluate_app.command()
def xapps(
    names: Annotated[
        list[str] | None, typer.Argument(help="xApps in it; default: all with claims.", metavar="[NAME]...")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Folder of xApps.", metavar="FOLDER")] = Path("xapps"),
    page: Annotated[
        Path, typer.Option(metavar="FILE", help="The page of results; beside it they are kept as JSON.")
    ] = Path("docs/xapps.md"),
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Keeps each finished drop, for the same call to go on.")
    ] = Path("runs/evaluate"),
    processes: Processes = None,
    on: On = None,
    json_output: Json = False,
) -> None:
    """Judge what xApps claim over their best tuned rule, on drops that nothing was tuned on, and write one page.

    What an xApp claims is in claims.toml of its folder, the drops are in its plan.toml.
    """
    from ranloop.cli.evaluate import run_evaluate
    from ranloop.cli.paired_drops import Workers

    raise typer.Exit(
        run_evaluate(
            folder,
            names or [],
            page_file=page,
            out=out,
            workers=Workers(processes=processes, on=on),
            json_output=json_output,
        )
    )


@evaluate_app.command()
def together(
    folder: Annotated[
        Path, typer.Option(help="Folder of xApps, with together.toml.", metavar="FOLDER")
    ] = Path("xapps"),
    page: Annotated[
        Path, typer.Option(metavar="FILE", help="The page of results; beside it they are kept as JSON.")
    ] = Path("docs/together.md"),
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Keeps each finished drop, for the same call to go on.")
    ] = Path("runs/together"),
    processes: Annotated[
        int | None, typer.Option(help="Of this machine; default: all cores.", min=1, max=4096)
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="A dask scheduler, whose workers run the drops."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Judge all acting xApps on one network at once, and each one in trouble, and write one page.

    Which xApps these are, on which drops, and what is claimed, is in together.toml of the folder.
    """
    from ranloop.cli.evaluate_together import run_together
    from ranloop.cli.paired_drops import Workers

    raise typer.Exit(
        run_together(
            folder,
            page_file=page,
            out=out,
            workers=Workers(processes=processes, on=on),
            json_output=json_output,
        )
    )


@evaluate_app.command()
def placement(
    tiers: Tiers = None,
    seeds: Annotated[str, typer.Option(help="Of the virtual tiers: 1..20 or 1,2,5.")] = "1..20",
    write: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Write the tables between the marks of this page.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Try policies of placement beside an oracle, on virtual tiers that fail in several ways."""
    from ranloop.cli.evaluate_placement import evaluate_placement

    raise typer.Exit(evaluate_placement(tiers, seeds=seeds, write=write, json_output=json_output))
