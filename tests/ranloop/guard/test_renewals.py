"""What the guard remembers of targets that come again: it saves work and changes no verdict."""

from __future__ import annotations

import numpy as np
import pytest

from ranloop.guard import ActionRight, AuditLog, Guard, Rights
from ranloop.guard.leases import SettingTable
from ranloop.guard.results import KnownTargets, Verdicts
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import ActionBatch, Catalogue, Cause, Result, Status
from ranloop.wire.codec import decode_action_batch, encode

MS = 1_000_000
DELAY_NS = 10 * MS


def one_guard(*xapps: str, ranges: dict[str, tuple[float, float]] | None = None) -> Guard:
    catalogue = Catalogue(
        node="n", measurements={}, actions=("SetUeWeight",), periods_ms=(100,), cells={0: "n/0"}
    )
    guard = Guard(catalogue, control_delay_ns=DELAY_NS, slot_ns=MS, audit=AuditLog())
    for priority, xapp in enumerate(xapps):
        right = ActionRight(name="SetUeWeight", ranges=ranges or {})
        guard.register(xapp, Rights(actions=(right,)), priority=priority)
    return guard


def sent(xapp: str, seq: int, now_ns: int, ue: list[int], weight: float) -> ActionBatch:
    """As it comes from the bus: the same targets are the same array."""
    batch = ActionBatch(
        id=f"{xapp}-{seq}",
        xapp=xapp,
        node="n",
        seq=seq,
        action=SetUeWeight(ue=ue, weight=weight),
        valid_until_ns=now_ns + 200 * MS,
        lease_ms=300,
    )
    return decode_action_batch(encode(batch))


def hold(guard: Guard, batch: ActionBatch, now_ns: int) -> list[Result]:
    """Submit, and let the node do all that is due by the batch's slot."""
    at_once = guard.submit(batch, sender=batch.xapp, now_ns=now_ns)
    if at_once is not None:
        return [at_once]
    results: list[Result] = []
    for change in guard.due(now_ns + DELAY_NS):
        results += guard.settle(change, change.action.parameters(), now_ns + DELAY_NS)
    return results


def test_a_target_that_stands_twice_is_refused_in_the_renewal_as_in_the_first_batch() -> None:
    guard = one_guard("a")
    for seq in range(3):
        (result,) = hold(guard, sent("a", seq, 0, [4, 4, 7], 2.0), seq * 20 * MS)
        assert result.status.tolist() == [Status.REFUSED, Status.REFUSED, Status.APPLIED]
        assert result.causes[1] == (Cause.MALFORMED, "the target stands in this batch more than once: 4")


def test_targets_in_another_order_get_their_own_values() -> None:
    guard = one_guard("a")
    for seq, ue in enumerate(([1, 2, 3], [3, 2, 1], [1, 2, 3])):
        now_ns = seq * 20 * MS
        batch = sent("a", seq, now_ns, ue, 1.0)
        weights = np.array(ue, np.float32)
        batch = decode_action_batch(
            encode(
                ActionBatch(
                    id=batch.id,
                    xapp="a",
                    node="n",
                    seq=seq,
                    action=SetUeWeight(ue=ue, weight=weights),
                    valid_until_ns=batch.valid_until_ns,
                    lease_ms=300,
                )
            )
        )
        (result,) = hold(guard, batch, now_ns)
        assert result.targets[:, 0].tolist() == ue
        assert result.applied[:, 0].tolist() == ue


def test_two_xapps_that_name_the_same_targets_are_still_told_apart() -> None:
    guard = one_guard("low", "high")
    (mine,) = hold(guard, sent("low", 0, 0, [1, 2], 2.0), 0)
    theirs, ended = hold(guard, sent("high", 0, 20 * MS, [1, 2], 3.0), 20 * MS)
    (refused,) = hold(guard, sent("low", 1, 40 * MS, [1, 2], 2.0), 40 * MS)
    assert [r.count(Status.APPLIED) for r in (mine, theirs)] == [2, 2]
    assert ended.causes[1][0] is Cause.SUPERSEDED
    assert refused.causes[1][0] is Cause.CONFLICT


@pytest.mark.parametrize(("renewed", "lapses_ms"), [([1, 2, 3], 330), ([1, 2], 310), ([1, 2, 3, 4], 330)])
def test_the_first_lapse_is_known_whether_all_is_renewed_or_a_part(
    renewed: list[int], lapses_ms: int
) -> None:
    """Accepted at 0 and at 20 ms, in force 10 ms later, held for 300 ms; a target left out lapses at 310 ms.

    Renewing a superset renews all that is held: then everything lapses at 330 ms.
    """
    guard = one_guard("a")
    hold(guard, sent("a", 0, 0, [1, 2, 3], 2.0), 0)
    hold(guard, sent("a", 1, 20 * MS, renewed, 2.0), 20 * MS)
    assert guard.next_event_ns() == lapses_ms * MS


def test_held_targets_follow_what_comes_and_goes() -> None:
    guard = one_guard("a")
    hold(guard, sent("a", 0, 0, [5, 2], 2.0), 0)
    assert guard.held_targets("ue").tolist() == [2, 5]
    hold(guard, sent("a", 1, 20 * MS, [5, 9], 2.0), 20 * MS)
    assert guard.held_targets("ue").tolist() == [2, 5, 9]
    guard.forget_targets("ue", np.array([5], np.int32), 40 * MS)
    assert guard.held_targets("ue").tolist() == [2, 9]


def test_a_manifest_that_allows_more_than_the_catalogue_is_held_to_the_catalogue() -> None:
    guard = one_guard("a", ranges={"weight": (0.0, 1000.0)})
    (result,) = hold(guard, sent("a", 0, 0, [1], 500.0), 0)  # SetUeWeight: 0.01 to 100
    assert result.causes[1][0] is Cause.RANGE


def test_keys_are_found_anew_when_the_array_is_another_one() -> None:
    known = KnownTargets()
    first, second = SetUeWeight(ue=[1, 1], weight=1), SetUeWeight(ue=[1, 2], weight=1)
    keys, distinct = known.look_up([first.ue], first.targets())
    again, _ = known.look_up([first.ue], first.targets())
    others, others_distinct = known.look_up([second.ue], second.targets())
    assert again is keys
    assert (distinct, others_distinct, others.tolist()) == (False, True, [1, 2])


def test_fields_of_a_table_lie_on_their_grid_also_after_rows_came() -> None:
    table = SettingTable(1, 1)
    wanted = np.ones((1, 1), np.float32)
    for key in (3, 1):
        table.claim(np.array([key]), wanted, owner=0, ticket=key, expires_ns=9)
    assert table.rows["key"].tolist() == [1, 3]
    assert all(table.rows[name].flags.aligned for name in ("key", "claim", "expires_ns"))


def test_verdicts_find_repeated_targets_also_where_none_are_remembered() -> None:
    verdicts = Verdicts(sent("a", 0, 0, [3, 3], 1.0))
    assert (verdicts.distinct, verdicts.keys.tolist()) == (False, [3, 3])
