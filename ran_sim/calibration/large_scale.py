"""The slow radio as a whole against 3GPP's large-scale calibration, TR 38.901 7.8.1, UMa and UMi at 6 GHz.

The reference is R1-165974: for every twentieth of the distribution the mean, the lowest and the highest of 21
companies. What is measured is the simulator's own first radio tick: sites and wrap-around, drops, antennas, line of
sight, path loss, shadowing, penetration, the choice of the serving cell and noise, with every cell fully loaded and
without fast fading.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np

from ran_sim.calibration.check import Check, Plot, Section, Series, near
from ran_sim.radio import init_radio, radio_tick
from ran_sim.scenario import Scenario
from ran_sim.state import F64

REFERENCE_FILE: Final = Path(__file__).with_name("r1_165974.csv")
QUANTITIES: Final = {"coupling_gain": "coupling gain", "sinr": "SINR", "sir": "SIR without noise"}
TX_POWER_DBM: Final = {"uma": 49.0, "umi": 44.0}
NAMES: Final = {"uma": "UMa", "umi": "UMi"}
# Two co-sited sectors that are 30 dB down in a direction are all that remains beside the serving one.
SIR_CEILING_DB: Final = 30.0 - 10.0 * np.log10(2.0)
_SPREAD_DB: Final = 0.5  # outside the companies' range that passes
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
            },
            "traffic": [{"name": "full", "five_qi": 9, "model": "full-buffer", "ues": n_ue, "idle_s": 0.0}],
        }
    )


def drop(environment: str, n_ue: int, seed: int) -> tuple[F64, F64]:
    """Coupling gain, SINR and SIR of every UE in dB, shape [3, n_ue], and its distance from the centre in metres."""
    cells, ues, links, state = init_radio(calibration_scenario(environment, n_ue), seed)
    cells.load[:] = 1.0
    radio_tick(0, cells, ues, links, state)
    serving_mw = links.rx_mw[:, 0].astype(np.float64)
    sinr = serving_mw / (links.rest_mw + links.noise_mw[0])
    sir = serving_mw / links.rest_mw
    figures = np.stack([links.gain_db.max(axis=1), 10.0 * np.log10(sinr), 10.0 * np.log10(sir)])
    return figures.astype(np.float64), np.hypot(ues.x_m, ues.y_m)


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


def run(quick: bool = False) -> Section:
    """All percentiles of both environments; 12 s, or with `quick` 3 s and coarser."""
    seeds, n_ue = (range(1, 3), 2_000) if quick else (range(1, 11), 4_000)
    checks: list[Check] = []
    plots: list[Plot] = []
    for environment in TX_POWER_DBM:
        dropped = [drop(environment, n_ue, seed) for seed in seeds]
        figures = np.concatenate([values for values, _ in dropped], axis=1)
        wanted = reference(environment)
        for values, (quantity, name) in zip(figures, QUANTITIES.items(), strict=True):
            title = f"{NAMES[environment]} at 6 GHz, {name}"
            measured = np.percentile(values, wanted["percent"])
            checks += _percentile_checks(title, wanted["percent"], measured, wanted[quantity])
            plots.append(_plot(f"large-scale-{environment}-{quantity}", title, values, wanted, quantity))
        checks.append(_ceiling_check(environment, figures[2]))
        centre_m = np.concatenate([distance_m for _, distance_m in dropped])
        checks.append(_wrap_around_check(environment, figures[2], centre_m))
    return Section(
        title="Large-scale radio",
        checks=tuple(checks),
        plots=tuple(plots),
        left_out=(
            "UE antennas are isotropic with 0 dBi, as in the reference.",
            "Shadowing does not depend on the other large-scale parameters (TR 38.901 7.5 step 4 correlates them).",
            "The soft state near edges of sight (7.6.3.3) is switched off here, as the reference has none.",
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


def _wrap_around_check(environment: str, sir_db: F64, centre_m: F64) -> Check:
    """Kolmogorov-Smirnov distance of SIR between the inner and the outer half of the network's area."""
    outer = centre_m > np.median(centre_m)
    inside, outside = np.sort(sir_db[~outer]), np.sort(sir_db[outer])
    steps = np.concatenate([inside, outside])
    distance = np.abs(
        np.searchsorted(inside, steps, side="right") / inside.size
        - np.searchsorted(outside, steps, side="right") / outside.size
    ).max()
    # UEs outdoors share their network's shadows, so they count for less than independent samples: 2.5 for 1.63 (1 %).
    return Check(
        what=f"{NAMES[environment]} at 6 GHz, SIR of inner against outer half, Kolmogorov-Smirnov distance",
        unit="",
        measured=float(distance),
        wanted=0.0,
        low=0.0,
        high=2.5 * float(np.sqrt(1 / inside.size + 1 / outside.size)),
        source="wrap-around: no cell is at an edge",
    )


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
