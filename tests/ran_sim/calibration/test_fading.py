"""Fading against closed forms, as the calibration report has it."""

from __future__ import annotations

import numpy as np
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


def test_a_wide_rbg_s_mean_power_varies_half_as_much_as_a_flat_one_s() -> None:
    # Mean of |R|^2 = 1 / (1 + (2 pi f DS)^2) over all pairs of places within 5.76 MHz, by the midpoint rule.
    places_hz = (np.arange(2000) + 0.5) / 2000 * 5.76e6
    turns = 2.0 * np.pi * 100e-9 * (places_hz[:, None] - places_hz[None, :])
    assert fading.mean_power_variance(5.76e6) == pytest.approx(np.mean(1.0 / (1.0 + turns**2)), abs=1e-5)
    assert fading.mean_power_variance(5.76e6) == pytest.approx(0.517, abs=5e-4)


def test_four_taps_keep_a_quarter_of_the_correlation() -> None:
    assert [fading.tapped_correlation(r) for r in (0.0, 1.0)] == [0.25, 1.0]
    # |R|^2 of the exponential profile: 1 / (1 + (2 pi x 1.44 MHz x 100 ns)^2) = 0.550, and 0.071 over 5.76 MHz.
    (too_few,) = [sentence for sentence in fading.run(quick=True).left_out if "taps" in sentence]
    assert "0.66 instead of 0.55" in too_few
    assert "0.30 instead of 0.07" in too_few
