"""Batches that come too late, or from another run of the host."""

from __future__ import annotations

from ranloop.guard import ActionRight, AuditLog, Guard, Rights
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import Cause, Status
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, MS, NODE, SLOT_NS, BatchFactory


def guard_of(run: str, rights: Rights = EVERYTHING) -> Guard:
    guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog(), run=run)
    guard.register("a", rights)
    return guard


def test_a_batch_of_another_run_is_expired_in_the_same_words_at_each_start(batch: BatchFactory) -> None:
    guard = guard_of("second")
    weights = SetUeWeight(ue=[4], weight=2)
    result = guard.submit(batch(weights, run="first"), sender="a", now_ns=0)
    assert result is not None
    assert result.status.tolist() == [Status.EXPIRED]
    # No name of a run: it is another text at each start, and results of one seed are the same.
    assert result.causes[1] == (
        Cause.STALE,
        "decided for another run of the host; RAN time has begun again since",
    )
    assert guard.submit(batch(weights, run="second"), sender="a", now_ns=0) is None


def test_a_batch_that_names_no_run_is_expired_where_the_host_has_one(batch: BatchFactory) -> None:
    result = guard_of("second").submit(batch(SetUeWeight(ue=[4], weight=2)), sender="a", now_ns=0)
    assert result is not None
    assert result.causes[1][0] is Cause.STALE


def test_a_guard_without_a_run_takes_batches_of_any(batch: BatchFactory) -> None:
    assert guard_of("").submit(batch(SetUeWeight(ue=[4], weight=2), run="x"), sender="a", now_ns=0) is None


def test_a_backlog_that_comes_after_a_stall_expires_and_costs_no_rate(batch: BatchFactory) -> None:
    """20 batches a second for 25 s arrive at once; the manifest allows 2 a second."""
    guard = guard_of("", Rights(actions=(ActionRight(name="SetUeWeight", rate_per_s=2),)))
    now_ns = 30_000 * MS
    for k in range(500):
        late = batch(SetUeWeight(ue=[4], weight=2), valid_until_ns=(k * 50 + 200) * MS)
        result = guard.submit(late, sender="a", now_ns=now_ns)
        assert result is not None
        assert result.status.tolist() == [Status.EXPIRED]
    fresh = batch(SetUeWeight(ue=[4], weight=2), valid_until_ns=now_ns + 200 * MS)
    assert guard.submit(fresh, sender="a", now_ns=now_ns) is None
