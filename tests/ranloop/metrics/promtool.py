"""promtool of Debian's package `prometheus`."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def promtool(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool; the test is skipped where it is missing, and fails with RANLOOP_REQUIRE_PROMTOOL, as in CI."""
    if not shutil.which("promtool"):
        give_up = pytest.fail if os.environ.get("RANLOOP_REQUIRE_PROMTOOL") else pytest.skip
        give_up("promtool is not installed: apt-get install prometheus")
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
