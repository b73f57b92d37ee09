"""SDUs of 1500 bytes that packets are cut into: when they count as offered, sent and dropped."""

from __future__ import annotations

import numpy as np

from ran_sim.core import counters as count
from ran_sim.core.state import I64
from ran_sim.scenario import Scenario
from ran_sim.traffic.arrivals import Traffic, init_traffic
from ran_sim.traffic.queues import Queues, discard_expired, enqueue, init_queues, take

PACKET = 3200  # SDUs of 1500, 1500 and 200 bytes


def a_flow(n_packets: int) -> tuple[Queues, I64]:
    """One UE with packets that arrived in slots 2, 3, ..., and its counters."""
    queues, traffic, counts = init_queues(1), with_a_budget_of_10_slots(), np.zeros(count.N, np.int64)
    for i in range(n_packets):
        enqueue(queues, traffic, counts, 0, 2 + i, PACKET)
    return queues, counts


def with_a_budget_of_10_slots() -> Traffic:
    flow = {
        "name": "f", "five_qi": 3, "model": "video", "ues": 1, "rate_mbps": 1.0, "fps": 50.0, "radio_budget_ms": 5.0,
    }  # fmt: skip
    return init_traffic(
        Scenario.model_validate(
            {
                "name": "s",
                "traffic": [flow],
                "layout": {"sites": 1, "sectors": 1},
                "radio": {"k_interferers": 0},
            }
        )
    )


def test_an_sdu_is_sent_with_its_last_byte_and_has_waited_until_then() -> None:
    queues, counts = a_flow(1)
    assert counts[count.SDUS_OFFERED] == 3
    take(queues, counts, 0, 5, 1600)  # the first SDU and 100 bytes of the second
    assert (counts[count.SDUS_SENT], counts[count.SDU_WAIT_SLOTS]) == (1, 5 - 2)
    take(queues, counts, 0, 7, 1399)  # all but one byte of the second
    assert counts[count.SDUS_SENT] == 1
    take(queues, counts, 0, 9, 9999)
    assert (counts[count.SDUS_SENT], counts[count.SDU_WAIT_SLOTS]) == (3, 3 + 2 * (9 - 2))


def test_one_transport_block_can_end_sdus_of_two_packets() -> None:
    queues, counts = a_flow(2)
    take(queues, counts, 0, 10, PACKET + 1500)
    assert (counts[count.SDUS_SENT], counts[count.SDU_WAIT_SLOTS]) == (4, 3 * (10 - 2) + 1 * (10 - 3))


def test_only_sdus_of_which_nothing_was_sent_count_as_dropped() -> None:
    queues, counts = a_flow(2)
    take(queues, counts, 0, 5, 1600)
    traffic = with_a_budget_of_10_slots()
    discard_expired(queues, traffic, counts, 12, 0)  # 11 slots for the first packet, 10 for the second
    assert counts[count.SDUS_DROPPED] == 1  # the second SDU was begun, the third was not
    discard_expired(queues, traffic, counts, 13, 0)
    assert counts[count.SDUS_DROPPED] == 1 + 3
    assert counts[count.SDUS_SENT] == 1
