"""The CPU time that recording adds to a run in lockstep, as `ranloop run xapps/qos_scheduler --node sim:seven-sites --record`.

Runs with a recorder and without one take turns, each on a world of its own. The time is that of all threads of the process,
including the last write in `close`.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from benchmarks.measure import Row
from ranloop.embedded import run_embedded
from ranloop.node import Recorder, open_world

ROUNDS = 7
RAN_S = 10
XAPP = Path(__file__).parents[1] / "xapps" / "qos_scheduler"
MOST = 1.05


def _cpu_s(folder: Path | None, ran_s: int) -> float:
    """CPU time of one run, recorded into `folder` if there is one."""
    with ExitStack() as stack:
        world = stack.enter_context(closing(open_world("sim:seven-sites")))
        world.last_until(ran_s * 1_000_000_000)
        start_s = time.process_time()
        recorder = Recorder(folder, world) if folder else None
        run_embedded(world, [XAPP], until_ns=ran_s * 1_000_000_000, outlets=[recorder] if recorder else ())
        if recorder:
            recorder.close()
        return time.process_time() - start_s


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        _cpu_s(Path(scratch) / "warm-up", 1)  # compiles and imports
        took = np.array([(_cpu_s(Path(scratch) / str(k), RAN_S), _cpu_s(None, RAN_S)) for k in range(ROUNDS)])
        n_bytes = sum(path.stat().st_size for path in (Path(scratch) / "0").rglob("*.parquet"))
    recorded, bare = np.median(took, axis=0)
    return [
        Row(
            name="recorder, seven-sites under qos_scheduler",
            unit="s",
            p50=float(recorded),
            peer="the same run without it",
            peer_p50=float(bare),
            ratio_p50=float(np.median(took[:, 0] / took[:, 1])),
            bar=MOST,
            note=f"CPU time of {RAN_S} s of RAN time, {n_bytes / 1e6 / RAN_S:.2f} MB a second; {ROUNDS} in turns",
        )
    ]
