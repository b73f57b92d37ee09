"""Traffic models: offered rates, shapes of sizes and gaps, and draws that depend on nothing but the UE."""

import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64
from ran_sim.scenario import Scenario, ScenarioError, load_scenario
from ran_sim.traffic.arrivals import Traffic, arrival_slot, init_traffic, next_packet
from ran_sim.traffic.queues import arrive, init_queues, start_flow

SCENARIO = load_scenario("seven-sites")
TRAFFIC = init_traffic(SCENARIO)
CLASS = {traffic.name: i for i, traffic in enumerate(SCENARIO.traffic)}


def packets(
    name: str, n: int, *, ue_id: int = 7, seed: int = 1, traffic: Traffic = TRAFFIC
) -> tuple[np.ndarray, np.ndarray]:
    """Arrival slots and sizes in bytes of the first `n` packets of a UE whose session starts in slot 0."""
    slots, sizes = np.zeros(n), np.zeros(n)
    _draw(traffic, seed, CLASS.get(name, 0), ue_id, slots, sizes)
    return slots, sizes


@bare_kernel
def _draw(traffic: Traffic, seed: int, cls: int, ue_id: int, slots: F64, sizes: F64) -> None:
    """Compiled, because handing the classes' arrays to a kernel takes longer than a packet does in it."""
    due, talking = 0.0, 0
    for i in range(slots.shape[0]):
        number, due, sizes[i], talking = next_packet(traffic, seed, cls, ue_id, i, due, talking)
        slots[i] = arrival_slot(traffic, seed, cls, ue_id, number, due)


def only(**fields: object) -> Scenario:
    """One cell of UEs with this one class of traffic; a slot is 0.5 ms."""
    return load_scenario("one-cell").with_overrides(
        {"traffic": [{"name": "own", "five_qi": 9, "ues": 1, **fields}]}
    )


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
        arrive(queues, TRAFFIC, counts, 1, slot, u, (0.0, 0.0))
    slots, sizes = packets("gaming", 80)
    there = slots <= 1998
    assert counts[count.PACKETS_OFFERED] == there.sum()
    assert counts[count.OFFERED_BYTES] == sizes[there].sum()


def test_weights_of_classes_come_from_the_scenario() -> None:
    weighted: Scenario = SCENARIO.with_overrides({"scheduler.class_weight": {3: 2.5}})
    weight = init_traffic(weighted).weight
    assert (weight[:, CLASS["gaming"]] == 2.5).all()
    assert (np.delete(weight, CLASS["gaming"], axis=1) == 1.0).all()


# -- voice with pauses --------------------------------------------------------------------------------------------

SID_SLOTS = 320  # 160 ms
FRAME_SLOTS = 40  # 20 ms


@pytest.fixture(scope="module")
def call() -> tuple[np.ndarray, np.ndarray]:
    """Gaps in slots to the packet before and sizes in bytes, of 120 000 packets: more than an hour and a half."""
    slots, sizes = packets("own", 120_000, traffic=init_traffic(only(model="voip", five_qi=1)))
    return np.diff(slots), sizes[1:]


def test_voice_is_frames_of_40_bytes_in_talk_and_descriptors_of_15_in_silence(
    call: tuple[np.ndarray, np.ndarray],
) -> None:
    gaps, sizes = call
    assert set(sizes) == {40.0, 15.0}
    sid = sizes == 15
    assert set(gaps[~sid]) <= {float(FRAME_SLOTS * k) for k in range(1, 9)}
    assert set(gaps[sid][1:]) == {FRAME_SLOTS, SID_SLOTS}  # at the first silent frame, then every 160 ms
    first = sid[1:] & ~sid[:-1]
    assert (gaps[1:][first] == FRAME_SLOTS).all()
    assert (gaps[1:][sid[1:] & sid[:-1]] == SID_SLOTS).all()


def test_half_of_a_call_is_speech_in_spurts_of_two_seconds(call: tuple[np.ndarray, np.ndarray]) -> None:
    gaps, sizes = call
    talk = sizes == 40
    spurts = (talk[1:] & ~talk[:-1]).sum()
    # A spurt has a geometric number of frames, of mean 100 and deviation sqrt(0.99) / 0.01 = 99.5.
    assert talk.sum() / spurts == pytest.approx(100.0, abs=3 * 99.5 / np.sqrt(spurts))
    # A pair of a spurt and a silence, both of mean 100 frames and deviation 99.5: the ratio's error is 0.5 sqrt(2) 0.995 ...
    frames = gaps.sum() / FRAME_SLOTS
    error = 0.5 * 0.995 / np.sqrt(2 * spurts)
    assert talk.sum() / frames == pytest.approx(0.5, abs=3 * error)


def test_descriptors_per_silence_are_those_of_a_geometric_length(call: tuple[np.ndarray, np.ndarray]) -> None:
    # A silence of L frames has ceil(L / 8) of them, L geometric with 0.01: mean 1 / (1 - 0.99^8) = 12.94.
    _, sizes = call
    talk = sizes == 40
    silences = (talk[1:] & ~talk[:-1]).sum()
    assert (~talk).sum() / silences == pytest.approx(1 / (1 - 0.99**8), rel=3 / np.sqrt(silences))


def test_voice_follows_the_scenario_s_own_activity() -> None:
    own = only(model="voip", five_qi=1, packet_bytes=60, sid_bytes=20, voice_activity=0.25, talk_spurt_s=0.5)
    slots, sizes = packets("own", 40_000, traffic=init_traffic(own))
    talk = sizes == 60
    assert set(sizes) == {60.0, 20.0}
    # Spurts of 25 frames, silences of 75; some 1 100 pairs: 3 standard errors are 3 * 0.25 * 0.75 * sqrt(2 / 1100).
    assert talk.sum() / (slots[-1] / FRAME_SLOTS) == pytest.approx(0.25, abs=0.024)
    always = packets("own", 500, traffic=init_traffic(only(model="voip", five_qi=1, voice_activity=1.0)))
    assert set(always[1]) == {40.0}
    assert set(np.diff(always[0])) == {FRAME_SLOTS}


def test_calls_begin_in_talk_as_often_as_they_are_in_talk() -> None:
    traffic = init_traffic(only(model="voip", five_qi=1, voice_activity=0.3))
    talks = [packets("own", 1, ue_id=ue, traffic=traffic)[1][0] == 40 for ue in range(2000)]
    assert np.mean(talks) == pytest.approx(0.3, abs=3 * np.sqrt(0.21 / 2000))


# -- streams, small packets -------------------------------------------------------------------------------------


def test_stream_sends_what_it_starts_with_at_once_and_then_as_it_is_shown() -> None:
    stream = only(model="streaming", rate_mbps=4.0, segment_s=0.5, start_s=1.75)
    slots, sizes = packets("own", 8, traffic=init_traffic(stream))
    assert set(sizes) == {250_000.0}  # 4 Mb/s x 0.5 s
    # 1.75 s are four segments; the next comes a segment later, 1000 slots of 0.5 ms.
    assert (slots - slots[0]).tolist() == [0, 0, 0, 0, 1000, 2000, 3000, 4000]
    assert not stream.traffic[0].model_copy(update={"five_qi": 4}).delay_bound


def test_periodic_urllc_keeps_its_rhythm_and_its_jitter_its_bounds() -> None:
    still = only(model="urllc", five_qi=82, packet_bytes=32, interval_ms=2.5, arrivals="periodic")
    slots, sizes = packets("own", 400, traffic=init_traffic(still))
    assert set(sizes) == {32.0}
    assert set(np.diff(slots)) == {5.0}
    shaky = only(
        model="urllc", five_qi=82, packet_bytes=32, interval_ms=10, arrivals="periodic", jitter_ms=1.0
    )
    slots, _ = packets("own", 3000, traffic=init_traffic(shaky))
    off = slots - slots[0] - 20 * np.arange(3000)
    assert np.ptp(off) <= 2 * 2 * 2 + 1  # +-2 deviations of 2 slots, and the slot's grid
    # A normal cut at 2 deviations has 0.8796 of them; rounding up to the slot adds 1/12 to the variance.
    assert off.std() == pytest.approx(np.sqrt((2 * 0.8796) ** 2 + 1 / 12), rel=0.05)


def test_poisson_urllc_can_bring_several_packets_in_one_slot() -> None:
    sporadic = only(model="urllc", five_qi=85, packet_bytes=32, interval_ms=0.25, arrivals="poisson")
    slots, sizes = packets("own", 20_000, traffic=init_traffic(sporadic))
    assert set(sizes) == {32.0}
    per_slot = np.bincount((slots - slots[0]).astype(np.int64))[1:-1]
    # Two a slot on average: Poisson has variance = mean and e^-2 of the slots empty.
    assert per_slot.mean() == pytest.approx(2.0, rel=3 / np.sqrt(20_000))
    assert per_slot.var() == pytest.approx(2.0, rel=0.06)
    assert np.mean(per_slot == 0) == pytest.approx(np.exp(-2), abs=0.011)


def test_constant_bit_rate_has_the_interval_that_its_rate_asks_for() -> None:
    # 1.2 Mb/s in packets of 1500 bytes: one every 10 ms.
    slots, sizes = packets(
        "own", 50, traffic=init_traffic(only(model="cbr", rate_mbps=1.2, packet_bytes=1500))
    )
    assert set(sizes) == {1500.0}
    assert set(np.diff(slots)) == {20.0}


def test_ftp3_is_the_poisson_file_model() -> None:
    assert only(model="ftp3", rate_mbps=2, file_kb=500) == only(
        model="poisson-file", rate_mbps=2, file_kb=500
    )


def test_first_packets_of_sessions_are_spread_over_an_interval() -> None:
    # Sessions begin on radio ticks; their packets must not.
    for fields in (
        {"model": "voip", "five_qi": 1},
        {"model": "urllc", "packet_bytes": 32, "interval_ms": 20, "arrivals": "periodic"},
    ):
        traffic = init_traffic(only(**fields))
        first = [packets("own", 1, ue_id=ue, traffic=traffic)[0][0] for ue in range(500)]
        assert 0 < min(first) < 3
        assert 37 < max(first) <= 40
        assert np.mean(first) == pytest.approx(20.5, abs=3 * 40 / np.sqrt(12 * 500))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "ftp2"}, "model: got 'ftp2', want one of cbr, ftp3, full-buffer"),
        ({"model": "voip", "rate_mbps": 1}, "want exactly [], perhaps ['packet_bytes', 'sid_bytes'"),
        ({"model": "voip", "voice_activity": 0.0}, "voice_activity: got 0.0, want greater than 0"),
        (
            {"model": "voip", "voice_activity": 0.99, "talk_spurt_s": 1},
            "want silences of 0.02 s or more",
        ),
        ({"model": "streaming", "rate_mbps": 4}, "want exactly ['rate_mbps', 'segment_s', 'start_s']"),
        (
            {"model": "urllc", "packet_bytes": 32, "interval_ms": 1, "arrivals": "poisson", "jitter_ms": 1},
            "want no jitter_ms with Poisson arrivals",
        ),
        (
            {"model": "urllc", "packet_bytes": 0, "interval_ms": 1, "arrivals": "poisson"},
            "packet_bytes: got 0, want greater than or equal to 1",
        ),
    ],
)
def test_models_refuse_what_they_do_not_have(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        only(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
