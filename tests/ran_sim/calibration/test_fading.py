"""Fading against closed forms, as the calibration report has it."""

from __future__ import annotations

import pytest

from ran_sim.calibration import fading


def test_closed_forms_have_their_known_values() -> None:
    assert [fading.crossing_rate(level) for level in fading.LEVELS_DB] == pytest.approx(
        [0.2482, 0.7172, 0.9221], abs=1e-4
    )
    assert [fading.fade_duration(level) for level in fading.LEVELS_DB] == pytest.approx(
        [0.0401, 0.1327, 0.6855], abs=1e-4
    )
    assert fading.bessel_j0(2.404826) == pytest.approx(0.0, abs=1e-6)
