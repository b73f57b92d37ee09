"""The notebooks run from top to bottom, and keep to the number of lines that the documents state."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"


def cells_of(path: Path) -> list[str]:
    return [
        "".join(c["source"]) for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names that are there when all cells have run, in a folder of their own."""
    import matplotlib

    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path_factory.mktemp("notebook")):
        for number, cell in enumerate(cells_of(FOLDER / "first_loop.ipynb")):
            exec(compile(cell, f"cell {number}", "exec"), names)  # noqa: S102 as a notebook does
    yield names
    import matplotlib.pyplot

    matplotlib.pyplot.close("all")


def test_its_loop_closes_and_helps(found: dict[str, Any]) -> None:
    before, after = found["before"].score, found["after"].score
    assert after["satisfied"] > before["satisfied"]
    assert found["after"].outcomes["applied"] > 100


def test_its_model_package_decides_in_the_loop(found: dict[str, Any]) -> None:
    models = set(found["with_model"].actions["models"])
    assert models == {f"next_rate@{found['card'].sha256[:12]}"}


def test_a_model_package_takes_at_most_25_lines() -> None:
    (cell,) = [cell for cell in cells_of(FOLDER / "first_loop.ipynb") if "export_package(" in cell]
    assert len([line for line in cell.splitlines() if line.strip()]) <= 25
