"""Finds the message that is too large for a broker.

MQTT 3.1.1 has no code for this. The broker closes the connection; the client comes back, sends the message again and loses
the connection again. If two short connections in a row have the largest message on the same topic, that message is taken
for the reason.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("LARGE_BYTES", "Oversize")

LARGE_BYTES = 1 << 16  # no broker refuses less as it comes
_SHORT_S = 5.0  # of a connection that ends for a message: it ends right after it
REFUSED_S = (
    60.0  # then one more is tried: the reason may have been another one, or the limit may have been raised
)
_TOPICS_KEPT = 256


class Refused(NamedTuple):
    """A message that is too large for the broker."""

    topic: str
    n_bytes: int


class Oversize:
    """The largest messages of this connection and of the one before, and the ones that are not sent any more."""

    def __init__(self) -> None:
        self._largest: Refused | None = None  # of this connection
        self._suspect: Refused | None = None  # the largest of the connection before, which was short
        self._refused: dict[
            str, tuple[int, float]
        ] = {}  # topic -> bytes for which the broker hung up, until when

    def sent(self, topic: str, n_bytes: int) -> None:
        """Note a message of at least `LARGE_BYTES`."""
        if self._largest is None or n_bytes > self._largest.n_bytes:
            self._largest = Refused(topic, n_bytes)

    def hung_up(self, connected_s: float, now_s: float) -> Refused | None:
        """The message because of which the broker closed the connection of `connected_s`; named once per topic."""
        largest, suspect, is_short = self._largest, self._suspect, now_s - connected_s < _SHORT_S
        self._largest, self._suspect = None, largest if is_short else None
        if largest is None or suspect is None or not is_short or largest.topic != suspect.topic:
            return None
        is_news = largest.topic not in self._refused
        if len(self._refused) >= _TOPICS_KEPT:
            self._refused.clear()
        self._refused[largest.topic] = min(largest.n_bytes, suspect.n_bytes), now_s + REFUSED_S
        return largest if is_news else None

    def refuses(self, topic: str, n_bytes: int, now_s: float) -> bool:
        """Whether this message is too large for the broker, as far as is known."""
        least_bytes, until_s = self._refused.get(topic, (n_bytes, now_s))
        return n_bytes >= least_bytes and now_s < until_s
