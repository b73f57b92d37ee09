"""Traffic models: arrival time and size of a flow's next packet.

A packet is the unit that the application hands over at once and needs as a whole:
- full-buffer: no packets, there is always something to send.
- poisson-file (ftp3): files of one size, Poisson arrivals; FTP model 3 of TR 36.889 A.1.1.
- video: frames at a fixed rate. Sizes spread as those of xr, but for 5QI 1: voice without pauses.
- xr: PDU sets of TR 38.838 5.1.1.1: frames at a fixed rate; sizes truncated normal with a deviation of 10.5 %, within 50 and
  150 % of the mean; arrivals shifted by a truncated normal jitter. (The table's deviation is 2 ms, cut at +-4 ms.)
- voip: the two states of NGMN's evaluation methodology (Annex B; the same numbers as 3GPP R1-070674): talk spurts and
  silences of geometric length, 50 % talk in spurts of 2 s on average; 40 bytes every 20 ms of talk, a silence descriptor
  of 15 bytes at the start of a silence and every 160 ms of it.
- streaming: segments of constant size, each `segment_s` of content. The first `start_s` of content is sent at once, the
  rest as it is shown, so the player of `playout` has something in hand.
- urllc: small packets, at fixed intervals with or without truncated normal jitter, or as a Poisson process.
- cbr: packets of one size at fixed intervals.
- trace: the packets of a recording. A UE enters it at a time of its own and goes round, for good or once; between the
  last packet and the first lies the mean gap.
- plugin: a function of your own, see `SIGNATURE`.

Files of a class that follows the load come at a rate in proportion to the factor of `load`.

Every draw is keyed by the UE's id and the packet's number, so a UE is offered the same packets whatever the scheduler or
an xApp does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core import random
from ran_sim.core.jit import bare_kernel
from ran_sim.core.plugins import Plugin, as_plugin, compiled
from ran_sim.core.state import F64, I32, I64, U8
from ran_sim.scenario import Scenario
from ran_sim.scenario.five_qi import PRIORITY_LEVEL
from ran_sim.scenario.load import day_curve, factor_at, peak_of
from ran_sim.scenario.traffic_class import VOICE_FRAME_S
from ran_sim.scenario.traffic_class import Traffic as TrafficClass
from ran_sim.traffic.traces import read_trace

_LATEST_SLOT: Final = 1e15  # a file that is due later does not come: the time of day is lost in rounding
FULL_BUFFER: Final = 0
POISSON: Final = 1
FRAMES: Final = 2  # video, XR, CBR, periodic URLLC and streams differ in their numbers only
VOICE: Final = 3
TRACE: Final = 4
PLUGIN: Final = 5
_MODELS: Final = {
    "full-buffer": FULL_BUFFER,
    "poisson-file": POISSON,
    "voip": VOICE,
    "trace": TRACE,
    "plugin": PLUGIN,
}

# A plug-in is asked for each packet with the seed, the traffic class (its row), the UE's id, the packet's number in the
# session and the slot that the one before was due in, the session's start for the first. It answers with the gap to
# that slot, in slots, and the size in bytes, up to `MOST_BYTES`; less than 1 byte is 1. An infinite gap ends the flow.
# Any other answer stops the run: a gap below 0, a size of 0 or less, NaN.
SIGNATURE: Final = "UniTuple(float64, 2)(int64, int64, int64, int64, float64)"
MOST_BYTES: Final = 1 << 31
NO_ANSWER: Final = -1  # in place of a packet's size, where a plug-in has answered something else

SIZE_SD: Final = 0.105  # of the mean frame size
SIZE_RANGE: Final = 0.5  # truncation, of the mean
JITTER_RANGE: Final = 2.0  # truncation, in standard deviations
VOICE_5QI: Final = 1
SID_BYTES: Final = 15
SID_FRAMES: Final = 8  # a silence descriptor every 160 ms

# Columns of `Traffic.shape`: what only some models have
AT_ONCE: Final = 0  # packets that come with the first: the content that a stream starts with
START_SLOTS: Final = 1  # content that a player starts with, 0 = no stream
RESUME_SLOTS: Final = 2  # content that it goes on with after a stall
TALK_ENDS: Final = 3  # probability that the frame after one of speech is silent
TALK_BEGINS: Final = 4  # probability that the frame after a silent one is speech
QUIET_BYTES: Final = 5  # of a silence descriptor
LAP_SLOTS: Final = 6  # of a recording
ONCE: Final = 7  # 1 = its packets come once
FOLLOWS: Final = 8  # 1 = the rate of files follows the load of the day
N_SHAPE: Final = 9


class Traffic(NamedTuple):
    """The scenario's traffic classes; shape [n_class] unless said otherwise."""

    of_ue: I32  # [n_ue] class of each UE row; one QoS flow per UE row
    model: I32
    interval_slots: F64  # between frames; mean of the exponential gap between files
    size_bytes: F64  # mean
    size_sd: F64  # of the mean; 0 = constant
    jitter_slots: F64  # standard deviation
    budget_slots: F64  # radio's share of the packet delay budget
    delay_bound: U8  # late packets are worthless: what is left of them is discarded
    priority: F64  # TS 23.501 priority level
    buffer_bytes: I64  # of each UE; a packet that finds so much unsent is dropped
    weight: F64  # [n_cell, n_class] scheduling weight; an action may move it
    shape: F64  # [n_class, N_SHAPE] what only some models have, see the columns above
    trace: F64  # [n_packet, 2] recordings, class after class: slots since its first packet, bytes
    trace_start: I64  # [n_class + 1] where a class's recording begins
    curve: F64  # [n_corner, 2] load of the day, time in slots, see `load`
    plugin: Plugin  # of `SIGNATURE`


def init_traffic(scenario: Scenario, plugin: Plugin | None = None) -> Traffic:
    """Arrays of the scenario's traffic classes; one interval or budget need not be a whole number of slots.

    Args:
        scenario: The network.
        plugin: Function of `SIGNATURE` in place of the one that the classes name.

    Raises:
        ScenarioError: a recording that cannot be used.
        PluginError: a plug-in that cannot be loaded or compiled.
    """
    slots_per_s = 1e9 / scenario.slot_ns
    classes = scenario.traffic
    interval_s = np.array([traffic.interval_s for traffic in classes])
    varies = [t.model in ("video", "xr") and t.five_qi != VOICE_5QI for t in classes]
    traces = [np.zeros((0, 2)) if t.trace is None else read_trace(t.trace) for t in classes]
    shape = np.array([_shape(t, slots_per_s) for t in classes])
    for row, trace in zip(shape, traces, strict=True):
        trace[:, 0] *= slots_per_s / 1e3
        row[LAP_SLOTS] = trace[-1, 0] * len(trace) / (len(trace) - 1) if len(trace) else 0.0
    weight = np.array([scenario.scheduler.class_weight.get(t.five_qi, 1.0) for t in classes])
    return Traffic(
        of_ue=np.array(scenario.traffic_of_ue, np.int32),
        model=np.array([_kind(t) for t in classes], np.int32),
        interval_slots=interval_s * slots_per_s,
        size_bytes=np.array([traffic.mean_bytes for traffic in classes], np.float64),
        size_sd=np.where(varies, SIZE_SD, 0.0),
        jitter_slots=np.array([(t.jitter_ms or 0.0) * 1e-3 * slots_per_s for t in classes]),
        budget_slots=np.array([t.budget_ms * 1e-3 * slots_per_s for t in classes]),
        delay_bound=np.array([t.delay_bound for t in classes], np.uint8),
        priority=np.array([PRIORITY_LEVEL[t.five_qi] for t in classes], np.float64),
        buffer_bytes=np.array([t.buffer_mb * 1e6 for t in classes], np.int64),
        weight=np.tile(weight, (scenario.n_cell, 1)),
        shape=shape,
        trace=np.concatenate(traces),
        trace_start=np.cumsum([0, *map(len, traces)], dtype=np.int64),
        curve=day_curve(scenario.load_profile, slots_per_s),
        plugin=_plugin(classes, plugin),
    )


def _plugin(classes: Iterable[TrafficClass], given: Plugin | None) -> Plugin:
    named = next((t.plugin for t in classes if t.plugin is not None), None)
    chosen = named if given is None else given
    return compiled(SIGNATURE, cache=True)(_no_packets) if chosen is None else as_plugin(chosen, SIGNATURE)


def _no_packets(
    seed: int, traffic_class: int, ue_id: int, index: int, previous_slot: float
) -> tuple[float, float]:
    return np.inf, 1.0


def _kind(traffic: TrafficClass) -> int:
    return POISSON if traffic.arrivals == "poisson" else _MODELS.get(traffic.model, FRAMES)


def _shape(traffic: TrafficClass, slots_per_s: float) -> list[float]:
    shape = [0.0] * N_SHAPE
    if traffic.segment_s is not None and traffic.start_s is not None:
        shape[AT_ONCE] = math.ceil(traffic.start_s / traffic.segment_s - 1e-9) - 1
        shape[START_SLOTS] = traffic.start_s * slots_per_s
        shape[RESUME_SLOTS] = (traffic.resume_s or traffic.start_s) * slots_per_s
    if traffic.model == "voip":
        silent = traffic.activity < 1
        shape[TALK_ENDS] = VOICE_FRAME_S / traffic.talk_s if silent else 0.0
        shape[TALK_BEGINS] = VOICE_FRAME_S / traffic.silence_s if silent else 1.0
        shape[QUIET_BYTES] = traffic.sid_bytes or SID_BYTES
    shape[ONCE] = bool(traffic.trace_once)
    shape[FOLLOWS] = traffic.follows_load
    return shape


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
    if traffic.model[cls] == POISSON:
        return previous + interval * random.exponential(seed, random.TRAFFIC, ue_id, -1 - index)
    if index == 0:
        return previous + interval * random.uniform(seed, random.TRAFFIC, ue_id, -1)
    if index <= traffic.shape[cls, AT_ONCE]:
        return previous
    return previous + interval


@bare_kernel
def next_packet(
    traffic: Traffic, seed: int, cls: int, ue_id: int, index: int, previous: float, talking: int
) -> tuple[int, float, int, int]:
    """The packet `index`, or the next one that is not thinned out, given the one before.

    Args:
        traffic: The classes.
        seed: Of the run.
        cls: The flow's class.
        ue_id: Id of the UE.
        index: Number of the packet in its session, from 0.
        previous: When the packet before was due, in slots; the session's start for the first.
        talking: Whether that packet was a frame of speech; voip only.

    Returns:
        Its number, when it is due in slots (infinity: never), its bytes, and whether it is a frame of speech. Where a
        plug-in has given no answer that can be used, the bytes are `NO_ANSWER` and `previous` stays.
    """
    model = traffic.model[cls]
    if model == VOICE:
        due, n_bytes, talking = _voice_packet(traffic, seed, cls, ue_id, index, previous, talking)
        return index, due, n_bytes, talking
    if model == TRACE:
        due, n_bytes = _recorded_packet(traffic, seed, cls, ue_id, index, previous)
        return index, due, n_bytes, 0
    if model == PLUGIN:
        gap, wanted = traffic.plugin(seed, cls, ue_id, index, previous)
        if not is_packet(gap, wanted):
            return index, previous, NO_ANSWER, 0
        return index, previous + gap, max(int(wanted), 1) if gap < np.inf else 1, 0
    if traffic.shape[cls, FOLLOWS] > 0.0 and traffic.curve.shape[0] > 0:
        index, due = _thinned(traffic, seed, cls, ue_id, index, previous)
    else:
        due = nominal_slot(traffic, seed, cls, ue_id, index, previous)
    return index, due, packet_bytes(traffic, seed, cls, ue_id, index), 0


@bare_kernel
def is_packet(gap_slots: float, size_bytes: float) -> bool:
    """Whether a plug-in's answer is one; NaN is not."""
    return gap_slots == np.inf or (gap_slots >= 0.0 and 0.0 < size_bytes <= MOST_BYTES)


@bare_kernel
def _thinned(
    traffic: Traffic, seed: int, cls: int, ue_id: int, index: int, previous: float
) -> tuple[int, float]:
    """Number and time of the first candidate from `index` on that the load of its time lets through."""
    peak = peak_of(traffic.curve)
    if peak == 0.0:
        return index, np.inf
    due = previous
    while True:
        gap = random.exponential(seed, random.TRAFFIC, ue_id, -1 - index)
        due += float(traffic.interval_slots[cls]) / peak * gap
        if due >= _LATEST_SLOT:
            return index, np.inf
        if random.uniform(seed, random.LOAD, ue_id, index) * peak < factor_at(traffic.curve, due):
            return index, due
        index += 1


@bare_kernel
def _recorded_packet(
    traffic: Traffic, seed: int, cls: int, ue_id: int, index: int, previous: float
) -> tuple[float, int]:
    """When packet `index` of a recording is due, entered at the UE's own time, and its size."""
    begin = traffic.trace_start[cls]
    n = traffic.trace_start[cls + 1] - begin
    if traffic.shape[cls, ONCE] > 0.0 and index >= n:
        return np.inf, 1
    lap = traffic.shape[cls, LAP_SLOTS]
    offset = lap * random.uniform(seed, random.TRACE, ue_id, 0)
    low, first = 0, n  # the first packet at or after `offset` lies in low .. first
    while low < first:
        middle = (low + first) // 2
        if traffic.trace[begin + middle, 0] < offset:
            low = middle + 1
        else:
            first = middle
    row = (first + index) % n
    before = offset if index == 0 else traffic.trace[begin + (row - 1) % n, 0]
    gap = traffic.trace[begin + row, 0] - before
    # Before the first packet lies the last one, or the entry after it, of the lap before.
    if row == 0 and (index > 0 or first == n):
        gap += lap
    return previous + gap, int(traffic.trace[begin + row, 1])


@bare_kernel
def _voice_packet(
    traffic: Traffic, seed: int, cls: int, ue_id: int, index: int, previous: float, talking: int
) -> tuple[float, int, int]:
    """The two states of speech, one draw per packet: silence has no memory, so it can be drawn anew at every SID."""
    frame = float(traffic.interval_slots[cls])
    ends, begins = traffic.shape[cls, TALK_ENDS], traffic.shape[cls, TALK_BEGINS]
    draw = random.uniform(seed, random.VOICE, ue_id, index)
    frames = 1.0
    if index == 0:
        frames = random.uniform(seed, random.VOICE, ue_id, -1)  # sessions start on radio ticks, frames do not
        talks = draw * (ends + begins) < begins
    elif talking:
        talks = draw >= ends
    else:
        silent = 1.0 if begins >= 1.0 else math.floor(math.log1p(-draw) / math.log1p(-begins)) + 1.0
        talks = silent <= SID_FRAMES
        frames = min(silent, float(SID_FRAMES))
    size = traffic.size_bytes[cls] if talks else traffic.shape[cls, QUIET_BYTES]
    return previous + frames * frame, int(size), 1 if talks else 0
