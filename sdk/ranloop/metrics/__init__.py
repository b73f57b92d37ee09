"""Metrics, health and readiness of a process over HTTP: docs/metrics.md.

with serve_metrics("9464") as process:      # the port is taken; the process is starting
    ...
    process.show("host", "host", {"all": bus}, HostSource(pace=live))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ranloop.metrics.host import HostSource
from ranloop.metrics.live_page import PageSource
from ranloop.metrics.process import Process
from ranloop.metrics.xapp import XAppSource

__all__ = ("HostSource", "PageSource", "Process", "XAppSource", "serve_metrics")


@contextmanager
def serve_metrics(place: str, tell: Callable[[str], object] = lambda url: None) -> Iterator[Process]:
    """Serve `/metrics`, `/healthz` and `/readyz` of this process as long as the block lasts.

    Args:
        place: `PORT` on loopback, or `ADDRESS:PORT`; "" serves nothing.
        tell: Told of the URL of the metrics.

    Raises:
        RanloopError: There is no such place, or its port is taken.
        MissingExtraError: prometheus-client is not installed.
    """
    process = Process()
    if not place:
        yield process
        return
    from ranloop.metrics.exposition import exposition
    from ranloop.metrics.pages import pages_of
    from ranloop.metrics.server import StatusServer, listen

    pages = pages_of(process, exposition(process))
    with StatusServer(listen(place), pages) as server:
        tell(f"{server.url}/metrics")
        yield process
