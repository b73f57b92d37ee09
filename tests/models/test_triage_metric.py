"""Training of the metric under the triage: what a point changes of both tiers, and that what ships is the winner."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from models.slot_metric import shape
from models.slot_metric.evaluate import page
from models.triage_metric import evaluate, train
from ran_sim.mac.learned import BIAS
from ran_sim.mac.slot_model import read_slot_model
from ranloop.inference import load_card
from ranloop.training import Drop, Training, World
from ranloop.xapp.manifest import load_manifest

TRAINING = Training(train.FOLDER)
(JOINT,) = (each for each in train.CONTENDERS if each.name == "joint")


def test_a_point_changes_the_metric_and_the_triage_and_leaves_the_rest() -> None:
    prepared = JOINT.prepare(TRAINING.plan)
    before, after = (train.metric(point, prepared) for point in ({}, {"bias": 1.5, "cap": 2.0}))
    assert after.bias - before.bias == pytest.approx(1.5 - prepared["metric"]["bias"], abs=1e-5)
    assert after.linear.tolist() == before.linear.tolist()
    assert after.height.tolist() == before.height.tolist()
    arm = train.above(Path("package"), {"bias": 1.5, "cap": 2.0})
    assert arm.settings == {"qos_scheduler": {"cap": 2.0}}


def test_every_parameter_is_one_of_the_metric_or_a_setting_of_the_xapp() -> None:
    known = {*shape.PARAMETERS, *load_manifest(train.XAPP).settings}
    assert {each.name for each in JOINT.space} <= known


def test_a_point_is_scored_with_its_own_metric_and_triage() -> None:
    world = World(name="one", node="sim:one-cell")
    drop = Drop(world=world, seed=1, load=2.0, warmup_s=0.1, measured_s=0.5)
    prepared = JOINT.prepare(TRAINING.plan)
    start = JOINT.start
    scores = JOINT.score([start, start | {"bias": -8.0}, start | {"cap": 0.25}], drop, prepared)
    assert scores[0] == JOINT.score([start], drop, prepared)[0]
    assert scores[1] != scores[0]
    assert scores[2] != scores[0]


def test_the_xapp_knows_how_long_a_slot_of_a_held_out_world_is() -> None:
    """1 ms at 15 kHz, half of it at 30 kHz (TS 38.211 Table 4.3.2-1); the rules have no such setting."""
    static, *_, ours = evaluate.arms()
    worlds = TRAINING.plan.held_out_worlds
    of_world = {world.name: worlds.drop(world, 1, 1.0) for world in worlds.worlds}
    slot_ms = {
        name: evaluate.fitted(ours, of_world[name]).settings["qos_scheduler"]["slot_ms"]
        for name in ("15 kHz", "one cell")
    }
    assert slot_ms == {"15 kHz": 1.0, "one cell": 0.5}
    assert evaluate.fitted(static, of_world["15 kHz"]).settings == {}


def test_the_readme_has_what_the_command_prints() -> None:
    plan, order = TRAINING.plan, [arm.name for arm in evaluate.arms()]
    text = "\n".join(page(plan, evaluate.RESULTS, order, evaluate.PAIRS))
    assert f"<!-- gain -->\n{text}\n<!-- /gain -->" in evaluate.README.read_text("utf-8")


def test_the_package_that_ships_is_the_winner_of_the_journal() -> None:
    winner = TRAINING.winner(TRAINING.trainee.contender("joint"))
    assert winner
    network = train.metric(winner.point, winner.prepared)
    assert (train.FOLDER / "model.onnx").read_bytes() == shape.onnx_file(network)
    assert math.isclose(read_slot_model(train.FOLDER)[BIAS], network.bias)
    card = load_card(train.FOLDER)
    assert card.name == "triage_metric"
    assert card.training["parameters"] == {name: round(value, 4) for name, value in winner.point.items()}
