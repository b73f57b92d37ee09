"""What an xApp remembers follows its target, and goes when the target or the node's run does."""

from __future__ import annotations

from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.testing import make_report
from ranloop.vocabulary import Level
from ranloop.wire.messages import Report
from ranloop.xapp import XApp
from ranloop.xapp.memory import Memory, Objects
from tests.builders import in_run


def seen(ues: list[int], seq: int = 0, *, node: str = "site0", cells: list[int] | None = None) -> Report:
    ids = {"ue": ues, "cell": cells or [0] * len(ues)}
    return make_report({"CQI": [7] * len(ues)}, ids=ids, seq=seq, node=node)


def test_a_new_target_has_the_start_values_and_a_known_one_what_was_remembered() -> None:
    memory = Memory("ue", {"rate": nan, "count": 3})
    assert isnan(memory.of(seen([5]))["rate"][0])
    memory.update(seen([5, 6]), rate=[1.5, 2.5])
    known = memory.of(seen([9, 6, 5], 1))
    assert np.isnan(known["rate"]).tolist() == [True, False, False]
    assert known["rate"][1:].tolist() == [2.5, 1.5]
    assert known["count"].tolist() == [3, 3, 3]  # left out of the update


def test_what_is_known_follows_the_ue_when_its_row_and_its_cell_change() -> None:
    memory = Memory("ue", {"rate": 0.0})
    memory.update(seen([5, 6], cells=[0, 1]), rate=[1, 2])
    assert memory.of(seen([6, 5], 1, cells=[0, 1]))["rate"].tolist() == [2, 1]


@pytest.mark.parametrize(("absent", "known"), [(2, True), (3, False)])
def test_a_target_outlives_as_many_periods_as_was_said(absent: int, known: bool) -> None:
    memory = Memory("ue", {"rate": 0.0}, keep_periods=3)
    memory.update(seen([5]), rate=[1])
    for seq in range(1, absent + 1):
        memory.update(seen([6], seq), rate=[2])
    # Absent for n reports, it comes back n + 1 periods after its last one.
    assert memory.of(seen([5], absent + 1))["rate"].tolist() == [1.0 if known else 0.0]


def test_targets_that_left_take_no_room() -> None:
    memory = Memory("ue", {"rate": 0.0})
    for seq in range(50):
        memory.update(seen([seq, 1000], seq), rate=[1, 2])
    assert len(memory) == 5  # UE 1000, and those of the last four periods


def test_two_nodes_have_two_memories() -> None:
    memory = Memory("ue", {"rate": 0.0})
    memory.update(seen([5]), rate=[1])
    assert memory.of(seen([5], node="site1"))["rate"].tolist() == [0]


def test_a_report_of_another_level_finds_the_cells_and_ues_of_its_rows() -> None:
    cells = Memory("cell", {"prbs": 0.0})
    cells.update(
        make_report({"RRU.PrbAvailDl": [51, 106]}, level="cell", ids={"cell": [3, 4]}), prbs=[51, 106]
    )
    flows = make_report({"CQI": [1, 2, 3]}, level="qos_flow", ids={"ue": [1, 1, 2], "cell": [4, 4, 3]})
    assert cells.of(flows)["prbs"].tolist() == [106, 106, 51]


def test_a_slower_stream_does_not_lose_what_it_said_to_a_quicker_one() -> None:
    memory = Memory("ue", {"rate": 0.0, "mean": 0.0})
    memory.update(make_report({"CQI": [7]}, ids={"ue": [5]}, period_ms=1000), mean=[9])
    memory.update(seen([5], 10), rate=[2])  # and is not in those of 100 ms from then on, up to 4 s
    for seq in range(11, 40):
        memory.update(seen([6], seq), rate=[2])
    assert memory.of(seen([5], 40))["mean"].tolist() == [0.0]  # 1 s + 3 periods of 1 s are over
    assert memory.of(seen([5], 39))["mean"].tolist() == [9.0]


def test_an_older_report_does_not_overwrite_what_is_known() -> None:
    memory = Memory("ue", {"rate": 0.0})
    memory.update(seen([5], 4), rate=[4])
    memory.update(seen([5], 3), rate=[3])
    assert memory.of(seen([5], 5))["rate"].tolist() == [4]


def test_ran_time_that_begins_again_is_another_run() -> None:
    memory = Memory("ue", {"rate": 0.0})
    memory.update(seen([5], 50), rate=[1])
    assert memory.of(seen([5], 0))["rate"].tolist() == [0]


def test_another_run_of_the_node_is_forgotten_however_the_time_goes_on() -> None:
    memory = Memory("ue", {"rate": 0.0})
    memory.update(in_run("a", seen([5], 4)), rate=[1])
    assert memory.of(in_run("a", seen([5], 5)))["rate"].tolist() == [1]
    assert memory.of(in_run("b", seen([5], 6)))["rate"].tolist() == [0]


def test_a_very_late_report_of_the_same_run_is_no_restart() -> None:
    memory = Memory("ue", {"rate": 0.0})
    memory.update(in_run("a", seen([5], 50)), rate=[1])
    memory.update(in_run("a", seen([5], 0)), rate=[9])
    assert memory.of(in_run("a", seen([5], 51)))["rate"].tolist() == [1]


def test_one_target_in_several_rows_keeps_the_first_value() -> None:
    memory = Memory("ue", {"rate": 0.0})
    memory.update(seen([5, 5]), rate=[1, 2])
    assert memory.of(seen([5, 5], 1))["rate"].tolist() == [1, 1]


def test_a_column_may_hold_an_array_per_target_and_keeps_its_type() -> None:
    memory = Memory("ue", {"last": np.zeros(3, np.float64), "on": False})
    memory.update(seen([5]), last=[[1, 2, 3]], on=[True])
    known = memory.of(seen([4, 5], 1))
    assert known["last"].tolist() == [[0, 0, 0], [1, 2, 3]]
    assert (known["last"].dtype, known["on"].tolist()) == (np.dtype(np.float64), [False, True])


def test_what_was_handed_out_does_not_change_the_memory() -> None:
    memory = Memory("ue", {"rate": 0.0})
    memory.update(seen([5]), rate=[1])
    memory.of(seen([5]))["rate"][:] = 9
    assert memory.of(seen([5]))["rate"].tolist() == [1]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"rte": [1]}, "has no 'rte'; it has: rate, count"),
        ({"rate": [1, 2]}, r"rate is remembered as float32 of the shape \[1\] .* not as \w+ of \[2\]"),
        ({"rate": 1}, r"not as \w+ of \[\]"),
        ({"count": [1.5]}, r"count is remembered as int64 .* not as float64"),
        ({"rate": ["x"]}, r"rate is remembered as float32 .* not as <U1"),
    ],
)
def test_what_does_not_fit_the_memory_is_refused_by_name(
    columns: dict[str, list[float]], reason: str
) -> None:
    memory = Memory("ue", {"rate": 0.0, "count": 0})
    with pytest.raises(ValueError, match=reason):
        memory.update(seen([5]), **columns)


@pytest.mark.parametrize(
    ("start", "keep", "reason"),
    [({}, 3, "first value"), ({"a": 0.0}, 0, "from 1, not 0"), ({"a": 0.0}, True, "from 1, not True")],
)
def test_a_memory_of_nothing_or_for_no_time_is_refused(
    start: dict[str, float], keep: int, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Memory("ue", start, keep_periods=keep)


def test_objects_are_made_once_per_target_and_shared_by_its_rows() -> None:
    lists: Objects[list[int]] = Objects("ue", list)
    one, other, again = lists.of(seen([5, 6, 5]))
    one.append(1)
    assert (again, other) == ([1], [])
    assert lists.of(seen([6, 5], 1)) == [[], [1]]
    for seq in range(2, 6):
        lists.of(seen([6], seq))
    assert lists.of(seen([5], 6)) == [[]]


@pytest.mark.parametrize(("level", "target"), [("ue", "ue"), ("cell", "cell")])
def test_an_xapp_asks_for_a_memory_per_ue_or_per_cell(level: Level, target: str) -> None:
    app = XApp()
    make = app.per_ue if target == "ue" else app.per_cell
    values = make(rate=0.0)
    things: Objects[dict[str, int]] = make(dict, keep_periods=1)
    report = make_report({"DRB.UEThpDl": [1]}, level=level, ids={target: [8]})
    values.update(report, rate=[2])
    assert values.of(report)["rate"].tolist() == [2]
    things.of(report)[0]["a"] = 1
    assert things.of(report) == [{"a": 1}]
    with pytest.raises(TypeError, match="leave out rate"):
        make(dict, rate=0.0)  # type: ignore[call-overload]  # because the overloads say so, too


Event = tuple[int, list[int]]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.lists(st.integers(0, 6), max_size=5, unique=True)), max_size=20),
    st.integers(1, 3),
)
def test_any_course_of_reports_gives_what_a_plain_dictionary_gives(events: list[Event], keep: int) -> None:
    memory = Memory("ue", {"count": 0}, keep_periods=keep)
    plain: dict[int, tuple[int, int]] = {}  # UE -> period of its last report, number of its reports
    seq = 0
    for step, ues in events:
        seq += step
        plain = {ue: (last, n) for ue, (last, n) in plain.items() if seq - last <= keep}
        report = seen(ues, seq)
        known = memory.of(report)["count"]
        assert known.tolist() == [plain.get(ue, (0, 0))[1] for ue in ues]
        memory.update(report, count=known + 1)
        plain |= {ue: (seq, plain.get(ue, (0, 0))[1] + 1) for ue in ues}
    assert len(memory) == len(plain)
