"""A training with closed-form contenders: searches find what is known, drops stay apart, a stopped training goes on."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranloop.errors import TrainingError
from ranloop.training import Parameter, Training, UsersFirst, read_plan, train, tuned_arm, write_defaults
from ranloop.training.run import Training as Run
from ranloop.xapp.manifest import load_manifest
from ranloop_work import Shard
from tests.builders import write_xapp
from tests.command import Command
from tests.dask_cluster import dask_cluster
from tests.ranloop.training.hills import PLAN, TRAIN, made, seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "hills")


# The search


def test_each_search_finds_its_hill_with_the_same_budget(folder: Path) -> None:
    outcome = train(folder, processes=1)
    assert outcome
    line, cloud, dice = (outcome.winners[name] for name in ("line", "cloud", "dice"))
    assert line.point == {"x": 10.0}  # of the grid, the nearest to 9
    assert math.log(cloud.point["x"] / 30.0) == pytest.approx(0.0, abs=0.1)
    assert cloud.point["y"] == pytest.approx(2.0, rel=0.05)
    assert math.log(dice.point["x"] / 30.0) ** 2 + math.log(dice.point["y"] / 2.0) ** 2 < 0.25
    for winner in (line, cloud, dice):
        assert 0.9 * 480 <= winner.rollouts <= 480


def test_only_training_drops_search_and_only_validation_drops_choose(folder: Path) -> None:
    train(folder, processes=1)
    for name in ("cloud", "dice"):
        drops = [(world, seed) for who, _, world, seed, _ in seen(folder) if who == name]
        searched, chosen = [each for each in drops if each[1] < 10], [each for each in drops if each[1] >= 10]
        assert searched[:6:2] == [("a", 1), ("b", 2), ("a", 3)]  # a seed and a world a round, at two loads
        assert set(chosen) == {("a", seed) for seed in range(11, 15)}
        assert drops == searched + chosen
    assert {seed for *_, seed, _ in seen(folder)} <= {*range(1, 10), *range(11, 15)}


def test_a_reference_with_nothing_to_choose_takes_no_rollouts(tmp_path: Path) -> None:
    """A grid of its start alone, such as a rule that was tuned elsewhere."""
    one = TRAIN.replace("values=(0.1, 1.0, 10.0, 100.0)", "values=(1.0,)")
    folder = made(tmp_path / "hills", code=one)
    train(folder, only=["line"], processes=1)
    assert {seed for *_, seed, _ in seen(folder)} == {*range(11, 15)}  # those of validation
    line = Training(folder).winner(Training(folder).reference)
    assert line
    assert (line.point, line.rollouts, line.how) == ({"x": 1.0}, 0, "grid, seed 3, the start")


def test_worth_is_against_the_tuned_reference(folder: Path) -> None:
    """At (30, 2) the cloud is at its best, and the line at 10 is ln(10/9) squared away from its own: mean load 1.5 times that."""
    outcome = train(folder, processes=1)
    assert outcome
    assert outcome.winners["line"].worth == 0.0
    assert outcome.winners["cloud"].worth == pytest.approx(1.5 * math.log(10 / 9) ** 2, abs=0.01)
    assert outcome.best_rule.name in ("line", "dice")


# Going on


def test_a_training_that_was_stopped_goes_on_to_the_same_winner(tmp_path: Path) -> None:
    whole, parts = made(tmp_path / "whole"), made(tmp_path / "parts")
    expected = train(whole, processes=1)

    def stop_after(rounds: int) -> Any:
        def say(line: str) -> None:
            nonlocal rounds
            rounds -= 1
            if not rounds:
                raise KeyboardInterrupt

        return say

    for rounds in (3, 10, 30):
        with pytest.raises(KeyboardInterrupt):
            train(parts, processes=1, say=stop_after(rounds))
        journal = max((parts / "journal").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        with journal.open("a") as file:
            file.write('{"worth": [0.1')  # a line that a killed process left
    found = train(parts, processes=1)
    assert expected
    assert found
    assert {name: each.point for name, each in found.winners.items()} == {
        name: each.point for name, each in expected.winners.items()
    }
    assert len(seen(parts)) == len(seen(whole))  # no round twice


def test_a_training_that_is_through_runs_nothing_again(folder: Path) -> None:
    train(folder, processes=1)
    before = seen(folder)
    assert train(folder, processes=1)
    assert seen(folder) == before


def test_a_journal_of_another_plan_is_refused(ranloop: Command, folder: Path) -> None:
    train(folder, processes=1)
    (folder / "plan.toml").write_text(PLAN.replace("measured_s = 2.0", "measured_s = 3.0", 1))
    said = ranloop("train", folder).complaint
    assert "line.jsonl is of another plan, space or reference; put those back, or remove the file" in said


def test_two_trainings_do_not_write_one_journal(ranloop: Command, folder: Path) -> None:
    training = Run(folder)
    with pytest.raises(KeyboardInterrupt):
        train(folder, processes=1, say=_interrupt)
    from ranloop.training.journal import Journal

    with Journal.opened(folder, "line", training._digest(training.reference)):
        assert "another training is at work in it" in ranloop("train", folder, "--processes", "1").complaint


def _interrupt(line: str) -> None:
    raise KeyboardInterrupt


# Workers


def test_results_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), made(tmp_path / "two")
    train(one, processes=1)
    train(two, processes=2)
    for name in ("line", "cloud", "dice"):
        lines = [(folder / "journal" / f"{name}.jsonl").read_text().splitlines() for folder in (one, two)]
        assert [_without_cpu(line) for line in lines[0]] == [_without_cpu(line) for line in lines[1]]


def test_a_cluster_gives_the_journals_of_this_machine(tmp_path: Path) -> None:
    plan = PLAN.replace("rollouts = 480", "rollouts = 48")
    here, there = made(tmp_path / "here", plan), made(tmp_path / "there", plan)
    train(here, only=["line", "cloud"], processes=1)
    with dask_cluster() as dask:
        train(there, only=["line", "cloud"], on=dask.scheduler_address)
    for name in ("line", "cloud"):
        lines = [(folder / "journal" / f"{name}.jsonl").read_text().splitlines() for folder in (here, there)]
        assert [_without_cpu(line) for line in lines[0]] == [_without_cpu(line) for line in lines[1]]
    assert not (there / "seen.jsonl").exists()  # the worker has a copy of the folder


def _without_cpu(line: str) -> Any:
    found = json.loads(line)
    found.pop("cpu_s", 0)
    found.get("winner", {}).pop("cpu_minutes", 0)
    return found


def test_shards_have_each_contender_once_and_a_last_call_keeps_the_winners(folder: Path) -> None:
    train(folder, only=["line"], processes=1)
    assert train(folder, shard=Shard.parse("1/2"), processes=1) is None
    assert {who for who, *_ in seen(folder)} == {"line", "cloud"}
    assert not (folder / "card.toml").exists()
    assert train(folder, shard=Shard.parse("2/2"), processes=1)
    before = seen(folder)
    assert train(folder, processes=1)
    assert seen(folder) == before
    assert (folder / "card.toml").exists()


# What is left


def test_the_card_says_from_what_at_what_cost_and_beside_which_rule(ranloop: Command, folder: Path) -> None:
    said = ranloop("train", folder, "--processes", "1")
    assert said.code == 0
    card = tomllib.loads((folder / "card.toml").read_text())
    assert card["training"]["seeds"] == [1, 9]
    assert card["training"]["validation_seeds"] == [11, 14]
    assert card["training"]["held_out_seeds"] == [21, 24]
    assert card["training"]["worlds"] == ["a", "b"]
    assert card["training"]["rollouts"] <= 480
    assert card["best_rule"] in ("line", "dice")
    assert {f"height cloud a, load {load}" for load in (1, 2)} < set(card["metrics"])
    assert {f"height {card['best_rule']} a, load {load}" for load in (1, 2)} < set(card["metrics"])
    assert "cloud (model): worth +0." in said.out
    assert "of 480 rollouts" in said.err
    assert "min left" in said.err


def test_a_winner_becomes_the_defaults_of_the_manifest(tmp_path: Path) -> None:
    folder = write_xapp(tmp_path / "weigher")
    before = (folder / "manifest.toml").read_text()
    write_defaults(folder, {"gain": 2.34567})
    assert (folder / "manifest.toml").read_text() == before.replace("default = 1.0", "default = 2.35")
    with pytest.raises(TrainingError, match=r"setting gain: got 11\.0, want float in \[0\.0, 10\.0\]"):
        write_defaults(folder, {"gain": 11.0})
    with pytest.raises(TrainingError, match=r"has no setting 'gian'; there is gain"):
        write_defaults(folder, {"gian": 1.0})


def test_rounds_begin_anew_after_the_last_seed(folder: Path) -> None:
    """Nine seeds and two worlds: round 10 has seed 2 (the tenth after 1 … 9 is 1) and, as an even number, world a."""
    plan = read_plan(folder)
    assert [(drop.seed, drop.world.name) for drop in plan.training.of_round(10, (1.0,))] == [(2, "a")]
    assert len(plan.validation.all(plan.loads)) == 1 * 4 * 2


def test_points_of_a_drop_may_be_scored_in_parts(folder: Path) -> None:
    """Three workers on two drops: each drop's points in two parts, and the scores in the order of the points."""
    from ranloop.training.crew import Crew, answered

    training = Training(folder)
    points = [{"x": x} for x in (1.0, 3.0, 9.0)]
    drops = training.plan.training.of_round(0, (1.0, 2.0))
    with Crew(folder, drops[0], processes=1) as crew:
        crew._count = 3
        found = answered(crew.ask("line", points, drops, {"half": 0.5}))
    assert sorted(each[1] for each in seen(folder)) == [1, 1, 2, 2]
    for scored, load in zip(found, (1.0, 2.0), strict=True):
        heights = np.array([score["height"] for score in scored.scores])
        far = np.log(np.array([1.0, 3.0, 9.0]) / 9.0) ** 2
        np.testing.assert_allclose(heights - heights[2], -load * far, atol=1e-12)


def test_users_first_counts_percent_of_users_and_of_best_effort() -> None:
    rule = {"users": 50.0, "satisfied": 30.0, "best_effort_mbps": 100.0, "user_p5_mbps": 1.0}
    found = {
        "users": 50.0,
        "satisfied": 29.0,
        "best_effort_mbps": 100.0 * math.exp(0.3),
        "user_p5_mbps": math.exp(-0.1),
    }
    # 1 of 50 users less: -2 %, twice more as a loss; 30 % more best effort, of which 20 count; 10 % less at the edge
    worth = UsersFirst(best_effort=0.1, most=20.0, loss=0.5, users_loss=2.0, edge_loss=0.05)
    assert worth([found], [rule]) == pytest.approx(-2.0 - 4.0 + 2.0 - 0.5)


# On the simulator

XAPP_TRAIN = """
from pathlib import Path
from ranloop.evaluate import Arm
from ranloop.training import Arms, Parameter, write_card, write_defaults

FOLDER = Path(__file__).parent
KEPT = ("users",)


def static(point):
    return Arm(name="static", overrides={"scheduler.class_weight": {"9": point["weight"]}})


def weigher(point):
    return Arm(name="weigher", xapps=(FOLDER,), settings={"weigher": dict(point)})


CONTENDERS = (
    Arms(name="static", kind="rule", method="grid", arm=static,
         space=(Parameter(name="weight", low=1.0, high=4.0, start=1.0, values=(1.0, 4.0)),)),
    Arms(name="weigher", kind="model", arm=weigher, space=(Parameter(name="gain", low=0.5, high=1.5, start=1.0),)),
)


def worth(found, reference):
    return found[0]["best_effort_mbps"] - reference[0]["best_effort_mbps"]


def keep(outcome):
    write_defaults(FOLDER, outcome.winners["weigher"].point)
    write_card(outcome, "weigher")
"""


def test_the_settings_of_an_xapp_are_tuned_on_the_simulator(tmp_path: Path) -> None:
    folder = write_xapp(tmp_path / "weigher")
    plan = PLAN.replace("loads = [1.0, 2.0]", "loads = [2.0]").replace("rollouts = 480", "rollouts = 8")
    plan = plan.replace('"line"', '"static"\npopulation = 4').replace("warmup_s = 1.0", "warmup_s = 0.1")
    plan = plan.replace("measured_s = 2.0", "measured_s = 0.2").replace("{ x = 1 }", "{ load = 1.0 }")
    (folder / "plan.toml").write_text(plan.replace("seeds = [11, 14]", "seeds = [11, 11]"))
    (folder / "train.py").write_text(XAPP_TRAIN)
    outcome = train(folder, processes=1)
    assert outcome
    assert outcome.winners["weigher"].figures["a, load 2"]["users"] > 0
    gain = load_manifest(folder).settings["gain"].default
    assert gain == float(f"{outcome.winners['weigher'].point['gain']:.3g}")
    weights = tuned_arm(folder, "static").overrides["scheduler.class_weight"]
    assert weights in ({"9": 1.0}, {"9": 4.0})
    with pytest.raises(TrainingError, match="no contender 'edf'"):
        tuned_arm(folder, "edf")


def test_rounding_takes_no_value_out_of_its_bounds() -> None:
    two_thirds = Parameter(name="share", low=0.1, high=2 / 3, start=0.2, log=True)
    assert two_thirds.value(two_thirds.coordinate(2 / 3)) == 2 / 3  # of 12 digits it would be 0.666666666667
    assert two_thirds.value(two_thirds.coordinate(0.1) - 1e-3) == 0.1
