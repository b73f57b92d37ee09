"""The bus protocol: publish, subscribe, poll. Two implementations: `memory` and `mqtt`, chosen by URL.

A handler runs inside `poll`, in the thread that polls. There is no hidden thread, so user code needs no locks and a message
waits for no hand-off. Usually one participant owns one bus and polls it. Several participants of one process may share a
bus, and one participant may own several, each with a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

Handler = Callable[[str, bytes], None]
MOST_S = 0.1  # after this time one poll starts no further handler


@dataclass(slots=True)
class BusStats:
    """Counters since the bus was opened, and its state. Every lost message is counted. Any thread may read."""

    published: int = 0
    received: int = 0
    delivered: int = 0
    dropped: int = 0  # oldest messages, removed from a full queue
    conflated: int = 0  # messages replaced by a newer one of the same topic
    reconnects: int = 0
    unsent: int = 0  # publishes refused because the broker was away and the outbox full
    waiting: int = 0  # messages that have come and wait for `poll`
    outbox: int = 0  # messages that wait for the broker to come back
    busy_since_s: float | None = (
        None  # by `time.monotonic`: when `poll` last stopped waiting; None while it waits
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """A retained message that the broker publishes when the client vanishes."""

    topic: str
    payload: bytes


class Subscription(Protocol):
    """A handle on one subscription."""

    topic_filter: str
    dropped: int
    conflated: int

    def cancel(self) -> None: ...


class Bus(Protocol):
    """The calls that every transport offers."""

    stats: BusStats

    @property
    def connected(self) -> bool: ...

    def subscribe(
        self,
        topic_filter: str,
        handler: Handler,
        *,
        qos: int = 0,
        keep: int = 256,
        latest: int = False,
        urgent: bool = False,
    ) -> Subscription:
        """Run `handler(topic, payload)` for each message that matches, inside `poll`; retained messages come first.

        Subscriptions with waiting messages take turns, so a flood on one does not hold the others up. Messages of one
        topic come in their order; a message of another subscription may overtake them.

        With QoS 1 a retained message also comes up to a minute later, if the broker failed to send it at first.

        Args:
            topic_filter: MQTT filter; `+` and a trailing `#` are wildcards.
            qos: 0 or 1.
            keep: Messages that may wait between two polls; the oldest beyond that are dropped and counted.
            latest: Newest messages to keep per topic; 0 keeps all. With True, which is 1, a slow reader sees the present
                and not the past.
            urgent: Serve its messages before those of subscriptions that are not urgent.
        """
        ...

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send; never blocks on a slow subscriber.

        Over MQTT, a message that the handler of the last waiting message publishes may leave only when that handler has
        returned or raised. If the handler works on after publishing, Linux sends the message after 200 ms at the latest.
        """
        ...

    def poll(self, timeout_s: float = 0.0) -> int:
        """Do pending input and output, and run the handlers; wait up to `timeout_s` for the first message.

        A flood does not hold it: from the first message on it starts no handler after `MOST_S`. Messages that wait by
        then are for the next poll.

        Returns:
            The number of handlers that ran.
        """
        ...

    def wake(self) -> None:
        """Let the `poll` that waits, or the next one, return at once. Any thread and a signal handler may call this."""
        ...

    def close(self) -> None:
        """Leave in good order: the will is not sent. A second call changes nothing."""
        ...

    def kill(self) -> None:
        """Vanish as a crashed process would: the will is sent. For fault injection."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
