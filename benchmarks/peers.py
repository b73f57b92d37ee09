"""The simulator side by side with other Python simulators, in one run and in turns, on as many cells and UEs.

Peers differ in the meaning of a step and in the parts that they leave out; the notes name both. The time is CPU time of one core
on both sides, without set-up and compilation. The peers are in the dependency group `peers`, in this interpreter or in the one
that RANLOOP_PEERS_PYTHON names. A row says if a peer is missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.measure import F64, Row
from benchmarks.worlds import Sites, full_buffer
from ran_sim.engine import Engine

INSTALL = "pip install --group peers"
INTERPRETER = "RANLOOP_PEERS_PYTHON"
ROUNDS = 5
_SETTLE_SLOTS = 400
_SLOTS = {1: 4000, 7: 1000, 19: 400}  # a round of ours, by sites: some 0.1 s
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_SCRIPT = Path(__file__).with_name("peer_runs.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The run of another simulator.

    Attributes:
        run: Its name in `peer_runs.RUNS`.
        title: What the row calls it.
        sites: Tri-sectored sites of our world; the peer has as many cells and UEs.
        n_step: Steps of one of its rounds.
        step_s: What a step simulates; None if that is not a time.
        note: What the peer leaves out, and what it has that we do not.
    """

    run: str
    title: str
    sites: Sites
    n_step: int
    step_s: float | None = None
    note: str


PEERS = (
    Peer(
        run="mobile-env",
        title="mobile-env",
        sites=7,
        n_step=2,
        note="its step is no time: path loss to SNR to an equal share; no interference, fading, slots, HARQ, traffic",
    ),
    Peer(
        run="crrm",
        title="CRRM",
        sites=19,
        n_step=20,
        note="its step is no time: all UEs move, path loss to SINR to MCS to a share on 18 sub-bands; "
        "no slots, fading over time, HARQ, traffic, handover rule",
    ),
    Peer(
        run="handoverlab-steps",
        title="HandoverLab",
        sites=7,
        n_step=200,
        step_s=0.01,
        note="steps of 10 ms, 21 omnidirectional cells: handover and link failure, in more detail than ours; no slots",
    ),
    Peer(
        run="handoverlab-slots",
        title="HandoverLab, slot scheduler",
        sites=7,
        n_step=4000,
        step_s=0.0005,
        note="PF, MCS, HARQ, compiled, 21 omnidirectional cells: one UE a cell and slot, one SINR per UE and 40 ms; "
        "no fast fading, sub-bands, outer loop",
    ),
)


class PeerError(Exception):
    """A peer is missing or did not run; the message has advice."""


class _Worker:
    """A process in which a peer runs a round when asked to."""

    def __init__(self, process: subprocess.Popen[str], words: IO[str]) -> None:
        self._process, self._words = process, words
        self.title = str(self._answer())

    def round_s(self) -> float:
        """CPU seconds of one more round."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # who has died does not answer either
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._words.seek(0)
        last = (self._words.read().strip().splitlines() or [f"exit code {code}"])[-1]
        missing = last.startswith("ModuleNotFoundError")
        raise PeerError(f"not installed: {INSTALL}" if missing else f"did not run: {last}")


@contextlib.contextmanager
def _working(peer: Peer, n_cell: int, n_ue: int) -> Iterator[_Worker]:
    """`peer`, set up in a process of its own on one core.

    Raises:
        PeerError: it is not installed, or fails.
    """
    python = os.environ.get(INTERPRETER) or sys.executable
    command = [python, str(_SCRIPT), peer.run, str(n_cell), str(n_ue), str(peer.n_step)]
    with tempfile.TemporaryFile("w+") as words:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                env=os.environ | dict.fromkeys(_THREADS, "1"),
            )
        except OSError as error:
            raise PeerError(f"{INTERPRETER}={python}: {error.strerror}") from error
        try:
            yield _Worker(process, words)
        finally:
            process.kill()
            process.communicate()  # closes its pipes, also to one that has died


def _ours_s(engine: Engine, n_slots: int) -> float:
    began_s = time.thread_time()
    engine.run_until(engine.slot + n_slots)
    return time.thread_time() - began_s


def rows(peer: Peer) -> list[Row]:
    """UE·steps a second of ours and `peer`'s, and how many times real time both are where a step is a time."""
    engine = Engine(full_buffer(peer.sites), 1)
    n_slots, slot_s = _SLOTS[peer.sites], engine.slot_ns / 1e9
    engine.run_until(_SETTLE_SLOTS)
    took_s, title, missing = np.full((ROUNDS, 2), np.nan), peer.title, ""
    try:
        with _working(peer, engine.n_cell, engine.n_ue) as worker:
            title = worker.title
            for i in range(ROUNDS):
                took_s[i] = _ours_s(engine, n_slots), worker.round_s()
    except PeerError as error:
        took_s = np.array([(_ours_s(engine, n_slots), np.nan) for _ in range(ROUNDS)])
        missing = str(error)
    speeds = np.array([n_slots, peer.n_step]) * engine.n_ue / took_s
    found = [
        _row(f"{peer.title}, UE·steps", engine, "M UE·step/s, CPU", speeds / 1e6, title, missing or peer.note)
    ]
    if peer.step_s is not None:
        speeds = np.array([n_slots * slot_s, peer.n_step * peer.step_s]) / took_s
        found.append(_row(f"{peer.title}, real time", engine, "x real time, CPU", speeds, title, missing))
    return found


def _row(what: str, engine: Engine, unit: str, speeds: F64, title: str, note: str) -> Row:
    """The row of speeds [round, ours and the peer's]; a peer that is missing has none."""
    ours, theirs = speeds.T
    missing = bool(np.isnan(theirs).any())
    return Row(
        name=f"beside {what}; {engine.n_cell} cells, {engine.n_ue} UEs",
        unit=unit,
        p50=float(np.median(ours)),
        peer=title,
        peer_p50=None if missing else float(np.median(theirs)),
        ratio_p50=None if missing else float(np.median(theirs / ours)),
        note=note,
    )


def run() -> list[Row]:
    """All peers."""
    return [row for peer in PEERS for row in rows(peer)]
