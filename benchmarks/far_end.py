"""The xApp's side of the loop, as a process of its own: `python -m benchmarks.far_end ranloop PORT XAPP [I/N] | bare PORT BYTES`.

`ranloop` runs an xApp folder, or a shard of it, on a bus, as `ranloop run` does. `bare` answers each report with BYTES zeros, QoS 1. The process
prints READY, and ends when its standard input ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from benchmarks.bare_client import BareClient
from ranloop.bus import open_bus
from ranloop.guard.shard import NodeShard
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.manifest import shard_of

THRESHOLD, TRIVIAL = (Path(__file__).parent / name for name in ("threshold_xapp", "trivial_xapp"))
REPORT, ACT, RESULT = "bare/report", "bare/act", "bare/result"


@contextmanager
def far_end(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process, while it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.far_end", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != b"READY\n":
            raise RuntimeError(f"python -m benchmarks.far_end {' '.join(arguments)} did not start")
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


def main(kind: str, port: str, what: str, shard: str = "") -> None:
    """Answer until standard input ends. Log lines go to standard error: nobody reads a pipe that may be full."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = threading.Event()
    threading.Thread(target=_wait_for_eof, args=(stop,), name="stdin", daemon=True).start()
    if kind == "ranloop":
        package = load_package(Path(__file__).parent / what)
        if shard:
            package = replace(package, manifest=shard_of(package.manifest, NodeShard.parse(shard)))
        with open_bus(f"mqtt://127.0.0.1:{port}", name=package.manifest.name) as bus:
            runner = LiveRunner(Instance(package, incarnation="1"), bus)
            print("READY", flush=True)
            runner.run(stop)
        return
    answer = bytes(int(what))

    def on_message(topic: str, payload: bytes) -> None:
        if topic == REPORT:
            client.paho.publish(ACT, answer, qos=1)

    client = BareClient(int(port), "bare-far", on_message)
    client.paho.subscribe([(REPORT, 0), (RESULT, 1)])
    client.turn(1.0)
    print("READY", flush=True)
    while not stop.is_set():
        client.turn(0.1)


def _wait_for_eof(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
