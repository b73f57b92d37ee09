"""Parses the values of options of the `ran_sim` command."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ran_sim.core.errors import InputError

__all__ = (
    "UsageError",
    "check_target",
    "make_folder",
    "parse_pairs",
    "parse_seeds",
    "parse_settings",
    "parse_values",
    "require",
)


class UsageError(InputError):
    """A command line that cannot be carried out."""


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`["load=1.2", "scheduler=rr"]` as {"load": 1.2, "scheduler": "rr"}: JSON where it reads as JSON, else text.

    Raises:
        UsageError: An entry without `=`, or a field twice.
    """
    return {name: parse_value(text) for name, text in parse_pairs(pairs).items()}


def parse_pairs(pairs: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name):
            raise UsageError(f"--override {pair!r}: want FIELD=VALUE")
        if name in values:
            raise UsageError(f"--override {name}: is given twice")
        values[name] = text
    return values


def parse_values(name: str, text: str) -> list[Any]:
    """`0.5,1.0`, `pf,m-lwdf` or `[3,30],[50]` as a list of values.

    Raises:
        UsageError: A value that is empty.
    """
    together = parse_value(f"[{text}]")
    values: list[Any] = together if isinstance(together, list) else [parse_value(v) for v in text.split(",")]
    if not values or "" in values:
        raise UsageError(f"--override {name}={text}: want values with commas between them")
    return values


def parse_seeds(text: str) -> list[int]:
    """`0..31` or `1,2,5`.

    Raises:
        UsageError: Neither, or more than a sweep may have.
    """
    first, dots, last = text.partition("..")
    try:
        if not dots:
            return [int(seed) for seed in text.split(",")]
        low, high = int(first), int(last)
    except ValueError:
        raise UsageError(f"--seeds {text}: want 0..31 or 1,2,5") from None
    if not low <= high < low + 100_000:
        raise UsageError(f"--seeds {text}: want the lower one first and at most 100000")
    return list(range(low, high + 1))


def parse_value(text: str) -> Any:
    """JSON where it reads as JSON, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def check_target(option: str, file: Path) -> None:
    """Check that a file can be written, before hours are spent on its content.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise UsageError(f"{option} {file}: cannot be written ({error.strerror})") from error


def make_folder(folder: Path) -> None:
    """Make a folder for results, if it is missing.

    Raises:
        UsageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from error


def require(module: str, extra: str, what: str) -> None:
    """Refuse to begin without an optional package.

    Raises:
        UsageError: It is missing; with the line that installs it.
    """
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise UsageError(f"{what} need {module}: pip install 'ranloop[{extra}]'")
