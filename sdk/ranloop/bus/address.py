"""The address of an MQTT broker and our credentials there: a URL, completed by `RANLOOP_MQTT_*` from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import R_OK, access
from typing import Self
from urllib.parse import SplitResult, unquote

from ranloop.errors import BusError

MQTT_PORT = 1883
MQTTS_PORT = 8883  # IANA: secure-mqtt
MOST_SERVERS = 64  # in one URL; the port of the last one is no number if there are more
SPIN_US = 600  # how long a client looks for more after traffic before it sleeps
_LONGEST_SPIN_US = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttAddress:
    """A broker's address and our credentials. `str()` shows the address alone, never a password.

    `others` are more servers of the same cluster, host and port: a client takes the first that answers, and goes round them
    when its own one is gone.
    """

    host: str
    port: int = MQTT_PORT
    others: tuple[tuple[str, int], ...] = ()
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    spin_us: int = SPIN_US

    def __str__(self) -> str:
        servers = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.servers)
        return f"{'mqtts' if self.tls else 'mqtt'}://{','.join(servers)}"

    @property
    def servers(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each server, in the order of the URL."""
        return ((self.host, self.port), *self.others)

    @classmethod
    def from_url(cls, url: SplitResult, environment: Mapping[str, str] = os.environ) -> Self:
        """The address in `url`. `environment` fills in the parts that the URL leaves out.

        Raises:
            BusError: The URL has no host, its port is not a number from 1 to 65535, or RANLOOP_MQTT_SPIN_US is not a time.
        """
        tls = url.scheme == "mqtts"
        (host, port), *others = [
            _server(url, text) for text in url.netloc.rpartition("@")[2].split(",", MOST_SERVERS)
        ]
        return cls(
            host=host,
            port=port,
            others=tuple(others),
            tls=tls,
            user=_decoded(url.username) or environment.get("RANLOOP_MQTT_USER"),
            password=_decoded(url.password) or environment.get("RANLOOP_MQTT_PASSWORD"),
            ca_file=environment.get("RANLOOP_MQTT_CA"),
            cert_file=environment.get("RANLOOP_MQTT_CERT"),
            key_file=environment.get("RANLOOP_MQTT_KEY"),
            spin_us=_spin_us(environment.get("RANLOOP_MQTT_SPIN_US")),
        )

    def unreadable_file(self) -> str:
        """The first of our TLS files that cannot be read, with the variable that names it; "" if all can."""
        files = {"CA": self.ca_file, "CERT": self.cert_file, "KEY": self.key_file}
        lacking = (
            f"{file} (RANLOOP_MQTT_{name})" for name, file in files.items() if file and not access(file, R_OK)
        )
        return next(lacking, "")

    def advice_when_refused(self) -> str:
        """What to check when the broker refuses us, or hangs up without a word as it does over a certificate."""
        if self.cert_file:
            return (
                f"check the certificate {self.cert_file} (RANLOOP_MQTT_CERT): the broker must trust its CA and know its name, "
                "and it must be valid now"
            )
        if self.tls and self.user is None:
            return "it may want a certificate of ours: RANLOOP_MQTT_CERT and RANLOOP_MQTT_KEY"
        return "check RANLOOP_MQTT_USER and RANLOOP_MQTT_PASSWORD"


def _server(url: SplitResult, text: str) -> tuple[str, int]:
    """Host and port of one of the servers in a URL."""
    one = url._replace(netloc=text)
    try:
        port = one.port or (MQTTS_PORT if url.scheme == "mqtts" else MQTT_PORT)
    except ValueError as error:
        raise BusError(f"the port of {text!r} cannot be used: {error}") from error
    if not one.hostname:
        raise BusError(f"a broker's address needs a host: {url.scheme}://host[:port][,host[:port]…]")
    return one.hostname, port


def _decoded(part: str | None) -> str | None:
    return None if part is None else unquote(part)


def _spin_us(text: str | None) -> int:
    if text is None:
        return SPIN_US
    if not text.isascii() or not text.isdigit() or int(text) > _LONGEST_SPIN_US:
        raise BusError(
            f"RANLOOP_MQTT_SPIN_US is {text!r}; write microseconds from 0 (sleep at once) to {_LONGEST_SPIN_US}"
        )
    return int(text)


def spare_cpus() -> bool:
    """Whether a process that waits awake leaves a CPU free for the process it waits for."""
    usable = getattr(os, "sched_getaffinity", None)  # not on every system
    return (len(usable(0)) if usable is not None else os.cpu_count() or 1) > 1
