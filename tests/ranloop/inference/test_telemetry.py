"""onnxruntime's Linux wheels send telemetry unless they are told otherwise; every process of ranloop tells them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# The xApp's own import comes first, and our trial of the model runs in a process of its own.
CODE = f"""
import sys, time, ranloop, onnxruntime
from pathlib import Path
from ranloop.inference import load_model
load_model(Path({str(ROOT / "models/flow_rate")!r}))
time.sleep(float(sys.argv[1]))
"""


def run(home: Path, seconds: float, before: Sequence[str] = ()) -> None:
    """Load a model in a fresh process that finds `home` empty, and stay for `seconds`."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    command = [*before, sys.executable, "-c", CODE, str(seconds)]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def test_no_device_id_and_no_queue_of_events_is_left_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    run(home, 0.0)
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_no_socket_is_opened(tmp_path: Path) -> None:
    """With telemetry on, the first socket was seen 9 s after the start."""
    strace = shutil.which("strace")
    if strace is None:
        give_up = pytest.fail if os.environ.get("RANLOOP_REQUIRE_BROKERS") else pytest.skip
        give_up("strace is not installed: apt-get install strace")
    calls = tmp_path / "calls"
    run(tmp_path, 20.0, [strace, "-f", "-qq", "-e", "trace=socket", "-e", "signal=none", "-o", str(calls)])
    assert calls.read_text() == ""
