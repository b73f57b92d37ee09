"""RLC buffers: one queue of packets per UE row, from arrival to the last byte that the UE decoded.

A flow's bytes form one stream; a packet is a stretch of it, a transport block carries a stretch [start, start + n).
HARQ lets later bytes arrive earlier, so a packet counts its settled bytes (decoded or lost) and is finished when all are
settled. `head` .. `sending` .. `tail` are running packet numbers. Packets before `sending` are wholly sent and wait for HARQ;
packets from it on still hold unsent bytes.

Each queue keeps its packets in a ring whose size is a power of two. A packet that finds the ring full waits: `run_slots` stops,
`with_larger_rings` doubles the ring, and the slot goes on. So only a full buffer (`buffer_bytes`) and a passed budget drop
packets. Rings begin small because slots read them; most never grow.

Delay-bound flows discard the unsent rest of a packet once its budget has passed (TS 38.323 5.3 discardTimer; as a PDU set,
TS 23.501 5.37: the rest of a late frame is worthless). Segments already sent are not recalled. Full buffers have no packets.
Left out: header overhead of PDCP, RLC and MAC, RLC retransmissions (unacknowledged mode), the wait for earlier packets in
PDCP's reordering.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ran_sim.core import counters as count
from ran_sim.core.jit import bare_kernel
from ran_sim.core.random import BACKHAUL, uniform
from ran_sim.core.state import F64, I32, I64, NEVER, U8
from ran_sim.scenario.model import MOST_PACKETS_PER_SLOT
from ran_sim.traffic.arrivals import (
    FULL_BUFFER,
    NO_ANSWER,
    RESUME_SLOTS,
    START_SLOTS,
    Traffic,
    arrival_slot,
    next_packet,
)
from ran_sim.traffic.playout import N_PLAYER, start_player, take_segment

FIRST_RING: Final = 64  # packets that a queue's ring holds at first
FULL_BUFFER_BYTES: Final = 1 << 40  # what a full buffer always holds
LAST_SLOT: Final = 2.0**62  # a packet that is due later never comes; int64 holds it

# Columns of `Queues.packet`: slot of arrival, which discarding counts from; slot that it would have arrived in over a healthy
# backhaul, which its delay and its being late count from; first byte in the stream, bytes, bytes decoded or lost, bytes lost, end of the last slot that bytes of it were
# settled in
ARRIVAL, DUE, START, SIZE, SETTLED, LOST, DONE = range(7)
N_PACKET: Final = 7


class Queues(NamedTuple):
    """Shape [n_ue] unless said otherwise."""

    owner: I64  # id of the UE that the queue belongs to, -1 while the row is idle
    cell: I32  # cell whose MAC serves the queue, -1 while idle
    next_packet: I64  # number of the packet that arrives next
    next_slot: I64  # when it does, NEVER if none will
    nominal: F64  # when it is due, before jitter
    next_bytes: I64  # its size, or `traffic.NO_ANSWER`
    talking: U8  # whether it is a frame of speech
    taken_slot: I64  # in which packets came last
    taken: I64  # how many did in that slot
    head: I64
    sending: I64
    tail: I64
    sent: I64  # next byte of the stream to send
    end: I64  # bytes that ever entered the stream
    backlog_bytes: I64  # unsent
    in_flight_bytes: I64  # sent, not settled
    ring_start: I64  # row of `packet` that its ring begins at
    ring_mask: I64  # packets that the ring holds, less one
    packet: I64  # [sum of the rings, N_PACKET]
    # The burst being measured for DRB.UEThpDl, TS 28.552 5.1.1.3.1
    burst_mark: I64  # slot up to which the burst's time is counted, -1 while the buffer is empty
    piece_bytes: I64  # last piece sent; counted once another piece follows
    piece_end: I64  # first slot after it
    player: F64  # [n_ue, N_PLAYER] see `playout`


def init_queues(n_ue: int) -> Queues:
    """Idle queues."""

    def zeros(*shape: int) -> I64:
        return np.zeros((n_ue, *shape), np.int64)

    return Queues(
        owner=zeros() - 1,
        cell=np.full(n_ue, -1, np.int32),
        next_packet=zeros(),
        next_slot=zeros() + NEVER,
        nominal=np.zeros(n_ue),
        next_bytes=zeros(),
        talking=np.zeros(n_ue, np.uint8),
        taken_slot=zeros() - 1,
        taken=zeros(),
        head=zeros(),
        sending=zeros(),
        tail=zeros(),
        sent=zeros(),
        end=zeros(),
        backlog_bytes=zeros(),
        in_flight_bytes=zeros(),
        ring_start=np.arange(n_ue, dtype=np.int64) * FIRST_RING,
        ring_mask=zeros() + FIRST_RING - 1,
        packet=np.zeros((n_ue * FIRST_RING, N_PACKET), np.int64),
        burst_mark=zeros() - 1,
        piece_bytes=zeros(),
        piece_end=zeros(),
        player=np.zeros((n_ue, N_PLAYER)),
    )


def with_larger_rings(queues: Queues) -> Queues:
    """The same queues, with a ring of twice the size for each that is at least three quarters full."""
    size = queues.ring_mask + 1
    n = queues.tail - queues.head
    new_size = np.where(4 * n >= 3 * size, 2 * size, size)
    new_start = np.cumsum(new_size) - new_size
    packet = np.zeros((int(new_size.sum()), N_PACKET), np.int64)
    owner = np.repeat(np.arange(n.size), n)  # of each packet
    number = np.arange(owner.size) + np.repeat(queues.head - (np.cumsum(n) - n), n)
    packet[new_start[owner] + number % new_size[owner]] = queues.packet[
        queues.ring_start[owner] + number % size[owner]
    ]
    return queues._replace(ring_start=new_start, ring_mask=new_size - 1, packet=packet)


@bare_kernel
def packet_row(queues: Queues, u: int, number: int) -> int:
    """Row of `packet` of the UE's packet `number`."""
    return int(queues.ring_start[u] + (number & queues.ring_mask[u]))


@bare_kernel
def reset_queue(queues: Queues, u: int) -> None:
    """An idle queue without bytes."""
    queues.owner[u] = -1
    queues.cell[u] = -1
    queues.next_slot[u] = NEVER
    queues.next_packet[u] = queues.head[u] = queues.sending[u] = queues.tail[u] = 0
    queues.sent[u] = queues.end[u] = queues.backlog_bytes[u] = queues.in_flight_bytes[u] = 0
    queues.burst_mark[u] = -1


@bare_kernel
def abandon(queues: Queues, counts: I64, u: int) -> None:
    """Count the unsent bytes of a session that ends; a full buffer counts as offered only its sent bytes."""
    if queues.backlog_bytes[u] != FULL_BUFFER_BYTES:
        counts[count.ABANDONED_BYTES] += queues.backlog_bytes[u]
    counts[count.ABANDONED_PACKETS] += queues.tail[u] - queues.head[u]
    counts[count.ABANDONED_SDUS] += _sdus_within(queues, u, queues.sent[u], queues.end[u])


@bare_kernel
def abandon_block(queues: Queues, counts: I64, u: int, start: int, n: int) -> None:
    """Count a transport block that was in flight, undecoded, when the session ended; see `settle`."""
    queues.in_flight_bytes[u] -= n
    counts[count.ABANDONED_BYTES] += n
    if start >= 0:
        counts[count.ABANDONED_SDUS] += _sdus_within(queues, u, start, start + n)


@bare_kernel
def start_flow(queues: Queues, traffic: Traffic, seed: int, u: int, ue_id: int, slot: int) -> None:
    """A new UE's flow: its first packet is due, or its buffer is full for good."""
    reset_queue(queues, u)
    queues.owner[u] = ue_id
    cls = traffic.of_ue[u]
    start_player(queues.player[u], slot, traffic.shape[cls, START_SLOTS] > 0.0)
    if traffic.model[cls] == FULL_BUFFER:
        queues.backlog_bytes[u] = FULL_BUFFER_BYTES
        return
    queues.nominal[u] = slot
    queues.next_slot[u] = slot
    _await_packet(queues, traffic, seed, u, 0)


@bare_kernel
def _await_packet(queues: Queues, traffic: Traffic, seed: int, u: int, index: int) -> None:
    """Make packet `index`, or the next one that is not thinned out, the UE's next one."""
    cls, owner = traffic.of_ue[u], queues.owner[u]
    number, queues.nominal[u], queues.next_bytes[u], queues.talking[u] = next_packet(
        traffic, seed, cls, owner, index, queues.nominal[u], queues.talking[u]
    )
    queues.next_packet[u] = number
    if queues.nominal[u] > LAST_SLOT or queues.next_bytes[u] == NO_ANSWER:
        queues.next_slot[u] = NEVER
        return
    due = arrival_slot(traffic, seed, cls, owner, number, queues.nominal[u])
    queues.next_slot[u] = max(due, queues.next_slot[u])  # packets keep their order, whatever the jitter


@bare_kernel
def arrive(
    queues: Queues,
    traffic: Traffic,
    counts: I64,
    seed: int,
    slot: int,
    u: int,
    late_slots: tuple[float, float],
) -> bool:
    """Take in the packets that have arrived by `slot`; False if the ring is full before that: call again with a larger ring.

    `counts` is the UE's row.

    `late_slots` is by how much the backhaul brings each packet late, and at most how much more, drawn for each packet.
    More packets than `MOST_PACKETS_PER_SLOT` wait for the next slot: a plug-in without gaps must not stop the clock.
    """
    if queues.taken_slot[u] != slot:
        queues.taken_slot[u], queues.taken[u] = slot, 0
    while queues.taken[u] < MOST_PACKETS_PER_SLOT:
        held = late_slots[0]
        if late_slots[1] > 0.0:
            held += late_slots[1] * uniform(seed, BACKHAUL, queues.owner[u], queues.next_packet[u])
        if queues.next_slot[u] > slot - int(held):
            break
        if queues.tail[u] - queues.head[u] > queues.ring_mask[u]:
            return False
        enqueue(queues, traffic, counts, u, slot, queues.next_bytes[u], slot - queues.next_slot[u])
        queues.taken[u] += 1
        _await_packet(queues, traffic, seed, u, queues.next_packet[u] + 1)
    return True


@bare_kernel
def enqueue(
    queues: Queues, traffic: Traffic, counts: I64, u: int, slot: int, size: int, late_slots: int = 0
) -> None:
    """Append a packet of `size` bytes that arrived in `slot`, late by `late_slots`, or drop it if the buffer is full.

    Its ring must not be full.
    """
    counts[count.PACKETS_OFFERED] += 1
    counts[count.OFFERED_BYTES] += size
    counts[count.SDUS_OFFERED] += _sdus_begun(size)
    if queues.backlog_bytes[u] >= traffic.buffer_bytes[traffic.of_ue[u]]:
        counts[count.PACKETS_DROPPED] += 1
        counts[count.DROPPED_BYTES] += size
        counts[count.SDUS_DROPPED] += _sdus_begun(size)
        return
    packet = queues.packet[packet_row(queues, u, queues.tail[u])]
    packet[ARRIVAL] = packet[DONE] = slot
    packet[DUE] = slot - late_slots
    packet[START] = queues.end[u]
    packet[SIZE] = size
    packet[SETTLED] = packet[LOST] = 0
    queues.end[u] += size
    queues.tail[u] += 1
    queues.backlog_bytes[u] += size


@bare_kernel
def discard_expired(queues: Queues, traffic: Traffic, counts: I64, slot: int, u: int) -> None:
    """Discard the unsent rest of packets that can no longer be decoded within their budget."""
    cls = traffic.of_ue[u]
    if traffic.delay_bound[cls] == 0:
        return
    while queues.backlog_bytes[u] > 0:
        packet = queues.packet[packet_row(queues, u, queues.sending[u])]
        if slot + 1 - packet[ARRIVAL] <= traffic.budget_slots[cls]:
            return
        packet_end = packet[START] + packet[SIZE]
        unsent = packet_end - queues.sent[u]
        size = packet[SIZE]
        begun = _sdus_begun(size - unsent)
        counts[count.SDUS_DROPPED] += _sdus_begun(size) - begun
        counts[count.SDUS_LOST] += begun - _sdus_ended(0, size - unsent, size)
        queues.sent[u] = packet_end
        queues.sending[u] += 1
        queues.backlog_bytes[u] -= unsent
        packet[LOST] += unsent
        packet[SETTLED] += unsent
        counts[count.DROPPED_BYTES] += unsent
        _retire(queues, traffic, counts, u)
        if queues.backlog_bytes[u] == 0:
            queues.burst_mark[u] = -1  # the burst ended unsent; its last piece stays uncounted


@bare_kernel
def take(queues: Queues, counts: I64, u: int, slot: int, block_bytes: int) -> tuple[int, int]:
    """Move up to `block_bytes` from the buffer into a transport block sent in `slot`.

    Returns:
        First byte in the stream and number of bytes; the start is -1 for a full buffer.
    """
    if queues.backlog_bytes[u] == FULL_BUFFER_BYTES:
        counts[count.OFFERED_BYTES] += block_bytes
        queues.in_flight_bytes[u] += block_bytes
        _measure_burst(queues, counts, u, slot, block_bytes, False)
        return -1, block_bytes
    start = queues.sent[u]
    n = min(block_bytes, queues.backlog_bytes[u])
    queues.sent[u] += n
    queues.backlog_bytes[u] -= n
    queues.in_flight_bytes[u] += n
    first = start
    while queues.sending[u] < queues.tail[u]:
        packet = queues.packet[packet_row(queues, u, queues.sending[u])]
        packet_start, size = packet[START], packet[SIZE]
        packet_end = packet_start + size
        last = min(queues.sent[u], packet_end)
        sdus = _sdus_ended(first - packet_start, last - packet_start, size)
        counts[count.SDUS_SENT] += sdus
        counts[count.SDU_WAIT_SLOTS] += sdus * (slot - packet[ARRIVAL])
        if packet_end > queues.sent[u]:
            break
        first = packet_end
        queues.sending[u] += 1
    _measure_burst(queues, counts, u, slot, n, queues.backlog_bytes[u] == 0)
    return start, n


@bare_kernel
def _measure_burst(queues: Queues, counts: I64, u: int, slot: int, n: int, emptied: bool) -> None:
    """TS 28.552 5.1.1.3.1: volume and time of a burst but for the piece that empties the buffer.

    A piece is counted when the next one is sent, so a burst that goes on beyond a granularity period adds to each.
    The piece's time ends with its transmission: the wait for its acknowledgement is left out.
    """
    first = queues.burst_mark[u] < 0
    if first and emptied:
        counts[count.UNRESTRICTED_BYTES] += n
        return
    if first:
        queues.burst_mark[u] = slot
    else:
        counts[count.THP_BYTES] += queues.piece_bytes[u]
        counts[count.THP_SLOTS] += queues.piece_end[u] - queues.burst_mark[u]
        queues.burst_mark[u] = queues.piece_end[u]
    queues.piece_bytes[u] = n
    queues.piece_end[u] = slot + 1
    if emptied:
        queues.burst_mark[u] = -1


@bare_kernel
def settle(
    queues: Queues,
    traffic: Traffic,
    counts: I64,
    u: int,
    start: int,
    n: int,
    decoded: bool,
    first_slot: int,
    end_slot: int,
) -> None:
    """A transport block first sent in `first_slot`, the stream's bytes [start, start + n), is settled.

    It was decoded by the end of slot `end_slot - 1`, or is lost.
    """
    queues.in_flight_bytes[u] -= n
    if decoded:
        counts[count.DELIVERED_BYTES] += n
    else:
        counts[count.DROPPED_BYTES] += n
    if start < 0:
        return
    end = start + n
    number = queues.head[u]
    while number < queues.tail[u]:
        packet = queues.packet[packet_row(queues, u, number)]
        first = max(start, packet[START])
        last = min(end, packet[START] + packet[SIZE])
        if first >= end:
            break
        if last > first:
            packet[DONE] = max(packet[DONE], end_slot)
            packet[SETTLED] += last - first
            packet_start = packet[START]
            sdus = _sdus_ended(first - packet_start, last - packet_start, packet[SIZE])
            if decoded:
                counts[count.SDUS_DELIVERED] += sdus
                counts[count.SDU_DELAY_SLOTS] += sdus * (end_slot - packet[DUE])
                counts[count.SDU_AIR_SLOTS] += sdus * (end_slot - first_slot)
            else:
                counts[count.SDUS_LOST] += sdus
                packet[LOST] += last - first
        number += 1
    _retire(queues, traffic, counts, u)


@bare_kernel
def _sdus_begun(n: int) -> int:
    """SDUs that the first `n` bytes of a packet belong to."""
    return -(-n // count.SDU_BYTES)


@bare_kernel
def _sdus_ended(before: int, after: int, size: int) -> int:
    """SDUs of a packet that end in its bytes `before` .. `after`; the last one may be short."""
    ended = after // count.SDU_BYTES - before // count.SDU_BYTES
    if after == size and after > before and size % count.SDU_BYTES != 0:
        ended += 1
    return ended


@bare_kernel
def _sdus_within(queues: Queues, u: int, start: int, end: int) -> int:
    """SDUs of the open packets whose last byte is one of the stream's bytes [start, end)."""
    sdus = 0
    for number in range(queues.head[u], queues.tail[u]):
        packet = queues.packet[packet_row(queues, u, number)]
        packet_start, size = packet[START], packet[SIZE]
        first, last = max(start - packet_start, 0), min(end - packet_start, size)
        if last > first:
            sdus += _sdus_ended(first, last, size)
    return sdus


@bare_kernel
def _retire(queues: Queues, traffic: Traffic, counts: I64, u: int) -> None:
    """Count the outcome of packets at the head that are wholly settled; a stream's player gets them, lost bytes or not."""
    cls = traffic.of_ue[u]
    budget, start = traffic.budget_slots[cls], traffic.shape[cls, START_SLOTS]
    while queues.head[u] < queues.sending[u]:
        packet = queues.packet[packet_row(queues, u, queues.head[u])]
        if packet[SETTLED] < packet[SIZE]:
            return
        if packet[LOST] > 0:
            counts[count.PACKETS_DROPPED] += 1
        elif packet[DONE] - packet[DUE] <= budget:
            counts[count.PACKETS_IN_BUDGET] += 1
        else:
            counts[count.PACKETS_LATE] += 1
        if start > 0.0:
            content, resume = traffic.interval_slots[cls], traffic.shape[cls, RESUME_SLOTS]
            take_segment(queues.player[u], counts, packet[DONE], content, start, resume)
        queues.head[u] += 1
