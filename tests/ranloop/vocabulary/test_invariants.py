"""Ranges and invariants, row by row and over a node's whole state."""

from __future__ import annotations

import numpy as np
import pytest

from ranloop.vocabulary import (
    ACTIONS,
    Action,
    Handover,
    SetCellState,
    SetOllaTarget,
    SetSliceQuota,
    SetUeWeight,
    in_range,
    row_invariant,
    state_invariant,
)


def test_a_range_includes_its_ends_and_nothing_beyond() -> None:
    # SetUeWeight takes 0.01 to 100.
    weights = np.array([[0.01], [100], [0.0099], [100.01], [-1]], dtype=np.float32)
    verdict = in_range(SetUeWeight, weights)
    assert verdict.ok.tolist() == [True, True, False, False, False]
    assert "weight 0.01 to 100" in verdict.cause


def test_what_is_no_finite_number_is_outside_every_range() -> None:
    values = np.array([[np.nan], [np.inf], [-np.inf]], dtype=np.float32)
    assert not in_range(SetOllaTarget, values).ok.any()


@pytest.mark.parametrize("kind", [SetCellState, Handover])
def test_a_state_or_cell_between_two_whole_numbers_is_outside(kind: type[Action]) -> None:
    assert in_range(kind, np.array([[2], [2.5]], dtype=np.float32)).ok.tolist() == [True, False]


def test_one_bad_parameter_fails_its_row_only() -> None:
    quota = np.array([[10, 20, 0], [10, 101, 0]], dtype=np.float32)
    assert in_range(SetSliceQuota, quota).ok.tolist() == [True, False]


@pytest.mark.parametrize(
    ("min_pct", "max_pct", "dedicated_pct", "ok"),
    [
        (0, 100, 0, True),  # the default
        (30, 30, 30, True),  # equality is allowed throughout
        (20, 60, 10, True),
        (20, 60, 21, False),  # dedicated > min
        (61, 60, 0, False),  # min > max
        (70, 60, 80, False),  # both
        (np.nan, 100, 0, False),
    ],
)
def test_dedicated_min_and_max_are_in_order(
    min_pct: float, max_pct: float, dedicated_pct: float, ok: bool
) -> None:
    row = np.array([[min_pct, max_pct, dedicated_pct]], dtype=np.float32)
    assert row_invariant(SetSliceQuota, row).ok.tolist() == [ok]


def quota_state(rows: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """(cell, slice, min_pct) rows as the columns of SetSliceQuota, capped at 100 and nothing dedicated."""
    action = SetSliceQuota(
        cell=[r[0] for r in rows],
        slice=[r[1] for r in rows],
        min_pct=[r[2] for r in rows],
        max_pct=100,
        dedicated_pct=0,
    )
    return action.targets(), action.parameters()


def test_minimum_shares_of_a_cell_may_add_up_to_all_of_it() -> None:
    assert state_invariant(SetSliceQuota, *quota_state([(0, 1, 60), (0, 2, 40)])).ok.all()


def test_shares_beyond_the_cell_mark_every_slice_of_that_cell_and_no_other() -> None:
    state = quota_state([(0, 1, 60), (5, 1, 90), (0, 2, 41), (5, 2, 10), (0, 3, 0)])
    verdict = state_invariant(SetSliceQuota, *state)
    assert verdict.ok.tolist() == [False, True, False, True, False]
    assert "more than 100" in verdict.cause


@pytest.mark.parametrize("n_slices", range(1, 65))
def test_equal_shares_rounded_to_float32_still_fit(n_slices: int) -> None:
    state = quota_state([(3, k, 100 / n_slices) for k in range(n_slices)])
    assert state_invariant(SetSliceQuota, *state).ok.all()


def test_the_state_check_agrees_with_adding_up_cell_by_cell() -> None:
    rng = np.random.default_rng(11)
    for _ in range(50):
        cells = rng.integers(0, 6, size=24)
        shares = rng.integers(0, 60, size=24)
        state = quota_state(
            [(int(c), k, float(s)) for k, (c, s) in enumerate(zip(cells, shares, strict=True))]
        )
        expected = [int(shares[cells == c].sum()) <= 100 for c in cells]
        assert state_invariant(SetSliceQuota, *state).ok.tolist() == expected


@pytest.mark.parametrize("kind", ACTIONS.values(), ids=ACTIONS)
def test_nothing_wanted_breaks_nothing(kind: type[Action]) -> None:
    targets = np.empty((0, len(kind.spec.targets)), dtype=np.int32)
    parameters = np.empty((0, len(kind.spec.parameters)), dtype=np.float32)
    assert in_range(kind, parameters).ok.shape == (0,)
    assert row_invariant(kind, parameters).ok.shape == (0,)
    assert state_invariant(kind, targets, parameters).ok.shape == (0,)


@pytest.mark.parametrize("kind", ACTIONS.values(), ids=ACTIONS)
def test_falling_back_to_the_defaults_is_always_allowed(kind: type[Action]) -> None:
    defaults = [p.low if p.default is None else p.default for p in kind.spec.parameters]
    parameters = np.array([defaults] * 3, dtype=np.float32)
    targets = np.array([[k] * len(kind.spec.targets) for k in range(3)], dtype=np.int32)
    assert in_range(kind, parameters).ok.all()
    assert row_invariant(kind, parameters).ok.all()
    assert state_invariant(kind, targets, parameters).ok.all()
