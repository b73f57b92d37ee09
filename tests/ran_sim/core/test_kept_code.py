"""Kept machine code that is damaged, or cannot be written, costs a compilation and a warning, and never the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

CODE = """
import math
from ran_sim.core import jit, kept_code
from ran_sim.core.plugins import compiled

def twice(x: float) -> float:
    return 2.0 * x

print(jit.bare_kernel(twice)(21.0), compiled("float64(float64)", cache=True)(twice).ctypes(2.0))
"""

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")


Run = Callable[[], tuple[str, list[str]]]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`CODE` in a file, beside the folder `cache` with what it compiled."""
    path = tmp_path_factory.mktemp("origin") / "script.py"
    path.write_text(CODE)
    assert run_with(path.parent / "cache", path) == ("42.0 4.0\n", [])
    return path


@pytest.fixture
def run(tmp_path: Path, script: Path) -> Run:
    """Runs `CODE` in a process with a copy of that cache, `tmp_path / "cache"`: standard output, and the warnings."""
    shutil.copytree(script.parent / "cache", tmp_path / "cache")
    return partial(run_with, tmp_path / "cache", script)


def run_with(cache: Path, script: Path) -> tuple[str, list[str]]:
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "kept machine code" in line]


def files(tmp_path: Path, suffix: str) -> list[Path]:
    return sorted((tmp_path / "cache").rglob(f"*{suffix}"))


def test_what_was_compiled_is_loaded_by_the_next_process(tmp_path: Path, run: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in files(tmp_path, ".nbc")}
    assert len(before) >= 2  # the kernel and the callback
    assert run() == ("42.0 4.0\n", [])
    assert {path: path.stat().st_mtime_ns for path in files(tmp_path, ".nbc")} == before


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".nbi", lambda data: data[: len(data) // 2]),
        (".nbc", lambda data: b""),
        (".nbc", lambda data: data[: len(data) // 2]),
        (".nbc", lambda data: data[:-100] + bytes(100)),
        (".nbc", lambda data: data[: len(data) // 2] + bytes(100) + data[len(data) // 2 + 100 :]),
    ],
    ids=["half of the index", "empty", "half", "end", "middle"],
)
def test_a_damaged_file_is_compiled_anew_and_told_once(
    tmp_path: Path, run: Run, suffix: str, damage: Callable[[bytes], bytes]
) -> None:
    for path in files(tmp_path, suffix):
        path.write_bytes(damage(path.read_bytes()))
    out, (warning,) = run()
    assert out == "42.0 4.0\n"
    assert suffix in warning or "damaged" in warning
    assert run() == ("42.0 4.0\n", [])  # the files are whole again


def test_a_folder_that_takes_no_more_files_costs_a_compilation(tmp_path: Path, run: Run) -> None:
    for path in files(
        tmp_path, ".nbi"
    ):  # a folder in the place of a file cannot be replaced by one, also not by root
        path.unlink()
        path.mkdir()
        (path / "full").touch()
    out, warnings = run()
    assert (out, len(warnings)) == ("42.0 4.0\n", 1)
