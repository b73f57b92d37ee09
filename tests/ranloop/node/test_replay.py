"""Replays: phone logs and recorded runs, seen by an xApp like any node."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from ranloop.bus import Bus
from ranloop.errors import NodeError
from ranloop.guard import StreamRight
from ranloop.node import (
    LockstepHost,
    NodeHost,
    NodePort,
    Recorder,
    Registration,
    left_out,
    load_profile,
    open_replay,
    open_world,
    under_profile,
)
from ranloop.node.recording import MANIFEST
from ranloop.node.replay import node_names
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import topics
from ranloop.wire.messages import Cause, Report
from tests.ranloop.node.phone_logs import log, row
from tests.ranloop.node.scripted import MS, ScriptedXApp, rights

Connect = Callable[[str], Bus]
S = 1_000_000_000
PHONE = StreamRight(level="ue", every_ms=1000, measurements=("X.UE.Snr", "X.UE.AppThpDl"))


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Two logs of different days; the first skips two seconds."""
    folder = tmp_path / "drive"
    folder.mkdir()
    (folder / "Download-B_2019.11.28_07.00.00.csv").write_text(
        log(row(0, SNR="1"), row(1, SNR="2"), row(4, SNR="5"))
    )
    later = log(row(0, SNR="-3"), row(1, SNR="-")).replace("2019.11.28", "2019.12.16")
    (folder / "netflix_2019.12.16.csv").write_text(later)
    (folder / "README.md").write_text("not a log")
    return folder


def play(world: NodePort, wanted: dict[tuple[str, str, int], frozenset[str]]) -> list[Report]:
    assert world.last_until(world.end_ns + 1) == world.end_ns  # there is no more than what was recorded
    reports = []
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        reports += world.reports(wanted)
    return reports


def test_a_log_is_a_node_of_one_ue_that_skips_what_was_not_logged(drive: Path) -> None:
    world = open_replay(drive)
    first, second = (catalogue.node for catalogue in world.catalogues)
    assert (first, second) == ("download-b_2019-11-28_07-00-00", "netflix_2019-12-16")
    reports = play(world, {(first, "ue", 1000): frozenset(["X.UE.Snr"])})
    assert [(r.seq, r.ran_time_ns, r["X.UE.Snr"].tolist()) for r in reports] == [
        (0, 1 * S, [1]),
        (1, 2 * S, [2]),
        (4, 5 * S, [5]),
    ]
    assert (reports[0].ue.tolist(), reports[0].cell.tolist()) == ([0], [0])
    assert reports[0].labels["cell"] == {0: "11016972"}


def test_logs_can_be_chosen_by_day(drive: Path) -> None:
    world = open_replay(drive, days=[date(2019, 12, 16)])
    assert [trace.day for trace in world.traces.values()] == [date(2019, 12, 16)]
    with pytest.raises(NodeError, match="no log of 2020-01-01"):
        open_replay(drive, days=[date(2020, 1, 1)])


def test_an_xapp_reads_a_replay_but_cannot_act_on_it(drive: Path, connect: Connect) -> None:
    world = open_world(f"replay:{drive}")
    node = world.catalogues[0].node
    xapp = ScriptedXApp("reader", connect("reader"), lambda _: [(node, SetUeWeight(ue=[0], weight=2))])
    registered = {"reader": Registration(rights=rights("SetUeWeight", streams=[PHONE]))}
    host = NodeHost(world, connect("host"), xapps=registered)
    summary = LockstepHost(host, poll_others=[xapp.bus.poll]).run()
    snr = [(r.node[:3], r.names, r["X.UE.Snr"].tolist()) for step in xapp.steps for r in step.reports]
    assert snr[0] == ("dow", ("X.UE.Snr", "X.UE.AppThpDl"), [1])
    assert len(snr) == 5
    assert summary.outcomes == {f"refused/{Cause.NOT_SUPPORTED}": 3}  # one per step: at 1, 2 and 5 s


def test_node_names_are_topic_levels_and_distinct() -> None:
    files = [
        Path("a B.csv"),
        Path("a-b.csv.gz"),
        Path("Ä.csv"),
        Path("x" * 80 + "1.csv"),
        Path("x" * 80 + "2.csv"),
    ]
    names = node_names(files)
    assert names[:3] == ["a-b", "a-b-2", "trace"]
    assert len(set(names)) == 5
    assert all(topics.is_topic_level(name) for name in names)


def test_nothing_to_replay_is_said(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NodeError, match="nothing to replay"):
            open_replay(place)


def test_a_bad_log_costs_one_line_and_the_others_are_played(drive: Path) -> None:
    good = [catalogue.node for catalogue in open_replay(drive).catalogues]
    (drive / "b-table.csv").write_text("time,value\n1,2\n")
    (drive / "c-packed.csv.gz").write_bytes(b"\x1f\x8bnot really gzip")
    with capture_logs() as logs:
        world = open_replay(drive)
    assert [catalogue.node for catalogue in world.catalogues] == good
    assert [line["event"] for line in logs] == ["log_left_out"] * 2
    assert [line["reason"] for line in logs] == list(world.left_out)
    table, packed = world.left_out
    assert table.startswith(
        f"{drive / 'b-table.csv'}: no G-NetTrack log: its columns are time, value; it lacks Time"
    )
    assert packed.startswith(f"{drive / 'c-packed.csv.gz'}: damaged gzip file")
    assert left_out(under_profile(world, load_profile("ocudu"))) == world.left_out


def test_where_no_log_can_be_read_that_is_the_error(drive: Path) -> None:
    for log_file in drive.glob("*.csv"):
        log_file.write_text("time,value\n1,2\n")
    with pytest.raises(
        NodeError, match=r"drive: none of the 2 logs can be read; the first: .*columns are time, value"
    ):
        open_replay(drive)
    with pytest.raises(NodeError, match=r"netflix_2019\.12\.16\.csv: no G-NetTrack log"):
        open_replay(drive / "netflix_2019.12.16.csv")


def test_nothing_is_left_out_of_worlds_that_are_whole(drive: Path) -> None:
    assert left_out(open_replay(drive)) == left_out(ToyWorld()) == ()


# Recorded runs


def record(folder: Path, connect: Connect) -> list[Report]:
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
    seen = record(tmp_path / "run", connect)
    world = open_replay(tmp_path / "run")
    assert all(catalogue.actions == () for catalogue in world.catalogues)
    wanted = {(r.node, str(r.level), r.period_ms): frozenset(r.names) for r in seen}

    def facts(reports: list[Report]) -> list[tuple[object, ...]]:
        return sorted((r.ran_time_ns, r.node, r.level, r.seq, r.names, r.block.tobytes()) for r in reports)

    replayed = play(world, wanted)
    assert len(replayed) == 20  # two nodes, two levels, five periods
    assert facts(replayed) == facts(seen)


def test_a_replay_offers_columns_by_name_and_refuses_what_was_not_recorded(
    tmp_path: Path, connect: Connect
) -> None:
    record(tmp_path / "run", connect)
    world = open_replay(tmp_path / "run")
    world.advance(world.next_report_ns())
    (report,) = world.reports({("toy-1", "ue", 100): frozenset(["X.UE.Weight"])})
    assert report.names == ("X.UE.Weight",)
    assert np.array_equal(report.ue, [0, 1])
    with pytest.raises(NodeError, match="no cell reports of toy-1 every 1000 ms"):
        world.reports({("toy-1", "cell", 1000): frozenset(["DRB.UEThpDl"])})


def test_a_recording_is_not_overwritten(tmp_path: Path, connect: Connect) -> None:
    record(tmp_path / "run", connect)
    with pytest.raises(NodeError, match="holds a recording already"):
        Recorder(tmp_path / "run", ToyWorld())


def test_a_damaged_recording_is_refused_by_name(tmp_path: Path, connect: Connect) -> None:
    folder = tmp_path / "run"
    record(folder, connect)
    file = folder / "toy-1.ue.100.npz"
    whole = file.read_bytes()
    for broken in (whole[:-30], b"", b"PK\x03\x04"):
        file.write_bytes(broken)
        with pytest.raises(NodeError, match="run: damaged recording"):
            open_replay(folder)
    file.write_bytes(whole)
    manifest = json.loads((folder / MANIFEST).read_text())
    changes: list[dict[str, object]] = [{"format": 2}, {"streams": [{}]}, {"slot_ns": None}]
    for change in changes:
        (folder / MANIFEST).write_text(json.dumps(manifest | change))
        with pytest.raises(NodeError, match=r"run: (damaged recording|recording format 2)"):
            open_replay(folder)
    file.unlink()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(
        NodeError, match=r"damaged recording: toy-1\.ue\.100\.npz is not there; record the run again"
    ):
        open_replay(folder)
    climbing = manifest["streams"][0] | {"file": "../elsewhere.npz"}
    (folder / MANIFEST).write_text(json.dumps(manifest | {"streams": [climbing]}))
    with pytest.raises(NodeError, match="elsewhere"):
        open_replay(folder)


def one_array() -> bytes:
    np.save(file := io.BytesIO(), np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"no archive", b"\x80\x04K\x01.", one_array(), one_array()[:9], b"PK\x03\x04", b""]
)
def test_what_is_no_archive_is_said_in_our_words(tmp_path: Path, connect: Connect, content: bytes) -> None:
    """NumPy's own advice is to unpickle it."""
    folder = tmp_path / "run"
    record(folder, connect)
    (folder / "toy-1.ue.100.npz").write_bytes(content)
    with pytest.raises(NodeError) as caught:
        open_replay(folder)
    assert str(caught.value) == (
        f"{folder}: damaged recording: toy-1.ue.100.npz is cut short, changed or no .npz file at all; "
        "record the run again"
    )


def test_an_archive_without_a_column_is_told_which(tmp_path: Path, connect: Connect) -> None:
    folder = tmp_path / "run"
    record(folder, connect)
    np.savez(folder / "toy-1.ue.100.npz", seq=[0], block=[[0.0]], first_row=[0, 1])
    with pytest.raises(NodeError, match="lacks the arrays ran_time_ns, labels; record"):
        open_replay(folder)


def test_a_recording_with_any_changed_byte_is_played_or_refused_in_our_words(
    tmp_path: Path, connect: Connect
) -> None:
    folder = tmp_path / "run"
    record(folder, connect)
    file = folder / "toy-1.ue.100.npz"
    whole = file.read_bytes()
    chance = random.Random(1)
    complaints = []
    for _ in range(300):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        try:
            open_replay(folder)
        except NodeError as error:
            complaints.append(str(error))
    assert len(complaints) > 100
    assert all("damaged recording" in text and "pickle" not in text for text in complaints)
