"""`--dashboard`, and `ranloop dashboard`: a page that watches a run, a bus or a recording."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ranloop.bus import without_password
from ranloop.cli.operator import stop_on_signals
from ranloop.node import NodePort
from ranloop.page import BACKGROUND, History, Watcher, everything
from ranloop.page.apart import PageApart, PageFacts
from ranloop.page.beside import Beside, Pace
from ranloop.page.orders import OrderDesk
from ranloop.xapp.times import HandlerTime

if TYPE_CHECKING:
    from ranloop.page.server import Mode, Page

__all__ = ("PageWanted", "WatchedRun", "serve", "serve_host", "wait", "wanted_page", "watched_run")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWanted:
    """What the command line says of a page.

    Attributes:
        address: HOST:PORT.
        beside: Show the world without the xApps, too.
        speed: RAN seconds per wall-clock second at most; None does not hold the run up.
        operator_token: File with the token of those who may order from the page.
    """

    address: str
    beside: bool = False
    speed: float | None = None
    operator_token: Path | None = None


def wanted_page(
    dashboard: bool,
    address: str,
    *,
    beside: bool = False,
    speed: float | None = None,
    operator_token: Path | None = None,
) -> PageWanted | None:
    """The page that is wanted, if one is.

    Raises:
        MissingExtraError: The server is not installed.
        RanloopError: The address is none. Both are told before a world is opened, which may take a minute.
    """
    if not dashboard and not address:
        return None
    from ranloop.page.server import DEFAULT_ADDRESS, parse_address

    parse_address(address := address or DEFAULT_ADDRESS)
    return PageWanted(address=address, beside=beside, speed=speed, operator_token=operator_token)


@contextmanager
def serve(
    history: History,
    address: str,
    *,
    title: str,
    mode: Mode,
    worlds: Sequence[str] = ("",),
    desk: OrderDesk | None = None,
    names: Sequence[str] = (),
    json_output: bool = False,
) -> Iterator[Page]:
    """Serve a page for as long as the block runs, and tell its address: on standard error, or as JSON on standard output.

    Raises:
        MissingExtraError: The server is not installed.
        RanloopError: The address cannot be used.
    """
    from ranloop.page.server import Page

    with Page(history, address, title=title, mode=mode, worlds=worlds, desk=desk, names=names) as page:
        if json_output:
            print(json.dumps({"url": page.url, "mode": mode}), flush=True)
        else:
            print(f"page: {page.url}", file=sys.stderr, flush=True)
        yield page


def serve_host(wanted: PageWanted, title: str, bus_url: str) -> PageApart:
    """The page of a live host, in a process of its own; its address is told on standard error.

    Raises:
        RanloopError: It cannot be served, or the operator's file cannot be used.
    """
    facts = PageFacts(
        address=wanted.address,
        title=title,
        place=without_password(bus_url),
        background=BACKGROUND,
        bus_url=bus_url,
        operator_token=wanted.operator_token,
    )
    page = PageApart(facts, "ranloop.cli.page_process")
    print(f"page: {page.url}", file=sys.stderr, flush=True)
    return page


def wait(stop: threading.Event) -> None:
    """Wait for a signal; Python hears it between two waits."""
    while not stop.wait(0.5):
        pass


class WatchedRun:
    """A run in this process that a page shows.

    Attributes:
        page: The page.
        watchers: What the worlds show their events to; the first is the run's onlooker.
    """

    def __init__(
        self,
        history: History,
        page: Page,
        watchers: Sequence[Watcher],
        beside: Beside | None,
        pace: Pace | None,
    ) -> None:
        self._history, self.page, self.watchers = history, page, watchers
        self._beside, self._pace = beside, pace

    def follow(self, now_ns: int, end_ns: int = 0) -> None:
        """After each step of the run: move what is beside it, and keep the pace."""
        if self._beside:
            self._beside.follow(now_ns)
        if self._pace:
            self._pace.follow(now_ns)

    def finish(self, now_ns: int) -> None:
        """After the last step."""
        if self._beside:
            self._beside.follow(now_ns)
            self._beside.tell()
        for watcher in self.watchers:
            watcher.close()

    def tell_over(self, times: Mapping[str, Sequence[HandlerTime]]) -> None:
        """Tell that the run is over, and how long its handlers took."""
        handlers = [
            {"name": f"{xapp}.{one.handler}", "calls": one.calls, "p50_ms": one.p50_ms, "p99_ms": one.p99_ms}
            for xapp, own in times.items()
            for one in own
        ]
        self._history.state("handlers", {"kind": "handlers", "handlers": handlers})
        self._history.state("over", {"kind": "over"})

    def stay(self, times: Mapping[str, Sequence[HandlerTime]]) -> None:
        """Tell that the run is over, and stay until a signal comes."""
        self.tell_over(times)
        stop = stop_on_signals()
        print(f"the run is over; its page stays at {self.page.url} until Ctrl-C", file=sys.stderr, flush=True)
        wait(stop)


@contextmanager
def watched_run(
    wanted: PageWanted,
    world: NodePort,
    another: Callable[[], NodePort],
    title: str,
    until_ns: int | None,
    worlds: tuple[str, str] = ("with the xApps", "without"),
) -> Iterator[WatchedRun]:
    """A page about a run on `world`.

    Args:
        another: Opens the same world once more, for what is beside it; it is closed elsewhere.
        until_ns: RAN time at which the run ends; None: with its world.
        worlds: Name of the world of the run, and of the one beside it.
    """
    history = History(everything(world.catalogues))
    history.meet(world.catalogues)
    with ExitStack() as stack:
        names = worlds if wanted.beside else ("",)
        page = stack.enter_context(serve(history, wanted.address, title=title, mode="run", worlds=names))
        watchers = [stack.enter_context(Watcher(history, number)) for number in range(len(names))]
        beside = None
        if wanted.beside:
            second = another()
            if until_ns is not None:
                second.last_until(until_ns)
            history.meet(second.catalogues, 1)
            beside = Beside(second, watchers[1], history, world)
        pace = None if wanted.speed is None else Pace(wanted.speed)
        yield WatchedRun(history, page, watchers, beside, pace)
