"""The guarded loop with its page open, and without one.

Both loops go over mosquitto, with the xApp in a process of its own, block by block in turns. The page and its server are there
while it is open alone. It is read by a client in another process, which takes everything at once; it also shows a network of 57 cells and 570 UEs that
reports ten times a second beside the loop.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

import numpy as np

from benchmarks.far_end import THRESHOLD
from benchmarks.loop import GuardedLoop, apart, pause
from benchmarks.measure import F64, Row, latency_row
from benchmarks.still_world import NAMES
from ranloop.page import History, Watcher
from ranloop.page.server import Page
from ranloop.testing.messages import make_report

BLOCKS, BLOCK, WARM_UP = 10, 300, 20
PAUSE_S = 0.01
MOST = 1.10
_SITES, _CELLS, _UES = 19, 3, 30  # cells and UEs of each site
_COLUMNS = ("DRB.UEThpDl", "X.UE.PosX", "X.UE.PosY", "CQI")
_READER = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1], max_size=None) as socket:
    socket.send(sys.argv[2])
    socket.recv()
    print("READY", flush=True)
    while True:
        socket.recv()
"""


@contextmanager
def _open_page(page: Page) -> Iterator[subprocess.Popen[str]]:
    """A process that reads the page as a browser does, and draws nothing."""
    columns = {"ue": sorted({*NAMES, *_COLUMNS}), "cell": ["RRU.PrbTotDl"]}
    watch = json.dumps({"op": "watch", "columns": columns, "span": None})
    url = f"ws://127.0.0.1:{page.port}/events"
    with subprocess.Popen(
        [sys.executable, "-c", _READER, url, watch], stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        if reader.stdout.readline() != "READY\n":
            raise RuntimeError("the page's reader did not start")
        try:
            yield reader
        finally:
            reader.terminate()


@contextmanager
def _network(history: History) -> Iterator[None]:
    """Reports of 57 cells and 570 UEs, ten times a second, as another run's outlet thread would bring them."""
    over = threading.Event()
    rng = np.random.default_rng(1)
    values = {name: rng.random(_UES) for name in _COLUMNS}

    def report() -> None:
        seq = 0
        while not over.wait(0.1):
            for site in range(_SITES):
                node = f"site{site}"
                history.take(make_report(values, node=node, seq=seq), 1)
                cells = {"RRU.PrbTotDl": rng.random(_CELLS)}
                history.take(make_report(cells, level="cell", node=node, seq=seq), 1)
            seq += 1

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _block_us(loop: GuardedLoop) -> F64:
    """Microseconds of each round of a block."""
    took_us = np.empty(BLOCK)
    for sample in range(-WARM_UP, BLOCK):
        began_ns = time.perf_counter_ns()
        loop.round()
        if sample >= 0:
            took_us[sample] = (time.perf_counter_ns() - began_ns) / 1e3
        pause(loop, PAUSE_S)
    return took_us


def run() -> list[Row]:
    watched_us, alone_us = np.empty((BLOCKS, BLOCK)), np.empty((BLOCKS, BLOCK))
    with ExitStack() as stack:
        history = History({"ue": NAMES})
        watcher = stack.enter_context(Watcher(history))
        watched, _ = apart(stack, lambda bus, poll, xapp: GuardedLoop(bus, poll, xapp, watcher), THRESHOLD)
        alone, _ = apart(stack, GuardedLoop, THRESHOLD)
        for block in range(BLOCKS):
            alone_us[block] = _block_us(cast(GuardedLoop, alone))
            with (
                Page(history, "127.0.0.1:0", worlds=("loop", "network")) as page,
                _open_page(page),
                _network(history),
            ):
                watched_us[block] = _block_us(cast(GuardedLoop, watched))
    return [
        latency_row(
            "loop, guarded, over mosquitto, page open",
            watched_us,
            peer="the same loop without a page",
            peer_took=alone_us,
            bar=MOST,
            bar_p99=True,
            note=f"the page shows 57 cells and 570 UEs at 10/s, too; a round every {PAUSE_S * 1e3:.0f} ms",
        )
    ]
