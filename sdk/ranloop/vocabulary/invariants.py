"""The specification's rules for settings: pure, vectorised checks that a guard calls.

There are three checks, each with a verdict per row and one cause text for the rows that fail: every value is in its range,
the values of a row agree, the whole state of a node agrees.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop.vocabulary.actions import ACTIONS, SetSliceQuota
from ranloop.vocabulary.columns import Action
from ranloop.vocabulary.model import ActionSpec

# Parameters are float32: three slices of 33.3333 % each must not fail on the last bit.
_PCT_TOLERANCE = 1e-3


class Verdict(NamedTuple):
    """The rows that hold, and the reason why the others do not."""

    ok: NDArray[np.bool_]  # [n]
    cause: str  # one line, true of every row that is not ok


class _Ranges(NamedTuple):
    low: NDArray[np.float32]  # [n_params]
    high: NDArray[np.float32]  # [n_params]
    whole: NDArray[np.bool_] | None  # [n_params]; None where no parameter is a whole number
    cause: str


def _ranges(spec: ActionSpec) -> _Ranges:
    columns = spec.parameters
    whole = np.array([column.integer for column in columns])
    takes = ", ".join(
        f"{c.name} {c.low:g} to {c.high:g} {c.unit}{' (whole numbers)' if c.integer else ''}" for c in columns
    )
    return _Ranges(
        low=np.array([column.low for column in columns], dtype=np.float32),
        high=np.array([column.high for column in columns], dtype=np.float32),
        whole=whole if whole.any() else None,
        cause=f"outside the range: {spec.name} takes {takes}",
    )


# Worked out once: it would be most of a check's time.
_RANGES: dict[type[Action], _Ranges] = {kind: _ranges(kind.spec) for kind in ACTIONS.values()}


def in_range(action_type: type[Action], parameters: NDArray[np.float32]) -> Verdict:
    """Check `parameters` [n, n_params] against the catalogue's ranges; NaN and infinities are outside."""
    ranges = _RANGES[action_type]
    ok = (parameters >= ranges.low) & (parameters <= ranges.high)
    if ranges.whole is not None:
        ok &= ~ranges.whole | (np.trunc(parameters) == parameters)
    return Verdict(np.asarray(ok.all(axis=1)), ranges.cause)


def row_invariant(action_type: type[Action], parameters: NDArray[np.float32]) -> Verdict:
    """Check the rules inside one row of `parameters` [n, n_params].

    SetSliceQuota: dedicated <= min <= max (TS 28.541 4.3.36, RRMPolicyRatio). Others have no such rule.
    """
    if action_type is not SetSliceQuota:
        return Verdict(np.ones(len(parameters), dtype=np.bool_), "")
    minimum, maximum, dedicated = parameters.T
    return Verdict(
        (dedicated <= minimum) & (minimum <= maximum),
        "a slice quota needs dedicated_pct <= min_pct <= max_pct (TS 28.541 4.3.36)",
    )


def joins_targets(action_type: type[Action]) -> bool:
    """Whether `state_invariant` has a rule for this action: settings of different targets must agree."""
    return action_type is SetSliceQuota


def state_invariant(
    action_type: type[Action], targets: NDArray[np.int32], parameters: NDArray[np.float32]
) -> Verdict:
    """Check the rules across the rows of a node's state after a change.

    SetSliceQuota: the sum of min_pct over the slices of a cell <= 100 (TS 28.541 4.3.36). Every slice of a cell that breaks
    the rule is marked, and the guard decides which of them to refuse. Other actions have no such rule.

    Args:
        action_type: Type of the setting.
        targets: The targets of the whole state, each once, [n, n_keys].
        parameters: The values they would hold, [n, n_params].
    """
    if action_type is not SetSliceQuota or len(targets) == 0:
        return Verdict(np.ones(len(targets), dtype=np.bool_), "")
    _, cell_of_row = np.unique(targets[:, 0], return_inverse=True)
    guaranteed_pct = np.bincount(cell_of_row, weights=parameters[:, 0])  # [n_cell]
    return Verdict(
        guaranteed_pct[cell_of_row] <= 100 + _PCT_TOLERANCE,
        "the min_pct of a cell's slices add up to more than 100 (TS 28.541 4.3.36)",
    )
