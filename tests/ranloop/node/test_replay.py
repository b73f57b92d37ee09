"""Replays: phone logs and recorded runs, seen by an xApp like any node."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ranloop.bus import Bus
from ranloop.errors import NodeError
from ranloop.guard import StreamRight
from ranloop.node import (
    LockstepHost,
    NodeHost,
    NodePort,
    Registration,
    left_out,
    load_profile,
    open_replay,
    open_world,
    under_profile,
)
from ranloop.node.table.topic_names import topic_names
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import topics
from ranloop.wire.messages import Cause, Report
from tests.ranloop.node.phone_logs import log, row
from tests.ranloop.node.scripted import ScriptedXApp, rights

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
    assert world.days == {"netflix_2019-12-16": date(2019, 12, 16)}
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
    names = topic_names(files)
    assert names[:3] == ["a-b", "a-b-2", "table"]
    assert len(set(names)) == 5
    assert all(topics.is_topic_level(name) for name in names)
    folders = [Path("exp1/bs1"), Path("exp2/bs1"), Path("exp2/bs2")]
    assert topic_names([*folders, folders[0]]) == ["exp1-bs1", "exp2-bs1", "bs2", "exp1-bs1-2"]


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
    assert [line["reason"] for line in logs] == list(world.left_out)
    table, packed, readme, columns = world.left_out
    assert readme == f"{drive}: 1 file left out, with a name that is no table's: README.md"
    assert table.startswith(f"{drive / 'b-table.csv'}: no table that is known: its columns are time, value; ")
    assert columns.startswith("mapping gnettrack: 12 columns not read: Longitude, Latitude, Operatorname, ")
    assert packed.startswith(f"{drive / 'c-packed.csv.gz'}: damaged gzip file")
    assert left_out(under_profile(world, load_profile("ocudu"))) == world.left_out


def test_where_no_log_can_be_read_that_is_the_error(drive: Path) -> None:
    for log_file in drive.glob("*.csv"):
        log_file.write_text("time,value\n1,2\n")
    with pytest.raises(
        NodeError, match=r"drive: nothing to replay; the first of 3 reasons: .*columns are time, value"
    ):
        open_replay(drive)
    with pytest.raises(NodeError, match=r"netflix_2019\.12\.16\.csv: no table that is known"):
        open_replay(drive / "netflix_2019.12.16.csv")


def test_nothing_is_left_out_of_a_world_that_is_whole() -> None:
    assert left_out(ToyWorld()) == ()
