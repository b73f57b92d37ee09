"""What a node's guard lets through, holds and ends."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ranloop.errors import VocabularyError
from ranloop.guard import ActionRight, AuditLog, Autonomy, Guard, Rights
from ranloop.guard.guard import MAX_ID_BYTES
from ranloop.vocabulary import Action, Handover, SetCellOffset, SetSliceQuota, SetTxPower, SetUeWeight
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch, Cause, Result, Status
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, MS, NODE, SLOT_NS, BatchFactory

# An action sent at 0 takes effect at the control delay, which is a multiple of the slot.
EFFECT_NS = DELAY_NS
# The fixtures' xApps read a 100 ms stream, so a lease is 300 ms from the effect on.
LAPSE_NS = EFFECT_NS + 300 * MS


def judge(guard: Guard, batch: ActionBatch, now_ns: int = 0) -> Result | None:
    return guard.submit(batch, sender=batch.xapp, now_ns=now_ns)


def carry_out(guard: Guard, now_ns: int) -> tuple[list[Action], list[Result]]:
    """Play a node that does everything it is told to."""
    actions, results = [], []
    for change in guard.due(now_ns):
        actions.append(change.action)
        results += guard.settle(change, change.action.parameters(), now_ns)
    return actions, results


def refusal(result: Result | None, row: int = 0) -> tuple[Cause, str]:
    assert result is not None
    assert result.status[row] in (Status.REFUSED, Status.EXPIRED)
    return result.causes[result.cause[row]]


def test_an_accepted_setting_takes_effect_at_the_next_slot_after_the_control_delay(
    guard: Guard, batch: BatchFactory
) -> None:
    sent_ns = 3 * SLOT_NS + 1
    assert judge(guard, batch(SetUeWeight(ue=[4, 7], weight=[2, 3])), sent_ns) is None
    assert guard.next_event_ns() == 4 * SLOT_NS + DELAY_NS
    assert carry_out(guard, 4 * SLOT_NS + DELAY_NS - 1) == ([], [])
    (action,), (result,) = carry_out(guard, 4 * SLOT_NS + DELAY_NS)
    assert action == SetUeWeight(ue=[4, 7], weight=[2, 3])
    assert result.status.tolist() == [Status.APPLIED, Status.APPLIED]
    assert result.applied.tolist() == [[2], [3]]


def test_a_lease_that_is_not_renewed_returns_to_the_default(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="held"))
    carry_out(guard, EFFECT_NS)
    assert guard.next_event_ns() == LAPSE_NS
    assert carry_out(guard, LAPSE_NS - SLOT_NS) == ([], [])
    (action,), (result,) = carry_out(guard, LAPSE_NS)
    assert action == SetUeWeight(ue=[4], weight=1)
    assert (result.id, result.count(Status.ENDED)) == ("held", 1)
    assert result.causes[result.cause[0]][0] is Cause.LEASE_LAPSED
    assert guard.next_event_ns() == FOR_EVER_NS


def test_a_lease_ends_on_a_slot(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), lease_ms=7), now_ns=1)
    carry_out(guard, EFFECT_NS + SLOT_NS)
    lapse_ns = guard.next_event_ns()
    assert lapse_ns == EFFECT_NS + SLOT_NS + 7 * MS
    assert lapse_ns % SLOT_NS == 0


def test_a_default_that_only_the_node_knows_is_asked_for_as_nan(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetTxPower(cell=[0], tx_power_dbm=40)))
    carry_out(guard, EFFECT_NS)
    (action,), _ = carry_out(guard, LAPSE_NS)
    assert action == SetTxPower(cell=[0], tx_power_dbm=np.nan)


def test_listing_a_target_again_renews_its_lease_without_touching_the_node(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2), id="first"))
    carry_out(guard, EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="again"), 100 * MS)
    (action,), (result,) = carry_out(guard, 100 * MS + DELAY_NS)
    assert len(action) == 0
    assert result.status.tolist() == [Status.APPLIED]
    assert result.applied.tolist() == [[2]]
    (reverted,), (over,) = carry_out(guard, LAPSE_NS)
    assert reverted == SetUeWeight(ue=[5], weight=1)
    assert (over.id, over.targets.tolist()) == ("first", [[5]])
    (_,), (over,) = carry_out(guard, LAPSE_NS + 100 * MS)
    assert (over.id, over.targets.tolist()) == ("again", [[4]])


def test_a_renewal_on_its_way_keeps_the_lease_from_lapsing(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    carry_out(guard, EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=3)), LAPSE_NS - SLOT_NS)
    assert carry_out(guard, LAPSE_NS) == ([], [])
    (action,), _ = carry_out(guard, LAPSE_NS - SLOT_NS + DELAY_NS)
    assert action == SetUeWeight(ue=[4], weight=3)


def test_a_mixed_batch_has_one_result_with_a_cause_per_target(guard: Guard, batch: BatchFactory) -> None:
    mixed = batch(SetUeWeight(ue=[4, 5, 6], weight=[2, 101, np.nan]))
    assert judge(guard, mixed) is None
    (action,), (result,) = carry_out(guard, EFFECT_NS)
    assert action == SetUeWeight(ue=[4], weight=2)
    assert result.status.tolist() == [Status.APPLIED, Status.REFUSED, Status.REFUSED]
    assert refusal(result, 1) == (Cause.RANGE, "weight 101; SetUeWeight takes 0.01 to 100")
    assert refusal(result, 2) == (Cause.RANGE, "a parameter is not a number")
    assert np.isnan(result.applied[1:]).all()


def test_an_atomic_batch_is_refused_as_a_whole(guard: Guard, batch: BatchFactory) -> None:
    result = judge(guard, batch(SetUeWeight(ue=[4, 5], weight=[2, 101]), atomic=True))
    assert refusal(result, 0)[0] is Cause.ATOMIC
    assert refusal(result, 1)[0] is Cause.RANGE
    assert guard.next_event_ns() == FOR_EVER_NS


def test_an_atomic_batch_with_a_target_gone_leaves_everything_as_it_was(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    carry_out(guard, EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4, 9], weight=3), atomic=True), 20 * MS)
    (change,) = (
        (change, guard.settle(change, np.full((2, 1), np.nan, np.float32), 30 * MS))
        for change in guard.due(30 * MS)
    )
    assert change[0].atomic
    (result,) = change[1]
    assert refusal(result, 0)[0] is refusal(result, 1)[0] is Cause.ATOMIC
    (action,), _ = carry_out(guard, LAPSE_NS)  # the lease of the first batch, not of the second
    assert action == SetUeWeight(ue=[4], weight=1)


def test_a_sender_may_speak_for_itself_alone(guard: Guard, batch: BatchFactory) -> None:
    result = guard.submit(batch(SetUeWeight(ue=[4], weight=2), xapp="a"), sender="b", now_ns=0)
    assert refusal(result) == (Cause.IDENTITY, "sent by b in the name of a")
    assert result is not None
    assert result.xapp == "b"
    stranger = judge(guard, batch(SetUeWeight(ue=[4], weight=2), xapp="mallory"))
    assert refusal(stranger) == (Cause.IDENTITY, "mallory is not registered at site-1")


def test_an_impostor_cannot_spend_the_ids_of_another(guard: Guard, batch: BatchFactory) -> None:
    genuine = batch(SetUeWeight(ue=[4], weight=2), id="one")
    guard.submit(genuine, sender="b", now_ns=0)
    assert judge(guard, genuine) is None


@pytest.mark.parametrize(
    ("made", "cause", "words"),
    [
        (
            {"action": SetCellOffset(cell=[0], cio_db=1)},
            Cause.NOT_SUPPORTED,
            "site-1 does not take SetCellOffset",
        ),
        ({"action": SetTxPower(cell=[7], tx_power_dbm=40)}, Cause.NO_TARGET, "site-1 has no cell 7"),
        ({"action": SetUeWeight(ue=[4, 4], weight=2)}, Cause.MALFORMED, "more than once: 4"),
        ({"action": SetUeWeight(ue=[4], weight=2), "node": "site-2"}, Cause.MALFORMED, "addressed to site-2"),
        ({"action": SetUeWeight(ue=[4], weight=2), "lease_ms": 60_001}, Cause.RANGE, "at most 60000 ms"),
        (
            {"action": SetUeWeight(ue=[4], weight=2), "valid_until_ns": DELAY_NS - 1},
            Cause.STALE,
            "take effect at 0.01 s",
        ),
        (
            {"action": SetUeWeight(ue=[4], weight=2), "valid_until_ns": 61_000 * MS},
            Cause.RANGE,
            "lies 61000 ms ahead; at most 60000 ms",
        ),
        ({"action": Handover(ue=[4], target_cell=0.5)}, Cause.RANGE, "whole numbers"),
    ],
)
def test_a_refusal_says_what_was_wrong(
    guard: Guard, batch: BatchFactory, made: dict[str, object], cause: Cause, words: str
) -> None:
    got, text = refusal(judge(guard, batch(**made)))
    assert got is cause
    assert words in text


def test_a_batch_that_can_just_take_effect_in_time_does(guard: Guard, batch: BatchFactory) -> None:
    assert judge(guard, batch(SetUeWeight(ue=[4], weight=2), valid_until_ns=EFFECT_NS)) is None


def narrow_guard(right: ActionRight) -> Guard:
    guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog())
    guard.register("a", Rights(actions=(right,)))
    return guard


def test_the_manifest_narrows_the_range(batch: BatchFactory) -> None:
    guard = narrow_guard(ActionRight(name="SetUeWeight", ranges={"weight": (0.5, 4)}))
    result = judge(guard, batch(SetUeWeight(ue=[1, 2], weight=[0.4, 5])))
    assert refusal(result) == (Cause.RANGE, "weight 5; the manifest of a allows 0.5 to 4")
    assert judge(guard, batch(SetUeWeight(ue=[1, 2], weight=[0.5, 4]))) is None


def test_a_manifest_wider_than_the_catalogue_widens_nothing(batch: BatchFactory) -> None:
    guard = narrow_guard(ActionRight(name="SetUeWeight", ranges={"weight": (0, 1000)}))
    assert refusal(judge(guard, batch(SetUeWeight(ue=[1], weight=101))))[0] is Cause.RANGE


def test_only_the_cells_of_the_manifest_may_be_touched(batch: BatchFactory) -> None:
    guard = narrow_guard(ActionRight(name="SetTxPower", cells=("site-1/b", "site-9/a")))
    judge(guard, batch(SetTxPower(cell=[0, 1], tx_power_dbm=40)))
    (action,), (result,) = carry_out(guard, EFFECT_NS)
    assert action == SetTxPower(cell=[1], tx_power_dbm=40)
    assert refusal(result)[0] is Cause.NOT_PERMITTED


def test_a_handover_into_a_cell_of_others_is_not_permitted(batch: BatchFactory) -> None:
    guard = narrow_guard(ActionRight(name="Handover", cells=("site-1/b",)))
    assert refusal(judge(guard, batch(Handover(ue=[4], target_cell=0))))[0] is Cause.NOT_PERMITTED


def test_an_action_that_the_manifest_does_not_ask_for_is_not_permitted(batch: BatchFactory) -> None:
    guard = narrow_guard(ActionRight(name="SetTxPower"))
    cause, text = refusal(judge(guard, batch(SetUeWeight(ue=[4], weight=2))))
    assert cause is Cause.NOT_PERMITTED
    assert text == "the manifest of a does not ask for SetUeWeight; it has SetTxPower"


def test_the_rate_is_counted_in_ran_time(batch: BatchFactory) -> None:
    guard = narrow_guard(ActionRight(name="SetUeWeight", rate_per_s=2, max_targets=2))

    def send(now_ns: int) -> Result | None:
        return judge(guard, batch(SetUeWeight(ue=[4], weight=2), valid_until_ns=now_ns + 1000 * MS), now_ns)

    assert send(0) is None
    assert send(0) is None
    assert refusal(send(0))[0] is Cause.RATE
    assert refusal(send(499 * MS))[0] is Cause.RATE
    assert send(500 * MS) is None  # a token every 1/2 s
    too_many = batch(SetUeWeight(ue=[1, 2, 3], weight=2), valid_until_ns=1500 * MS)
    assert refusal(judge(guard, too_many, 1000 * MS)) == (
        Cause.RATE,
        "3 targets in one batch; the manifest allows 2",
    )


def test_of_equals_the_earlier_lease_wins(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), xapp="a"))
    result = judge(guard, batch(SetUeWeight(ue=[4], weight=3), xapp="b"))  # before it takes effect, even
    cause, text = refusal(result)
    assert cause is Cause.CONFLICT
    assert text == "held by a (priority 0, yours 0) until 0.31 s if not renewed"
    carry_out(guard, LAPSE_NS)
    assert judge(guard, batch(SetUeWeight(ue=[4], weight=3), xapp="b"), LAPSE_NS) is None


def test_a_higher_priority_displaces_and_the_other_is_told(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2), xapp="a", id="low"))
    carry_out(guard, EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=3), xapp="boss", id="high"), 20 * MS)
    _, results = carry_out(guard, 30 * MS)
    assert [(r.id, r.targets.tolist(), r.applied.tolist()) for r in results] == [
        ("high", [[4]], [[3]]),
        ("low", [[4]], [[3]]),
    ]
    assert results[1].count(Status.ENDED) == 1
    assert results[1].causes[1][0] is Cause.SUPERSEDED
    assert refusal(judge(guard, batch(SetUeWeight(ue=[4], weight=2), xapp="a"), 40 * MS))[0] is Cause.CONFLICT


def test_a_one_shot_yields_to_a_higher_priority_before_its_slot(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(Handover(ue=[4], target_cell=1), xapp="a", id="low"))
    judge(guard, batch(Handover(ue=[4], target_cell=0), xapp="boss", id="high"))
    actions, results = carry_out(guard, EFFECT_NS)
    assert [a for a in actions if len(a)] == [Handover(ue=[4], target_cell=0)]
    assert [(r.id, r.status.tolist()) for r in results] == [
        ("low", [Status.REFUSED]),
        ("high", [Status.APPLIED]),
    ]
    assert guard.next_event_ns() == FOR_EVER_NS  # nothing is held


def test_quotas_may_be_swapped_in_one_batch(guard: Guard, batch: BatchFactory) -> None:
    def quotas(first: float, second: float) -> SetSliceQuota:
        return SetSliceQuota(cell=0, slice=[1, 2], min_pct=[first, second], max_pct=100, dedicated_pct=0)

    judge(guard, batch(quotas(60, 40), atomic=True))
    carry_out(guard, EFFECT_NS)
    assert judge(guard, batch(quotas(40, 60), atomic=True), 20 * MS) is None
    (action,), _ = carry_out(guard, 30 * MS)
    assert action.parameters()[:, 0].tolist() == [40, 60]


def test_minima_of_two_xapps_must_fit_into_one_cell(guard: Guard, batch: BatchFactory) -> None:
    def quota(slice_id: int, min_pct: float, cell: int = 0) -> SetSliceQuota:
        return SetSliceQuota(cell=cell, slice=slice_id, min_pct=min_pct, max_pct=100, dedicated_pct=0)

    judge(guard, batch(quota(1, 70), xapp="a"))
    assert refusal(judge(guard, batch(quota(2, 31), xapp="b")))[0] is Cause.INVARIANT  # 101 %
    assert judge(guard, batch(quota(2, 31, cell=1), xapp="b")) is None
    assert judge(guard, batch(quota(2, 30), xapp="b")) is None  # 100 %


def minimum(pct: float, slice_id: int = 1) -> SetSliceQuota:
    return SetSliceQuota(cell=0, slice=slice_id, min_pct=pct, max_pct=100, dedicated_pct=0)


@pytest.fixture
def half_and_half() -> Guard:
    """A node whose own configuration guarantees both slices 50 %."""
    node = dataclasses.replace(NODE, slice_min_pct={1: 50.0, 2: 50.0})
    guard = Guard(node, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog())
    guard.register("a", EVERYTHING)
    guard.register("b", EVERYTHING)
    return guard


def test_a_quota_reverts_to_the_configuration_of_the_node(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(minimum(60)))
    carry_out(guard, EFFECT_NS)
    (action,), _ = carry_out(guard, LAPSE_NS)
    assert np.isnan(action.parameters()).all()


def test_slices_that_nobody_holds_count_with_the_configured_minimum(
    half_and_half: Guard, batch: BatchFactory
) -> None:
    cause, text = refusal(judge(half_and_half, batch(minimum(51))))  # and 50 for slice 2
    assert cause is Cause.INVARIANT
    assert "the node's configuration" in text
    assert judge(half_and_half, batch(minimum(50))) is None
    both = SetSliceQuota(cell=0, slice=[1, 2], min_pct=[30, 70], max_pct=100, dedicated_pct=0)
    assert judge(half_and_half, batch(both, atomic=True)) is None


@pytest.mark.parametrize("atomic", [False, True])
def test_a_quota_that_counted_on_a_lease_which_ends_before_its_slot_is_refused_and_leaves_all_as_it_was(
    half_and_half: Guard, batch: BatchFactory, atomic: bool
) -> None:
    guard = half_and_half
    judge(guard, batch(minimum(20, slice_id=2), xapp="b", lease_ms=50))
    judge(guard, batch(minimum(40), id="before"))
    carry_out(guard, EFFECT_NS)
    b_ends_ns = EFFECT_NS + 50 * MS
    assert judge(guard, batch(minimum(80), atomic=atomic), b_ends_ns - 5 * MS) is None  # 80 + 20
    carry_out(guard, b_ends_ns)
    actions, (result,) = carry_out(guard, b_ends_ns + 5 * MS)  # 80 + 50
    assert [len(action) for action in actions] == [0]
    assert refusal(result)[0] is Cause.INVARIANT
    _, (ended,) = carry_out(guard, LAPSE_NS)  # of the quota that it should have replaced
    assert (ended.id, ended.count(Status.ENDED)) == ("before", 1)


def test_a_renewal_asks_again_where_the_node_made_something_else_of_the_value(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetTxPower(cell=[0, 1], tx_power_dbm=[50, 30])))
    change = next(guard.due(EFFECT_NS))
    guard.settle(change, np.array([[44], [30]], np.float32), EFFECT_NS)
    judge(guard, batch(SetTxPower(cell=[0, 1], tx_power_dbm=[50, 30])), 100 * MS)
    (action,), _ = carry_out(guard, 100 * MS + DELAY_NS)
    assert action == SetTxPower(cell=[0], tx_power_dbm=[50])


def test_a_target_refused_for_conflict_does_not_count_in_the_state(guard: Guard, batch: BatchFactory) -> None:
    # a holds slice 1 at 60. b wants 10 there (refused: a holds it) and 80 for slice 2: with a's 60 that is 140 %.
    one = SetSliceQuota(cell=0, slice=1, min_pct=60, max_pct=100, dedicated_pct=0)
    judge(guard, batch(one, xapp="a"))
    both = SetSliceQuota(cell=0, slice=[1, 2], min_pct=[10, 80], max_pct=100, dedicated_pct=0)
    result = judge(guard, batch(both, xapp="b"))
    assert (refusal(result, 0)[0], refusal(result, 1)[0]) == (Cause.CONFLICT, Cause.INVARIANT)


def test_a_quota_row_must_agree_with_itself(guard: Guard, batch: BatchFactory) -> None:
    wrong = SetSliceQuota(cell=0, slice=1, min_pct=60, max_pct=50, dedicated_pct=0)
    assert refusal(judge(guard, batch(wrong)))[0] is Cause.INVARIANT


def test_a_retry_gets_the_remembered_result_and_does_nothing_again(guard: Guard, batch: BatchFactory) -> None:
    once = batch(Handover(ue=[4], target_cell=1))
    assert judge(guard, once) is None
    assert judge(guard, once, 5 * MS) is None
    actions, (result,) = carry_out(guard, EFFECT_NS)
    assert len(actions) == 1
    assert judge(guard, once, 20 * MS) is result
    assert guard.next_event_ns() == FOR_EVER_NS
    # Long after the batch could last take effect it would be stale anyway; the id is remembered past that.
    assert judge(guard, once, once.valid_until_ns + 1) is result


def test_a_flood_of_huge_batches_fills_no_memory_and_passes(guard: Guard, batch: BatchFactory) -> None:
    huge = SetUeWeight(ue=range(1 << 16), weight=2.0)  # 64 times the targets that the manifest allows
    # Of each target an id, a value, a status and a cause are kept: 10 bytes, 640 KiB in all, and 2 KiB around them.
    room = MAX_ID_BYTES // (640 + 2 << 10)
    flood = [refusal(judge(guard, batch(huge))) for _ in range(room + 2)]
    assert {text.split(";")[0] for _, text in flood[:room]} == {"65536 targets in one batch"}
    assert flood[-1] == (Cause.RATE, "102 batches of a are remembered, 64 MiB; wait until some have run out")
    assert judge(guard, batch(SetUeWeight(ue=[1], weight=2.0), xapp="b")) is None  # the other does not suffer
    later_ns = 11_001 * MS  # the batches were valid until 1 s, their ids are kept for 10 s longer
    again = batch(SetUeWeight(ue=[2], weight=2.0), valid_until_ns=12_000 * MS)
    assert judge(guard, again, later_ns) is None


def test_texts_that_an_xapp_chooses_count_in_what_is_remembered_of_it(
    guard: Guard, batch: BatchFactory
) -> None:
    """64 stamps of 128 letters each are 12 KiB with what holds them: 64 MiB are full after some 5,000 batches."""
    nothing = batch(SetUeWeight(ue=[], weight=[]))
    chosen = {f"{k:03}" + "s" * 125: k for k in range(64)}
    for k in range(8_000):
        result = judge(guard, dataclasses.replace(nothing, id=str(k), stamps=chosen))
        if result is None or len(result.causes) > 1:
            break
    said = judge(guard, batch(SetUeWeight(ue=[1], weight=2.0), id="last"))
    assert 4_000 < len(guard._grants["a"].ids) < 6_000
    assert said is None or refusal(said)[0] is Cause.RATE


def test_ids_are_remembered_for_as_long_as_a_retry_could_come_and_no_longer(
    guard: Guard, batch: BatchFactory
) -> None:
    """Valid until 1 s and remembered for 10 s more: of one batch a second, the first 11 are there at a time."""
    for second in range(40):
        now_ns = second * 1_000 * MS
        judge(guard, batch(SetUeWeight(ue=[4], weight=2.0), valid_until_ns=now_ns + 1_000 * MS), now_ns)
        carry_out(guard, now_ns + EFFECT_NS)
    assert guard.answered("a", "a-28") is None
    assert guard.answered("a", "a-29") is not None
    assert len(guard._grants["a"].ids) == 11


def test_a_flood_of_ids_fills_no_memory_and_passes(
    guard: Guard, batch: BatchFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.guard.guard.MAX_IDS", 500)
    nothing = SetUeWeight(ue=[], weight=[])
    for _ in range(500):
        judge(guard, batch(nothing))
    verdict = judge(guard, batch(SetUeWeight(ue=[1], weight=2.0)))
    cause, text = refusal(verdict)
    assert (cause, text.split(",")[0]) == (Cause.RATE, "500 batches of a are remembered")
    assert len(guard._grants["a"].ids) == 500
    later = batch(SetUeWeight(ue=[1], weight=2.0), valid_until_ns=12_000 * MS)
    assert judge(guard, later, 11_001 * MS) is None


def test_a_target_that_is_gone_when_the_slot_comes_is_refused(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2)))
    (change,) = (change for change in [next(guard.due(EFFECT_NS))])
    (result,) = guard.settle(change, np.array([[2], [np.nan]], np.float32), EFFECT_NS)
    assert result.status.tolist() == [Status.APPLIED, Status.REFUSED]
    assert refusal(result, 1)[0] is Cause.NO_TARGET
    assert guard.held_targets("ue").tolist() == [4]


def test_the_setting_of_a_ue_that_leaves_ends_with_a_result(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2), id="held"))
    carry_out(guard, EFFECT_NS)
    (result,) = guard.forget_targets("ue", np.array([5], np.int32), 50 * MS)
    assert (result.id, result.targets.tolist(), result.status.tolist()) == ("held", [[5]], [Status.ENDED])
    assert result.causes[1][0] is Cause.UE_LEFT
    (action,), _ = carry_out(guard, LAPSE_NS)
    assert action == SetUeWeight(ue=[4], weight=1)


def test_who_may_observe_is_refused_and_who_may_recommend_is_told_the_verdict(
    guard: Guard, batch: BatchFactory
) -> None:
    guard.set_autonomy("a", Autonomy.OBSERVE, 0)
    assert refusal(judge(guard, batch(SetUeWeight(ue=[4], weight=2))))[0] is Cause.AUTONOMY
    guard.set_autonomy("a", Autonomy.RECOMMEND, 0)
    result = judge(guard, batch(SetUeWeight(ue=[4, 5], weight=[2, 101])))
    assert result is not None
    assert result.status.tolist() == [Status.RECOMMENDED, Status.REFUSED]
    assert np.isnan(result.applied).all()
    assert guard.next_event_ns() == FOR_EVER_NS


def test_taking_autonomy_away_ends_what_is_held_and_what_waits(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), xapp="a", id="held"))
    judge(guard, batch(SetUeWeight(ue=[5], weight=2), xapp="b"))
    carry_out(guard, EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[6], weight=2), xapp="a", id="waits"), 20 * MS)
    (waiting,) = guard.set_autonomy("a", Autonomy.OBSERVE, 25 * MS)
    assert (waiting.id, refusal(waiting)[0]) == ("waits", Cause.AUTONOMY)
    (action,), (over,) = carry_out(guard, 25 * MS)
    assert action == SetUeWeight(ue=[4], weight=1)
    assert (over.id, over.causes[1][0]) == ("held", Cause.AUTONOMY)


def test_autonomy_of_an_unknown_xapp_names_near_ones(guard: Guard) -> None:
    with pytest.raises(VocabularyError, match="did you mean boss"):
        guard.set_autonomy("bos", Autonomy.ACT, 0)


def test_the_kill_switch_returns_everything_at_once_and_refuses_what_comes(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), xapp="a"))
    judge(guard, batch(SetTxPower(cell=[1], tx_power_dbm=40), xapp="b"))
    carry_out(guard, EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[6], weight=2), xapp="a", id="waits"), 20 * MS)
    (waiting,) = guard.kill(21 * MS)
    assert (waiting.id, refusal(waiting)[0]) == ("waits", Cause.KILLED)
    actions, results = carry_out(guard, 21 * MS)
    assert actions == [SetTxPower(cell=[1], tx_power_dbm=np.nan), SetUeWeight(ue=[4], weight=1)]
    assert {r.causes[1][0] for r in results} == {Cause.KILLED}
    assert refusal(judge(guard, batch(SetUeWeight(ue=[4], weight=2)), 22 * MS))[0] is Cause.KILLED
    guard.revive(23 * MS)
    assert judge(guard, batch(SetUeWeight(ue=[4], weight=2)), 23 * MS) is None


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_node_answers_for_each_target_of_a_change(guard: Guard, batch: BatchFactory, rows: int) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2)))
    change = next(guard.due(EFFECT_NS))
    with pytest.raises(ValueError, match=rf"shape \[{rows}, 1\]; want \[2, 1\]"):
        guard.settle(change, np.zeros((rows, 1), np.float32), EFFECT_NS)
    (result,) = guard.settle(change, change.action.parameters(), EFFECT_NS)
    assert result.count(Status.APPLIED) == 2


def test_values_that_the_node_applied_stay_what_they_were(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    change = next(guard.due(EFFECT_NS))
    applied = np.array([[1.5]], np.float32)
    (result,) = guard.settle(change, applied, EFFECT_NS)
    applied[:] = 9.0  # the node uses its array again
    assert result.applied.tolist() == [[1.5]]


def test_a_renewal_that_finds_its_target_gone_ends_what_was_held_there(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=2), id="first"))
    carry_out(guard, EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4, 5], weight=3), id="second"), EFFECT_NS)
    change = next(guard.due(2 * EFFECT_NS))
    second, ended = guard.settle(change, np.array([[np.nan], [3]], np.float32), 2 * EFFECT_NS)
    assert second.status.tolist() == [Status.REFUSED, Status.APPLIED]
    assert (ended.id, ended.targets.tolist()) == ("first", [[4]])
    assert ended.causes[1] == (Cause.NO_TARGET, "not at site-1 (any more)")
    assert guard.held_targets("ue").tolist() == [5]


def test_an_atomic_batch_that_loses_a_target_before_its_slot_loses_all(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(Handover(ue=[4, 5], target_cell=[0, 0]), atomic=True))
    judge(guard, batch(Handover(ue=[5], target_cell=[1]), xapp="boss"), MS)
    actions, (lost, _) = carry_out(guard, EFFECT_NS + MS)
    assert [len(action) for action in actions] == [0, 1]
    assert [refusal(lost, row)[0] for row in (0, 1)] == [Cause.ATOMIC, Cause.CONFLICT]


def test_batches_that_nothing_is_held_of_are_let_go(guard: Guard, batch: BatchFactory) -> None:
    for k in range(1000):
        now_ns = k * 200 * MS  # within the lease
        renewal = batch(SetUeWeight(ue=[4], weight=1 + k % 2), valid_until_ns=now_ns + 100 * MS)
        assert judge(guard, renewal, now_ns) is None
        carry_out(guard, now_ns + EFFECT_NS)
    assert len(guard._held._origins) < 600


def test_ran_time_does_not_go_back(guard: Guard, batch: BatchFactory) -> None:
    guard.revive(10)
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)), 10)
    with pytest.raises(ValueError, match="went back"):
        judge(guard, batch(SetUeWeight(ue=[4], weight=2)), 9)


def test_an_empty_batch_has_an_empty_result(guard: Guard, batch: BatchFactory) -> None:
    nothing = batch(SetUeWeight(ue=[], weight=[]))
    assert judge(guard, nothing) is not None
    assert guard.next_event_ns() == FOR_EVER_NS


def test_a_control_delay_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Guard(NODE, control_delay_ns=0, slot_ns=SLOT_NS, audit=AuditLog())


def test_an_xapp_that_is_admitted_anew_has_the_new_rights_and_keeps_what_it_holds(
    guard: Guard, batch: BatchFactory
) -> None:
    assert judge(guard, batch(SetUeWeight(ue=[4], weight=2))) is None
    guard.register("a", Rights(streams=EVERYTHING.streams), priority=7)
    (change,) = guard.due(EFFECT_NS)
    (result,) = guard.settle(change, change.action.parameters(), EFFECT_NS)
    assert result.count(Status.APPLIED) == 1
    refused = guard.submit(batch(SetUeWeight(ue=[5], weight=2)), sender="a", now_ns=EFFECT_NS)
    assert refused is not None
    assert refused.causes[1][0] is Cause.NOT_PERMITTED


def test_a_dismissed_xapp_is_refused_and_what_it_holds_ends(guard: Guard, batch: BatchFactory) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    (change,) = guard.due(EFFECT_NS)
    guard.settle(change, change.action.parameters(), EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[6], weight=2)), now_ns=EFFECT_NS)
    (waiting,) = guard.dismiss("a", EFFECT_NS)
    assert waiting.causes[1] == (Cause.NOT_PERMITTED, "the operator dismissed the xApp")
    (change,) = guard.due(EFFECT_NS)
    assert change.action == SetUeWeight(ue=[4], weight=1)
    (ended,) = guard.settle(change, change.action.parameters(), EFFECT_NS)
    assert (ended.count(Status.ENDED), ended.causes[1][0]) == (1, Cause.NOT_PERMITTED)
    refused = guard.submit(batch(SetUeWeight(ue=[5], weight=2)), sender="a", now_ns=EFFECT_NS)
    assert refused is not None
    assert refused.causes[1] == (Cause.IDENTITY, "a is not registered at site-1")
    with pytest.raises(VocabularyError):
        guard.set_autonomy("a", Autonomy.ACT, EFFECT_NS)


def test_an_atomic_batch_that_fails_keeps_what_took_effect_meanwhile(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), id="plain"))
    judge(guard, batch(SetUeWeight(ue=[4, 9], weight=3), atomic=True))  # UE 9 will not be there
    for change in guard.due(EFFECT_NS):
        values = change.action.parameters()
        guard.settle(change, np.full_like(values, np.nan) if change.atomic else values, EFFECT_NS)
    (action,), (over,) = carry_out(guard, LAPSE_NS)
    assert action == SetUeWeight(ue=[4], weight=1)
    assert over.id == "plain"


def test_atomic_batches_that_fail_leave_no_claim_behind(guard: Guard, batch: BatchFactory) -> None:
    for _ in range(2):
        judge(guard, batch(SetUeWeight(ue=[4, 9], weight=3), xapp="a", atomic=True))  # UE 9 will not be there
    for change in guard.due(EFFECT_NS):
        guard.settle(change, np.full((2, 1), np.nan, np.float32), EFFECT_NS)
    assert judge(guard, batch(SetUeWeight(ue=[4], weight=2), xapp="b"), EFFECT_NS) is None


def test_a_setting_renewed_after_the_kill_switch_lapses_like_any_other(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)))
    carry_out(guard, EFFECT_NS)
    guard.kill(20 * MS)
    guard.revive(20 * MS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=2)), 20 * MS)
    carry_out(guard, 30 * MS)
    _, (over,) = carry_out(guard, 330 * MS)
    assert over.causes[1][0] is Cause.LEASE_LAPSED


def test_what_was_about_to_be_taken_over_ends_with_the_one_that_claimed_it(
    guard: Guard, batch: BatchFactory
) -> None:
    judge(guard, batch(SetUeWeight(ue=[4], weight=2), xapp="a", id="low"))
    carry_out(guard, EFFECT_NS)
    judge(guard, batch(SetUeWeight(ue=[4], weight=3), xapp="boss"), 20 * MS)
    guard.set_autonomy("boss", Autonomy.OBSERVE, 25 * MS)
    (action,), (over,) = carry_out(guard, 25 * MS)
    assert action == SetUeWeight(ue=[4], weight=1)
    assert (over.id, over.causes[1][0]) == ("low", Cause.SUPERSEDED)


def test_what_comes_after_the_host_stopped_is_refused_for_that_and_not_for_the_kill_switch(
    guard: Guard, batch: BatchFactory
) -> None:
    guard.stop(20 * MS)
    result = guard.submit(batch(SetUeWeight(ue=[4], weight=2)), sender="a", now_ns=21 * MS)
    assert result is not None
    assert result.causes[result.cause[0]] == (Cause.LOST, "the node host stopped")
    assert not guard.killed
