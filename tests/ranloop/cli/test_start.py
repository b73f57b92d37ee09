"""Ctrl-C is answered from the first line of a command on, while it still imports what it needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
# As the script of an installed command does it; Ctrl-C comes when `module` is about to be imported.
SCRIPT = """
import os, signal, sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Impatient())
sys.argv = [{command!r}, *{arguments!r}]
from {package} import {function}
{function}()
"""


def started(
    command: str, *arguments: str, module: str, ignored: bool = False
) -> subprocess.CompletedProcess[str]:
    package, _, function = SCRIPTS[command].partition(":")
    script = SCRIPT.format(
        module=module, command=command, arguments=arguments, package=package, function=function
    )
    if ignored:  # as a shell leaves it to a command in the background
        script = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + script
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("ranloop", "ranloop"),
        ("ranloop", "numpy"),
        ("ranloop", "ranloop.cli"),
        ("ran_sim", "ran_sim"),
        ("ran_sim", "typer"),
    ],
)
def test_ctrl_c_while_a_command_is_imported_ends_it(command: str, module: str) -> None:
    done = started(command, "--help", module=module)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("module", ["ranloop.cli.app", "ranloop.cli.logs", "ranloop.cli.lookup"])
def test_ctrl_c_while_a_verb_is_imported_leaves_no_traceback(module: str) -> None:
    done = started("ranloop", "vocabulary", module=module)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr in ("", "interrupted\n")  # Typer says nothing


def test_what_a_shell_had_ignored_stays_ignored() -> None:
    done = started("ranloop", "vocabulary", "CQI", module="numpy", ignored=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "CQI" in done.stdout
