"""A listener on a wire: a TCP proxy that keeps what its clients send."""

from __future__ import annotations

import contextlib
import socket
import threading

from ranloop.closing import Closing

__all__ = ("Tap",)


class Tap(Closing):
    """Passes connections on to a port of this machine.

    Args:
        port: Where they go.

    Attributes:
        port: Where to connect to.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._heard: list[bytearray] = []  # one for each connection
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def heard(self) -> list[bytes]:
        """All that each client has sent so far."""
        return [bytes(of_one) for of_one in self._heard]

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):  # it is closed already
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
            each.close()
        for thread in self._threads:
            thread.join(10.0)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._upstream))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            self._heard.append(bytearray())
            self._start(_pass, client, server, self._heard[-1])
            self._start(_pass, server, client, bytearray())

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]  # one of two functions
        self._threads.append(thread)
        thread.start()


def _pass(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):  # one of the two is closed
        while chunk := source.recv(65_536):
            kept += chunk
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
