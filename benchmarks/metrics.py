"""What metrics cost a guarded loop: durations counted in buckets, and a scrape of host and xApp every second.

One loop over memory, so that host and xApp are both in the process that is scraped. Blocks of rounds with metrics and blocks
without take turns. Without, durations are kept as they were before there were metrics, and nobody scrapes; the server listens in
both. Another process scrapes, as in reality.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO
from unittest.mock import patch

import numpy as np

from benchmarks.far_end import THRESHOLD
from benchmarks.loop import GuardedLoop, embedded, pause
from benchmarks.measure import F64, ROUNDS, Row, latency_row
from ranloop.durations import Durations
from ranloop.metrics import HostSource, XAppSource, serve_metrics

EVERY_S = 1.0
BLOCK = 1000  # rounds, of some seconds
MOST = 1.02
_PAUSE_S = 0.0005
_SCRAPER = (
    "import sys, urllib.request as u\nfor _ in sys.stdin: u.urlopen(sys.argv[1]).read(); print(flush=True)"
)


def _kept_alone(durations: Durations, took_ns: int) -> None:
    """`Durations.add` without its buckets."""
    durations.last.append(took_ns)


@contextmanager
def _scraper(url: str) -> Iterator[IO[bytes]]:
    """A process that scrapes once for each line it is given."""
    command = [sys.executable, "-c", _SCRAPER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()  # it has scraped once, and imported what it needs
        yield process.stdin


def _block(loop: GuardedLoop, took_us: F64, scraper: IO[bytes] | None) -> float:
    """Fill in the time of each round; the CPU time of the process for all of them, in seconds."""
    began_s, scrape_at_s = time.process_time(), time.monotonic() + EVERY_S / 2
    for sample in range(len(took_us)):
        if scraper and time.monotonic() > scrape_at_s:
            scrape_at_s += EVERY_S
            scraper.write(b"\n")
            scraper.flush()
        began_ns = time.perf_counter_ns()
        loop.round()
        took_us[sample] = (time.perf_counter_ns() - began_ns) / 1e3
        pause(loop, _PAUSE_S)
    return time.process_time() - began_s


def run() -> list[Row]:
    """The loop's times, and the process's CPU time, with metrics beside without."""
    took_us = {True: np.empty((ROUNDS, BLOCK)), False: np.empty((ROUNDS, BLOCK))}
    cpu_s = {True: np.empty(ROUNDS), False: np.empty(ROUNDS)}
    places: list[str] = []
    with ExitStack() as stack:
        process = stack.enter_context(serve_metrics("0", places.append))
        loop, runner = embedded(stack, GuardedLoop, THRESHOLD)
        assert isinstance(loop, GuardedLoop)
        sources = HostSource(pace=loop.live), XAppSource(runner)
        process.show("run", "threshold", {"all": loop.bus}, *sources)
        scraper = stack.enter_context(_scraper(places[0]))
        _block(loop, np.empty(BLOCK), None)
        for at in range(ROUNDS):
            for with_metrics in (True, False) if at % 2 else (False, True):
                add = Durations.add if with_metrics else _kept_alone
                with patch.object(Durations, "add", add):
                    cpu_s[with_metrics][at] = _block(
                        loop, took_us[with_metrics][at], scraper if with_metrics else None
                    )
    per_round_us = {with_metrics: times / BLOCK * 1e6 for with_metrics, times in cpu_s.items()}
    return [
        latency_row(
            "metrics, guarded loop over memory",
            took_us[True],
            peer="the same loop without",
            peer_took=took_us[False],
            bar=MOST,
            note=f"scraped every {EVERY_S:g} s; {ROUNDS} blocks of {BLOCK} rounds in turns",
        ),
        Row(
            name="metrics, CPU of host, xApp and scrapes",
            unit="us a round",
            p50=float(np.median(per_round_us[True])),
            peer="the same loop without",
            peer_p50=float(np.median(per_round_us[False])),
            ratio_p50=float(np.median(per_round_us[True] / per_round_us[False])),
            bar=MOST,
        ),
    ]
