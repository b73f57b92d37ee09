"""The slow radio as a whole against 3GPP's large-scale calibration, TR 38.901 7.8.1, UMa and UMi at 6 GHz.

The reference is R1-165974, which gives the mean, the lowest and the highest value of 21 companies for every twentieth of
the distribution. The checks measure the simulator's own first radio tick: sites and wrap-around, drops, antennas, line of
sight, path loss, shadowing, penetration, the choice of the serving cell and noise, with every cell fully loaded and
without fast fading.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ran_sim.calibration.check import Check, Plot, Section, Series, near
from ran_sim.core.state import F64
from ran_sim.engine.radio_state import init_radio
from ran_sim.engine.radio_tick import radio_tick
from ran_sim.radio.antenna import build_antenna, element_gain, mean_gains
from ran_sim.scenario import Scenario
from ran_sim.scenario.sections import Layout

Bools = NDArray[np.bool_]

REFERENCE_FILE: Final = Path(__file__).with_name("r1_165974.csv")
QUANTITIES: Final = {"coupling_gain": "coupling gain", "sinr": "SINR", "sir": "SIR without noise"}
TX_POWER_DBM: Final = {"uma": 49.0, "umi": 44.0}
NAMES: Final = {"uma": "UMa", "umi": "UMi"}
# The least interference is that of the two other sectors of the site, both 30 dB below the serving one.
SIR_CEILING_DB: Final = 30.0 - 10.0 * np.log10(2.0)
_SPREAD_DB: Final = 0.5  # distance from the companies' range up to which a figure passes
_MEAN_OFF_DB: Final = 1.0


def calibration_scenario(environment: str, n_ue: int) -> Scenario:
    """TR 38.901 Table 7.8-1: 19 sites, 20 MHz at 6 GHz, 10 elements at 102 degrees, 80 % of the UEs in buildings."""
    return Scenario.model_validate(
        {
            "name": f"calibration-{environment}",
            "carrier": {"frequency_ghz": 6.0, "bandwidth_prb": 111, "scs_khz": 15},  # 19.98 MHz
            "layout": {
                "environment": environment,
                "sites": 19,
                "tx_power_dbm": TX_POWER_DBM[environment],
                "tilt_deg": 12.0,
            },
            "radio": {
                "indoor_share": 0.8,
                "high_loss_share": 0.5,
                "k_interferers": 0,
                "measurement_error_db": 0.0,
                "soft_line_of_sight": False,
                "angular_spread": False,
            },
            "traffic": [{"name": "full", "five_qi": 9, "model": "full-buffer", "ues": n_ue, "idle_s": 0.0}],
        }
    )


def drop(environment: str, n_ue: int, seed: int) -> tuple[F64, Bools]:
    """Coupling gain, SINR and SIR of every UE in dB, shape [3, n_ue], and whether it was dropped on the seven inner sites."""
    cells, ues, links, state = init_radio(calibration_scenario(environment, n_ue), seed)
    cells.load[:] = 1.0
    radio_tick(0, cells, ues, links, state)
    serving_mw = links.rx_mw[:, 0].astype(np.float64)
    sinr = serving_mw / (links.rest_mw + links.noise_mw[0])
    sir = serving_mw / links.rest_mw
    figures = np.stack([links.gain_db.max(axis=1), 10.0 * np.log10(sinr), 10.0 * np.log10(sir)])
    home = np.arange(n_ue) % cells.x_m.size  # the cell that each UE is dropped in
    from_centre_m = np.hypot(cells.x_m[home], cells.y_m[home])
    return figures.astype(np.float64), np.asarray(from_centre_m < 1.1 * state.topology.isd_m)


def reference(environment: str) -> dict[str, F64]:
    """Percentage and, by quantity, mean, lowest and highest in dB; shapes [19] and [19, 3]."""
    with REFERENCE_FILE.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["environment"] == environment]
    of = {"percent": np.array([float(row["cdf_percent"]) for row in rows])}
    for quantity in QUANTITIES:
        of[quantity] = np.array(
            [[float(row[f"{quantity}_{kind}_db"]) for kind in ("mean", "lowest", "highest")] for row in rows]
        )
    return of


def run(quick: bool = False, seed: int = 1) -> Section:
    """All percentiles of both environments; takes a minute, or with `quick` 3 s and is coarser."""
    n_drop, n_ue = (1, 4_560) if quick else (20, 2_280)
    seeds = range((seed - 1) * n_drop + 1, seed * n_drop + 1)  # those of another `seed` are others
    checks: list[Check] = []
    plots: list[Plot] = []
    for environment in TX_POWER_DBM:
        dropped = [drop(environment, n_ue, each) for each in seeds]
        figures = np.concatenate([values for values, _ in dropped], axis=1)
        wanted = reference(environment)
        for values, (quantity, name) in zip(figures, QUANTITIES.items(), strict=True):
            title = f"{NAMES[environment]} at 6 GHz, {name}"
            measured = np.percentile(values, wanted["percent"])
            checks += _percentile_checks(title, wanted["percent"], measured, wanted[quantity])
            plots.append(_plot(f"large-scale-{environment}-{quantity}", title, values, wanted, quantity))
        checks.append(_ceiling_check(environment, figures[2]))
        if not quick:  # the check needs many independent drops
            checks.append(_wrap_around_check(environment, [(values[2], inner) for values, inner in dropped]))
    checks += _shadow_checks("uma", n_ue, seeds[0])
    checks += _null_checks()
    return Section(
        title="Large-scale radio",
        checks=tuple(checks),
        plots=tuple(plots),
        seeds=f"{seeds[0]} to {seeds[-1]}, {n_ue} UEs each",
        only_long=tuple(map(_wrap_around_name, TX_POWER_DBM)) if quick else (),
        left_out=(
            "UE antennas are isotropic with 0 dBi, as in the reference.",
            "Shadowing does not depend on the other large-scale parameters (TR 38.901 7.5 step 4 correlates them).",
            "The soft state near edges of sight (7.6.3.3) and angular spreads (7.5) are switched off here, as the reference has none.",
        ),
    )


def _percentile_checks(title: str, percent: F64, measured: F64, wanted: F64) -> list[Check]:
    source = "R1-165974, 21 companies"
    checks = [
        Check(
            what=f"{title}, {p:.0f} %",
            unit="dB",
            measured=float(value),
            wanted=float(mean),
            low=float(lowest) - _SPREAD_DB,
            high=float(highest) + _SPREAD_DB,
            source=source,
        )
        for p, value, (mean, lowest, highest) in zip(percent, measured, wanted, strict=True)
    ]
    checks.append(
        near(
            f"{title}, mean distance from the companies' mean",
            float(np.mean(measured - wanted[:, 0])),
            0.0,
            unit="dB",
            source=source,
            within=_MEAN_OFF_DB,
        )
    )
    return checks


def _ceiling_check(environment: str, sir_db: F64) -> Check:
    return Check(
        what=f"{NAMES[environment]} at 6 GHz, highest SIR",
        unit="dB",
        measured=float(sir_db.max()),
        wanted=float(SIR_CEILING_DB),
        low=float(SIR_CEILING_DB) - 0.5,
        high=float(SIR_CEILING_DB) + 1e-3,
        source="30 dB front-to-back ratio, two co-sited sectors",
    )


def _shadow_checks(environment: str, n_ue: int, seed: int) -> list[Check]:
    """Shadowing of links outdoors: equal on a site's sectors, independent between sites."""
    scenario = calibration_scenario(environment, n_ue).with_overrides({"radio.indoor_share": 0.0})
    gains_db = []
    for shadowing in (True, False):
        cells, ues, links, state = init_radio(scenario.with_overrides({"radio.shadowing": shadowing}), seed)
        radio_tick(0, cells, ues, links, state)
        gains_db.append(links.gain_db.astype(np.float64))
    shadow_db = (gains_db[0] - gains_db[1]).reshape(n_ue, -1, scenario.layout.sectors)
    between: F64 = np.array(np.corrcoef(shadow_db[:, :, 0].T))
    return [
        Check(
            what=f"{NAMES[environment]} at 6 GHz, largest difference of shadowing between sectors of a site",
            unit="dB",
            measured=float(np.ptp(shadow_db, axis=2).max()),
            wanted=0.0,
            low=0.0,
            high=1e-3,  # gains of up to 200 dB are kept as float32
            source="TR 38.901 7.5 step 4: co-sited sectors see the same",
        ),
        near(
            f"{NAMES[environment]} at 6 GHz, mean correlation of shadowing between sites",
            float(between[np.triu_indices(between.shape[0], 1)].mean()),
            0.0,
            unit="1",
            source="TR 38.901 7.5 step 4: different sites are independent",
            within=0.02,
        ),
    ]


def _null_checks() -> list[Check]:
    """The column's nulls, filled by power that leaves over a spread of zenith angles.

    In closed form, with the cosine of the zenith angle z taken as linear and one element's gain as constant over the spread s:
    1 + 2 sum_k (1 - k / N) cos(k p) / (1 + (k q)^2 / 2), p = 2 pi d (cos z - cos z_tilt), q = 2 pi d s sin z.
    """
    antenna = build_antenna(Layout(sectors=1))
    k = np.arange(1, antenna.elements)
    checks = []
    for lobe in (1, -1):
        zenith_cos = antenna.tilt_cos + lobe / (antenna.elements * antenna.spacing)
        zenith_deg = float(np.degrees(np.arccos(zenith_cos)))
        element = element_gain(zenith_deg, 0.0, True)
        for spread_deg in (0.5, 1.0):
            mean = mean_gains(antenna, np.array([zenith_deg]), np.array([spread_deg]), 0.0)[0, 0]
            per_phase = 2.0 * np.pi * antenna.spacing
            phases = k * per_phase * (zenith_cos - antenna.tilt_cos)
            spreads = k * per_phase * np.radians(spread_deg) * np.sqrt(1.0 - zenith_cos**2)
            closed = 1.0 + 2.0 * np.sum(
                (1.0 - k / antenna.elements) * np.cos(phases) / (1.0 + spreads**2 / 2.0)
            )
            checks.append(
                near(
                    f"column's gain in its null at a zenith angle of {zenith_deg:.1f} degrees, spread {spread_deg:g} degrees",
                    float(10.0 * np.log10(mean / element)),
                    float(10.0 * np.log10(closed)),
                    unit="dB",
                    source="closed form for a Laplacian spread, TR 38.901 7.3 and 7.5",
                    within=0.3,
                )
            )
    return checks


def _wrap_around_check(environment: str, drops: Sequence[tuple[F64, Bools]]) -> Check:
    """Kolmogorov-Smirnov distance of SIR between the UEs dropped on the seven inner and on the twelve outer sites.

    UEs of one drop share shadows and sight, so they are not independent samples; the drops are. If inner and outer sites
    do not differ, the difference of each drop is as likely positive as negative. The bound is the 99 % quantile of the
    distance over random choices of these signs.
    """
    steps = np.quantile(np.concatenate([sir_db for sir_db, _ in drops]), np.linspace(0.0, 1.0, 401))
    difference = np.stack(
        [_cdf(sir_db[inner], steps) - _cdf(sir_db[~inner], steps) for sir_db, inner in drops]
    )
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (2000, len(drops)))
    by_chance = np.abs(signs @ difference).max(axis=1) / len(drops)
    return Check(
        what=_wrap_around_name(environment),
        unit="",
        measured=float(np.abs(difference.mean(axis=0)).max()),
        wanted=0.0,
        low=0.0,
        high=float(np.quantile(by_chance, 0.99)),
        source="wrap-around: no cell is at an edge; 99 % by chance, from the signs of independent drops",
    )


def _wrap_around_name(environment: str) -> str:
    return f"{NAMES[environment]} at 6 GHz, SIR on the inner against the outer sites, Kolmogorov-Smirnov distance"


def _cdf(values: F64, steps: F64) -> F64:
    return np.asarray(np.searchsorted(np.sort(values), steps, side="right") / values.size)


def _plot(name: str, title: str, values: F64, wanted: dict[str, F64], quantity: str) -> Plot:
    grid = np.arange(1.0, 100.0)
    _, lowest, highest = wanted[quantity].T
    return Plot(
        name=name.replace("_", "-"),
        title=title,
        x_label="share of UEs, %",
        y_label=f"{QUANTITIES[quantity]}, dB",
        series=(
            Series(name="21 companies (R1-165974)", x=wanted["percent"], y=lowest, upper=highest),
            Series(name="ran_sim", x=grid, y=np.percentile(values, grid)),
        ),
    )
