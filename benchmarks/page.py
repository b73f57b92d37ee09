"""The guarded loop with its page open, and without one.

Both loops go over mosquitto, with the xApp in a process of its own, block by block in turns. The page's process is there all the
time; it is fed and read while the watched loop runs. A client in another process reads it and takes everything at once. The
page also shows a network of 57 cells and 570 UEs that reports ten times a second beside the loop: its reports are made
beforehand, and pass through the loop's process as those of a larger node would.

A third loop is the same as the one without a page. Its ratio says how much a ratio here means.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import cast

import numpy as np

from benchmarks.far_end import THRESHOLD
from benchmarks.loop import GuardedLoop, apart, pause
from benchmarks.measure import F64, Row, latency_row
from benchmarks.still_world import NAMES
from ranloop.page import Watcher
from ranloop.page.apart import PageApart, PageFacts
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
def _open_page(page: PageApart) -> Iterator[subprocess.Popen[str]]:
    """A process that reads the page as a browser does, and draws nothing."""
    columns = {"ue": sorted({*NAMES, *_COLUMNS}), "cell": ["RRU.PrbTotDl"]}
    watch = json.dumps({"op": "watch", "columns": columns, "span": None})
    url = page.url.replace("http", "ws") + "events"
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
def _network(page: PageApart) -> Iterator[None]:
    """Reports of 57 cells and 570 UEs, ten times a second."""
    over = threading.Event()
    rng = np.random.default_rng(1)
    ues = {name: rng.random(_UES) for name in _COLUMNS}
    cells = {"RRU.PrbTotDl": rng.random(_CELLS)}
    kinds = [make_report(ues, node=f"site{site}") for site in range(_SITES)]
    kinds += [make_report(cells, level="cell", node=f"site{site}") for site in range(_SITES)]
    seq = 0
    with Watcher(page, 1) as watcher:

        def report() -> None:
            nonlocal seq
            while not over.wait(0.1):
                seq += 1
                for kind in kinds:
                    watcher.take(replace(kind, seq=seq, ran_time_ns=seq * 100_000_000))

        thread = threading.Thread(target=report, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _block_us(loop: GuardedLoop) -> tuple[F64, float]:
    """Microseconds of each round of a block, and the CPU time of this process's other threads in milliseconds a second."""
    took_us = np.empty(BLOCK)
    began_s, others_s = time.perf_counter(), _others_s()
    for sample in range(-WARM_UP, BLOCK):
        began_ns = time.perf_counter_ns()
        loop.round()
        if sample >= 0:
            took_us[sample] = (time.perf_counter_ns() - began_ns) / 1e3
        pause(loop, PAUSE_S)
    return took_us, (_others_s() - others_s) / (time.perf_counter() - began_s) * 1e3


def _others_s() -> float:
    """CPU time of all threads of this process but the caller."""
    return time.process_time() - time.thread_time()


def run() -> list[Row]:
    took_us = {name: np.empty((BLOCKS, BLOCK)) for name in ("alone", "watched", "again")}
    others_ms = {name: np.empty(BLOCKS) for name in took_us}
    with ExitStack() as stack:
        facts = PageFacts(address="127.0.0.1:0", background={"ue": NAMES})
        page = stack.enter_context(PageApart(facts, "ranloop.cli.page_process"))
        watcher = stack.enter_context(Watcher(page))
        loops = {name: apart(stack, GuardedLoop, THRESHOLD)[0] for name in ("alone", "again")}
        loops["watched"], _ = apart(
            stack, lambda bus, poll, xapp: GuardedLoop(bus, poll, xapp, watcher), THRESHOLD
        )
        for block in range(BLOCKS):
            for name in tuple(took_us)[:: 1 if block % 2 else -1]:
                with ExitStack() as shown:
                    if name == "watched":
                        shown.enter_context(_open_page(page))
                        shown.enter_context(_network(page))
                    took_us[name][block], others_ms[name][block] = _block_us(cast(GuardedLoop, loops[name]))
    every = f"a round every {PAUSE_S * 1e3:.0f} ms"
    return [
        latency_row(
            "loop, guarded, over mosquitto, page open",
            took_us["watched"],
            peer="the same loop without a page",
            peer_took=took_us["alone"],
            bar=MOST,
            bar_p99=True,
            note=f"the page shows 57 cells and 570 UEs at 10/s, too; {every}",
        ),
        latency_row(
            "loop, guarded, over mosquitto, again",
            took_us["again"],
            peer="the same loop without a page",
            peer_took=took_us["alone"],
            note="two loops alike: how much a ratio of this pair means",
        ),
        Row(
            name="page, CPU time in the loop's process beside the loop",
            unit="ms a second",
            p50=float(np.median(others_ms["watched"])),
            note=f"handing events over, and making the network's; {np.median(others_ms['alone']):.2g} without a page",
        ),
    ]
