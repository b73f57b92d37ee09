"""What goes wrong between a network and its xApps: from one moment on, and the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ranloop.node.mishaps import KINDS, LATE_S, MEANS, MishapKind
from ranloop.testing import Mishap, VirtualRan, under_mishap
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import measurement
from ranloop.wire.checked import checked
from ranloop.wire.messages import Report
from tests.builders import APP, MANIFEST, write_xapp

WANTED = {("toy-1", "ue", 100): frozenset(["DRB.UEThpDl", "X.UE.Weight"])}
BEGINS_S, END_S = 1.0, 8.0


def played(kind: MishapKind | None) -> list[tuple[int, Report]]:
    """RAN time at which each report came, and the report."""
    world = ToyWorld(duration_s=END_S)
    port = under_mishap(world, Mishap(kind=kind, begins_s=BEGINS_S)) if kind else world
    came = []
    while port.now_ns < port.end_ns:
        port.advance(port.next_report_ns())
        came += [(port.now_ns, report) for report in port.reports(WANTED)]
    return came


WELL = played(None)


def same(ours: Sequence[tuple[int, Report]], theirs: Sequence[tuple[int, Report]]) -> bool:
    return [now_ns for now_ns, _ in ours] == [now_ns for now_ns, _ in theirs] and all(
        np.array_equal(a.block, b.block, equal_nan=True) for (_, a), (_, b) in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wrong_before_it_begins_and_the_same_is_each_time(kind: MishapKind) -> None:
    came = played(kind)
    begins_ns = round(BEGINS_S * 1e9)
    before = [[one for one in each if one[0] < begins_ns] for each in (came, WELL)]
    assert same(*before)
    assert len(before[0]) == 9  # from 0.1 to 0.9 s
    assert same(came, played(kind))
    assert kind in MEANS


def test_missing_reports_do_not_come() -> None:
    assert [now_ns for now_ns, _ in played("missing")] == [now_ns for now_ns, _ in WELL[:9]]


def test_stale_reports_come_late_with_the_time_at_which_they_were_made() -> None:
    came = played("stale")[9:]
    assert same(
        [(report.ran_time_ns, report) for _, report in came],
        WELL[9 : 9 + len(came)],
    )
    assert {now_ns - report.ran_time_ns for now_ns, report in came} == {round(LATE_S * 1e9)}
    assert came[-1][0] == round(END_S * 1e9)


def test_constant_reports_come_in_time_with_the_last_rows_before() -> None:
    came = played("constant")
    assert [(at, report.seq, report.ran_time_ns) for at, report in came] == [
        (at, report.seq, report.ran_time_ns) for at, report in WELL
    ]
    assert all(report.block.tobytes() == WELL[8][1].block.tobytes() for _, report in came[8:])
    assert WELL[9][1].block.tobytes() != WELL[8][1].block.tobytes()


def test_absurd_reports_hold_no_value_that_the_vocabulary_allows() -> None:
    for _, report in played("absurd")[9:]:
        values, n_outside = checked(report)
        assert np.isnan(values.block[:, len(report.ids) :]).all()
        assert n_outside == len(report) * len(report.names)


def test_extreme_reports_have_one_end_of_the_range_in_each_column_now_one_now_the_other() -> None:
    ends = set()
    for _, report in played("extreme")[9:]:
        weights = set(report["X.UE.Weight"].tolist())
        assert len(weights) == 1
        ends |= weights
        assert checked(report)[1] == 0
    weight = measurement("X.UE.Weight")
    assert ends == {np.float32(weight.low), np.float32(weight.high)}


def test_a_killed_xapp_is_no_matter_of_the_reports() -> None:
    assert same(played("killed"), WELL)


def test_a_network_in_virtual_time_may_be_in_trouble_too(tmp_path: Path) -> None:
    app = APP.replace('"CQI"', '"DRB.UEThpDl"')
    text = MANIFEST.format(name="held").replace('"CQI"', '"DRB.UEThpDl"')
    mishap = Mishap(kind="missing", begins_s=0.65)
    with VirtualRan(
        write_xapp(tmp_path / "held", app=app, text=text), world=lambda: under_mishap(ToyWorld(), mishap)
    ) as network:
        network.run(640)
        assert network.held
        network.run(300)  # a lease after the report of 0.6 s, and its control delay
        assert network.held == {}
