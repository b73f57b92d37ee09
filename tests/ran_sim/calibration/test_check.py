"""What passes, what is known to miss, and what neither of the two may hide."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ran_sim.calibration import report
from ran_sim.calibration.check import Section, above, near, surprises

FITS = near("gain", 1.0, 1.0, unit="dB", source="closed form", within=0.1)
MISSES = replace(FITS, what="tail", measured=2.0)


@pytest.mark.parametrize(
    ("measured", "passes"), [(0.9, True), (1.1, True), (0.8999, False), (1.1001, False), (math.nan, False)]
)
def test_a_range_holds_its_ends_and_no_nan(measured: float, passes: bool) -> None:
    assert replace(FITS, low=0.9, high=1.1, measured=measured).passes is passes


def test_an_order_holds_above_its_floor_only() -> None:
    assert above("ratio", 1.0 + 1e-12, 1.0, unit="1", source="order").passes
    assert not above("ratio", 1.0, 1.0, unit="1", source="order").passes


def test_a_known_miss_is_no_surprise_until_it_fits() -> None:
    known = replace(MISSES, known_miss="no Rician fading")
    over = replace(known, measured=1.0)
    assert surprises([FITS, known]) == []
    assert surprises([MISSES]) == ["tail: 2, want 0.9 to 1.1"]
    assert surprises([over]) == ["tail: 1, want 0.9 to 1.1, known to miss: no Rician fading"]


def test_the_report_shows_known_misses_and_those_that_are_over() -> None:
    known = replace(MISSES, known_miss="no Rician fading")
    over = replace(known, what="head", measured=1.0)
    assert report.fits_text(known, "no") == "misses: no Rician fading"
    assert report.fits_text(over, "no") == "no: it fits, though said to miss"
    section = Section(title="Radio", checks=(FITS, known), notes=("Wind is still.",), seeds="3")
    assert report.all_as_told([section])
    assert not report.all_as_told([section, Section(title="Link", checks=(over,))])
    assert not report.all_as_told([Section(title="Link", checks=(MISSES,))])
    text = report.markdown({"radio": section}, pictures="")
    assert "1 of 2 figures lie within their range; known to miss: tail." in text
    assert "| misses: no Rician fading |" in text
    assert "`ran_sim calibrate --only radio`; seeds: 3." in text
    assert "\nWind is still.\n" in text
    told = report.as_json({"radio": section})["subjects"]["radio"]
    assert (told["notes"], told["seeds"]) == (["Wind is still."], "3")
    assert [check["known_miss"] for check in told["checks"]] == [None, "no Rician fading"]
