"""Scenarios: what ships is sound, overrides are checked, errors say file, field, got and want on one line."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from ran_sim.scenario import SCENARIO_FOLDER, Scenario, ScenarioError, load_scenario
from ran_sim.scenario.traffic_class import Traffic

SHIPPED = sorted(path.stem for path in SCENARIO_FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenario_carries_its_own_name(name: str) -> None:
    assert load_scenario(name).name == name


def test_seven_sites_has_21_cells_and_ten_ue_slots_in_each() -> None:
    scenario = load_scenario("seven-sites")
    assert (scenario.n_cell, scenario.n_ue) == (21, 210)
    for (
        traffic
    ) in scenario.traffic:  # slot u is at home in cell u mod 21: whole multiples give every cell its share
        assert traffic.ues % scenario.n_cell == 0


def test_control_never_acts_at_once() -> None:
    assert all(load_scenario(name).control.delay_ms >= 10.0 for name in SHIPPED)
    with pytest.raises(ScenarioError, match=r"control\.delay_ms: got 0, want greater than 0"):
        load_scenario("one-cell").with_overrides({"control.delay_ms": 0})


@pytest.mark.parametrize(
    ("prb", "scs_khz", "rbg_prb", "n_rbg", "slot_ns"),
    # TS 38.214 Table 5.1.2.2.1-1 configuration 1: 1-36 -> 2, 37-72 -> 4, 73-144 -> 8, 145-275 -> 16 PRBs
    [
        (36, 15, 4, 9, 1_000_000),
        (51, 30, 4, 13, 500_000),
        (106, 30, 8, 14, 500_000),
        (273, 30, 16, 18, 500_000),
        (135, 60, 8, 17, 250_000),
    ],
)
def test_rbg_and_slot_follow_the_carrier(
    prb: int, scs_khz: int, rbg_prb: int, n_rbg: int, slot_ns: int
) -> None:
    scenario = load_scenario("one-cell").with_overrides(
        {"carrier.bandwidth_prb": prb, "carrier.scs_khz": scs_khz}
    )
    assert (scenario.rbg_prb, scenario.n_rbg, scenario.slot_ns) == (rbg_prb, n_rbg, slot_ns)


@pytest.mark.parametrize("prb", [11, 23, 24, 36, 37, 72, 73, 144, 145, 273])
def test_rbgs_have_a_size_of_ts_38_214_and_sub_bands_too(prb: int) -> None:
    scenario = load_scenario("one-cell").with_overrides({"carrier.bandwidth_prb": prb})
    # Upper limit of the bandwidth: sizes of RBGs (Table 5.1.2.2.1-1), of sub-bands (Table 5.2.1.4-2: none below 24 PRBs)
    rbgs = {36: (2, 4), 72: (4, 8), 144: (8, 16), 275: (16,)}
    subbands = {23: (), 72: (4, 8), 144: (8, 16), 275: (16, 32)}
    assert scenario.rbg_prb in next(sizes for limit, sizes in rbgs.items() if prb <= limit)
    if scenario.subband_reports:
        assert scenario.rbg_prb in next(sizes for limit, sizes in subbands.items() if prb <= limit)
    else:
        assert prb < 24


@pytest.mark.parametrize(
    ("name", "budget_ms"),
    # TS 23.501 Table 5.7.4-1 less the core's part: 150 - 20, 50 - 20, 10 - 2, 100 - 20
    [("video-call", 130.0), ("gaming", 30.0), ("augmented-reality", 8.0), ("voice", 80.0)],
)
def test_radio_budget_is_the_5qi_budget_less_the_core(name: str, budget_ms: float) -> None:
    traffic = {entry.name: entry for entry in load_scenario("seven-sites").traffic}
    assert traffic[name].delay_bound
    assert traffic[name].budget_ms == budget_ms


def test_core_takes_10_ms_of_mission_critical_classes() -> None:
    # TS 23.501 Table 5.7.4-1, note 7: 5QI 65, 69 and 70 of 75, 60 and 200 ms
    voice = load_scenario("seven-sites").traffic[-1].model_dump()
    budgets_ms = {five_qi: Traffic(**{**voice, "five_qi": five_qi}).budget_ms for five_qi in (65, 69, 70)}
    assert budgets_ms == {65: 65.0, 69: 50.0, 70: 190.0}


def test_load_scales_the_busy_share_of_delay_bound_traffic_only() -> None:
    scenario = load_scenario("seven-sites").with_overrides({"load": 1.5})
    for traffic in scenario.traffic:
        session_s = sum(traffic.session_s) / 2
        busy_share = session_s / (session_s + scenario.mean_idle_s(traffic))
        # At load 1: 35 s of 35 + 35 s, one half; best effort is always in session.
        assert busy_share == pytest.approx(1.5 * 0.5 if traffic.delay_bound else 1.0)


def test_load_ends_where_every_ue_slot_is_busy() -> None:
    scenario = load_scenario("seven-sites")
    full = scenario.with_overrides({"load": 2.0})
    assert all(full.mean_idle_s(traffic) == 0.0 for traffic in full.traffic)
    with pytest.raises(ScenarioError, match="load at most 2"):
        scenario.with_overrides({"load": 2.01})


def test_another_environment_brings_its_own_layout_to_what_ships() -> None:
    # TR 38.901 Table 7.2-1: UMa 500 m, 25 m, 35 m; UMi 200 m, 10 m, 10 m
    for name in SHIPPED:
        macro = load_scenario(name).layout
        micro = load_scenario(name).with_overrides({"layout.environment": "umi"}).layout
        assert (macro.isd_m, macro.bs_height_m, macro.min_distance_m) == (500.0, 25.0, 35.0)
        assert (micro.isd_m, micro.bs_height_m, micro.min_distance_m) == (200.0, 10.0, 10.0)


def test_what_was_set_of_the_layout_stays_with_another_environment() -> None:
    layout = (
        load_scenario("seven-sites")
        .with_overrides({"layout.isd_m": 300.0, "layout.environment": "umi"})
        .layout
    )
    assert (layout.isd_m, layout.bs_height_m) == (300.0, 10.0)


def test_overrides_leave_the_original_alone() -> None:
    scenario = load_scenario("one-cell")
    changed = scenario.with_overrides({"traffic.gaming.rate_mbps": 5.0, "duration_s": 20, "scheduler": "rr"})
    assert (changed.traffic[2].rate_mbps, changed.run.duration_s, changed.scheduler.name) == (5.0, 20.0, "rr")
    assert (scenario.traffic[2].rate_mbps, scenario.run.duration_s, scenario.scheduler.name) == (
        8.0,
        60.0,
        "pf",
    )


def test_class_weights_are_keyed_by_5qi() -> None:
    scenario = load_scenario("one-cell").with_overrides({"scheduler.class_weight": {"2": 3}})
    assert scenario.scheduler.class_weight == {2: 3.0}


def test_scenario_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_scenario("one-cell").load = 2.0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"carrier.scs_khz": 20}, "carrier.scs_khz: got 20, want 15, 30 or 60"),
        ({"run.duration_s": 1.1e7}, "run.duration_s: got 11000000.0, want less than or equal to 10000000"),
        ({"handover.ttt_ms": 1e300}, "handover.ttt_ms: got 1e+300, want less than or equal to 10000000000"),
        ({"traffic.gaming.session_s": (1, 1e8)}, "traffic.gaming.session_s.1: got 100000000.0, want less"),
        ({"reports.periods_ms": ()}, "reports.periods_ms: got (), want "),
        ({"reports.periods_ms": (2**62,)}, "reports.periods_ms.0: got 4611686018427387904, want less"),
        ({"layout.positions_m": ((0, 1.1e6),)}, "layout.positions_m.0.1: got 1100000.0, want less"),
        ({"layout.antenna_elements": 0}, "layout.antenna_elements: got 0, want greater than or equal to 1"),
        ({"layout.antenna_elements": 33}, "layout.antenna_elements: got 33, want less than or equal to 32"),
        ({"layout.element_spacing_wavelengths": 1.5}, "got 1.5, want less than or equal to 1"),
        ({"radio.wall_loss": "brick"}, "radio.wall_loss: got 'brick', want 'by-building' or 'below-6-ghz'"),
        ({"radio.indoor_height_m": 30.0}, "radio.indoor_height_m: got 30.0, want less than or equal to 22.5"),
        ({"radio.cqi_delay_ms": 10.5}, "want radio.cqi_delay_ms at most radio.cqi_period_ms, 10,"),
        ({"run.speed": 3}, "run.speed: got 3, want no such field"),
        ({"lod": 1}, "lod: got 1, want no such field; there is load"),
        ({"carrier.bandwith_prb": 51}, "want no such field; there is carrier.bandwidth_prb"),
        ({"a.b": 3}, "override a.b: got no section a, want one of a scenario"),
        (
            {"traffic.fps": 3},
            "override traffic.fps: got a list of traffic classes, want traffic.<name>.<field>",
        ),
        ({"traffic.gaming.slice": "eMBB"}, "traffic.gaming.slice: got 'eMBB', want "),
        (
            {"traffic.gaming.five_qi": 99},
            "traffic.gaming.five_qi: got 99, want one of [1, 2,",
        ),
        ({"traffic.gaming.fps": None}, "want exactly ['fps', 'jitter_ms', 'rate_mbps'] with model 'xr'"),
        ({"traffic.gaming.session_s": [20, 10]}, "want session_s = [shortest, longest], 0.001 s and up"),
        (
            {"mobility.speed_shares": [0.5, 0.4]},
            "mobility: got fields that do not fit together, want one share per",
        ),
        ({"radio.tick_ms": 50.1}, "want radio.tick_ms a multiple of the slot of 0.5 ms"),
        ({"radio.fading_grid_ms": 3}, "want radio.tick_ms a multiple of radio.fading_grid_ms"),
        ({"layout.tilt_deg": float("nan")}, "layout.tilt_deg: got nan, want a finite number"),
        # TS 38.101-1 Table 5.3.2-1: 50 MHz at 15 kHz, 100 MHz at 30 and 60 kHz
        (
            {"carrier.bandwidth_prb": 271, "carrier.scs_khz": 15},
            "want bandwidth_prb at most 270 at 15 kHz (TS 38.101-1",
        ),
        (
            {"carrier.bandwidth_prb": 136, "carrier.scs_khz": 60},
            "want bandwidth_prb at most 135 at 60 kHz (TS 38.101-1",
        ),
        (
            {"layout.isd_m": 100.0, "layout.min_distance_m": 50.0},
            "layout: got fields that do not fit together, want min_distance_m below half of isd_m, 50,",
        ),
        (
            {"radio.environment": "umi"},
            "radio.environment: got 'umi', want no such field; there is layout.environment",
        ),
        (
            {"scheduler.class_weight": {"99": 1.0}},
            "scheduler.class_weight.99.[key]: got '99', want one of [1, 2,",
        ),
        ({"scheduler.metric": "rules"}, "scheduler.metric: got 'rules', want path/to/file.py:function"),
        ({"reports.periods_ms": [100, 100]}, "want periods_ms that differ, not [100, 100]"),
        (
            {"traffic.gaming.fps": 1e9},
            "traffic.gaming: got fields that do not fit together, want packets of 1 to 2^30",
        ),
        (
            # 8 Mb/s in 1 byte: 10^6 packets a second, 500 in a slot of 0.5 ms
            {"traffic.best-effort.rate_mbps": 8.0, "traffic.best-effort.file_kb": 1e-3},
            "want at most 256 packets of a UE in a slot of 0.5 ms, not the 500 of traffic class best-effort",
        ),
        (
            {"traffic.best-effort.rate_mbps": 1e7},
            "traffic.best-effort.rate_mbps: got 10000000.0, want less than",
        ),
        (
            {"traffic": [{"name": "a", "five_qi": 9, "model": "full-buffer"}]},
            "traffic.a.ues: got nothing, want a value",
        ),
        ({"layout": 3}, "layout: got 3, want a table of fields"),
        ({"mobility.speeds_kmh": 3.0}, "mobility.speeds_kmh: got 3.0, want a list"),
        ({"load": "much"}, "load: got 'much', want a number"),
        ({"layout.positions_m": [[0.0]]}, "layout.positions_m.0.1: got nothing, want a value"),
    ],
)
def test_what_does_not_fit_is_named_on_one_line(override: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario("one-cell").with_overrides(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_traffic_classes_of_one_name_are_refused() -> None:
    scenario = load_scenario("one-cell")
    twice = [entry.model_dump() for entry in (*scenario.traffic, scenario.traffic[0])]
    with pytest.raises(ScenarioError, match="different names"):
        scenario.with_overrides({"traffic": twice})


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((SCENARIO_FOLDER / "one-cell.toml").read_text().replace("sites = 1", "sites = 5"))
    with pytest.raises(ScenarioError, match=r"mine\.toml: layout\.sites: got 5, want 1, 7 or 19"):
        load_scenario(path)
    path.write_text("name = ")
    with pytest.raises(ScenarioError, match=r"mine\.toml: got no TOML"):
        load_scenario(path)
    with pytest.raises(ScenarioError, match=r"gone\.toml: got no readable file"):
        load_scenario(tmp_path / "gone.toml")
    with pytest.raises(
        ScenarioError,
        match="one of city-day, district-day, hot-spots, one-cell, seven-sites, sliced-district",
    ):
        load_scenario("two-cells")


def test_sites_can_stand_freely() -> None:
    scenario = load_scenario("one-cell").with_overrides(
        {"layout.positions_m": [[0, 0], [300, 40], [-500, 7]]}
    )
    assert (scenario.layout.n_site, scenario.n_cell) == (3, 3 * scenario.layout.sectors)


@pytest.mark.parametrize(
    ("positions_m", "reason"),
    [
        ([[0, 0], [500, 0], [20, 28]], "min_distance_m = 35 m apart, not sites 0 and 2"),
        ([], "at least 1 item"),
        ([[0, 0, 25]], "positions_m.0"),
    ],
)
def test_sites_that_cannot_be_are_refused(positions_m: object, reason: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(reason)):
        load_scenario("one-cell").with_overrides({"layout.positions_m": positions_m})


def test_a_buffer_that_no_packet_could_enter_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"traffic.best-effort.buffer_mb: got 1e-09"):
        load_scenario("one-cell").with_overrides({"traffic.best-effort.buffer_mb": 1e-9})


def test_qin_below_qout_is_refused() -> None:
    with pytest.raises(
        ScenarioError, match=r"handover: got fields that do not fit.*qin_db at least qout_db, -8"
    ):
        load_scenario("one-cell").with_overrides({"handover.qin_db": -9})


# -- numbers that are none ----------------------------------------------------------------------------------------

KEYS = {"slices": "1-000001", "class_weight": 2}  # of the tables that are no sections
# Of sections that are not there by default
NEEDED: dict[str, object] = {
    "points": [[0, 1]], "start_s": 1, "delay_ms": 1, "cells": [0], "position_m": [0, 0], "measurements": ["RRC.ConnMean"], "effect": "stuck",
}  # fmt: skip


def numbers(kind: Any, name: str, bad: float) -> Iterator[tuple[str, object]]:
    """Every place for a number in a field of type `kind`: path below the field, and the field's value with `bad` there."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is float:
        yield "", bad
    elif origin is Annotated:
        yield from numbers(inner[0], name, bad)
    elif origin in (Union, types.UnionType):
        for each in inner:
            yield from numbers(each, name, bad)
    elif origin is tuple:
        each = inner[:1] if inner[-1] is Ellipsis else inner
        for i, item in enumerate(each):
            for path, value in numbers(item, name, bad):
                yield f".{i}{path}", [value if j == i else 1.0 for j in range(len(each))]
    elif origin is dict:
        for path, value in numbers(inner[1], name, bad):
            yield f".{KEYS[name]}{path}", {KEYS[name]: value}
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        needed = {key: NEEDED[key] for key, field in kind.model_fields.items() if key in NEEDED}
        if "kind" in kind.model_fields:
            (needed["kind"],) = get_args(kind.model_fields["kind"].annotation)
        for key, field in kind.model_fields.items():
            for path, value in numbers(field.rebuild_annotation(), key, bad):
                yield f".{key}{path}", {**needed, key: value}
    else:
        assert origin is Literal or kind in (int, str, bool, type(None)), kind


def fields_with_numbers(bad: float) -> Iterator[tuple[str, str, object]]:
    """Field, path of a number in it as errors say it, and the field's value with `bad` there."""
    for section, field in Scenario.model_fields.items():
        kind = field.annotation
        if section == "traffic":
            section, kind = "traffic.gaming", Traffic
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, inner in kind.model_fields.items():
                for path, value in numbers(inner.rebuild_annotation(), name, bad):
                    yield f"{section}.{name}", f"{section}.{name}{path}", value
        else:
            for path, value in numbers(field.rebuild_annotation(), section, bad):
                yield section, f"{section}{path}", value


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_in_every_field_by_its_path(bad: float) -> None:
    scenario = load_scenario("one-cell")
    tried = set()
    for field, path, value in fields_with_numbers(bad):
        tried.add(path)
        with pytest.raises(ScenarioError) as caught:
            scenario.with_overrides({field: value})
        assert f"{path}: got {bad!r}, want " in str(caught.value), path
        assert "\n" not in str(caught.value)
    assert {
        "load", "layout.positions_m.0.1", "mobility.speeds_kmh.0", "scheduler.class_weight.2", "traffic.gaming.gbr_mbps",
        "traffic.gaming.session_s.1", "slices.1-000001.min_pct", "load_profile.points.0.1", "load_profile.day_s",
        "faults.0.end_s", "faults.0.loss_db", "faults.0.position_m.1", "faults.0.factor",
    } <= tried  # fmt: skip
    assert len(tried) > 60


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_refused_in_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.toml"
    shipped = (SCENARIO_FOLDER / "one-cell.toml").read_text()
    file.write_text(shipped.replace("tilt_deg = 12.0", f"tilt_deg = {text}"))
    with pytest.raises(ScenarioError, match=rf"odd.toml: layout.tilt_deg: got {text}, want a finite number"):
        load_scenario(file)


def test_true_is_no_number_in_any_field() -> None:
    scenario = load_scenario("one-cell")
    whole = {
        "carrier.bandwidth_prb",
        "layout.sites",
        "traffic.gaming.ues",
        "traffic.gaming.five_qi",
        "handover.n310",
    }
    for field, value in [
        *((field, value) for field, _, value in fields_with_numbers(True)),
        *dict.fromkeys(whole, True).items(),
    ]:
        if field in ("slices", "load_profile", "faults"):
            continue  # a table or a list of sections, which have their own fields
        with pytest.raises(ScenarioError, match=rf"{field}: got .*, want anything but true and false"):
            scenario.with_overrides({field: value})
    with pytest.raises(
        ScenarioError, match=r"slices\.1-000001\.min_pct: got True, want anything but true and false"
    ):
        scenario.with_overrides({"slices": {"1-000001": {"min_pct": True}}})
    assert scenario.with_overrides({"layout.wrap_around": True}).layout.wrap_around


def test_true_is_no_number_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "odd.toml"
    shipped = (SCENARIO_FOLDER / "one-cell.toml").read_text()
    file.write_text(re.sub(r"(?m)^ues = .*$", "ues = true", shipped))
    with pytest.raises(
        ScenarioError, match=r"odd\.toml: traffic\.[\w-]+\.ues: got True, want anything but true"
    ):
        load_scenario(file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#" * 300_000, "more than 262144 bytes"),
        ("a." * 32_000 + "a = 1", "a key of more than 16 parts between dots"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
    ids=["large", "many parts", "deep"],
)
def test_a_file_that_would_cost_too_much_is_not_parsed(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "odd.toml").write_text(text)
    with pytest.raises(ScenarioError, match=rf"odd\.toml: got no TOML \({reason}\), want a scenario in TOML"):
        load_scenario(tmp_path / "odd.toml")
