"""How long a batch may look ahead: the xApp's own periods say it, or the operator."""

from __future__ import annotations

import pytest

from ranloop.guard import ActionRight, AuditLog, Guard, Rights, StreamRight
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import ActionBatch, Cause
from tests.ranloop.guard.one_site import DELAY_NS, MS, NODE, SLOT_NS, BatchFactory

S = 1_000  # ms


def guard_for(*, stream_ms: int = 100, every_ms: int | None = None, max_lease_ms: int | None = None) -> Guard:
    rights = Rights(
        streams=(StreamRight(level="ue", every_ms=stream_ms, measurements=("DRB.UEThpDl",)),),
        actions=(ActionRight(name="SetUeWeight", every_ms=every_ms),),
    )
    guard = Guard(
        NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog(), max_lease_ms=max_lease_ms
    )
    guard.register("a", rights)
    return guard


def lapse_ms(guard: Guard, batch: ActionBatch) -> float | None:
    """When the setting of `batch` lapses, in ms after it took effect; None if it was refused."""
    result = guard.submit(batch, sender="a", now_ns=0)
    if result is not None:
        assert result.causes[1][0] is Cause.RANGE
        return None
    (change,) = guard.due(DELAY_NS)
    guard.settle(change, change.action.parameters(), DELAY_NS)
    return (guard.next_event_ns() - DELAY_NS) / MS


@pytest.mark.parametrize(
    ("stream_ms", "every_ms", "max_lease_ms", "lease_ms", "held_ms"),
    [
        (100, None, None, None, 300),  # three periods of the stream
        (100, None, None, 60 * S, 60 * S),  # a minute is granted to all
        (100, None, None, 60 * S + 1, None),
        (60 * S, None, None, None, 180 * S),  # a slow stream: three periods, stated or not
        (60 * S, None, None, 180 * S, 180 * S),
        (60 * S, None, None, 180 * S + 1, None),
        (100, 30 * S, None, None, 90 * S),  # a timer of 30 s, as the manifest says
        (100, 30 * S, None, 90 * S, 90 * S),
        (100, None, None, 90 * S, None),
        (60 * S, None, 100 * S, None, None),  # the operator's word binds stated and omitted leases alike
        (60 * S, None, 100 * S, 101 * S, None),
        (60 * S, None, 100 * S, 100 * S, 100 * S),
    ],
)
def test_a_lease_lasts_at_most_a_minute_or_three_periods_or_what_the_operator_says(
    batch: BatchFactory,
    stream_ms: int,
    every_ms: int | None,
    max_lease_ms: int | None,
    lease_ms: int | None,
    held_ms: int | None,
) -> None:
    guard = guard_for(stream_ms=stream_ms, every_ms=every_ms, max_lease_ms=max_lease_ms)
    weights = batch(SetUeWeight(ue=[4], weight=2), lease_ms=lease_ms)
    assert lapse_ms(guard, weights) == held_ms


def test_a_batch_of_a_slow_stream_may_be_valid_for_two_of_its_periods(batch: BatchFactory) -> None:
    late = batch(SetUeWeight(ue=[4], weight=2), valid_until_ns=120 * S * MS)
    assert guard_for(stream_ms=60 * S).submit(late, sender="a", now_ns=0) is None
    result = guard_for().submit(late, sender="a", now_ns=0)
    assert result is not None
    assert result.causes[1][1].startswith("valid_until lies 120000 ms ahead; at most 60000 ms")


def test_the_refusal_of_a_lease_says_where_a_timer_is_stated(batch: BatchFactory) -> None:
    result = guard_for().submit(batch(SetUeWeight(ue=[4], weight=2), lease_ms=90 * S), sender="a", now_ns=0)
    assert result is not None
    assert result.causes[1][1] == (
        "a lease of 90000 ms; at most 60000 ms, a minute or three of its periods unless the operator says otherwise. "
        "The manifest states the period of a timer as `every_ms`"
    )
