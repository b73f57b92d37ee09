"""The command line: its verbs stand in groups, and what a verb does is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from ranloop.cli.author_app import author_app
from ranloop.cli.evaluate_app import evaluate_app
from ranloop.cli.experiment_app import experiment_app
from ranloop.cli.host_app import host_app
from ranloop.cli.model_app import model_app
from ranloop.cli.operator_app import operator_app
from ranloop.cli.run_app import run_app
from ranloop.cli.watch_app import watch_app

__all__ = ("app",)

app = typer.Typer(
    name="ranloop",
    help="Close loops in a radio access network: KPM reports in, a small decision, a guarded action out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (run_app, author_app, experiment_app, host_app, operator_app, watch_app):
    app.add_typer(group)  # without a name: its verbs are verbs of `ranloop`
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(model_app, name="model")


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
