"""Simulated drive tests: what phones would log once a second, as the reports that a replayed log gives.

Modelled: place, speed, fading, handovers, scheduling beside other traffic, four kinds of use. Left out, so not to be
expected of a model trained on it: TCP's ramp after a start, the server, LTE (every second is on 5G), an indoor car.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ran_sim.core.counters import DELIVERED_BYTES, Snapshot
from ran_sim.engine import Engine
from ran_sim.engine.link_powers import serving_sinr
from ran_sim.scenario import load_scenario
from ranloop.wire.messages import F32, Report

SCENARIO = Path(__file__).parent / "drive.toml"
PERIOD_MS = 1000
NAMES = ("X.UE.AppThpDl", "RSRP", "CQI", "X.UE.Snr", "X.UE.Speed", "X.UE.NrMode", "X.UE.Downloading")
OTHERS = 0  # traffic class that is nobody's phone
# From 20 to 100 MHz, and from nearly empty cells to crowded ones: rates of phones spread over three decades.
BANDWIDTHS_PRB = (51, 106, 162, 273)
OTHERS_MBPS = (0.5, 4.0, 16.0)


class Drive(NamedTuple):
    """One simulated drive test with many phones."""

    seed: int
    duration_s: int

    def overrides(self) -> dict[str, object]:
        """The scenario's fields that differ from drive to drive; consecutive seeds go through all combinations."""
        return {
            "carrier.bandwidth_prb": BANDWIDTHS_PRB[self.seed % len(BANDWIDTHS_PRB)],
            "traffic.others.rate_mbps": OTHERS_MBPS[self.seed % len(OTHERS_MBPS)],
            "duration_s": float(self.duration_s),
        }


def simulate(drive: Drive) -> list[Report]:
    """Reports of all phones of one drive, second by second; a session of the simulator is a phone."""
    engine = Engine(load_scenario(SCENARIO).with_overrides(drive.overrides()), drive.seed)
    slots_per_s = 1_000_000_000 // engine.slot_ns
    before, reports = engine.snapshot(), []
    for second in range(drive.duration_s):
        engine.run_until((second + 1) * slots_per_s)
        now = engine.snapshot()
        reports.append(_report(f"drive-{drive.seed}", second, engine, before, now))
        before = now
    return reports


def _report(node: str, second: int, engine: Engine, before: Snapshot, now: Snapshot) -> Report:
    """The second that ended, of phones that were there all through it."""
    logged = (
        (now.connected > 0)
        & (now.ue_id == before.ue_id)
        & (before.connected > 0)
        & (engine.class_of != OTHERS)
    )
    u = np.flatnonzero(logged)
    ids = np.stack([now.ue_id[u], now.cell[u]], axis=1)
    return Report(
        node=node,
        level="ue",
        period_ms=PERIOD_MS,
        seq=second,
        ran_time_ns=(second + 1) * PERIOD_MS * 1_000_000,
        ids=("ue", "cell"),
        names=NAMES,
        block=np.concatenate([ids, _measured(u, engine, before, now)], axis=1).astype(np.float32),
    )


def _measured(u: np.ndarray, engine: Engine, before: Snapshot, now: Snapshot) -> F32:
    """Columns as `NAMES`, rounded as a phone's log rounds them, shape [n, 7]."""
    kbit = (now.ue[u, DELIVERED_BYTES] - before.ue[u, DELIVERED_BYTES]) * 8e-3  # in 1 s, so kbit/s
    endless = np.array(
        [traffic.model == "full-buffer" for traffic in engine.classes]
    )  # has no backlog to count
    busy = endless[engine.class_of[u]] | (now.backlog_bytes[u] > 0) | (kbit > 0)
    ues = engine.ues
    snr_db = 10.0 * np.log10([serving_sinr(int(k), engine.cells, engine.links) for k in u])
    columns = (
        np.rint(kbit),
        np.rint(engine.links.rsrp_l3_dbm[u, now.cell[u]]),
        np.where(now.cqi[u] < 0, np.nan, now.cqi[u]),  # no report yet
        np.rint(snr_db),
        np.rint(np.hypot(ues.vx_mps[u], ues.vy_mps[u]) * 3.6),
        np.ones(len(u)),
        busy,
    )
    return np.stack(columns, axis=1).astype(np.float32)
