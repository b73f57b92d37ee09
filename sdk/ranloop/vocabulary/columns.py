"""An action as columns: one row per target, one array per id and per parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar, dataclass_transform

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranloop.vocabulary.model import ActionSpec

if TYPE_CHECKING:
    # What a type checker is told about a field of an action: any numbers go in, an array comes out.
    class Ids:
        def __get__(self, action: object, kind: object) -> NDArray[np.int32]: ...
        def __set__(self, action: object, value: ArrayLike) -> None: ...

    class Values:
        def __get__(self, action: object, kind: object) -> NDArray[np.float32]: ...
        def __set__(self, action: object, value: ArrayLike) -> None: ...
else:
    Ids = NDArray[np.int32]
    Values = NDArray[np.float32]


ActionT = TypeVar("ActionT", bound="Action")


@dataclass_transform(kw_only_default=True, eq_default=False, frozen_default=True)
def action(cls: type[ActionT]) -> type[ActionT]:
    """Make a catalogue entry a frozen dataclass with slots and keyword arguments only.

    A decorator of our own because type checkers honour `Ids` and `Values` (what goes in is not what comes
    out) behind `dataclass_transform`, and do not behind `dataclass` itself.
    """
    return dataclass(frozen=True, slots=True, kw_only=True, eq=False)(cls)


class Action:
    """What an xApp wants of n targets: the parent of every entry of the action catalogue.

    Fields are given as numbers or as sequences of n numbers; a single number stands for all n targets.
    They become read-only copies: int32 [n] for the ids that name a target, float32 [n] for parameters.
    Ranges and invariants are not checked here but in the guard, which answers each target with a cause.

    Raises:
        ValueError: lengths differ, a field has more than one dimension, or an id is no 32-bit whole number.
    """

    __slots__ = ()
    spec: ClassVar[ActionSpec]

    def __post_init__(self) -> None:
        spec = self.spec
        self._fill([getattr(self, name) for name in spec.targets + spec.parameter_names])

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

    def targets(self) -> NDArray[np.int32]:
        """The ids that name each target, [n, n_keys] in the order of `spec.targets`."""
        columns: list[NDArray[np.int32]] = [getattr(self, name) for name in self.spec.targets]
        return np.column_stack(columns)

    def parameters(self) -> NDArray[np.float32]:
        """What is wanted of each target, [n, n_params] in the order of `spec.parameters`."""
        columns: list[NDArray[np.float32]] = [getattr(self, name) for name in self.spec.parameter_names]
        return np.column_stack(columns)

    def __len__(self) -> int:
        """Count the targets."""
        column: NDArray[np.int32] = getattr(self, self.spec.targets[0])
        return len(column)

    def __eq__(self, other: object) -> bool:
        """Tell whether both want the same of the same targets in the same order (NaN equals NaN)."""
        if type(self) is not type(other) or not isinstance(other, Action):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True)
            for name in self._field_names()
        )

    __hash__ = None  # type: ignore[assignment]  # because arrays do not hash, and object's __hash__ is typed

    @classmethod
    def _field_names(cls) -> tuple[str, ...]:
        return cls.spec.targets + cls.spec.parameter_names

    def _fill(self, given: Sequence[ArrayLike]) -> None:
        """Set the fields, targets first, to read-only arrays of one length."""
        names, n_keys = self._field_names(), len(self.spec.targets)
        columns = [
            _ids(name, value) if k < n_keys else np.array(value, dtype=np.float32)
            for k, (name, value) in enumerate(zip(names, given, strict=True))
        ]
        shape = _common_shape(self.spec.name, names, columns)
        for name, column in zip(names, columns, strict=True):
            filled = column if column.ndim else np.full(shape, column, dtype=column.dtype)
            filled.flags.writeable = False
            object.__setattr__(self, name, filled)  # frozen: what dataclass's own __init__ does


def _common_shape(
    action_name: str, names: Sequence[str], columns: Sequence[NDArray[np.int32] | NDArray[np.float32]]
) -> tuple[int]:
    shape: tuple[int, ...] | None = None
    for column in columns:
        if column.ndim and (column.ndim > 1 or column.shape != (shape or column.shape)):
            got = ", ".join(
                f"{n} {list(c.shape) if c.ndim else '1'}" for n, c in zip(names, columns, strict=True)
            )
            raise ValueError(f"{action_name}: got {got}; want one length for all, or single numbers")
        if column.ndim:
            shape = column.shape
    return (1,) if shape is None else (shape[0],)


def _ids(name: str, value: ArrayLike) -> NDArray[np.int32]:
    given = np.asarray(value)
    if given.size == 0:
        return np.empty(given.shape, dtype=np.int32)  # an empty list arrives as float64
    if given.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {given.dtype}, want whole numbers: the ids that a report carries")
    ids = given.astype(np.int32)
    if given.dtype.itemsize >= 4 and given.dtype != ids.dtype and not np.array_equal(ids, given):
        raise ValueError(f"{name} holds an id that does not fit 32 bits")
    return ids
