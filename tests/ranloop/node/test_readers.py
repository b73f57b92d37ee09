"""What every bundled reader of recorded reports keeps of the `NodePort` protocol: one test per rule, for all readers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ranloop.errors import NodeError
from ranloop.node import NodePort, Recorder, open_replay
from ranloop.node.table import TableOptions
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import ID_COLUMNS, SetUeWeight
from ranloop.wire.checked import checked
from ranloop.wire.codec import decode_catalogue, decode_report, encode
from ranloop.wire.messages import FOR_EVER_NS, MAX_ID, Labels, Report
from tests.ranloop.node.phone_logs import log, row
from tests.ranloop.node.test_recording import ue_report

Wanted = dict[tuple[str, str, int], frozenset[str]]


def a_recorded_run(folder: Path) -> NodePort:
    world = ToyWorld(duration_s=1)
    with Recorder(folder / "run", world) as recorder:
        for report in play(world, everything(world)):
            named = {c: {i: f"{c}-{i}" for i in report.id(c).tolist()} for c in report.ids}
            recorder.take(replace(report, labels=Labels(named)))
    return open_replay(folder / "run")


def a_recording_with_gaps(folder: Path) -> NodePort:
    """UEs come and go, a report is lost, another one is empty, a stream is slower."""
    with Recorder(folder / "run", ToyWorld()) as recorder:
        for seq, ues in ((0, [0]), (1, [0, 1]), (2, []), (5, [1, 2]), (6, [2])):
            recorder.take(ue_report(seq, ues=ues))
        recorder.take(ue_report(0, period_ms=1000))
    return open_replay(folder / "run")


def a_log(folder: Path) -> NodePort:
    """A gap, a second twice, a clock that was set back, values out of range, another cell."""
    rows = [row(0), row(1, CQI="36"), row(1), row(5, RAWCELLID="7"), row(9, SNR="-"), row(6), row(10)]
    hour_before = row(0, Timestamp="2019.11.28_06.00.00")
    (folder / "drive.csv").write_text(log(*rows, hour_before))
    return open_replay(folder / "drive.csv")


def a_folder_of_logs(folder: Path) -> NodePort:
    (folder / "logs").mkdir()
    (folder / "logs" / "one.csv").write_text(log(row(0), row(1)))
    (folder / "logs" / "two.csv").write_text(log(row(0), row(3)).replace("2019.11.28", "2019.12.16"))
    return open_replay(folder / "logs")


def two_tables(folder: Path) -> NodePort:
    """Cells and UEs of one node in files of two formats; a UE comes late, another one changes its cell."""
    cells = "time,cell,RRU.PrbTotDl,RRC.ConnMean\n0,A,40,1\n0,B,,2\n1000,A,50,1\n3000,B,60,2\n"
    (folder / "kpm").mkdir()
    (folder / "kpm" / "cells.csv").write_text(cells)
    ues = [(0, 7, "A", 3), (1000, 7, "B", 4), (1000, 208950000000031, "B", 99), (2000, 7, "A", 5)]
    rows = [dict(zip(("time", "ue", "cell", "CQI"), one, strict=True)) for one in ues]
    (folder / "kpm" / "ues.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return open_replay(folder / "kpm", TableOptions(time_format="ms"))


READERS = [a_recorded_run, a_recording_with_gaps, a_log, a_folder_of_logs, two_tables]


@pytest.fixture(params=READERS, ids=lambda reader: reader.__name__)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], NodePort]:
    """Opens the same recording anew each time."""
    folders = iter(range(9))

    def open_again() -> NodePort:
        (folder := tmp_path / str(next(folders))).mkdir()
        world: NodePort = request.param(folder)
        return world

    return open_again


def everything(world: NodePort) -> Wanted:
    return {
        (catalogue.node, str(level), period_ms): frozenset(names)
        for catalogue in world.catalogues
        for level, names in catalogue.measurements.items()
        for period_ms in catalogue.periods_ms
    }


def streams(world: NodePort) -> Wanted:
    """Of those that the catalogues allow, the streams that were written."""
    written = {}
    for stream, names in everything(world).items():
        try:
            world.reports({stream: names})
        except NodeError:
            continue
        written[stream] = names
    return written


def play(world: NodePort, wanted: Wanted) -> list[Report]:
    reports = []
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        for report in world.reports(wanted):
            assert report.ran_time_ns == world.now_ns
            reports.append(report)
    return reports


def as_bytes(reports: Sequence[Report]) -> list[bytes]:
    return [encode(report) for report in reports]


def by_stream(reports: Sequence[Report]) -> dict[tuple[str, str, int], list[Report]]:
    sorted_out: dict[tuple[str, str, int], list[Report]] = {}
    for report in reports:
        sorted_out.setdefault((report.node, str(report.level), report.period_ms), []).append(report)
    return sorted_out


def test_the_same_recording_gives_the_same_reports_in_the_same_order(opened: Callable[[], NodePort]) -> None:
    one, two = opened(), opened()
    reports = as_bytes(play(one, streams(one)))
    assert reports
    assert as_bytes(play(two, streams(two))) == reports


def test_time_and_sequence_numbers_of_a_stream_ascend(opened: Callable[[], NodePort]) -> None:
    world = opened()
    for reports in by_stream(play(world, streams(world))).values():
        assert all(a.ran_time_ns < b.ran_time_ns and a.seq < b.seq for a, b in pairwise(reports))
        assert all(report.seq >= 0 and report.ran_time_ns > 0 for report in reports)


def test_every_written_stream_reports_within_the_time_of_the_world(opened: Callable[[], NodePort]) -> None:
    world = opened()
    written = streams(world)
    reports = play(world, written)
    assert by_stream(reports).keys() == written.keys()
    assert max(report.ran_time_ns for report in reports) == world.end_ns


def test_blocks_are_what_the_wire_carries_and_ids_are_dense(opened: Callable[[], NodePort]) -> None:
    world = opened()
    for report in play(world, streams(world)):
        assert report.ids == ID_COLUMNS[report.level]
        assert report.block.dtype == np.float32
        assert report.block.flags.c_contiguous
        ids = report.block[:, : len(report.ids)]
        assert np.array_equal(ids, np.floor(ids))
        assert ((ids >= 0) & (ids < MAX_ID)).all()
        again = decode_report(encode(report))
        assert again.block.tobytes() == report.block.tobytes()
        assert again.labels == report.labels


def test_every_target_has_a_name(opened: Callable[[], NodePort]) -> None:
    world = opened()
    cells = {catalogue.node: catalogue.cells for catalogue in world.catalogues}
    for report in play(world, streams(world)):
        for ue in report.ue.tolist() if "ue" in report.ids else ():
            assert report.labels["ue"][ue]
        for cell in report.cell.tolist():
            assert report.labels.get("cell", cells[report.node])[cell]


def test_no_value_is_out_of_range_and_no_target_stands_twice(opened: Callable[[], NodePort]) -> None:
    world = opened()
    for report in play(world, streams(world)):
        assert checked(report) == (report, 0)


def test_only_the_wanted_columns_come_and_in_the_order_of_the_catalogue(
    opened: Callable[[], NodePort],
) -> None:
    world = opened()
    some = {stream: frozenset(sorted(names)[:1]) for stream, names in streams(world).items()}
    for report in play(world, some):
        assert set(report.names) <= some[report.node, str(report.level), report.period_ms]
    whole = opened()
    offered = {catalogue.node: catalogue.measurements for catalogue in whole.catalogues}
    for report in play(whole, streams(whole)):
        known = offered[report.node][report.level]
        assert list(report.names) == [name for name in known if name in report.names]


def test_the_wanted_columns_may_change_on_the_way(opened: Callable[[], NodePort]) -> None:
    """An xApp that is admitted later reads more."""
    world, whole = opened(), opened()
    wanted = streams(world)
    few = {stream: frozenset(sorted(names)[:1]) for stream, names in wanted.items()}
    seen: dict[tuple[str, int], Report] = {}
    for turn in range(1000):
        if world.now_ns >= world.end_ns:
            break
        world.advance(min(world.next_report_ns(), world.end_ns))
        for report in world.reports(few if turn % 2 else wanted):
            seen[str((report.node, report.level, report.period_ms)), report.seq] = report
            assert turn % 2 == 0 or len(report.names) <= 1
    for report in play(whole, wanted):
        mine = seen[str((report.node, report.level, report.period_ms)), report.seq]
        assert all(np.array_equal(mine[name], report[name], equal_nan=True) for name in mine.names)


def test_a_report_is_given_once_and_not_later(opened: Callable[[], NodePort]) -> None:
    world = opened()
    wanted = streams(world)
    world.advance(world.next_report_ns())
    first = world.reports(wanted)
    assert first
    assert world.reports(wanted) == []
    world.advance(world.next_report_ns())  # nobody asks for these
    skipped_ns = world.now_ns
    if world.next_report_ns() <= world.end_ns:
        world.advance(world.next_report_ns())
        assert all(report.ran_time_ns > skipped_ns for report in world.reports(wanted))


def test_stops_between_two_reports_change_nothing(opened: Callable[[], NodePort]) -> None:
    whole, cut = opened(), opened()
    reports, wanted = [], streams(cut)
    while cut.now_ns < cut.end_ns:
        half_ns = (cut.now_ns + cut.next_report_ns()) // 2
        for stop_ns in (half_ns, half_ns, cut.next_report_ns()):
            cut.advance(stop_ns)
            reports += cut.reports(wanted)
    assert as_bytes(reports) == as_bytes(play(whole, streams(whole)))


def test_time_moves_forward_and_at_most_to_the_next_report(opened: Callable[[], NodePort]) -> None:
    world = opened()
    assert world.now_ns < world.next_report_ns()
    with pytest.raises(ValueError, match="past a report"):
        world.advance(world.next_report_ns() + 1)
    world.advance(world.next_report_ns())
    with pytest.raises(ValueError, match="cannot advance"):
        world.advance(world.now_ns - 1)


def test_a_recording_ends_with_its_data(opened: Callable[[], NodePort]) -> None:
    world = opened()
    assert world.last_until(FOR_EVER_NS) == world.end_ns
    assert world.last_until(1) == 1
    wanted = streams(world)
    play(world, wanted)
    assert world.now_ns == world.end_ns < world.next_report_ns()
    world.advance(world.next_report_ns())
    assert world.reports(wanted) == []


def test_a_stream_that_was_not_written_is_refused(opened: Callable[[], NodePort]) -> None:
    world = opened()
    node = world.catalogues[0].node
    for stream in ((node, "slice", 100), (node, "ue", 77), ("elsewhere", "ue", 1000)):
        with pytest.raises(NodeError, match=f"no {stream[1]} reports of {stream[0]} every {stream[2]} ms"):
            world.reports({stream: frozenset()})


def test_nothing_can_be_changed(opened: Callable[[], NodePort]) -> None:
    world = opened()
    node = world.catalogues[0].node
    assert all(catalogue.actions == () for catalogue in world.catalogues)
    world.hand_over(node, 7, SetUeWeight(ue=[0, 1], weight=2))
    (answer,) = world.answers()
    assert (answer.number, answer.values.shape) == (7, (2, 1))
    assert np.isnan(answer.values).all()
    assert world.hosts(node, "ue", np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_a_catalogue_is_what_the_wire_carries(opened: Callable[[], NodePort]) -> None:
    for catalogue in opened().catalogues:
        assert decode_catalogue(encode(catalogue)) == catalogue
