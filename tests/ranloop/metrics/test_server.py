"""The pages over HTTP: what is answered, and that no client costs more than its own patience."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http import HTTPStatus

import pytest

from ranloop.errors import RanloopError
from ranloop.metrics import Process, serve_metrics, server
from ranloop.metrics.server import MOST_CLIENTS, Answer, StatusServer, listen
from tests.ranloop.metrics.scraped import get


def fails(_: str) -> Answer:
    raise ZeroDivisionError("a bug")


@pytest.fixture
def pages() -> Iterator[StatusServer]:
    answers = {
        "/a": lambda accept: Answer(HTTPStatus.OK, accept.encode()),
        "/large": lambda _: Answer(HTTPStatus.OK, b"x" * 50_000_000),
        "/fails": fails,
    }
    with StatusServer(listen("0"), answers) as running:
        yield running


def connect(running: StatusServer) -> socket.socket:
    host, port = running.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def ask(running: StatusServer, request: bytes) -> bytes:
    with connect(running) as client:
        client.sendall(request)
        said = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(65_536):
                said += piece
        return said


def wait_until(true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 10
    while not true():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def test_a_page_is_answered_with_its_length_and_type(pages: StatusServer) -> None:
    request = b"GET /a?x=1 HTTP/1.1\r\nHost: h\r\nAccept: text/plain;q=1\r\n\r\n"
    head, _, body = ask(pages, request).partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Length: 14" in head.split(b"\r\n")
    assert body == b"text/plain;q=1"
    assert ask(pages, request.replace(b"GET", b"HEAD")) == head + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /b HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /a HTTP/1.1\r\n\r\n", b"405"),
        (b"\xff\xfe\x00 /a\r\n\r\n", b"405"),
        (b"GET /fails HTTP/1.1\r\n\r\n", b"500"),
    ],
)
def test_what_is_no_page_has_its_status(pages: StatusServer, request_: bytes, status: bytes) -> None:
    assert ask(pages, request_).split(b" ")[1] == status
    assert get(f"{pages.url}/a")[0] == 200


def test_a_request_that_never_ends_is_hung_up_on(pages: StatusServer) -> None:
    assert ask(pages, b"x" * 200_000) == b""
    assert get(f"{pages.url}/a")[0] == 200


def test_a_silent_and_a_deaf_client_are_hung_up_on_and_others_are_served_meanwhile(
    pages: StatusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.3)
    with connect(pages) as silent, connect(pages) as deaf, connect(pages) as dribbling:
        silent.sendall(b"GET /a HT")
        deaf.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        began_s = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() < began_s + 5:  # a byte every now and then earns no further patience
                dribbling.sendall(b"x")
                assert get(f"{pages.url}/a")[0] == 200
                time.sleep(0.02)
        assert time.monotonic() - began_s < 5
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""
    wait_until(lambda: pages._n_clients == 0)


def test_more_clients_than_are_served_are_refused_and_leave_nothing_behind(pages: StatusServer) -> None:
    n_threads = threading.active_count()
    with ExitStack() as stack:
        for _ in range(MOST_CLIENTS):
            stack.enter_context(connect(pages))
        wait_until(lambda: pages._n_clients == MOST_CLIENTS)
        assert ask(pages, b"GET /a HTTP/1.1\r\n\r\n").split(b" ")[1] == b"503"
        assert threading.active_count() == n_threads  # one, whatever comes
    wait_until(lambda: pages._n_clients == 0)
    assert get(f"{pages.url}/a")[0] == 200


def test_closing_frees_the_port_and_hangs_up(pages: StatusServer) -> None:
    place = pages.url.removeprefix("http://")
    with connect(pages) as client:
        wait_until(lambda: pages._n_clients == 1)
        pages.close()
        pages.close()
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    listen(place).close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ranloop.metrics"]


@pytest.mark.parametrize(
    ("place", "bound"),
    [("0", "127.0.0.1"), (":0", "127.0.0.1"), ("0.0.0.0:0", "0.0.0.0"), ("[::1]:0", "::1")],
)
def test_a_port_alone_is_on_loopback(place: str, bound: str) -> None:
    with closing(listen(place)) as listening:
        assert listening.getsockname()[0] == bound


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nine", "want PORT, or ADDRESS:PORT"),
        ("70000", "want PORT, or ADDRESS:PORT"),
        ("::1:9464", "want PORT, or ADDRESS:PORT"),
        ("203.0.113.7:9464", "no such address here; want PORT"),
        ("no.such.host.invalid:9464", "no such address here; want PORT"),
        ("\u00fc..b:9464", "no such address; want PORT, or ADDRESS:PORT"),
    ],
)
def test_a_place_that_is_none_is_one_line(place: str, reason: str) -> None:
    with pytest.raises(RanloopError, match=r"--metrics .*") as refusal:
        listen(place)
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_taken_port_is_one_line() -> None:
    with closing(listen("0")) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(RanloopError) as refusal:
            listen(str(port))
    assert (
        str(refusal.value)
        == f"--metrics {port}: the port is taken; choose another one, or 0 for any that is free"
    )


def test_without_a_place_nothing_is_served_and_nothing_is_needed() -> None:
    n_threads = threading.active_count()
    with serve_metrics("") as process:
        assert isinstance(process, Process)
        assert threading.active_count() == n_threads
