"""What an operator types and sees: no password on a screen, no node that an order to all leaves out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ranloop.bus import Broker, open_bus, will_of
from ranloop.cli.values import operator_name
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_order, decode_standing, encode
from ranloop.wire.messages import Order, Presence, Standing
from tests.command import Command
from tests.ranloop.node.scripted import rights

pytestmark = pytest.mark.broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running_broker("mosquitto") as running:
        yield running


def test_a_bus_is_shown_without_its_password(ranloop: Command, broker: Broker) -> None:
    url = broker.url.replace("//", "//me:secret@")
    shown = broker.url.replace("//", "//***@")
    hosting = ranloop("host", "sim:one-cell", "--duration-s", "0.1", "--bus", url)
    nobody = ranloop("order", "nobody", "--kill", "--bus", url)
    assert (hosting.code, nobody.code) == (0, 2)
    assert f"on {shown} for nobody" in hosting.out
    assert f"no catalogue on {shown}" in nobody.err
    assert "secret" not in hosting.out + hosting.err + nobody.out + nobody.err


def test_an_order_to_all_reaches_a_node_whose_catalogue_somebody_spoilt(
    ranloop: Command, broker: Broker
) -> None:
    orders: list[tuple[str, Order]] = []
    with closing(open_bus(broker.url, name="nodes")) as bus:
        bus.subscribe(topics.order("+"), lambda topic, payload: orders.append((topic, decode_order(payload))))
        bus.publish(topics.catalogue("site0"), b"garbage", qos=1, retain=True)
        bus.publish("ranloop/1/catalogue/No Node", b"garbage", qos=1, retain=True)
        bus.poll(0.1)
        ordered = ranloop("order", "all", "--kill", "--bus", broker.url)
        bus.poll(5.0)
    assert [(topic, order.kill) for topic, order in orders] == [(topics.order_all(), True)]
    assert (ordered.code, "catalogue_ignored" in ordered.err) == (2, True)
    assert ordered.out == "site0 does not answer\n"
    assert "site0 did not confirm within" in ordered.err


def test_an_order_is_reported_as_obeyed_when_the_guard_says_so(ranloop: Command, broker: Broker) -> None:
    with living_host(broker.url):
        killed = ranloop("order", "all", "--kill", "--bus", broker.url)
        told = ranloop("order", "all", "--kill", "--bus", broker.url, "--json")
        weighed = ranloop(
            *("order", "toy-1", "--xapp", "weigher", "--autonomy", "observe", "--bus", broker.url, "--json")
        )
    assert (killed.code, killed.out) == (0, "toy-1 obeys\ntoy-2 obeys\n")
    assert (told.code, json.loads(told.out)) == (0, {"obeyed": ["toy-1", "toy-2"], "silent": [], "left": []})
    assert (weighed.code, json.loads(weighed.out)) == (0, {"obeyed": ["toy-1"], "silent": [], "left": []})


@contextmanager
def living_host(url: str) -> Iterator[LiveHost]:
    """Nodes toy-1 and toy-2, where `weigher` is admitted."""
    with closing(open_bus(url, name="host")) as bus:
        xapps = {"weigher": Registration(rights=rights())}
        live = LiveHost(NodeHost(ToyWorld(duration_s=3600), bus, name="host", xapps=xapps))
        thread = threading.Thread(target=live.run, name="live-host")
        thread.start()
        try:
            yield live
        finally:
            live.stop()
            thread.join()


@contextmanager
def obedient(url: str) -> Iterator[list[str]]:
    """A node toy-1 that confirms every order, and shows no life sign; the topics of the orders that it got."""
    catalogue = ToyWorld().catalogues[0]
    node, got = catalogue.node, list[str]()
    over = threading.Event()
    with closing(open_bus(url, name="obedient")) as bus:

        def on_order(topic: str, payload: bytes) -> None:
            got.append(topic)
            standing = Standing(node=node, order=decode_order(payload).id, killed=False, autonomy={})
            bus.publish(topics.standing(node), encode(standing), qos=1)

        for pattern in (topics.order_all(), topics.order(node), topics.order(node, "+")):
            bus.subscribe(pattern, on_order, qos=1)
        bus.publish(topics.catalogue(node), encode(catalogue), qos=1, retain=True)
        bus.poll(0.1)

        def obey() -> None:
            while not over.is_set():
                bus.poll(0.05)

        thread = threading.Thread(target=obey, name="obedient")
        thread.start()
        try:
            yield got
        finally:
            over.set()
            thread.join()


def test_a_kill_is_given_before_anything_is_read_and_stands_where_nobody_answers(
    ranloop: Command, broker: Broker
) -> None:
    everywhere = ranloop("order", "all", "--kill", "--bus", broker.url)
    somewhere = ranloop("order", "site7", "--kill", "--bus", broker.url)
    assert (everywhere.code, somewhere.code) == (2, 2)
    assert everywhere.complaint == (
        f"no node has a catalogue on {broker.url}; the kill order stands until --forget, and no host confirmed it"
    )
    assert somewhere.complaint.endswith(
        "there is no node at all; the kill order stands until --forget, and no host confirmed it"
    )
    assert orders_on(broker.url) == {topics.order_all(), topics.order("site7")}
    with living_host(broker.url) as live:  # comes later, and obeys
        again = ranloop("order", "all", "--kill", "--bus", broker.url)
        assert again.code == 0
        assert all(guard.killed for guard in live.host.runtime.guards.values())


def test_a_kill_does_not_wait_for_a_host_that_left_in_order_and_names_one_that_crashed(
    ranloop: Command, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.cli.operator.CONFIRMED_S", 0.3)  # of those that are there
    kill = ("order", "all", "--kill", "--bus", broker.url)
    with living_host(broker.url):
        pass
    left = ranloop(*kill)
    away = "is not hosted: its host left in order, and obeys when it is back\n"
    assert (left.code, left.out, left.err) == (0, f"toy-1 {away}toy-2 {away}", "")
    facts = json.loads(ranloop(*kill, "--json").out)
    assert facts == {"obeyed": [], "silent": [], "left": ["toy-1", "toy-2"]}
    assert orders_on(broker.url) == {topics.order_all()}  # it stands
    bus = open_bus(broker.url, name="host", will=will_of("host", "1"))
    host = NodeHost(ToyWorld(), bus, name="host", xapps={}, run="1")
    host.announce(alive=True)
    bus.poll(0.1)
    bus.kill()
    crashed = ranloop(*kill)
    assert (crashed.code, crashed.out) == (2, "toy-1 does not answer\ntoy-2 does not answer\n")


def test_neither_huge_life_signs_nor_a_flood_of_them_hold_a_kill_up(ranloop: Command, broker: Broker) -> None:
    huge = b'{"v":1,"x":"' + b"x" * 8_000_000 + b'"}'
    over = threading.Event()
    with living_host(broker.url) as live, closing(open_bus(broker.url, name="vandal")) as vandal:
        for n in range(5):
            vandal.publish(topics.presence(f"vandal-{n}"), huge, qos=1, retain=True)

        def flood() -> None:
            while not over.is_set():
                vandal.publish(topics.presence("vandal"), b"{}")
                vandal.poll()

        thread = threading.Thread(target=flood, name="vandal")
        thread.start()
        try:
            began_s = time.monotonic()
            killed = ranloop("order", "all", "--kill", "--bus", broker.url)
            took_s = time.monotonic() - began_s
        finally:
            over.set()
            thread.join()
        assert all(guard.killed for guard in live.host.runtime.guards.values())
    assert killed.code == 0, killed.err
    # The host, in this process, logs the vandal's signs before that.
    assert killed.out.endswith("toy-1 obeys\ntoy-2 obeys\n")
    assert took_s < 5.0


def test_a_node_stays_killed_while_an_order_to_all_says_so(ranloop: Command, broker: Broker) -> None:
    bus = ("--bus", broker.url)
    with living_host(broker.url) as live:
        guards = live.host.runtime.guards
        ranloop("order", "toy-2", "--kill", *bus)
        ranloop("order", "all", "--kill", *bus)
        one = ranloop("order", "toy-1", "--revive", *bus)
        assert (one.code, one.out) == (2, "toy-1 obeys\n")
        assert "error: toy-1 stays killed: an order to all nodes stands; order all --revive" in one.err
        assert guards["toy-1"].killed
        assert ranloop("order", "all", "--revive", *bus).code == 0
        assert [guard.killed for guard in guards.values()] == [False, False]


def test_a_kill_order_outlives_a_broker_that_forgets_and_a_restart_of_the_host(
    ranloop: Command, broker: Broker
) -> None:
    bus = ("--bus", broker.url)
    with ExitStack() as stack:
        with living_host(broker.url):
            assert ranloop("order", "all", "--kill", *bus).code == 0
            assert ranloop("order", "toy-1", "--xapp", "weigher", "--autonomy", "observe", *bus).code == 0
            broker.kill()
            stack.enter_context(running_broker("mosquitto", broker.port))
            standings = {topics.standing(node) for node in ("toy-1", "toy-2")}
            wait_until(lambda: set(retained(broker.url, topics.standing("+"))) == standings)
            assert not orders_on(broker.url)
        with living_host(broker.url) as again:
            guards = again.host.runtime.guards
            wait_until(lambda: guards["toy-1"].killed and guards["toy-2"].killed)
            wait_until(lambda: guards["toy-1"].autonomy == {"weigher": "observe"})
            assert guards["toy-2"].autonomy == {"weigher": "act"}
            assert ranloop("order", "all", "--revive", *bus).code == 0
        with living_host(broker.url) as at_last:
            assert ranloop("order", "all", "--xapp", "weigher", "--autonomy", "act", *bus).code == 0
            assert not any(guard.killed for guard in at_last.host.runtime.guards.values())


def test_what_was_forgotten_is_not_remembered_by_the_host(ranloop: Command, broker: Broker) -> None:
    bus = ("--bus", broker.url)
    with living_host(broker.url) as live:
        assert ranloop("order", "all", "--kill", *bus).code == 0
        assert ranloop("order", "all", "--forget", *bus).code == 0
        wait_until(lambda: not still_standing(broker.url, "toy-1"))
        assert live.host.runtime.guards["toy-1"].killed  # a node that runs goes on as it was told
    with living_host(broker.url) as again:
        assert ranloop("order", "all", "--xapp", "weigher", "--autonomy", "act", *bus).code == 0
        assert not again.host.runtime.guards["toy-1"].killed


def test_a_host_that_is_away_still_remembers_what_is_forgotten_and_the_operator_is_told(
    ranloop: Command, broker: Broker
) -> None:
    with living_host(broker.url):
        assert ranloop("order", "all", "--kill", "--bus", broker.url).code == 0
        here = ranloop("order", "all", "--forget", "--bus", broker.url)
        assert ranloop("order", "all", "--kill", "--bus", broker.url).code == 0
    away = ranloop("order", "all", "--forget", "--bus", broker.url)
    assert (here.code, here.out, here.err) == (0, "forgotten for all\n", "")
    assert (away.code, away.out) == (0, "forgotten for all\n")
    assert "hosts_remember" in away.err
    assert "toy-1" in away.err


def wait_until(true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 20.0
    while not true():
        assert time.monotonic() < give_up_s, "what the test waits for did not happen within 20 s"


def retained(url: str, *filters: str) -> dict[str, bytes]:
    """Topic -> what the broker keeps there."""
    kept: dict[str, bytes] = {}
    with closing(open_bus(url, name="witness")) as bus:
        for pattern in filters:
            bus.subscribe(pattern, lambda topic, payload: kept.update({topic: payload}), qos=1)
        while bus.poll(0.3):
            pass
    return kept


def still_standing(url: str, node: str) -> Mapping[str, Order]:
    """The orders that a host says it remembers."""
    return decode_standing(retained(url, topics.standing(node))[topics.standing(node)]).orders


def orders_on(url: str) -> set[str]:
    """Topics where an order stands."""
    return set(retained(url, topics.order("+"), topics.order("+", "+")))


@pytest.mark.parametrize("node", ["toy-1", "all"])
def test_an_order_about_an_xapp_that_no_node_lets_in_is_not_given(
    ranloop: Command, broker: Broker, node: str
) -> None:
    with living_host(broker.url) as live:
        typo = ranloop("order", node, "--xapp", "weihger", "--autonomy", "act", "--bus", broker.url)
        ghost = ranloop("order", node, "--revive", "--xapp", "x", "--autonomy", "act", "--bus", broker.url)
        assert not orders_on(broker.url)
    assert typo.complaint == f"{node} does not admit 'weihger'; there is weigher; nothing was ordered"
    assert ghost.complaint == f"{node} does not admit 'x'; there is weigher; nothing was ordered"
    assert not live.host.runtime.guards["toy-1"].killed


def test_an_order_to_all_goes_where_the_xapp_is_let_in_and_a_kill_goes_everywhere(
    ranloop: Command, broker: Broker
) -> None:
    facts = {"kind": "node-host", "nodes": ["site0"], "xapps": ["other"]}
    with closing(open_bus(broker.url, name="north")) as north, living_host(broker.url):
        north.publish(
            topics.presence("north"), encode(Presence(name="north", alive=True, facts=facts)), retain=True
        )
        north.publish(topics.presence("broken"), b"garbage", retain=True)
        north.publish(topics.catalogue("site0"), b"garbage", qos=1, retain=True)
        north.poll(0.1)
        order = ("order", "all", "--xapp", "weigher", "--autonomy", "act", "--bus", broker.url)
        weighed = ranloop(*order)
        without = orders_on(broker.url)
        killed = ranloop(*order, "--kill")
    # The host, in this process, logs the broken sign before that.
    assert (weighed.code, weighed.out.endswith("toy-1 obeys\ntoy-2 obeys\n")) == (0, True)
    assert without == {topics.order("toy-1", "weigher"), topics.order("toy-2", "weigher")}
    assert (killed.code, killed.out.endswith("site0 does not answer\ntoy-1 obeys\ntoy-2 obeys\n")) == (
        2,
        True,
    )
    assert orders_on(broker.url) == without | {topics.order_all()}


@pytest.mark.parametrize(
    ("topic", "facts"),
    [("north", {}), ("evil", {"kind": "xapp"}), ("evil", {"asks": True})],
    ids=["under another name", "of an xApp", "a question"],
)
def test_only_the_life_sign_of_a_host_tells_which_xapps_its_nodes_admit(
    ranloop: Command, broker: Broker, topic: str, facts: dict[str, object]
) -> None:
    said = {"kind": "node-host", "nodes": ["toy-1"], "xapps": ["other"], **facts}
    with closing(open_bus(broker.url, name="evil")) as evil, obedient(broker.url):
        sign = encode(Presence(name="evil", alive=True, facts=said))
        evil.publish(topics.presence(topic), sign, qos=1, retain=True)
        evil.poll(0.1)
        ordered = ranloop("order", "toy-1", "--xapp", "weigher", "--autonomy", "act", "--bus", broker.url)
    assert (ordered.code, ordered.out) == (0, "toy-1 obeys\n"), ordered.err


@pytest.mark.parametrize("what", [("observe",), ("recommend",), ("act", "--kill"), ("observe", "--kill")])
def test_no_life_sign_keeps_an_operator_from_stopping_an_xapp(
    ranloop: Command, broker: Broker, what: tuple[str, ...]
) -> None:
    facts = {"kind": "node-host", "nodes": ["toy-1"], "xapps": ["other"]}  # a lie: the host is another one
    with closing(open_bus(broker.url, name="evil")) as evil, obedient(broker.url) as obeyed:
        sign = encode(Presence(name="evil", alive=True, facts=facts))
        evil.publish(topics.presence("evil"), sign, qos=1, retain=True)
        evil.poll(0.1)
        ordered = ranloop("order", "toy-1", "--xapp", "weigher", "--bus", broker.url, "--autonomy", *what)
        wanted = {topics.order("toy-1")} if "--kill" in what else set[str]()
        if what[0] != "act":  # no slip of the pen lets an xApp act
            wanted.add(topics.order("toy-1", "weigher"))
        wait_until(lambda: wanted <= set(obeyed))  # the command waits for the kill switch alone
    assert set(obeyed) == wanted
    assert ordered.out == "toy-1 obeys\n"
    assert ordered.err.count("\n") == 1
    assert "toy-1 does not admit 'weigher'; there is other" in ordered.err
    if what[0] == "act":  # the operator is told
        assert ordered.complaint.endswith("; only the kill switch was ordered")
    else:
        assert ordered.code == 0


def test_an_order_to_all_that_stops_an_xapp_goes_everywhere_and_waits_where_it_is_let_in(
    ranloop: Command, broker: Broker
) -> None:
    facts = {"kind": "node-host", "nodes": ["site0"], "xapps": ["other"]}
    with closing(open_bus(broker.url, name="north")) as north, living_host(broker.url):
        sign = encode(Presence(name="north", alive=True, facts=facts))
        north.publish(topics.presence("north"), sign, qos=1, retain=True)
        north.publish(topics.catalogue("site0"), b"garbage", qos=1, retain=True)
        north.poll(0.1)
        ordered = ranloop("order", "all", "--xapp", "weigher", "--autonomy", "observe", "--bus", broker.url)
        assert orders_on(broker.url) == {
            topics.order(node, "weigher") for node in ("site0", "toy-1", "toy-2")
        }
    assert (ordered.code, ordered.out) == (0, "toy-1 obeys\ntoy-2 obeys\n"), ordered.err
    assert "site0 does not admit 'weigher'; there is other" in ordered.err


def test_an_order_to_a_node_that_is_away_stands_until_it_is_withdrawn(
    ranloop: Command, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.cli.operator.CONFIRMED_S", 0.1)  # nobody there could answer
    with closing(open_bus(broker.url, name="node")) as bus:
        facts = {
            "kind": "node-host",
            "nodes": ["site0"],
            "xapps": ["other"],
        }  # of before; who knows whom it lets in tomorrow
        bus.publish(
            topics.presence("north"), encode(Presence(name="north", alive=False, facts=facts)), retain=True
        )
        bus.publish(topics.catalogue("site0"), b"garbage", qos=1, retain=True)
        bus.poll(0.1)
    about_ghost = ("order", "site0", "--xapp", "ghost", "--bus", broker.url)
    away = ranloop(*about_ghost, "--autonomy", "act")
    assert (away.code, orders_on(broker.url)) == (2, {topics.order("site0", "ghost")})
    assert f"the order stands on {broker.url} until --forget" in away.err
    assert ranloop("order", "all", "--forget", "--bus", broker.url).complaint == (
        f"no order about the kill switch stands for any node on {broker.url}; nothing to forget"
    )
    forgotten = ranloop(*about_ghost, "--forget")
    assert (forgotten.code, forgotten.out, orders_on(broker.url)) == (0, "forgotten for site0\n", set())
    assert ranloop(*about_ghost, "--forget").complaint == (
        f"no order about xApp 'ghost' stands for site0 on {broker.url}; nothing to forget"
    )


def test_a_node_that_runs_goes_on_as_it_was_told_when_the_order_is_withdrawn(
    ranloop: Command, broker: Broker
) -> None:
    with living_host(broker.url) as live:
        ranloop("order", "all", "--kill", "--bus", broker.url)
        ranloop("order", "all", "--xapp", "weigher", "--autonomy", "observe", "--bus", broker.url)
        told = ranloop("order", "all", "--forget", "--bus", broker.url, "--json")
        left = orders_on(broker.url)
        ranloop("order", "toy-1", "--revive", "--bus", broker.url)  # after it: the host has heard of both
    assert json.loads(told.out) == {"forgotten": ["all"]}
    assert left == {topics.order(node, "weigher") for node in ("toy-1", "toy-2")}
    assert [guard.killed for guard in live.host.runtime.guards.values()] == [False, True]
    assert live.runtime.n_dropped == 0


class Started:
    """`ranloop broker --json` in a process of its own, and what it said first."""

    def __init__(self, **options: Any) -> None:
        with running_broker("mosquitto"):  # skips where it is not installed
            pass
        command = [sys.executable, "-c", "from ranloop.cli import main; main()", "broker", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--kind", "mosquitto", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.facts = json.loads(self.process.stdout.readline())

    def end_by(self, pid: int, number: signal.Signals) -> tuple[int, str]:
        """Exit code, and what stood on standard error, after a signal to one of the two processes."""
        os.kill(pid, number)
        try:
            _, err = self.process.communicate(timeout=20)
        finally:
            self.process.kill()  # if it did not listen
        return self.process.returncode, err


def gone(pid: int) -> bool:
    """Whether this process ends within 10 s; of one that is nobody's child any more nothing else can be asked."""
    pause = threading.Event()
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True  # dead; it waits for an init that takes note
        pause.wait(0.01)
    return False


def test_a_broker_says_in_json_where_it_listens_while_it_runs() -> None:
    started = Started()
    facts = started.facts
    with closing(open_bus(facts["url"], name="guest")) as bus:
        assert bus.connected
    os.kill(facts["pid"], 0)  # there is such a process
    assert started.end_by(started.process.pid, signal.SIGTERM) == (0, "")
    assert facts.keys() == {"url", "kind", "port", "pid"}
    assert (facts["kind"], facts["url"]) == ("mosquitto", f"mqtt://127.0.0.1:{facts['port']}")
    assert gone(facts["pid"])


def test_a_broker_that_dies_is_told_in_one_line() -> None:
    started = Started()
    code, err = started.end_by(started.facts["pid"], signal.SIGKILL)
    assert (code, err) == (2, f"error: mosquitto on {started.facts['url']} ended by itself: SIGKILL\n")


def test_a_terminal_that_is_closed_leaves_no_broker_behind() -> None:
    started = Started()
    assert started.end_by(started.process.pid, signal.SIGHUP) == (0, "")
    assert gone(started.facts["pid"])


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_a_broker_goes_with_a_command_that_is_killed() -> None:
    started = Started()
    assert started.end_by(started.process.pid, signal.SIGKILL)[0] == -signal.SIGKILL
    assert gone(started.facts["pid"])


def test_a_broker_command_that_ignores_the_hangup_signal_runs_on() -> None:
    started = Started(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    os.kill(started.process.pid, signal.SIGHUP)
    with closing(open_bus(started.facts["url"], name="guest")) as bus:
        assert bus.connected
    assert started.end_by(started.process.pid, signal.SIGTERM) == (0, "")


def test_an_operator_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.delenv("RANLOOP_MQTT_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", nameless)  # as in a container, whose user has no entry
    assert operator_name("mqtts://broker:8883") == f"uid {os.getuid()}"
