"""A live host of still nodes as a process: `python -m benchmarks.scale_host PORT NAME NODES PERIOD_MS XAPP SHARDS`.

It prints BEGIN when every node has had a result, or after `JOIN_S`. When its standard input ends, it ends and prints as JSON
`loops`: when each report left, and the seconds until its result left, null if the next report came first; and `results`: when
each result left. Times are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from benchmarks.still_world import StillWorld
from ranloop.bus import open_bus
from ranloop.guard.shard import NodeShard
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.wire.messages import Report, Result
from ranloop.xapp.manifest import load_manifest, shard_of

JOIN_S = 20.0


class TimedHost(NodeHost):
    """Notes when each report leaves, and when its result does."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loops: list[list[float | None]] = []
        self.results_s: list[float] = []
        self._open: dict[str, list[float | None]] = {}  # node -> its latest loop
        self._silent: set[str] | None = set(self.runtime.guards)  # until BEGIN
        self._give_up_s = time.monotonic() + JOIN_S

    def publish_reports(self, reports: Sequence[Report]) -> None:
        if not reports:
            return
        if self._silent is not None and (not self._silent or time.monotonic() > self._give_up_s):
            self._silent = None
            print("BEGIN", flush=True)
        left_s = time.monotonic()
        self._open = {report.node: [left_s, None] for report in reports}
        self.loops += self._open.values()
        super().publish_reports(reports)

    def publish_results(self, results: Sequence[Result]) -> None:
        super().publish_results(results)
        for result in results:
            if self._silent:
                self._silent.discard(result.node)
            if result.cause.any():
                continue
            self.results_s.append(time.monotonic())
            loop = self._open.get(result.node)
            if loop is not None and loop[0] is not None and loop[1] is None:
                loop[1] = self.results_s[-1] - loop[0]


def main(port: str, name: str, n_nodes: str, period_ms: str, folder: str, n_shards: str) -> None:
    """Host until standard input ends. Log lines go to standard error, which is for nobody."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    manifest = load_manifest(Path(folder))
    nodes = [f"{name}-{number}" for number in range(int(n_nodes))]
    shards = [shard_of(manifest, NodeShard(number, int(n_shards))) for number in range(1, int(n_shards) + 1)]
    xapps = {
        one.name: Registration(rights=one.rights)
        for one in (shards if len(shards) > 1 else [manifest])
        if any(map(one.rights.reach, nodes))
    }
    with open_bus(f"mqtt://127.0.0.1:{port}", name=name) as bus:
        host = TimedHost(StillWorld(nodes, int(period_ms)), bus, xapps=xapps, name=name)
        live = LiveHost(host)
        threading.Thread(target=_wait_for_eof, args=(live,), name="stdin", daemon=True).start()
        print("READY", flush=True)
        live.run()
    print(json.dumps({"loops": host.loops, "results": host.results_s}), flush=True)


def _wait_for_eof(live: LiveHost) -> None:
    sys.stdin.read()
    live.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
