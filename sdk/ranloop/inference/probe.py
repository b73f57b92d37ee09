"""Tries an ONNX file out in a process of its own, which ends when the file takes too much time or memory.

The process runs this file alone and imports nothing of ranloop. It reads a line of JSON and the ONNX file from standard
input, and writes its findings as lines of JSON. An ONNX file that hangs, asks for all memory or brings onnxruntime down ends
this process and not the xApp's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ("new_session", "try_out")

CPU_S = 5  # opening a small model and running it on two rows takes milliseconds
WALL_S = 15.0  # on a busy machine
MEMORY_BYTES = 1 << 30  # address space; the process itself takes a quarter of it
MAX_BATCH = 65_536


def try_out(content: bytes, row: Sequence[int], output: str) -> dict[str, Any]:
    """Inputs and outputs of a file, and its output for a few rows of zeros of the shape `row`.

    Args:
        content: The ONNX file.
        row: Shape of one row.
        output: Name of the output to read, "" for the only one.

    Returns:
        `inputs` and `outputs` as [name, type, shape] each; `rows` and `gives`, the rows of the trial and the shape that came;
        `error`, one line, if something failed; `ended` if the process had to be ended.
    """
    found = _tried(content, row, output, 2)
    if found.get("rows") == 2 and found.get("gives", [0])[0] != 2 and "ended" not in found:
        # A file may say that it takes any number of rows and yet reshape them to one.
        alone = _tried(content, row, output, 1)
        return alone if alone.get("gives", [0])[0] == 1 else found
    return found


def _tried(content: bytes, row: Sequence[int], output: str, rows: int) -> dict[str, Any]:
    request = json.dumps({"path": sys.path, "row": list(row), "output": output, "rows": rows}).encode()
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, str(CPU_S)],
            input=request + b"\n" + content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it does not come to an end within {WALL_S:g} s", "ended": True}
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    if done.returncode and "error" not in found:
        ends = {
            24: f"it does not come to an end within {CPU_S} s",  # SIGXCPU
            9: "it takes more memory than this machine has",  # SIGKILL
        }
        why = ends.get(-done.returncode, f"it ends the process that runs it (exit {done.returncode})")
        found |= {"error": why, "ended": True}
    return found


def new_session(content: bytes, provider: str = "CPUExecutionProvider") -> Any:
    """An onnxruntime session for small models: one thread, sequential, no spinning; the CPU takes what `provider` cannot.

    At the batch sizes of a cell one thread is as fast as several, and spinning burns twice the CPU for no latency.
    """
    import onnxruntime as ort  # 0.15 s: an xApp without a model does not pay for it

    ort.set_default_logger_severity(4)  # a refused model is reported by our error, not twice on stderr
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = list(dict.fromkeys((provider, "CPUExecutionProvider")))
    return ort.InferenceSession(content, options, providers=providers)


def reason(error: BaseException) -> str:
    """An error of onnxruntime as one line."""
    if isinstance(error, MemoryError):
        return "it takes too much memory"
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _main() -> None:
    sys.excepthook = lambda _kind, error, _frames: _say(error=reason(error))
    _limit(int(sys.argv[1]))
    request = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = request["path"]
    _try(sys.stdin.buffer.read(), request["row"], request["output"], request["rows"])


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def _limit(cpu_s: int) -> None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows has only the limit of time
        return
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _try(content: bytes, row: list[int], output: str, rows: int) -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # each would reserve memory, and none is used
    import numpy as np

    session = new_session(content)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    _say(
        inputs=[[i.name, i.type, list(i.shape)] for i in inputs],
        outputs=[[o.name, o.type, list(o.shape)] for o in outputs],
    )
    read = [o.name for o in outputs if o.name == (output or o.name)]
    if len(inputs) == len(read) == 1:
        shape = inputs[0].shape
        fixed = shape[0] if shape and isinstance(shape[0], int) else rows
        _say(rows=fixed)
        if not 1 <= fixed <= MAX_BATCH:
            raise ValueError(f"a file takes 1 to {MAX_BATCH} rows at a time")
        out = session.run(read, {inputs[0].name: np.zeros((fixed, *row), np.float32)})[0]
        _say(gives=list(np.shape(out)) or [0])


if __name__ == "__main__":
    _main()
