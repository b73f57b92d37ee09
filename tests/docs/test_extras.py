"""The optional parts: every name that a page, a message or an error gives is one that pip knows, and the README has all."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ranloop.cli import doctor

ROOT = Path(__file__).parents[2]
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
FILES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb")}
    | {path for room in ("sdk", "ran_sim", "xapps", "models") for path in (ROOT / room).rglob("*.py")}
    | {*ROOT.glob("sdk/**/*.md"), *ROOT.glob("xapps/**/*.md"), *ROOT.glob("docker/*")}
)


def named(text: str) -> set[str]:
    """Extras in `pip install 'ranloop[a,b]'` or '.[a,b]', and in a MissingExtraError."""
    lists = re.findall(r"(?:ranloop|'\.)\[([a-z_,-]+)\]", text)
    lists += re.findall(r"MissingExtraError\([^()]*\"([a-z]+)\"\)", text)
    return {name for found in lists for name in found.split(",")}


def test_every_extra_that_is_named_anywhere_exists() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in FILES
        if path.is_file()
        for name in named(path.read_text("utf-8", "replace")) - EXTRAS
    }
    assert wrong == set()


def test_the_readme_names_every_extra() -> None:
    assert EXTRAS - named((ROOT / "README.md").read_text("utf-8")) == set()


def test_what_doctor_advises_exists() -> None:
    assert set(doctor._EXTRAS.values()) <= EXTRAS


def test_doctor_looks_for_every_extra_that_brings_what_no_other_does() -> None:
    elsewhere = {
        "models",
        "split",
        "sweep",
        "notebook",
    }  # in `sim`, `sim`, `record`, and in `plot` with `record`
    elsewhere |= {"broker"}  # a program: `ranloop broker` says what is missing, and mosquitto does as well
    assert set(doctor._EXTRAS.values()) == EXTRAS - elsewhere


@pytest.mark.parametrize(
    "text",
    [
        "pip install 'ranloop[sim,nonsense]'",
        "pip install '.[nonsense]'",
        'MissingExtraError("x", "nonsense")',
    ],
)
def test_a_wrong_name_would_be_found(text: str) -> None:
    assert "nonsense" in named(text)
