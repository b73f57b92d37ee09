"""Recorded traffic and plug-ins: packets as in the file or as the function says, and bad files named in one line."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ran_sim.core.plugins import PluginError
from ran_sim.scenario import Scenario, ScenarioError, load_scenario
from ran_sim.traffic.arrivals import NO_ANSWER, init_traffic, next_packet
from ran_sim.traffic.traces import read_trace

CSV = "time_ms,bytes\n100,10\n101,20\n101,30\n105,40\n"  # a lap of 5 ms x 4 / 3


def only(**fields: object) -> Scenario:
    """One UE with this one class of traffic; a slot is 0.5 ms."""
    return load_scenario("one-cell").with_overrides(
        {"traffic": [{"name": "own", "five_qi": 9, "ues": 1, **fields}]}
    )


def packets(scenario: Scenario, n: int, *, ue_id: int = 3, plugin: object = None) -> list[tuple[float, int]]:
    """When the first `n` packets are due, in slots after the session's start in slot 1000, and their sizes."""
    traffic, due, index, found = init_traffic(scenario, plugin), 1000.0, -1, []
    for _ in range(n):
        index, due, size, _ = next_packet(traffic, 1, 0, ue_id, index + 1, due, 0)
        found.append((due - 1000.0, size))
    return found


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = tmp_path / "packets.csv"
    path.write_text(CSV)
    return str(path)


def test_trace_keeps_gaps_and_sizes_of_the_file_lap_after_lap(recording: str) -> None:
    found = packets(only(model="trace", trace=recording), 12)
    sizes = [size for _, size in found]
    first = [10, 20, 30, 40].index(sizes[0])
    assert sizes == np.roll([10, 20, 30, 40], -first).tolist() * 3
    # Gaps into each packet: 1, 0 and 4 ms of two slots each, and the mean gap of 5 / 3 ms from the last to the first.
    gap_before = {10: 10 / 3, 20: 2.0, 30: 0.0, 40: 8.0}
    for (before, _), (due, size) in pairwise(found):
        assert due - before == pytest.approx(gap_before[size])
    assert 0 <= found[0][0] <= gap_before[sizes[0]]


def test_ues_enter_a_trace_at_times_of_their_own(recording: str) -> None:
    scenario = only(model="trace", trace=recording)
    first = [packets(scenario, 1, ue_id=ue)[0] for ue in range(400)]
    # A time uniform over the lap of 40 / 3 slots meets a packet first in proportion to the gap before it.
    share = {size: sum(found == size for _, found in first) / 400 for size in (10, 20, 30, 40)}
    assert share[30] == 0.0
    for size, gap in ((10, 10 / 3), (20, 2.0), (40, 8.0)):
        p = gap / (40 / 3)
        assert share[size] == pytest.approx(p, abs=3 * math.sqrt(p * (1 - p) / 400))
    assert packets(scenario, 5, ue_id=8) == packets(scenario, 5, ue_id=8)


def test_trace_that_plays_once_brings_every_packet_once(recording: str) -> None:
    found = packets(only(model="trace", trace=recording, trace_once=True), 6)
    assert sorted(size for _, size in found[:4]) == [10, 20, 30, 40]
    assert [due for due, _ in found[4:]] == [math.inf, math.inf]


def test_trace_is_looked_for_beside_its_scenario(tmp_path: Path, recording: str) -> None:
    lines = (
        'name = "own"', "[layout]", "sites = 1", "sectors = 1", "[radio]", "k_interferers = 0", "[[traffic]]",
        'name = "own"', "five_qi = 9", 'model = "trace"', 'trace = "packets.csv"', "ues = 1",
    )  # fmt: skip
    (tmp_path / "own.toml").write_text("\n".join(lines))
    assert len(packets(load_scenario(tmp_path / "own.toml"), 3)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "row 1: got '', want time_ms,bytes"),
        ("time,bytes\n0,1\n1,1\n", "row 1: got 'time,bytes', want time_ms,bytes"),
        ("time_ms,bytes\n0,1\n", "got 1 packets, want two or more at different times"),
        ("time_ms,bytes\n3,1\n3,1\n", "got 2 packets, want two or more at different times"),
        ("time_ms,bytes\n0,1\n1,x\n", "row 3: got '1,x', want a time in ms and a whole number of bytes"),
        ("time_ms,bytes\n0,1\nnan,5\n", "row 3: got 'nan,5', want a time in ms"),
        ("time_ms,bytes\n0,1\n2,0\n", "row 3: got '2,0', want a time in ms"),
        ("time_ms,bytes\n0,1\n1,5,7\n", "row 3: got '1,5,7', want a time in ms"),
        ("time_ms,bytes\n0,1\n\n2,2\n", "row 3: got '', want a time in ms"),
        ("time_ms,bytes\n5,1\n4,1\n", "row 3: got 4 ms after 5 ms, want times in order"),
    ],
)
def test_bad_file_is_named_with_row_and_what_was_wanted(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"gone\.csv: got no readable file"):
        read_trace(tmp_path / "gone.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match=r"binary\.csv: got no CSV"):
        read_trace(tmp_path / "binary.csv")


# -- plug-ins -----------------------------------------------------------------------------------------------------


def every_ten_ms(
    seed: int, traffic_class: int, ue_id: int, index: int, previous_slot: float
) -> tuple[float, float]:
    """1500 bytes every 20 slots of 0.5 ms, from the session's start."""
    return (0.0 if index == 0 else 20.0), 1500.0


def test_plug_in_that_does_as_constant_bit_rate_gives_its_packets() -> None:
    built_in = packets(only(model="cbr", rate_mbps=1.2, packet_bytes=1500), 30)
    own = packets(only(model="plugin"), 30, plugin=every_ten_ms)
    # Constant bit rate begins anywhere in an interval.
    for (due, size), (own_due, own_size) in zip(built_in, own, strict=True):
        assert due - built_in[0][0] == pytest.approx(own_due)
        assert size == own_size


def test_plug_in_is_named_by_the_scenario_and_told_who_asks(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def mine(seed, cls, ue, index, previous):\n    return 2.0 + cls, ue + 10.0 * index\n")
    assert packets(only(model="plugin", plugin=f"{file}:mine"), 3, ue_id=5) == [(2, 5), (4, 15), (6, 25)]


def test_plug_in_may_end_a_flow_and_send_at_once() -> None:
    def odd(
        seed: int, traffic_class: int, ue_id: int, index: int, previous_slot: float
    ) -> tuple[float, float]:
        return (0.0, 0.3) if index == 0 else (math.inf, math.nan)  # a size begins at 1 byte

    assert packets(only(model="plugin"), 2, plugin=odd) == [(0, 1), (math.inf, 1)]


@pytest.mark.parametrize(
    ("gap", "size"),
    [(math.nan, 9.0), (-1.0, 9.0), (-math.inf, 9.0)]
    + [(1.0, size) for size in (math.nan, 0.0, -1.0, 2.0**31 + 1, math.inf)],
)
def test_an_answer_that_is_no_packet_is_marked(gap: float, size: float) -> None:
    def bad(
        seed: int, traffic_class: int, ue_id: int, index: int, previous_slot: float
    ) -> tuple[float, float]:
        return gap, size

    assert packets(only(model="plugin"), 1, plugin=bad) == [(0.0, NO_ANSWER)]


def test_new_plug_in_compiles_no_kernel() -> None:
    packets(only(model="plugin"), 1, plugin=every_ten_ms)
    known = list(next_packet.signatures)  # type: ignore[attr-defined]  # because numba's dispatcher has no types
    packets(only(model="plugin"), 1, plugin=lambda seed, cls, ue, index, previous: (1.0, 1.0))
    assert list(next_packet.signatures) == known  # type: ignore[attr-defined]  # because numba's dispatcher has no types


@pytest.mark.parametrize(
    ("plugin", "error", "message"),
    [
        ("gone.py:mine", PluginError, "got no file gone.py"),
        ("mine", ScenarioError, "plugin: got 'mine', want"),
    ],
)
def test_plug_in_that_is_not_there_is_named(plugin: str, error: type[ValueError], message: str) -> None:
    with pytest.raises(error) as caught:
        init_traffic(only(model="plugin", plugin=plugin))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_classes_share_one_plug_in() -> None:
    two = [
        {"name": name, "five_qi": 9, "ues": 1, "model": "plugin", "plugin": f"{name}.py:mine"}
        for name in "ab"
    ]
    with pytest.raises(ScenarioError, match="one traffic plug-in for all classes"):
        load_scenario("one-cell").with_overrides({"traffic": two})
