"""The player at the UE: shows a stream from its buffer, and stands still while the buffer is empty.

A segment is content that can be shown once the whole of it and of those before it has been decoded. Playing starts
with `start_s` of content in the buffer and goes on after a stall with `resume_s` (initial and re-buffering delay of the
buffer models in ITU-T G.1021); nothing is skipped. Every slot of a session counts as waiting for the start, as playing or as
stalled, up to the slot whose feedback is known. A period therefore ends `HARQ_RTT_SLOTS` early for the player.

Left out: the choice of another quality (rates are the scenario's), a limit to the buffer, and a transport that repeats lost
bytes: a segment is shown also if HARQ lost a part of it.
"""

from __future__ import annotations

import math
from typing import Final

from ran_sim.core import counters as count
from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64, I64

# Columns of a player
STATE: Final = 0
CLOCK: Final = 1  # slot up to which its time is counted
READY: Final = 2  # slots of content that wait for the start or the end of a stall
DRY: Final = 3  # slot in which the buffer will be empty while it plays; absolute, so that no sum depends on the times of evaluation
N_PLAYER: Final = 4

NO_STREAM: Final = 0.0
STARTING: Final = 1.0
PLAYING: Final = 2.0
STALLED: Final = 3.0


@bare_kernel
def start_player(player: F64, slot: int, streams: bool) -> None:
    """A new session's player, which waits for its first content; none if the session is no stream. Shape [N_PLAYER]."""
    player[STATE] = STARTING if streams else NO_STREAM
    player[CLOCK] = slot
    player[READY] = 0.0
    player[DRY] = 0.0


@bare_kernel
def run_player(player: F64, counts: I64, slot: int) -> None:
    """Count the player's time up to `slot`; `counts` is the UE's row."""
    waited = int(slot - player[CLOCK])
    if player[STATE] == NO_STREAM or waited <= 0:
        return
    player[CLOCK] = slot
    if player[STATE] == STARTING:
        counts[count.STARTUP_SLOTS] += waited
        return
    if player[STATE] == PLAYING:
        # A slot that the content lasts into is played; content that comes as the buffer runs dry is in time.
        overrun = int(slot - math.ceil(player[DRY]))
        counts[count.PLAYING_SLOTS] += waited - max(overrun, 0)
        if overrun <= 0:
            return
        waited = overrun
        player[STATE] = STALLED
        counts[count.STALLS] += 1
    counts[count.STALLED_SLOTS] += waited


@bare_kernel
def take_segment(player: F64, counts: I64, slot: int, content: float, start: float, resume: float) -> None:
    """`content` slots of the stream can be shown from `slot` on, or from where the player's time is counted to."""
    run_player(player, counts, slot)
    if player[STATE] == PLAYING:
        player[DRY] += content
        return
    player[READY] += content
    # Sums of segments that make up the threshold but for their last bits do.
    if player[READY] >= (start if player[STATE] == STARTING else resume) - 1e-6:
        player[STATE] = PLAYING
        player[DRY] = player[CLOCK] + player[READY]
        player[READY] = 0.0
