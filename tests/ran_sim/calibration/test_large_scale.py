"""The simulator's own drops against 3GPP's large-scale calibration."""

from __future__ import annotations

import numpy as np
import pytest

from ran_sim.calibration import large_scale
from ran_sim.calibration.check import Check, Section


def failures(section: Section) -> list[Check]:
    return [check for check in section.checks if not check.passes]


def test_reference_has_the_published_medians() -> None:
    # QuaDRiGa's tutorial on the same calibration holds the medians too
    wanted = large_scale.reference("uma")
    assert list(wanted["percent"]) == list(range(5, 100, 5))
    assert wanted["coupling_gain"][9] == pytest.approx([-120.3, -123.1, -118.1])
    assert large_scale.reference("umi")["sir"][9] == pytest.approx([7.3, 6.5, 7.8])


def test_a_small_calibration_passes_and_says_what_it_measured() -> None:
    section = large_scale.run(quick=True)
    # Two environments: three quantities with 19 percentiles and a mean, the ceiling, the comparison of halves
    assert len(section.checks) == 2 * (3 * 20 + 2)
    assert not failures(section)
    for plot in section.plots:
        assert all(len(series.x) == len(series.y) for series in plot.series)


@pytest.mark.slow
def test_every_percentile_lies_among_those_of_the_companies() -> None:
    assert not failures(large_scale.run())


def test_sir_ends_where_the_antenna_does() -> None:
    sir_db = large_scale.drop("umi", 500, 1)[0][2]
    assert sir_db.max() <= 30 - 10 * np.log10(2) + 1e-3
