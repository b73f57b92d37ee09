"""The simulator as RAN nodes: what they offer, when they report, whose ids they use, and what copies share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ran_sim.bridge import SimWorld, open_world
from ran_sim.scenario import load_scenario
from ranloop.errors import NodeError
from ranloop.vocabulary import ACTIONS, ID_COLUMNS, Handover, SetCellOffset, SetUeWeight, measurement
from ranloop.wire.codec import decode_report, encode
from ranloop.wire.messages import FOR_EVER_NS, MAX_ID
from tests.ran_sim.bridge.worlds import FILES, GAMING, MS, VOICE, everything, pick, run_to, small_world

# -- what the nodes offer -----------------------------------------------------------------------------------------


def test_seven_sites_are_seven_nodes_of_three_cells() -> None:
    catalogues = open_world("seven-sites").catalogues
    assert [c.node for c in catalogues] == [f"site{i}" for i in range(7)]
    assert catalogues[2].cells == {6: "site2/0", 7: "site2/1", 8: "site2/2"}
    assert catalogues[0].slices == {0: "1-000001", 1: "1-000002"}
    assert catalogues[0].periods_ms == (100, 1000)
    assert catalogues[0].control_delay_ms == 10.0


def test_catalogue_offers_only_what_the_vocabulary_has_at_that_level() -> None:
    catalogue = open_world("one-cell").catalogues[0]
    assert set(catalogue.measurements) == {"cell", "ue", "slice", "qos_flow", "ue_cell"}
    for level, names in catalogue.measurements.items():
        assert all(level in measurement(name).levels for name in names)
    assert set(catalogue.actions) <= set(ACTIONS)


@pytest.mark.parametrize(
    ("target", "overrides", "seed", "hint"),
    [
        ("no-such", {}, 1, "one-cell"),
        ("one-cell", {"run.duration_s": -1}, 1, "run.duration_s"),
        ("one-cell", {}, -1, "seed"),
    ],
)
def test_a_world_that_cannot_be_opened_is_one_line_of_advice(
    target: str, overrides: dict[str, object], seed: int, hint: str
) -> None:
    with pytest.raises(NodeError, match=hint) as caught:
        open_world(target, seed=seed, overrides=overrides)
    assert "\n" not in str(caught.value)


def test_a_measurement_that_is_not_offered_is_refused() -> None:
    world = small_world(VOICE)
    world.advance(100 * MS)
    with pytest.raises(NodeError, match=r"RACH\.PreambleDedCell"):
        world.reports({("site0", "cell", 100): frozenset({"RACH.PreambleDedCell"})})


# -- when and what reports are ------------------------------------------------------------------------------------


def test_periods_end_where_they_should_and_are_reported_once() -> None:
    world = small_world(VOICE)
    assert world.next_report_ns() == 100 * MS
    world.advance(60 * MS)
    assert (world.now_ns, world.reports(everything(world))) == (60 * MS, [])
    world.advance(900 * MS)
    assert world.now_ns == 100 * MS
    first = world.reports(everything(world))
    assert [(r.seq, r.ran_time_ns, r.period_ms) for r in first] == [(0, 100 * MS, 100)] * 5
    assert world.reports(everything(world)) == []
    assert world.next_report_ns() == 200 * MS
    second = pick(run_to(world, 1000), "cell", 1000)
    assert [(r.seq, r.ran_time_ns) for r in second] == [(0, 1000 * MS)]


def test_reports_that_nobody_asked_for_are_gone() -> None:
    world = small_world(VOICE)
    world.advance(100 * MS)
    world.advance(200 * MS)
    assert {r.seq for r in world.reports(everything(world))} == {1}


def test_world_ends_after_its_duration() -> None:
    world = small_world(VOICE, run={"duration_s": 0.25, "warmup_s": 0.0})
    assert world.end_ns == 250 * MS
    run_to(world, 200)
    world.advance(10**12)
    assert world.now_ns == 250 * MS


def test_a_world_that_is_asked_to_last_longer_goes_on_as_if_its_scenario_had_said_so() -> None:
    short, long = (small_world(VOICE, run={"duration_s": s, "warmup_s": 0.0}) for s in (0.25, 0.75))
    assert short.last_until(200 * MS) == 200 * MS
    assert short.end_ns == 250 * MS  # asked for less it still lasts as long as it would
    run_to(short, 200)
    assert short.last_until(750 * MS) == short.end_ns == 750 * MS
    run_to(long, 200)
    later, planned = run_to(short, 700), run_to(long, 700)
    assert [report.ran_time_ns // MS for report in later][-1] == 700
    assert [encode(report) for report in later] == [encode(report) for report in planned]


def test_a_world_without_an_end_reports_the_same_and_gathers_no_ended_sessions() -> None:
    voice = {**VOICE, "session_s": [0.2, 0.4], "idle_s": 0.1}
    endless, bounded = (small_world(voice, run={"duration_s": 0.5, "warmup_s": 0.0}) for _ in range(2))
    endless.last_until(FOR_EVER_NS)
    bounded.last_until(3000 * MS)
    said = [[encode(report) for report in run_to(world, 3000)] for world in (endless, bounded)]
    assert said[0] == said[1]
    rows, ran = endless.engine.sessions(), bounded.engine.sessions()
    runs_on = ran["end_slot"] == bounded.engine.slot
    assert (~runs_on).sum() > runs_on.sum()
    assert np.array_equal(rows, ran[runs_on])


def test_delayed_reports_leave_later_and_say_the_same() -> None:
    prompt = small_world(FILES)
    late = small_world(FILES, reports={"rounding": False, "delay_ms": 130.0})
    of_prompt = run_to(prompt, 500)
    assert late.next_report_ns() == 230 * MS
    late.advance(230 * MS)
    first = late.reports(everything(late))
    assert {r.ran_time_ns for r in first} == {100 * MS}
    of_late = first + run_to(late, 630)
    assert len(of_late) == len(of_prompt) == 5 * 5
    for a, b in zip(of_prompt, of_late, strict=True):
        assert (a.seq, a.ran_time_ns, a.level) == (b.seq, b.ran_time_ns, b.level)
        if a.level == "ue_cell":
            continue  # UEs begin to measure when the first of these reports leaves, see `test_ue_cells`
        np.testing.assert_array_equal(a.block, b.block)


def test_only_what_is_wanted_is_computed_and_each_node_gets_its_own_columns() -> None:
    world = open_world("seven-sites")
    world.advance(100 * MS)
    wanted = {
        ("site1", "ue", 100): frozenset({"CQI", "DRB.UEThpDl"}),
        ("site4", "ue", 100): frozenset({"RSRP"}),
        ("site4", "cell", 1000): frozenset({"RRU.PrbTotDl"}),
    }
    one, four = world.reports(wanted)
    assert (one.node, one.names, four.node, four.names) == (
        "site1",
        ("DRB.UEThpDl", "CQI"),
        "site4",
        ("RSRP",),
    )
    assert one.block.shape[1] == 4
    assert (four["RSRP"] < -40).all()


def test_each_connected_ue_is_in_the_report_of_its_node_sorted_by_id() -> None:
    world = open_world("seven-sites", seed=3)
    world.advance(100 * MS)
    reports = world.reports(everything(world))
    ues = world.engine.ues
    found = set()
    for report in pick(reports, "ue"):
        assert report.ids == ID_COLUMNS["ue"]
        assert (np.diff(report.ue) > 0).all()
        catalogue = next(c for c in world.catalogues if c.node == report.node)
        assert set(report.cell.tolist()) <= set(catalogue.cells)
        assert report.labels["cell"] == catalogue.cells
        assert report.labels["ue"] == {ue: f"ue-{ue:06d}" for ue in report.ue.tolist()}
        found |= set(zip(report.ue.tolist(), report.cell.tolist(), strict=True))
    u = np.flatnonzero(ues.connected)
    assert found == set(zip(ues.id[u].tolist(), ues.cell[u].tolist(), strict=True))


def test_reports_survive_the_wire() -> None:
    world = small_world(FILES, GAMING)
    world.advance(100 * MS)
    for report in world.reports(everything(world)):
        back = decode_report(encode(report))
        np.testing.assert_array_equal(back.block, report.block)
        assert back.labels == report.labels


def test_ids_of_ues_begin_again_before_they_no_longer_fit_and_still_name_one_ue_each() -> None:
    """Two UEs have sessions of 0.2 s: ids are 2 x session + UE row, of 2**23 sessions each. It starts with the last two."""
    short = VOICE | {"ues": 2, "session_s": (0.2, 0.2), "idle_s": 0.0}
    world = small_world(short)
    world.engine._network.radio.sessions.number[:] = 2**23 - 2
    reports = pick(run_to(world, 1000), "ue")
    seen = [report.ue.tolist() for report in reports if len(report.ue)]
    last = max(at for at, ues in enumerate(seen) if max(ues) >= 2**24 - 4)
    ues = list(dict.fromkeys(ue for one in seen for ue in one))
    assert ues[:2] == [2**24 - 4, 2**24 - 3]
    assert {0, 1} <= set(ues)  # then the first ids again
    assert max(ues) < MAX_ID
    assert len(seen) > last + 1
    for ue in seen[-1]:  # the UEs of now can be acted on, those of before are not here
        assert world.apply("site0", SetUeWeight(ue=[ue], weight=2.0)).tolist() == [[2.0]]
    gone = np.array(ues[:2], np.float32)
    assert world.hosts("site0", "ue", gone).tolist() == [0.0, 0.0]
    assert [decode_report(encode(report)).ue.tolist() for report in reports] == [
        r.ue.tolist() for r in reports
    ]


def test_ids_that_begin_again_stay_those_of_their_ue_rows_where_2_to_the_24_is_no_multiple_of_them() -> None:
    """Three UEs: ids are 3 x session + UE row, of 2**24 // 3 = 5,592,405 sessions each, so 2**24 - 1 is none."""
    short = VOICE | {"ues": 3, "session_s": (0.2, 0.2), "idle_s": 0.0}
    world = small_world(short)
    world.engine._network.radio.sessions.number[:] = 5_592_405 - 2
    seen = [report.ue.tolist() for report in pick(run_to(world, 1000), "ue") if len(report.ue)]
    ues = list(dict.fromkeys(ue for one in seen for ue in one))
    assert {2**24 - 4, 2**24 - 3, 2**24 - 2, 0, 1, 2} <= set(
        ues
    )  # the last session of each, and its first ids again
    assert max(ues) == 2**24 - 2
    for ue in seen[-1]:
        assert world.apply("site0", SetUeWeight(ue=[ue], weight=2.0)).tolist() == [[2.0]]


# -- copies -------------------------------------------------------------------------------------------------------


def test_a_fork_in_the_middle_of_a_period_sends_the_reports_of_the_unbroken_run() -> None:
    def open_it() -> SimWorld:
        world = open_world("seven-sites", overrides={"reports.delay_ms": 30.0})
        run_to(world, 1020.0)  # reports of the period that ended at 1 s are on their way
        world.apply("site0", SetCellOffset(cell=[0], cio_db=[6.0]))
        world.apply("site0", Handover(ue=[int(world.engine.ues.id[0])], target_cell=[20]))
        return world

    unbroken, origin = open_it(), open_it()
    fork = origin.fork()
    expected = [encode(report) for report in run_to(unbroken, 2100.0)]
    for world in (fork, origin):  # one after the other: neither disturbs the other
        assert [encode(report) for report in run_to(world, 2100.0)] == expected
    assert len(expected) > 300


def test_actions_on_a_fork_stay_there() -> None:
    world = open_world("one-cell")
    fork = world.fork()
    fork.apply("site0", SetCellOffset(cell=[0], cio_db=[6.0]))
    assert (world.engine.cells.cio_db[0], fork.engine.cells.cio_db[0]) == (0.0, 6.0)


def test_a_world_that_ends_within_its_warm_up_has_no_score() -> None:
    world = SimWorld(load_scenario("one-cell").with_overrides({"run.duration_s": 0.1, "run.warmup_s": 0.1}))
    nothing_counts = r"one-cell: ends at 0.1 s, within its warm-up of 0.1 s, [^\n]*$"
    with pytest.raises(NodeError, match=nothing_counts):
        world.kpis()  # known before hours are run
    while world.now_ns < world.end_ns:
        world.advance(world.end_ns)
    with pytest.raises(NodeError, match=nothing_counts):
        world.score()


def test_a_run_that_was_stopped_within_its_warm_up_has_no_score_but_what_to_do() -> None:
    world = SimWorld(load_scenario("one-cell").with_overrides({"run.duration_s": 1.0, "run.warmup_s": 0.1}))
    world.advance(100_000_000)
    with pytest.raises(NodeError, match=r"0.1 s are within the warm-up of 0.1 s; run longer, or --override"):
        world.score()
    while world.now_ns <= 100_000_000:
        world.advance(world.end_ns)
    assert world.score()["users"] >= 0


def test_a_plug_in_whose_answer_is_none_ends_the_world_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text(
        "def broken(d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float) -> float:\n"
        "    return float('nan')\n"
    )
    world = open_world("one-cell", overrides={"layout.path_loss": f"{tmp_path / 'loss.py'}:broken"})
    with pytest.raises(
        NodeError, match=r"^one-cell: .*broken\(.*\) gives a path loss of nan dB, want [^\n]*$"
    ):
        world.advance(world.next_report_ns())
