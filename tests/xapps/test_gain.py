"""The evidence for `qos_scheduler`: held-out drops are held out, and the READMEs say what the command prints of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ranloop.judgement import MARGIN_PCT
from ranloop.xapp.manifest import load_manifest
from xapps.qos_scheduler import gain

ROOT = Path(gain.__file__).parents[2]
EVIDENCE: dict[str, Any] = json.loads(gain.GAIN.read_text("utf-8"))


def between_marks(path: Path) -> list[str]:
    found = re.search(r"<!-- gain -->\n(.*?)\n<!-- /gain -->", path.read_text("utf-8"), re.DOTALL)
    assert found, f"no part of {path} is marked as printed by gain.py show"
    return found[1].splitlines()


def test_the_evidence_is_of_these_drops_arms_and_margin() -> None:
    seeds = gain.HELD_OUT_SEEDS
    assert EVIDENCE["held_out_seeds"] == [seeds.start, seeds.stop - 1]
    assert EVIDENCE["margin_pct"] == MARGIN_PCT
    assert EVIDENCE["baseline"] == gain.baseline().name
    names = [arm.name for arm in gain.judged_arms()]
    assert [(row["load"], row["arm"]) for row in EVIDENCE["rows"]] == [
        (load, name) for load in gain.LOADS for name in names
    ]
    assert {len(row[key]) for row in EVIDENCE["rows"] for key in gain.KEPT} == {len(seeds)}


def test_what_ships_is_what_training_has_found() -> None:
    """The winner's settings are the manifest's defaults, of three digits."""
    winner = gain.TRAINING.winner(gain.TRAINING.trainee.contender("triage"))
    assert winner
    defaults = {name: setting.default for name, setting in load_manifest(gain.FOLDER).settings.items()}
    assert {name: defaults[name] for name in winner.point} == {
        name: float(f"{value:.3g}") for name, value in winner.point.items()
    }


# What is printed of it


def test_the_readme_of_the_xapp_is_what_the_command_prints() -> None:
    assert between_marks(gain.FOLDER / "README.md") == gain.report(EVIDENCE)


def test_the_readme_of_the_project_has_the_verdicts_as_the_command_prints_them() -> None:
    assert between_marks(ROOT / "README.md") == gain.verdicts(EVIDENCE)


def test_the_page_of_drops_is_what_the_command_writes() -> None:
    page = (gain.FOLDER / "drops.md").read_text("utf-8")
    assert page == "\n".join(gain.page_of_drops(EVIDENCE)) + "\n"


def row(satisfied: list[float], best_effort_mbps: list[float]) -> dict[str, list[float]]:
    return {
        "users": [50.0, 50.0],
        "satisfied": satisfied,
        "best_effort_mbps": best_effort_mbps,
        "user_p5_mbps": [0.5, 0.6],
    }


def test_by_hand_two_drops_of_three_arms() -> None:
    # 1 user more and 10 Mb/s more in both drops than the baseline, which nobody else beats in the second one
    arms = {
        "log 32/32": row([30.0, 32.0], [100.0, 120.0]),
        "xApp on LOG": row([31.0, 33.0], [110.0, 130.0]),
        "edf": row([31.0, 20.0], [105.0, 140.0]),
    }
    evidence = {
        "baseline": "log 32/32",
        "held_out_seeds": [7, 8],
        "rows": [
            {"load": load, "arm": name} | figures for load in gain.LOADS for name, figures in arms.items()
        ],
    }
    assert gain.verdicts(evidence)[1] == (
        "- Load 1. Gain: best effort gets more, +9 [+9, +9] %; more users are satisfied, +1.0 [+1.0, +1.0], margin 1.0."
    )
    table = gain.table(evidence)
    assert table[6:8] == [
        "| 1 | xApp on LOG | 50.0 | 32.0 | 120.0 | 0.55 | +1.0 [+1.0, +1.0] | +10.0 [+10.0, +10.0] | 2 of 2 |",
        # 1 and -12 users: -5.5 with Student's 12.7062 * sd 9.192 / sqrt(2) = 82.6; 5 and 20 Mb/s likewise
        "| 1 | edf | 50.0 | 25.5 | 122.5 | 0.55 | -5.5 [-88.1, +77.1] | +12.5 [-82.8, +107.8] | 1 of 2 |",
    ]
    assert gain.page_of_drops(evidence)[-2:] == [
        "| 7 | 50 | 30 / 100 | **31 / 110** | 31 / 105 |",
        "| 8 | 50 | 32 / 120 | **33 / 130** | **20 / 140** |",
    ]


# The Pareto front

points = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float)),
    min_size=1,
)


@given(points)
def test_the_front_beats_all_that_is_not_on_it_and_nothing_on_it_is_beaten(
    points: dict[str, tuple[float, float]],
) -> None:
    def beats(one: str, other: str) -> bool:
        mine, theirs = points[one], points[other]
        return mine != theirs and mine[0] >= theirs[0] and mine[1] >= theirs[1]

    front = gain.front(points)
    assert front
    assert not [(one, other) for one in points for other in front if beats(one, other)]
    assert all(any(beats(one, other) for one in front) for other in points.keys() - front)


def test_equal_points_share_the_front() -> None:
    assert gain.front({"a": (3.0, 1.0), "b": (3.0, 1.0), "c": (2.0, 1.0), "d": (1.0, 2.0)}) == {"a", "b", "d"}
