"""Checks of arguments from Python: a wrong one is refused in one line.

All raise `ValueError`.
"""

from __future__ import annotations

import operator
from typing import Any, cast

import numpy as np

from ran_sim.core.state import I64


def whole(what: str, value: object) -> int:
    """`value` if it is an integer of any kind; 0.7 is not cell 0."""
    try:
        return operator.index(cast(Any, value))
    except TypeError:
        raise ValueError(f"{what} {value}: want a whole number") from None


def wholes(what: str, values: object) -> I64:
    """`values` as an array if all are integers."""
    array = np.asarray(values)
    check(array.dtype.kind in "iu" or array.size == 0, what, values, "whole numbers")
    return array.astype(np.int64)


def check(fine: bool | np.bool_, what: str, got: object, want: str) -> None:
    """Refuse what was `got` for `what`, unless it is fine."""
    if not fine:
        raise ValueError(f"{what} {got}: want {want}")
