"""What a decoder remembers of targets that come again: it saves work and changes nothing."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from ranloop.errors import WireError
from ranloop.vocabulary import Action, SetCellOffset, SetClassWeight, SetUeWeight
from ranloop.wire import ActionBatch, Cause, Result, Status
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


def test_targets_that_come_again_come_with_the_values_of_their_own_message() -> None:
    for ue, weight in (([3, 5], [1, 2]), ([3, 5], [4, 8]), ([5, 3], [1, 2]), ([3, 5], [1, 2])):
        action = SetUeWeight(ue=ue, weight=weight)
        assert decoded(action) == action


def test_the_same_bytes_mean_other_targets_where_a_target_has_two_ids() -> None:
    """Cells 1, 2, 3, 4 have the bytes of the pairs (1, 2), (3, 4)."""
    cells = SetCellOffset(cell=[1, 2, 3, 4], cio_db=0)
    pairs = SetClassWeight(cell=[1, 3], five_qi=[2, 4], weight=1)
    for action in (cells, pairs, cells):
        assert decode_action_batch(encode(batch(action))).action == action


def test_what_is_remembered_of_targets_stays_small() -> None:
    """2000 batches of 2000 UEs, no two alike, are 32 MB of ids: a memory without a bound would hold them all."""
    ues = np.arange(2000)
    tracemalloc.start()
    for first in range(2000):
        decode_action_batch(encode(batch(SetUeWeight(ue=ues + first, weight=1))))
        decode_result(encode(result(Status.APPLIED, targets=(first, first + 1))))
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept_bytes < 4 << 20


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
