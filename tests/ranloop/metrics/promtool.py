"""prometheus and promtool of Debian's package `prometheus`."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def require(program: str) -> None:
    """Skip the test where a program is missing; fail with RANLOOP_REQUIRE_PROMTOOL, as in CI."""
    if not shutil.which(program):
        give_up = pytest.fail if os.environ.get("RANLOOP_REQUIRE_PROMTOOL") else pytest.skip
        give_up(f"{program} is not installed: apt-get install prometheus")


def promtool(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    require("promtool")
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
