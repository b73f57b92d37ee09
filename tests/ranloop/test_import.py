"""What `import ranloop` loads: a light front door."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest


@functools.cache
def loaded_by(statement: str) -> set[str]:
    """Top-level packages in a fresh interpreter after `statement`."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "heavy", ["numba", "onnxruntime", "sklearn", "skl2onnx", "scipy", "ran_sim", "typer", "rich"]
)
def test_the_front_door_does_not_load_what_only_some_need(heavy: str) -> None:
    assert heavy not in loaded_by("import ranloop")


def test_every_public_name_can_be_imported() -> None:
    assert "ranloop" in loaded_by("from ranloop import *")


def test_the_memory_bus_does_not_load_the_broker_client() -> None:
    assert "paho" not in loaded_by(
        "from ranloop.bus import open_bus; open_bus('memory://x', name='x').close()"
    )
