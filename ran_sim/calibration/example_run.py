"""One run of `seven-sites` to look at: a network over 20 seconds, in steps of 100 ms. Nothing is checked.

Time series of the whole network, and distributions over its UEs: of their SINR, and of the throughput of their sessions and
the packets in budget.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from ran_sim.calibration.check import Plot, Section, Series
from ran_sim.core import counters as count
from ran_sim.core.counters import Snapshot
from ran_sim.core.state import F64
from ran_sim.engine import Engine
from ran_sim.measure.layer1 import mean_sinr
from ran_sim.mobility.handover import ATTEMPTS, COUNTERS, PING_PONGS, SUCCESSES
from ran_sim.scenario import load_scenario

STEP_S = 0.1
DURATION_S = 20.0
QUICK_DURATION_S = 4.0
LEAST_S = 1.0  # shortest session whose throughput is shown


def run(quick: bool = False, seed: int = 1) -> Section:
    """Throughput, PRB use, delay, users and handovers over time."""
    engine = Engine(load_scenario("seven-sites"), seed)
    looks = _looks(engine, QUICK_DURATION_S if quick else DURATION_S)
    snapshots = [snapshot for snapshot, _ in looks]
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
    with np.errstate(invalid="ignore"):  # without a packet the delay is NaN
        delay_ms = slot_ms * by_class[:, count.SDU_DELAY_SLOTS] / by_class[:, count.SDUS_DELIVERED]
    connected = np.array([float(snapshot.connected.sum()) for snapshot in snapshots[1:]])
    handovers = {
        COUNTERS[row]: np.array([float(snapshot.handover[row].sum()) for snapshot in snapshots[1:]])
        for row in (ATTEMPTS, SUCCESSES, PING_PONGS)
    }
    sinr_db = np.concatenate([snapshot_sinr_db for _, snapshot_sinr_db in looks])
    return Section(
        title="One run of seven-sites",
        checks=(),
        seeds=str(seed),
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
            _cdf("sinr-cdf", "SINR on the serving cell, without fast fading, of all UEs at all times", "dB", {"UEs": sinr_db}),
            _cdf("user-throughput-cdf", "Mean throughput of a session", "Mb/s", _throughput_mbps(engine)),
            _cdf("in-budget-cdf", "Packets of a session in budget", "%", _in_budget_pct(engine)),
        ),
    )  # fmt: skip


def _looks(engine: Engine, duration_s: float) -> list[tuple[Snapshot, F64]]:
    """Counters, and the SINR of every connected UE, at the start and after every step."""
    step, end = engine.scenario.slots(STEP_S * 1e3), engine.scenario.slots(duration_s * 1e3)
    looks = [(engine.snapshot(), np.zeros(0))]
    for slot in range(step, end + 1, step):
        engine.run_until(slot)
        looks.append((engine.snapshot(), _sinr_db(engine)))
    return looks


def _sinr_db(engine: Engine) -> F64:
    """SINR of the connected UEs in dB, mean of one branch, interferers weighted with their load."""
    sinr = mean_sinr(engine.cells.load, engine.links)
    heard = (engine.ues.connected > 0) & (sinr > 0.0)  # a UE that searches for a cell has no serving cell
    return np.asarray(10.0 * np.log10(sinr[heard]), np.float64)


def _throughput_mbps(engine: Engine) -> dict[str, F64]:
    """By class, the mean throughput of each session of a second or more after the warm-up, idle time included."""
    sessions = engine.sessions()
    begun = np.maximum(sessions["start_slot"], engine.warmup_slot)
    seconds = (sessions["end_slot"] - begun) * engine.slot_ns / 1e9
    long = seconds >= LEAST_S
    mbps = sessions["delivered_bytes"][long] * 8 / 1e6 / seconds[long]
    return _by_class(engine, sessions["traffic_class"][long], mbps)


def _in_budget_pct(engine: Engine) -> dict[str, F64]:
    """By delay-bound class, the share of packets in budget of each session in which a packet has an outcome."""
    sessions = engine.sessions()
    outcomes = sessions["packets_in_budget"] + sessions["packets_late"] + sessions["packets_dropped"]
    bound = np.array([traffic_class.delay_bound for traffic_class in engine.classes])
    judged = bound[sessions["traffic_class"]] & (outcomes > 0)
    share = 100.0 * sessions["packets_in_budget"][judged] / outcomes[judged]
    return _by_class(engine, sessions["traffic_class"][judged], share)


def _by_class(engine: Engine, of_class: NDArray[np.int64], values: F64) -> dict[str, F64]:
    """Values by name of their class; classes without a value are left out."""
    return {
        traffic_class.name: values[of_class == row]
        for row, traffic_class in enumerate(engine.classes)
        if (of_class == row).any()
    }


def _cdf(name: str, title: str, unit: str, samples: dict[str, F64]) -> Plot:
    """Share of the samples up to each value, one curve for each name."""
    series = tuple(
        Series(name=curve, x=np.sort(values), y=np.arange(1, len(values) + 1) / len(values))
        for curve, values in samples.items()
    )
    return Plot(name=name, title=title, x_label=unit, y_label="share of them, up to this", series=series)
