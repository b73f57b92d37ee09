"""`import ranloop` beside its unavoidable imports, in fresh interpreters that take turns."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from benchmarks.measure import F64, Row, latency_row

ROUNDS = 25
BAR = 1.5
_PEER = "numpy, pydantic, paho.mqtt.client, structlog"


def _import_ms(modules: str) -> float:
    """Milliseconds that one import statement takes in a new process, the interpreter's own start left out."""
    script = f"import time; t = time.perf_counter(); import {modules}; print((time.perf_counter() - t) * 1e3)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return float(done.stdout)


def run() -> list[Row]:
    """One row; each round is one pair of processes."""
    took_ms: dict[str, list[float]] = {"ranloop": [], _PEER: []}
    for modules in took_ms:
        _import_ms(modules)  # byte code and file cache
    for _ in range(ROUNDS):
        for modules, took in took_ms.items():
            took.append(_import_ms(modules))
    rounds: dict[str, F64] = {modules: np.array(took)[:, None] for modules, took in took_ms.items()}
    return [
        latency_row(
            "import ranloop",
            rounds["ranloop"],
            unit="ms",
            peer=f"import {_PEER}",
            peer_took=rounds[_PEER],
            bar=BAR,
            note=f"{ROUNDS} processes each",
        )
    ]
