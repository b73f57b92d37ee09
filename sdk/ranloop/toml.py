"""Reads the small TOML files of people (manifests, model cards, profiles) into pydantic models, within bounds."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from ranloop.errors import RanloopError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ("parse_toml", "read_toml", "toml_bytes")

MAX_BYTES = 1 << 16  # a manifest or a card is a few kB
MAX_KEY_PARTS = 16
# A dotted key of more parts. The cost of tomllib grows with the square of their number: 15 s and 4 GB for 64 kB. The time
# of this search is proportional to the text, because it starts where a part can begin and never backtracks.
_LONG_KEY = re.compile(
    r"""(?<![\w"'\\-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){16}""",  # MAX_KEY_PARTS
    re.ASCII,
)
_MOST_TOLD = 4  # complaints about one file
_UNKNOWN_KEY = "extra_forbidden"  # as pydantic calls it
M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path, kind: type[M], *, missing: str, error_type: type[RanloopError]) -> M:
    """Read and check one file.

    Args:
        path: The file.
        kind: The model that the file has to fit.
        missing: Text of the error if there is no such file.
        error_type: Type of the error.

    Raises:
        RanloopError: As `error_type`: the file is missing, too large, too deep, not TOML or not a `kind`; one line with
            the paths of the fields.
    """
    content = toml_bytes(path, missing=missing, error_type=error_type)
    return parse_toml(content, path, kind, error_type=error_type)


def toml_bytes(path: Path, *, missing: str, error_type: type[RanloopError]) -> bytes:
    """The bytes of a file, for `parse_toml`: where a hash is to be that of the very bytes that are read.

    Raises:
        RanloopError: As `error_type`: the file is missing, too large, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise error_type(missing) from None
    except OSError as error:
        raise error_type(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise error_type(f"{str(path)!r} cannot be read: {error}") from error
    if len(content) > MAX_BYTES:
        raise error_type(f"{path} is larger than {MAX_BYTES} bytes")
    return content


def parse_toml(
    content: bytes,
    path: Path,
    kind: type[M],
    *,
    error_type: type[RanloopError],
    also: Mapping[str, Any] | None = None,
) -> M:
    """Check the bytes of a file; `path` is its name in errors, `also` what the caller knows better than the file.

    Raises:
        RanloopError: As `error_type`: they are too deep, not TOML or not a `kind`.
    """
    try:
        text = content.decode()
        if _LONG_KEY.search(text):
            raise error_type(f"{path} has a key of more than {MAX_KEY_PARTS} parts between dots")
        return kind.model_validate(tomllib.loads(text) | dict(also or {}))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise error_type(f"{path} is not TOML: {error}") from error
    except RecursionError:
        raise error_type(f"{path} is nested too deeply") from None
    except ValidationError as error:
        raise error_type(f"{path}: {_problems(error, kind)}") from error


def _problems(error: ValidationError, kind: type[BaseModel]) -> str:
    """The complaints of a pydantic error on one line; unknown keys first, because a misspelt one causes others."""
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != _UNKNOWN_KEY)
    told = [_told(problem, kind) for problem in problems[:_MOST_TOLD]]
    if len(problems) > _MOST_TOLD:
        told.append(f"and {len(problems) - _MOST_TOLD} more")
    return "; ".join(told)


def _told(problem: ErrorDetails, kind: type[BaseModel]) -> str:
    """One complaint: path of the field, its value, and the value that was wanted."""
    field = ".".join(str(part) for part in problem["loc"]) or "document"
    if problem["type"] == _UNKNOWN_KEY:
        *way, key = problem["loc"]
        near = get_close_matches(str(key), _keys_at(kind, way))
        return f"{field}: no such key" + (f" (did you mean {' or '.join(near)}?)" if near else "")
    got = problem["input"]
    shown = "" if isinstance(got, dict | list) else f" (got {got!r})"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _keys_at(kind: type[BaseModel], way: Sequence[int | str]) -> list[str]:
    """The keys of the table at the path `way`; indices and names of entries in the path are skipped."""
    for step in way:
        if step in kind.model_fields:
            kind = next(_models_in(kind.model_fields[str(step)].annotation), kind)
    return list(kind.model_fields)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The models in an annotation such as `tuple[StreamRight, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
