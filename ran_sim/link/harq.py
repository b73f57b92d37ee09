"""HARQ and outer loop link adaptation.

Up to 16 processes per UE (TS 38.214 5.1). Feedback on a transmission is known, and its retransmission possible, 8 slots
after it was sent. Retransmissions are chase combined: the effective SINRs of all attempts add up. After 4 attempts the
block is given up and RLC (unacknowledged mode) has lost its bytes. Feedback itself is free of errors.

OLLA moves a UE's offset on the feedback of first transmissions: down by 0.5 dB for an error, up by 0.5 p / (1 - p) dB
otherwise, which balances at an error rate of p, the target. It stays after a decoded block of the highest MCS and after an error of the lowest.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ran_sim.core import counters as count
from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64, I32, I64, U8
from ran_sim.traffic.arrivals import Traffic
from ran_sim.traffic.queues import Queues, abandon_block, settle

HARQ_RTT_SLOTS: Final = 8
MAX_TRANSMISSIONS: Final = 4
N_PROCESS: Final = 16
OLLA_STEP_DOWN_DB: Final = 0.5
OLLA_LIMIT_DB: Final = 15.0
FREE: Final = 0
SENT: Final = 1  # waits for feedback
WAITING: Final = 2  # waits for a retransmission


class Harq(NamedTuple):
    """Processes, shape [n_ue, N_PROCESS] unless said otherwise."""

    state: U8  # FREE, SENT or WAITING
    start: I64  # first byte in the flow's stream
    n_bytes: I64
    mcs: I32
    n_rbg: I32
    n_prb: I32
    attempts: I32
    sinr: F64  # sum of the attempts' effective SINRs, linear
    decoded: U8  # by the UE, in the latest attempt
    first_slot: I64  # of the first attempt
    sent_slot: I64  # of the latest attempt
    n_busy: I32  # [n_ue] processes that are not FREE
    n_waiting: I32  # [n_ue]
    olla_db: F64  # [n_ue] offset to the SNR that the CQI stands for


class Sent(NamedTuple):
    """Transport blocks of the last HARQ_RTT_SLOTS slots, row = slot modulo that."""

    n: I64  # [RTT]
    ue: I64  # [RTT, n_cell * max_dci]
    process: I64
    rbgs: I64  # bit b = RBG b


def init_harq(n_ue: int) -> Harq:
    """All processes free, offsets 0."""
    shape = (n_ue, N_PROCESS)
    return Harq(
        state=np.zeros(shape, np.uint8),
        start=np.zeros(shape, np.int64),
        n_bytes=np.zeros(shape, np.int64),
        mcs=np.zeros(shape, np.int32),
        n_rbg=np.zeros(shape, np.int32),
        n_prb=np.zeros(shape, np.int32),
        attempts=np.zeros(shape, np.int32),
        sinr=np.zeros(shape),
        decoded=np.zeros(shape, np.uint8),
        first_slot=np.zeros(shape, np.int64),
        sent_slot=np.zeros(shape, np.int64),
        n_busy=np.zeros(n_ue, np.int32),
        n_waiting=np.zeros(n_ue, np.int32),
        olla_db=np.zeros(n_ue),
    )


def init_sent(most_per_slot: int) -> Sent:
    """No transmission so far; `most_per_slot` over all cells."""
    shape = (HARQ_RTT_SLOTS, most_per_slot)
    return Sent(
        n=np.zeros(HARQ_RTT_SLOTS, np.int64),
        ue=np.zeros(shape, np.int64),
        process=np.zeros(shape, np.int64),
        rbgs=np.zeros(shape, np.int64),
    )


@bare_kernel
def free_process(harq: Harq, u: int) -> int:
    """A process without a block, -1 if there is none."""
    for p in range(N_PROCESS):
        if harq.state[u, p] == FREE:
            return p
    return -1


@bare_kernel
def oldest_waiting(harq: Harq, u: int) -> int:
    """The process whose block has waited longest for its retransmission, -1 if none does."""
    oldest = -1
    for p in range(N_PROCESS):
        if harq.state[u, p] == WAITING and (oldest < 0 or harq.sent_slot[u, p] < harq.sent_slot[u, oldest]):
            oldest = p
    return oldest


@bare_kernel
def olla_step_db(target: float, decoded: bool) -> float:
    """Change of the offset after a first transmission."""
    if decoded:
        return OLLA_STEP_DOWN_DB * target / (1.0 - target)
    return -OLLA_STEP_DOWN_DB


@bare_kernel
def _count_attempt(harq: Harq, counts: I64, u: int, p: int) -> None:
    error = 1 - harq.decoded[u, p]
    counts[count.TB_TOTAL] += 1
    counts[count.TB_ERRORS] += error
    if harq.attempts[u, p] == 1:
        counts[count.TB_INITIAL] += 1
        counts[count.TB_INITIAL_ERRORS] += error
        counts[count.MCS_SUM] += harq.mcs[u, p]


@bare_kernel
def _release(harq: Harq, u: int, p: int) -> None:
    harq.state[u, p] = FREE
    harq.n_busy[u] -= 1


@bare_kernel
def _settle_block(
    harq: Harq, queues: Queues, traffic: Traffic, counts: I64, u: int, p: int, end_slot: int
) -> None:
    start, n, decoded = harq.start[u, p], harq.n_bytes[u, p], harq.decoded[u, p] == 1
    settle(queues, traffic, counts, u, start, n, decoded, harq.first_slot[u, p], end_slot)


@bare_kernel
def feedback(
    harq: Harq,
    queues: Queues,
    traffic: Traffic,
    counts: I64,
    u: int,
    p: int,
    olla_target: float,
    top_mcs: int,
) -> None:
    """Tell the gNB the outcome of the latest attempt of process `p`."""
    _count_attempt(harq, counts, u, p)
    decoded = harq.decoded[u, p] == 1
    if harq.attempts[u, p] == 1:
        mcs = harq.mcs[u, p]
        if (decoded and mcs < top_mcs) or (not decoded and mcs > 0):
            moved = harq.olla_db[u] + olla_step_db(olla_target, decoded)
            harq.olla_db[u] = min(max(moved, -OLLA_LIMIT_DB), OLLA_LIMIT_DB)
    if decoded or harq.attempts[u, p] == MAX_TRANSMISSIONS:
        _settle_block(harq, queues, traffic, counts, u, p, harq.sent_slot[u, p] + 1)
        _release(harq, u, p)
        if not decoded:
            counts[count.TB_LOST] += 1
    else:
        harq.state[u, p] = WAITING
        harq.n_waiting[u] += 1


@bare_kernel
def flush(harq: Harq, queues: Queues, traffic: Traffic, counts: I64, u: int, slot: int, lose: bool) -> None:
    """Empty the UE's HARQ buffers in slot `slot`: MAC reset at a handover, or the end of the session.

    Bytes that the UE has decoded count as delivered. The others are lost with `lose`, and abandoned without.
    """
    for p in range(N_PROCESS):
        if harq.state[u, p] == FREE:
            continue
        if harq.state[u, p] == SENT:
            _count_attempt(harq, counts, u, p)
        decoded = harq.decoded[u, p] == 1
        if decoded or lose:
            _settle_block(harq, queues, traffic, counts, u, p, harq.sent_slot[u, p] + 1 if decoded else slot)
            if not decoded:
                counts[count.TB_LOST] += 1
        else:
            abandon_block(queues, counts, u, harq.start[u, p], harq.n_bytes[u, p])
        _release(harq, u, p)
    harq.n_waiting[u] = 0
