"""A page in a process of its own, so that its frames, its garbage and its clients cost the loop's interpreter nothing.

The loop's process hands events over, pickled, in their order; the page's process keeps the history and serves it, with less
right to the CPU. It answers in JSON with its address, with what its pages look at, and with its counts: nothing that came
from a browser is unpickled. When one of the two is gone, the page's process ends and the loop's goes on.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
import structlog

from ranloop.closing import Closing
from ranloop.errors import RanloopError
from ranloop.node.outlets import Event
from ranloop.page.history import History
from ranloop.page.orders import OrderDesk
from ranloop.wire.messages import Catalogue, Report

__all__ = ("PageApart", "PageFacts", "serve_apart")

log = structlog.get_logger(__name__)

_PlainReport = dict[str, Any]
_START_S = 30.0  # of a machine that does much else
_CLOSE_S = 5.0
_TELL_S = 0.1
_NICE = 10  # the loop goes first
# A message that was decoded has mappings that cannot be changed, nor pickled.
_REDUCED: Any = ChainMap(
    {MappingProxyType: lambda proxy: (dict, (dict(proxy),))},
    copyreg.dispatch_table,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What a page's process is told at its start.

    Attributes:
        address: HOST:PORT of the page.
        title: What is shown.
        place: Address of the broker, without a password.
        background: As in `History`.
        bus_url: Where orders go, with the credentials of the environment.
        operator_token: File with the token of those who may order from the page.
    """

    address: str
    title: str = ""
    place: str = ""
    background: Mapping[str, Collection[str]]
    bus_url: str = ""
    operator_token: Path | None = None


class PageApart(Closing):
    """The loop's end; it takes what a `History` takes.

    Args:
        facts: Of the page.
        module: What runs in the page's process; it calls `serve_apart`.

    Attributes:
        url: Where the page is.
        looks_at: As in `History`; nothing once the page's process is gone.
        counts: As in `Page`, a moment old.
        is_up: Whether the page's process lives.

    Raises:
        RanloopError: The page cannot be served.
    """

    def __init__(self, facts: PageFacts, module: str) -> None:
        self.looks_at: Mapping[str, frozenset[str]] = {}
        self.counts: Mapping[str, int] = {}
        self.is_up, self._is_closing = True, False
        self._taken: list[tuple[Event | _PlainReport, int]] = []
        self._lock, self._speaking = threading.Lock(), threading.Lock()  # several watchers may share a page
        self._socket, theirs = socket.socketpair()
        self._connection = Connection(os.dup(self._socket.fileno()))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        try:
            self._send("open", facts)
            if not self._connection.poll(_START_S):
                raise RanloopError(f"the page at {facts.address} did not start within {_START_S:g} s")
            first = orjson.loads(self._connection.recv_bytes())
            if "error" in first:
                raise RanloopError(first["error"])
        except BaseException as error:
            self.close()
            if isinstance(error, (OSError, EOFError)):
                raise RanloopError(f"the page at {facts.address} did not start: see above") from error
            raise
        self.url: str = first["url"]
        threading.Thread(target=self._hear, name="ranloop.page.apart", daemon=True).start()

    # What it takes

    def take(self, event: Event, world: int = 0) -> None:
        """As `History.take`, with the next `flush`."""
        plain = _plain_report(event) if isinstance(event, Report) else event
        with self._lock:
            self._taken.append((plain, world))

    def flush(self) -> None:
        """Hand over what was taken.

        Raises:
            OSError: The page's process is gone.
        """
        with self._lock:
            taken, self._taken = self._taken, []
        self._send("take", taken)

    def meet(self, catalogues: Iterable[Catalogue], world: int = 0) -> None:
        """As `History.meet`."""
        self._send("meet", tuple(catalogues), world)

    def _send(self, what: str, *arguments: object) -> None:
        packed = io.BytesIO()
        pickler = pickle.Pickler(packed, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = _REDUCED
        pickler.dump((what, arguments))
        with self._speaking:
            self._connection.send_bytes(packed.getbuffer())

    # What it hears

    def _hear(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                told = orjson.loads(self._connection.recv_bytes())
                self.counts = told["counts"]
                looks_at = {level: frozenset(names) for level, names in told["looks_at"].items()}
                if looks_at != self.looks_at:  # a runtime compares by identity
                    self.looks_at = looks_at
        self.looks_at, self.is_up = {}, False
        if not self._is_closing:
            log.error("page_ended", url=self.url, advice="ranloop dashboard --bus shows the bus meanwhile")

    def close(self) -> None:
        """End the page's process. A second call changes nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        with contextlib.suppress(OSError):  # it has gone
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()
        self._connection.close()


def serve_apart(descriptor: int, make_desk: Callable[[Path | None, str], OrderDesk | None]) -> None:
    """Serve a page in this process until the loop's process is gone.

    Args:
        descriptor: Of the socket to it.
        make_desk: Takes the operator's file and the address of the bus.
    """
    from ranloop.page.server import Page

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # who ends the loop ends its page
    os.nice(_NICE)
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, OSError):
        _, (facts,) = pickle.loads(connection.recv_bytes())
        history = History(facts.background, place=facts.place)
        try:
            desk = make_desk(facts.operator_token, facts.bus_url)
            page = Page(history, facts.address, title=facts.title, desk=desk)
        except RanloopError as error:
            connection.send_bytes(orjson.dumps({"error": str(error)}))
            return
        with page:
            connection.send_bytes(orjson.dumps({"url": page.url}))

            def take(taken: Iterable[tuple[Event | _PlainReport, int]]) -> None:
                for event, world in taken:
                    history.take(_report(event) if isinstance(event, dict) else event, world)

            does: dict[str, Callable[..., None]] = {
                "take": take,
                "meet": history.meet,
            }
            with _telling(connection, lambda: {"looks_at": _plain(history.looks_at), "counts": page.counts}):
                while True:
                    what, arguments = pickle.loads(connection.recv_bytes())
                    does[what](*arguments)


def _plain_report(report: Report) -> _PlainReport:
    """What a page shows of a report, without names of targets; pickled in a third of the dataclass's time."""
    names = ("node", "level", "period_ms", "seq", "ran_time_ns", "ids", "names", "run")
    return {
        **{name: getattr(report, name) for name in names},
        "block": (report.block.shape, report.block.tobytes()),
    }


def _report(plain: _PlainReport) -> Report:
    shape, values = plain["block"]
    return Report(**{**plain, "block": np.frombuffer(values, np.float32).reshape(shape)})


@contextlib.contextmanager
def _telling(connection: Connection, read: Callable[[], Mapping[str, object]]) -> Iterator[None]:
    """Tell the loop's process what is read, whenever it has changed, on a thread of its own."""
    over = threading.Event()

    def tell() -> None:
        told: Mapping[str, object] = {}
        with contextlib.suppress(OSError):
            while not over.wait(_TELL_S):
                if (now := read()) != told:
                    told = now
                    connection.send_bytes(orjson.dumps(told))

    thread = threading.Thread(target=tell, name="ranloop.page.tell", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _plain(looks_at: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    return {level: sorted(names) for level, names in looks_at.items()}
