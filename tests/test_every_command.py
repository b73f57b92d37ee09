"""What all commands have in common: a script can read what each says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ran_sim.tools.cli import app as ran_sim
from ranloop.cli.app import app as ranloop

COMMANDS = [
    pytest.param(command, id=f"{program}-{name}")
    for program, app in (("ranloop", ranloop), ("ran_sim", ran_sim))
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]  # because an app of several commands is a group
]


def test_all_commands_are_looked_at() -> None:
    assert len(COMMANDS) == len(ranloop.registered_commands) + len(ran_sim.registered_commands) >= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_print_json(command: typer.core.TyperCommand) -> None:
    assert ["--json"] in [parameter.opts for parameter in command.params]


@pytest.mark.parametrize(("program", "app"), [("ranloop", ranloop), ("ran_sim", ran_sim)])
def test_each_program_prints_the_version_that_is_installed(program: str, app: typer.Typer) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output) == (0, f"{program} {project['version']}\n")
