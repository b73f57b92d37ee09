"""The demo's verdict says what the intervals say, also when they say: no gain, or harm."""

from __future__ import annotations

import pytest

from ranloop.cli.demo import verdict
from ranloop.evaluate import DropResult
from ranloop.statistics import Difference, paired_difference


def drops(best_effort_mbps: float = 200.0) -> list[DropResult]:
    return [
        DropResult(
            arm="tuned baseline",
            seed=seed,
            score={"best_effort_mbps": best_effort_mbps, "satisfied": 60.0},
            outcomes={},
            latencies_ns={},
            xapps={},
            wall_s=1.0,
        )
        for seed in (1, 2)
    ]


def interval(low: float, high: float) -> Difference:
    return Difference(mean=(low + high) / 2, low=low, high=high, n=10)


@pytest.mark.parametrize(
    ("satisfied", "best_effort", "sentence"),
    [
        # 30 of 200 Mb/s are 15 %
        ((1, 5), (20, 40), "Gain: +15 % best-effort throughput with 3.0 more satisfied users."),
        ((-1, 2), (20, 40), "Gain: +15 % best-effort throughput with no fewer satisfied users shown."),
        ((1, 5), (-4, 8), "Gain: 3.0 more satisfied users; best effort no difference shown (+1 %)."),
        (
            (-1, 2),
            (-4, 8),
            "No gain shown: satisfied users no difference shown, best effort no difference shown (+1 %).",
        ),
        # A gain on one side is no gain when the other side pays for it.
        ((1, 5), (-40, -20), "No gain shown: satisfied users higher, best effort lower (-15 %)."),
        (
            (-1, 2),
            (-40, -20),
            "No gain shown: satisfied users no difference shown, best effort lower (-15 %).",
        ),
        ((-5, -1), (20, 40), "No gain: 3.0 fewer users are satisfied, whatever best effort gets (+15 %)."),
        ((-5, -1), (-40, -20), "No gain: 3.0 fewer users are satisfied, whatever best effort gets (-15 %)."),
    ],
)
def test_the_verdict_is_the_intervals_in_words(
    satisfied: tuple[float, float], best_effort: tuple[float, float], sentence: str
) -> None:
    assert verdict(interval(*satisfied), interval(*best_effort), drops()) == sentence


def test_no_best_effort_at_all_is_no_percentage() -> None:
    sentence = verdict(interval(1, 5), interval(0, 0), drops(0.0))
    assert sentence == "Gain: 3.0 more satisfied users; best effort no difference shown (+0.0 Mb/s)."


def test_the_same_in_every_drop_is_a_difference_without_width() -> None:
    same = paired_difference([3.0, 4.0], [1.0, 2.0])
    assert verdict(same, same, drops()).startswith("Gain: +1 % best-effort throughput with 2.0 more")
