"""A bus with a connection and a thread of its own: messages wait until the owner serves them.

A host hears its operator through such a bus. Orders therefore never queue behind a flood on the host's main connection.
Handlers run in the owner's thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import structlog

from ranloop.bus.base import Bus, Handler, Subscription
from ranloop.closing import Closing
from ranloop.errors import BusError

__all__ = ("AsideBus",)

log = structlog.get_logger(__name__)

_KEEP = 4096  # messages that may wait; the newest are kept
_TURN_S = 0.5
CLOSE_S = 2.0


class AsideBus(Closing):
    """Owns a bus, and polls it on a thread.

    Args:
        bus: Used by this object alone, and closed with it.
        wake: Called on the thread whenever a message has come.
    """

    def __init__(self, bus: Bus, *, wake: Callable[[], None]) -> None:
        self._bus, self._wake = bus, wake
        self._waiting: deque[tuple[Handler, str, bytes]] = deque(maxlen=_KEEP)
        self._over = False
        self._thread = threading.Thread(target=self._work, name="ranloop.bus.aside", daemon=True)

    @property
    def connected(self) -> bool:
        """As `Bus.connected`; any thread may ask."""
        return self._bus.connected

    def subscribe(
        self, topic_filter: str, handler: Handler, *, qos: int = 0, keep: int = 256, urgent: bool = False
    ) -> Subscription:
        """As `Bus.subscribe`; call it before the first `serve`. `handler` runs inside `serve`."""

        def hold(topic: str, payload: bytes) -> None:
            self._waiting.append((handler, topic, payload))
            self._wake()

        return self._bus.subscribe(topic_filter, hold, qos=qos, keep=keep, urgent=urgent)

    def serve(self) -> int:
        """Run the handlers of the waiting messages, and count them. The first call starts the thread."""
        if self._thread.ident is None:
            self._thread.start()
        n_served = len(self._waiting)
        for _ in range(n_served):
            handler, topic, payload = self._waiting.popleft()
            handler(topic, payload)
        return n_served

    def close(self) -> None:
        """End the thread and leave the bus. A second call changes nothing.

        A thread that does not come back within `CLOSE_S`, such as from a handshake that stalls, ends with the process, and so
        does its connection.
        """
        if self._over:
            return
        self._over = True
        self._bus.wake()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._bus.close()

    def _work(self) -> None:
        try:
            while not self._over:
                self._bus.poll(_TURN_S)
        except BusError as error:  # closed under the thread
            if not self._over:
                log.error("operator_line_lost", reason=str(error))
