"""`ranloop order` and `ranloop broker`: what an operator types."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Literal

from ranloop.bus import open_bus
from ranloop.bus.broker import Broker
from ranloop.cli.values import parse_autonomy
from ranloop.errors import RanloopError
from ranloop.wire import topics
from ranloop.wire.codec import decode_catalogue, encode
from ranloop.wire.messages import Order

__all__ = ("run_broker", "send_order", "stop_on_signals")


def send_order(node: str, bus_url: str, *, kill: bool | None, xapp: str, autonomy: str) -> int:
    """Publish one order to one node, or to every node that has a catalogue on the bus."""
    if kill is None and not autonomy:
        raise RanloopError("nothing to order: give --kill, --revive, or --xapp with --autonomy")
    if bool(autonomy) != bool(xapp):
        raise RanloopError("--xapp and --autonomy go together")
    if autonomy:
        parse_autonomy(autonomy)
    bus = open_bus(bus_url, name="operator")
    nodes = [node] if node != "all" else []
    if node == "all":
        bus.subscribe(
            topics.catalogue("+"), lambda _topic, payload: nodes.append(decode_catalogue(payload).node), qos=1
        )
        while bus.poll(1.0):
            pass
        if not nodes:
            raise RanloopError(f"no node has a catalogue on {bus_url}")
    for name in nodes:
        bus.publish(topics.order(name), encode(Order(kill=kill, xapp=xapp, autonomy=autonomy)), qos=1)
        print(f"ordered {name}")
    bus.poll(0.2)
    bus.close()
    return 0


def run_broker(*, port: int, kind: Literal["auto", "mosquitto", "nats"]) -> int:
    """Run a broker in the foreground until it is stopped."""
    stop = stop_on_signals()
    with Broker.start(kind, port=port) as broker:
        print(
            f"{broker.kind} listens on {broker.url} (this machine only, no passwords); stop with Ctrl-C",
            flush=True,
        )
        stop.wait()
    return 0


def stop_on_signals(stop_now: Callable[[], object] | None = None) -> threading.Event:
    """An event that SIGTERM and SIGINT set (and call `stop_now`), so that a run drains instead of breaking off."""
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        stop.set()
        if stop_now:
            stop_now()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop
