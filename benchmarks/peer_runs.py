"""One round after the other of another simulator, asked for over stdin: `python peer_runs.py RUN CELLS UES ROUND`.

Runs in the peers' interpreter, so it needs the standard library, NumPy and the peer alone. It answers in
JSON: with the peer's name and version once that is set up, then with the CPU seconds of a round for every line it reads.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

Round = Callable[[], object]


def mobile_env(n_cell: int, n_ue: int, n_step: int) -> Round:
    """Stations on a grid, every UE connected to the nearest one at the start; UEs walk, rates are shared."""
    from mobile_env.core.base import MComCore
    from mobile_env.core.entities import BaseStation, UserEquipment

    defaults = MComCore.default_config()
    columns, pitch_m, endless = math.ceil(math.sqrt(n_cell)), 60.0, 10**9
    side = {"width": int(columns * pitch_m), "height": int(columns * pitch_m)}
    config = {
        **side,
        "EP_MAX_TIME": endless,
        "movement_params": {**side, "reset_rng_episode": False},
        "arrival_params": {"ep_time": endless, "reset_rng_episode": False},
    }
    places = [((i % columns + 0.5) * pitch_m, (i // columns + 0.5) * pitch_m) for i in range(n_cell)]
    stations = [BaseStation(i, place, **defaults["bs"]) for i, place in enumerate(places)]
    env = MComCore(stations, [UserEquipment(i, **defaults["ue"]) for i in range(n_ue)], config)
    env.reset(seed=1)
    nearest = [
        int(np.argmin([math.dist((ue.x, ue.y), place) for place in places])) for ue in env.users.values()
    ]
    env.step(np.array(nearest) + 1)  # action 0 is to do nothing
    stay = np.zeros(n_ue, int)

    def walk() -> None:
        for _ in range(n_step):
            env.step(stay)

    return walk


def crrm(n_cell: int, n_ue: int, n_step: int) -> Round:
    """Tri-sectored sites, UMa without line of sight, 18 sub-bands with Rayleigh draws; every UE moves in every step."""
    from CRRM import Parameters, Simulator

    simulator = Simulator(
        Parameters(
            n_cell_locations=n_cell // 3,
            n_sectors=3,
            n_ues=n_ue,
            pathloss_model_name="UMa",
            LOS=False,
            fc_GHz=3.5,
            bw_MHz=100.0,
            n_subbands=18,
            rayleigh_fading=True,
        )
    )
    rng, everyone = np.random.default_rng(1), np.arange(n_ue)

    def move() -> None:
        for _ in range(n_step):
            there = simulator.get_ue_locations() + rng.normal(0.0, 1.0, (n_ue, 3)) * (1.0, 1.0, 0.0)
            simulator.set_ue_locations(everyone, there)
            simulator.update()

    return move


def _handoverlab(n_cell: int, n_ue: int, duration_s: float, *, scheduler: str | None) -> Round:
    import handoverlab

    columns, pitch_m = math.ceil(math.sqrt(n_cell)), 300.0
    side_m = columns * pitch_m
    places = tuple(((i % columns + 0.5) * pitch_m, (i // columns + 0.5) * pitch_m) for i in range(n_cell))
    scenario = handoverlab.Scenario(
        layout=handoverlab.LayoutConfig(kind="open_area", sites=places, area_m=(side_m, side_m)),
        radio=handoverlab.RadioConfig(
            carrier_ghz=3.5,
            bandwidth_mhz=100.0,
            scs_khz=30.0,
            tx_power_dbm=46.0,
            bs_gain_db=8.0,
            bs_height_m=25.0,
            pathloss="uma",
        ),
        protocol=handoverlab.ProtocolConfig(scheduler=scheduler),
        traffic=handoverlab.TrafficConfig(model="full_buffer"),
        mobility=handoverlab.MobilityConfig(users=n_ue),
        run=handoverlab.RunConfig(
            duration_s=duration_s, warmup_s=0.0, backend="numba" if scheduler else "numpy"
        ),
    )
    world = handoverlab.build_world(scenario, 1)
    return lambda: handoverlab.run_world(world, [{"rule": "a3"}])


def handoverlab_steps(n_cell: int, n_ue: int, n_step: int) -> Round:
    """Steps of 10 ms: radio, A3, handover and link failure; rates from a load, no slots."""
    return _handoverlab(n_cell, n_ue, n_step * 0.01, scheduler=None)


def handoverlab_slots(n_cell: int, n_ue: int, n_step: int) -> Round:
    """The same with its slot scheduler, compiled: PF, MCS, HARQ; slots of 0.5 ms."""
    return _handoverlab(n_cell, n_ue, n_step * 0.0005, scheduler="pf")


RUNS: dict[str, tuple[str, Callable[[int, int, int], Round]]] = {
    "mobile-env": ("mobile-env", mobile_env),
    "crrm": ("CRRM", crrm),
    "handoverlab-steps": ("handoverlab", handoverlab_steps),
    "handoverlab-slots": ("handoverlab", handoverlab_slots),
}


def main() -> None:
    """Set up, warm up, and run a round for every line."""
    name, n_cell, n_ue, n_step = sys.argv[1], *map(int, sys.argv[2:5])
    answers, sys.stdout = sys.stdout, sys.stderr  # a peer's own words go elsewhere

    def answer(word: Any) -> None:
        print(json.dumps(word), file=answers, flush=True)

    distribution, set_up = RUNS[name]
    one_round = set_up(n_cell, n_ue, n_step)
    one_round()
    answer(f"{distribution} {version(distribution)}")
    for _ in sys.stdin:
        began_s = time.process_time()
        one_round()
        answer(time.process_time() - began_s)


if __name__ == "__main__":
    main()
