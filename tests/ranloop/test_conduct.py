"""What xApps did to settings: changes, reversals within a time, refusals because of another one, and the time until all is back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from ranloop.conduct import Observer, Refusal, Terms
from ranloop.guard import AuditLog, AuditRecord, Guard
from ranloop.vocabulary import Action, SetUeWeight
from ranloop.wire.messages import ActionBatch, Cause, Result, Status
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, NODE, SLOT_NS

SECOND = 1_000_000_000


def seen(*records: AuditRecord, since_s: float = 0.0) -> Observer:
    observer = Observer(Terms(since_s=since_s, reversal_s=2.0))
    for record in records:
        observer.take(record)
    return observer


def told(at_s: float, xapp: str, values: Sequence[float], status: Status = Status.APPLIED) -> AuditRecord:
    """UEs 0, 1, … have these weights from now on."""
    n = len(values)
    result = Result(
        id="1",
        xapp=xapp,
        node="site-1",
        action="SetUeWeight",
        targets=np.arange(n, dtype=np.int32)[:, None],
        status=np.full(n, status, np.uint8),
        cause=np.zeros(n, np.uint8),
        causes=((Cause.NONE, ""),),
        applied=np.array(values, np.float32)[:, None],
        ran_time_ns=round(at_s * SECOND),
    )
    event = "ended" if status is Status.ENDED else "result"
    return AuditRecord(event=event, ran_time_ns=result.ran_time_ns, node="site-1", xapp=xapp, result=result)


def test_a_renewal_is_no_change_and_a_default_is_none_of_a_new_target() -> None:
    conduct = seen(told(1, "a", [4.0, 1.0]), told(1.1, "a", [4.0, 1.0]), told(1.2, "b", [5.0, 1.0])).conduct()
    assert conduct.changes == {"a": 1, "b": 1}
    assert conduct.reversals == ()  # 1 to 4 to 5 goes on in one direction


def test_a_change_back_within_the_time_is_a_reversal_of_the_one_who_turns_back() -> None:
    conduct = seen(
        told(1, "a", [4.0, 4.0, 4.0]),
        told(3, "b", [2.0, 8.0, 4.0]),  # UE 0 falls after 2 s, UE 1 goes on rising
        told(5.1, "a", [4.0, 8.0, 1.0]),  # UE 0 rises after 2.1 s, UE 2 falls after 4.1 s: too late, both
    ).conduct()
    assert conduct.reversals == (("a", "b", 1),)
    assert conduct.changes == {"a": 5, "b": 2}


def test_the_end_of_a_setting_is_a_change_by_the_xapp_that_did_not_renew_it() -> None:
    conduct = seen(told(1, "a", [4.0]), told(2, "a", [1.0], Status.ENDED), told(3, "b", [4.0])).conduct()
    assert conduct.reversals == (("a", "a", 1), ("a", "b", 1))


def test_a_target_that_left_is_forgotten() -> None:
    gone = told(2, "a", [math.nan], Status.ENDED)
    conduct = seen(told(1, "a", [4.0]), gone, told(2.5, "a", [0.5])).conduct()
    assert (conduct.changes, conduct.reversals) == ({"a": 2}, ())  # another UE, that falls from its default


def test_only_what_is_after_the_beginning_counts() -> None:
    conduct = seen(told(1, "a", [4.0]), told(2, "b", [2.0]), since_s=1.5).conduct()
    assert (conduct.changes, conduct.reversals) == ({"b": 1}, (("a", "b", 1),))


@pytest.mark.parametrize(
    ("later", "n_away", "back_s"),
    [
        ([], 2, math.inf),  # UEs 0 and 1; UE 2 has its default
        ([told(3, "a", [1.0], Status.ENDED), told(4.5, "a", [1.0, 1.0])], 2, 2.5),
        ([told(3, "a", [1.0, 1.0], Status.ENDED), told(4.5, "a", [0.5])], 2, math.inf),
        ([told(1.5, "a", [1.0, 1.0], Status.ENDED)], 0, 0.0),  # before counting began
    ],
)
def test_settings_are_back_when_the_last_one_has_its_default_for_good(
    later: list[AuditRecord], n_away: int, back_s: float
) -> None:
    conduct = seen(told(1, "a", [4.0, 0.5, 1.0]), *later, since_s=2.0).conduct()
    assert (conduct.n_away, conduct.back_s) == (n_away, back_s)


def test_a_refusal_names_the_xapp_that_was_in_the_way() -> None:
    """The guard's own words, of a conflict and of a range."""
    observer = seen()
    audit = AuditLog()
    guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=audit)
    for xapp, now_ns in (("first", 0), ("second", 5 * DELAY_NS)):
        guard.register(xapp, EVERYTHING)
        action: Action = SetUeWeight(ue=[3, 4], weight=[2.0, 2.0 if xapp == "first" else 1e6])
        batch = ActionBatch(
            id=xapp,
            xapp=xapp,
            node=NODE.node,
            seq=1,
            action=action,
            valid_until_ns=SECOND,
            lease_ms=300,
        )
        guard.submit(batch, sender=xapp, now_ns=now_ns)
        for change in guard.due(now_ns + 2 * DELAY_NS):
            guard.settle(change, change.action.parameters(), now_ns + 2 * DELAY_NS)
    for record in audit:
        observer.take(record)
    conflict, out_of_range = observer.conduct().refusals
    assert (conflict.xapp, conflict.because_of, conflict.cause, conflict.n) == (
        "second",
        "first",
        "conflict",
        1,
    )
    assert isinstance(out_of_range, Refusal)
    assert (out_of_range.cause, out_of_range.because_of) == ("range", "")
    assert observer.conduct().lease_s == 0.3
