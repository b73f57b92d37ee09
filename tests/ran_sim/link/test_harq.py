"""HARQ and OLLA: what feedback does to a block, its bytes and the link adaptation offset."""

import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.state import I64
from ran_sim.link.harq import (
    FREE,
    MAX_TRANSMISSIONS,
    OLLA_LIMIT_DB,
    SENT,
    WAITING,
    Harq,
    feedback,
    flush,
    free_process,
    init_harq,
    oldest_waiting,
    olla_step_db,
)
from ran_sim.scenario import load_scenario
from ran_sim.traffic.arrivals import Traffic, init_traffic
from ran_sim.traffic.queues import Queues, enqueue, init_queues, take

TARGET = 0.1


def one_block(mcs: int = 10) -> tuple[Harq, Queues, Traffic, I64]:
    """A packet of 800 bytes, sent in slot 3 as one block in process 2."""
    harq, queues, counts = init_harq(1), init_queues(1), np.zeros(count.N, np.int64)
    traffic = init_traffic(load_scenario("one-cell"))
    enqueue(queues, traffic, counts, 0, 0, 800)
    harq.start[0, 2], harq.n_bytes[0, 2] = take(queues, counts, 0, 3, 800)
    harq.mcs[0, 2], harq.attempts[0, 2], harq.sent_slot[0, 2] = mcs, 1, 3
    harq.state[0, 2] = SENT
    harq.n_busy[0] = 1
    return harq, queues, traffic, counts


def tell(harq: Harq, queues: Queues, traffic: Traffic, counts: I64, *, decoded: bool) -> None:
    harq.decoded[0, 2] = decoded
    feedback(harq, queues, traffic, counts, 0, 2, TARGET, 27)


def test_acknowledged_block_delivers_its_bytes_and_frees_its_process() -> None:
    harq, queues, traffic, counts = one_block()
    tell(harq, queues, traffic, counts, decoded=True)
    assert (harq.state[0, 2], harq.n_busy[0]) == (FREE, 0)
    assert counts[count.DELIVERED_BYTES] == 800
    assert counts[[count.TB_TOTAL, count.TB_INITIAL, count.TB_ERRORS, count.MCS_SUM]].tolist() == [
        1,
        1,
        0,
        10,
    ]


def test_block_in_error_waits_for_its_retransmission() -> None:
    harq, queues, traffic, counts = one_block()
    tell(harq, queues, traffic, counts, decoded=False)
    assert (harq.state[0, 2], harq.n_waiting[0], oldest_waiting(harq, 0)) == (WAITING, 1, 2)
    assert counts[[count.TB_INITIAL_ERRORS, count.TB_ERRORS, count.DROPPED_BYTES]].tolist() == [1, 1, 0]


def test_block_is_given_up_after_four_attempts() -> None:
    harq, queues, traffic, counts = one_block()
    harq.attempts[0, 2] = MAX_TRANSMISSIONS
    tell(harq, queues, traffic, counts, decoded=False)
    assert harq.state[0, 2] == FREE
    assert counts[[count.TB_LOST, count.DROPPED_BYTES, count.PACKETS_DROPPED]].tolist() == [1, 800, 1]
    assert counts[count.TB_INITIAL] == 0  # a fourth attempt is no first one


@pytest.mark.parametrize("target", [0.01, 0.1, 0.3])
def test_olla_balances_at_its_target(target: float) -> None:
    drift = (1 - target) * olla_step_db(target, True) + target * olla_step_db(target, False)
    assert drift == pytest.approx(0.0, abs=1e-12)
    assert -olla_step_db(target, False) / olla_step_db(target, True) == pytest.approx((1 - target) / target)


def test_olla_learns_from_first_transmissions_only() -> None:
    harq, queues, traffic, counts = one_block()
    harq.attempts[0, 2] = 2
    tell(harq, queues, traffic, counts, decoded=False)
    assert harq.olla_db[0] == 0.0


@pytest.mark.parametrize(("mcs", "decoded"), [(27, True), (0, False)])
def test_olla_rests_where_there_is_no_other_mcs(mcs: int, decoded: bool) -> None:
    harq, queues, traffic, counts = one_block(mcs)
    tell(harq, queues, traffic, counts, decoded=decoded)
    assert harq.olla_db[0] == 0.0


def test_olla_stays_within_its_limit() -> None:
    harq, queues, traffic, counts = one_block()
    harq.olla_db[0] = -OLLA_LIMIT_DB
    tell(harq, queues, traffic, counts, decoded=False)
    assert harq.olla_db[0] == -OLLA_LIMIT_DB


@pytest.mark.parametrize(
    ("decoded", "lose", "delivered", "dropped"),
    [(True, True, 800, 0), (False, True, 0, 800), (False, False, 0, 0)],
)
def test_flush_delivers_what_was_decoded_and_loses_the_rest_at_a_handover(
    decoded: bool, lose: bool, delivered: int, dropped: int
) -> None:
    harq, queues, traffic, counts = one_block()
    harq.decoded[0, 2] = decoded
    flush(harq, queues, traffic, counts, 0, 6, lose)
    assert (harq.state == FREE).all()
    assert counts[[count.DELIVERED_BYTES, count.DROPPED_BYTES]].tolist() == [delivered, dropped]


def test_free_process_is_found_until_all_are_busy() -> None:
    harq = init_harq(1)
    harq.state[0, :5] = SENT
    assert free_process(harq, 0) == 5
    harq.state[0] = WAITING
    assert free_process(harq, 0) == -1
