"""The CPU time that `ranloop.simulate` and its tables add to a run in lockstep; each pair of runs in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing

import numpy as np

from benchmarks.measure import Row
from benchmarks.recorder import XAPP
from ranloop.embedded import run_embedded
from ranloop.node import open_world
from ranloop.notebook import simulate

ROUNDS = 7
RAN_S = 10
MOST = 1.15


def _bare(ran_s: int) -> None:
    with closing(open_world("sim:seven-sites")) as world:
        run_embedded(world, [XAPP], until_ns=ran_s * 1_000_000_000)


def _with_tables(ran_s: int) -> None:
    """Every report of UEs and cells, every action and every result, as DataFrames."""
    run = simulate("seven-sites", xapps=[XAPP], duration_s=ran_s)
    for level in ("ue", "cell"):
        run.reports(level)
    assert len(run.actions) <= len(run.results)


def _cpu_s(function: Callable[[int], None], ran_s: int = RAN_S) -> float:
    start_s = time.process_time()
    function(ran_s)
    return time.process_time() - start_s


def run() -> list[Row]:
    _with_tables(1)  # compiles and imports
    took = np.array([(_cpu_s(_with_tables), _cpu_s(_bare)) for _ in range(ROUNDS)])
    with_tables, bare = np.median(took, axis=0)
    return [
        Row(
            name="simulate and DataFrames, seven-sites under qos_scheduler",
            unit="s",
            p50=float(with_tables),
            peer="the same run without tables",
            peer_p50=float(bare),
            ratio_p50=float(np.median(took[:, 0] / took[:, 1])),
            bar=MOST,
            note=f"CPU time of {RAN_S} s of RAN time; {ROUNDS} in turns",
        )
    ]
