"""Answers `/metrics`, `/healthz` and `/readyz` over HTTP, on one thread whatever its clients do.

A client has `PATIENCE_S` for all of its request, and `MOST_CLIENTS` are served at a time: a slow, silent or hostile client
costs a socket for that long, and the loop nothing.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

import structlog

from ranloop.closing import Closing
from ranloop.errors import RanloopError
from ranloop.foreign import one_line

__all__ = ("Answer", "StatusServer", "listen")

log = structlog.get_logger(__name__)

PATIENCE_S = 5.0
MOST_CLIENTS = 16
_MOST_BYTES = 16_384  # of a request
_WAITING = 16  # connections that the system keeps until they are looked at
_CLOSE_S = 2.0
_PLAIN = "text/plain; charset=utf-8"
_TAKES = "want PORT, or ADDRESS:PORT with an address of this machine, such as 9464 or 0.0.0.0:9464"


class Answer(NamedTuple):
    """What a page says."""

    status: HTTPStatus
    content: bytes
    content_type: str = _PLAIN


Pages = Mapping[str, Callable[[str], Answer]]  # path -> makes the answer, given what the client accepts


def listen(place: str) -> socket.socket:
    """Take a port: `PORT` on loopback, `ADDRESS:PORT`, or `[ADDRESS]:PORT` for IPv6. Port 0 is any free one.

    Raises:
        RanloopError: It is none of these, or the port cannot be taken.
    """
    address, _, port = place.rpartition(":")
    if not (port.isdecimal() and int(port) < 1 << 16) or (":" in address and not address.startswith("[")):
        raise RanloopError(f"--metrics {place!r}: {_TAKES}")
    host = address.strip("[]") or "127.0.0.1"
    try:
        host.encode("idna")  # a name without this form is a TypeError there, which leaves the socket open
        return socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_WAITING
        )
    except OSError as error:
        reason = {
            errno.EADDRINUSE: "the port is taken; choose another one, or 0 for any that is free",
            errno.EACCES: "this user may not take the port; choose one above 1023",
        }.get(error.errno or 0, f"no such address here; {_TAKES}")
        raise RanloopError(f"--metrics {place}: {reason}") from error
    except UnicodeError as error:
        raise RanloopError(f"--metrics {place!r}: no such address; {_TAKES}") from error


class StatusServer(Closing):
    """Serves pages on a socket that listens.

    Args:
        listening: From `listen`; closed with this object.
        pages: They are made on the server's thread.
    """

    def __init__(self, listening: socket.socket, pages: Pages) -> None:
        self._socket, self._pages = listening, pages
        self._n_clients = 0
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="ranloop.metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the pages are, without a path."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def close(self) -> None:
        """Answer nobody any more. A second call changes nothing."""
        if self._loop.is_closed():
            return
        with suppress(RuntimeError):  # the thread has just ended
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._meet, sock=self._socket, limit=_MOST_BYTES)
        await self._over.wait()
        server.close()  # not `async with`, which from Python 3.12.1 on waits for its clients before they are sent away
        clients = asyncio.all_tasks() - {asyncio.current_task()}
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes the sockets of aborted connections in its next turn

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._n_clients += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._n_clients > MOST_CLIENTS:
                    writer.write(_response(Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"too many clients\n")))
                else:
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._respond(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client is too slow, says too much, or has gone
        finally:
            writer.transport.abort()
            self._n_clients -= 1

    def _respond(self, head: bytes) -> bytes:
        """The response to a request's head."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response(Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"GET or HEAD\n"))
        page = self._pages.get(path)
        if page is None:
            known = " ".join(self._pages)
            return _response(Answer(HTTPStatus.NOT_FOUND, f"there is {known}\n".encode()))
        headers = dict(line.lower().split(":", 1) for line in lines if ":" in line)
        try:
            answer = page(headers.get("accept", "").strip())
        except Exception as error:  # noqa: BLE001 whatever fails in a page, the others are to be answered
            log.error("page_failed", path=path, error=type(error).__name__, reason=one_line(str(error)))
            answer = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"this page cannot be made; see the log\n")
        return _response(answer, has_body=method == "GET")


def _response(answer: Answer, *, has_body: bool = True) -> bytes:
    status, content, content_type = answer
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (content if has_body else b"")
