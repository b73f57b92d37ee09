"""What an xApp keeps beyond its own end: a mapping of names to JSON values and arrays, bounded, and plain to write down.

No file here: `state_file` reads and writes it.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
import orjson

__all__ = ("MAX_BYTES", "MAX_NAMES", "State")

MAX_NAMES = 1024
MAX_BYTES = 1 << 20  # of all names and values together, written down
_MOST_CHARACTERS = 128  # of a name
_DEEPEST = 16  # lists in lists
_KINDS = "biuf"  # of an array: truth values, whole and floating-point numbers
_FORMAT = 1


class State(MutableMapping[str, Any]):
    """Names and their values: None, numbers, text, lists, dictionaries with text as keys, or NumPy arrays of numbers.

    A value is copied when it is set. A list or an array that is changed in place is kept as it then is.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._total = 0
        self.update(values or {})

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Keep a value.

        Raises:
            TypeError: It is nothing that can be written down; the text has the place in it.
            ValueError: It is too large, or there are too many names.
        """
        if not (isinstance(name, str) and 0 < len(name) <= _MOST_CHARACTERS):
            raise TypeError(
                f"a name in app.state is text of 1 to {_MOST_CHARACTERS} characters, not {name!r}"
            )
        kept = _plain(value, f"app.state[{name!r}]")
        size = len(name) + _n_bytes(kept)
        total = self._total + size - self._sizes.get(name, 0)
        if total > MAX_BYTES:
            raise ValueError(
                f"app.state[{name!r}] makes app.state {total} bytes; at most {MAX_BYTES} are kept"
            )
        if name not in self._values and len(self._values) >= MAX_NAMES:
            raise ValueError(f"app.state[{name!r}] is one name too many; at most {MAX_NAMES} are kept")
        self._values[name], self._sizes[name], self._total = kept, size, total

    def __delitem__(self, name: str) -> None:
        del self._values[name]
        self._total -= self._sizes.pop(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"State({self._values!r})"

    def to_bytes(self) -> bytes:
        """The state written down, as one line of JSON.

        Raises:
            TypeError, ValueError: A value was changed in place into what cannot be kept, or into more than fits.
        """
        plain = {name: _plain(value, f"app.state[{name!r}]") for name, value in self._values.items()}
        arrays = {name: value for name, value in plain.items() if isinstance(value, np.ndarray)}
        document = {
            "format": _FORMAT,
            "values": {name: value for name, value in plain.items() if name not in arrays},
            "arrays": {name: _written(array) for name, array in arrays.items()},
        }
        written = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        if len(written) > 2 * MAX_BYTES:  # changed in place: `__setitem__` keeps below half of this
            raise ValueError(f"app.state takes {len(written)} bytes; about {MAX_BYTES} are kept")
        return written

    @classmethod
    def from_bytes(cls, written: bytes) -> State:
        """The state that `to_bytes` wrote down.

        Raises:
            ValueError: The bytes are no such state; one line.
        """
        try:
            document = orjson.loads(written)
            if document["format"] != _FORMAT:
                raise ValueError(f"its format is {document['format']!r}, want {_FORMAT}")
            return cls(document["values"] | {name: _read(*of) for name, of in document["arrays"].items()})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no state of an xApp: {error}") from error


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy of a value in plain types; arrays stand alone, not in lists."""
    match value:
        case None | bool() | str():
            return value
        case int() if -(1 << 63) <= value < 1 << 63:
            return value
        case float() if math.isfinite(value):
            return value
        case np.ndarray() if depth == 0 and value.dtype.kind in _KINDS:
            return np.array(value, order="C")
        case np.generic() if value.dtype.kind in _KINDS:
            return _plain(value.item(), where, depth)
        case list() | tuple() if depth < _DEEPEST:
            return [_plain(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
        case Mapping() if depth < _DEEPEST and all(isinstance(key, str) for key in value):
            return {str(key): _plain(item, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    wanted = "None, finite numbers, text, lists, dictionaries with text as keys, or an array of numbers"
    raise TypeError(f"{where} is {_short(value)}; app.state keeps {wanted}")


def _short(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value!r:.40}"
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _n_bytes(plain: Any) -> int:
    return 4 * plain.nbytes // 3 if isinstance(plain, np.ndarray) else len(orjson.dumps(plain))


def _written(array: np.ndarray[Any, Any]) -> list[Any]:
    """Type, shape, and the bytes in base64."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return [little.dtype.str, list(array.shape), b64encode(little.tobytes()).decode()]


def _read(kind: str, shape: list[int], text: str) -> np.ndarray[Any, Any]:
    dtype = np.dtype(kind)
    if dtype.kind not in _KINDS:
        raise ValueError(f"it has an array of {dtype}")
    return np.frombuffer(b64decode(text, validate=True), dtype).reshape(shape)
