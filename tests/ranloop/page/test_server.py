"""The page's server, without a browser: files, strangers, crowds, slow and hostile clients, orders."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect

from ranloop.errors import RanloopError
from ranloop.page import History, session
from ranloop.page.orders import OrderDesk, Wanted
from ranloop.page.server import MOST_MESSAGE_BYTES, Page, parse_address
from tests.ranloop.page.scenes import fill, ues

T = TypeVar("T")
TOKEN = "a-token-of-an-operator"
WATCH = json.dumps({"op": "watch", "columns": {"ue": ["DRB.UEThpDl"]}, "span": None})
PAGE_BYTES = 150_000  # what a page may load before its first report


@pytest.fixture
def history() -> History:
    return fill(History())


@pytest.fixture
def served(history: History) -> Iterator[Page]:
    with Page(history, "127.0.0.1:0", title="a test", most_pages=10) as page:
        yield page


def socket_of(page: Page, **more: Any) -> ClientConnection:
    client: ClientConnection = connect(
        f"ws://127.0.0.1:{page.port}/events", open_timeout=30, close_timeout=1, **more
    )
    return client


def frames_within(client: ClientConnection, *, timeout_s: float = 30.0) -> bytes:
    """The next binary message."""
    while True:
        message = client.recv(timeout=timeout_s)
        if isinstance(message, bytes):
            return message


def refusal(request: str | urllib.request.Request) -> int:
    """The status of a request that is refused."""
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    error.value.close()
    return error.value.code


def watching(page: Page) -> socket.socket:
    """A client that watches and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", page.port))
    client.sendall(
        f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    while not client.recv(1).endswith(b"\n") or client.recv(2, socket.MSG_PEEK) != b"\r\n":
        pass  # the end of the answer's head
    text = WATCH.encode()
    client.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)  # masked with zeros
    return client


def closed(client: ClientConnection) -> Close:
    """How the server closes a connection."""
    with pytest.raises(ConnectionClosed) as error:  # noqa: PT012 whatever comes before it
        for _ in iter(int, 1):
            client.recv(timeout=30)
    assert error.value.rcvd is not None
    return error.value.rcvd


def until(what: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    give_up_s = time.monotonic() + timeout_s
    while not what() and time.monotonic() < give_up_s:
        time.sleep(0.02)
    return what()


def test_a_page_is_small_and_may_load_nothing_from_elsewhere(served: Page) -> None:
    names = ["", *(name for name in served._files if name != "index.html")]
    total = 0
    for name in names:
        request = urllib.request.Request(served.url + name, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request) as answer:
            total += len(answer.read())
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
    with socket_of(served) as client:
        hello = client.recv()
    assert json.loads(hello)["title"] == "a test"
    assert total + len(hello) <= PAGE_BYTES
    with urllib.request.urlopen(served.url) as answer:  # a client without gzip
        assert answer.read().startswith(b"<!doctype html>")


@pytest.mark.parametrize(("path", "status"), [("nothing.js", 404), ("../server.py", 404), ("order", 404)])
def test_what_is_no_file_of_the_page_is_not_served(served: Page, path: str, status: int) -> None:
    assert refusal(served.url + path) == status


def test_a_name_that_somebody_else_resolves_to_here_is_refused(served: Page) -> None:
    for name in ("evil.example:8480", "evil.example", "127.0.0.1.evil.example"):
        request = urllib.request.Request(served.url, headers={"Host": name})
        assert refusal(request) == 421


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "[::1]:8480", "127.0.0.1:8480"])
def test_loopback_is_ours_with_and_without_a_port(served: Page, name: str) -> None:
    request = urllib.request.Request(served.url, headers={"Host": name})  # at port 80 a browser names none
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_gets_no_events(served: Page, origin: str) -> None:
    with pytest.raises(InvalidStatus) as error, socket_of(served, origin=origin):
        pass
    assert error.value.response.status_code == 403
    assert served.counts["refused"] == 1


def test_ten_pages_are_served_at_once_and_one_more_is_told_why_not(served: Page, history: History) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(socket_of(served)) for _ in range(10)]
        for client in clients:
            client.send(WATCH)
        assert all(frames_within(client) for client in clients)
        with socket_of(served) as late:
            why = closed(late)
        assert why.code == 1013
        assert why.reason == "10 pages are open already, which is the most; close one"
        history.take(ues(10))
        assert all(frames_within(client) for client in clients)
    assert until(lambda: served.counts["open"] == 0)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"bytes", 1008),
        ("{", 1008),
        (json.dumps({"op": "order", "kill": True}), 1008),
        ("x" * (MOST_MESSAGE_BYTES + 1), 1009),
    ],
)
def test_a_client_that_says_what_no_page_says_is_closed(
    served: Page, message: bytes | str, code: int
) -> None:
    with socket_of(served) as client:
        client.send(message)
        assert closed(client).code == code
    assert until(lambda: served.counts["open"] == 0)
    assert served.counts["hostile"] == (code == 1008)


def test_a_client_that_floods_is_closed_and_the_others_are_served(served: Page, history: History) -> None:
    with socket_of(served) as quiet, socket_of(served) as loud:
        quiet.send(WATCH)
        frames_within(quiet)
        with suppress(ConnectionClosed):
            for _ in range(10 * session.MOST_ASKED):
                loud.send(WATCH)
        closed(loud)
        assert served.counts["hostile"] == 1
        history.take(ues(10))
        assert frames_within(quiet)


def test_a_client_that_disappears_leaves_nothing_behind(served: Page, history: History) -> None:
    client = watching(served)
    assert until(lambda: history.looks_at == {"ue": {"DRB.UEThpDl"}})
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    client.close()  # no closing words: a reset
    for seq in range(10, 14):
        history.take(ues(seq))
    assert until(lambda: served.counts["open"] == 0)
    assert history.looks_at == {}


def test_a_client_that_takes_nothing_is_let_go_and_holds_nobody_up(
    served: Page, history: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "SEND_S", 0.5)
    stuck = watching(served)
    assert until(lambda: served.counts["open"] == 1)
    for seq in range(10, 1000):
        history.take(ues(seq, n=20_000))  # four of them a turn soon fill what the kernel buffers
        if served.counts["slow"]:
            break
        if seq % 4 == 0:
            time.sleep(session.TURN_S)
    assert served.counts["slow"] == 1
    with socket_of(served) as client:
        client.send(WATCH)
        assert frames_within(client)
    stuck.close()
    assert until(lambda: served.counts["open"] == 0)
    time.sleep(0.05)  # the server logs what its task raised just after that
    assert not caplog.records  # that the client took no goodbye, either, is no error of the server


@pytest.mark.parametrize("address", ["nothing", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "a/b:1", ":-1"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(
        RanloopError, match=r"is no address of a page; want HOST:PORT, such as 127\.0\.0\.1:8480"
    ):
        parse_address(address)


def test_a_host_that_no_name_server_knows_is_told() -> None:
    with pytest.raises(RanloopError, match=r"no page at \u00fc\.\.b:8480: .*; choose another HOST:PORT"):
        Page(History(), "\u00fc..b:8480")


def test_a_port_that_is_taken_is_told(served: Page) -> None:
    with pytest.raises(RanloopError) as error:
        Page(History(), f"127.0.0.1:{served.port}")
    assert str(error.value) == (
        f"no page at 127.0.0.1:{served.port}: Address already in use; "
        "choose another HOST:PORT, such as 127.0.0.1:0 for a free port"
    )


# Orders

KILL = {"what": "kill", "node": "site0", "xapp": "", "confirm": "site0"}


def order(page: Page, body: object, *, token: str = TOKEN, origin: str | None = None) -> tuple[int, str]:
    own = page.url.removesuffix("/")
    headers = {"Authorization": f"Bearer {token}", "Origin": own if origin is None else origin}
    data = json.dumps(body).encode()
    request = urllib.request.Request(page.url + "order", data=data, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def given() -> list[Wanted]:
    return []


@pytest.fixture
def desk(history: History, given: list[Wanted]) -> Iterator[Page]:
    def give(wanted: Wanted) -> str:
        given.append(wanted)
        if wanted.node == "gone":
            raise RanloopError("gone did not confirm within 5 s")
        return f"{wanted.node} obeys"

    with Page(history, "127.0.0.1:0", desk=OrderDesk(TOKEN, give)) as page:
        yield page


def test_a_page_without_an_operators_file_takes_no_order(served: Page) -> None:
    assert order(served, KILL) == (403, "this page watches only: start it with --operator-token FILE")


def test_an_order_needs_the_token_and_the_confirmation(
    desk: Page, given: list[Wanted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.page.orders._WRONG_TOKEN_S", 0.0)
    assert order(desk, KILL, token="a-token-of-somebody-else") == (403, "that is not the operator's token")
    assert order(desk, KILL, token="") == (403, "that is not the operator's token")
    assert order(desk, KILL | {"confirm": "site1"}) == (400, "not confirmed: type site0")
    assert order(desk, KILL, origin="http://evil.example") == (403, "a page of another origin")
    assert order(desk, KILL, origin="") == (403, "a page of another origin")
    assert order(desk, KILL | {"what": "explode"})[0] == 400
    assert order(desk, KILL | {"xapp": "qos"})[0] == 400
    assert order(desk, KILL | {"what": "observe"})[0] == 400  # of which xApp?
    assert order(desk, KILL | {"confirm": "x" * 2000})[0] == 413
    assert given == []
    assert order(desk, KILL) == (200, "site0 obeys")
    observe = {"what": "observe", "node": "all", "xapp": "qos", "confirm": "all"}
    assert order(desk, observe) == (200, "all obeys")
    assert [(wanted.what, wanted.node, wanted.xapp) for wanted in given] == [
        ("kill", "site0", ""),
        ("observe", "all", "qos"),
    ]


def test_what_the_guards_did_not_confirm_is_told(desk: Page) -> None:
    gone = KILL | {"node": "gone", "confirm": "gone"}
    assert order(desk, gone) == (409, "gone did not confirm within 5 s")


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns, on a thread of its own: where a browser is open, this one has a loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result(30)


async def answers_of(desk: OrderDesk, n_wrong: int) -> list[tuple[int, str]]:
    """The answers to so many wrong tokens and to a right one that came behind them, in the order in which they are given."""
    found: list[tuple[int, str]] = []

    async def ask(token: str) -> None:
        found.append(await desk.take(f"Bearer {token}", json.dumps(KILL).encode()))

    await asyncio.gather(*(ask("a-token-of-somebody-else") for _ in range(n_wrong)), ask(TOKEN))
    return found


def test_the_right_token_waits_for_no_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranloop.page.orders._WRONG_TOKEN_S", 0.5)
    desk = OrderDesk(TOKEN, lambda wanted: "site0 obeys")
    found = in_a_loop(answers_of(desk, 30))
    late, right = (403, "that is not the operator's token"), (200, "site0 obeys")
    # Eight wrong ones wait, the others are sent away at once, and all of those that wait come after the right one.
    assert [status for status, _ in found[:22]] == [429] * 22
    assert found[22:] == [right, *[late] * 8]
    assert desk.n_wrong == 30


def test_a_kill_waits_for_no_other_order() -> None:
    let_go, given = threading.Event(), []

    def give(wanted: Wanted) -> str:
        if wanted.what == "revive":
            let_go.wait(10)
        given.append(wanted.what)
        let_go.set()
        return "obeyed"

    async def ask() -> None:
        desk = OrderDesk(TOKEN, give)
        bodies = [json.dumps(KILL | {"what": what}).encode() for what in ("revive", "kill")]
        await asyncio.gather(*(desk.take(f"Bearer {TOKEN}", body) for body in bodies))

    in_a_loop(ask())
    assert given == ["kill", "revive"]  # the other order ends when the kill has been given
