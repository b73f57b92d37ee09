"""One run of `seven-sites` to look at: what a network does over 20 seconds, in steps of 100 ms. Nothing is checked."""

from __future__ import annotations

import itertools

import numpy as np

from ran_sim import counters as count
from ran_sim.calibration.check import Plot, Section, Series
from ran_sim.counters import Snapshot
from ran_sim.engine import Engine
from ran_sim.handover import ATTEMPTS, COUNTERS, PING_PONGS, SUCCESSES
from ran_sim.scenario import load_scenario
from ran_sim.state import F64

STEP_S = 0.1
DURATION_S = 20.0
QUICK_DURATION_S = 2.0


def run(quick: bool = False) -> Section:
    """Throughput, PRB use, delay, users and handovers over time, seed 1."""
    engine = Engine(load_scenario("seven-sites"), seed=1)
    snapshots = _snapshots(engine, QUICK_DURATION_S if quick else DURATION_S)
    time_s = np.array([snapshot.slot for snapshot in snapshots[1:]]) * engine.slot_ns / 1e9
    periods = [later.since(earlier) for earlier, later in itertools.pairwise(snapshots)]
    by_class = np.stack([period.cell_class.sum(axis=0) for period in periods], axis=-1)  # [n_class, N, time]

    def plot(name: str, title: str, y_label: str, curves: dict[str, F64], *, log_y: bool = False) -> Plot:
        series = tuple(Series(name=curve, x=time_s, y=values) for curve, values in curves.items())
        return Plot(name=name, title=title, x_label="time, s", y_label=y_label, series=series, log_y=log_y)

    names = [traffic_class.name for traffic_class in engine.classes]
    mbps = by_class[:, count.DELIVERED_BYTES] * 8 / 1e6 / STEP_S
    available = engine.n_prb * engine.n_cell * periods[0].slots
    slot_ms = engine.slot_ns / 1e6
    with np.errstate(invalid="ignore"):  # no packet, no delay
        delay_ms = slot_ms * by_class[:, count.SDU_DELAY_SLOTS] / by_class[:, count.SDUS_DELIVERED]
    connected = np.array([float(snapshot.connected.sum()) for snapshot in snapshots[1:]])
    handovers = {
        COUNTERS[row]: np.array([float(snapshot.handover[row].sum()) for snapshot in snapshots[1:]])
        for row in (ATTEMPTS, SUCCESSES, PING_PONGS)
    }
    return Section(
        title="One run of seven-sites",
        checks=(),
        seeds="1",
        plots=(
            plot(
                "throughput",
                "Delivered, whole network",
                "Mb/s",
                dict(zip(names, mbps.astype(float), strict=True)),
            ),
            plot(
                "prb-use",
                "PRBs in use, all cells",
                "%",
                {"PRB use": 100.0 * by_class[:, count.PRB_USED].sum(axis=0) / available},
            ),
            plot(
                "delay",
                "Mean delay of an SDU, arrival to decoded",
                "ms",
                dict(zip(names, delay_ms, strict=True)),
                log_y=True,
            ),
            plot("users", "UEs in RRC_CONNECTED", "UEs", {"connected": connected}),
            plot("handovers", "Handovers since the start", "number", handovers),
        ),
    )  # fmt: skip


def _snapshots(engine: Engine, duration_s: float) -> list[Snapshot]:
    step, end = engine.scenario.slots(STEP_S * 1e3), engine.scenario.slots(duration_s * 1e3)
    snapshots = [engine.snapshot()]
    for slot in range(step, end + 1, step):
        engine.run_until(slot)
        snapshots.append(engine.snapshot())
    return snapshots
