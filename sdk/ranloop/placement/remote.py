"""Tiers on a bus: questions to the inference hosts that show a life sign, one of a tier after the other.

An answer counts only if it comes from the host that was asked, to a question that is open, about the model that was asked; the
first one does. All else is counted and has no effect.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from ranloop.bus import Bus, is_question, new_run
from ranloop.closing import Closing
from ranloop.errors import WireError
from ranloop.inference import Card, Model, Predictor, Provider, Trust, load_card, read_package
from ranloop.placement.port import Question, Reply
from ranloop.placement.privacy import Border
from ranloop.placement.tiers import Tiers
from ranloop.wire import topics
from ranloop.wire.asking import Asked, Inferred, decode_inferred, encode_asked
from ranloop.wire.codec import decode_presence
from ranloop.wire.messages import Presence

__all__ = ("BusTiers",)

log = structlog.get_logger(__name__)

_MOST_OPEN = 1024
_MOST_HOSTS = 256
_MOST_MS = 60_000.0


@dataclass(slots=True)
class _Open:
    """A question without an answer yet."""

    tier: str
    question: Question
    sent_s: float
    end_s: float
    asked: list[str]  # replicas, the last one is the one that is to answer


class BusTiers(Closing):
    """A `Reach` over a bus; one thread uses it.

    Args:
        tiers: The file's.
        xapp: Name of the xApp that asks.
        connect: Opens a bus by its URL; "" is the bus of the xApp, on a connection of its own.
        clock: Seconds, monotonic.

    Attributes:
        counts: "malformed", "stranger", "double" and "other-model" answers.

    Raises:
        BusError: A tier's bus cannot be opened.
    """

    def __init__(
        self,
        tiers: Tiers,
        xapp: str,
        connect: Callable[[str], Bus],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tiers, self.waited_ns = tiers, 0
        self._border = Border(tiers)
        self.counts: Counter[str] = Counter()
        self._xapp, self._run, self._clock = xapp, new_run(), clock
        self._buses: dict[str, Bus] = {}
        self._hosts: dict[str, tuple[str, frozenset[str]]] = {}  # name -> tier, models
        self._n_sent = 0
        self._open: dict[int, _Open] = {}
        self._come: dict[int, Reply] = {}
        self._began: tuple[int, float] = (-1, 0.0)  # RAN time of a report, and when it was first seen
        for url in dict.fromkeys(tier.address for name, tier in tiers.tiers.items() if name != tiers.here):
            bus = self._buses[url] = connect(url)
            bus.subscribe(topics.presence("+"), self._on_presence, qos=1, keep=4096, latest=4)
            bus.subscribe(topics.inferred(xapp, "+"), self._on_answer, urgent=True)

    def serve(self, here: Model, folder: Path | None, trust: Trust | None, provider: Provider) -> Card:
        """See `Reach`; without `trust` the card alone is read, because other machines compute the model."""
        if folder is None:
            return here.card
        return load_card(folder) if trust is None else read_package(folder, trust=trust)[0]

    def offer(self, tag: str, predictor: Predictor) -> None:
        pass

    def work(self, mmac: float) -> None:
        pass

    def begin(self, now_ns: int) -> None:
        pass

    def now_ns(self, asked_ns: int) -> int:
        """RAN time of the report, and the wall clock since it was first handled."""
        if self._began[0] != asked_ns:
            self._began = asked_ns, self._clock()
        return asked_ns + round((self._clock() - self._began[1]) * 1e9)

    def is_there(self, tier: str) -> bool:
        return any(at == tier for at, _ in self._hosts.values())

    def send(self, tier: str, question: Question, until_ns: int) -> int:
        self._n_sent += 1
        now_s = self._clock()
        end_s = now_s + max(until_ns - self.now_ns(question.asked_ns), 0) / 1e9
        if len(self._open) >= _MOST_OPEN:
            del self._open[next(iter(self._open))]
        self._open[self._n_sent] = _Open(tier, question, now_s, end_s, [])
        self._ask_next(self._n_sent, "failed")
        return self._n_sent

    def wait(self, number: int, until_ns: int) -> Reply | None:
        sent = self._open.get(number)
        while number not in self._come and sent is not None:
            left_s = sent.end_s - self._clock()
            if left_s <= 0:
                return None
            self._buses[self.tiers[sent.tier].address].poll(left_s)
        return self._come.pop(number, None)

    def arrived(self, numbers: Collection[int]) -> Sequence[Reply]:
        self.turn()
        return [self._come.pop(number) for number in list(self._come) if number in numbers]

    def turn(self) -> None:
        """Keep the connections alive, and learn which hosts live."""
        for bus in self._buses.values():
            bus.poll()

    def close(self) -> None:
        for bus in self._buses.values():
            bus.close()

    # Questions

    def _ask_next(self, number: int, fault: str) -> None:
        """Put an open question to a host of its tier that has not been asked; a reply with `fault` if there is none."""
        sent = self._open[number]
        model, tier = sent.question.model, sent.tier
        able = sorted(name for name, (at, models) in self._hosts.items() if at == tier and model in models)
        left = [name for name in able if name not in sent.asked]
        left_ms = (sent.end_s - self._clock()) * 1e3
        # The transport itself keeps what may not leave, whatever a policy chose.
        if not left or left_ms <= 0 or not self._border.lets_out(tier, sent.question.sensitivity):
            self._close(number, fault="busy" if fault == "busy" else "failed")
            return
        host = left[number % len(left)]
        sent.asked.append(host)
        asked = Asked(
            number=number,
            run=self._run,
            xapp=self._xapp,
            model=model,
            within_ms=min(left_ms, _MOST_MS),
            matrix=sent.question.sent,
        )
        try:
            payload = encode_asked(asked)
        except WireError as error:
            log.warning("question_too_large", model=model, rows=len(asked.matrix), reason=str(error))
            self._close(number, fault="failed")
            return
        self._buses[self.tiers[tier].address].publish(topics.ask(host, self._xapp), payload)

    def _close(self, number: int, inferred: Inferred | None = None, *, fault: str = "") -> None:
        sent = self._open.pop(number)
        if len(self._come) >= _MOST_OPEN:  # nobody has fetched the oldest
            del self._come[next(iter(self._come))]
        self._come[number] = Reply(
            number=number,
            tier=sent.tier,
            took_ns=round((self._clock() - sent.sent_s) * 1e9),
            outputs=None if inferred is None else inferred.outputs,
            fault="busy" if fault == "busy" else "failed" if fault else "",
        )

    def _on_answer(self, topic: str, payload: bytes) -> None:
        host = topics.levels(topic)[2]
        try:
            inferred = decode_inferred(payload)
        except WireError:
            self.counts["malformed"] += 1
            return
        sent = self._open.get(inferred.number)
        if inferred.run != self._run or sent is None:
            self.counts["double"] += 1  # a second answer, or one to a question of an earlier run
        elif inferred.replica != host or not sent.asked or sent.asked[-1] != host:
            self.counts["stranger"] += 1
        elif inferred.model != sent.question.model:
            self.counts["other-model"] += 1
        elif inferred.state == "ok":
            self._close(inferred.number, inferred)
        else:
            self._ask_next(inferred.number, inferred.state)

    # Life signs

    def _on_presence(self, topic: str, payload: bytes) -> None:
        try:
            presence = decode_presence(payload)
        except WireError:
            return  # who shows signs of life counts them
        if topic != topics.presence(presence.name) or is_question(presence) or "answers" in presence.facts:
            return
        serves = _serves(presence, self.tiers.tiers)
        if serves is None:
            self._hosts.pop(presence.name, None)
        elif presence.name in self._hosts or len(self._hosts) < _MOST_HOSTS:
            self._hosts[presence.name] = serves


def _serves(presence: Presence, known: Mapping[str, object]) -> tuple[str, frozenset[str]] | None:
    """Tier and models of a living inference host; None for anybody else."""
    tier, models = presence.facts.get("tier"), presence.facts.get("models")
    if not presence.alive or presence.facts.get("kind") != "inference":
        return None
    if not isinstance(tier, str) or tier not in known:
        return None
    if not isinstance(models, list) or not all(isinstance(model, str) for model in models):
        return None
    return tier, frozenset(models)
