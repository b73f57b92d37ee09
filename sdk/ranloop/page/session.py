"""One open page: what it wants to see, how far it has come, and what it has lost by being slow."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from ranloop.page import frames
from ranloop.page.history import History, TrackKey
from ranloop.vocabulary import MEASUREMENTS, Level
from ranloop.wire.messages import Report

__all__ = ("HostileError", "Session", "Watch")

TURN_S = 0.1
SEND_S = 20.0  # a page that takes nothing for so long is let go
MOST_ASKED = 40  # messages of one page within `ASKED_S`
ASKED_S = 10.0
_NEWEST = 4  # reports of one stream in one turn; of a run that is faster than eyes the others are passed over
_MOMENTS = 600  # of the past that a page gets at once
_PAST_BYTES = 8 << 20
_NS = 1_000_000_000
_MOST_S = 1 << 32

Name = Annotated[str, Field(max_length=128)]
Seconds = Annotated[float, Field(ge=0, le=_MOST_S, allow_inf_nan=False)]


class Watch(BaseModel):
    """The one thing that a page says: which columns it draws, and of which RAN time; None follows the run."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["watch"]
    columns: Annotated[dict[Level, Annotated[list[Name], Field(max_length=24)]], Field(max_length=8)]
    span: tuple[Seconds, Seconds] | None = None


class HostileError(Exception):
    """What came is nothing that a page of ours says."""


class Session:
    """Serves one WebSocket until it closes.

    Args:
        socket: Accepted.
        history: What there is to see.
        hello: The first message.
        on_change: Called when the page wants to see something else.
        on_turn: Called in each turn with the frames and the lines that the page has lost since the last.

    Attributes:
        columns: Level -> measurements that the page draws.
    """

    def __init__(
        self,
        socket: WebSocket,
        history: History,
        *,
        hello: str,
        on_change: Callable[[], None],
        on_turn: Callable[[int, int], None],
    ) -> None:
        self._socket, self._history = socket, history
        self._hello, self._on_change, self._on_turn = hello, on_change, on_turn
        self.columns: Mapping[str, frozenset[str]] = {}
        self._watch: Watch | None = None
        self._is_fresh = False  # the page wants the past of what it watches
        self._cursors: dict[TrackKey, int] = {}
        self._change = self._said = 0
        self._span: tuple[int, int] | None = None
        self._lost = {"frames": 0, "lines": 0}
        self._told_lost = dict(self._lost)
        self._n_restarts = history.n_restarts
        self._asked_s: deque[float] = deque(maxlen=MOST_ASKED)

    async def run(self) -> None:
        """Serve until the page goes.

        Raises:
            HostileError: It sent what no page of ours sends.
            TimeoutError: It takes nothing any more.
        """
        turns = asyncio.create_task(self._turns())
        hears = asyncio.create_task(self._hear())
        done, waiting = await asyncio.wait((turns, hears), return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for task in done:
            task.result()

    # What it says

    async def _hear(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            now_s = time.monotonic()
            if len(self._asked_s) == MOST_ASKED and now_s - self._asked_s[0] < ASKED_S:
                raise HostileError(f"more than {MOST_ASKED} messages in {ASKED_S:g} s")
            self._asked_s.append(now_s)
            text = message.get("text")
            if text is None:
                raise HostileError("bytes; a page speaks JSON")
            self.hear(text)

    def hear(self, text: str) -> None:
        """Take in a message of the page.

        Raises:
            HostileError: It is none.
        """
        try:
            watch = Watch.model_validate_json(text)
        except ValidationError as error:
            raise HostileError(error.errors(include_url=False)[0]["msg"]) from error
        self._watch, self._is_fresh = watch, True
        self.columns = {
            level: frozenset(name for name in names if name in MEASUREMENTS)
            for level, names in watch.columns.items()
        }
        self._on_change()

    # What it sees

    async def _turns(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # it went while we spoke
            await self._send(self._hello)
            while True:
                began_s = time.monotonic()
                for message in self.turn():
                    await self._send(message)
                await asyncio.sleep(max(TURN_S - (time.monotonic() - began_s), 0.01))

    async def _send(self, message: bytes | str) -> None:
        async with asyncio.timeout(SEND_S):
            if isinstance(message, str):
                await self._socket.send_text(message)
            else:
                await self._socket.send_bytes(message)

    def turn(self) -> list[bytes | str]:
        """The messages that bring the page up to date."""
        found: list[bytes | str] = []
        for change, fact in self._history.facts_since(self._change):
            self._change = change
            found.append(fact.decode())
        lines, self._said, n_lost = self._history.said_since(self._said)
        self._lost["lines"] += n_lost
        if lines:
            found.append('{"kind":"said","lines":[' + b",".join(lines).decode() + "]}")
        if (span := self._history.span_ns()) is not None and span != self._span:
            self._span = span
            found.append(_json({"kind": "span", "from": span[0] / _NS, "to": span[1] / _NS}))
        if self._history.n_restarts != self._n_restarts:
            self._n_restarts, self._is_fresh = self._history.n_restarts, True
            found.append(_json({"kind": "restart"}))
        if self._watch is not None:
            found += self._past(self._watch) if self._is_fresh else self._new(self._watch)
        lost, told = self._lost, self._told_lost
        if lost != told:
            self._told_lost = dict(lost)
            found.append(_json({"kind": "lost", **lost}))
        self._on_turn(lost["frames"] - told["frames"], lost["lines"] - told["lines"])
        return found

    def _chosen(self) -> dict[TrackKey, list[str]]:
        """Which streams bring the wanted columns: of each column, the one with the best period for eyes."""
        best: dict[tuple[int, str, str, str], TrackKey] = {}
        for key, report in self._history.newest().items():
            for name in self.columns.get(key[2], ()):
                if name in report.names:
                    column = (*key[:3], name)
                    former = best.get(column)
                    if former is None or _for_eyes(key[3]) < _for_eyes(former[3]):
                        best[column] = key
        chosen: dict[TrackKey, list[str]] = {}
        for column, key in sorted(best.items()):
            chosen.setdefault(key, []).append(column[3])
        return chosen

    def _past(self, watch: Watch) -> list[bytes | str]:
        """The past of all that is watched, thinned out to what a screen can show."""
        self._is_fresh = False
        first, last = watch.span or (0.0, float(_MOST_S))
        span = round(first * _NS), round(last * _NS)
        found: list[tuple[Report, list[str], int]] = []
        most = n_bytes = 0
        for key, names in self._chosen().items():
            reports, self._cursors[key] = self._history.between(key, span)
            found += ((report, names, key[0]) for report in reports)
            most = max(most, len(reports))
            n_bytes += sum(4 * len(report) * (len(names) + len(report.ids)) for report in reports)
        every = max(-(-most // _MOMENTS), -(-n_bytes // _PAST_BYTES), 1)
        blocks = [frames.block(*one) for one in found if one[0].seq % every == 0]
        filled = {"kind": "filled", "every": every, "span": watch.span, "frames": len(blocks)}
        return [_json({"kind": "filling"}), *frames.messages(blocks), _json(filled)]

    def _new(self, watch: Watch) -> list[bytes | str]:
        blocks, chosen = [], self._chosen()
        if len(self._cursors) > 2 * len(chosen):
            self._cursors = {key: at for key, at in self._cursors.items() if key in chosen}
        for key, names in chosen.items():
            # Of a stream that has begun, all that is kept is new.
            reports, n_lost, self._cursors[key] = self._history.since(key, self._cursors.get(key), _NEWEST)
            self._lost["frames"] += n_lost
            blocks += [frames.block(report, names, key[0]) for report in reports]
        return [*frames.messages(blocks)]


def _for_eyes(period_ms: int) -> int:
    return period_ms if period_ms >= 100 else (1 << 30) - period_ms


def _json(fact: Mapping[str, object]) -> str:
    return orjson.dumps(fact).decode()
