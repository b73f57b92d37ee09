"""Handover between two cells on a line, without shadowing: what a UE reports of both, and where it is commanded.

Both are exact, by closed forms.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ran_sim.calibration.check import Check, Plot, Series, near
from ran_sim.engine.radio_state import init_radio
from ran_sim.engine.radio_tick import radio_tick
from ran_sim.measure.layer1 import SMTC_WINDOW_MS, of_every_cell
from ran_sim.radio.antenna import antenna_gain, build_antenna
from ran_sim.radio.propagation import OUTDOOR_HEIGHT_M
from ran_sim.scenario import Scenario
from ran_sim.scenario.routes import Routes

STAYS: Final[dict[str, Any]] = {
    "name": "walker", "five_qi": 9, "model": "full-buffer", "idle_s": 0.0, "session_s": (3600.0, 3600.0)
}  # fmt: skip
_ISD_M: Final = 500.0
_SPEED_MPS: Final = 20.0
_TICK_MS: Final = 10.0
_OFFSET_DB: Final = 2.0
_HYSTERESIS_DB: Final = 1.0
_DELAY_MS: Final = 200.0 + 50.0  # time to trigger and preparation, whole ticks


def two_cells(cio_db: float) -> Scenario:
    """Two omnidirectional sites on a line, line of sight, no shadowing, no angular spread, no measurement error, no filter."""
    return Scenario.model_validate(
        {
            "name": "two-cells",
            "layout": {
                "positions_m": ((0.0, 0.0), (_ISD_M, 0.0)),
                "sectors": 1,
                "isd_m": _ISD_M,
                "wrap_around": False,
            },
            "radio": {
                "tick_ms": _TICK_MS,
                "k_interferers": 1,
                "indoor_share": 0.0,
                "shadowing": False,
                "line_of_sight": "always",
                "angular_spread": False,
                "measurement_error_db": 0.0,
            },
            "handover": {
                "a3_offset_db": _OFFSET_DB,
                "hysteresis_db": _HYSTERESIS_DB,
                "ttt_ms": 200.0,
                "preparation_ms": 50.0,
                "l3_filter_k": 0,
            },
            "traffic": [{**STAYS, "ues": 1}],
        }
    )


def command_place_m(cio_db: float, seed: int = 1) -> float:
    """Distance from the first site at which a UE that drives to the second gets its command; the second has `cio_db`."""
    cells, ues, links, radio = init_radio(two_cells(cio_db), seed)
    cells.cio_db[1] = cio_db
    start_m, end_m = 120.0, _ISD_M - 20.0
    way = Routes(
        start=np.array([0, 2]),
        time_s=np.array([0.0, (end_m - start_m) / _SPEED_MPS]),
        x_m=np.array([start_m, end_m]),
        y_m=np.zeros(2),
        speed_mps=np.array([_SPEED_MPS]),
    )
    radio = radio._replace(motion=radio.motion._replace(routes=way))
    for slot in range(0, 2000 * radio.tick_slots, radio.tick_slots):
        radio_tick(slot, cells, ues, links, radio)
        if ues.cell[0] == 1:
            return float(ues.x_m[0])
    return np.nan


def crossing_m(cio_db: float) -> float:
    """Place at which G2 - G1 = offset + hysteresis - `cio_db`, by bisection of the formulas of TR 38.901."""
    low, high = 120.0, _ISD_M - 120.0
    for _ in range(60):
        middle = (low + high) / 2
        if _gain_db(_ISD_M - middle) - _gain_db(middle) > _OFFSET_DB + _HYSTERESIS_DB - cio_db:
            high = middle
        else:
            low = middle
    return low


def _gain_db(distance_m: float) -> float:
    """Gain of a link in the street: antenna, and UMa path loss with sight before the breakpoint at 560 m."""
    layout, frequency_ghz = two_cells(0.0).layout, two_cells(0.0).carrier.frequency_ghz
    height_m = layout.bs_height_m - OUTDOOR_HEIGHT_M
    zenith_deg = 90.0 + math.degrees(math.atan2(height_m, distance_m))
    loss_db = 28.0 + 22.0 * math.log10(math.hypot(distance_m, height_m)) + 20.0 * math.log10(frequency_ghz)
    return 10.0 * math.log10(antenna_gain(zenith_deg, 0.0, build_antenna(layout))) - loss_db


def places(seed: int) -> tuple[list[Check], Plot]:
    """Where a UE that drives from one cell to the other is commanded, by the cell individual offset of the target."""
    delay_m, tick_m = _SPEED_MPS * _DELAY_MS / 1e3, _SPEED_MPS * _TICK_MS / 1e3
    cio_db = np.arange(-6.0, 7.0, 3.0)
    measured = np.array([command_place_m(cio, seed) for cio in cio_db.tolist()])
    wanted = np.array([crossing_m(cio) + delay_m for cio in cio_db.tolist()])
    source = "A3-1 of TS 38.331 5.5.4.4 with the formulas of TR 38.901; up to one tick is added"
    checks = [
        Check(
            what=f"command on the way between two cells, cell individual offset {cio:+g} dB",
            unit="m",
            measured=float(place),
            wanted=float(closed),
            low=float(closed) - 1e-3,
            high=float(closed) + tick_m + 1e-3,
            source=source,
        )
        for cio, place, closed in zip(cio_db, measured, wanted, strict=True)
    ]
    plot = Plot(
        name="handover-place",
        title="Where a UE between two cells is commanded",
        x_label="cell individual offset of the target in dB",
        y_label="distance from the source in m",
        series=(
            Series(name="closed form", x=cio_db, y=wanted),
            Series(name="simulator", x=cio_db, y=measured, style="points"),
        ),
    )
    return checks, plot


def reports(seed: int) -> list[Check]:
    """What a UE half-way between two cells reports of both: one power each, at a load of one half."""
    scenario, load = two_cells(0.0), 0.5
    cells, ues, links, radio = init_radio(scenario, seed)
    middle_m = _ISD_M / 2
    stay = Routes(
        start=np.array([0, 2]), time_s=np.array([0.0, 1.0]), x_m=np.full(2, middle_m), y_m=np.zeros(2), speed_mps=np.zeros(1)
    )  # fmt: skip
    cells.load[:] = load
    radio_tick(0, cells, ues, links, radio._replace(motion=radio.motion._replace(routes=stay)))
    slot_ms, n_prb = scenario.slot_ns / 1e6, scenario.carrier.bandwidth_prb
    rsrq_db, sinr_db = of_every_cell(
        cells, links, np.array([0]), n_prb=n_prb, rbg_prb=scenario.rbg_prb, slot_ms=slot_ms
    )
    rsrp_dbm = scenario.layout.tx_power_dbm - 10.0 * math.log10(12 * n_prb) + _gain_db(middle_m)
    noise_dbm = -174.0 + scenario.carrier.noise_figure_db + 10.0 * math.log10(scenario.carrier.scs_khz * 1e3)
    noise = 10.0 ** ((noise_dbm - rsrp_dbm) / 10.0)  # over the power of one cell
    blocks = 4 / (14 * SMTC_WINDOW_MS / slot_ms)  # symbols of a block over those of the window
    sent = blocks + (1.0 - blocks) * load
    wanted = (
        ("RSRP", links.rsrp_l3_dbm[0, 1], rsrp_dbm, "dBm", "TR 38.901 Table 7.4.1-1, TS 38.215 5.1.1"),
        ("RSRQ", rsrq_db[0, 1], -10.0 * math.log10(12.0 * (2.0 * sent + noise)), "dB", "TS 38.215 5.1.3"),
        ("SINR", sinr_db[0, 1], -10.0 * math.log10(1.0 + noise), "dB", "TS 38.215 5.1.5"),
    )
    return [
        near(f"half-way between two cells, {name} of the neighbour", measured, closed, unit=unit, source=source, within=0.01)
        for name, measured, closed, unit, source in wanted
    ]  # fmt: skip
