"""Faults of a scenario: read from TOML, overridden, and refused on one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ran_sim.scenario import SCENARIO_FOLDER, Scenario, ScenarioError, faults, load_scenario
from ran_sim.scenario.toml_text import to_toml

WET: Mapping[str, Any] = {
    "kind": "power-loss", "name": "wet", "cells": [3, 4], "start_s": 10, "end_s": 20, "loss_db": 6.0,
}  # fmt: skip
LOST: Mapping[str, Any] = {
    "kind": "faulty-counters", "cells": [0], "measurements": ["RRC.ConnMean"], "effect": "missing", "start_s": 0,
}  # fmt: skip
JAMMER: Mapping[str, Any] = {"kind": "interference", "position_m": [0, 0], "eirp_dbm": 30, "start_s": 0}


def seven_sites(*faults: Any) -> Scenario:
    return load_scenario("seven-sites").with_overrides({"faults": list(faults)})


def test_faults_are_read_from_a_file_and_come_back_from_its_printed_form(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    entry = '\n[[faults]]\nkind = "sleeping-cell"\ncells = [2]\nstart_s = 5\n'
    path.write_text((SCENARIO_FOLDER / "seven-sites.toml").read_text() + entry)
    (fault,) = load_scenario(path).faults
    assert (fault.kind, fault.start_s, fault.end_s) == ("sleeping-cell", 5.0, None)
    scenario = seven_sites(WET, LOST, JAMMER)
    path.write_text(to_toml(scenario))
    assert load_scenario(path) == scenario


def test_no_scenario_that_ships_has_a_fault() -> None:
    for path in SCENARIO_FOLDER.glob("*.toml"):
        assert load_scenario(path.stem).faults == ()


def test_overrides_call_a_fault_by_its_name_or_its_place() -> None:
    scenario = seven_sites(LOST, WET).with_overrides({"faults.0.start_s": 2, "faults.wet.loss_db": 3})
    assert scenario.faults[0].start_s == 2.0
    assert scenario.faults[1].loss_db == 3.0  # type: ignore[union-attr]  # because it is a power loss
    assert scenario.with_overrides({"faults": []}).faults == ()


def test_a_fault_that_came_with_the_same_overrides_can_be_changed_by_its_place() -> None:
    scenario = seven_sites().with_overrides({"faults": [{**LOST, "start_s": 1.0}], "faults.0.start_s": 3})
    assert scenario.faults[0].start_s == 3.0
    with pytest.raises(ScenarioError, match="faults"):
        seven_sites().with_overrides({"faults": [7], "faults.0.start_s": 3})


def test_so_many_different_tilts_that_tables_would_fill_the_memory_are_refused() -> None:
    shifts = [
        {"kind": "tilt-shift", "cells": [cell], "start_s": 1.0, "shift_deg": 0.1 * (cell + 1)}
        for cell in range(21)
    ]
    with pytest.raises(ScenarioError, match="at most 20 different shift_deg"):
        seven_sites(*shifts)


def test_a_fault_may_last_one_slot() -> None:
    (fault,) = seven_sites(
        {**WET, "start_s": 0.3, "end_s": 0.3005}
    ).faults  # 0.3 + 0.0005 > 0.3005 in floating point
    assert fault.end_s == 0.3005


def test_one_kind_may_follow_itself_and_other_kinds_and_sources_may_overlap() -> None:
    later = {**WET, "name": "again", "start_s": 20, "end_s": None}
    tilt = {"kind": "tilt-shift", "cells": [3], "start_s": 0, "shift_deg": -2}
    other = {**LOST, "measurements": ["PEE.Energy"]}
    assert len(seven_sites(WET, later, tilt, JAMMER, JAMMER, LOST, other).faults) == 7


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([{**WET, "cells": [3, 21]}], "want faults.wet.cells among 0 to 20, not 21"),
        ([{**WET, "cells": []}], "faults.wet.cells: got [], want at least 1 item"),
        ([{**WET, "cells": [3, 3]}], "faults.wet: got fields that do not fit together, want cells that differ, not [3, 3]"),
        ([{**WET, "end_s": 9}], "want faults.wet.end_s a slot or more after its start_s, 10, not 9"),
        ([{**WET, "end_s": 10}], "want faults.wet.end_s a slot or more after"),
        (
            [WET, {**WET, "name": None, "cells": [4], "start_s": 19.9, "end_s": None}],
            "want one power-loss at a time in cell 4, not faults.wet and faults.1 at once",
        ),
        ([LOST, LOST], "want one faulty-counters at a time in cell 0, not faults.0 and faults.1 at once"),
        ([WET, {**WET, "start_s": 30, "end_s": 40}], "want different names in [[faults]], not ['wet', 'wet']"),
        ([{**WET, "kind": "rain"}], "faults.wet.kind: got 'rain', want one of 'sleeping-cell', 'power-loss', "),
        ([{"cells": [1], "start_s": 0}], "faults.0.kind: got nothing, want one of 'sleeping-cell',"),
        ([{**WET, "loss_db": -1}], "faults.wet.loss_db: got -1, want greater than or equal to 0"),
        ([{**WET, "loss": 1}], "faults.wet.loss: got 1, want no such field"),
        ([{**LOST, "effect": "scaled"}], "faults.0: got fields that do not fit together, want factor with effect 'scaled'"),
        ([3], "faults.0: got 3, want a table of fields"),
        ([JAMMER] * 101, "want at most 100 faults of kind interference"),
    ],
)  # fmt: skip
def test_a_fault_that_cannot_be_is_named_on_one_line(faults: list[Any], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        seven_sites(*faults)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fault_that_stays_meets_every_later_one_of_its_kind_in_its_cell_and_measurement() -> None:
    stays = {**LOST, "start_s": 5, "measurements": ["RRC.ConnMean", "PEE.Energy"]}
    before = {**LOST, "start_s": 1, "end_s": 5}
    apart = {**LOST, "start_s": 7, "measurements": ["DRB.UEThpDl"]}
    elsewhere = {**LOST, "start_s": 8, "cells": [1]}
    assert len(seven_sites(stays, before, apart, elsewhere).faults) == 4
    late = {**LOST, "start_s": 900, "end_s": 901, "cells": [2, 0], "measurements": ["PEE.Energy"]}
    told = r"want one faulty-counters at a time in cell 0, not faults\.0 and faults\.4 at once"
    with pytest.raises(ScenarioError, match=told):
        seven_sites(stays, before, apart, elsewhere, late)


def test_the_check_of_many_faults_compares_each_with_one_other_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0

    def counting(fault: faults.SleepingCell) -> float:
        nonlocal asked
        asked += 1
        return math.inf if fault.end_s is None else fault.end_s

    monkeypatch.setattr(faults.SleepingCell, "until_s", property(counting))
    asleep = [
        faults.SleepingCell(kind="sleeping-cell", cells=(0,), start_s=2.0 * i, end_s=2.0 * i + 1.0)
        for i in range(faults.MOST_FAULTS)
    ]
    faults.check_faults(asleep, 1, lambda ms: round(2 * ms))
    assert asked == faults.MOST_FAULTS - 1


def test_an_override_that_leads_to_no_fault_is_refused() -> None:
    scenario = seven_sites(WET)
    with pytest.raises(
        ScenarioError, match=r"faults\.loss_db: got a list of faults, want faults\.<name>\.<field>"
    ):
        scenario.with_overrides({"faults.loss_db": 3})
    for path in ("faults.dry.loss_db", "faults.1.loss_db"):
        with pytest.raises(ScenarioError, match="got no section faults"):
            scenario.with_overrides({path: 3})
