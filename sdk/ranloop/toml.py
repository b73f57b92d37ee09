"""Reads the small TOML files that people hand us (manifests, model cards) into pydantic models, with bounds."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ranloop.errors import RanloopError

__all__ = ("read_toml",)

MAX_BYTES = (
    1 << 16
)  # a manifest or a card is a few kB; what tomllib takes grows with the square of a long dotted key
M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path, kind: type[M], *, missing: str, error_type: type[RanloopError]) -> M:
    """Read and check one file.

    Args:
        path: The file.
        kind: What it has to be.
        missing: What to say of a folder that does not have it.
        error_type: What is raised.

    Raises:
        RanloopError: As `error_type`: missing, too large, too deep, not TOML or not a `kind`; one line with the
            field's path.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise error_type(f"{path} is larger than {MAX_BYTES} bytes")
        return kind.model_validate(tomllib.loads(content.decode()))
    except FileNotFoundError:
        raise error_type(missing) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise error_type(f"{path} is not TOML: {error}") from error
    except RecursionError:
        raise error_type(f"{path} is nested too deeply") from None
    except OSError as error:
        raise error_type(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise error_type(f"{path}: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    """The first complaint of a pydantic error as one line: field path, what came, what was wanted."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"]) or "document"
    got = problem["input"]
    shown = "" if isinstance(got, dict | list) else f" (got {got!r})"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}{shown}"
