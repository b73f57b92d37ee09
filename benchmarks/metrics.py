"""What metrics cost: a guarded loop that is scraped every second beside one without metrics, and the work of one scrape.

The loop is over memory, so that host and xApp are both in the process that is scraped. Blocks of rounds with metrics and blocks
without take turns. Without, durations are kept as they were before there were metrics, and nobody scrapes; the server listens in
both. Another process scrapes, as in reality. A third kind of block is as those without: its ratio says how much a ratio here means.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np

from benchmarks.far_end import THRESHOLD
from benchmarks.loop import GuardedLoop, embedded, pause
from benchmarks.measure import F64, ROUNDS, Row, latency_row
from ranloop.closing import Closing
from ranloop.durations import Durations
from ranloop.metrics import HostSource, XAppSource, serve_metrics

EVERY_S = 1.0
SCRAPES = 100
MOST = 1.02
_SAMPLES = 250  # rounds of the loop in each of `ROUNDS`
_BLOCK = 25  # of them in a row: a scrape is over before the next block, and a busy neighbour meets both sides
_PAUSE_S = 0.0005
_SCRAPE = (
    "import sys, urllib.request as u\nfor _ in sys.stdin: u.urlopen(sys.argv[1]).read(); print(flush=True)"
)


class _Scraper(Closing):
    """A process that scrapes when it is told to."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-c", _SCRAPE, url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._next_s = float("-inf")

    def begin(self) -> None:
        """Let it scrape once, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def begin_if_due(self) -> None:
        """Let it scrape if the last time was `EVERY_S` ago."""
        if (now_s := time.monotonic()) >= self._next_s:
            self._next_s = now_s + EVERY_S
            self.begin()

    def wait(self) -> None:
        """Wait until one scrape that was begun is over."""
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def close(self) -> None:
        with self._process:
            self._process.kill()


def _fill(took_us: F64, loop: GuardedLoop, scraper: _Scraper | None) -> None:
    """Fill in the time of each round."""
    for sample in range(len(took_us)):
        if scraper:
            scraper.begin_if_due()
        began_ns = time.perf_counter_ns()
        loop.round()
        took_us[sample] = (time.perf_counter_ns() - began_ns) / 1e3
        pause(loop, _PAUSE_S)


def _kept_alone(durations: Durations, took_ns: int) -> None:
    """`Durations.add` without its buckets."""
    durations.last.append(took_ns)


def _cpu_ms(scraper: _Scraper) -> float:
    """CPU time of this process for one scrape, while its loop stands still."""
    began_s = time.process_time()
    for _ in range(SCRAPES):
        scraper.begin()
        scraper.wait()
    return (time.process_time() - began_s) / SCRAPES * 1e3


def run() -> list[Row]:
    """The loop's times with metrics beside without, and what a scrape takes of a second."""
    took_us = {name: np.empty((ROUNDS, _SAMPLES)) for name in ("with", "without", "again")}
    places: list[str] = []
    with ExitStack() as stack:
        process = stack.enter_context(serve_metrics("0", places.append))
        loop, runner = embedded(stack, GuardedLoop, THRESHOLD)
        assert isinstance(loop, GuardedLoop)
        process.show("run", "threshold", {"all": loop.bus}, HostSource(pace=loop.live), XAppSource(runner))
        scraper = stack.enter_context(_Scraper(places[0]))
        _fill(np.empty(_SAMPLES), loop, None)
        cpu_ms = _cpu_ms(scraper)
        for block in range(ROUNDS * _SAMPLES // _BLOCK):
            at = slice(block * _BLOCK, (block + 1) * _BLOCK)
            for name in tuple(took_us)[:: 1 if block % 2 else -1]:
                is_with = name == "with"
                with patch.object(Durations, "add", Durations.add if is_with else _kept_alone):
                    _fill(took_us[name].reshape(-1)[at], loop, scraper if is_with else None)
    return [
        latency_row(
            "metrics, guarded loop over memory",
            took_us["with"],
            peer="the same loop without",
            peer_took=took_us["without"],
            bar=MOST,
            note=f"host and xApp in one process, scraped every {EVERY_S:g} s",
        ),
        latency_row(
            "metrics, guarded loop over memory, again",
            took_us["again"],
            peer="the same loop without",
            peer_took=took_us["without"],
            note="without metrics twice: how much a ratio of this pair means",
        ),
        Row(
            name="metrics, CPU time of a scrape",
            unit="ms",
            p50=cpu_ms,
            bar=(MOST - 1) * EVERY_S * 1e3,
            note=f"of host and xApp together, on a thread of its own; the bar is 2 % of {EVERY_S:g} s",
        ),
    ]
