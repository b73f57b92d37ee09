"""`ranloop order --forget`: withdraws standing orders, also those that no node obeys."""

from __future__ import annotations

import contextlib
import json
import time

import structlog

from ranloop.bus import open_bus, without_password
from ranloop.cli.values import check_name
from ranloop.errors import RanloopError, WireError
from ranloop.wire import topics
from ranloop.wire.codec import decode_standing

__all__ = ("forget_orders",)

log = structlog.get_logger(__name__)

QUIET_S = 1.0  # a broker sends retained messages at once; after this time without one there are no more
FORGOTTEN_S = 5.0


def forget_orders(node: str, bus_url: str, *, xapp: str, json_output: bool) -> int:
    """Withdraw the order about the kill switch, or about one xApp, at one node or wherever it stands.

    A running node still obeys the withdrawn order, but its host forgets it for the next start. A host that is away still
    remembers the order; a warning names its nodes.

    Raises:
        RanloopError: No such order stands, or the broker refuses to forget it.
    """
    check_name("node", node)
    check_name("xApp", xapp or "-")
    standing: set[str] = set()

    def on_order(topic: str, payload: bytes) -> None:
        # MQTT 3.1.1 clause 3.3.1.3: an empty retained message forgets the topic, and is passed on.
        (standing.add if payload else standing.discard)(topic)

    remembered: dict[str, set[str]] = {}  # node -> places of orders that its host remembers

    def on_standing(topic: str, payload: bytes) -> None:
        with contextlib.suppress(WireError):
            remembered[topics.levels(topic)[1]] = set(decode_standing(payload).orders)

    place = without_password(bus_url)
    with contextlib.closing(open_bus(bus_url, name="operator")) as bus:
        bus.subscribe(topics.order("+" if node == topics.ALL else node, xapp), on_order, qos=1)
        bus.subscribe(topics.standing("+"), on_standing, qos=1)
        while bus.poll(QUIET_S):
            pass
        found = sorted(standing)
        for topic in found:
            bus.publish(topic, b"", qos=1, retain=True)
        give_up_s = time.monotonic() + FORGOTTEN_S
        while standing and (left_s := give_up_s - time.monotonic()) > 0:
            bus.poll(left_s)
        withdrawn = {topics.place(topic) for topic in found}
        while any(withdrawn & places for places in remembered.values()) and bus.poll(QUIET_S):
            pass
    if not found:
        about, at = (
            (f"xApp {xapp!r}" if xapp else "the kill switch"),
            (node if node != topics.ALL else "any node"),
        )
        raise RanloopError(f"no order about {about} stands for {at} on {place}; nothing to forget")
    if standing:
        raise RanloopError(f"{place} keeps {', '.join(sorted(standing))}: may this user write there?")
    if away := sorted(name for name, places in remembered.items() if withdrawn & places):
        log.warning(
            "hosts_remember",
            nodes=away,
            advice="their hosts are away; order the opposite to each, or they obey it when they start",
        )
    nodes = [topics.levels(topic)[1] for topic in found]
    print(
        json.dumps({"forgotten": nodes}, indent=2)
        if json_output
        else "\n".join(f"forgotten for {name}" for name in nodes)
    )
    return 0
