"""Find out without blocking whether a TCP port answers, so that `poll` keeps its timeout while a broker is away."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence

_PATIENCE_S = 5.0


class Knock:
    """Connection attempts, one after the other, to the addresses of the servers; each gets up to 5 s.

    The look-up of the host's name is not covered: it blocks as long as the system's resolver does.
    """

    def __init__(self, servers: Sequence[tuple[str, int]]) -> None:
        self._servers = servers
        self.server = servers[0]  # host and port of the last attempt
        self._socket: socket.socket | None = None
        self._given_up_at_s = 0.0
        self._turn = 0

    def start(self, now_s: float) -> None:
        """Begin an attempt.

        Raises:
            OSError: The name cannot be resolved, or the network refuses at once.
        """
        self.stop()
        rounds, at = divmod(self._turn, len(self._servers))
        self._turn += 1
        self.server = self._servers[at]
        addresses = socket.getaddrinfo(*self.server, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = addresses[rounds % len(addresses)]
        self._given_up_at_s = now_s + _PATIENCE_S
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        self._socket.connect_ex(address)

    @property
    def under_way(self) -> bool:
        return self._socket is not None

    def answered(self, now_s: float, timeout_s: float) -> bool | None:
        """True: the port accepts connections; False: it does not; None: not known yet after `timeout_s`."""
        if self._socket is None:
            return False
        poller = select.poll()
        poller.register(self._socket, select.POLLOUT)
        if not poller.poll(timeout_s * 1e3):
            if now_s + timeout_s < self._given_up_at_s:
                return None
            self.stop()
            return False
        failure = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.stop()
        return failure == 0

    def stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
