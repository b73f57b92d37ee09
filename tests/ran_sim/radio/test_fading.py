"""Fast fading: Rayleigh and Clarke in distribution and over time, independent across links, exact in time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.core.random import DELAY, uniform
from ran_sim.core.state import F64
from ran_sim.radio.delay_profiles import delay_profile
from ran_sim.radio.fading import (
    HALF,
    STANDING_WAVES,
    TAPS,
    Fading,
    _swing_into,
    assign_links,
    build_fading,
    delay_at,
    fade_to,
    fade_ue,
    start_fading,
)

GRID_S = 0.002
DOPPLER_HZ = 9.73  # 3 km/h at 3.5 GHz: 3 / 3.6 / 0.299792 * 3.5
RBG_HZ = 1.44e6


def fading_of(
    n_ue: int,
    *,
    n_branch: int = 1,
    k: int = 0,
    doppler_hz: float = DOPPLER_HZ,
    delay_spread_s: float = 100e-9,
    n_rbg: int = 2,
) -> Fading:
    """UE rows with ids 0, 1, …, each linked to cells 0..k."""
    fading = build_fading(
        seed=1,
        n_ue=n_ue,
        n_rbg=n_rbg,
        k=k,
        n_branch=n_branch,
        grid_s=GRID_S,
        delay_spread_s=delay_spread_s,
        rbg_hz=RBG_HZ,
    )
    for u in range(n_ue):
        start_fading(u, u, doppler_hz, fading)
        assign_links(u, np.arange(1 + k, dtype=np.int32), fading)
    return fading


def gains(fading: Fading, steps: list[int], rbg: int = 0) -> F64:
    """Power gain at one RBG, shape [n_ue, ranks, n_step]."""
    n_ue, n_process = fading.cell.shape
    ranks = n_process - fading.n_branch + 1
    out = np.empty((n_ue, ranks, len(steps)))
    row = np.empty((ranks, fading.n_rbg), np.float32)
    for u in range(n_ue):
        for i, step in enumerate(steps):
            fade_ue(u, step, fading, row)
            out[u, :, i] = row[:, rbg]
    return out


def bessel_j0(x: float) -> float:
    """J0 as the mean of cos(x cos a) over the circle."""
    return float(np.mean(np.cos(x * np.cos(np.linspace(0, 2 * math.pi, 4000, endpoint=False)))))


def test_power_has_mean_one_and_is_exponential() -> None:
    power = gains(fading_of(3000), [0, 5000]).ravel()
    assert power.mean() == pytest.approx(1.0, abs=4 / math.sqrt(power.size))
    assert np.mean(power < 0.1) == pytest.approx(1 - math.exp(-0.1), abs=0.015)
    assert np.mean(power > 2.0) == pytest.approx(math.exp(-2.0), abs=0.02)


@pytest.mark.parametrize(("snr_db", "bits_per_hz"), [(0, 0.8603), (10, 2.9065), (20, 5.8840)])
def test_ergodic_capacity_is_that_of_rayleigh(snr_db: float, bits_per_hz: float) -> None:
    # E[log2(1 + snr g)], g exponential: exp(1 / snr) E1(1 / snr) / ln 2
    power = gains(fading_of(4000), [0, 5000, 20_000])
    assert np.mean(np.log2(1 + 10 ** (snr_db / 10) * power)) == pytest.approx(bits_per_hz, rel=0.02)


def test_serving_link_sums_its_branches_and_interferers_have_one() -> None:
    power = gains(fading_of(2000, n_branch=2, k=1), [0, 5000])
    assert power[:, 0].mean() == pytest.approx(2.0, abs=0.1)
    assert power[:, 1].mean() == pytest.approx(1.0, abs=0.07)
    # Two independent exponentials: P(sum < x) = 1 - (1 + x) exp(-x)
    assert np.mean(power[:, 0] < 0.5) == pytest.approx(1 - 1.5 * math.exp(-0.5), abs=0.015)


@pytest.mark.parametrize("step", [2, 6, 10, 20, 28])
def test_power_correlation_over_time_is_clarkes(step: int) -> None:
    power = gains(fading_of(1500), [0, step, 3000, 3000 + step, 9000, 9000 + step])[:, 0]
    early, late = power[:, 0::2].ravel(), power[:, 1::2].ravel()
    measured = np.mean(early * late) - early.mean() * late.mean()
    assert measured == pytest.approx(bessel_j0(2 * math.pi * DOPPLER_HZ * step * GRID_S) ** 2, abs=0.08)


def test_level_crossings_and_fade_share_are_those_of_rayleigh() -> None:
    # Rice: crossings of rho = R / rms per f_D: sqrt(2 pi) rho exp(-rho^2), at -10 and 0 dB.
    steps = list(range(5000))
    power = gains(fading_of(30), steps)[:, 0]
    for level_db, expected in ((-10.0, 0.7172), (0.0, 0.9221)):
        level = 10 ** (level_db / 10)
        upward = np.sum((power[:, :-1] < level) & (power[:, 1:] >= level))
        rate = upward / (power.shape[0] * len(steps) * GRID_S) / DOPPLER_HZ
        assert rate == pytest.approx(expected, rel=0.06)
        assert np.mean(power < level) == pytest.approx(1 - math.exp(-level), rel=0.1)


def test_a_link_s_fading_has_no_memory_beyond_a_second() -> None:
    # Power against itself at every lag from 1 s to 50 s: a loop would show as 1, waves that last as 0.5 and more. With 60 s of
    # independent values every 40 ms, the largest of so many estimates is some 4 / sqrt(60 / 0.04) = 0.1, more near the end.
    power = gains(fading_of(4), list(range(30_000)))[:, 0]
    centred: F64 = power - power.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, n=2 * centred.shape[1])) ** 2
    correlation = np.fft.irfft(spectrum)[:, : centred.shape[1]]
    overlap = np.arange(centred.shape[1], 0, -1)
    correlation /= overlap * power.var(axis=1, keepdims=True)
    lags = slice(500, 20_000)
    assert np.abs(correlation[:, lags]).max() < 0.25


def test_power_goes_on_without_a_jump_where_waves_are_drawn_anew() -> None:
    fading = fading_of(200)
    border = 3 * int(fading.stretch_steps[0])
    amplitude = np.sqrt(gains(fading, list(range(border - 3, border + 3)))[:, 0])
    # The amplitude's slope is at most 2 pi f_D in units of the sum of all waves, sqrt(32): 0.69 in a step of 2 ms.
    change = np.abs(np.diff(amplitude, axis=1))
    at_border, before = change[:, 2], change[:, 0]
    assert at_border.max() < 0.4
    assert at_border.mean() == pytest.approx(before.mean(), rel=0.2)


def test_correlation_over_time_is_that_of_waves_that_keep_the_sign_of_their_shift_over_a_border() -> None:
    # See decision 27; two steps apart in one stretch, and with a border half-way. The power has the square of the gain's.
    fading = fading_of(4000)
    stretch = int(fading.stretch_steps[0])
    half = 13  # 26 ms, a quarter of a wavelength

    def correlation(first: int) -> float:
        power = gains(fading, [first, first + 2 * half])[:, 0]
        return float(np.mean((power[:, 0] - 1) * (power[:, 1] - 1)) / (1 - 1 / 32))

    angle = np.linspace(0, math.pi / 2, 4001)
    way = 2 * math.pi * DOPPLER_HZ * GRID_S * half * np.cos(angle)
    inside, over = (
        float(np.mean(np.cos(2 * way))),
        float(np.mean(np.cos(way)) ** 2 - np.mean(np.sin(way)) ** 2),
    )
    assert correlation(3 * stretch + 40) == pytest.approx(inside**2, abs=0.05)
    assert correlation(3 * stretch - half) == pytest.approx(over**2, abs=0.05)


def test_waves_depend_on_where_the_ue_is_and_not_on_when_they_were_looked_at() -> None:
    often, once = fading_of(3, n_branch=2, k=1), fading_of(3, n_branch=2, k=1)
    steps = list(range(0, 40_000, 500))
    assert (gains(often, steps)[:, :, -1] == gains(once, steps[-1:])[:, :, 0]).all()
    assert (gains(often, [700]) == gains(fading_of(3, n_branch=2, k=1), [700])).all()  # back in time, too


def test_ues_cells_and_branches_fade_independently() -> None:
    steps = list(range(0, 20_000, 40))  # 80 ms apart: beyond the coherence time
    power = gains(fading_of(6, k=3), steps).reshape(24, -1)
    correlations = np.array(np.corrcoef(power))
    np.fill_diagonal(correlations, 0.0)
    assert np.sqrt(np.mean(correlations**2)) == pytest.approx(1 / math.sqrt(len(steps)), rel=0.6)
    assert np.abs(correlations).max() < 0.35


def test_correlation_over_frequency_follows_the_delay_spread() -> None:
    # Correlation of power = |that of the complex gain|^2; exponential delays: |1 / (1 + 2 pi j f DS)|^2.
    fading = fading_of(3000, n_rbg=9)
    for rbg in (1, 4):
        power = np.stack([gains(fading, [0], 0).ravel(), gains(fading, [0], rbg).ravel()])
        exact = 1 / (1 + (2 * math.pi * rbg * RBG_HZ * 100e-9) ** 2)
        assert np.array(np.corrcoef(power))[0, 1] == pytest.approx(exact, abs=0.07)


def test_every_eighth_of_a_profile_s_power_gives_one_tap_its_delay() -> None:
    # Quantiles of the exponential profile: -ln(1 - share).
    assert [delay_at(share, *delay_profile("exponential")) for share in (0.0, 0.5)] == pytest.approx(
        [0, math.log(2)]
    )
    # TDL-A begins with 1.4 % at 0 and 31.7 % at 0.3819.
    assert [delay_at(share, *delay_profile("tdl-a")) for share in (0.0, 0.01, 0.02, 0.3)] == [
        0,
        0,
        0.3819,
        0.3819,
    ]
    assert delay_at(1.0 - 1e-12, *delay_profile("tdl-a")) == 9.6586
    fading = fading_of(
        300, delay_spread_s=20e-9, n_rbg=2
    )  # RBGs 1.44 MHz apart: less than a turn for 34 spreads
    turn = fading.turn.reshape(300, TAPS, 2, HALF)
    delays = np.arctan2(turn[:, :, 1, 0], turn[:, :, 0, 0]) / (math.pi * RBG_HZ) / 20e-9
    bounds = [delay_at(tap / TAPS, *delay_profile("exponential")) for tap in range(TAPS)]
    assert (delays >= np.array(bounds) - 1e-4).all()
    assert (delays[:, :-1] <= np.array(bounds[1:]) + 1e-4).all()
    assert delays.mean() == pytest.approx(
        1.0, abs=0.03
    )  # one delay spread; sd of the last tap's mean 0.06, an eighth


def test_a_flat_channel_has_no_delay_spread() -> None:
    fading = fading_of(5, delay_spread_s=0.0)
    assert gains(fading, [7], 0) == pytest.approx(gains(fading, [7], 1))


@pytest.mark.parametrize("n_rbg", [1, 3, 4])
def test_fading_equals_a_plain_sum_of_plane_waves(n_rbg: int) -> None:
    fading = fading_of(2, n_branch=2, k=1, n_rbg=n_rbg)
    step, n_process = 123_457, 3
    gains(fading, [step])  # draws the waves of this stretch of the way
    # A standing wave exp(j a) sin x is half the plane waves of phase a + (x - pi / 2) and a - (x - pi / 2).
    swing = (fading.phase + fading.step.astype(np.uint64) * step) % 2**32 / 2**32 * 2 * math.pi - math.pi / 2
    wave = fading.wave_re + 1j * fading.wave_im
    assert np.abs(wave) == pytest.approx(2 / math.sqrt(32))
    taps = (wave / 2 * (np.exp(1j * swing) + np.exp(-1j * swing))).sum(axis=1).reshape(2, n_process, TAPS)
    delays_s = 100e-9 * np.array(
        [[-math.log(1 - (tap + uniform(1, DELAY, u, tap)) / TAPS) for tap in range(TAPS)] for u in range(2)]
    )
    rbg_hz = (np.arange(n_rbg) - (n_rbg - 1) / 2) * RBG_HZ
    turn = np.exp(-2j * math.pi * delays_s[:, :, None] * rbg_hz)
    power = np.abs(np.einsum("upt,utb->upb", taps, turn)) ** 2
    for rbg in range(n_rbg):
        got = gains(fading, [step], rbg)[:, :, 0]
        assert got[:, 0] == pytest.approx(power[:, 0, rbg] + power[:, 1, rbg], abs=2e-4)
        assert got[:, 1] == pytest.approx(power[:, 2, rbg], abs=2e-4)


def test_every_tap_has_clarkes_doppler_spread() -> None:
    # Four waves a quarter circle apart: the squares of their Doppler shifts have the mean f_D^2 / 2 whatever the start. What
    # leads to the next stretch's phase moves each by up to half a turn a stretch, 5 % of f_D: up to 0.1 f_D^2, in the mean 0.
    fading = fading_of(20, k=2)
    gains(fading, [0])
    shifts_hz = fading.step.astype(np.int32) / 2**32 / GRID_S
    of_taps = (shifts_hz**2).mean(axis=1) / DOPPLER_HZ**2
    assert of_taps == pytest.approx(0.5, abs=0.1)
    assert of_taps.mean() == pytest.approx(0.5, abs=0.005)
    assert fading.step.shape == (20, STANDING_WAVES, 3 * TAPS)


def test_the_sine_is_good_to_one_part_in_a_hundred_thousand() -> None:
    phase = np.linspace(0, 2**32, 50_000, endpoint=False).astype(np.uint32)[None, :]
    swing = np.zeros(phase.shape, np.float32)
    _swing_into(swing, phase, np.zeros_like(phase), np.uint32(7))
    assert np.abs(swing - np.sin(2 * np.pi * phase / 2**32)).max() < 1e-5


def test_a_link_keeps_its_fading_when_it_becomes_the_serving_one() -> None:
    fading = fading_of(1, k=2)
    before = gains(fading, [50])[0, :, 0]
    assign_links(0, np.array([2, 0, 1], np.int32), fading)
    assert gains(fading, [50])[0, :, 0] == pytest.approx(before[[2, 0, 1]])


def test_a_still_ue_with_no_doppler_does_not_fade() -> None:
    power = gains(fading_of(3, doppler_hz=0.0), [0, 10_000])[:, 0]
    assert power[:, 0] == pytest.approx(power[:, 1])


def test_a_link_to_nobody_has_no_gain() -> None:
    fading = fading_of(1, k=1)
    assign_links(0, np.array([0, -1], np.int32), fading)
    assert gains(fading, [3])[0, 1, 0] == 0.0


def test_fading_is_evaluated_once_per_step_and_anew_when_a_link_changes() -> None:
    fading, gain, expected = fading_of(1, k=1), np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    fade_to(0, 50, fading, gain)
    fade_ue(0, 50, fading, expected)
    assert np.array_equal(gain, expected)
    gain[:] = 7.0
    fade_to(0, 50, fading, gain)
    assert (gain == 7.0).all()  # it was there already
    assign_links(0, np.array([0, 1], np.int32), fading)
    fade_to(0, 50, fading, gain)
    assert (gain == 7.0).all()  # the same links
    assign_links(0, np.array([0, 2], np.int32), fading)
    fade_to(0, 50, fading, gain)
    fade_ue(0, 50, fading, expected)
    assert np.array_equal(gain, expected)
    start_fading(0, 1, DOPPLER_HZ, fading)
    assign_links(0, np.array([0, 1], np.int32), fading)
    fade_to(0, 50, fading, gain)
    fade_ue(0, 50, fading, expected)
    assert np.array_equal(gain, expected)  # another UE


def test_more_rbgs_than_a_carrier_has_are_refused_before_a_kernel_writes_beyond_its_rows() -> None:
    assert fading_of(1, n_rbg=2 * HALF).n_rbg == 2 * HALF
    with pytest.raises(ValueError, match=f"n_rbg is {2 * HALF + 1}; at most {2 * HALF}"):
        fading_of(1, n_rbg=2 * HALF + 1)
