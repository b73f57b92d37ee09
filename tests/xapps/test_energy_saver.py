"""energy_saver: cells sleep whose UEs others cover and carry, and whatever its reports are like, they come back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranloop import CellState, SetCellState
from ranloop.testing import VirtualRan, XAppHarness, make_report
from ranloop.testing.mail import Kind
from ranloop.vocabulary import Action
from ranloop.wire.messages import Report
from xapps.energy_saver import policy
from xapps.energy_saver.area import FADES_S, NOBODY, Area, Heard, Takers
from xapps.energy_saver.policy import Limits, Prices, Site, Threshold
from xapps.energy_saver.trust import DISTRUST_S, PATIENCE, Trust, all_stuck

XAPP = Path(policy.__file__).parent
NAMES = ("north", "east", "south")
NAN = math.nan
FREE = Limits(most_asleep=2, shortest_wake_s=0.0, shortest_sleep_s=0.0)
RULE = Threshold(sleep_pct=10.0, most_ues=1.0, wake_pct=40.0)


def site(**columns: Sequence[float]) -> Site:
    """Three cells without anything to do, but for these columns."""
    made: dict[str, Any] = {name: np.zeros(3, np.float32) for name in Site._fields}
    made["held_s"] += 100.0
    made |= {name: np.array(values, np.float32) for name, values in columns.items()}
    return Site(**made | {"asleep": made["asleep"] > 0})


# What the rule and the policy wish


@pytest.mark.parametrize(
    ("load", "ues", "asleep", "fall", "stay"),
    [
        ([0.05, 0.02, 0.09], [1.0, 0.0, 3.0], [0, 0, 0], [True, True, False], True),
        ([0.05, 0.02, 0.11], [1.0, 0.0, 3.0], [0, 0, 0], [False] * 3, True),  # 11 % is more than 10
        ([0.05, NAN, 0.39], [1.0, NAN, 3.0], [0, 1, 0], [False] * 3, True),  # between the two limits
        ([0.05, NAN, 0.41], [1.0, NAN, 3.0], [0, 1, 0], [False] * 3, False),
        ([0.05, NAN, 0.09], [1.0, NAN, 3.0], [0, 0, 0], [False] * 3, False),  # no value counts as full
    ],
)
def test_the_rule_looks_at_the_busiest_awake_cell_of_a_site(
    load: list[float], ues: list[float], asleep: list[int], fall: list[bool], stay: bool
) -> None:
    wishes = policy.by_threshold(site(load=load, ues=ues, asleep=asleep), RULE)
    assert wishes.may_fall.tolist() == fall
    assert wishes.may_stay.tolist() == [stay] * 3
    weak = policy.by_threshold(site(load=load, ues=ues, asleep=asleep, weak=[0, 0, 1]), RULE)
    assert not weak.may_fall.any()
    assert not weak.may_stay.any()


def test_the_burden_of_a_sleep_is_the_sum_of_its_prices() -> None:
    prices = Prices(
        price_load=2.0,
        price_ue=0.1,
        price_takers_load=1.0,
        price_weak=0.25,
        price_asleep=0.5,
        wake_burden=1.5,
    )
    seen = site(
        load=[0.1, 0.1, 0.9],
        ues=[2, 2, 9],
        asleep=[0, 0, 1],
        takers_load=[0.3, 0.3, 1.0],
        takers_weak=[0, 1, 1],
        takers_asleep=[0.5, 0.5, 0.6],
    )
    wishes = policy.by_burden(seen, prices)
    # 0.2 + 0.2 + 0.3 + 0 + 0.25; with a weak UE 0.25 more; a cell that sleeps costs what its takers bear: 1 + 0.25 + 0.3
    assert wishes.burden.tolist() == pytest.approx([0.95, 1.2, 1.55])
    assert wishes.may_fall.tolist() == [True, False, False]
    assert wishes.may_stay.tolist() == [True, True, False]


def test_what_has_no_price_burdens_nobody_and_no_value_is_beyond_any_price() -> None:
    free = Prices(
        price_load=0.0, price_ue=0.0, price_takers_load=0.0, price_weak=0.0, price_asleep=0.0, wake_burden=0.0
    )
    unknown = site(load=[NAN] * 3, ues=[NAN] * 3)
    assert policy.by_burden(unknown, free).burden.tolist() == [0.0] * 3
    assert policy.by_burden(unknown, free._replace(price_ue=0.01)).burden.tolist() == [math.inf] * 3


# Who sleeps of those


def fallen(seen: Site, limits: Limits = FREE) -> object:
    return np.flatnonzero(policy.sleepers(seen, policy.by_threshold(seen, RULE), limits)).tolist()


def test_one_cell_of_a_site_stays_awake_and_those_asleep_come_first() -> None:
    assert fallen(site(), Limits(most_asleep=9, shortest_wake_s=0.0, shortest_sleep_s=0.0)) == [0, 1]
    assert fallen(site(asleep=[0, 0, 1])) == [0, 2]
    assert fallen(site(asleep=[0, 0, 1]), FREE._replace(most_asleep=1)) == [2]
    assert fallen(site(), FREE._replace(most_asleep=0)) == []


def test_a_cell_with_a_ue_that_hears_no_other_cell_stays_awake() -> None:
    assert fallen(site(ues=[1, 1, 1], uncovered=[1, 0, 0])) == [1, 2]


def test_a_cell_keeps_its_state_for_the_shortest_times() -> None:
    limits = FREE._replace(shortest_wake_s=5.0, shortest_sleep_s=3.0)
    assert fallen(site(held_s=[4.9, 5.0, 0.0]), limits) == [1]
    assert fallen(site(load=[0.9, 0, 0], asleep=[0, 1, 1], held_s=[9.0, 2.9, 3.0]), limits) == [1]


def test_no_cell_sleeps_longer_than_ten_minutes_at_a_stretch() -> None:
    assert fallen(site(asleep=[1, 1, 0], held_s=[599.0, 600.0, 0.0])) == [0, 2]


# Who takes over


def rows(*hears: tuple[int, str, str, float]) -> Heard:
    ue, cell, measured, rsrp_dbm = zip(*hears, strict=True)
    names = np.array(cell, object), np.array(measured, object)
    return Heard.of(1.0, np.array(ue, np.int32), *names, np.array(rsrp_dbm, np.float32))


def nobody() -> Heard:
    return Heard.of(1.0, np.array([], np.int32), *(np.array([], object),) * 2, np.array([], np.float32))


def test_of_what_a_ue_hears_the_serving_and_the_strongest_other_cell_count() -> None:
    heard = rows(
        (7, "north", "north", -80.0),
        (8, "north", "far", -90.0),  # in whatever order they come
        (8, "north", "north", -95.0),
        (7, "north", "east", -101.0),
        (7, "north", "far", -99.0),
        (9, "east", "east", -70.0),  # hears nothing else
        (5, "east", "east", -70.0),
        (5, "east", "far", NAN),
        (4, "east", "far", -70.0),  # says nothing of its own cell
    )
    assert heard.cell.tolist() == ["east", "north", "north", "east"]  # UEs 5, 7, 8, 9
    assert heard.rsrp_dbm.tolist() == [-70.0, -80.0, -95.0, -70.0]
    assert heard.next_cell.tolist() == ["", "far", "far", ""]
    assert heard.next_rsrp_dbm.tolist() == [-math.inf, -99.0, -90.0, -math.inf]


def test_a_ue_is_uncovered_that_hears_no_neighbour_well_enough() -> None:
    heard = rows(
        (1, "north", "north", -80.0), (1, "north", "east", -99.0),
        (2, "north", "north", -80.0), (2, "north", "east", -101.0),
        (3, "east", "east", -80.0),
    )  # fmt: skip
    assert heard.uncovered(NAMES, -100.0).tolist() == [1, 1, 0]
    assert nobody().uncovered(NAMES, -100.0).tolist() == [0, 0, 0]


def test_takers_weigh_as_long_as_ues_hear_them_as_the_next_best() -> None:
    area = Area()
    area.tell(["north", "east", "far"], [0.2, 0.4, 0.8], [False, False, True])
    heard = rows(
        (1, "north", "north", -80.0), (1, "north", "east", -90.0),
        (2, "north", "north", -80.0), (2, "north", "east", -101.0),
        (3, "north", "north", -102.0), (3, "north", "east", -103.0),
        (4, "north", "north", -80.0), (4, "north", "far", -85.0),
    )  # fmt: skip
    area.hear(["north", "east"], heard, -100.0, 1.0)
    assert [area.weak(cell) for cell in NAMES] == [1, 0, 0]  # UE 3
    # three quarters are east, at 0.4; the last quarter sleeps and takes nobody
    assert area.takers("north", NAMES) == pytest.approx(Takers(load=0.4, weak=0.0, asleep=0.25))
    # seen from the other side: all that border on east are in north, which has one weak UE
    assert area.takers("east", NAMES) == pytest.approx(Takers(load=0.2, weak=1.0, asleep=0.0))
    area.hear(["north", "east"], nobody(), -100.0, 1.0)
    assert area.weak("north") == 0


def test_a_border_fades_while_both_sides_are_awake() -> None:
    area = Area()
    area.tell(["north", "east", "far"], [0.0, 1.0, 0.0], [False, False, False])
    area.hear(["north"], rows((1, "north", "north", -80.0), (1, "north", "east", -90.0)), -100.0, 1.0)
    area.hear(["north"], nobody(), -100.0, FADES_S)  # of the first UE 1 / e is left
    to_far = rows((2, "north", "north", -80.0), (2, "north", "far", -90.0))
    area.hear(["north"], to_far, -100.0, 1.0)
    left = math.exp(-1 - 1 / FADES_S)
    assert area.takers("north", NAMES).load == pytest.approx(left / (1 + left))
    area.tell(["north"], [NAN], [True])
    area.hear(
        ["north"], nobody(), -100.0, 10 * FADES_S
    )  # of a cell that sleeps nothing is heard, and nothing forgotten
    assert area.takers("north", NAMES).load == pytest.approx(left / (1 + left))


def test_where_no_ue_ever_was_the_sisters_take_over_and_strangers_count_as_full() -> None:
    area = Area()
    assert area.takers("north", NAMES) == Takers(load=1.0, weak=0.0, asleep=0.0)
    area.tell(["east", "south"], [0.5, NAN], [False, False])
    assert area.takers("north", NAMES).load == 0.75
    assert area.takers("alone", ["alone"]) == NOBODY


# In the network


def cells(load_pct: Sequence[float], asleep: Sequence[int] = (), seq: int = 0) -> Report:
    state = [CellState.DEEP_SLEEP if cell in asleep else CellState.ACTIVE for cell in range(3)]
    columns = {"RRU.PrbTotDl": load_pct, "RRC.ConnMean": [0.0] * 3, "X.Cell.State": state}
    return make_report(
        columns, level="cell", period_ms=1000, labels={"cell": dict(enumerate(NAMES))}, seq=seq
    )


def hears(*rsrp_dbm: float, seq: int = 0) -> Report:
    """UE 7 in the south, and what it hears of all three, from the south on."""
    n = len(rsrp_dbm)
    return make_report(
        {"RSRP": rsrp_dbm},
        level="ue_cell",
        ids={"ue": [7] * n, "cell": [2] * n, "measured_cell": [2, 0, 1][:n]},
        labels={"cell": dict(enumerate(NAMES)), "measured_cell": dict(enumerate(NAMES))},
        seq=seq,
    )


def test_it_asks_for_deep_sleep_and_wakes_at_once_when_there_is_much_to_do() -> None:
    xapp = XAppHarness(XAPP, policy="threshold", most_asleep=1, shortest_wake_s=0.0)
    assert xapp.send(hears(seq=9)) == []
    assert xapp.send(cells([0.0, 0.0, 0.0])) == [SetCellState(cell=[0], state=CellState.DEEP_SLEEP)]
    xapp.send(hears(seq=19))
    assert xapp.send(cells([NAN, 0.0, 90.0], [0], seq=1)) == [SetCellState(cell=[0], state=CellState.ACTIVE)]


@pytest.mark.parametrize("chosen", ["threshold", "burden"])
def test_a_ue_that_hears_its_cell_too_weakly_wakes_the_cell_that_slept_within_a_tenth_of_a_second(
    chosen: str,
) -> None:
    xapp = XAppHarness(
        XAPP, policy=chosen, most_asleep=1, shortest_wake_s=3.0, weak_dbm=-110.0, price_weak=2.0
    )
    xapp.send(hears(-90.0, -95.0, -99.0, seq=9))
    assert xapp.send(cells([0.0, 0.0, 0.0])) == [SetCellState(cell=[0], state=CellState.DEEP_SLEEP)]
    assert xapp.send(hears(-110.0, -112.0, -115.0, seq=10)) == []
    assert xapp.send(hears(-110.1, -112.0, -115.0, seq=11)) == [
        SetCellState(cell=[0], state=CellState.ACTIVE)
    ]
    for second in (1, 2, 3):  # 1.2 s after it began to sleep; it stays awake for 3 s
        xapp.send(hears(-90.0, -95.0, -99.0, seq=10 * second + 9))
        asked = xapp.send(cells([0.0, 0.0, 0.0], seq=second))
        assert all(0 not in action.targets()[action.parameters()[:, 0] > 0] for action in asked)


def test_without_what_ues_hear_or_without_what_cells_do_nothing_is_asked() -> None:
    xapp = XAppHarness(XAPP)
    assert xapp.send(cells([0.0] * 3)) == []
    xapp.send(hears(seq=9))
    assert xapp.send(cells([0.0] * 3, seq=2)) == []  # what UEs hear is two seconds old


@pytest.fixture(params=["threshold", "burden"])
def ran(request: pytest.FixtureRequest) -> Iterator[VirtualRan]:
    """An empty site whose reports follow what is in force, on which cells have gone to sleep."""
    with VirtualRan(
        XAPP, policy=request.param, price_takers_load=0.9, price_asleep=0.1, wake_burden=0.8
    ) as network:
        for _ in range(6):
            follow(network)
        assert sleeping(network)
        yield network


def follow(network: VirtualRan) -> list[Action]:
    """A second in which the reports say what is in force."""
    show(network, sleeping(network))
    return network.run(1000)


def show(network: VirtualRan, asleep: Sequence[int], load_pct: float = 0.0) -> None:
    state = [float(CellState.DEEP_SLEEP if cell in asleep else CellState.ACTIVE) for cell in range(3)]
    columns = {"RRU.PrbTotDl": [load_pct] * 3, "RRC.ConnMean": [0.0] * 3, "X.Cell.State": state}
    network.show(columns, level="cell", labels={"cell": dict(enumerate(NAMES))})
    network.show({"RSRP": []}, level="ue_cell")


def sleeping(network: VirtualRan) -> list[int]:
    return [cell for cell in range(3) if network.node.in_force.get(("SetCellState", (cell,)), (0,))[0] > 0]


@pytest.mark.parametrize("kind", ["report", "act"])
def test_killed_or_cut_off_every_cell_wakes_within_the_lease(ran: VirtualRan, kind: Kind) -> None:
    ran.lose(100, kind=kind)
    ran.run(4000)
    assert sleeping(ran) == []


def test_stale_reports_hold_no_cell_asleep(ran: VirtualRan) -> None:
    ran.delay(5000, 100)
    ran.run(4000)
    assert sleeping(ran) == []


@pytest.mark.parametrize("load_pct", [NAN, -5.0, 1e9, math.inf])
def test_absurd_reports_hold_no_cell_asleep(ran: VirtualRan, load_pct: float) -> None:
    show(ran, sleeping(ran), load_pct)
    ran.run(4000)
    assert sleeping(ran) == []


def test_reports_that_say_that_a_cell_is_awake_which_was_told_to_sleep_are_not_believed(
    ran: VirtualRan,
) -> None:
    show(ran, [])  # stuck at a time when all were awake
    ran.run(1000 * PATIENCE + 4000)
    assert sleeping(ran) == []
    assert [alarm.name for alarm in ran.alarms] == ["reports-not-believed"]
    asleep_s = sum(bool((ran.run(1000), sleeping(ran))[1]) for _ in range(66))
    assert asleep_s <= PATIENCE + 3  # tried again once a minute, for as long as patience and lease last


def test_what_ues_hear_does_not_stay_the_same_to_the_bit() -> None:
    trust, nothing = Trust(), np.zeros(3, bool)
    stuck = [trust.believes(b"-80", nothing, nothing, float(s)) for s in range(5)]
    assert stuck == [True] * PATIENCE + [False] * 2  # the first report is no repetition yet
    assert trust.believes(b"-81", nothing, nothing, 5.0)
    empty = [trust.believes(b"", nothing, nothing, float(s)) for s in range(9)]
    assert all(empty)  # nobody there


def test_a_node_that_does_not_obey_is_left_alone_for_a_minute() -> None:
    trust, told, awake = Trust(), np.array([True]), np.array([False])
    assert [trust.believes(b"", told, awake, float(s)) for s in range(3)] == [True, True, False]
    assert not trust.believes(b"", ~told, awake, 2.0 + DISTRUST_S - 0.1)
    assert trust.believes(b"", ~told, awake, 2.0 + DISTRUST_S)


def test_a_site_without_ues_is_not_believed_while_all_others_are_stuck() -> None:
    sites, nothing = [Trust(), Trust(), Trust()], np.zeros(3, bool)
    assert not all_stuck(sites)  # nobody anywhere
    heard = [(b"", b"-80", b"-90")] * (PATIENCE + 1) + [(b"", b"-80", b"-91")]
    course = []
    for second, bits in enumerate(heard):
        for site, heard_there in zip(sites, bits, strict=True):
            site.believes(heard_there, nothing, nothing, float(second))
        course.append(all_stuck(sites))
    assert course == [False] * PATIENCE + [True, False]
