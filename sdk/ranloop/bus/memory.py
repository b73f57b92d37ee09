"""The bus inside one process: `memory://name`. Payload bytes pass as they are; nothing is copied or parsed.

It behaves as a broker would: retained messages, last wills, bounded queues, handlers in the subscriber's own `poll`.
QoS makes no difference, because no message gets lost on the way. There are no access rights.
"""

from __future__ import annotations

import threading
import time
from weakref import WeakValueDictionary

from ranloop.bus.base import BusStats, Handler, Will
from ranloop.bus.filters import check_topic, matches
from ranloop.bus.inbox import Delivery, Inbox, InboxSubscription, deliver
from ranloop.closing import Closing
from ranloop.errors import BusError


class MemoryBroker:
    """The part that all clients of one `memory://name` share. It lives as long as one of them does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.RLock()  # re-entrant: a will is published while a client is being removed
        self.clients: list[MemoryBus] = []
        self.retained: dict[str, bytes] = {}

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        # One lock over all clients: every subscriber sees all messages in the same order.
        with self.lock:
            if retain and payload:
                self.retained[topic] = payload
            elif retain:  # MQTT 3.1.1 clause 3.3.1.3: an empty retained message forgets the topic
                self.retained.pop(topic, None)
            for client in self.clients:
                client._offer(topic, payload)


_brokers: WeakValueDictionary[str, MemoryBroker] = WeakValueDictionary()
_brokers_lock = threading.Lock()


def memory_broker(name: str) -> MemoryBroker:
    """The in-process broker of that name; the first client makes it."""
    with _brokers_lock:
        broker = _brokers.get(name)
        if broker is None:
            broker = _brokers[name] = MemoryBroker(name)
        return broker


class MemoryBus(Closing):
    """A client of an in-process broker. Any thread may publish to it; one thread polls it."""

    def __init__(self, broker: MemoryBroker, *, name: str, will: Will | None = None) -> None:
        self.name = name
        self.stats = BusStats()
        self._broker = broker
        self._will = will
        self._inbox = Inbox(self.stats)
        self._arrival = threading.Condition()
        self._open = True
        self._woken = False
        with broker.lock:
            broker.clients.append(self)

    @property
    def connected(self) -> bool:
        return self._open

    def subscribe(
        self,
        topic_filter: str,
        handler: Handler,
        *,
        qos: int = 0,
        keep: int = 256,
        latest: int = False,
        urgent: bool = False,
    ) -> InboxSubscription:
        subscription = InboxSubscription(
            topic_filter, handler, qos=qos, keep=keep, latest=latest, urgent=urgent, forget=self._forget
        )
        self._still_open()
        with self._broker.lock, self._arrival:
            self._inbox.add(subscription)
            for topic, payload in self._broker.retained.items():
                if matches(topic_filter, topic):
                    self.stats.received += 1
                    self._inbox.put(subscription, topic, payload)
            self._arrival.notify_all()
        return subscription

    def _forget(self, subscription: InboxSubscription) -> None:
        with self._arrival:
            self._inbox.remove(subscription)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        check_topic(topic)
        self._still_open()
        self.stats.published += 1
        self._broker.publish(topic, payload, retain=retain)

    def _offer(self, topic: str, payload: bytes) -> None:
        """Take a message if a subscription wants it; called by the publisher's thread."""
        with self._arrival:
            route = self._inbox.wanted_by(topic)
            if not route:
                return
            self.stats.received += 1
            for subscription in route:
                self._inbox.put(subscription, topic, payload)
            self._arrival.notify_all()

    def poll(self, timeout_s: float = 0.0) -> int:
        self._still_open()
        self.stats.busy_since_s = None
        with self._arrival:
            if not self._inbox and timeout_s > 0:
                self._arrival.wait_for(
                    lambda: len(self._inbox) > 0 or self._woken or not self._open, timeout_s
                )
            self._woken = False
            n_waiting = len(self._inbox)
        self.stats.busy_since_s = time.monotonic()
        return deliver(n_waiting, self._take)

    def _take(self) -> Delivery | None:
        with self._arrival:  # the handler runs outside the lock, because it may publish, subscribe or cancel
            return self._inbox.take()

    def wake(self) -> None:
        with self._arrival:
            self._woken = True
            self._arrival.notify_all()

    def close(self) -> None:
        """Leave in good order: the will is not sent. A second call changes nothing."""
        self._will = None
        self._leave()

    def kill(self) -> None:
        """Vanish as a crashed process would: the will is sent."""
        self._leave()

    def _leave(self) -> None:
        with self._broker.lock:
            if self in self._broker.clients:
                self._broker.clients.remove(self)
            will, self._will = self._will, None
            if will is not None:
                self._broker.publish(will.topic, will.payload, retain=True)
        with self._arrival:
            self._open = False
            self._inbox.clear()
            self._arrival.notify_all()

    def _still_open(self) -> None:
        if not self._open:
            raise BusError(f"the bus of {self.name!r} is closed; open a new one with open_bus()")
