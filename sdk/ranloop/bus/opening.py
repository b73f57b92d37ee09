"""Open a bus by its URL: `memory://name`, `mqtt://[user:password@]host[:port][,host[:port]…]`, `mqtts://...`."""

from __future__ import annotations

from urllib.parse import urlsplit

from ranloop.bus.address import MqttAddress
from ranloop.bus.base import Bus, Will
from ranloop.bus.memory import MemoryBus, memory_broker
from ranloop.errors import BusError

_POSSIBLE = "write memory://name, mqtt://host[:port] or mqtts://host[:port]; servers of one cluster are separated by commas"


def open_bus(url: str, *, name: str, will: Will | None = None, connect_timeout_s: float = 5.0) -> Bus:
    """A connected bus.

    Args:
        url: `memory://name` for participants of one process, `mqtt://` or `mqtts://` for a broker, or for the servers
            of a cluster of brokers. For these the environment fills in the parts that the URL leaves out:
            RANLOOP_MQTT_USER, _PASSWORD, _CA, _CERT, _KEY, _SPIN_US.
        name: Name of the participant; a part of the MQTT client id and of error texts.
        will: Published and retained by the broker when this client vanishes without `close`.
        connect_timeout_s: Time in which the broker must accept the connection.

    Raises:
        BusError: The scheme is unknown, there is no broker, or the broker refuses us.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BusError(f"{without_password(url)!r} is not a bus address ({error}); {_POSSIBLE}") from error
    if parts.scheme == "memory":
        return MemoryBus(memory_broker(parts.netloc + parts.path), name=name, will=will)
    if parts.scheme in ("mqtt", "mqtts"):
        from ranloop.bus.mqtt import MqttBus  # here, so that the embedded default never loads paho

        address = MqttAddress.from_url(parts)
        return MqttBus(address, name=name, will=will, connect_timeout_s=connect_timeout_s)
    raise BusError(f"{without_password(url)!r} is not a bus address; {_POSSIBLE}")


def without_password(url: str) -> str:
    """`url` without the text before an `@`, so that it may be shown, also if it is no valid address."""
    before, at, host = url.rpartition("@")
    scheme, slashes, _ = before.rpartition("//")
    return f"{scheme}{slashes}***@{host}" if at else url
