"""Fast fading against Clarke's and Rice's closed forms and the profiles' own correlation over frequency.

The checks measure the fading that the simulator evaluates for a link, on a grid fine enough to see every deep fade.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ran_sim.calibration.check import Check, Plot, Section, Series, near
from ran_sim.core.jit import kernel
from ran_sim.core.state import F32, F64, I64
from ran_sim.radio.delay_profiles import TDL, delay_profile
from ran_sim.radio.fading import TAPS, WAVES, Fading, assign_links, build_fading, fade_ue, start_fading

DOPPLER_HZ: Final = 9.73  # 3 km/h at 3.5 GHz
LEVELS_DB: Final = (-20.0, -10.0, 0.0)
_GRID_S: Final = 0.0005  # a fade below -20 dB lasts 4.1 ms in the mean
_RBG_HZ: Final = 1.44e6
_WIDE_RBG_HZ: Final = 16 * 12 * 30e3
_DELAY_SPREAD_S: Final = 100e-9


def links(
    n_ue: int, *, n_rbg: int = 1, rbg_hz: float = _RBG_HZ, profile: str = "exponential", seed: int = 1
) -> Fading:
    """One link with one branch for each of `n_ue` UEs."""
    fading = build_fading(
        seed=seed,
        n_ue=n_ue,
        n_rbg=n_rbg,
        k=0,
        n_branch=1,
        grid_s=_GRID_S,
        delay_spread_s=_DELAY_SPREAD_S,
        rbg_hz=rbg_hz,
        profile=profile,
    )
    for u in range(n_ue):
        start_fading(u, u, DOPPLER_HZ, fading)
        assign_links(u, np.zeros(1, np.int32), fading)
    return fading


@kernel
def power_at(fading: Fading, steps: I64) -> F32:
    """Power gain of every link at the grid steps, shape [n_ue, n_step, n_rbg]."""
    n_ue, n_rbg = fading.owner.size, fading.n_rbg
    power = np.empty((n_ue, steps.size, n_rbg), np.float32)
    for u in range(n_ue):
        for i in range(steps.size):
            fade_ue(u, steps[i], fading, power[u, i : i + 1, :])
    return power


def crossing_rate(level_db: float) -> float:
    """Upward crossings of a level per second and Hz of Doppler, Rice: sqrt(2 pi) rho exp(-rho^2)."""
    rho = float(10.0 ** (level_db / 20.0))
    return math.sqrt(2.0 * math.pi) * rho * math.exp(-rho * rho)


def fade_duration(level_db: float) -> float:
    """Mean time below a level, in 1 / Doppler: (exp(rho^2) - 1) / (rho sqrt(2 pi))."""
    rho = float(10.0 ** (level_db / 20.0))
    return (math.exp(rho * rho) - 1.0) / (rho * math.sqrt(2.0 * math.pi))


def bessel_j0(x: float) -> float:
    """J0 as the mean of cos(x cos a) over the circle."""
    return float(np.mean(np.cos(x * np.cos(np.linspace(0.0, 2.0 * math.pi, 4000, endpoint=False)))))


def run(quick: bool = False, seed: int = 1) -> Section:
    """Level crossings, fade durations and correlations; takes 4 s, or with `quick` 1 s and is coarser."""
    power = power_at(links(60 if quick else 300, seed=seed), np.arange(20_000, dtype=np.int64))[
        :, :, 0
    ].astype(float)
    checks = [*_level_checks(power, 0.08 if quick else 0.05), *_time_checks(power, 0.08 if quick else 0.05)]
    checks += _forecast_checks(4 if quick else 16, seed)
    for profile in ("exponential", *TDL):
        checks += _frequency_checks(profile, 500 if quick else 3000, seed)
    return Section(
        title="Fast fading",
        checks=tuple(checks),
        plots=(_time_plot(power),),
        seeds=str(seed),
        left_out=(
            "Links in line of sight fade like the rest: no Rician K factor.",
            "Receive branches are uncorrelated.",
            _taps_end(),
            _flat_within_an_rbg(),
        ),
    )


def _forecast_checks(n_ue: int, seed: int) -> list[Check]:
    """Share of the variance of a link's power in dB that a linear predictor from its past explains, far beyond the coherence time.

    For each link, a ridge regression on its last second, every 10 ms, learned in 80 s and tried in 40 s.
    """
    every, past, learned = round(0.01 / _GRID_S), 100, 8000
    steps = every * np.arange(12_000, dtype=np.int64)
    power_db = 10.0 * np.log10(power_at(links(n_ue, seed=seed), steps)[:, :, 0].astype(float))
    checks = []
    for ahead in (10, 100, 500):
        left, all_of_it = 0.0, 0.0
        for series in power_db - power_db[:, :learned].mean(axis=1, keepdims=True):
            now = np.arange(past, series.size - ahead)
            x, y = series[now[:, None] - np.arange(past)], series[now + ahead]
            learning = now + ahead < learned
            covariance = x[learning].T @ x[learning] + 3e3 * np.eye(past)
            weight = np.linalg.solve(covariance, x[learning].T @ y[learning])
            trying = now >= learned
            left += float(np.sum((y[trying] - x[trying] @ weight) ** 2))
            all_of_it += float(np.sum(y[trying] ** 2))
        checks.append(
            near(
                f"share of the power's variance in dB that a link's past tells {ahead * 0.01:g} s ahead",
                1.0 - left / all_of_it,
                0.0,
                unit="1",
                source="Clarke: none; a predictor that learned noise loses some",
                within=0.03,
            )
        )
    return checks


def _level_checks(power: F64, share: float) -> list[Check]:
    seconds = power.shape[0] * (power.shape[1] - 1) * _GRID_S
    checks = []
    for level_db in LEVELS_DB:
        level = 10.0 ** (level_db / 10.0)
        crossings = float(np.sum((power[:, :-1] < level) & (power[:, 1:] >= level)))
        below_s = float(np.sum(power < level)) * _GRID_S
        checks += [
            near(
                f"level crossings at {level_db:.0f} dB",
                crossings / seconds / DOPPLER_HZ,
                crossing_rate(level_db),
                unit="1/s per Hz of Doppler",
                source="Rice: sqrt(2 pi) rho exp(-rho^2)",
                share=share,
            ),
            near(
                f"mean fade at {level_db:.0f} dB",
                below_s / max(crossings, 1.0) * DOPPLER_HZ,
                fade_duration(level_db),
                unit="s times Hz of Doppler",
                source="Rice: (exp(rho^2) - 1) / (rho sqrt(2 pi))",
                share=share,
            ),
        ]
    return checks


def _correlation(power: F64, lag: int) -> float:
    """Correlation of the power over `lag` grid steps: its mean is 1, its variance with `WAVES` waves 1 - 1 / WAVES."""
    product = (power[:, : power.shape[1] - lag] - 1.0) * (power[:, lag:] - 1.0)
    return float(np.mean(product)) / (1.0 - 1.0 / WAVES)


def _time_checks(power: F64, within: float) -> list[Check]:
    lags = [round(x / (2.0 * math.pi * DOPPLER_HZ * _GRID_S)) for x in (0.5, 1.0, 2.4048, 3.8317, 7.0)]
    checks = [
        near(
            f"correlation of the power over {lag * _GRID_S * 1e3:.1f} ms",
            _correlation(power, lag),
            bessel_j0(2.0 * math.pi * DOPPLER_HZ * lag * _GRID_S) ** 2,
            unit="",
            source="Clarke: J0(2 pi f_D t)^2",
            within=within,
        )
        for lag in lags
    ]
    # A pair of UEs has some 10 s / 50 ms = 200 independent values: sd 0.07.
    between = np.corrcoef(power[:40])
    checks.append(
        Check(
            what="correlation between UEs, root mean square",
            unit="",
            measured=float(np.sqrt(np.mean((between - np.eye(40)) ** 2))),
            wanted=0.0,
            low=0.0,
            high=0.12,
            source="independent links",
        )
    )
    return checks


def _frequency_checks(profile: str, n_ue: int, seed: int) -> list[Check]:
    power = power_at(links(n_ue, n_rbg=9, profile=profile, seed=seed), np.arange(0, 2000, 500))
    checks = []
    for rbg in (1, 2, 4, 8):
        pairs = np.stack([power[:, :, 0].ravel(), power[:, :, rbg].ravel()]).astype(float)
        checks.append(
            near(
                f"{profile}: correlation of the power over {rbg * _RBG_HZ / 1e6:.2f} MHz",
                float(np.array(np.corrcoef(pairs))[0, 1]),
                _profile_correlation(profile, rbg * _RBG_HZ) ** 2,
                unit="",
                source="Fourier transform of the power-delay profile, squared",
                within=0.10 if n_ue < 1000 else 0.05,
            )
        )
    return checks


def far_correlation() -> float:
    """Correlation of the power over distances in frequency at which the taps' phases are independent.

    Of N equal waves the power has the variance 1 - 1/N; taps of equal power keep the covariance 1 / TAPS - 1/N.
    """
    return (1.0 / TAPS - 1.0 / WAVES) / (1.0 - 1.0 / WAVES)


def mean_power_variance(width_hz: float) -> float:
    """Variance of the mean power over a band, exponential profile of 100 ns; that of a flat band is 1.

    With a = 2 pi width DS, this is the mean of 1 / (1 + (a x)^2) over the distances x within the band, whose density is
    2 (1 - x).
    """
    a = 2.0 * math.pi * width_hz * _DELAY_SPREAD_S
    return 2.0 * math.atan(a) / a - math.log1p(a * a) / (a * a)


def _taps_end() -> str:
    return (
        f"With eight taps of equal power, RBGs at any distance keep a correlation of {far_correlation():.2f}. With an "
        "exponential profile distant RBGs have none."
    )


def _flat_within_an_rbg() -> str:
    return (
        "The channel is flat within an RBG. The power of an RBG of 5.76 MHz (16 PRB) has a variance of 1 here, but its mean "
        f"power should have a variance of {mean_power_variance(_WIDE_RBG_HZ):.3f} (delay spread of 100 ns, exponential). "
        "Multi-user diversity is therefore overstated."
    )


def _profile_correlation(profile: str, spacing_hz: float) -> float:
    turns = 2.0 * math.pi * spacing_hz * _DELAY_SPREAD_S
    if profile == "exponential":
        return 1.0 / math.hypot(1.0, turns)
    delays, shares = delay_profile(profile)
    return float(abs(np.sum(np.diff(shares, prepend=0.0) * np.exp(-1j * turns * delays))))


def _time_plot(power: F64) -> Plot:
    lags = np.arange(0, 240, 8)
    delays_s: F64 = (lags * _GRID_S).astype(np.float64)
    return Plot(
        name="fading-time-correlation",
        title="Correlation of fading power over time, 3 km/h at 3.5 GHz",
        x_label="delay, ms",
        y_label="correlation",
        series=(
            Series(
                name="J0 squared",
                x=delays_s * 1e3,
                y=np.array([bessel_j0(2.0 * math.pi * DOPPLER_HZ * t) ** 2 for t in delays_s]),
            ),
            Series(
                name="ran_sim",
                x=delays_s * 1e3,
                y=np.array([_correlation(power, int(lag)) for lag in lags]),
                style="points",
            ),
        ),
    )
