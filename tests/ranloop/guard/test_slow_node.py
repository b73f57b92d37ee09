"""A node that answers for a change later, or never."""

from __future__ import annotations

import numpy as np
import pytest

from ranloop.guard import AuditLog, Autonomy, Change, Guard
from ranloop.guard.unconfirmed import TRIES
from ranloop.vocabulary import Handover, SetSliceQuota, SetUeWeight
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch, Cause, Result, Status
from tests.ranloop.guard.one_site import DELAY_NS, MS, BatchFactory

# Sent at 0, in force at the control delay, held for 300 ms from then on.
EFFECT_NS = DELAY_NS
LAPSE_NS = EFFECT_NS + 300 * MS
SECOND = 1_000 * MS
LOST = "site-1 did not answer; the values in force are unknown until it is asked again"


def judge(guard: Guard, batch: ActionBatch, now_ns: int = 0) -> Result | None:
    return guard.submit(batch, sender=batch.xapp, now_ns=now_ns)


def hand_over(guard: Guard, now_ns: int) -> Change:
    """The one change that the guard hands to the node now."""
    (change,) = guard.due(now_ns)
    return change


def settle(guard: Guard, change: Change, now_ns: int) -> list[Result]:
    return guard.settle(change, change.action.parameters(), now_ns)


def test_a_guard_hands_out_nothing_while_a_change_is_open(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="first"))
    judge(guard, batch(SetUeWeight(ue=[5], weight=2), id="second"))
    first = hand_over(guard, EFFECT_NS)
    assert list(guard.due(EFFECT_NS + 50 * MS)) == []
    assert guard.next_event_ns() == FOR_EVER_NS
    (result,) = settle(guard, first, EFFECT_NS + 60 * MS)
    assert (result.id, result.ran_time_ns) == ("first", EFFECT_NS + 60 * MS)
    assert guard.next_event_ns() == EFFECT_NS
    second = hand_over(guard, EFFECT_NS + 60 * MS)
    assert second.action == SetUeWeight(ue=[5], weight=2)
    assert (first.number, second.number) == (0, 1)


def test_a_change_is_answered_or_lost_once(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    change = hand_over(guard, EFFECT_NS)
    settle(guard, change, EFFECT_NS)
    with pytest.raises(ValueError, match="change 0 is not open"):
        settle(guard, change, EFFECT_NS)
    with pytest.raises(ValueError, match="change 0 is not open"):
        guard.lose(change, EFFECT_NS)


def test_a_batch_whose_validity_ends_while_the_node_is_busy_expires(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    judge(guard, batch(SetUeWeight(ue=[5], weight=2), id="late", valid_until_ns=EFFECT_NS + 5 * MS))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS + 6 * MS)
    change = hand_over(guard, EFFECT_NS + 6 * MS)
    assert len(change.action) == 0
    (result,) = settle(guard, change, EFFECT_NS + 6 * MS)
    assert (result.id, result.status.tolist()) == ("late", [Status.EXPIRED])
    assert result.causes[1] == (Cause.STALE, "valid until 0.015 s; its turn came at 0.016 s")
    assert guard.held_targets("ue").tolist() == [4, 5]
    assert list(guard.due(EFFECT_NS + 7 * MS)) == []  # the claim on UE 5 is over
    assert guard.held_targets("ue").tolist() == [4]


def test_a_renewal_that_expires_leaves_the_lease_as_it_was(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), valid_until_ns=200 * MS), 150 * MS)
    settle(guard, hand_over(guard, 201 * MS), 201 * MS)
    assert guard.next_event_ns() == LAPSE_NS


def test_the_targets_of_a_lost_change_end_unknown(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=[2, 101])))
    (result,) = guard.lose(hand_over(guard, EFFECT_NS), SECOND)
    assert result.status.tolist() == [Status.UNKNOWN, Status.REFUSED]
    assert result.causes[result.cause[0]] == (Cause.LOST, LOST)
    assert np.isnan(result.applied).all()


def test_a_renewal_after_a_loss_asks_the_node_again_with_the_same_values(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2)), 50 * MS)
    change = hand_over(guard, 60 * MS)
    assert change.action == SetUeWeight(ue=[5], weight=2)
    (result,) = guard.lose(change, 100 * MS)
    assert result.status.tolist() == [Status.APPLIED, Status.UNKNOWN]
    assert result.applied[0].tolist() == [2]
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2)), 110 * MS)
    assert hand_over(guard, 120 * MS).action == SetUeWeight(ue=[5], weight=2)


def test_a_lease_that_lapses_after_a_loss_hands_the_default_to_the_node(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="lost"))
    guard.lose(hand_over(guard, EFFECT_NS), 100 * MS)
    assert guard.next_event_ns() == LAPSE_NS
    change = hand_over(guard, LAPSE_NS)
    assert change.action == SetUeWeight(ue=[4], weight=1)
    (over,) = settle(guard, change, LAPSE_NS)
    assert (over.id, over.status.tolist(), over.causes[1][0]) == ("lost", [Status.ENDED], Cause.LEASE_LAPSED)


def test_an_atomic_batch_that_is_lost_is_unknown_as_a_whole(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2), atomic=True), 50 * MS)
    (result,) = guard.lose(hand_over(guard, 60 * MS), 100 * MS)
    assert result.status.tolist() == [Status.UNKNOWN, Status.UNKNOWN]


def test_a_one_shot_that_is_lost_holds_nothing(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(Handover(ue=[4], target_cell=1)))
    (result,) = guard.lose(hand_over(guard, EFFECT_NS), SECOND)
    assert result.status.tolist() == [Status.UNKNOWN]
    assert guard.next_event_ns() == FOR_EVER_NS


def test_who_is_displaced_by_a_lost_change_is_told(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="low"))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=3), xapp="boss", id="high"), 20 * MS)
    high, low = guard.lose(hand_over(guard, 30 * MS), 100 * MS)
    assert (high.id, high.status.tolist()) == ("high", [Status.UNKNOWN])
    assert (low.id, low.causes[1][0], low.applied.tolist()) == (
        "low",
        Cause.SUPERSEDED,
        [[pytest.approx(np.nan, nan_ok=True)]],
    )


def test_a_default_that_does_not_arrive_is_handed_out_again_later_and_later_and_not_for_ever(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="held"))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    now_ns = LAPSE_NS
    told = guard.lose(hand_over(guard, now_ns), now_ns)
    assert [(r.id, r.status.tolist()) for r in told] == [("held", [Status.ENDED])]
    for tries in range(1, TRIES):
        assert guard.next_event_ns() == now_ns + (SECOND << (tries - 1))  # 1, 2, 4, ... s later
        now_ns += SECOND << (tries - 1)
        change = hand_over(guard, now_ns)
        assert change.action == SetUeWeight(ue=[4], weight=1)
        assert guard.lose(change, now_ns) == []  # the xApp knows already
    assert guard.next_event_ns() == FOR_EVER_NS
    assert isinstance(guard.audit, AuditLog)
    assert [record.event for record in guard.audit].count("given_up") == 1


def test_a_default_that_arrives_at_last_ends_the_matter(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    guard.lose(hand_over(guard, LAPSE_NS), LAPSE_NS)
    assert settle(guard, hand_over(guard, LAPSE_NS + SECOND), LAPSE_NS + SECOND) == []
    assert guard.next_event_ns() == FOR_EVER_NS


def test_a_default_that_was_lost_does_not_undo_a_newer_setting(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2)))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    guard.lose(hand_over(guard, LAPSE_NS), LAPSE_NS)
    newer = batch(SetUeWeight(ue=[4], weight=3), lease_ms=5_000)
    judge(guard, newer, LAPSE_NS)
    settle(guard, hand_over(guard, LAPSE_NS + DELAY_NS), LAPSE_NS + DELAY_NS)
    assert hand_over(guard, LAPSE_NS + SECOND).action == SetUeWeight(ue=[5], weight=1)


def test_a_lost_default_is_forgotten_where_newer_settings_hold_all_its_targets(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    guard.lose(hand_over(guard, LAPSE_NS), LAPSE_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=3), lease_ms=5_000), LAPSE_NS)
    settle(guard, hand_over(guard, LAPSE_NS + DELAY_NS), LAPSE_NS + DELAY_NS)
    assert list(guard.due(LAPSE_NS + SECOND)) == []


@pytest.mark.parametrize("lost", [False, True])
def test_a_kill_while_a_change_is_open_returns_it_after_the_answer(
    guard: Guard, batch: BatchFactory, lost: bool
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="open"))
    judge(guard, batch(SetUeWeight(ue=[5], weight=2), id="waits"))
    change = hand_over(guard, EFFECT_NS)
    (waiting,) = guard.kill(EFFECT_NS + MS)
    assert (waiting.id, waiting.causes[1][0]) == ("waits", Cause.KILLED)
    now_ns = EFFECT_NS + 2 * MS
    (result,) = guard.lose(change, now_ns) if lost else settle(guard, change, now_ns)
    assert (result.id, result.status.tolist()) == ("open", [Status.UNKNOWN if lost else Status.APPLIED])
    back = hand_over(guard, now_ns)
    assert back.action == SetUeWeight(ue=[4], weight=1)
    (over,) = settle(guard, back, now_ns)
    assert (over.id, over.causes[1][0]) == ("open", Cause.KILLED)
    assert guard.next_event_ns() == FOR_EVER_NS


def test_autonomy_that_ends_while_a_change_is_open_ends_what_it_put_in_force(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    change = hand_over(guard, EFFECT_NS)
    assert guard.set_autonomy("a", Autonomy.OBSERVE, EFFECT_NS + MS) == []
    settle(guard, change, EFFECT_NS + 2 * MS)
    back = hand_over(guard, EFFECT_NS + 2 * MS)
    assert back.action == SetUeWeight(ue=[4], weight=1)
    (over,) = settle(guard, back, EFFECT_NS + 2 * MS)
    assert over.causes[1][0] is Cause.AUTONOMY


def test_a_host_that_stops_with_a_change_open_still_answers_for_it(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    change = hand_over(guard, EFFECT_NS)
    assert guard.stop(EFFECT_NS + MS) == []
    (result,) = guard.lose(change, SECOND)
    assert result.status.tolist() == [Status.UNKNOWN]
    assert hand_over(guard, SECOND).action == SetUeWeight(ue=[4], weight=1)


@pytest.mark.parametrize("lost", [False, True])
def test_a_ue_that_leaves_while_the_node_is_at_work_is_refused_and_nothing_is_held_there(
    guard: Guard, batch: BatchFactory, lost: bool
) -> None:
    judge(guard, batch(SetUeWeight(ue=[3], weight=5), xapp="b"))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2)), 20 * MS)
    change = hand_over(guard, 30 * MS)
    assert guard.forget_targets("ue", np.array([4], np.int32), 31 * MS) == []
    (result,) = guard.lose(change, 32 * MS) if lost else settle(guard, change, 32 * MS)
    assert result.status.tolist() == [Status.REFUSED, Status.UNKNOWN if lost else Status.APPLIED]
    assert result.causes[result.cause[0]] == (Cause.NO_TARGET, "not at site-1 (any more)")
    assert guard.held_targets("ue").tolist() == [3, 5]


def test_a_target_that_the_node_refuses_for_a_reason_stays_as_it_was(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2), id="first"))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4, 5, 6], weight=3), id="second"), 20 * MS)
    change = hand_over(guard, 30 * MS)
    applied = np.array([[np.nan], [3], [np.nan]], np.float32)
    (result,) = guard.settle(change, applied, 30 * MS, {0: "busy", 1: "not asked", 7: "no such row"})
    assert result.status.tolist() == [Status.REFUSED, Status.APPLIED, Status.REFUSED]
    assert result.causes[result.cause[0]] == (Cause.NODE, "busy")
    assert result.causes[result.cause[2]] == (Cause.NO_TARGET, "not at site-1 (any more)")
    over = settle(guard, hand_over(guard, LAPSE_NS), LAPSE_NS)  # of the first batch, where it was before
    assert [(r.id, r.targets.tolist()) for r in over] == [("first", [[4]])]


def test_a_kill_holds_where_the_open_change_comes_to_nothing(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="held"))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=3)), 20 * MS)
    change = hand_over(guard, 30 * MS)
    guard.kill(31 * MS)
    guard.settle(change, np.full((1, 1), np.nan, np.float32), 32 * MS, {0: "busy"})
    back = hand_over(guard, 32 * MS)
    assert back.action == SetUeWeight(ue=[4], weight=1)
    (over,) = settle(guard, back, 32 * MS)
    assert (over.id, over.causes[1][0]) == ("held", Cause.KILLED)


def test_an_xapp_that_may_act_no_more_holds_nothing_where_its_displacer_comes_to_nothing(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="low"))
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=3), xapp="boss"), 20 * MS)
    guard.set_autonomy("a", Autonomy.OBSERVE, 25 * MS)
    change = hand_over(guard, 30 * MS)
    guard.settle(change, np.full((1, 1), np.nan, np.float32), 30 * MS, {0: "busy"})
    assert hand_over(guard, 30 * MS).action == SetUeWeight(ue=[4], weight=1)


def test_a_claim_that_comes_to_nothing_leaves_the_lease_of_what_is_in_force(
    guard: Guard, batch: BatchFactory
) -> None:
    """Two batches wait at once; the first takes effect and holds until its own lease ends, the second is refused."""
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="first"))
    judge(guard, batch(SetUeWeight(ue=[4], weight=3), lease_ms=5_000), MS)
    settle(guard, hand_over(guard, EFFECT_NS), EFFECT_NS)
    change = hand_over(guard, EFFECT_NS + MS)
    guard.settle(change, np.full((1, 1), np.nan, np.float32), EFFECT_NS + MS, {0: "busy"})
    assert guard.next_event_ns() == LAPSE_NS
    (over,) = settle(guard, hand_over(guard, LAPSE_NS), LAPSE_NS)
    assert over.id == "first"


def test_an_atomic_batch_that_the_node_refuses_says_why(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(Handover(ue=[4, 5], target_cell=1), atomic=True))
    nothing = np.full((2, 1), np.nan, np.float32)
    (result,) = guard.settle(hand_over(guard, EFFECT_NS), nothing, EFFECT_NS, {1: "cell 1 sleeps"})
    assert [result.causes[at] for at in result.cause] == [
        (Cause.ATOMIC, "another target of this atomic batch was refused at site-1; none was applied"),
        (Cause.NODE, "cell 1 sleeps"),
    ]


def test_a_node_with_a_reason_per_target_fills_no_result_with_them(guard: Guard, batch: BatchFactory) -> None:
    """A result tells at most 256 causes on the wire."""
    judge(guard, batch(Handover(ue=range(500), target_cell=1)))
    change = hand_over(guard, EFFECT_NS)
    reasons = {row: f"busy with call {row} " + "x" * 1000 for row in range(500)}
    (result,) = guard.settle(change, np.full((500, 1), np.nan, np.float32), EFFECT_NS, reasons)
    assert result.count(Status.REFUSED) == 500
    assert len(result.causes) <= 256
    assert max(len(text) for _, text in result.causes) <= 200


def test_a_renewal_of_others_keeps_its_values_while_a_claim_on_them_is_with_the_node(
    guard: Guard, batch: BatchFactory
) -> None:
    one = SetSliceQuota(cell=0, slice=1, min_pct=60, max_pct=100, dedicated_pct=0)
    judge(guard, batch(one))
    change = hand_over(guard, EFFECT_NS)
    two = SetSliceQuota(cell=0, slice=2, min_pct=50, max_pct=100, dedicated_pct=0)
    refused = judge(guard, batch(two, xapp="b"), EFFECT_NS + MS)
    assert refused is not None
    assert refused.causes[1][0] is Cause.INVARIANT  # 60 % are on their way
    settle(guard, change, EFFECT_NS + 2 * MS)
