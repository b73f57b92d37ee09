"""Traffic models: offered rates, shapes of sizes and gaps, and draws that depend on nothing but the UE."""

import numpy as np
import pytest

from ran_sim import counters as count
from ran_sim.queues import arrive, init_queues, start_flow
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.traffic import arrival_slot, init_traffic, nominal_slot, packet_bytes

SCENARIO = load_scenario("seven-sites")
TRAFFIC = init_traffic(SCENARIO)
CLASS = {traffic.name: i for i, traffic in enumerate(SCENARIO.traffic)}


def packets(name: str, n: int, *, ue_id: int = 7, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Arrival slots and sizes in bytes of the first `n` packets of a UE whose session starts in slot 0."""
    cls, nominal = CLASS[name], 0.0
    slots, sizes = np.zeros(n), np.zeros(n)
    for i in range(n):
        nominal = nominal_slot(TRAFFIC, seed, cls, ue_id, i, nominal)
        slots[i] = arrival_slot(TRAFFIC, seed, cls, ue_id, i, nominal)
        sizes[i] = packet_bytes(TRAFFIC, seed, cls, ue_id, i)
    return slots, sizes


@pytest.mark.parametrize("name", ["best-effort", "video-call", "gaming", "augmented-reality", "voice"])
def test_offered_rate_is_the_scenario_s(name: str) -> None:
    n = 4000
    slots, sizes = packets(name, n)
    rate_mbps = sizes.mean() * 8 * (n - 1) / ((slots[-1] - slots[0]) * SCENARIO.slot_ns * 1e-9) / 1e6
    # Poisson: the standard error of the mean gap is 1 / sqrt(4000) = 1.6 %, taken three times.
    assert rate_mbps == pytest.approx(SCENARIO.traffic[CLASS[name]].rate_mbps, rel=0.048)


def test_frames_come_at_their_rate_within_the_truncated_jitter() -> None:
    # 60 fps are 33.33 slots; jitter of 2 ms = 4 slots is cut at +-8 slots about the mean.
    slots, _ = packets("gaming", 3000)
    off = slots - slots[0] - np.arange(3000) * 2000 / 60
    assert np.ptp(off) <= 16 + 1
    assert np.std(off) == pytest.approx(4 * 0.8796, rel=0.05)  # sd of a normal cut at 2 sd: 0.8796


def test_frame_sizes_spread_as_in_tr_38_838() -> None:
    _, sizes = packets("gaming", 3000)
    mean = 8e6 / 8 / 60
    assert sizes.mean() == pytest.approx(mean, rel=0.01)
    assert sizes.std() == pytest.approx(0.105 * mean, rel=0.05)
    assert sizes.min() >= 0.5 * mean - 1
    assert sizes.max() <= 1.5 * mean + 1


def test_voice_frames_are_constant() -> None:
    _, sizes = packets("voice", 100)
    assert set(sizes) == {60.0}  # 24 kb/s, 50 frames a second


def test_files_arrive_as_a_poisson_process() -> None:
    slots, sizes = packets("best-effort", 4000)
    gaps = np.diff(slots)
    assert set(sizes) == {500_000.0}
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.05)  # exponential gaps
    assert np.mean(gaps > gaps.mean()) == pytest.approx(np.exp(-1), abs=0.025)


def test_packets_depend_on_ue_and_seed_only() -> None:
    slots, sizes = packets("gaming", 50, ue_id=11, seed=2)
    again = packets("gaming", 50, ue_id=11, seed=2)
    assert np.array_equal(slots, again[0])
    assert np.array_equal(sizes, again[1])
    assert not np.array_equal(sizes, packets("gaming", 50, ue_id=12, seed=2)[1])
    assert not np.array_equal(sizes, packets("gaming", 50, ue_id=11, seed=3)[1])


def test_queue_takes_in_every_packet_once() -> None:
    u = TRAFFIC.of_ue.tolist().index(CLASS["gaming"])
    queues, counts = init_queues(len(TRAFFIC.of_ue)), np.zeros(count.N, np.int64)
    start_flow(queues, TRAFFIC, 1, u, 7, 0)
    for slot in range(0, 2000, 3):  # asked late, packets are not lost
        arrive(queues, TRAFFIC, counts, 1, slot, u)
    slots, sizes = packets("gaming", 80)
    there = slots <= 1998
    assert counts[count.PACKETS_OFFERED] == there.sum()
    assert counts[count.OFFERED_BYTES] == sizes[there].sum()


def test_weights_of_classes_come_from_the_scenario() -> None:
    weighted: Scenario = SCENARIO.with_overrides({"scheduler.class_weight": {3: 2.5}})
    weight = init_traffic(weighted).weight
    assert (weight[:, CLASS["gaming"]] == 2.5).all()
    assert (np.delete(weight, CLASS["gaming"], axis=1) == 1.0).all()
