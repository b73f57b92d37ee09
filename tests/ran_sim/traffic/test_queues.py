"""RLC buffers: packets' fates worked out by hand, bytes conserved under random use."""

import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.state import I64
from ran_sim.scenario import load_scenario
from ran_sim.traffic.arrivals import Traffic, init_traffic
from ran_sim.traffic.queues import (
    FIRST_RING,
    FULL_BUFFER_BYTES,
    Queues,
    abandon,
    abandon_block,
    discard_expired,
    enqueue,
    init_queues,
    settle,
    take,
    with_larger_rings,
)

BUDGET = 20  # slots
ABANDONED = [count.ABANDONED_BYTES, count.ABANDONED_PACKETS, count.ABANDONED_SDUS]
BYTES_OUT = [count.DELIVERED_BYTES, count.DROPPED_BYTES, count.ABANDONED_BYTES]
SDUS_OUT = [count.SDUS_DELIVERED, count.SDUS_DROPPED, count.SDUS_LOST, count.ABANDONED_SDUS]


def a_flow(*, delay_bound: bool = True) -> tuple[Queues, Traffic, I64]:
    """One empty queue of class 0, with a budget of 20 slots."""
    traffic = init_traffic(load_scenario("one-cell"))
    traffic.of_ue[0] = 0
    traffic.budget_slots[0] = BUDGET
    traffic.delay_bound[0] = delay_bound
    return init_queues(1), traffic, np.zeros(count.N, np.int64)


def send(queues: Queues, counts: I64, slot: int, room: int) -> tuple[int, int]:
    start, n = take(queues, counts, 0, slot, room)
    return int(start), int(n)


def outcome(counts: I64) -> tuple[int, int, int]:
    in_budget, late, dropped = counts[[count.PACKETS_IN_BUDGET, count.PACKETS_LATE, count.PACKETS_DROPPED]]
    return int(in_budget), int(late), int(dropped)


@pytest.mark.parametrize(("end_slot", "expected"), [(100 + BUDGET, (1, 0, 0)), (101 + BUDGET, (0, 1, 0))])
def test_packet_is_in_budget_up_to_its_last_slot_and_late_after(
    end_slot: int, expected: tuple[int, int, int]
) -> None:
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 100, 500)
    start, n = send(queues, counts, end_slot - 1, 1000)
    settle(queues, traffic, counts, 0, start, n, True, end_slot - 1, end_slot)
    assert (start, n) == (0, 500)
    assert outcome(counts) == expected


def test_packet_counts_only_when_all_its_blocks_are_decoded() -> None:
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 900)
    first, second = send(queues, counts, 1, 600), send(queues, counts, 2, 600)
    assert (first, second) == ((0, 600), (600, 300))
    settle(queues, traffic, counts, 0, *second, True, 2, 3)
    assert outcome(counts) == (0, 0, 0)
    settle(queues, traffic, counts, 0, *first, True, 1, 10)
    assert outcome(counts) == (1, 0, 0)


def test_packet_overtaken_by_harq_keeps_its_own_delay() -> None:
    # The first packet's block is decoded late, in a retransmission; the second's was in time and must count so.
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 100)
    enqueue(queues, traffic, counts, 0, 0, 100)
    first, second = send(queues, counts, 1, 100), send(queues, counts, 2, 100)
    settle(queues, traffic, counts, 0, *second, True, 2, 3)
    settle(queues, traffic, counts, 0, *first, True, 1, BUDGET + 5)
    assert outcome(counts) == (1, 1, 0)


def test_one_lost_block_drops_the_packets_it_carried() -> None:
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 300)
    enqueue(queues, traffic, counts, 0, 0, 300)
    enqueue(queues, traffic, counts, 0, 0, 300)
    first, second = send(queues, counts, 1, 400), send(queues, counts, 2, 500)
    settle(queues, traffic, counts, 0, *first, False, 1, 9)
    settle(queues, traffic, counts, 0, *second, True, 2, 9)
    assert outcome(counts) == (1, 0, 2)
    assert counts[count.DROPPED_BYTES] == 400
    assert counts[count.DELIVERED_BYTES] == 500


def test_rest_of_an_expired_packet_is_discarded_and_the_next_one_is_kept() -> None:
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 1000)
    enqueue(queues, traffic, counts, 0, 10, 50)
    start, n = send(queues, counts, 5, 400)
    # Sent in slot 19 it ends at 20, still in budget; in slot 20 it cannot.
    discard_expired(queues, traffic, counts, BUDGET - 1, 0)
    assert queues.backlog_bytes[0] == 650
    discard_expired(queues, traffic, counts, BUDGET, 0)
    assert queues.backlog_bytes[0] == 50
    assert counts[count.DROPPED_BYTES] == 600
    settle(queues, traffic, counts, 0, start, n, True, 5, 6)
    assert outcome(counts) == (0, 0, 1)
    assert send(queues, counts, BUDGET, 100) == (1000, 50)


def test_flow_without_delay_bound_never_discards() -> None:
    queues, traffic, counts = a_flow(delay_bound=False)
    enqueue(queues, traffic, counts, 0, 0, 1000)
    discard_expired(queues, traffic, counts, 10_000, 0)
    assert queues.backlog_bytes[0] == 1000


def test_a_packet_that_finds_the_buffer_full_is_dropped_and_counted() -> None:
    queues, traffic, counts = a_flow()
    traffic.buffer_bytes[0] = 25
    for _ in range(5):  # the third finds 20 bytes, the fourth 30
        enqueue(queues, traffic, counts, 0, 0, 10)
    assert counts[count.PACKETS_OFFERED] == 5
    assert outcome(counts) == (0, 0, 2)
    assert (queues.backlog_bytes[0], counts[count.DROPPED_BYTES]) == (30, 20)


def test_a_larger_ring_changes_no_packet_s_fate() -> None:
    # The ring is full and its packets have gone round in it once; half of the bytes are sent, a third of the rest settled.
    queues, traffic, counts = a_flow()
    queues.head[0] = queues.sending[0] = queues.tail[0] = FIRST_RING - 3
    for _ in range(FIRST_RING):
        enqueue(queues, traffic, counts, 0, 0, 30)
    first, second = send(queues, counts, 1, 10 * FIRST_RING), send(queues, counts, 2, 5 * FIRST_RING)
    settle(queues, traffic, counts, 0, *second, True, 2, 3)
    queues = with_larger_rings(queues)
    enqueue(queues, traffic, counts, 0, 4, 30)
    settle(queues, traffic, counts, 0, *first, True, 1, 10)
    rest = send(queues, counts, BUDGET, 1 << 20)
    settle(queues, traffic, counts, 0, *rest, True, BUDGET, BUDGET + 1)
    # Decoded by slot 3 or 10: half of the packets; the last one arrived in slot 4, so it has 16 slots behind it.
    assert outcome(counts) == (FIRST_RING // 2 + 1, FIRST_RING // 2, 0)


def test_sdu_delay_is_the_mean_over_1500_byte_sdus() -> None:
    # 4000 bytes are SDUs of 1500, 1500 and 1000. 2000 bytes by slot 4 complete one, the rest by slot 10 two.
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 4000)
    first, second = send(queues, counts, 3, 2000), send(queues, counts, 9, 2000)
    settle(queues, traffic, counts, 0, *first, True, 3, 4)
    settle(queues, traffic, counts, 0, *second, True, 9, 10)
    assert counts[count.SDUS_DELIVERED] == 3
    assert counts[count.SDU_DELAY_SLOTS] == 1 * 4 + 2 * 10


def test_time_over_the_air_runs_from_the_first_attempt_with_an_sdu_s_last_part() -> None:
    # The second of three SDUs begins in the first block and ends in the second, so that one's two attempts are its time.
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 4000)
    first, second = send(queues, counts, 3, 2000), send(queues, counts, 4, 2000)
    settle(queues, traffic, counts, 0, *second, True, 4, 4 + 8 + 1)
    settle(queues, traffic, counts, 0, *first, True, 3, 4)
    assert counts[[count.SDUS_DELIVERED, count.SDU_AIR_SLOTS]].tolist() == [3, 2 * 9 + 1 * 1]
    assert counts[count.SDU_DELAY_SLOTS] == 2 * 13 + 1 * 4


def test_throughput_leaves_out_the_piece_that_empties_the_buffer() -> None:
    # TS 28.552 5.1.1.3.1: pieces of 100 bytes in slots 3, 4 and 9; the last one ends the burst.
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 300)
    for slot in (3, 4, 9):
        send(queues, counts, slot, 100)
    assert counts[count.THP_BYTES] == 200
    assert counts[count.THP_SLOTS] == 2  # slots 3 and 4
    assert counts[count.UNRESTRICTED_BYTES] == 0


def test_burst_of_one_slot_is_unrestricted_volume() -> None:
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 300)
    send(queues, counts, 3, 400)
    assert (counts[count.THP_BYTES], counts[count.UNRESTRICTED_BYTES]) == (0, 300)


def test_what_a_session_leaves_behind_is_abandoned_sent_or_not() -> None:
    # 700 of 900 bytes were sent, the first packet wholly, and 200 of these decoded: 700 and both packets are open.
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 600)
    enqueue(queues, traffic, counts, 0, 0, 300)
    first, second = send(queues, counts, 1, 200), send(queues, counts, 2, 500)
    settle(queues, traffic, counts, 0, *first, True, 1, 3)
    abandon_block(queues, counts, 0, *second)
    abandon(queues, counts, 0)
    assert counts[ABANDONED].tolist() == [700, 2, 2]


def test_a_full_buffer_leaves_behind_only_what_was_sent_of_it() -> None:
    queues, _, counts = a_flow()
    queues.backlog_bytes[0] = FULL_BUFFER_BYTES
    abandon_block(queues, counts, 0, *send(queues, counts, 1, 400))
    abandon(queues, counts, 0)
    assert counts[ABANDONED].tolist() == [400, 0, 0]


@pytest.mark.parametrize(("sent", "unsent", "lost"), [(0, 3, 0), (100, 2, 1), (1500, 2, 0), (3100, 0, 1)])
def test_an_sdu_whose_rest_is_discarded_was_dropped_unsent_or_lost(sent: int, unsent: int, lost: int) -> None:
    # SDUs of 1500, 1500 and 1000 bytes; those sent as a whole are still in flight.
    queues, traffic, counts = a_flow()
    enqueue(queues, traffic, counts, 0, 0, 4000)
    if sent > 0:
        send(queues, counts, 1, sent)
    discard_expired(queues, traffic, counts, BUDGET, 0)
    assert counts[[count.SDUS_DROPPED, count.SDUS_LOST]].tolist() == [unsent, lost]


@pytest.mark.parametrize("seed", [3, 4])
def test_bytes_packets_and_sdus_are_conserved_under_random_use(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queues, traffic, counts = a_flow()
    in_flight: list[tuple[int, int]] = []
    for slot in range(2000):
        if rng.random() < 0.1:
            enqueue(queues, traffic, counts, 0, slot, int(rng.integers(1, 5000)))
        discard_expired(queues, traffic, counts, slot, 0)
        if queues.backlog_bytes[0] > 0 and rng.random() < 0.5:
            in_flight.append(send(queues, counts, slot, int(rng.integers(1, 2000))))
        if in_flight and rng.random() < 0.5:
            start, n = in_flight.pop(int(rng.integers(len(in_flight))))
            settle(queues, traffic, counts, 0, start, n, bool(rng.random() < 0.9), slot, slot + 1)
        held = int(queues.backlog_bytes[0] + queues.in_flight_bytes[0])
        assert queues.in_flight_bytes[0] == sum(n for _, n in in_flight)
        settled = counts[count.DELIVERED_BYTES] + counts[count.DROPPED_BYTES]
        assert counts[count.OFFERED_BYTES] == settled + held
        open_packets = int(queues.tail[0] - queues.head[0])
        assert counts[count.PACKETS_OFFERED] == sum(outcome(counts)) + open_packets
    assert min(outcome(counts)) > 0
    enqueue(queues, traffic, counts, 0, slot, 5000)
    in_flight.append(send(queues, counts, slot, 2000))
    for start, n in in_flight:
        abandon_block(queues, counts, 0, start, n)
    abandon(queues, counts, 0)
    assert counts[count.OFFERED_BYTES] == counts[BYTES_OUT].sum()
    assert counts[count.SDUS_OFFERED] == counts[SDUS_OUT].sum()
    assert counts[SDUS_OUT].min() > 0
