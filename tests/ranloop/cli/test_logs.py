"""What a log line may do to a terminal: nothing."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog

from ranloop.bus import open_bus
from ranloop.cli.logs import configure_logs
from ranloop.node import NodeHost, Registration
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Presence
from tests.ranloop.node.scripted import rights

HOSTILE = "\x1b[2J\x9b31m\x07\u202e"  # no blank and no quote, for which a renderer would escape it all


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[Terminal, io.StringIO], ids=["terminal", "file"])
def shown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Standard error of a command."""
    stream: io.StringIO = request.param()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("RANLOOP_LOG_LEVEL", "debug")
    configure_logs()
    yield stream
    structlog.reset_defaults()


def raw(text: str) -> set[str]:
    """Control characters and the like, without those by which our own renderer writes lines in colour."""
    for ours in ("\x1b[0m", "\x1b[1m", "\x1b[2m", *(f"\x1b[{colour}m" for colour in range(30, 38))):
        text = text.replace(ours, "")
    return {sign for sign in text if not sign.isprintable() and sign != "\n"}


def test_facts_of_a_log_line_have_no_control_characters(shown: io.StringIO) -> None:
    structlog.get_logger().warning("heard", reason=HOSTILE, plain="a", n=1, text="b\nc")
    assert "heard" in shown.getvalue()
    assert raw(shown.getvalue()) == set()


def test_nothing_that_a_host_hears_reaches_the_terminal_raw(shown: io.StringIO) -> None:
    url = "memory://hostile-texts"
    with open_bus(url, name="host") as bus, open_bus(url, name="vandal") as vandal:
        host = NodeHost(ToyWorld(), bus, xapps={"x": Registration(rights=rights("SetUeWeight"))})
        for topic, payload in (
            (topics.presence("x"), encode(Presence(name="x", alive=True, facts={"timers": HOSTILE}))),
            (topics.presence("x"), encode(Presence(name="x", alive=True, facts={"timers": {HOSTILE: "a"}}))),
            (topics.order("toy-1"), b'{"v":1,"id":"\\u001b[2J","kill":true,"\\u001b":1}'),
            (topics.order("toy-1"), f'{{"v":1,"id":3,"{HOSTILE}":1}}'.encode()),
            (topics.standing("toy-1"), f'{{"v":1,"node":"{HOSTILE}"}}'.encode()),
            (topics.admission("host", "x"), f'{{"v":1,"xapp":"{HOSTILE}"}}'.encode()),
            (topics.presence("other"), f'{{"v":"{HOSTILE}"}}'.encode()),
        ):
            vandal.publish(topic, payload)
            host.poll(0.0)
        host.runtime.drop("x", HOSTILE * 1000)
        host.runtime.flush()
        reasons = [str(record.facts.get("reason", "")) for record in host.runtime.audit]
    lines = shown.getvalue().splitlines()
    assert len(lines) >= 6
    assert raw(shown.getvalue()) == set()
    assert max(map(len, lines)) < 3000  # JSON takes six characters for some
    assert max(map(len, reasons)) <= 301  # in the audit log as well
