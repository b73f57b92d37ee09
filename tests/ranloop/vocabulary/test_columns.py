"""Actions hold columns: what goes in, what comes out, what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ranloop.vocabulary import ACTIONS, Action, SetClassWeight, SetSliceQuota, SetTxPower, SetUeWeight


def test_numbers_become_typed_columns_in_the_order_of_the_spec() -> None:
    quota = SetSliceQuota(
        cell=[0, 1], slice=(2, 3), min_pct=[10, 20], max_pct=[50.5, 60], dedicated_pct=[0, 5]
    )
    assert quota.targets().dtype == np.int32
    assert quota.targets().tolist() == [[0, 2], [1, 3]]
    assert quota.parameters().dtype == np.float32
    assert quota.parameters().tolist() == [[10, 50.5, 0], [20, 60, 5]]
    assert len(quota) == 2


def test_a_single_number_stands_for_all_targets() -> None:
    weights = SetClassWeight(cell=7, five_qi=[1, 2, 9], weight=np.float64(1.5))
    assert weights.cell.tolist() == [7, 7, 7]
    assert weights.weight.tolist() == [1.5, 1.5, 1.5]


def test_only_single_numbers_make_one_target() -> None:
    assert SetTxPower(cell=4, tx_power_dbm=40).targets().tolist() == [[4]]


def test_no_target_is_an_action_of_length_zero() -> None:
    nothing = SetUeWeight(ue=[], weight=2.0)
    assert len(nothing) == 0
    assert nothing.targets().shape == (0, 1)
    assert nothing.parameters().shape == (0, 1)


def test_different_lengths_are_refused_by_field_name() -> None:
    with pytest.raises(ValueError, match=r"SetUeWeight: got ue \[2\], weight \[3\]"):
        SetUeWeight(ue=[1, 2], weight=[1, 1, 1])


def test_a_column_of_one_is_not_a_single_number() -> None:
    # A list of one beside a list of two is a slip of the policy, not a wish for both.
    with pytest.raises(ValueError, match=r"ue \[2\], weight \[1\]"):
        SetUeWeight(ue=[1, 2], weight=[3])


def test_a_table_is_not_a_column() -> None:
    with pytest.raises(ValueError, match=r"ue \[1, 2\]"):
        SetUeWeight(ue=[[1, 2]], weight=1)


@pytest.mark.parametrize("ue", [[1.0, 2.5], 1.0, ["ue-1"], [True], 2**31, [2**31], [-(2**31) - 1], [2**63]])
def test_an_id_that_is_no_32_bit_whole_number_is_refused(ue: object) -> None:
    with pytest.raises(ValueError, match="ue holds"):
        SetUeWeight(ue=ue, weight=1)  # type: ignore[arg-type]  # because the wrong type is the point


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_ids_of_any_whole_number_type_are_taken(dtype: type[np.integer]) -> None:
    assert SetUeWeight(ue=np.array([0, 127], dtype=dtype), weight=1).ue.tolist() == [0, 127]


@pytest.mark.parametrize("ue", [2**31 - 1, -(2**31)])
def test_the_32_bit_limits_themselves_are_taken(ue: int) -> None:
    assert SetUeWeight(ue=ue, weight=1).ue.tolist() == [ue]
    assert SetUeWeight(ue=[ue], weight=1).ue.tolist() == [ue]


def test_a_parameter_that_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="weight holds something that is no number"):
        SetUeWeight(ue=1, weight="heavy")


def test_an_action_keeps_its_values_when_the_policy_reuses_its_arrays() -> None:
    ue, weight = np.array([1, 2], dtype=np.int32), np.array([3, 4], dtype=np.float32)
    action = SetUeWeight(ue=ue, weight=weight)
    ue[0], weight[0] = 9, 9
    assert action.ue.tolist() == [1, 2]
    assert action.weight.tolist() == [3, 4]


def test_an_action_cannot_be_changed() -> None:
    action = SetUeWeight(ue=[1], weight=[2])
    with pytest.raises(ValueError, match="read-only"):
        action.weight[0] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        action.weight = np.zeros(1, dtype=np.float32)  # type: ignore[misc]  # because the wrong use is the point


def test_equal_wishes_are_equal() -> None:
    assert SetUeWeight(ue=[1, 2], weight=[3, 3]) == SetUeWeight(ue=(1, 2), weight=3)
    assert SetUeWeight(ue=[1, 2], weight=3) != SetUeWeight(ue=[2, 1], weight=3)
    assert SetUeWeight(ue=1, weight=np.nan) == SetUeWeight(ue=1, weight=np.nan)
    assert SetUeWeight(ue=1, weight=40) != SetTxPower(cell=1, tx_power_dbm=40)


@pytest.mark.parametrize("kind", ACTIONS.values(), ids=ACTIONS)
def test_columns_survive_the_way_there_and_back(kind: type[Action]) -> None:
    rng = np.random.default_rng(5)
    targets = rng.integers(0, 1000, size=(17, len(kind.spec.targets)), dtype=np.int32)
    parameters = rng.uniform(-50, 50, size=(17, len(kind.spec.parameters))).astype(np.float32)
    action = kind.from_columns(targets, parameters)
    assert type(action) is kind
    np.testing.assert_array_equal(action.targets(), targets)
    np.testing.assert_array_equal(action.parameters(), parameters)
    np.testing.assert_array_equal(action.table(), np.hstack([targets, parameters]))
    assert kind.from_columns(action.targets(), action.parameters()) == action


@pytest.mark.parametrize(
    ("targets", "parameters"),
    [
        ([[1]], [[1.0, 2.0]]),  # a parameter too many
        ([[1, 2]], [[1.0]]),  # an id too many
        ([[1], [2]], [[1.0]]),  # a row too few
        ([1], [1.0]),  # columns without a table
        (1, 1.0),
    ],
)
def test_tables_of_the_wrong_shape_are_refused(targets: object, parameters: object) -> None:
    with pytest.raises(ValueError, match=r"want \[n, 1\] and \[n, 1\]"):
        SetUeWeight.from_columns(targets, parameters)  # type: ignore[arg-type]  # because any table may come


def test_an_action_does_not_hash() -> None:
    # Its equality looks at arrays; as a key of a dict it would be a slow surprise.
    with pytest.raises(TypeError, match="unhashable"):
        hash(SetUeWeight(ue=1, weight=1))
