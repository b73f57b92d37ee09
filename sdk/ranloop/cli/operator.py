"""The commands of an operator: `ranloop order` and `ranloop broker`."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import structlog

from ranloop.bus import Bus, is_question, open_bus, without_password
from ranloop.bus.broker import Broker
from ranloop.cli import answer_ending
from ranloop.cli.values import check_name, operator_name, parse_autonomy
from ranloop.errors import BusError, NameTakenError, RanloopError, WireError
from ranloop.foreign import one_line
from ranloop.guard import Autonomy
from ranloop.vocabulary.near import near_matches
from ranloop.wire import topics
from ranloop.wire.codec import decode_catalogue, decode_presence, decode_standing, encode
from ranloop.wire.messages import Order, Presence

__all__ = ("leave_will_on_error", "publish_orders", "run_broker", "send_order", "stop_on_signals")

log = structlog.get_logger(__name__)

CATALOGUES_AT_MOST_S = 5.0
CATALOGUES_S = 1.0  # a broker sends retained messages at once; after this time without one there are no more
CONFIRMED_S = 5.0  # a running host answers within milliseconds


def send_order(
    node: str,
    bus_url: str,
    *,
    kill: bool | None,
    xapp: str,
    autonomy: str,
    json_output: bool = False,
    tell: Callable[[str], object] = print,
) -> int:
    """Publish one order to one node or to all nodes; 0 when all of them confirmed it. `tell` gets what they answered.

    The order is retained: a node that does not answer now obeys when it is back. A kill is published before anything is
    read, so no message on the bus can delay it. The life sign of a host lists the admitted xApps. An order that lets an
    xApp act is refused if the life signs do not list the xApp, because its name may be misspelt. Anybody can forge a life
    sign, so no life sign prevents an order that stops an xApp.
    """
    if kill is None and not autonomy:
        raise RanloopError("nothing to order: give --kill, --revive, or --xapp with --autonomy")
    if bool(autonomy) != bool(xapp):
        raise RanloopError("--xapp and --autonomy go together")
    check_name("node", node)
    if autonomy:
        parse_autonomy(autonomy)
        check_name("xApp", xapp)
    place, by = without_password(bus_url), operator_name(bus_url)
    with contextlib.closing(open_bus(bus_url, name="operator")) as bus:
        switch = Order(id=uuid.uuid4().hex, kill=kill, by=by)
        answers = _Answers(bus)
        if kill:
            publish_orders(bus, [(node, switch)])
        readable, admitted = _nodes_on(bus, until=node, xapp=xapp)
        names = list(readable) if node == topics.ALL else [node]
        _require_known(node, readable, place, is_killed=bool(kill))
        without = [name for name in names if xapp and xapp not in admitted.get(name, {xapp})]
        refused = _refused(node, xapp, without, admitted) if len(without) == len(names) else ""
        demotes = autonomy not in ("", Autonomy.ACT)
        if refused and not demotes and not kill:
            raise RanloopError(f"{refused}; nothing was ordered")
        if without and demotes:
            log.warning("ordered_all_the_same", reason=_refused(", ".join(without), xapp, without, admitted))
        awaited = [] if kill is None else [(name, switch) for name in names]
        if kill is False:
            if node == topics.ALL:  # an order to one node may have killed it, too
                own = replace(switch, id=uuid.uuid4().hex)
                publish_orders(bus, [(name, own) for name in names])
                awaited += [(name, own) for name in names]
            publish_orders(bus, [(node, switch)])
        if xapp:
            limit = Order(id=uuid.uuid4().hex, xapp=xapp, autonomy=autonomy, by=by)
            admitting = [name for name in names if name not in without]
            publish_orders(bus, [(name, limit) for name in (names if demotes else admitting)])
            # A node that does not admit the xApp is not waited for, unless no node admits it.
            awaited += [(name, limit) for name in admitting]
            awaited = awaited or [(name, limit) for name in without]
        obeyed = answers.wait_for(awaited)
        names = list(dict.fromkeys(name for name, _ in awaited))
        silent = [name for name in names if name not in obeyed]
        left = _left_in_order(bus, silent) if silent and kill is not None and not xapp else []
    silent = [name for name in silent if name not in left]
    if json_output:
        facts = {"obeyed": [name for name in names if name in obeyed], "silent": silent, "left": left}
        tell(json.dumps(facts, indent=2))
    else:
        for name in names:
            away = "is not hosted: its host left in order, and obeys when it is back"
            tell(f"{name} {'obeys' if name in obeyed else away if name in left else 'does not answer'}")
    if silent:
        raise RanloopError(
            f"{', '.join(silent)} did not confirm within {CONFIRMED_S:g} s: no live host, or no such xApp there; "
            f"if the broker let this user write there, the order stands on {place} until --forget, and holds when the node is back"
        )
    if kill is False and (killed := sorted(answers.killed.intersection(names))):
        raise RanloopError(
            f"{', '.join(killed)} stays killed: an order to all nodes stands; order all --revive, or "
            "order all --forget and then each node --revive"
        )
    if refused and not demotes:
        raise RanloopError(f"{refused}; only the kill switch was ordered")
    return 0


def _require_known(node: str, readable: Mapping[str, bool], place: str, *, is_killed: bool) -> None:
    """Refuse a node that has no catalogue, or all nodes where there is none.

    Raises:
        RanloopError: The node is unknown; the text says whether a kill was ordered nonetheless.
    """
    if node in readable or (node == topics.ALL and readable):
        return
    fate = (
        "the kill order stands until --forget, and no host confirmed it"
        if is_killed
        else "nothing was ordered"
    )
    if node == topics.ALL:
        raise RanloopError(f"no node has a catalogue on {place}; {fate}")
    known = [name for name, is_readable in readable.items() if is_readable]
    near = ", ".join(near_matches(node, known) or known) or "no node at all"
    raise RanloopError(f"{node!r} has no catalogue on {place}; there is {near}; {fate}")


def _refused(who: str, xapp: str, without: Sequence[str], admitted: Mapping[str, set[str]]) -> str:
    """The sentence that these nodes do not admit the xApp, with the names that they admit."""
    there = sorted(set().union(*(admitted[name] for name in without)))
    near = one_line(", ".join(near_matches(xapp, there) or there)) or "no xApp at all"
    return f"{who} does not admit {xapp!r}; there is {near}"


class _Answers:
    """The hosts' answers to orders from now on.

    Attributes:
        killed: Nodes that are killed, by their latest answer.
    """

    def __init__(self, bus: Bus) -> None:
        self.killed: set[str] = set()
        self._bus = bus
        self._confirmed: set[tuple[str, str]] = set()  # (node, id of an order)
        bus.subscribe(topics.standing("+"), self._on_standing, qos=1)

    def _on_standing(self, topic: str, payload: bytes) -> None:
        node = topics.levels(topic)[1]
        try:
            standing = decode_standing(payload)
        except WireError as error:
            log.warning("answer_ignored", topic=one_line(topic), reason=one_line(str(error)))
            return
        (self.killed.add if standing.killed else self.killed.discard)(node)
        self._confirmed.add((node, standing.order))

    def wait_for(self, orders: Sequence[tuple[str, Order]]) -> set[str]:
        """Nodes that confirm all of their orders within `CONFIRMED_S`."""
        awaited = {(node, order.id) for node, order in orders}
        give_up_s = time.monotonic() + CONFIRMED_S
        while awaited - self._confirmed and (left_s := give_up_s - time.monotonic()) > 0:
            self._bus.poll(left_s)
        return {node for node, _ in awaited} - {node for node, _ in awaited - self._confirmed}


def publish_orders(bus: Bus, orders: Iterable[tuple[str, Order]]) -> None:
    """Publish each order to its node, retained, so that a node that is away obeys when it is back."""
    for node, order in orders:
        bus.publish(topics.order(node, order.xapp), encode(order), qos=1, retain=True)


def _nodes_on(bus: Bus, *, until: str, xapp: str) -> tuple[dict[str, bool], dict[str, set[str]]]:
    """The nodes on the bus and the xApps that they admit.

    The topic of a catalogue names the node, so an order to all nodes also reaches a node whose catalogue is malformed.
    Without `xapp` no life sign is read, because any participant may publish a huge one.

    Args:
        bus: The bus.
        until: Node at which the search may end early.
        xapp: Name of the xApp that an order is about, or "".

    Returns:
        Node -> whether its catalogue can be read; and node of a living host -> admitted xApps, if `xapp` is given.
    """
    nodes: dict[str, bool] = {}
    hosts: dict[str, Presence] = {}

    def on_catalogue(topic: str, payload: bytes) -> None:
        name = topics.levels(topic)[1]
        if not topics.is_topic_level(name) or name == topics.ALL:
            return  # no host publishes there
        try:
            nodes[name] = decode_catalogue(payload).node == name
        except WireError as error:
            nodes[name] = False
            log.warning("catalogue_ignored", topic=topic, reason=one_line(str(error)))

    def on_presence(topic: str, payload: bytes) -> None:
        try:
            presence = decode_presence(payload)
            if topic != topics.presence(presence.name):
                raise WireError(f"a life sign of {presence.name!r} came on {topic}")
            if presence.facts.get("kind") == "node-host" and not is_question(presence):
                hosts[topic] = presence
        except WireError as error:
            log.warning("presence_ignored", topic=one_line(topic), reason=one_line(str(error)))

    if xapp:
        bus.subscribe(topics.presence("+"), on_presence, qos=1, latest=True)
    bus.subscribe(topics.catalogue("+"), on_catalogue, qos=1, latest=True, urgent=True)
    give_up_s = time.monotonic() + CATALOGUES_AT_MOST_S
    while time.monotonic() < give_up_s:
        if until in nodes and (not xapp or xapp in _admitted(hosts.values()).get(until, ())):
            break
        if not bus.poll(CATALOGUES_S):
            break
    return dict(sorted(nodes.items())), _admitted(hosts.values())


def _left_in_order(bus: Bus, nodes: Iterable[str]) -> list[str]:
    """Those of `nodes` that the last life sign of some host names as its own, and that no living host has now.

    A host that crashed leaves its will, which names no node.
    """
    signs: dict[str, Presence] = {}

    def on_presence(topic: str, payload: bytes) -> None:
        with contextlib.suppress(WireError):
            presence = decode_presence(payload)
            if topic == topics.presence(presence.name) and presence.facts.get("kind") == "node-host":
                signs[topic] = presence

    bus.subscribe(topics.presence("+"), on_presence, qos=1, latest=True)
    give_up_s = time.monotonic() + CATALOGUES_AT_MOST_S
    while time.monotonic() < give_up_s and bus.poll(CATALOGUES_S):
        pass
    hosted: dict[bool, set[str]] = {True: set(), False: set()}
    for sign in signs.values():
        names = sign.facts.get("nodes")
        hosted[sign.alive].update(map(str, names) if isinstance(names, list) else ())
    return [node for node in nodes if node in hosted[False] - hosted[True]]


def _admitted(hosts: Iterable[Presence]) -> dict[str, set[str]]:
    """Node -> admitted xApps, by the life signs, which anybody can forge."""
    found: dict[str, set[str]] = {}
    for host in hosts:
        nodes, xapps = host.facts.get("nodes"), host.facts.get("xapps")
        if host.alive and isinstance(nodes, list) and isinstance(xapps, list):
            for node in nodes:
                found.setdefault(str(node), set()).update(map(str, xapps))
    return found


def run_broker(*, port: int, kind: Literal["auto", "mosquitto", "nats"], json_output: bool) -> int:
    """Run a broker in the foreground until it is stopped; print its address as soon as it listens.

    Raises:
        BusError: The broker did not start, or it ended by itself.
    """
    try:
        with Broker.start(kind, port=port) as broker:
            facts = {"url": broker.url, "kind": broker.kind, "port": broker.port, "pid": broker.pid}
            print(
                json.dumps(facts)  # on one line, so that a reader of lines gets it while the broker runs
                if json_output
                else f"{broker.kind} listens on {broker.url} (this machine only, no passwords); stop with Ctrl-C",
                flush=True,
            )
            raise BusError(f"{broker.kind} on {broker.url} ended by itself: {broker.wait()}")
    except KeyboardInterrupt:  # or SIGTERM or SIGHUP, which `main` answers alike
        return 0


def stop_on_signals(stop_now: Callable[[], object] | None = None) -> threading.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set, so that a run drains instead of breaking off.

    The signals also call `stop_now`.
    """
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        stop.set()
        if stop_now:
            stop_now()

    signal.signal(signal.SIGINT, on_signal)
    answer_ending(on_signal)
    return stop


@contextlib.contextmanager
def leave_will_on_error(bus: Bus) -> Iterator[None]:
    """A run that breaks off inside, at whatever line, leaves no life sign behind: the broker publishes the will.

    A participant that was turned away has left none: its will would hide the living one.
    """
    try:
        yield
    except NameTakenError:
        raise
    except BaseException:
        bus.kill()
        raise
