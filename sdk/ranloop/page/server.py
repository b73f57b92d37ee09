"""The page's server: a thread with an event loop of its own, which reads a history and is waited for by nobody."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal

import orjson
import structlog

from ranloop.closing import Closing
from ranloop.errors import MissingExtraError, RanloopError
from ranloop.foreign import one_line
from ranloop.page.history import History
from ranloop.page.orders import MOST_BODY_BYTES, OrderDesk
from ranloop.page.words import vocabulary

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket, WebSocketDisconnect

    from ranloop.page.session import HostileError, Session
except ImportError as error:
    raise MissingExtraError("the page", "page") from error

__all__ = ("DEFAULT_ADDRESS", "Mode", "Page", "parse_address")

log = structlog.get_logger(__name__)

DEFAULT_ADDRESS = "127.0.0.1:8480"
MOST_PAGES = 32
MOST_MESSAGE_BYTES = 4096
_START_S = 10.0
_TELL_S = 1.0
_CLOSE_S = 3.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

Mode = Literal["live", "run", "recording"]


def parse_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:8480`, `[::1]:8480` or `:8480` (this machine alone) as host and port.

    Raises:
        RanloopError: It is none of these.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535 or "/" in host:
        raise RanloopError(f"{text!r} is no address of a page; want HOST:PORT, such as {DEFAULT_ADDRESS}")
    return host, int(port)


class Page(Closing):
    """Serves a history to browsers from a thread of its own. Use it as a context manager.

    Args:
        history: What there is to see; it may grow meanwhile.
        address: HOST:PORT; port 0 takes a free one.
        title: What is shown, such as the node's address.
        mode: "live" of hosts, "run" of a run that ends, "recording".
        worlds: Name of each run that is shown, one or two.
        desk: Takes an operator's orders; None: the page watches only.
        names: Host names that the page goes by; requests under another one are refused. None given: a page on loopback goes by
            the names of loopback, another one by any.
        most_pages: Pages that may be open at a time.

    Attributes:
        url: Where the page is.

    Raises:
        RanloopError: The address cannot be used.
    """

    def __init__(
        self,
        history: History,
        address: str = DEFAULT_ADDRESS,
        *,
        title: str = "",
        mode: Mode = "live",
        worlds: Sequence[str] = ("",),
        desk: OrderDesk | None = None,
        names: Collection[str] = (),
        most_pages: int = MOST_PAGES,
    ) -> None:
        host, port = parse_address(address)
        self._history, self._desk, self._most_pages = history, desk, most_pages
        self._n = dict.fromkeys(("refused", "slow", "hostile", "frames", "lines"), 0)
        self._told: Mapping[str, int] = {}
        self._tell_s = 0.0
        self._sessions: set[Session] = set()
        about: dict[str, Any] = {
            "title": title,
            "mode": mode,
            "worlds": list(worlds),
            "orders": desk is not None,
        }
        about["started"] = time.time_ns()
        self._hello = orjson.dumps({"kind": "hello", **about, **vocabulary()}).decode()
        listening = _listen(host, port)
        self.host, self.port = host, listening.getsockname()[1]
        self._names = _all_names(host, names)
        named = f"[{host}]" if ":" in host else host
        self.url = f"http://{named}:{self.port}/"
        self._files = {
            path.name: gzip.compress(path.read_bytes(), mtime=0)
            for path in files("ranloop.page").joinpath("static").iterdir()
            if path.name.rpartition(".")[2] in _TYPES
        }
        config = uvicorn.Config(
            self._guarded(self._app()),
            http="h11",
            ws="websockets-sansio",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws_max_size=MOST_MESSAGE_BYTES,
            ws_ping_interval=10.0,
            ws_ping_timeout=20.0,
            timeout_graceful_shutdown=1,
            limit_concurrency=4 * most_pages,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="ranloop.page", daemon=True
        )
        self._thread.start()
        give_up_s = time.monotonic() + _START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < give_up_s:
            time.sleep(0.005)
        if not self._server.started:
            raise RanloopError(f"the page at {self.url} did not start within {_START_S:g} s")

    @property
    def is_up(self) -> bool:
        """Whether the server runs."""
        return self._thread.is_alive()

    @property
    def counts(self) -> dict[str, int]:
        """Pages that are `open`, and that were `refused`, closed for being `slow`, and closed as `hostile`; `frames` and `lines`
        of decisions that pages were too slow for, `wrong_tokens`, `reports` that came, and names that were `forgotten`.
        """
        wrong = 0 if self._desk is None else self._desk.n_wrong
        reports = sum(track.end for track in self._history.tracks.values())
        of_history = {"reports": reports, "forgotten": self._history.n_forgotten}
        return {"open": len(self._sessions), **self._n, "wrong_tokens": wrong, **of_history}

    def close(self) -> None:
        """Send the pages away and end the thread."""
        self._server.should_exit = True
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            log.warning("page_did_not_end", within_s=_CLOSE_S)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._file),
                Route("/order", self._order, methods=["POST"]),
                Route("/{name:str}", self._file),
                WebSocketRoute("/events", self._events),
            ]
        )

    def _guarded(self, app: ASGIApp) -> ASGIApp:
        """The app behind what every answer needs: a host name that is ours, and headers that bind the browser."""
        headers = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]

        async def guarded(scope: Any, receive: Any, send: Any) -> None:
            async def send_bound(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message = {**message, "headers": [*message["headers"], *headers]}
                await send(message)

            if scope["type"] == "http" and not self._is_ours(dict(scope["headers"]).get(b"host", b"")):
                answer = PlainTextResponse("this page is not served under that name", 421)
                await answer(scope, receive, send_bound)
            else:
                await app(scope, receive, send_bound)

        return guarded

    def _is_ours(self, named: bytes) -> bool:
        """Whether a request names this server: the page goes by no other name, whoever resolves it to here."""
        text = named.decode("latin-1")
        host = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
        return not self._names or host.lower() in self._names

    async def _file(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in self._files:
            return PlainTextResponse("there is no such page", 404)
        body, headers = self._files[name], {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            body, headers = gzip.decompress(body), {}
        return Response(body, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])

    async def _order(self, request: Request) -> Response:
        if self._desk is None:
            return PlainTextResponse("this page watches only: start it with --operator-token FILE", 403)
        if request.headers.get("origin", "") not in _origins(request.headers.get("host", "")):
            return PlainTextResponse("a page of another origin", 403)
        if not request.headers.get("content-length", "").isdecimal() or (
            int(request.headers["content-length"]) > MOST_BODY_BYTES
        ):
            return PlainTextResponse(f"an order has at most {MOST_BODY_BYTES} bytes", 413)
        status, text = await self._desk.take(request.headers.get("authorization", ""), await request.body())
        return PlainTextResponse(text, status)

    async def _events(self, socket: WebSocket) -> None:
        host, origin = socket.headers.get("host", ""), socket.headers.get("origin")
        if not self._is_ours(host.encode("latin-1")) or (origin is not None and origin not in _origins(host)):
            self._n["refused"] += 1
            await socket.close(1008, "a page of another origin")
            return
        await socket.accept()
        if len(self._sessions) >= self._most_pages:
            self._n["refused"] += 1
            await socket.close(
                1013, f"{self._most_pages} pages are open already, which is the most; close one"
            )
            return
        session = Session(socket, self._history, hello=self._hello, on_change=self._look, on_turn=self._lost)
        self._sessions.add(session)
        try:
            await session.run()
        except HostileError as error:
            self._n["hostile"] += 1
            log.warning("page_closed", reason=one_line(str(error), 200))
            await _close(socket, 1008, "not what a page says")
        except TimeoutError:
            self._n["slow"] += 1
            await _close(socket, 1013, "too slow")
        finally:
            self._sessions.discard(session)
            self._look()

    def _look(self) -> None:
        self._history.look([session.columns for session in self._sessions])

    def _lost(self, frames: int, lines: int) -> None:
        """Count what one page has lost, and tell all pages the counts, once a second."""
        self._n["frames"] += frames
        self._n["lines"] += lines
        if (now_s := time.monotonic()) >= self._tell_s:
            self._tell_s = now_s + _TELL_S
            if (counts := self.counts) != self._told:
                self._told = counts
                self._history.state("page", {"kind": "page", **counts})


def _all_names(host: str, names: Collection[str]) -> frozenset[str]:
    """The names of a page that is served at `host`; empty if it goes by any. One name of loopback stands for all of them."""
    given = {name.lower() for name in (*names, *(_LOOPBACK if host in _LOOPBACK else ()))}
    return frozenset(given | set(_LOOPBACK) if given.intersection(_LOOPBACK) else given)


def _origins(host: str) -> tuple[str, str]:
    """The origins of pages that this server served."""
    return f"http://{host}", f"https://{host}"


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it has gone
        await socket.close(code, reason)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        RanloopError: The address is taken, not ours, or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, TypeError) as error:  # TypeError: a name that has no form in the DNS
        listening.close()
        raise RanloopError(
            f"no page at {host}:{port}: {getattr(error, 'strerror', None) or error}; choose another HOST:PORT, such as 127.0.0.1:0 for a free port"
        ) from error
    listening.setblocking(False)
    return listening
