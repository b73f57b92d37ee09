"""The action catalogue: complete, in order, with the specifications' ranges."""

from __future__ import annotations

import dataclasses

import pytest

from ranloop.errors import VocabularyError
from ranloop.vocabulary import ACTIONS, EXTENSION, Action, CellState, Kind, action_type
from ranloop.vocabulary.model import Parameter


def parameter(action: str, name: str) -> Parameter:
    return next(p for p in ACTIONS[action].spec.parameters if p.name == name)


@pytest.mark.parametrize("kind", ACTIONS.values(), ids=ACTIONS)
def test_the_fields_of_an_action_are_its_targets_and_then_its_parameters(kind: type[Action]) -> None:
    assert dataclasses.is_dataclass(kind)
    assert tuple(f.name for f in dataclasses.fields(kind)) == kind.spec.targets + kind.spec.parameter_names
    assert kind.spec.name == kind.__name__


def test_every_action_class_is_in_the_catalogue() -> None:
    defined = {c.__name__ for c in Action.__subclasses__() if c.__module__ == "ranloop.vocabulary.actions"}
    assert set(ACTIONS) == defined


@pytest.mark.parametrize("kind", ACTIONS.values(), ids=ACTIONS)
def test_defaults_lie_inside_their_range_and_a_one_shot_has_none(kind: type[Action]) -> None:
    for p in kind.spec.parameters:
        assert p.low < p.high
        assert p.default is None or p.low <= p.default <= p.high
        assert kind.spec.kind is Kind.SETTING or p.default is None


def test_settings_without_a_default_are_those_that_the_node_configures() -> None:
    configured = {
        (kind.spec.name, p.name)
        for kind in ACTIONS.values()
        for p in kind.spec.parameters
        if kind.spec.kind is Kind.SETTING and p.default is None
    }
    quotas = {("SetSliceQuota", name) for name in ("min_pct", "max_pct", "dedicated_pct")}
    assert (
        configured
        == {("SetClassWeight", "weight"), ("SetSchedulerModel", "model"), ("SetTxPower", "tx_power_dbm")}
        | quotas
    )


def test_only_a_handover_happens_once() -> None:
    assert [kind.spec.name for kind in ACTIONS.values() if kind.spec.kind is Kind.ONE_SHOT] == ["Handover"]


@pytest.mark.parametrize(
    ("action", "name", "low", "high", "default"),
    [
        # TS 28.541 4.4.1: the three ratios are 0..100; what they revert to is the node's configuration.
        ("SetSliceQuota", "min_pct", 0, 100, None),
        ("SetSliceQuota", "max_pct", 0, 100, None),
        ("SetSliceQuota", "dedicated_pct", 0, 100, None),
        # TS 38.331 6.3.2, Q-OffsetRange: dB-24 to dB24, default dB0.
        ("SetCellOffset", "cio_db", -24, 24, 0),
        # TS 38.214 5.2.2.1: a CQI promises a transport block error probability of at most 0.1.
        ("SetOllaTarget", "bler_target", 0.001, 0.5, 0.1),
        ("SetUeWeight", "weight", 0.01, 100, 1),
        # A node loads at most eight models; 0 is none.
        ("SetSchedulerModel", "model", 0, 8, None),
    ],
)
def test_ranges_and_defaults_follow_their_source(
    action: str, name: str, low: float, high: float, default: float | None
) -> None:
    p = parameter(action, name)
    assert (p.low, p.high, p.default) == (low, high, default)


def test_a_cell_state_is_deeper_the_larger_its_number() -> None:
    assert [state.name for state in sorted(CellState)] == [
        "ACTIVE",
        "MICRO_SLEEP",
        "LIGHT_SLEEP",
        "DEEP_SLEEP",
        "OFF",
    ]
    p = parameter("SetCellState", "state")
    assert (p.low, p.high, p.default, p.integer) == (CellState.ACTIVE, CellState.OFF, CellState.ACTIVE, True)


def test_only_quota_and_handover_have_a_carrier_in_e2() -> None:
    carried = {kind.spec.name for kind in ACTIONS.values() if kind.spec.carrier != EXTENSION}
    assert carried == {"SetSliceQuota", "Handover"}
    assert "E2SM-RC 2/6" in ACTIONS["SetSliceQuota"].spec.carrier
    assert "E2SM-RC 3/1" in ACTIONS["Handover"].spec.carrier


def test_an_action_is_found_by_its_exact_name() -> None:
    assert action_type("SetUeWeight") is ACTIONS["SetUeWeight"]


@pytest.mark.parametrize(("slip", "meant"), [("setueweight", "SetUeWeight"), ("SetTXPowr", "SetTxPower")])
def test_a_slip_in_a_name_is_answered_with_the_name_meant(slip: str, meant: str) -> None:
    with pytest.raises(VocabularyError, match=f"unknown action '{slip}'; did you mean {meant}") as caught:
        action_type(slip)
    assert caught.value.near[0] == meant


def test_a_name_like_no_other_is_answered_without_a_guess() -> None:
    with pytest.raises(VocabularyError, match=r"unknown action 'zzz'$"):
        action_type("zzz")
