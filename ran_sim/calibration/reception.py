"""One UE through the whole engine: goodput at high SNR, gain of chase combining, error rate under link adaptation."""

from __future__ import annotations

import math

import numpy as np

from ran_sim.calibration.check import Check, Plot, Section, Series, near
from ran_sim.calibration.link import peak_rate_mbps
from ran_sim.calibration.traffic import BLOCK_BYTES, N_PRB, SLOT_S, still_cell
from ran_sim.core import counters as count
from ran_sim.core.state import F64, I64, NEVER
from ran_sim.engine import Engine
from ran_sim.link.adaptation import RE_PER_PRB, LinkTables, block_error_rate, link_tables
from ran_sim.scenario import load_scenario

_OLLA_TARGET = 0.1


def run(quick: bool = False, seed: int = 1) -> Section:
    """All checks; `quick` takes a tenth of the slots."""
    slots = 12_000 if quick else 120_000
    rates = first_error_rates(slots, seed)
    return Section(
        title="Goodput, HARQ and link adaptation",
        checks=(
            *_goodput_checks(slots // 6, seed),
            *_combining_checks(slots // 3, seed),
            *_olla_checks(rates),
        ),
        plots=(_olla_plot(rates),),
        seeds=str(seed),
        left_out=(
            "Feedback that is lost or wrong, and incremental redundancy: all attempts send the same bits (chase combining).",
            "Headers: goodput is that of transport blocks.",
        ),
    )


# -- goodput ------------------------------------------------------------------------------------------------------


def _goodput_checks(slots: int, seed: int) -> list[Check]:
    """A lone UE at 40 dB: every slot holds the largest block, and none is lost."""
    engine = still_cell(1, seed, model="full-buffer")
    row = _counted(engine, slots)
    goodput_mbps = row[count.DELIVERED_BYTES] * 8 / (slots * SLOT_S) / 1e6
    residual = row[count.TB_LOST] / row[count.TB_INITIAL]
    block_mbps = BLOCK_BYTES * 8 / SLOT_S / 1e6
    overhead = 1 - RE_PER_PRB / (14 * 12)
    return [
        near(
            "goodput of a lone UE at 40 dB",
            goodput_mbps,
            block_mbps * (1 - residual),
            unit="Mb/s",
            source="TBS (TS 38.214 5.1.3.2) x slots/s x (1 - residual BLER)",
            share=0.001,
        ),
        near(
            "the same against the peak rate formula, with its overhead set to ours, 36 of 168 RE",
            goodput_mbps,
            peak_rate_mbps(N_PRB, 30, 1, 8, 948, overhead),
            unit="Mb/s",
            source="TS 38.306 4.1.2; the block size is quantised in steps of up to 1/32 (TS 38.214 5.1.3.2)",
            share=1 / 64,
        ),
    ]


def _counted(engine: Engine, slots: int) -> I64:
    before = engine.snapshot()
    engine.run_until(engine.slot + slots)
    row: I64 = engine.snapshot().since(before).cell_class[0, 0]
    return row


# -- chase combining ----------------------------------------------------------------------------------------------


def _combining_checks(slots: int, seed: int) -> list[Check]:
    out = []
    for attempts in (2, 4):
        gain_db, error_db = combining_gain_db(attempts, slots, seed)
        out.append(
            near(
                f"SNR that {attempts} attempts need less than one, for the same error rate",
                gain_db,
                10 * math.log10(attempts),
                unit="dB",
                source="chase combining adds SNR: 10 log10(attempts); within 4 standard errors",
                within=4 * error_db,
            )
        )
    return out


def combining_gain_db(attempts: int, slots: int, seed: int = 1) -> tuple[float, float]:
    """Gain of `attempts` (2 or 4) transmissions of one block over one, and its standard error, both in dB.

    The lone UE stays at MCS 0, where one attempt at an SNR of `half_db` loses half of the blocks. Its SNR is set lower
    than `half_db` by the expected gain, so that the last attempt fails about half of the time. Nearly all earlier
    attempts fail: their combined SNR is 1.25 dB or more lower, and the waterfall is about 1 dB wide. The error rate is
    corrected for those that do not.
    """
    tables = link_tables(N_PRB)
    half_db = _snr_of(0.5, tables)
    snr_db = half_db - 10 * math.log10(attempts)
    engine = still_cell(1, seed, model="full-buffer")
    network = engine._network
    network.csi.next_slot[:] = network.csi.due_slot[:] = NEVER
    network.csi.snr_db[:] = -30.0  # the SNR of the CQI, which gives MCS 0
    network.ues.olla_target[:] = 0.0  # errors at MCS 0 do not move the offset; now successes do not either
    network.harq.olla_db[:] = 0.0
    network.links.rx_mw[:, 0] = network.links.noise_mw[0] * 10 ** (snr_db / 10)
    engine.run_until(engine.slot + 100)  # blocks sent at the old SNR are acknowledged or lost
    row = _counted(engine, slots)
    earlier = math.prod(
        block_error_rate(tables, snr_db + 10 * math.log10(i), 0, N_PRB) for i in range(1, attempts)
    )
    failed = row[count.TB_LOST] if attempts == 4 else row[count.TB_ERRORS] - row[count.TB_INITIAL_ERRORS]
    share = failed / row[count.TB_INITIAL] / earlier
    slope = (
        block_error_rate(tables, half_db - 0.01, 0, N_PRB)
        - block_error_rate(tables, half_db + 0.01, 0, N_PRB)
    ) / 0.02
    error_db = 0.5 / math.sqrt(row[count.TB_INITIAL]) / slope
    return _snr_of(share, tables) - snr_db, error_db


def _snr_of(share: float, tables: LinkTables) -> float:
    """SNR in dB at which one attempt at MCS 0 on the whole carrier loses `share` of its blocks."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if block_error_rate(tables, middle, 0, N_PRB) > share:
            low = middle
        else:
            high = middle
    return low


# -- outer loop link adaptation -----------------------------------------------------------------------------------


def first_error_rates(slots: int, seed: int = 1) -> F64:
    """Sorted shares of first transmissions that fail, one for each UE that is not near the lowest or highest MCS.

    The UEs are 30 walkers with full buffers under PF in the three cells of one site, with fading.
    """
    full = {
        "name": "full",
        "five_qi": 9,
        "model": "full-buffer",
        "ues": 30,
        "idle_s": 0.0,
        "session_s": (1e5, 1e5),
    }
    scenario = load_scenario("seven-sites").with_overrides(
        {"traffic": [full], "layout.sites": 1, "radio.k_interferers": 2, "mobility.speeds_kmh": [3.0, 3.0]}
    )
    engine = Engine(scenario, seed=seed)
    engine.run_until(8000)
    before = engine.snapshot()
    engine.run_until(8000 + slots)
    row = engine.snapshot().since(before).ue
    initial = np.maximum(row[:, count.TB_INITIAL], 1)
    mean_mcs = row[:, count.MCS_SUM] / initial
    inside = (mean_mcs > 6) & (mean_mcs < 21)
    return np.sort(row[inside, count.TB_INITIAL_ERRORS] / initial[inside])


def _olla_checks(rates: F64) -> list[Check]:
    source = "up p / (1 - p) steps per success, down one per error: balanced at p"
    return [
        near(
            f"first transmissions that fail, {which} of the UEs between the lowest and the highest MCS",
            value,
            _OLLA_TARGET,
            unit="1",
            source=source,
            within=0.01,
        )
        for which, value in (("least", rates.min()), ("most", rates.max()))
    ]


def _olla_plot(rates: F64) -> Plot:
    share = (np.arange(len(rates)) + 0.5) / len(rates)
    return Plot(
        name="olla",
        title="First transmissions that fail, UE by UE",
        x_label="share of the UEs",
        y_label="error rate",
        series=(
            Series(name="target", x=np.array([0.0, 1.0]), y=np.full(2, _OLLA_TARGET)),
            Series(name="ran_sim", x=share, y=rates, style="points"),
        ),
    )
