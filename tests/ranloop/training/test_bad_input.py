"""What cannot be trained is told in one line, before anything has run; an error of the author's with the place in his file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranloop.errors import TrainingError
from ranloop.training import train
from tests.command import Command
from tests.ranloop.training.hills import PLAN, TRAIN, made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "hills")


# The plan


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds = [21, 24]", "seeds = [9, 10]", "[training] and [held_out] share seed 9"),
        ("seeds = [11, 14]", "seeds = [30, 31]", "[validation] and [held_out_worlds] share seed 31"),
        ("{ x = 2 }", "{ x = 1 }", "[held_out_worlds] 'c' is in [training] too"),
        ("{ x = 2 }", "{}", "[held_out_worlds] 'c' is in [training] too"),
        ("seeds = [1, 9]", "seeds = [9, 1]", "training.seeds: want the first and the last seed"),
        ("rollouts = 480", "rollouts = 0", "search.rollouts"),
        ('reference = "line"', 'referee = "line"', "search.referee: no such key (did you mean reference?)"),
    ],
)
def test_a_plan_whose_drops_are_not_apart_is_refused_in_one_line(
    ranloop: Command, tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in PLAN
    folder = made(tmp_path / "hills", PLAN.replace(old, new, 1))
    assert said in ranloop("train", folder).complaint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "hill"), "no contender 'hill'; there is line, cloud, dice"),
        (
            ("--only", "cloud"),
            "line, which the others are weighed against, is not tuned yet; first: ranloop train",
        ),
        (("--shard", "1/2"), "line, which the others are weighed against, is not tuned yet"),
        (("--shard", "3/2"), "--shard 3/2: want I/N"),
        (("--on", "here"), "--on here: want tcp://HOST:PORT"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    ranloop: Command, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in ranloop("train", folder, *arguments).complaint
    assert not (folder / "seen.jsonl").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("KEPT =", "LEFT =", "train.py does not define KEPT"),
        (
            '"height": drop.load',
            '"height": float("nan") * drop.load',
            "worth() of hills is nan at a, load 1; want a finite number",
        ),
        ("for d in far]", "for d in far[1:]]", "contender line gave 3 scores of 4 points; want one each"),
        ('KEPT = ("height",)', 'KEPT = ("hight",)', "hills: KEPT has 'hight', which is no KPI of the scores"),
        ('name="dice"', 'name="line"', "two contenders are called 'line'"),
        (
            ", values=(0.1, 1.0, 10.0, 100.0)",
            "",
            "contender line: parameter x has no values; a grid wants them",
        ),
    ],
)
def test_a_train_file_that_lacks_something_is_refused_in_one_line(
    ranloop: Command, tmp_path: Path, old: str, new: str, said: str
) -> None:
    folder = made(tmp_path / "hills", code=TRAIN.replace(old, new, 1))
    assert said in ranloop("train", folder, "--processes", "1").complaint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("KEPT = (", "KEPT = 1 / 0, (", r"hills/train.py raised ZeroDivisionError"),
        ("return sum(row", "return 1 / 0 + sum(row", r"worth\(\) raised ZeroDivisionError"),
        ("noise = (", "noise = 1 / 0 + (", r"contender line on drop 1 of 'a' raised ZeroDivisionError"),
    ],
)
def test_an_error_of_the_authors_comes_with_the_place_in_his_file(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    folder = made(tmp_path / "hills", code=TRAIN.replace(old, new, 1))
    with pytest.raises(TrainingError, match=said) as caught:
        train(folder, processes=1)
    assert str(caught.value).splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert f'File "{folder / "train.py"}", line' in str(caught.value)


def test_a_folder_without_a_plan_says_what_it_wants(ranloop: Command, tmp_path: Path) -> None:
    assert "has no plan.toml; want the search and the drops" in ranloop("train", tmp_path).complaint


def test_too_small_a_budget_says_how_many_rollouts_are_wanted(ranloop: Command, tmp_path: Path) -> None:
    """A grid of 4 points is halved twice: 2 stages of 4 points at 2 loads are 16 rollouts."""
    folder = made(tmp_path / "hills", PLAN.replace("rollouts = 480", "rollouts = 15"))
    assert (
        "15 rollouts are too few for 4 points at 2 loads; want 16 or more"
        in ranloop("train", folder).complaint
    )
