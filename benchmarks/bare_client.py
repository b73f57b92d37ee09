"""The peer of the loop: paho in the caller's thread and nothing else. Same TCP options as `ranloop.bus.mqtt`."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class BareClient:
    """A paho client, its socket and one callback (topic, payload)."""

    def __init__(self, port: int, name: str, on_message: Callable[[str, bytes], None]) -> None:
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=name)
        self.paho.max_inflight_messages_set(1000)
        self._connected = False
        self.paho.on_connect = self._on_connect
        self.paho.on_message = lambda client, data, message: on_message(message.topic, bytes(message.payload))
        self.paho.connect("127.0.0.1", port)
        connection = self.paho.socket()
        if not isinstance(connection, socket.socket):
            raise ConnectionError(f"no broker on port {port}")
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll = select.epoll()
        self._poll.register(self._socket.fileno(), select.EPOLLIN)
        while not self._connected:
            self.turn(1.0)

    def turn(self, timeout_s: float) -> None:
        """Wait for input and deal with it; callbacks run in here."""
        if self._poll.poll(timeout_s):
            self.paho.loop_read()
            if _QUICKACK is not None:
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self.paho.want_write():
            self.paho.loop_write()
        self.paho.loop_misc()

    def _on_connect(self, *_: Any) -> None:
        self._connected = True
