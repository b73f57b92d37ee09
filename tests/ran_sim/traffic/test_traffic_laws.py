"""Laws that hold for whatever traffic a cell gets: nothing is lost unseen, periods add up, no PRB is used twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ran_sim.bridge import SimWorld
from ran_sim.core import counters as count
from ran_sim.core.state import I64
from ran_sim.engine import Engine
from ran_sim.link.harq import FREE
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.traffic.queues import SIZE, START, packet_row
from ranloop.wire.messages import Report

Flow = dict[str, object]
FLOWS: tuple[st.SearchStrategy[Flow], ...] = (
    st.just({"model": "full-buffer"}),
    st.fixed_dictionaries(
        {"model": st.just("ftp3"), "rate_mbps": st.floats(0.1, 30), "file_kb": st.floats(0.1, 500)}
    ),
    st.fixed_dictionaries(
        {"model": st.just("xr"), "rate_mbps": st.floats(0.5, 20), "fps": st.floats(20, 120),
         "jitter_ms": st.floats(0, 20)}
    ),
    st.fixed_dictionaries({"model": st.just("voip"), "talk_spurt_s": st.floats(0.05, 2)}),
    st.fixed_dictionaries(
        {"model": st.just("streaming"), "rate_mbps": st.floats(0.5, 20), "segment_s": st.floats(0.02, 0.3),
         "start_s": st.floats(0.02, 0.5)}
    ),
    # Down to ten packets a slot and UE: rooms grow.
    st.fixed_dictionaries(
        {"model": st.just("urllc"), "packet_bytes": st.integers(1, 500), "interval_ms": st.floats(0.05, 5),
         "arrivals": st.sampled_from(["periodic", "poisson"])}
    ),
    st.fixed_dictionaries(
        {"model": st.just("cbr"), "rate_mbps": st.floats(0.1, 20), "packet_bytes": st.integers(40, 9000)}
    ),
)  # fmt: skip
COMMON: st.SearchStrategy[Flow] = st.fixed_dictionaries(
    {
        "five_qi": st.sampled_from([1, 2, 6, 9, 80, 82, 85]),
        "ues": st.integers(1, 4),
        "slice": st.sampled_from(["1-000001", "1-000002"]),
        "idle_s": st.sampled_from([0.0, 0.1]),
        "session_s": st.sampled_from([(0.1, 0.4), (100.0, 100.0)]),
    }
)


@st.composite
def cells(draw: st.DrawFn) -> Scenario:
    """A small cell with up to three kinds of traffic; exact reports."""
    flows = draw(st.lists(st.one_of(*FLOWS), min_size=1, max_size=3))
    traffic = [{"name": f"class{i}", **flow, **draw(COMMON)} for i, flow in enumerate(flows)]
    return load_scenario("one-cell").with_overrides(
        {
            "traffic": traffic,
            "load": 0.5,
            "scheduler": draw(st.sampled_from(["rr", "pf", "m-lwdf", "edf"])),
            "reports.rounding": False,
            "warmup_s": 0.1,
            "duration_s": 2.0,
        }
    )


# Without shrinking: an example is a run of the engine.
few = settings(max_examples=15, phases=(Phase.explicit, Phase.reuse, Phase.generate))


@few
@given(scenario=cells(), seed=st.integers(0, 2**32))
def test_bytes_packets_and_sdus_that_came_in_are_delivered_dropped_abandoned_queued_or_in_flight(
    scenario: Scenario, seed: int
) -> None:
    engine = Engine(scenario, seed)
    for slot in range(200, 2001, 200):
        engine.run_until(slot)
        here = engine.snapshot().connected == 1
        row, queues = engine.snapshot().ue[here].T, engine._network.queues
        held = (queues.backlog_bytes + queues.in_flight_bytes)[here]
        full = np.array([c.model == "full-buffer" for c in engine.classes])[engine.class_of][here]
        # What a full buffer still holds is not counted as having come.
        held[full] = queues.in_flight_bytes[here][full]
        settled = row[count.DELIVERED_BYTES] + row[count.DROPPED_BYTES]
        assert np.array_equal(row[count.OFFERED_BYTES], settled + held)
        outcomes = row[count.PACKETS_IN_BUDGET] + row[count.PACKETS_LATE] + row[count.PACKETS_DROPPED]
        assert np.array_equal(row[count.PACKETS_OFFERED], outcomes + (queues.tail - queues.head)[here])
        ended = row[count.SDUS_DELIVERED] + row[count.SDUS_DROPPED] + row[count.SDUS_LOST]
        assert np.array_equal(row[count.SDUS_OFFERED], ended + open_sdus(engine)[here])
        assert (row[count.SDUS_SENT] + row[count.SDUS_DROPPED] <= row[count.SDUS_OFFERED]).all()
        assert (row >= 0).all()
        # With the sessions that have ended, nobody is left out.
        everyone = engine.snapshot().cell_class.sum(axis=(0, 1))
        settled = everyone[[count.DELIVERED_BYTES, count.DROPPED_BYTES, count.ABANDONED_BYTES]].sum()
        assert everyone[count.OFFERED_BYTES] == settled + held.sum()
        outcomes = everyone[
            [count.PACKETS_IN_BUDGET, count.PACKETS_LATE, count.PACKETS_DROPPED, count.ABANDONED_PACKETS]
        ].sum()
        assert everyone[count.PACKETS_OFFERED] == outcomes + (queues.tail - queues.head)[here].sum()
        ended = everyone[
            [count.SDUS_DELIVERED, count.SDUS_DROPPED, count.SDUS_LOST, count.ABANDONED_SDUS]
        ].sum()
        assert everyone[count.SDUS_OFFERED] == ended + open_sdus(engine)[here].sum()


def open_sdus(engine: Engine) -> I64:
    """SDUs of each UE row whose last byte is unsent or in flight, byte for byte."""
    queues, harq = engine._network.queues, engine._network.harq
    found = np.zeros(engine.n_ue, np.int64)
    for u in range(engine.n_ue):
        flying = harq.state[u] != FREE
        starts, ends = harq.start[u][flying], (harq.start + harq.n_bytes)[u][flying]
        for number in range(queues.head[u], queues.tail[u]):
            start, size = queues.packet[packet_row(queues, u, number), [START, SIZE]].tolist()
            sdus = -(-size // count.SDU_BYTES)
            last = start + np.minimum(np.arange(1, sdus + 1) * count.SDU_BYTES, size) - 1
            in_flight = ((last[:, None] >= starts) & (last[:, None] < ends)).any(axis=1)
            found[u] += int(((last >= queues.sent[u]) | in_flight).sum())
    return found


ADDITIVE = {
    "TB.TotNbrDl", "TB.ErrTotNbrDl", "TB.TotNbrDlInitial", "TB.IntialErrNbrDl", "TB.ResidualErrNbrDl",
    "DRB.RlcSduTransmittedVolumeDL", "DRB.PdcpSduVolumeDL", "X.DRB.OfferedVolDl", "X.UE.StallTime", "X.UE.Stalls",
    "MM.HoExeIntraFreqReq", "MM.HoExeIntraFreqSucc", "X.MM.HoPingPong",
}  # fmt: skip
MEANS = {"RRU.PrbUsedDl", "RRC.ConnMean", "DRB.MeanActiveUeDl"}


@few
@given(scenario=cells(), seed=st.integers(0, 2**32))
def test_ten_reports_of_100_ms_add_up_to_the_one_of_1_s(scenario: Scenario, seed: int) -> None:
    world = SimWorld(scenario, seed)
    offered = {
        level: (ADDITIVE | MEANS) & set(names) for level, names in world.catalogues[0].measurements.items()
    }
    short, long = collect(world, {level: frozenset(names) for level, names in offered.items()})
    for level, names in offered.items():
        for k, whole in enumerate(long[level]):
            parts = short[level][10 * k : 10 * k + 10]
            for name in sorted(names):
                total = by_target(whole, name)
                summed = dict.fromkeys(total, 0.0)
                for part in parts:
                    for target, value in by_target(part, name).items():
                        if target in summed:  # a UE that left in between is in no report of the second
                            summed[target] += np.nan_to_num(value)
                for target, value in total.items():
                    expected = summed[target] / (10 if name in MEANS else 1)
                    assert np.isnan(value) or abs(value - expected) <= 1e-4 + 1e-5 * abs(expected), (
                        level,
                        name,
                    )


@few
@given(scenario=cells(), seed=st.integers(0, 2**32))
def test_no_more_prbs_are_used_than_there_are(scenario: Scenario, seed: int) -> None:
    world = SimWorld(scenario, seed)
    names = frozenset({"RRU.PrbUsedDl", "RRU.PrbAvailDl", "RRU.PrbTotDl"})
    short, long = collect(world, {"cell": names})
    for report in [*short["cell"], *long["cell"]]:
        used, available = column(report, "RRU.PrbUsedDl")[0], column(report, "RRU.PrbAvailDl")[0]
        share = column(report, "RRU.PrbTotDl")[0]
        assert 0 <= used <= available
        assert abs(share - 100 * used / available) < 1e-3


def collect(
    world: SimWorld, names: Mapping[str, frozenset[str]]
) -> tuple[dict[str, list[Report]], dict[str, list[Report]]]:
    """The reports of 100 ms and of 1 s until the world's end, by level."""
    wanted = {("site0", level, ms): some for level, some in names.items() for ms in (100, 1000)}
    short: dict[str, list[Report]] = {level: [] for level in names}
    long: dict[str, list[Report]] = {level: [] for level in names}
    while world.now_ns < world.end_ns:
        world.advance(world.end_ns)
        for report in world.reports(wanted):
            (short if report.period_ms == 100 else long)[report.level].append(report)
    return short, long


def column(report: Report, name: str) -> NDArray[np.float32]:
    return report.block[:, len(report.ids) + report.names.index(name)]


def by_target(report: Report, name: str) -> dict[Any, float]:
    """The values of a column by the row's ids."""
    ids = [tuple(row) for row in report.block[:, : len(report.ids)].tolist()]
    return dict(zip(ids, column(report, name).astype(float).tolist(), strict=True))


def one_ue(**flow: object) -> Engine:
    """A UE beside its site, alone in a cell, after two seconds."""
    traffic = [{"name": "own", "ues": 1, "idle_s": 0.0, "session_s": (100.0, 100.0), **flow}]
    scenario = load_scenario("one-cell").with_overrides(
        {"traffic": traffic, "radio.indoor_share": 0.0, "radio.line_of_sight": "always"}
    )
    engine = Engine(scenario, 1)
    engine.run_until(4000)
    return engine


@pytest.mark.parametrize("per_slot", [30, 200])
def test_an_idle_cell_drops_no_small_packet(per_slot: int) -> None:
    # 10 bytes: 4.8 and 32 Mb/s. In flight for the 8 slots of a HARQ round trip alone are 240 and 1600 packets.
    engine = one_ue(five_qi=82, model="cbr", packet_bytes=10, rate_mbps=per_slot * 80 / 0.5e-3 / 1e6)
    row = engine.snapshot().ue[0]
    assert row[count.PACKETS_OFFERED] >= 0.99 * per_slot * 4000
    assert row[count.PACKETS_DROPPED] == row[count.TB_LOST] == 0


def test_an_overloaded_cell_carries_as_much_in_small_packets_as_in_a_full_buffer() -> None:
    full = one_ue(five_qi=9, model="full-buffer")
    small = one_ue(five_qi=9, model="cbr", packet_bytes=100, rate_mbps=150.0)
    carried = [engine.snapshot().ue[0, count.DELIVERED_BYTES] for engine in (full, small)]
    assert carried[1] == pytest.approx(carried[0], rel=0.01)
    assert small.snapshot().backlog_bytes[0] > 0


def test_a_queue_grows_alike_however_the_run_is_cut_and_in_a_fork_and_a_saved_state(tmp_path: Path) -> None:
    scenario = one_ue(five_qi=9, model="cbr", packet_bytes=100, rate_mbps=150.0).scenario
    whole, parts = Engine(scenario, 2), Engine(scenario, 2)
    whole.run_until(1501)
    for slot in (1, 2, 500, 1000):
        parts.run_until(slot)
    twin = parts.fork()
    parts.save(tmp_path / "state")
    loaded = Engine.load(tmp_path / "state")
    for engine in (parts, twin, loaded):
        engine.run_until(1501)
        assert (engine.snapshot().ue == whole.snapshot().ue).all()
        assert (engine.snapshot().backlog_bytes == whole.snapshot().backlog_bytes).all()


def gapless(
    seed: int, traffic_class: int, ue_id: int, index: int, previous_slot: float
) -> tuple[float, float]:
    """A flood of small packets in slot 10."""
    return (10.0 if index == 0 else 0.0), 40.0


def test_a_slot_brings_a_ue_256_packets_however_its_room_and_its_neighbours_rooms_grow() -> None:
    # Rooms of 64 grow twice for 256; what is due beyond waits for the next slots.
    flow = {
        "name": "own",
        "five_qi": 9,
        "model": "plugin",
        "ues": 3,
        "idle_s": 0.0,
        "session_s": (100.0, 100.0),
    }
    engine = Engine(load_scenario("one-cell").with_overrides({"traffic": [flow]}), 1, traffic=gapless)
    counted = []
    for slot in range(9, 14):
        engine.run_until(slot)
        counted.append(engine.snapshot().ue[:, count.PACKETS_OFFERED].tolist())
    came = np.diff(np.array(counted), axis=0)
    assert set(came.ravel().tolist()) == {0, 256}
    assert (came[-1] == 256).all()


def test_full_buffer_has_no_deadline_whatever_its_5qi() -> None:
    scenario = load_scenario("one-cell").with_overrides(
        {"traffic": [{"name": "own", "five_qi": 1, "model": "full-buffer", "ues": 1, "idle_s": 0.0}]}
    )
    engine = Engine(scenario, 1)
    engine.run_until(1000)  # discarding what is late would never end
    row = engine.snapshot().ue[0]
    assert row[count.DELIVERED_BYTES] > 0
    assert row[count.PACKETS_DROPPED] == 0
