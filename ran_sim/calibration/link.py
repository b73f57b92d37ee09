"""The link model against TS 38.214 and TS 38.306: table entries, block sizes, thresholds against capacity, EESM, peak rate."""

from __future__ import annotations

import numpy as np

from ran_sim.calibration.check import Check, Plot, Section, Series, above, near
from ran_sim.link.adaptation import (
    MCS_TABLE_1,
    MCS_TABLE_2,
    bicm_capacity_bits,
    block_error_rate,
    effective_sinr,
    link_tables,
    transport_block_bits,
)

_N_PRB = 273
# TS 38.214 5.1.3.2: PRBs, resource elements per PRB, modulation order, rate x 1024, layers -> bits
_BLOCKS = (
    (273, 156, 8, 948, 4, 1277992),
    (273, 126, 8, 948, 4, 1016376),
    (106, 126, 6, 873, 2, 135296),
    (52, 132, 4, 490, 1, 13064),
)


def peak_rate_mbps(
    n_prb: int, scs_khz: int, layers: int, order: int, rate_x_1024: float, overhead: float
) -> float:
    """Maximum data rate of one carrier, TS 38.306 4.1.2, scaling factor 1."""
    symbols_per_s = 14 * 1000 * scs_khz / 15
    return layers * order * rate_x_1024 / 1024 * n_prb * 12 * symbols_per_s * (1 - overhead) / 1e6


def run(quick: bool = False, seed: int = 1) -> Section:
    """Every figure is a closed form; `quick` changes nothing."""
    return Section(
        title="Link: modulation and coding",
        checks=(*_table_checks(), *_block_checks(), *_threshold_checks(), *_eesm_checks()),
        plots=(_waterfalls(),),
        left_out=(
            "the extra loss in T10 of blocks below some 2000 bits (0.5 to 1 dB), error floors",
            "rank above 1, and overhead other than two PDCCH symbols and one DM-RS symbol",
        ),
    )


def _table_checks() -> list[Check]:
    out = []
    for table, name, lowest, highest in ((1, "1", 0.2344, 5.5547), (2, "2", 0.2344, 7.4063)):
        tables = link_tables(_N_PRB, table)
        source = f"TS 38.214 Table 5.1.3.1-{name}, to its last digit"
        for which, measured, wanted in (
            ("lowest", tables.efficiency[0], lowest),
            ("highest", tables.efficiency[-1], highest),
        ):
            what = f"MCS table {name}, {which} spectral efficiency"
            out.append(near(what, measured, wanted, unit="bit/RE", source=source, within=5e-5))
        source = f"TS 38.214 Table 5.2.2.1-{table + 1}, to its last digit"
        for cqi, wanted in ((1, 0.1523), (15, highest)):
            what = f"CQI table {name}, spectral efficiency of CQI {cqi}"
            measured = tables.cqi_efficiency[cqi]
            out.append(near(what, measured, wanted, unit="bit/RE", source=source, within=5e-5))
    return out


def _block_checks() -> list[Check]:
    out = [
        near(
            f"Transport block of {n_prb} PRBs, {n_re} RE, {order} bits, rate {rate}/1024, {layers} layers",
            transport_block_bits(n_prb, n_re, order, rate / 1024, layers),
            bits,
            unit="bit",
            source="TS 38.214 5.1.3.2",
        )
        for n_prb, n_re, order, rate, layers, bits in _BLOCKS
    ]
    for what, rate_mbps, wanted in (
        ("100 MHz, 30 kHz, 4 layers, 256QAM, DL", peak_rate_mbps(273, 30, 4, 8, 948, 0.14), 2337.0),
        ("100 MHz, 30 kHz, 4 layers, 256QAM, UL", peak_rate_mbps(273, 30, 4, 8, 948, 0.08), 2500.0),
        ("20 MHz, 15 kHz, 2 layers, 64QAM, DL", peak_rate_mbps(106, 15, 2, 6, 948, 0.14), 170.1),
    ):
        out.append(
            near(f"Peak rate, {what}", rate_mbps, wanted, unit="Mb/s", source="TS 38.306 4.1.2", within=0.06)
        )
    return out


def _threshold_checks() -> list[Check]:
    """T10 of every MCS lies 1.1 +- 0.4 dB above the SNR at which the BICM capacity equals its rate."""
    snr_db = np.arange(-12.0, 33.0, 0.1)
    capacity = {order: bicm_capacity_bits(order, snr_db) for order in (2, 4, 6, 8)}
    out = []
    for table, rows in ((1, MCS_TABLE_1), (2, MCS_TABLE_2)):
        t10_db = link_tables(_N_PRB, table).t10_db
        loss_db = [
            t10_db[mcs] - np.interp(order * rate / 1024, capacity[order], snr_db)
            for mcs, (order, rate) in enumerate(rows)
        ]
        for which, value in (("smallest", min(loss_db)), ("largest", max(loss_db))):
            out.append(
                near(
                    f"{which.capitalize()} distance of T10 from capacity, MCS table {table}",
                    value,
                    1.1,
                    unit="dB",
                    source="BICM capacity (Caire, Taricco, Biglieri 1998); 1.1 dB for a long LDPC code is our choice",
                    within=0.4,
                )
            )
        steps = [t10_db[i + 1] - t10_db[i] for i in range(len(rows) - 1) if rows[i][0] == rows[i + 1][0]]
        out.append(
            above(
                f"Smallest step of T10 between code rates of one modulation, MCS table {table}",
                min(steps),
                0.0,
                unit="dB",
                source="capacity rises strictly with SNR",
            )
        )
    return out


def _eesm_checks() -> list[Check]:
    flat = effective_sinr(np.full(18, 7.0, np.float32), 18, 6.5)
    return [near("EESM of a flat channel", flat, 7.0, unit="linear", source="its definition", share=1e-6)]


def _waterfalls() -> Plot:
    tables = link_tables(_N_PRB)
    snr_db = np.arange(-10.0, 28.0, 0.05)
    series = tuple(
        Series(
            name=f"MCS {mcs}",
            x=snr_db,
            y=np.array([block_error_rate(tables, float(x), mcs, 16) for x in snr_db]),
        )
        for mcs in range(0, 28, 3)
    )
    return Plot(
        name="link-bler",
        title="Block error rate on 16 PRBs, MCS table 2",
        x_label="effective SNR [dB]",
        y_label="block error rate",
        series=series,
    )
