"""The bus over an MQTT 3.1.1 broker: paho's client in the caller's thread, without a thread of its own.

`poll` drains the socket and then runs the handlers, so that `latest` really conflates. Nagle's algorithm and delayed ACKs
together stall a QoS 1 hop for 40 ms. Both are off on our side, whatever the broker does.

Right after traffic, when the answer or the next request is near, `poll` looks again and again instead of sleeping
(`lookout`): a process that sleeps wakes up with cold caches, which costs a loop more than all of its work.
"""

from __future__ import annotations

import secrets
import select
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from typing import Any
from zlib import crc32

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from ranloop.bus.address import MqttAddress, spare_cpus
from ranloop.bus.base import BusStats, Handler, Will
from ranloop.bus.filters import check_topic
from ranloop.bus.inbox import Delivery, Inbox, InboxSubscription, deliver
from ranloop.bus.interest import Interest
from ranloop.bus.knock import Knock
from ranloop.bus.lookout import Lookout
from ranloop.bus.meter import is_round
from ranloop.bus.oversize import LARGE_BYTES, Oversize
from ranloop.closing import Closing
from ranloop.errors import BusError

log = structlog.get_logger(__name__)

KEEPALIVE_S = 30
OUTBOX = 1000  # QoS 1 messages that wait for the broker to come back
IN_FLIGHT = 1000  # QoS 1 messages sent and not yet acknowledged; paho's 20 let later messages overtake
UNFLUSHED = 1000  # packets that wait for a full socket to take them
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.05, 5.0
STABLE_S = 5.0  # a connection that lasted longer resets the backoff
_DRAIN_S = 0.02  # of reading in one poll, so that a flood does not keep the handlers waiting
_LINGER_S = 0.5
_TICK_S = 0.5  # interval of keepalive and of repeated requests for retained messages
_READ_AHEAD = 1 << 14  # bytes: a report of 300 UEs in one system call
_WITHHELD = 8  # acknowledgements that wait for the handlers; mosquitto stops sending after 20

_WRONG_TIME = (9, 10)  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED

_READ_OR_WRITE = select.POLLIN | select.POLLOUT
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only
_CORK: int | None = getattr(socket, "TCP_CORK", None)  # Linux only


class _Client(paho.Client):
    """paho's client with a read buffer. paho itself takes three reads for each packet: one byte, the length, the rest.

    If a later paho reads in another way, the buffer stays empty, and each packet costs its system calls again.
    """

    _ahead, _at = b"", 0
    readable = False  # the socket may have more; its owner sets it after waiting for input

    @property
    def has_ahead(self) -> bool:
        """Whether the buffer holds input that paho has not asked for yet."""
        return self._at < len(self._ahead)

    def forget_ahead(self) -> None:
        """Empty the buffer for a new connection."""
        self._ahead, self._at, self.readable = b"", 0, False

    def keeps(self, number: int) -> bool:
        """Whether this QoS 1 message is not acknowledged yet, so that paho will send it again."""
        return number in self._out_messages

    def let_go(self, number: int) -> None:
        """Forget this QoS 1 message: it is not sent again, also when the connection is back."""
        self._out_messages.pop(number, None)

    def _sock_recv(self, bufsize: int) -> bytes:
        at = self._at
        if at == len(self._ahead):
            if not self.readable:
                raise BlockingIOError
            most = max(bufsize, _READ_AHEAD)
            self._ahead, at = super()._sock_recv(most), 0
            # A short read has emptied a plain socket. A TLS socket gives one record at a time and is asked again.
            self.readable = len(self._ahead) == most or isinstance(self.socket(), ssl.SSLSocket)
        self._at = at + bufsize
        self._at = min(len(self._ahead), self._at)
        return self._ahead[at : self._at]


class MqttBus(Closing):
    """A client of an MQTT broker. One thread uses it.

    `poll` restores a lost connection and renews the subscriptions. Messages that are published meanwhile with QoS 1 are kept
    (up to `OUTBOX`); those with QoS 0 are counted as unsent. QoS 1 is at least once: a message whose acknowledgement was
    lost with the connection is sent again.
    """

    def __init__(
        self,
        address: MqttAddress,
        *,
        name: str,
        will: Will | None = None,
        connect_timeout_s: float = 5.0,
        client_id: str | None = None,
    ) -> None:
        self.name = name
        self.stats = BusStats()
        self.client_id = client_id or f"ranloop-{name}-{secrets.token_hex(16)}"
        self._address = address
        self._client = self._make_client(will)  # before any socket is open, because it may raise
        self._inbox = Inbox(self.stats)
        self._poller = select.poll()  # knows the broker's socket, and the one by which `wake` ends a wait
        self._woken = False
        self._events = 0  # that the poller waits for on the broker's socket
        self._knock = Knock(address.servers)
        self._outbox: deque[tuple[str, bytes, bool]] = deque()
        self._unflushed = 0
        self._oversize = Oversize()
        self._large: dict[int, tuple[str, int]] = {}  # QoS 1 messages that may be sent again: topic, bytes
        self._unacknowledged: list[int] = []  # ids of QoS 1 messages whose PUBACK is still to be sent
        self._lookout = Lookout(address.spin_us * 1e-6 if spare_cpus() else 0.0)
        self._has_read = False  # since TCP was last told to acknowledge at once
        self._connected = self._closed = self._leaving = False
        self._refusal: ReasonCode | None = None
        self._connected_at_s = self._lost_at_s = self._retry_at_s = self._ticked_at_s = 0.0
        self._backoff_s = FIRST_BACKOFF_S
        self._n_lost = 0  # connections in a row that did not last
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._poller.register(self._bell, select.POLLIN)
        self._interest = Interest(self._client)
        self._open(connect_timeout_s)

    # --- the bus protocol --------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._connected

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
        self._still_open()
        subscription = InboxSubscription(
            topic_filter, handler, qos=qos, keep=keep, latest=latest, urgent=urgent, forget=self._forget
        )
        self._inbox.add(subscription)
        if self._connected:
            self._interest.add(subscription)
        return subscription

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        check_topic(topic)
        self._still_open()
        if not self._connected:
            if qos == 0 or len(self._outbox) >= OUTBOX:
                self.stats.unsent += 1
            else:
                self._outbox.append((topic, payload, retain))
                self.stats.outbox = len(self._outbox)
            return
        self._send(topic, payload, qos, retain)

    def poll(self, timeout_s: float = 0.0) -> int:
        self._still_open()
        deadline_s = time.monotonic() + timeout_s
        self.stats.busy_since_s = None
        while True:
            left_s = max(deadline_s - time.monotonic(), 0.0) if not self._inbox else 0.0
            if self._connected:
                self._exchange(min(left_s, _TICK_S))
            else:
                self._come_back(left_s)
            if self._inbox or self._woken or time.monotonic() >= deadline_s:
                self._woken = False
                self.stats.busy_since_s = time.monotonic()
                try:
                    return deliver(len(self._inbox), self._take)
                finally:  # also when a handler raised: its last publish may be held back for the acknowledgement
                    self._acknowledge()

    def wake(self) -> None:
        with suppress(BlockingIOError, OSError):  # it is full, so it rings already; or the bus is closed
            self._rope.send(b"!")

    def close(self) -> None:
        """Leave in good order: the will is not sent. A second call changes nothing."""
        if self._closed:
            return
        self._inbox.clear()
        if self._connected:
            give_up_s = time.monotonic() + _LINGER_S
            while self._client.want_write() and self._connected and time.monotonic() < give_up_s:
                self._exchange(0.01)
        self._leaving = True
        if self._client.socket() is not None:
            self._client.disconnect()
        self._drop()

    def kill(self) -> None:
        """Vanish as a crashed process would: the broker publishes the will."""
        self._drop()

    # --- connection --------------------------------------------------------------------------------------------

    def _make_client(self, will: Will | None) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2, client_id=self.client_id, reconnect_on_failure=False, manual_ack=True
        )
        client.max_inflight_messages_set(IN_FLIGHT)
        client.max_queued_messages_set(IN_FLIGHT + OUTBOX)
        if self._address.user is not None:
            client.username_pw_set(self._address.user, self._address.password)
        if self._address.tls:
            try:
                client.tls_set(self._address.ca_file, self._address.cert_file, self._address.key_file)
            except (OSError, ValueError) as error:
                lacking = self._address.unreadable_file()
                reason = (
                    f"{lacking} cannot be read"
                    if lacking
                    else f"{error}; check RANLOOP_MQTT_CA, _CERT and _KEY"
                )
                raise BusError(f"the TLS files for {self._address} cannot be used: {reason}") from error
        if will is not None:
            client.will_set(check_topic(will.topic), will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        return client

    def _open(self, timeout_s: float) -> None:
        """Connect for the first time, to the first server that answers within `timeout_s`.

        Raises:
            BusError: There is no broker, or it refuses us.
        """
        self._client.connect_timeout = timeout_s
        failure: OSError | None = None
        for server in self._address.servers:
            try:
                self._connect(server, timeout_s)
            except OSError as error:
                failure = error
            else:
                break
        else:
            self._drop()
            assert failure is not None
            reason = failure.strerror or str(failure) or type(failure).__name__
            raise BusError(f"no broker at {self._address}: {reason.lower()}; {_advice(failure)}") from failure
        if not self._connected:
            self._drop()
            reason = str(self._refusal) if self._refusal is not None else "the connection was closed"
            raise BusError(
                f"the broker at {self._address} refused {self.name!r}: {reason.lower()}; "
                f"{self._address.advice_when_refused()}"
            )

    def _connect(self, server: tuple[str, int], timeout_s: float) -> None:
        """Wait until a server has accepted or refused us.

        Raises:
            OSError: It does neither.
        """
        deadline_s = time.monotonic() + timeout_s
        self._client.connect(*server, KEEPALIVE_S)
        while not self._connected and self._client.socket() is not None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"no answer within {timeout_s:g} s")
            self._exchange(left_s)

    def _come_back(self, timeout_s: float) -> None:
        """Try to reconnect, for at most `timeout_s`."""
        now_s = time.monotonic()
        if self._client.socket() is not None:
            self._exchange(timeout_s)  # CONNECT is sent; paho gives up after KEEPALIVE_S without a CONNACK
        elif self._knock.under_way:
            answer = self._knock.answered(now_s, timeout_s)
            if answer:
                self._reconnect()
            elif answer is False:
                self._try_again_later()
        elif now_s >= self._retry_at_s:
            try:
                self._knock.start(now_s)
            except OSError:  # the bus stays unconnected, and tries again after the backoff
                self._try_again_later()
        elif timeout_s > 0:
            time.sleep(min(self._retry_at_s - now_s, timeout_s))

    def _reconnect(self) -> None:
        """Connect after an answered knock. A stalling TLS handshake may take as long as the first connection's timeout."""
        try:
            self._client.connect(*self._knock.server, KEEPALIVE_S)
        except OSError:  # the broker went away between the knock and the call
            self._try_again_later()

    def _try_again_later(self) -> None:
        # The random client id spreads the clients, so that they do not all come back at the same instant.
        spread = 0.5 + 0.5 * crc32(self.client_id.encode()) / 0xFFFF_FFFF
        self._retry_at_s = time.monotonic() + self._backoff_s * spread
        self._backoff_s = min(2 * self._backoff_s, LAST_BACKOFF_S)

    def _drop(self) -> None:
        self._closed, self._connected = True, False
        connection = self._client.socket()
        if connection is not None:
            connection.close()
        self._inbox.clear()
        self._knock.stop()
        self._bell.close()
        self._rope.close()

    def _still_open(self) -> None:
        if self._closed:
            raise BusError(f"the bus of {self.name!r} is closed; open a new one with open_bus()")

    # --- input and output --------------------------------------------------------------------------------------

    def _exchange(self, timeout_s: float) -> None:
        """Write pending output, wait up to `timeout_s` for input, and read for at most `_DRAIN_S`."""
        self._acknowledge()
        client = self._client
        connection = client.socket()
        if connection is None:
            return
        events = _READ_OR_WRITE if client.want_write() else select.POLLIN
        if self._events != events:
            self._events = events
            self._poller.modify(connection, events)
        began_s = 0.0
        while True:
            if not client.has_ahead:
                pending = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
                ready = self._lookout.wait(self._poller, 0.0 if pending else timeout_s)
                timeout_s = 0.0
                # Every event but "writable" asks for a read: errors and hang-ups show when the socket is read.
                client.readable = pending or any(
                    mask != select.POLLOUT for fd, mask in ready if fd == connection.fileno()
                )
                if any(fd == self._bell.fileno() for fd, _ in ready):
                    self._bell.recv(_READ_AHEAD)
                    self._woken = True
            readable = client.readable or client.has_ahead
            if readable:
                self._has_read = True
                self._lookout.stay_awake()
                client.loop_read()
            if client.want_write():
                client.loop_write()
            connection = client.socket()
            if connection is None or not (client.has_ahead or client.readable):
                # Short reads drain the socket. With many messages in flight the broker waits for acknowledgements.
                if connection is None or len(self._unacknowledged) < _WITHHELD:
                    break
                self._acknowledge()
            began_s = began_s or time.monotonic()  # waiting for the first input does not count
            if time.monotonic() - began_s > _DRAIN_S:
                break
        now_s = time.monotonic()
        if now_s - self._ticked_at_s >= _TICK_S:
            self._ticked_at_s = now_s
            client.loop_misc()
            if self._connected:
                self._interest.ask_again()
        # paho has sent its own repetitions by now, so the order of publishing is kept.
        while self._outbox and self._connected:
            topic, payload, retain = self._outbox.popleft()
            self.stats.outbox = len(self._outbox)
            self._send(topic, payload, 1, retain)

    def _acknowledge(self) -> None:
        """Acknowledge the messages that were read, to the broker and in TCP.

        This comes after the handlers, because others wait for the messages that the handlers publish. The kernel falls back
        to delayed ACKs after each read, so the socket option is set each time.
        """
        if self._closed:  # a handler closed the bus
            return
        if self._unacknowledged:
            messages, self._unacknowledged = self._unacknowledged, []
            for message in messages:
                self._client.ack(message, 1)
            self._cork(False)
        if self._has_read:
            self._has_read = False
            connection = self._client.socket()
            if _QUICKACK is not None and isinstance(connection, socket.socket):
                connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _send(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        if self._client.want_write():  # the socket is full: the broker does not keep up
            self._client.loop_write()
            self._unflushed = self._unflushed + 1 if self._client.want_write() else 0
            if self._unflushed > UNFLUSHED:
                self.stats.unsent += 1
                return
        self._lookout.stay_awake()
        if len(payload) >= LARGE_BYTES and self._oversize.refuses(topic, len(payload), time.monotonic()):
            self.stats.unsent += 1
            return
        # paho writes to the socket right here, because none of its callbacks is running and it has no thread.
        sent = self._client.publish(topic, payload, qos, retain)
        if len(payload) >= LARGE_BYTES:
            self._note_large(sent, topic, len(payload), qos)
        code = sent.rc
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS or (qos and code == MQTTErrorCode.MQTT_ERR_NO_CONN):
            self.stats.published += 1
        else:
            self.stats.unsent += 1

    def _note_large(self, sent: paho.MQTTMessageInfo, topic: str, n_bytes: int, qos: int) -> None:
        self._oversize.sent(topic, n_bytes)
        if qos:
            self._large = {number: one for number, one in self._large.items() if self._client.keeps(number)}
            self._large[sent.mid] = topic, n_bytes

    def _name_oversize(self) -> None:
        """Name the message for which the broker closed the connection, and send it no more."""
        now_s = time.monotonic()
        refused = self._oversize.hung_up(self._connected_at_s, now_s)
        if refused is not None:
            log.error(
                "publish_too_large",
                bus=self.name,
                broker=str(self._address),
                topic=refused.topic,
                bytes=refused.n_bytes,
                advice="the broker hangs up for its size, so none is sent for a minute; raise max_payload of nats-server, "
                "max_packet_size of mosquitto",
            )
        for number, (topic, n_bytes) in list(self._large.items()):
            if self._oversize.refuses(topic, n_bytes, now_s):
                del self._large[number]
                self._client.let_go(number)
                self.stats.unsent += 1

    def _take(self) -> Delivery | None:
        if self._unacknowledged and len(self._inbox) == 1:
            # The last handler's publish and the acknowledgements leave in one packet.
            self._cork(True)
        return self._inbox.take()

    def _cork(self, cork: bool) -> None:
        connection = self._client.socket()
        if _CORK is not None and isinstance(connection, socket.socket):
            connection.setsockopt(socket.IPPROTO_TCP, _CORK, cork)

    def _forget(self, subscription: InboxSubscription) -> None:
        is_there = subscription in self._inbox.subscriptions
        self._inbox.remove(subscription)
        self._interest.forget(subscription)
        if self._connected and is_there:
            self._interest.remove(subscription)

    # --- paho's callbacks --------------------------------------------------------------------------------------

    def _on_connect(
        self, client: paho.Client, data: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = reason
            return
        if self._connected_at_s:
            self.stats.reconnects += 1
            if is_round(self._n_lost):
                away_s = round(time.monotonic() - self._lost_at_s, 1)
                log.warning("bus_reconnected", bus=self.name, broker=str(self._address), after_s=away_s)
        self._connected, self._connected_at_s = True, time.monotonic()
        for number, (topic, n_bytes) in self._large.items():
            if self._client.keeps(number):
                self._oversize.sent(topic, n_bytes)  # paho sends it again now
        self._unflushed = 0
        self._interest.renew(self._inbox.subscriptions)

    def _on_disconnect(
        self, client: paho.Client, data: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        if self._connected and time.monotonic() - self._connected_at_s > STABLE_S:
            self._backoff_s, self._n_lost = FIRST_BACKOFF_S, 0
        if self._connected and not self._leaving:
            self._lost_at_s = time.monotonic()
            self._n_lost += 1
            if is_round(self._n_lost):  # a broker that hangs up again and again is told ever more rarely
                log.warning(
                    "bus_disconnected",
                    bus=self.name,
                    broker=str(self._address),
                    reason=str(reason).lower(),
                    in_a_row=self._n_lost,
                    next="tries again until it is back",
                )
        if self._connected and not self._leaving:
            self._name_oversize()
        self._connected = False
        self._try_again_later()

    def _on_subscribe(
        self, client: paho.Client, data: Any, number: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        if refused := self._interest.refused(number, reasons):
            log.error(
                "subscription_refused",
                bus=self.name,
                broker=str(self._address),
                filters=refused,
                advice="the user's access list, or nats-server's 65535 / mqtt.max_ack_pending filters of a client; asked again",
            )

    def _on_message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        topic, payload = message.topic, bytes(message.payload)
        if message.qos:
            self._unacknowledged.append(message.mid)
        route = self._inbox.wanted_by(topic)
        if message.retain:
            # Sent because of a subscription; one that had it from an earlier one does not get it again.
            route = self._interest.new_to(route, topic, payload)
        elif message.qos:
            self._interest.heard_live(route, topic)
        if route:
            self.stats.received += 1
            for one in route:
                for missed in self._inbox.put(one, topic, payload):
                    self._interest.missed(one, missed)

    def _on_socket_open(self, client: paho.Client, data: Any, connection: Any) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._events = select.POLLIN
        self._poller.register(connection, self._events)
        self._client.forget_ahead()
        self._unacknowledged.clear()

    def _on_socket_close(self, client: paho.Client, data: Any, connection: Any) -> None:
        if not self._closed:
            self._poller.unregister(connection)
        if self._leaving and not isinstance(connection, ssl.SSLSocket):
            # A close with unread input resets the connection, and output that is still on its way would be lost.
            with suppress(OSError):  # the broker is gone or silent
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(_LINGER_S)
                while connection.recv(65_536):
                    pass


def _advice(error: OSError) -> str:
    """What to do about a broker that was not reached."""
    if not isinstance(error, ssl.SSLError):
        return "start one with: ranloop broker"
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _WRONG_TIME:
        return "check the clock here (NTP), and the certificates"
    return "check the certificates"
