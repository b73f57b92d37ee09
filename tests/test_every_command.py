"""What all commands have in common: a script can read what each says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ran_sim.tools.cli import app as ran_sim
from ranloop.cli.app import app as ranloop


def commands_of(group: Any, name: str) -> list[Any]:
    """The commands of a program, those of its groups among them."""
    return [
        each
        for verb, command in group.commands.items()
        for each in (
            commands_of(command, f"{name}-{verb}")
            if hasattr(command, "commands")
            else [pytest.param(command, id=f"{name}-{verb}")]
        )
    ]


COMMANDS = [
    *commands_of(typer.main.get_command(ranloop), "ranloop"),
    *commands_of(typer.main.get_command(ran_sim), "ran_sim"),
]


def test_all_commands_are_looked_at() -> None:
    apps = [ranloop, ran_sim, *(group.typer_instance for group in ranloop.registered_groups)]
    assert len(COMMANDS) == sum(len(app.registered_commands) for app in apps if app) >= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_print_json(command: typer.core.TyperCommand) -> None:
    assert ["--json"] in [parameter.opts for parameter in command.params]


@pytest.mark.parametrize(("program", "app"), [("ranloop", ranloop), ("ran_sim", ran_sim)])
def test_each_program_prints_the_version_that_is_installed(program: str, app: typer.Typer) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output) == (0, f"{program} {project['version']}\n")
