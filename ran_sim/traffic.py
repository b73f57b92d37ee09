"""Traffic models: when a flow's next packet arrives and how many bytes it has.

A packet is what the application hands over at once and needs as a whole: a file (FTP model 3 of TR 36.889: Poisson
arrivals of one size), a video frame, an XR PDU set (TR 38.838 5.1: frames at a fixed rate, truncated normal size,
truncated normal jitter), a voice frame. Every draw is keyed by the UE's id and the packet's number, so a UE is offered
the same packets whatever the scheduler or an xApp does. Sizes of frames spread by 10.5 % (TR 38.838 5.1),
truncated to 50 .. 150 % of the mean; voice frames do not vary.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ran_sim import random
from ran_sim._jit import bare_kernel
from ran_sim.scenario import Scenario
from ran_sim.state import F64, I32, U8

FULL_BUFFER: Final = 0
POISSON_FILE: Final = 1
FRAMES: Final = 2  # video, XR and voice differ in their numbers only
_MODELS: Final = {"full-buffer": FULL_BUFFER, "poisson-file": POISSON_FILE, "video": FRAMES, "xr": FRAMES}

SIZE_SD: Final = 0.105  # of the mean frame size
SIZE_RANGE: Final = 0.5  # truncation, of the mean
JITTER_RANGE: Final = 2.0  # truncation, in standard deviations
VOICE_5QI: Final = 1

# TS 23.501 V17 Table 5.7.4-1, default priority level: lower is served first.
PRIORITY_LEVEL: Final = {
    1: 20, 2: 40, 3: 30, 4: 50, 65: 7, 66: 20, 67: 15, 71: 56, 72: 56, 73: 56, 74: 56, 76: 56,
    5: 10, 6: 60, 7: 70, 8: 80, 9: 90, 10: 90, 69: 5, 70: 55, 79: 65, 80: 68,
    82: 19, 83: 22, 84: 24, 85: 21, 86: 18, 87: 25, 88: 25, 89: 25, 90: 25,
}  # fmt: skip


class Traffic(NamedTuple):
    """The scenario's traffic classes; shape [n_class] unless said otherwise."""

    of_ue: I32  # [n_ue] class of each UE slot; one QoS flow per UE slot
    model: I32
    interval_slots: F64  # between frames; mean of the exponential gap between files
    size_bytes: F64  # mean
    size_sd: F64  # of the mean; 0 = constant
    jitter_slots: F64  # standard deviation
    budget_slots: F64  # radio's share of the packet delay budget
    delay_bound: U8  # late packets are worthless: what is left of them is discarded
    priority: F64  # TS 23.501 priority level
    weight: F64  # [n_cell, n_class] scheduling weight; an action may move it


def init_traffic(scenario: Scenario) -> Traffic:
    """Arrays of the scenario's traffic classes; one interval or budget need not be a whole number of slots."""
    slots_per_s = 1e9 / scenario.slot_ns
    classes = scenario.traffic
    interval_s = np.full(len(classes), np.inf)
    size_bytes = np.zeros(len(classes))
    for i, traffic in enumerate(classes):
        bytes_per_s = (traffic.rate_mbps or 0.0) * 1e6 / 8
        if traffic.file_kb is not None:
            size_bytes[i] = traffic.file_kb * 1e3
            interval_s[i] = size_bytes[i] / bytes_per_s
        elif traffic.fps is not None:
            interval_s[i] = 1.0 / traffic.fps
            size_bytes[i] = bytes_per_s * interval_s[i]
    varies = [_MODELS[t.model] == FRAMES and t.five_qi != VOICE_5QI for t in classes]
    weight = np.array([scenario.scheduler.class_weight.get(t.five_qi, 1.0) for t in classes])
    return Traffic(
        of_ue=np.array(scenario.traffic_of_ue, np.int32),
        model=np.array([_MODELS[t.model] for t in classes], np.int32),
        interval_slots=interval_s * slots_per_s,
        size_bytes=size_bytes,
        size_sd=np.where(varies, SIZE_SD, 0.0),
        jitter_slots=np.array([(t.jitter_ms or 0.0) * 1e-3 * slots_per_s for t in classes]),
        budget_slots=np.array([t.budget_ms * 1e-3 * slots_per_s for t in classes]),
        delay_bound=np.array([t.delay_bound for t in classes], np.uint8),
        priority=np.array([PRIORITY_LEVEL[t.five_qi] for t in classes], np.float64),
        weight=np.tile(weight, (scenario.n_cell, 1)),
    )


@bare_kernel
def truncated_normal(seed: int, entity: int, index: int, limit: float) -> float:
    """Standard normal cut to +-`limit` by drawing again, at most 8 times; then clipped (1 in 10^10 at limit 2)."""
    for attempt in range(8):
        draw = random.normal(seed, random.TRAFFIC, entity, index * 8 + attempt)
        if -limit <= draw <= limit:
            return draw
    return min(max(draw, -limit), limit)


@bare_kernel
def packet_bytes(traffic: Traffic, seed: int, cls: int, ue_id: int, index: int) -> int:
    """Size of packet `index` of the UE, at least 1 byte."""
    mean = traffic.size_bytes[cls]
    sd = traffic.size_sd[cls]
    if sd == 0.0:
        return max(1, int(mean + 0.5))
    draw = truncated_normal(seed, ue_id, 2 * index, SIZE_RANGE / sd)
    return max(1, int(mean * (1.0 + sd * draw) + 0.5))


@bare_kernel
def arrival_slot(traffic: Traffic, seed: int, cls: int, ue_id: int, index: int, nominal: float) -> int:
    """Slot in which packet `index`, due at `nominal`, is there to be scheduled: the first that begins after it came."""
    late = 0.0
    if traffic.jitter_slots[cls] > 0.0:
        # Shifted by the largest advance, so that no packet comes before the session begins.
        jitter = truncated_normal(seed, ue_id, 2 * index + 1, JITTER_RANGE)
        late = traffic.jitter_slots[cls] * (jitter + JITTER_RANGE)
    return int(np.ceil(nominal + late))


@bare_kernel
def nominal_slot(traffic: Traffic, seed: int, cls: int, ue_id: int, index: int, previous: float) -> float:
    """When packet `index` is due, given when the one before was, or the session's start for the first.

    The first frame falls anywhere in a frame interval: sessions start on radio ticks, their frames must not.
    """
    interval = float(traffic.interval_slots[cls])
    if traffic.model[cls] == POISSON_FILE:
        return previous + interval * random.exponential(seed, random.TRAFFIC, ue_id, -1 - index)
    if index == 0:
        return previous + interval * random.uniform(seed, random.TRAFFIC, ue_id, -1)
    return previous + interval
