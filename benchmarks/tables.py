"""The time to open and play a table of 100,000 rows: a CSV file of Colosseum's kind, read by the mapping of its header.

100 UEs have a row each 250 ms. All the measurements of the table go through the report path to an xApp that does nothing.
Python's own CSV reader, which only cuts the same file into fields, is timed in turns with it.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import Row
from ranloop.node import open_world

ROWS, UES, ROUNDS = 100_000, 100, 3
MOST_S = 60.0
_HEADER = (
    "Timestamp,num_ues,IMSI,RNTI,,slicing_enabled,slice_id,slice_prb,power_multiplier,scheduling_policy,,dl_mcs,dl_n_samples,"
    "dl_buffer [bytes],tx_brate downlink [Mbps],tx_pkts downlink,tx_errors downlink (%),dl_cqi,,ul_mcs,ul_n_samples,"
    "ul_buffer [bytes],rx_brate uplink [Mbps],rx_pkts uplink,rx_errors uplink (%),ul_rssi,ul_sinr,phr,,sum_requested_prbs,"
    "sum_granted_prbs,,dl_pmi,dl_ri,ul_n,ul_turbo_iters"
)


def _write(path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.random((ROWS, 3)).round(5).tolist()
    with path.open("w", encoding="utf-8") as out:
        out.write(_HEADER + "\n")
        for row, (mcs, brate, cqi) in enumerate(values):
            time_ms, imsi = 1_617_070_531_726 + 250 * (row // UES) + row % 3, 1_010_123_456_000 + row % UES
            out.write(
                f"{time_ms},{UES},{imsi},{70 + row % UES},,1,2,5,1,0,,{28 * mcs},33,{row % 9000},{10 * brate},9,0,{15 * cqi},,"
                "11.2857,42,0,0.113376,12,0,0,34.0305,31,,17,30,,0,0,0,1\n"
            )


def _play(path: Path) -> int:
    """The number of rows that an xApp gets."""
    world = open_world(f"replay:{path}")
    wanted = {
        (catalogue.node, str(level), period_ms): frozenset(names)
        for catalogue in world.catalogues
        for level, names in catalogue.measurements.items()
        for period_ms in catalogue.periods_ms
    }
    n_rows = 0
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        n_rows += sum(map(len, world.reports(wanted)))
    return n_rows


def _cut(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def _took_s(action: Callable[[Path], int], path: Path) -> float:
    start_s = time.perf_counter()
    if (n_rows := action(path)) != ROWS:
        raise AssertionError(f"{n_rows} rows of {ROWS}")
    return time.perf_counter() - start_s


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "metrics.csv"
        _write(path)
        took = np.array([(_took_s(_play, path), _took_s(_cut, path)) for _ in range(ROUNDS)])
    played, cut = np.median(took, axis=0)
    return [
        Row(
            name="table of 100,000 rows, opened and played",
            unit="s",
            p50=float(played),
            bar=MOST_S,
            note=f"36 columns, {UES} UEs; csv.reader alone takes {cut:.2g} s; {ROUNDS} in turns",
        )
    ]
