"""Faults behind the nodes: what reports say, what stays true, and the labels beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ran_sim.bridge import SimWorld, open_world
from ran_sim.scenario import load_scenario
from ranloop.errors import NodeError
from ranloop.node import Recorder, load_profile, truth, under_profile
from ranloop.vocabulary import SetTxPower

MS = 1_000_000
VOLUME = "DRB.RlcSduTransmittedVolumeDL"
STREAM = ("site0", "cell", 100)
STUCK: Mapping[str, Any] = {
    "kind": "faulty-counters", "name": "frozen", "cells": [0], "measurements": [VOLUME], "effect": "stuck",
    "start_s": 0.25, "end_s": 0.5,
}  # fmt: skip
WET: Mapping[str, Any] = {"kind": "power-loss", "cells": [0], "loss_db": 6.0, "start_s": 0.1003}


def world_with(*faults: Mapping[str, Any]) -> SimWorld:
    return SimWorld(
        load_scenario("one-cell").with_overrides({"faults": list(faults), "reports.rounding": False}), 1
    )


def volumes_kbit(world: SimWorld, until_ms: int) -> list[float]:
    """`VOLUME` of the cell, report by report."""
    out: list[float] = []
    while world.now_ns < until_ms * MS:
        world.advance(until_ms * MS)
        out += [float(report[VOLUME][0]) for report in world.reports({STREAM: frozenset({VOLUME})})]
    return out


def test_a_stuck_counter_is_seen_in_reports_and_nowhere_else() -> None:
    ill, well = world_with(STUCK), world_with()
    reported, true = volumes_kbit(ill, 600), volumes_kbit(well, 600)
    assert reported == [*true[:2], true[1], true[1], true[1], true[5]]  # ends of periods at 0.3, 0.4, 0.5 s
    assert len(set(true)) == 6
    one, other = ill.engine.snapshot(), well.engine.snapshot()
    assert np.array_equal(one.ue, other.ue)
    assert np.array_equal(one.cell_class, other.cell_class)


def test_a_fork_s_stuck_counter_repeats_the_same_and_late_readers_see_it_too() -> None:
    world = world_with(STUCK)
    world.advance(100 * MS)
    world.advance(200 * MS)  # nobody reads
    world.advance(310 * MS)
    fork = world.fork()
    whole = volumes_kbit(world_with(STUCK), 600)
    assert volumes_kbit(world, 600) == volumes_kbit(fork, 600) == whole[3:]


def test_the_value_in_force_of_an_action_is_the_setting_not_what_a_fault_leaves_of_it() -> None:
    world = world_with(WET)
    world.advance(100 * MS)
    world.advance(150 * MS)
    assert world.apply("site0", SetTxPower(cell=[0], tx_power_dbm=[40.0])).tolist() == [[40.0]]
    world.advance(200 * MS)
    (report,) = world.reports({STREAM: frozenset({"X.Cell.TxPower"})})
    assert report["X.Cell.TxPower"].tolist() == [40.0]


def test_a_world_knows_its_faults_as_labels_by_slot() -> None:
    assert world_with().truth == ()
    assert list(world_with(STUCK, WET).truth) == [
        {
            "start_ns": 250 * MS, "end_ns": 500 * MS, "kind": "faulty-counters", "name": "frozen", "cells": [0],
            "measurements": [VOLUME], "effect": "stuck",
        },
        # 100.3 ms lies nearest to the slot of 0.5 ms that begins at 100.5 ms
        {"start_ns": 100_500_000, "end_ns": None, "kind": "power-loss", "cells": [0], "loss_db": 6.0},
    ]  # fmt: skip


def test_a_recording_keeps_the_labels_beside_its_reports(tmp_path: Path) -> None:
    world = world_with(STUCK, WET)
    with Recorder(tmp_path / "run", under_profile(world, load_profile("oai"))):
        pass
    manifest = json.loads((tmp_path / "run" / "recording.json").read_text())
    assert manifest["truth"] == list(world.truth) == list(truth(world))


def test_a_fault_about_an_unknown_measurement_is_one_line_before_anything_runs() -> None:
    faults = [{**STUCK, "measurements": ["DRB.RlcSduTransmittedVolumeDl"]}]
    with pytest.raises(
        NodeError, match=rf"faults\.frozen\.measurements: got '\S+', want .*there is {VOLUME}"
    ):
        open_world("one-cell", overrides={"faults": faults})
