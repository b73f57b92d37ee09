"""Recorded runs: Parquet files that come back as the reports they were made of, and that other tools read."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from ranloop.bus import Bus
from ranloop.errors import MissingExtraError, NodeError
from ranloop.guard import StreamRight
from ranloop.node import (
    LockstepHost,
    NodeHost,
    NodePort,
    Recorder,
    Registration,
    npz_recording,
    open_replay,
    recording,
)
from ranloop.node.npz_recording import convert
from ranloop.node.recording import MANIFEST, PART_NS
from ranloop.testing import make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.checked import checked
from ranloop.wire.codec import encode
from ranloop.wire.messages import Catalogue, CellPlace, CellRelation, Labels, Report
from tests.ranloop.node.scripted import MS, ScriptedXApp, rights

Connect = Callable[[str], Bus]
S = 1_000_000_000
NAMES = ("DRB.UEThpDl", "CQI")


def ue_report(seq: int, *, ues: Sequence[int] = (0, 1), period_ms: int = 100, **changes: Any) -> Report:
    """A UE report of the toy world's first node; UE k has the name `ue-k` and a throughput of 100 k + seq."""
    rows = [[ue, 0, 100 * ue + seq, np.nan] for ue in ues]
    report = Report(
        node="toy-1",
        level="ue",
        period_ms=period_ms,
        seq=seq,
        ran_time_ns=(seq + 1) * period_ms * MS,
        ids=("ue", "cell"),
        names=NAMES,
        block=np.array(rows, np.float32).reshape(-1, 4),
        labels=Labels({"ue": {ue: f"ue-{ue}" for ue in ues}, "cell": {0: "north"}}),
    )
    return replace(report, **changes)


def recorded(folder: Path, reports: Sequence[Report], **arguments: int) -> Path:
    """A closed recording of these reports."""
    with Recorder(folder, ToyWorld(), **arguments) as recorder:
        for report in reports:
            recorder.take(report)
    return folder


def parts(folder: Path, stream: str = "toy-1.ue.100ms") -> list[Path]:
    return sorted((folder / stream).glob("[!.]*.parquet"))


def played(world: NodePort, names: frozenset[str] = frozenset(NAMES)) -> list[Report]:
    """Every report of a replay."""
    wanted = {
        (catalogue.node, str(level), period_ms): names
        for catalogue in world.catalogues
        for level in catalogue.measurements
        for period_ms in catalogue.periods_ms
    }
    reports = []
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        reports += world.reports(wanted)
    return reports


def facts(reports: Sequence[Report]) -> list[tuple[object, ...]]:
    return sorted((r.ran_time_ns, r.node, r.level, r.seq, r.names, r.block.tobytes()) for r in reports)


def record_a_run(folder: Path, connect: Connect) -> list[Report]:
    """Half a second of the toy world; returns what the xApp saw."""
    world = ToyWorld()
    streams = [
        StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDl", "X.UE.Weight")),
        StreamRight(level="cell", every_ms=100, measurements=("DRB.UEThpDl",)),
    ]
    xapp = ScriptedXApp(
        "weigher",
        connect("weigher"),
        lambda step: [(r.node, SetUeWeight(ue=r.ue[:1], weight=3)) for r in step.reports if r.level == "ue"],
    )
    registered = {"weigher": Registration(rights=rights("SetUeWeight", streams=streams))}
    with Recorder(folder, world) as recorder:
        host = NodeHost(world, connect("host"), xapps=registered, outlets=[recorder])
        LockstepHost(host, poll_others=[xapp.bus.poll]).run(500 * MS)
    return [report for step in xapp.steps for report in step.reports]


def test_a_recorded_run_comes_back_bit_for_bit(tmp_path: Path, connect: Connect) -> None:
    seen = record_a_run(tmp_path / "run", connect)
    world = open_replay(tmp_path / "run")
    assert world.left_out == ()
    assert all(catalogue.actions == () for catalogue in world.catalogues)
    replayed = played(world, frozenset(name for report in seen for name in report.names))
    assert len(replayed) == 20  # two nodes, two levels, five periods
    assert facts(replayed) == facts(seen)


def test_a_replay_tells_where_the_cells_are_and_which_are_neighbours(tmp_path: Path) -> None:
    class Placed(ToyWorld):
        @property
        def catalogues(self) -> Sequence[Catalogue]:
            place = CellPlace(site="mast", x_m=1.0, y_m=2.0)
            known = {0: (CellRelation(cell=1, name="toy-1/b"),)}
            return [replace(c, geometry={0: place}, neighbours=known, run="live") for c in super().catalogues]

    world = Placed()
    with Recorder(tmp_path / "run", world) as recorder:
        recorder.take(ue_report(0))
    recorded_as, played_as = world.catalogues[0], open_replay(tmp_path / "run").catalogues[0]
    assert played_as.geometry == recorded_as.geometry
    assert played_as.neighbours == recorded_as.neighbours
    assert played_as.run == ""  # a replay is another run


def test_the_cells_that_ues_measure_come_back_with_their_names(tmp_path: Path) -> None:
    seen = make_report(
        {"RSRP": [-90, -95.0], "SINR": [3.5, np.nan]},
        level="ue_cell",
        ids={"ue": [4, 4], "cell": [0, 0], "measured_cell": [0, 5]},
        node="toy-1",
    )
    seen = replace(seen, labels=Labels({"measured_cell": {0: "toy-1/a", 5: "toy-2/a"}}))
    world = open_replay(recorded(tmp_path / "run", [seen]))
    assert world.catalogues[0].measurements == {"ue_cell": ("RSRP", "SINR")}
    (report,) = played(world, frozenset(["RSRP", "SINR"]))
    assert facts([report]) == facts([seen])
    assert report.names_of("measured_cell").tolist() == ["toy-1/a", "toy-2/a"]


def test_a_replay_offers_columns_by_name_and_refuses_what_was_not_recorded(tmp_path: Path) -> None:
    world = open_replay(recorded(tmp_path / "run", [ue_report(0)]))
    world.advance(world.next_report_ns())
    (report,) = world.reports({("toy-1", "ue", 100): frozenset(["CQI"])})
    assert report.names == ("CQI",)
    assert np.array_equal(report.ue, [0, 1])
    with pytest.raises(NodeError, match="no cell reports of toy-1 every 1000 ms"):
        world.reports({("toy-1", "cell", 1000): frozenset(["DRB.UEThpDl"])})


def test_a_part_is_a_table_with_names_for_people_and_null_for_no_value(tmp_path: Path) -> None:
    """What `pandas.read_parquet` of the folder of a stream shows."""
    folder = recorded(tmp_path / "run", [ue_report(0), ue_report(1)])
    table = pq.read_table(folder / "toy-1.ue.100ms")
    assert table.column_names == [
        "node", "seq", "ran_time_ns", "ue", "cell", "ue_name", "cell_name", "DRB.UEThpDl", "CQI",
    ]  # fmt: skip
    assert table.to_pylist()[3] == {
        "node": "toy-1",
        "seq": 1,
        "ran_time_ns": 200 * MS,
        "ue": 1,
        "cell": 0,
        "ue_name": "ue-1",
        "cell_name": "north",
        "DRB.UEThpDl": 101.0,
        "CQI": None,
    }


def test_reports_are_on_disk_while_the_run_goes_on(tmp_path: Path) -> None:
    """At most a minute of RAN time is in memory, so that is what a crash loses."""
    folder = tmp_path / "run"
    recorder = Recorder(folder, ToyWorld())
    n_per_part = PART_NS // (1000 * MS)
    for seq in range(2 * n_per_part + 5):
        recorder.take(ue_report(seq, period_ms=1000))
    assert len(parts(folder, "toy-1.ue.1000ms")) == 2
    with capture_logs() as logs:
        world = open_replay(folder)  # the recorder was never closed
    assert [line["event"] for line in logs] == ["recording_read_in_part"]
    assert world.left_out == (f"{folder}: was not closed; what was in memory then is missing",)
    assert [report.seq for report in played(world)] == list(range(2 * n_per_part))


def test_a_file_that_was_being_written_is_not_played(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "run", [ue_report(0)])
    (folder / "toy-1.ue.100ms" / ".000001.parquet").write_bytes(b"PAR1half of")
    world = open_replay(folder)
    assert (world.left_out, len(played(world))) == ((), 1)


def test_a_part_has_a_most_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PART_ROWS", 5)
    folder = recorded(tmp_path / "run", [ue_report(seq) for seq in range(6)])  # two rows each
    assert [pq.read_metadata(path).num_rows for path in parts(folder)] == [4, 4, 4]
    large = recorded(tmp_path / "large", [ue_report(0, ues=range(9)), ue_report(1, ues=range(9))])
    assert [pq.read_metadata(path).num_rows for path in parts(large)] == [9, 9]
    assert len(played(open_replay(large))) == 2


def test_the_oldest_parts_make_room_and_a_replay_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PART_ROWS", 2)
    whole = recorded(tmp_path / "whole", [ue_report(seq) for seq in range(10)])
    size = parts(whole)[0].stat().st_size
    with capture_logs() as logs:
        folder = recorded(
            tmp_path / "run", [ue_report(seq) for seq in range(10)], max_bytes=3 * size + size // 2
        )
    assert [line["event"] for line in logs] == ["oldest_parts_deleted"]  # once
    assert [path.stem for path in parts(folder)] == ["000007", "000008", "000009"]
    assert json.loads((folder / MANIFEST).read_text())["parts_deleted"] == 7
    world = open_replay(folder)
    assert world.left_out == (
        f"{folder / 'toy-1.ue.100ms'}: 7 of 10 parts are missing: deleted to make room, or lost",
    )
    assert world.now_ns == 700 * MS  # nobody waits for what was deleted
    assert [report.seq for report in played(world)] == [7, 8, 9]


def test_a_full_disk_loses_a_part_and_the_next_one_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PART_ROWS", 2)
    blocked = tmp_path / "run" / "toy-1.ue.100ms"
    recorder = Recorder(tmp_path / "run", ToyWorld())
    blocked.write_text("a file where a folder belongs")  # every write fails, as on a full disk
    with capture_logs() as logs:
        recorder.take(ue_report(0))
        recorder.take(ue_report(1))
        recorder.take(ue_report(2))
    assert [(line["event"], line["n_reports"]) for line in logs] == [("part_lost", 1)] * 2
    blocked.unlink()
    recorder.close()
    assert json.loads((tmp_path / "run" / MANIFEST).read_text())["reports_lost"] == 2
    world = open_replay(tmp_path / "run")
    assert world.left_out[0].endswith(
        "toy-1.ue.100ms: 2 of 3 parts are missing: deleted to make room, or lost"
    )
    assert [report.seq for report in played(world)] == [2]


def test_a_part_that_is_damaged_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "PART_ROWS", 2)
    folder = recorded(tmp_path / "run", [ue_report(seq) for seq in range(3)])
    for path in parts(folder)[::2]:  # the first and the last
        path.write_bytes(b"PAR1")
    world = open_replay(folder)
    assert [line.rpartition(": ")[2] for line in world.left_out] == [
        "cut short, changed or no Parquet file at all"
    ] * 2
    assert (world.now_ns, world.end_ns) == (100 * MS, 200 * MS)
    assert [report.seq for report in played(world)] == [1]


def test_parts_with_more_digits_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PART_ROWS", 2)
    folder = recorded(tmp_path / "run", [ue_report(0), ue_report(1)])
    first, second = parts(folder)
    first.rename(first.with_name("999999.parquet"))
    second.rename(second.with_name("1000000.parquet"))
    assert [report.seq for report in played(open_replay(folder))] == [0, 1]


def test_columns_may_change_in_the_middle_of_a_run(tmp_path: Path) -> None:
    """An xApp that is admitted later reads more."""
    wider = ue_report(1)
    narrow = replace(wider, seq=0, ran_time_ns=100 * MS, names=NAMES[:1], block=wider.block[:, :3])
    world = open_replay(recorded(tmp_path / "run", [narrow, wider]))
    assert world.catalogues[0].measurements == {"ue": NAMES}
    assert facts(played(world)) == facts([narrow, wider])


def test_a_report_without_a_target_comes_back(tmp_path: Path) -> None:
    reports = [ue_report(0, ues=()), ue_report(1), ue_report(2, ues=())]
    replayed = played(open_replay(recorded(tmp_path / "run", reports)))
    assert [(report.seq, len(report)) for report in replayed] == [(0, 0), (1, 2), (2, 0)]
    assert facts(replayed) == facts(reports)


def test_labels_name_the_targets_of_a_report_and_stay_one_object(tmp_path: Path) -> None:
    reports = [ue_report(0), ue_report(1), ue_report(2, ues=(1, 2))]
    first, second, third = played(open_replay(recorded(tmp_path / "run", reports)))
    assert first.labels == reports[0].labels
    assert second.labels is first.labels
    assert third.labels["ue"] == {1: "ue-1", 2: "ue-2"}


def test_an_id_that_gets_another_name_keeps_both(tmp_path: Path) -> None:
    renamed = ue_report(1, labels={"ue": {0: "somebody else", 1: "ue-1"}, "cell": {0: "north"}})
    replayed = played(open_replay(recorded(tmp_path / "run", [ue_report(0), renamed])))
    assert [report.labels["ue"][0] for report in replayed] == ["ue-0", "somebody else"]


def test_a_late_copy_of_an_older_report_is_not_recorded(tmp_path: Path) -> None:
    with capture_logs() as logs:
        folder = recorded(tmp_path / "run", [ue_report(seq) for seq in (0, 1, 0, 1, 2)])
    assert [(line["event"], line["seq"]) for line in logs] == [("late_reports_not_recorded", 0)]  # once
    assert [report.seq for report in played(open_replay(folder))] == [0, 1, 2]
    assert json.loads((folder / MANIFEST).read_text())["reports_lost"] == 2


def test_names_that_their_owner_adds_in_place_are_recorded(tmp_path: Path) -> None:
    names = {0: "ue-0"}
    reports = [ue_report(seq, labels={"ue": names}) for seq in (0, 1)]
    recorder = Recorder(tmp_path / "run", ToyWorld())
    recorder.take(reports[0])
    names[1] = "ue-1"
    recorder.take(reports[1])
    recorder.close()
    assert played(open_replay(tmp_path / "run"))[1].labels["ue"] == {0: "ue-0", 1: "ue-1"}


def test_only_reports_are_kept(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run", ToyWorld())
    for event in (object(), None, "report", ue_report(0)):
        recorder.take(event)
    recorder.close()
    assert len(played(open_replay(tmp_path / "run"))) == 1


def test_a_replay_holds_one_part_of_a_stream_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each report is a view of its part: as many parts live as reports are kept."""
    monkeypatch.setattr(recording, "PART_ROWS", 2)
    folder = recorded(tmp_path / "run", [ue_report(seq) for seq in range(5)])
    world = open_replay(folder)
    world.advance(world.next_report_ns())
    for path in parts(folder)[2:]:
        path.unlink()  # had they been read at the start, this would change nothing
    with capture_logs() as logs:
        assert [report.seq for report in played(world)] == [1]
    assert [line["event"] for line in logs] == ["part_left_out"] * 3


def test_a_recording_is_not_overwritten(tmp_path: Path) -> None:
    recorded(tmp_path / "run", [ue_report(0)])
    with pytest.raises(NodeError, match="holds a recording already"):
        Recorder(tmp_path / "run", ToyWorld())


def test_a_folder_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeError, match="file/run: cannot be written: Not a directory"):
        Recorder(tmp_path / "file" / "run", ToyWorld())


def test_without_pyarrow_the_install_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(tmp_path / "run", [ue_report(0)])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ranloop\[record\]'"):
        Recorder(tmp_path / "other", ToyWorld())
    with pytest.raises(MissingExtraError, match=r"pip install 'ranloop\[record\]'"):
        open_replay(tmp_path / "run")


# Damaged and foreign files


def change(path: Path, column: str, values: Any) -> None:
    """Replace a column of a part as another tool would; None takes it away."""
    table = pq.read_table(path, partitioning=None)
    at = table.column_names.index(column)
    table = table.remove_column(at) if values is None else table.set_column(at, column, values)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("column", "values", "complaint"),
    [
        ("ue", None, "lacks the columns ue of ue reports"),
        ("ran_time_ns", None, "lacks the columns ran_time_ns of ue reports"),
        ("ue", pa.array([0.0, 1.0]), "column ue holds double, want whole numbers"),
        ("ue", pa.array([[0], [1]]), "column ue holds list<element: int64>, want whole numbers"),
        ("CQI", pa.array(["a", "b"]), "column CQI holds string, want floating-point numbers"),
        ("ue", pa.array([0, None], pa.int64()), "column ue has 1 nulls"),
        ("seq", pa.array([0, None], pa.int64()), "column seq has 1 nulls"),
        ("ue", pa.array([0, 1 << 24]), "an id outside 0 to 16777215"),
        ("cell", pa.array([0, -1]), "an id outside 0 to 16777215"),
        (
            "ran_time_ns",
            pa.array([200 * MS, 100 * MS]),
            "reports are not in the order of RAN time, each with its rows together",
        ),
        ("ue_name", pa.array(["a" * 257, "b"]), "a name of more than 256 characters"),
        ("ran_time_ns", pa.array([-5, -5]), "reports are not in the order of RAN time"),
    ],
)
def test_a_foreign_part_that_cannot_be_played_is_one_line(
    tmp_path: Path, column: str, values: Any, complaint: str
) -> None:
    folder = recorded(tmp_path / "run", [ue_report(0), ue_report(0, period_ms=1000)])
    (bad,) = parts(folder)
    change(bad, column, values)
    world = open_replay(folder)
    assert [report.period_ms for report in played(world)] == [1000]  # the rest is played
    (line,) = world.left_out
    assert line.startswith(f"{bad}: {complaint}")
    assert "\n" not in line


def test_row_groups_out_of_order_are_refused_and_split_reports_are_joined(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "run", [ue_report(seq) for seq in range(3)])
    (path,) = parts(folder)
    whole = pq.read_table(path, partitioning=None)
    pq.write_table(whole, path, row_group_size=1)  # the rows of a report in two groups
    assert len(played(open_replay(folder))) == 3
    pq.write_table(whole.take([4, 5, 0, 1, 2, 3]), path, row_group_size=2, write_statistics=False)
    with pytest.raises(NodeError, match=r"000000\.parquet: reports are not in the order of RAN time"):
        open_replay(folder)


def test_a_sequence_number_that_does_not_ascend_is_refused(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "run", [ue_report(0), ue_report(1)])
    (path,) = parts(folder)
    change(path, "seq", pa.array([1, 1, 0, 0]))
    with pytest.raises(NodeError, match=r"000000\.parquet: reports are not in the order of RAN time"):
        open_replay(folder)


def test_a_report_of_more_targets_than_travel_is_refused(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "run", [ue_report(0, ues=range(1 << 16))])
    assert len(played(open_replay(folder))[0]) == 1 << 16
    folder = recorded(tmp_path / "more", [ue_report(0, ues=range((1 << 16) + 1))])
    with pytest.raises(NodeError, match=r"more than 65536 targets in one report"):
        open_replay(folder)


def test_a_number_beyond_float32_is_infinite_and_so_out_of_range(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "run", [ue_report(0)])
    change(parts(folder)[0], "DRB.UEThpDl", pa.array([1e300, 5.0]))
    (report,) = played(open_replay(folder))
    assert report["DRB.UEThpDl"].tolist() == [np.inf, 5]
    assert checked(report)[1] == 1


def test_a_part_of_too_many_rows_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recorded(tmp_path / "run", [ue_report(seq) for seq in range(3)])
    monkeypatch.setattr("ranloop.node.parts._MOST_ROWS", 5)
    with pytest.raises(NodeError, match=r"000000\.parquet: 6 rows in one part, at most 5 are read; split it"):
        open_replay(folder)


def test_a_part_written_by_another_tool_is_played(tmp_path: Path) -> None:
    """Wider numbers, columns of its own, no metadata of ours."""
    reports = [ue_report(seq) for seq in range(3)]
    folder = recorded(tmp_path / "run", reports)
    (path,) = parts(folder)
    table = pq.read_table(path, partitioning=None)
    table = table.set_column(3, "ue", table["ue"].cast(pa.int64())).append_column(
        "note", pa.array([{"a": 1}] * 6)
    )
    pq.write_table(table.replace_schema_metadata(None), path)
    assert facts(played(open_replay(folder))) == facts(reports)


def test_a_damaged_manifest_is_refused_by_name(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "run", [ue_report(0)])
    manifest = json.loads((folder / MANIFEST).read_text())
    changes: list[dict[str, object]] = [
        {"format": 3},
        {"slot_ns": None},
        {"slot_ns": 0},
        {"catalogues": [{}]},
    ]
    for wrong in changes:
        (folder / MANIFEST).write_text(json.dumps(manifest | wrong))
        with pytest.raises(NodeError, match=r"run: (damaged recording: recording\.json|recording format 3)"):
            open_replay(folder)
    (folder / MANIFEST).write_text("[" * 100_000)
    with pytest.raises(NodeError, match=r"run: damaged recording: recording\.json"):
        open_replay(folder)


@pytest.mark.parametrize("content", [b"no table", b"", b"PAR1", b"PAR1PAR1"])
def test_what_is_no_parquet_file_is_said_in_our_words(tmp_path: Path, content: bytes) -> None:
    folder = recorded(tmp_path / "run", [ue_report(0)])
    (path,) = parts(folder)
    path.write_bytes(content)
    with pytest.raises(NodeError) as caught:
        open_replay(folder)
    assert str(caught.value) == (
        f"{folder}: damaged recording: the first of 1 problems: "
        f"{path}: cut short, changed or no Parquet file at all"
    )


def test_a_recording_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="run: damaged recording: no report in it"):
        open_replay(recorded(tmp_path / "run", []))


def test_a_recording_with_any_changed_byte_is_played_or_refused_in_our_words(tmp_path: Path) -> None:
    """Pages have checksums, so that a changed value is not played; the footer of a Parquet file has none."""
    reports = [ue_report(seq) for seq in range(20)]
    folder = recorded(tmp_path / "run", reports)
    (path,) = parts(folder)
    whole, chance = path.read_bytes(), random.Random(1)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    truth = {report.block.tobytes() for report in reports}
    complaints = []
    for at in [*chance.sample(range(footer), 150), *chance.sample(range(footer, len(whole)), 150)]:
        changed = bytearray(whole)
        changed[at] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:
            world = open_replay(folder)
        except NodeError as error:
            complaints.append(str(error))
            continue
        blocks = {report.block.tobytes() for report in played(world)}
        assert at >= footer or blocks <= truth
    assert len(complaints) > 100
    assert all("damaged recording" in text for text in complaints)


# Old recordings


def old_recording(folder: Path) -> list[Report]:
    """Two UE reports as format 1 had them."""
    reports = [ue_report(0), ue_report(1, ues=(1,))]
    folder.mkdir()
    np.savez_compressed(
        folder / "toy-1.ue.100.npz",
        seq=np.array([0, 1]),
        ran_time_ns=np.array([100 * MS, 200 * MS]),
        first_row=np.array([0, 2, 3]),
        block=np.concatenate([report.block for report in reports]),
        labels=np.array([0, 1]),
    )
    labels = [{column: dict(names) for column, names in report.labels.items()} for report in reports]
    stream = {"file": "toy-1.ue.100.npz", "node": "toy-1", "level": "ue", "period_ms": 100}
    manifest = {
        "format": 1,
        "slot_ns": MS,
        "catalogues": [json.loads(encode(catalogue)) for catalogue in ToyWorld().catalogues],
        "streams": [stream | {"names": NAMES, "labels": labels}],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return reports


def test_an_old_recording_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    reports = old_recording(old)
    with pytest.raises(NodeError, match=rf"convert it: python -m ranloop\.node\.npz_recording {old} NEW"):
        open_replay(old)
    assert convert(old, new) == 2
    replayed = played(open_replay(new))
    assert facts(replayed) == facts(reports)
    assert [report.labels for report in replayed] == [report.labels for report in reports]


def test_what_cannot_be_converted_is_one_line(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old_recording(old)
    (old / "toy-1.ue.100.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(NodeError, match="old: damaged recording: BadZipFile"):
        convert(old, tmp_path / "new")
    manifest = json.loads((old / MANIFEST).read_text())
    arrays: dict[str, Any] = {
        "seq": [[0, 1]],
        "ran_time_ns": [1, 2],
        "first_row": [0, 1, 2],
        "labels": [0, 0],
    }
    np.savez(old / "toy-1.ue.100.npz", block=np.zeros((2, 4), np.float32), **arrays)
    with pytest.raises(NodeError, match=r"the arrays of toy-1\.ue\.100\.npz do not fit together"):
        convert(old, tmp_path / "new")
    np.savez(old / "toy-1.ue.100.npz", block=np.zeros((2, 4), np.float32), **arrays | {"seq": [0, 1]})
    manifest["streams"][0]["node"] = "../elsewhere"
    (old / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(NodeError, match="do not fit together"):
        convert(old, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(NodeError, match="recording format 2, this converts format 1"):
        convert(recorded(tmp_path / "run", [ue_report(0)]), tmp_path / "new")


def test_the_converter_is_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old_recording(tmp_path / "old")
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    codes = []
    for arguments in ([old, new], [old, new], [old]):
        monkeypatch.setattr("sys.argv", ["npz_recording", *arguments])
        codes.append(npz_recording.main())
    told = capsys.readouterr()
    assert codes == [0, 1, 2]
    assert told.out == f"2 reports in {new}\n"
    assert told.err.splitlines() == [
        f"error: {new} holds a recording already; choose another folder",
        "usage: python -m ranloop.node.npz_recording OLD_FOLDER NEW_FOLDER",
    ]
