"""What a decoder remembers of targets that come again: it saves work and changes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from ranloop.errors import WireError
from ranloop.vocabulary import Action, SetCellOffset, SetClassWeight, SetUeWeight
from ranloop.wire import ActionBatch, Cause, Result, Status, actions
from ranloop.wire.codec import decode_action_batch, decode_result, encode


def batch(action: Action) -> ActionBatch:
    return ActionBatch(id="a-1", xapp="a", node="n", seq=1, action=action, valid_until_ns=1, lease_ms=300)


def result(status: int, causes: int = 1, cause: int = 0, targets: tuple[int, int] = (3, 5)) -> Result:
    return Result(
        id="a-1",
        xapp="a",
        node="n",
        action="SetUeWeight",
        targets=np.array(targets, np.int32)[:, None],
        status=np.full(2, status, np.uint8),
        cause=np.full(2, cause, np.uint8),
        causes=((Cause.NONE, ""), (Cause.RANGE, "too much"))[:causes],
        applied=np.ones((2, 1), np.float32),
        ran_time_ns=1,
    )


def decoded(action: SetUeWeight) -> SetUeWeight:
    """`action` as it comes out of a message."""
    found = decode_action_batch(encode(batch(action))).action
    assert isinstance(found, SetUeWeight)
    return found


def test_targets_that_come_again_are_the_same_array_and_values_are_not() -> None:
    first = decoded(SetUeWeight(ue=[3, 5], weight=[1, 2]))
    again = decoded(SetUeWeight(ue=[3, 5], weight=[4, 8]))
    other = decoded(SetUeWeight(ue=[5, 3], weight=[1, 2]))
    assert again.ue is first.ue
    assert other.ue is not first.ue
    assert first == SetUeWeight(ue=[3, 5], weight=[1, 2])
    assert again == SetUeWeight(ue=[3, 5], weight=[4, 8])
    assert other == SetUeWeight(ue=[5, 3], weight=[1, 2])


def test_the_same_bytes_mean_other_targets_where_a_target_has_two_ids() -> None:
    """Cells 1, 2, 3, 4 have the bytes of the pairs (1, 2), (3, 4)."""
    cells = SetCellOffset(cell=[1, 2, 3, 4], cio_db=0)
    pairs = SetClassWeight(cell=[1, 3], five_qi=[2, 4], weight=1)
    for action in (cells, pairs, cells):
        assert decode_action_batch(encode(batch(action))).action == action


def decoded_ues(*ues: int) -> NDArray[np.int32]:
    action = decode_action_batch(encode(batch(SetUeWeight(ue=ues, weight=1)))).action
    assert isinstance(action, SetUeWeight)
    return action.ue


def test_targets_that_were_named_long_ago_are_forgotten() -> None:
    first = decoded_ues(1, 2)
    for ue in range(100, 100 + actions._BLOCKS_KEPT):
        decoded_ues(ue)
    assert decoded_ues(1, 2) is not first
    for ue in range(1000):
        decoded_ues(ue)
        decode_result(encode(result(Status.APPLIED, targets=(ue, ue + 1))))
    assert len(actions._known_targets) <= actions._BLOCKS_KEPT
    assert len(actions._known_fates) <= actions._BLOCKS_KEPT


def test_the_targets_of_a_large_batch_are_not_remembered() -> None:
    most = actions._BYTES_KEPT // 4  # four bytes an id
    assert decoded_ues(*range(most)) is decoded_ues(*range(most))
    assert decoded_ues(*range(most + 1)) is not decoded_ues(*range(most + 1))


def test_nobody_can_change_what_is_remembered() -> None:
    action = decoded(SetUeWeight(ue=[3, 5], weight=[1, 2]))
    answer = decode_result(encode(result(Status.APPLIED)))
    for column in (action.ue, action.weight, answer.targets, answer.status, answer.cause):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 7


def test_a_cause_that_was_fine_in_one_result_is_refused_where_it_has_no_text() -> None:
    good = encode(result(Status.REFUSED, causes=2, cause=1))
    assert decode_result(good).cause.tolist() == [1, 1]
    header, block = good.split(b"\n", 1)
    spoilt = json.dumps(json.loads(header) | {"causes": [["none", ""]]}).encode()
    with pytest.raises(WireError, match="cause: 1 is not below 1"):
        decode_result(spoilt + b"\n" + block)


def test_results_that_differ_in_status_alone_are_told_apart() -> None:
    for status in (Status.APPLIED, Status.EXPIRED, Status.APPLIED):
        assert decode_result(encode(result(status))).count(status) == 2


def test_an_id_that_is_none_is_refused_each_time() -> None:
    payload = bytearray(encode(batch(SetUeWeight(ue=[3, 5], weight=[1, 2]))))
    payload[-16:-12] = np.float32(0.5).tobytes()
    for _ in range(2):
        with pytest.raises(WireError, match="whole number"):
            decode_action_batch(bytes(payload))
