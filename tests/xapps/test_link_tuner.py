"""link_tuner: a target for each UE's outer loop by its class, moved by what reports show, and gone with the xApp."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ran_sim.link.adaptation import CQI_TABLE_1, CQI_TABLE_2, MCS_TABLE_1, MCS_TABLE_2
from ranloop import SetOllaTarget
from ranloop.testing import VirtualRan, XAppHarness, make_report
from ranloop.testing.mail import Kind
from xapps.link_tuner import policy
from xapps.link_tuner.policy import HIGHEST, LOWEST, Known, Tuning

XAPP = Path(policy.__file__).parent
NAN = math.nan
RULE = Tuning(
    best_effort_target=0.2, delay_bound_target=0.05, per_cqi_spread=0.0, per_backoff=0.0, per_load=0.0
)
FOLLOWED = {"per_cqi_spread": 1.0, "per_backoff": -0.5, "per_load": 2.0}


def f32(*values: float) -> policy.F32:
    return np.array(values, np.float32)


def known(cqi: float = NAN, cqi_spread: float = NAN, backoff: float = NAN) -> Known:
    return Known(f32(cqi), f32(cqi_spread), f32(backoff))


# What is known of a UE


@pytest.mark.parametrize(
    ("cqis", "mcs", "within"), [(CQI_TABLE_2[1:], MCS_TABLE_2, 0), (CQI_TABLE_1[1:], MCS_TABLE_1, 1)]
)
def test_an_outer_loop_at_zero_sends_the_mcs_of_the_cqi(
    cqis: Sequence[tuple[int, float]], mcs: Sequence[tuple[int, float]], within: int
) -> None:
    for cqi, entry in enumerate(cqis, 2):
        bits = entry[0] * entry[1]
        same = min(range(len(mcs)), key=lambda i: abs(mcs[i][0] * mcs[i][1] - bits))
        backoff = policy.brought_to(known(), f32(cqi), f32(same)).backoff
        assert abs(backoff[0]) <= within


def test_means_begin_with_the_first_value_and_move_by_a_tenth() -> None:
    first = policy.brought_to(known(), f32(10), f32(14))
    assert [column.tolist() for column in first] == [[10.0], [0.0], [3.0]]  # 2 * 10 - 3 - 14
    second = policy.brought_to(first, f32(12), f32(NAN))
    # mean 10.2; distance from it 1.8, of which a tenth; an MCS without a value leaves the backoff
    assert [float(column[0]) for column in second] == pytest.approx([10.2, 0.18, 3.0])


# The target


def test_a_rule_is_the_target_of_the_class_whatever_is_known() -> None:
    seen = Known(f32(3, NAN), f32(2, NAN), f32(9, NAN))
    found = policy.targets(seen, np.array([False, True]), f32(1, NAN), RULE)
    assert found.tolist() == pytest.approx([0.2, 0.05])


def test_what_is_known_moves_the_odds_of_a_target() -> None:
    tuning = RULE._replace(**FOLLOWED)
    # odds 1 : 4, times e^(1 x 0.5) for the spread, e^(-0.5 x 3) for the backoff, e^(2 x 0.25) for the load
    odds = 0.25 * math.exp(0.5 - 1.5 + 0.5)
    found = policy.targets(known(10, 0.5, 3), np.array([False]), f32(0.25), tuning)
    assert found.tolist() == pytest.approx([odds / (1 + odds)])
    # a value that is missing moves nothing, and the others do as before
    odds = 0.25 * math.exp(-1.5 + 0.5)
    found = policy.targets(known(10, NAN, 3), np.array([False]), f32(0.25), tuning)
    assert found.tolist() == pytest.approx([odds / (1 + odds)])


def test_a_target_stays_within_what_the_manifest_allows() -> None:
    seen = Known(f32(8, 8), f32(0, 0), f32(31, -31))
    found = policy.targets(seen, np.array([False, False]), f32(1, 1), RULE._replace(per_backoff=10.0))
    assert found.tolist() == pytest.approx([HIGHEST, LOWEST])
    (right,) = XAppHarness(XAPP).instance.manifest.rights.actions
    assert right.ranges == {"bler_target": (LOWEST, HIGHEST)}


# The xApp


def ues(n: int = 1, **columns: float) -> dict[str, list[float]]:
    """Best effort at CQI 10, but for these columns."""
    row = {"CQI": 10.0, "X.UE.MeanMcsDl": 17.0, "X.DRB.RadioBudgetDl": NAN} | columns
    return {name: [value] * n for name, value in row.items()}


def test_each_ue_has_the_target_of_its_class_from_its_first_report_on() -> None:
    xapp = XAppHarness(XAPP, **RULE._asdict())
    columns = ues(2) | {"X.DRB.RadioBudgetDl": [NAN, 8.0]}
    assert xapp.send(make_report(columns, ids={"ue": [3, 4]})) == [
        SetOllaTarget(ue=[3, 4], bler_target=[0.2, 0.05])
    ]


def test_the_load_is_that_of_the_ues_own_cell() -> None:
    xapp = XAppHarness(XAPP, **RULE._replace(per_load=1.0)._asdict())
    xapp.send(make_report({"RRU.PrbTotDl": [0.0, 100.0]}, level="cell"))
    (action,) = xapp.send(make_report(ues(2), ids={"ue": [3, 4], "cell": [0, 1]}))
    odds = 0.25 * math.e
    assert action.parameters()[:, 0].tolist() == pytest.approx([0.2, odds / (1 + odds)])


# It fails safe


def held(network: VirtualRan) -> list[float]:
    return [values["bler_target"] for values in network.held.values()]


@pytest.fixture
def network(ran: Callable[..., VirtualRan]) -> VirtualRan:
    """Two UEs whose targets are held."""
    network = ran(XAPP, **RULE._asdict() | FOLLOWED)
    network.show(ues(2), ids={"ue": [3, 4]})
    network.run(1000)
    assert len(held(network)) == 2
    return network


@pytest.mark.parametrize("kind", ["report", "act"])
def test_killed_or_cut_off_every_target_ends_with_its_lease(network: VirtualRan, kind: Kind) -> None:
    network.lose(100, kind=kind)
    network.run(500)  # longer than three report periods
    assert held(network) == []


def test_stale_reports_hold_no_target(network: VirtualRan) -> None:
    network.delay(1000, 100)
    network.run(500)
    assert held(network) == []


@pytest.mark.parametrize("value", [NAN, -1e9, 1e9, math.inf])
def test_absurd_or_constant_reports_leave_targets_within_bounds(network: VirtualRan, value: float) -> None:
    network.show(
        dict.fromkeys(("CQI", "X.UE.MeanMcsDl", "X.DRB.RadioBudgetDl"), [value] * 2), ids={"ue": [3, 4]}
    )
    network.show({"RRU.PrbTotDl": [value] * 3}, level="cell")
    network.run(3000)
    assert len(held(network)) == 2
    assert all(LOWEST <= round(target, 6) <= HIGHEST for target in held(network))
