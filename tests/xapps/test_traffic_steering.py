"""traffic_steering: crowded cells give UEs away, and whatever its reports are like, the network's own offsets come back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from ranloop import Handover, SetCellOffset
from ranloop.testing import VirtualRan, XAppHarness, check_xapp, make_report
from ranloop.testing.mail import Kind
from ranloop.vocabulary import Action
from ranloop.wire.messages import Catalogue, CellRelation, Report
from xapps.traffic_steering import policy, train
from xapps.traffic_steering.crowds import PATIENCE, Cell, Crowds, Stuck
from xapps.traffic_steering.policy import F32, Heard, Moves, Offsets

XAPP = Path(policy.__file__).parent
NAMES = ("north", "east", "south")
NAN = math.nan
RULE = Offsets(gain=0.5, most_db=4.0, step_db=1.0)


def f32(*values: float) -> F32:
    return np.array(values, np.float32)


# The rule: offsets by crowding


def test_crowding_is_what_a_ues_share_falls_by_or_how_full_the_cell_is() -> None:
    active_ues, load_pct = f32(0, 1, 9, NAN), f32(0, 50, 100, NAN)
    # 10 log10(1 + n): alone 0 dB, one more UE halves the share (3.01 dB), ten UEs leave a tenth
    assert policy.crowding_db("ues", active_ues, load_pct).tolist() == pytest.approx(
        [0, 3.01, 10, NAN], abs=0.01, nan_ok=True
    )
    assert policy.crowding_db("prbs", active_ues, load_pct).tolist() == pytest.approx(
        [0, 5, 10, NAN], nan_ok=True
    )


def test_two_cells_offsets_differ_in_proportion_to_their_crowding() -> None:
    # gain 0.5: 8 dB more crowded than the median makes -4 dB; 4 dB less makes +2 dB; no value makes no offset. Two steps of 2 dB.
    held = f32(0, 0, 0, 0)
    for _ in range(2):
        held = policy.offsets_db(f32(11, 3, -1, NAN), 3.0, held, RULE)
    assert held.tolist() == pytest.approx([-4, 0, 2, NAN], nan_ok=True)


def test_offsets_end_at_the_largest_and_go_there_by_two_db_a_report() -> None:
    ways, held = [], f32(0)
    for _ in range(4):
        held = policy.offsets_db(f32(60), 0.0, held, RULE._replace(most_db=5.0))
        ways.append(held.item())
    assert ways == [-2, -4, -5, -5]


def test_an_offset_stays_while_the_wanted_one_hardly_differs() -> None:
    crowding = f32(5.9, 6.1)  # wanted: -2.95 and -3.05 where -2 is held; the hysteresis is 1 dB
    assert policy.offsets_db(crowding, 0.0, f32(-2, -2), RULE).tolist() == [-2, -3]


def test_offsets_are_values_of_q_offset_range() -> None:
    """TS 38.331 6.3.2: whole dB up to 6, even ones beyond."""
    wide = Offsets(gain=1.0, most_db=12.0, step_db=0.0)
    # one report moves an offset by 2 dB at most: from -6 to 6.7 and 7.3 it goes via 6 and 8
    wished = policy.offsets_db(f32(-6.7, -7.3, 3.4), 0.0, f32(6, 6, -3), wide)
    assert wished.tolist() == [6, 8, -3]


def test_the_mean_of_crowding_begins_with_the_first_value_and_has_none_where_there_is_none() -> None:
    share = 1 - math.exp(-1 / 3)
    after = policy.smoothed(f32(NAN, 0, 5), f32(4, 6, NAN), 1.0, 3.0)
    assert after.tolist() == pytest.approx([4, 6 * share, NAN], nan_ok=True)
    assert policy.smoothed(f32(0), f32(6), 1.0, 0.0).tolist() == [6]  # without memory


def test_reports_that_swing_from_full_to_empty_each_second_hardly_move_an_offset() -> None:
    """No storm: UEs follow an offset, and would go to and fro with it."""
    crowding, held, changes = f32(NAN), f32(0), 0
    for second in range(60):
        now = policy.crowding_db("ues", f32(40.0 * (second % 2)), f32(0))
        crowding = policy.smoothed(crowding, now, 1.0, 3.0)
        before, held = held, policy.offsets_db(crowding, 8.0, held, RULE)
        changes += before != held and second > 10
    assert changes <= 2


# The policy: moves of single UEs


def heard(
    *rows: tuple[int, int, int, float, float, float], may_move: bool = True, offset_db: float = 0.0
) -> Heard:
    """Rows of UE, serving cell, measured cell, RSRP, SINR, active UEs."""
    ue, cell, measured, rsrp_dbm, sinr_db, active_ues = zip(*rows, strict=True)
    return Heard(
        ue=np.array(ue, np.int32),
        cell=np.array(cell, np.int32),
        measured_cell=np.array(measured, np.int32),
        rsrp_dbm=f32(*rsrp_dbm),
        sinr_db=f32(*sinr_db),
        offset_db=np.full(len(rows), offset_db, np.float32),
        active_ues=f32(*active_ues),
        may_move=np.full(len(rows), may_move),
    )


ALL = {(a, b) for a in range(9) for b in range(9)}
MOVES = Moves(worth_db=3.0, near_db=1.0)


def chosen(seen: Heard, rule: Moves = MOVES, allowed: set[tuple[int, int]] = ALL) -> list[tuple[int, int]]:
    ue, target = policy.moves(seen, allowed, rule)
    return list(zip(ue.tolist(), target.tolist(), strict=True))


def test_a_ue_moves_if_its_share_of_the_target_is_worth_more() -> None:
    """At 0 dB both, log2(1 + 1) = 1 bit/s/Hz: an eighth before, a half after (it and one more), which is 6.02 dB more."""
    seen = heard((7, 0, 0, -90, 0, 8), (7, 0, 1, -90.9, 0, 1))
    assert chosen(seen, MOVES._replace(worth_db=6.0)) == [(7, 1)]
    assert chosen(seen, MOVES._replace(worth_db=6.1)) == []


def test_a_weaker_sinr_costs_what_the_target_must_make_good() -> None:
    # -10 dB: log2(1.1) = 0.1375, 8.6 dB below the 1 bit/s/Hz of 0 dB; seven UEs fewer (8 to 1) bring 9.03 dB
    seen = heard((7, 0, 0, -90, 0, 8), (7, 0, 1, -90, -10, 0))
    assert chosen(seen, MOVES._replace(worth_db=0.4)) == [(7, 1)]
    assert chosen(seen, MOVES._replace(worth_db=0.5)) == []


@pytest.mark.parametrize(
    ("seen", "allowed"),
    [
        (heard((7, 0, 0, -90, 0, 8), (7, 0, 1, -91.1, 0, 0)), ALL),  # too far below: A3 would take it back
        (heard((7, 0, 0, -90, 0, 8), (7, 0, 1, -90, 0, 0), may_move=False), ALL),
        (heard((7, 0, 0, -90, 0, 8), (7, 0, 1, -90, 0, 0)), {(1, 0)}),  # no relation
        (heard((7, 0, 1, -90, 0, 0), (7, 0, 2, -90, 0, 0)), ALL),  # says nothing of its own cell
        (heard((7, 0, 0, -90, 0, 8), (7, 0, 1, NAN, 0, 0)), ALL),
        (heard((7, 0, 0, -90, 0, 8), (7, 0, 1, -90, NAN, 0)), ALL),
        (heard((7, 0, 0, -90, 0, 8), (7, 0, 1, -90, 0, NAN)), ALL),  # nobody has told of that cell
        (heard((7, 0, 0, -90, 0, NAN), (7, 0, 1, -90, 0, 0)), ALL),
        (heard((7, 0, 0, -90, 0, 8), (7, 0, 1, -90, 0, 0), offset_db=NAN), ALL),
    ],
)
def test_a_ue_stays_where_something_is_against_it_or_not_known(
    seen: Heard, allowed: set[tuple[int, int]]
) -> None:
    assert chosen(seen, allowed=allowed) == []


def test_one_ue_leaves_a_cell_and_one_enters_it_until_reports_show_the_effect() -> None:
    seen = heard(
        (7, 0, 0, -90, 0, 8), (7, 0, 1, -90, 3, 0),
        (8, 0, 0, -90, 0, 8), (8, 0, 1, -90, 6, 0),  # wins most out of cell 0
        (9, 2, 2, -90, 0, 8), (9, 2, 1, -90, 4, 0), (9, 2, 3, -90, 3, 0),  # its best is taken
    )  # fmt: skip
    assert chosen(seen) == [(8, 1), (9, 3)]


# What is known of the network


def test_the_median_is_of_all_nodes_and_a_silent_node_is_forgotten() -> None:
    crowds = Crowds()
    assert math.isnan(crowds.median_db())
    crowds.tell("a", {"north": Cell(1.0, 0.0, 0.0), "east": Cell(NAN, 0.0, 0.0)})
    crowds.tell("b", {"south": Cell(5.0, 4.0, -2.0)})
    assert crowds.median_db() == 3.0
    for _ in range(2 * PATIENCE - 1):  # two nodes: b could have told three times meanwhile
        crowds.tell("a", {"north": Cell(1.0, 0.0, 0.0)})
    active_ues, offset_db = crowds.of(["south", "west", "north"])
    assert active_ues.tolist() == pytest.approx([4, NAN, 0], nan_ok=True)
    assert offset_db.tolist() == pytest.approx([-2, NAN, 0], nan_ok=True)
    crowds.tell("a", {"north": Cell(1.0, 0.0, 0.0)})
    assert crowds.median_db() == 1.0
    assert math.isnan(crowds.of(["south"])[0].item())


def test_reports_are_stuck_that_say_the_same_to_the_bit_and_empty_ones_are_not() -> None:
    stuck = Stuck()
    assert [stuck.look(f32(3, NAN)) for _ in range(5)] == [False] * PATIENCE + [True] * 2
    assert not stuck.look(f32(3.01, NAN))
    assert not any(stuck.look(f32(0, NAN)) for _ in range(9))


# In the network


def cells(active_ues: Sequence[float], seq: int = 0) -> Report:
    columns = {
        "RRU.PrbTotDl": active_ues,
        "DRB.MeanActiveUeDl": active_ues,
        "DRB.RlcSduTransmittedVolumeDL": [seq + 1.0] * 3,
    }
    columns["X.Cell.Offset"] = [0.0] * 3
    return make_report(
        columns, level="cell", period_ms=1000, labels={"cell": dict(enumerate(NAMES))}, seq=seq
    )


def hears(*rsrp_dbm: float, cell: int = 2, seq: int = 0) -> Report:
    """UE 7 and what it hears of its cell and of the two others, 0 dB each."""
    return make_report(
        {"RSRP": rsrp_dbm, "SINR": [0.0] * 3},
        level="ue_cell",
        ids={"ue": [7] * 3, "cell": [cell] * 3, "measured_cell": [2, 0, 1]},
        labels={"measured_cell": dict(enumerate(NAMES))},
        period_ms=1000,
        seq=seq,
    )


def rate(kbps: float, budget_ms: float = NAN, seq: int = 0) -> Report:
    return make_report(
        {"DRB.UEThpDl": [kbps], "X.DRB.RadioBudgetDl": [budget_ms]}, ids={"ue": [7]}, period_ms=1000, seq=seq
    )


def node() -> Catalogue:
    relations = {
        cell: tuple(CellRelation(cell=to, name=NAMES[to]) for to in range(3) if to != cell)
        for cell in range(3)
    }
    return Catalogue(
        node="site0",
        measurements={},
        actions=(),
        periods_ms=(),
        cells=dict(enumerate(NAMES)),
        neighbours=relations,
    )


def test_it_asks_for_offsets_that_draw_ues_from_the_crowded_cell() -> None:
    xapp = XAppHarness(XAPP, measure="ues", gain=0.5, most_db=4.0, step_db=1.0, memory_s=0.0)
    # 15 UEs are 12.04 dB, 3 are 6.02 dB, none is 0 dB; the median is 6.02: half of 6.02 up and down, 2 dB at a time
    assert xapp.send(cells([15, 3, 0])) == [SetCellOffset(cell=[0, 1, 2], cio_db=[-2, 0, 2])]
    assert xapp.send(cells([15, 3, 0], seq=1)) == [SetCellOffset(cell=[0, 1, 2], cio_db=[-3, 0, 3])]
    # Without the north the median is 3.01 dB: half of 3.01 up and down, in whole dB
    assert xapp.send(cells([NAN, 3, 0], seq=2)) == [SetCellOffset(cell=[1, 2], cio_db=[-2, 2])]


@pytest.mark.parametrize(
    ("kbps", "budget_ms", "moved"),
    [(900.0, NAN, True), (1100.0, NAN, False), (NAN, NAN, False), (900.0, 100.0, False)],
)
def test_a_slow_best_effort_ue_is_handed_over_once_it_has_stayed(
    kbps: float, budget_ms: float, moved: bool
) -> None:
    xapp = XAppHarness(XAPP, policy="moves", stay_s=2.0, slow_mbps=1.0, worth_db=3.0, near_db=1.0)
    xapp.know(node())
    handed = []
    for second in range(3):
        xapp.send(cells([0, 9, 15], seq=second))
        xapp.send(rate(kbps, budget_ms, seq=second))
        handed.append(xapp.send(hears(-90, -90 - 0.1 * second, -90, seq=second)))
    assert handed == [[], [], [Handover(ue=7, target_cell=0)] if moved else []]
    xapp.send(cells([0, 9, 15], seq=3))
    xapp.send(rate(kbps, budget_ms, seq=3))
    assert xapp.send(hears(-90, -90, -90, cell=1, seq=3)) == []  # it has just come to another cell


def test_the_rule_moves_no_single_ue() -> None:
    xapp = XAppHarness(XAPP, policy="offsets", stay_s=0.0)
    xapp.know(node())
    xapp.send(cells([0, 9, 15]))
    xapp.send(rate(1.0))
    assert xapp.send(hears(-90, -90, -90)) == []


@pytest.fixture(params=["offsets", "moves"])
def ran(request: pytest.FixtureRequest) -> Iterator[VirtualRan]:
    """A site with a crowd in the north, on which offsets hold."""
    with VirtualRan(XAPP, policy=request.param) as network:
        for second in range(6):
            follow(network, second)
        assert network.held
        yield network


def follow(network: VirtualRan, second: int, active_ues: Sequence[float] = (15.0, 3.0, 0.0)) -> list[Action]:
    """A second in which nothing stands still."""
    volume_kbit = [1000.0 + second, 500.0, 3.0]
    columns = {
        "RRU.PrbTotDl": [99.0, 40.0, 1.0],
        "DRB.MeanActiveUeDl": active_ues,
        "DRB.RlcSduTransmittedVolumeDL": volume_kbit,
    }
    columns["X.Cell.Offset"] = [0.0] * 3
    network.show(columns, level="cell", labels={"cell": dict(enumerate(NAMES))})
    network.show({"RSRP": [], "SINR": []}, level="ue_cell")
    return network.run(1000)


@pytest.mark.parametrize("kind", ["report", "act"])
def test_killed_or_cut_off_the_networks_own_offsets_are_back_within_the_lease(
    ran: VirtualRan, kind: Kind
) -> None:
    ran.lose(100, kind=kind)
    for second in range(6, 10):
        follow(ran, second)
    assert ran.held == {}


def test_stale_reports_hold_no_offset(ran: VirtualRan) -> None:
    ran.delay(5000, 100)
    for second in range(6, 10):
        follow(ran, second)
    assert ran.held == {}


def test_reports_that_are_stuck_hold_no_offset_and_are_told(ran: VirtualRan) -> None:
    ran.run(1000 * (PATIENCE + 4))
    assert ran.held == {}
    assert [alarm.name for alarm in ran.alarms] == ["stuck-cell-reports"]
    follow(ran, 99)
    follow(ran, 100)
    assert ran.held
    assert ran.alarms == ()


@pytest.mark.parametrize("active_ues", [NAN, -5.0, math.inf])
def test_missing_and_impossible_reports_hold_no_offset(ran: VirtualRan, active_ues: float) -> None:
    for second in range(6, 11):
        follow(ran, second, [active_ues] * 3)
    assert ran.held == {}


def test_an_absurd_report_of_one_cell_moves_that_cell_alone_and_by_the_largest_offset_at_most(
    ran: VirtualRan,
) -> None:
    for second in range(6, 30):
        follow(ran, second, (3.0, 1e9, 3.0))
    held = {cell: values["cio_db"] for (_, (cell,)), values in ran.held.items()}
    most_db = ran.instance.settings["most_db"]
    assert -most_db - 1 <= held[1] < 0
    assert abs(held[0]) <= 1
    assert abs(held[2]) <= 1


def test_it_copes_with_what_a_network_does() -> None:
    check_xapp(XAPP, policy="moves")


# What is tuned


def test_worth_is_the_cell_edge_less_what_it_costs() -> None:
    """One percent more of the edge is 0.995 in the logarithm, and pays for 0.05 handovers, 0.01 ping-pongs or 0.01 lost links more."""
    before = {"users": 100.0, "satisfied": 50.0, "user_p5_mbps": 2.0, "handovers_per_ue_min": 0.5}
    before |= {"ping_pongs_per_ue_min": 0.02, "link_failures_per_ue_min": 0.05}

    def worth(**changed: float) -> float:
        return train.worth([before | changed], [before])

    assert worth() == 0.0
    assert worth(user_p5_mbps=2.02) == pytest.approx(0.995, abs=1e-3)
    assert worth(handovers_per_ue_min=0.6) == pytest.approx(-2.0)
    assert worth(ping_pongs_per_ue_min=0.03) == pytest.approx(-1.0)
    assert worth(link_failures_per_ue_min=0.06) == pytest.approx(-1.0)
    assert worth(satisfied=49.0) == pytest.approx(-3.0)
    assert worth(satisfied=51.0, link_failures_per_ue_min=0.0) == 0.0  # not searched for


def test_a_point_of_the_rule_is_event_a3_and_the_xapps_settings() -> None:
    point = {
        "a3_offset_db": 2.3456,
        "ttt_ms": 160.0,
        "measure": 0.7,
        "gain": 0.5,
        "most_db": 4.0,
        "step_db": 1.0,
        "memory_s": 3.0,
    }
    made = train.arm("offsets", point)
    assert made.overrides == {"handover.a3_offset_db": 2.35, "handover.ttt_ms": 160.0}
    settings = {
        "policy": "offsets",
        "measure": "prbs",
        "gain": 0.5,
        "most_db": 4.0,
        "step_db": 1.0,
        "memory_s": 3.0,
    }
    assert made.settings == {"traffic_steering": settings}
    alone = train.arm("", {"a3_offset_db": 2.0, "ttt_ms": 160.0})
    assert alone.xapps == ()
