"""Fading against closed forms, as the calibration report has it."""

from __future__ import annotations

import numpy as np
import pytest

from ran_sim.calibration import fading
from ran_sim.radio.delay_profiles import TDL, delay_profile


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


def test_far_rbgs_keep_what_eight_equal_taps_keep() -> None:
    # 32 waves, 4 to a tap: (1/8 - 1/32) / (1 - 1/32) = 3/31
    assert fading.far_correlation() == pytest.approx(3 / 31)
    assert far_power_correlation("exponential") == pytest.approx(3 / 31, abs=0.035)


@pytest.mark.parametrize("profile", sorted(TDL))
def test_far_rbgs_of_a_tdl_profile_keep_what_taps_of_the_same_paths_do(profile: str) -> None:
    delay, cumulative = delay_profile(profile)
    assert (np.diff(delay) >= 0).all()
    ends = np.concatenate([[0.0], cumulative])
    drawn = np.array(  # [tap, path] probability that the tap of an eighth of the power is the path
        [
            np.clip(np.minimum(ends[1:], (t + 1) / 8) - np.maximum(ends[:-1], t / 8), 0, None) * 8
            for t in range(8)
        ]
    )
    assert drawn.sum(axis=1) == pytest.approx(1.0)
    mean = drawn @ np.exp(-2j * np.pi * FAR_HZ * 100e-9 * delay)  # of each tap's turn; taps are independent
    kept = (np.abs(mean.sum()) ** 2 - (np.abs(mean) ** 2).sum() + 8) / 64
    assert far_power_correlation(profile) == pytest.approx((kept - 1 / 32) / (1 - 1 / 32), abs=0.035)


FAR_HZ = 99 * 1.44e6


def far_power_correlation(profile: str) -> float:
    """Over 143 MHz; of 12,000 values, sd 0.01."""
    power = fading.power_at(
        fading.links(4000, n_rbg=2, rbg_hz=FAR_HZ, profile=profile), np.arange(3, dtype=np.int64) * 2000
    )
    return float(np.corrcoef(power[:, :, 0].ravel(), power[:, :, 1].ravel())[0, 1])
