"""The final summaries of xApps in a form that JSON can carry: a NumPy value becomes a number, NaN becomes null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ("plain_summaries",)

_DEEPEST = 64


def plain_summaries(told: Mapping[str, object]) -> tuple[dict[str, Any], list[str]]:
    """The result of each xApp's `@app.summary` function. A result without a JSON form is None, with a complaint."""
    summaries: dict[str, Any] = {}
    complaints = []
    for xapp, found in told.items():
        try:
            summaries[xapp] = _table(found, "")
        except TypeError as error:
            summaries[xapp] = None
            complaints.append(f"{xapp}: its @app.summary function returned {error}")
    return summaries, complaints


def _table(value: object, where: str, depth: int = 0) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{type(value).__name__}, want a dict")
    return {
        _key(key, where): _plain(found, f"{where}.{key}".lstrip("."), depth) for key, found in value.items()
    }


def _key(key: object, where: str) -> str | int | float | None:
    key = key.item() if isinstance(key, np.generic) else key
    if key is None or isinstance(key, str | int | float):
        return key
    raise TypeError(f"the key {key!r}{f' in {where}' if where else ''}, want text or a number")


def _plain(value: object, where: str, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise TypeError(f"something that is more than {_DEEPEST} levels deep, as what contains itself is")
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return _table(value, where, depth + 1)
        case list() | tuple():
            return [_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
        case np.ndarray():
            return _plain(value.tolist(), where, depth)
        case np.floating():
            return _plain(float(value), where)
        case np.generic() if not isinstance(item := value.item(), np.generic):
            return _plain(item, where, depth)
    raise TypeError(
        f"{type(value).__name__} as {where}, which JSON does not have; want numbers, text, lists, dicts"
    )
