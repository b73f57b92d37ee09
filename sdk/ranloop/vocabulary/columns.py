"""An action as columns: one row per target, one array per id and per parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar, dataclass_transform

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranloop.vocabulary.model import ActionSpec

if TYPE_CHECKING:
    # A type checker reads this about a field of an action: any numbers go in, an array comes out.
    class Ids:
        def __get__(self, action: object, kind: object) -> NDArray[np.int32]: ...
        def __set__(self, action: object, value: ArrayLike) -> None: ...

    class Values:
        def __get__(self, action: object, kind: object) -> NDArray[np.float32]: ...
        def __set__(self, action: object, value: ArrayLike) -> None: ...
else:
    Ids = NDArray[np.int32]
    Values = NDArray[np.float32]


Column = NDArray[np.int32] | NDArray[np.float32]
ActionT = TypeVar("ActionT", bound="Action")
_Number = TypeVar("_Number", np.int32, np.float32)


@dataclass_transform(kw_only_default=True, eq_default=False, frozen_default=True)
def action(cls: type[ActionT]) -> type[ActionT]:
    """Make a catalogue entry a frozen dataclass with slots and keyword arguments only.

    This decorator exists because a field takes other types than it returns (`Ids`, `Values`). Type checkers honour that
    behind `dataclass_transform`, and not behind `dataclass` itself.
    """
    return dataclass(frozen=True, slots=True, kw_only=True, eq=False)(cls)


class Action:
    """A change that an xApp asks for n targets: the parent of every entry of the action catalogue.

    A field is a number or a sequence of n numbers; a single number stands for all n targets. Fields become read-only copies:
    int32 [n] for the ids that name a target, float32 [n] for parameters. The guard checks ranges and invariants, because it
    answers each target with a cause.

    Raises:
        ValueError: Lengths differ, a field has more than one dimension, or an id is not a 32-bit whole number.
    """

    __slots__ = ()
    spec: ClassVar[ActionSpec]
    _fields: ClassVar[tuple[str, ...]]  # targets first, then parameters

    def __init_subclass__(cls) -> None:
        cls._fields = cls.spec.targets + cls.spec.parameter_names

    def __post_init__(self) -> None:
        self._fill([getattr(self, name) for name in self._fields])

    @classmethod
    def from_columns(cls, targets: ArrayLike, parameters: ArrayLike) -> Self:
        """Build the action from `targets` [n, n_keys] and `parameters` [n, n_params], in the order of `spec`."""
        spec = cls.spec
        ids, values = np.asarray(targets), np.asarray(parameters)
        n = ids.shape[0] if ids.ndim else 0
        if ids.shape != (n, len(spec.targets)) or values.shape != (n, len(spec.parameters)):
            raise ValueError(
                f"{spec.name}: got targets {list(ids.shape)} and parameters {list(values.shape)}, "
                f"want [n, {len(spec.targets)}] and [n, {len(spec.parameters)}]"
            )
        built = cls.__new__(cls)
        built._fill([*ids.T, *values.T])
        return built

    @classmethod
    def adopt(cls, columns: Sequence[Column]) -> Self:
        """Build the action from `columns`, targets first, without copies or checks. Decoders call this.

        The columns must be one-dimensional, read-only and of one length: int32 for targets, then float32.
        """
        built = cls.__new__(cls)
        for name, column in zip(cls._fields, columns, strict=True):
            object.__setattr__(built, name, column)
        return built

    def targets(self) -> NDArray[np.int32]:
        """The ids that name each target, [n, n_keys] in the order of `spec.targets`."""
        return self._table(self.spec.targets, np.int32)

    def parameters(self) -> NDArray[np.float32]:
        """The wanted values of each target, [n, n_params] in the order of `spec.parameters`."""
        return self._table(self._fields[len(self.spec.targets) :], np.float32)

    def table(self) -> NDArray[np.float32]:
        """Targets, then parameters, [n, n_keys + n_params]; float32 holds ids below 2**24 exactly."""
        return self._table(self._fields, np.float32)

    def is_sendable(self, above_ids: int) -> bool:
        """Whether all ids lie in [0, `above_ids`) and all parameters are finite."""
        n_keys = len(self.spec.targets)
        for name in self._fields[:n_keys]:
            ids: NDArray[np.int32] = getattr(self, name)
            # As unsigned numbers, negative ids lie above all others.
            if len(ids) and np.maximum.reduce(ids.view(np.uint32)) >= above_ids:
                return False
        return all(0 not in np.isfinite(getattr(self, name)).tobytes() for name in self._fields[n_keys:])

    def __len__(self) -> int:
        """Count the targets."""
        column: NDArray[np.int32] = getattr(self, self.spec.targets[0])
        return len(column)

    def __eq__(self, other: object) -> bool:
        """Tell whether both want the same of the same targets in the same order (NaN equals NaN)."""
        if type(self) is not type(other) or not isinstance(other, Action):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True) for name in self._fields
        )

    def _table(self, names: Sequence[str], kind: type[_Number]) -> NDArray[_Number]:
        """A copy of these fields, side by side; assigning columns is cheaper than `np.column_stack`."""
        table = np.empty((len(self), len(names)), kind)
        for i, name in enumerate(names):
            table[:, i] = getattr(self, name)
        return table

    def _fill_from_columns(self, given: Sequence[ArrayLike], n_keys: int) -> bool:
        """Fill the fields from arrays of one length with ids of a report: the fast path for most handlers."""
        first = given[0]
        shape = first.shape if isinstance(first, np.ndarray) else ()
        if len(shape) != 1:
            return False
        for i, column in enumerate(given):
            if type(column) is not np.ndarray or column.shape != shape:
                return False
            if column.dtype != np.int32 if i < n_keys else column.dtype.kind != "f":
                return False
        for i, (name, column) in enumerate(zip(self._fields, given, strict=True)):
            filled = np.array(column, np.int32 if i < n_keys else np.float32)
            filled.setflags(write=False)
            object.__setattr__(self, name, filled)
        return True

    def _fill(self, given: Sequence[ArrayLike]) -> None:
        """Set the fields, targets first, to read-only arrays of one length."""
        n_keys = len(self.spec.targets)
        if self._fill_from_columns(given, n_keys):
            return
        columns: list[Column] = [
            *map(_ids, self._fields[:n_keys], given[:n_keys]),
            *map(_values, self._fields[n_keys:], given[n_keys:]),
        ]
        shapes = {column.shape for column in columns}
        shapes.discard(())  # a single number fits any length
        shape = shapes.pop() if shapes else (1,)
        if shapes or len(shape) > 1:
            got = ", ".join(f"{name} {list(c.shape)}" for name, c in zip(self._fields, columns, strict=True))
            raise ValueError(
                f"{self.spec.name}: got {got}; want one length for all fields, or single numbers"
            )
        for name, column in zip(self._fields, columns, strict=True):
            filled = column if column.ndim else column.repeat(shape[0])
            filled.setflags(write=False)
            object.__setattr__(self, name, filled)  # frozen: what dataclass's own __init__ does


def _values(name: str, given: ArrayLike) -> NDArray[np.float32]:
    try:
        return np.array(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} holds something that is no number: {error}") from error


def _ids(name: str, given: ArrayLike) -> NDArray[np.int32]:
    if type(given) is int and -(2**31) <= given < 2**31:
        return np.array(given, np.int32)  # the fast path for a single number, such as one cell for all rows
    ids = np.asarray(given)
    if ids.dtype == np.int32:
        return ids.copy()
    if ids.size == 0:
        return np.empty(ids.shape, np.int32)  # an empty list arrives as float64
    if ids.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {ids.dtype}, want whole numbers: the ids that a report carries")
    narrow = ids.astype(np.int32)
    if not (narrow == ids).all():
        raise ValueError(f"{name} holds an id that does not fit 32 bits")
    return narrow
