"""Plots put points where the axes say."""

from __future__ import annotations

import math
import re

import pytest

from ranloop.cli.svg import Trace, plot, ticks


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 10.0, ["0", "2", "4", "6", "8", "10"]),
        (-0.03, 0.13, ["0.00", "0.05", "0.10"]),
        (990.0, 2010.0, ["1,000", "1,500", "2,000"]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, texts: list[str]) -> None:
    found = ticks(low, high)
    assert [text for _, text in found] == texts
    assert all(low <= value <= high for value, _ in found)


def test_a_higher_value_stands_higher_and_a_later_one_further_right() -> None:
    drawn = plot(
        [Trace(points=[(0.0, 1.0), (1.0, 3.0), (2.0, math.nan)], css_class="a", kind="dots")],
        x_label="x", y_label="y",
    )  # fmt: skip
    dots = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    assert len(dots) == 2  # what is no number is left out
    assert dots[0][0] < dots[1][0]
    assert dots[0][1] > dots[1][1]  # pixels count downwards


def test_nothing_to_draw_is_no_picture_and_one_value_is() -> None:
    assert plot([Trace(points=[(0.0, math.nan)], css_class="a")], x_label="x", y_label="y") == ""
    assert "<path" in plot([Trace(points=[(0.0, 0.0)], css_class="a")], x_label="x", y_label="y")


def test_texts_are_escaped() -> None:
    assert "a<b" not in plot([Trace(points=[(0, 0)], css_class="a")], x_label="a<b", y_label="y")
