"""From `ranloop run xapps/kpm_monitor --node sim:one-cell` to the first line that the xApp prints.

The simulator's kernels come from numba's cache: a first run fills it and is not counted.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, latency_row

ROUNDS = 5
BAR_S = 5.0
_ROOT = Path(__file__).parents[1]
_COMMAND = (
    sys.executable,
    "-c",
    "from ranloop.cli import main; main()",
    "run",
    str(_ROOT / "xapps" / "kpm_monitor"),
    "--node",
    "sim:one-cell",
    "--duration-s",
    "2",
)


def _first_line_s() -> float:
    began_s = time.perf_counter()
    with subprocess.Popen(_COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        took_s = time.perf_counter() - began_s
        _, errors = process.communicate()
    if "PRB" not in line:
        raise RuntimeError(f"no report came: {line}{errors}")
    return took_s


def run() -> list[Row]:
    """One row."""
    _first_line_s()
    took_s = np.array([[_first_line_s()] for _ in range(ROUNDS)])
    return [latency_row("first report", took_s, unit="s", bar=BAR_S, note=f"{ROUNDS} runs, kernels compiled")]
