"""Access lists as an operator prints them, and what real brokers make of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from ranloop.bus import Broker, Bus, open_bus
from ranloop.bus.broker import BrokerKind
from ranloop.testing.brokers import running_broker
from ranloop.wire import topics
from ranloop.wire.access import access
from ranloop.wire.channels import CHANNELS
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import MANIFEST, write_xapp
from tests.command import Command

USERS = ("host", "operator", "observer", "a", "b")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [write_xapp(tmp_path / name, text=MANIFEST.format(name=name)) for name in ("a", "b")]


def test_an_observer_reads_all_topics_and_writes_none() -> None:
    granted = access("observer", "map")
    assert granted.writes == ()
    assert granted.reads == tuple(channel.topic(*["+"] * len(channel.parameters)) for channel in CHANNELS)


def test_an_xapp_reads_the_streams_of_its_manifest_and_writes_under_its_own_name() -> None:
    granted = access("xapp", "qos", [("ue", 100), ("cell", 1000), ("ue", 100)])
    assert [one for one in granted.reads if "/report/" in one] == [
        "ranloop/1/report/+/ue/100",
        "ranloop/1/report/+/cell/1000",
        "ranloop/1/report/+/ue/100/json",
        "ranloop/1/report/+/cell/1000/json",
    ]
    assert granted.writes == (
        "ranloop/1/act/qos/+",
        "ranloop/1/presence/qos",
        "ranloop/1/answer/qos/+",
        "ranloop/1/alarms/qos",
        "ranloop/1/ask/+/qos",
    )
    assert access("xapp", "blind").reads == (
        "ranloop/1/result/blind/+",
        "ranloop/1/catalogue/+",
        "ranloop/1/presence/+",
        "ranloop/1/step/+/blind",
        "ranloop/1/inferred/blind/+",
    )


def test_a_host_writes_its_own_steps_and_nobody_elses_life_sign() -> None:
    writes = access("host", "north").writes
    assert {"ranloop/1/step/north/+", "ranloop/1/presence/north"} <= set(writes)
    assert not any("/order" in topic or "/act" in topic for topic in writes)


def test_a_client_of_two_roles_may_do_what_either_may(ranloop: Command) -> None:
    told = ranloop("access", "--role", "operator+observer=desk", "--json").out
    (both,) = json.loads(told)
    operator, observer = access("operator", "desk"), access("observer", "desk")
    assert both["user"] == "desk"
    assert set(both["reads"]) == {*operator.reads, *observer.reads}
    assert len(both["reads"]) == len(observer.reads)  # who reads everything
    assert tuple(both["writes"]) == operator.writes


def test_what_is_asked_for_in_vain_is_told(ranloop: Command, folders: list[Path]) -> None:
    assert (
        ranloop("access").complaint
        == "no client is named; name xApp folders, or --role host | inference | operator | observer"
    )
    assert ranloop("access", "--role", "observr").complaint.endswith("did you mean observer?")
    assert ranloop("access", "--role", "operator+observr=x").complaint.endswith("did you mean observer?")
    assert "name 'operator+observer'" in ranloop("access", "--role", "operator+observer").complaint
    assert "name 'No'" in ranloop("access", "--role", "host=No").complaint
    assert ranloop("access", folders[0], "--role", "host=a").complaint == (
        "a is named twice; a broker knows one client by one name"
    )


def test_clients_known_by_certificates_need_no_passwords(ranloop: Command, folders: list[Path]) -> None:
    by_password = ranloop("access", folders[0], "--broker", "nats").out
    by_certificate = ranloop("access", folders[0], "--broker", "nats", "--certificates").out
    assert "{ user: a, password: $A_PASSWORD, permissions" in by_password
    assert by_certificate == by_password.replace("password: $A_PASSWORD, ", "")


def test_it_can_be_read_by_a_script(ranloop: Command, folders: list[Path]) -> None:
    told = json.loads(ranloop("access", folders[0], "--role", "observer=map", "--json").out)
    assert [one["user"] for one in told] == ["map", "a"]
    assert told[0]["writes"] == []


@contextmanager
def guarded_broker(kind: BrokerKind, text: str, folder: Path) -> Iterator[Broker]:
    """A broker that has the access list `text`, and for each of `USERS` the password "secret"."""
    if kind == "mosquitto" and not shutil.which("mosquitto_passwd"):
        pytest.skip("mosquitto_passwd is not on PATH: apt-get install mosquitto")
    with running_broker(kind):  # skips where it is not installed
        pass
    acl, passwords = folder / "acl", folder / "passwords"
    acl.write_text(text)
    if kind == "mosquitto":
        passwords.touch(mode=0o600)
        for user in USERS:
            subprocess.run(["mosquitto_passwd", "-b", passwords, user, "secret"], check=True)
    with Broker.start(kind, acl_file=acl, password_file=passwords if kind == "mosquitto" else None) as broker:
        yield broker


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_a_loop_closes_within_the_printed_list_and_nobody_gets_beyond_it(
    ranloop: Command, folders: list[Path], tmp_path: Path, kind: BrokerKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in USERS:
        monkeypatch.setenv(f"{user.upper()}_PASSWORD", "secret")
    roles = [word for role in ("host", "operator", "observer") for word in ("--role", role)]
    printed = ranloop("access", *folders, *roles, "--broker", kind)
    assert printed.code == 0, printed.err
    with guarded_broker(kind, printed.out, tmp_path) as broker, ExitStack() as stack:

        def url(user: str) -> str:
            return broker.url.replace("//", f"//{user}:secret@")

        def client(user: str) -> Bus:
            return stack.enter_context(closing(open_bus(url(user), name=user)))

        observer, vandals = client("observer"), [client("observer"), client("b")]
        seen: set[str] = set()
        for channel in CHANNELS:
            wanted = channel.topic(*["+"] * len(channel.parameters))
            observer.subscribe(wanted, lambda topic, _: seen.add(topics.levels(topic)[0]), qos=channel.qos)
        over = threading.Event()

        def live() -> None:
            instance = Instance(load_package(folders[0]))
            with closing(open_bus(url("a"), name="a")) as bus:
                LiveRunner(instance, bus, patience_s=0.3).run(over)

        def go_beyond() -> None:
            while not over.is_set():
                for bus in vandals:
                    for beyond in (topics.act("a", "site0"), topics.order_all(), topics.order("site0")):
                        bus.publish(beyond, b"beyond its rights", qos=1)
                    bus.poll(0.05)

        threads = [
            threading.Thread(target=live, name="a"),
            threading.Thread(target=go_beyond, name="vandals"),
        ]
        for thread in threads:
            thread.start()
        try:
            hosted = ranloop("host", "sim:one-cell", "--allow", folders[0], "--bus", url("host"), "--duration-s", "2",
                             "--json")  # fmt: skip
        finally:
            over.set()
            for thread in threads:
                thread.join()
        ordered = ranloop("order", "site0", "--kill", "--bus", url("operator"))
        poll_until(observer, lambda: {"report", "act", "result", "catalogue", "presence", "order"} <= seen)
    assert hosted.code == 0, hosted.err
    facts = json.loads(hosted.out)
    assert facts["targets"]["applied"] > 0
    assert facts["messages_dropped"] == 0  # nothing of the vandals came through
    assert (ordered.code, "site0 is not hosted: its host left in order" in ordered.out) == (0, True)
    assert "not authorized" not in hosted.err


def poll_until(bus: Bus, true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 10.0
    while not true():
        assert time.monotonic() < give_up_s, "the observer does not hear everything within 10 s"
        bus.poll(0.1)
