"""Virtual tiers: delays, losses and outages in RAN time, drawn by seed. The same seed gives the same bits on any bus.

A question's fate depends on the seed, the tier, the node and the report alone, never on what was asked before. Two policies on
one seed therefore meet the same delays.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from ranloop.errors import ModelError
from ranloop.inference import Card, Late, Model, Predictor, Provider, Trust, load_model
from ranloop.placement.port import Question, Reply
from ranloop.placement.privacy import Border
from ranloop.placement.tiers import Tiers

__all__ = ("VirtualTiers",)

_WINDOW_NS = 10_000_000_000  # of `availability`
_MOST_UNDER_WAY = 1024
_NS_PER_S = 1_000_000_000


class _UnderWay(NamedTuple):
    tier: str
    question: Question
    sent_ns: int
    due_ns: int


class VirtualTiers:
    """A `Reach` whose tiers are in this process.

    Args:
        tiers: The file's.
        seed: In place of the file's.
    """

    def __init__(self, tiers: Tiers, *, seed: int | None = None) -> None:
        self.tiers = tiers
        self.waited_ns = 0
        self._seed = tiers.seed if seed is None else seed
        self._now_ns = 0
        self._border = Border(tiers)
        self._n_sent = 0
        self._under_way: dict[int, _UnderWay] = {}
        self._models: dict[str, Predictor] = {}

    def serve(self, here: Model, folder: Path | None, trust: Trust | None, provider: Provider) -> Card:
        """See `Reach`; the model is opened in this process."""
        model = here if folder is None else load_model(folder, trust=trust, provider=provider)
        self.offer(Model.tag_of(model.card), model.predictor)
        return model.card

    def offer(self, tag: str, predictor: Predictor) -> None:
        """Let the tiers compute a model."""
        self._models[tag] = predictor

    def work(self, mmac: float) -> None:
        self._pass(self._now_ns + self.tiers[self.tiers.here].cost(0, mmac).time_ns)

    def begin(self, now_ns: int) -> None:
        self._now_ns, self.waited_ns = now_ns, 0

    def now_ns(self, asked_ns: int) -> int:
        self._now_ns = max(self._now_ns, asked_ns)
        return self._now_ns

    def is_there(self, tier: str) -> bool:
        return True  # a tier that is down is silent, as on a network

    def send(self, tier: str, question: Question, until_ns: int) -> int:
        self._n_sent += 1
        # The transport itself keeps what may not leave, whatever a policy chose.
        is_let_out = self._border.lets_out(tier, question.sensitivity)
        took_ns = self.took_ns(tier, question, self._now_ns) if is_let_out else None
        if took_ns is not None:
            if len(self._under_way) >= _MOST_UNDER_WAY:
                del self._under_way[next(iter(self._under_way))]
            self._under_way[self._n_sent] = _UnderWay(tier, question, self._now_ns, self._now_ns + took_ns)
        return self._n_sent

    def wait(self, number: int, until_ns: int) -> Reply | None:
        sent = self._under_way.get(number)
        if sent is None or sent.due_ns > until_ns:
            self._pass(until_ns)
            return None
        self._pass(sent.due_ns)
        return self._reply(number)

    def arrived(self, numbers: Collection[int]) -> Sequence[Reply]:
        under_way = [(number, sent.due_ns) for number, sent in self._under_way.items() if number in numbers]
        due = [number for number, due_ns in under_way if due_ns <= self._now_ns]
        return [self._reply(number) for number in due]

    def took_ns(self, tier: str, question: Question, sent_ns: int) -> int | None:
        """Time from a question to its answer; None if it gets none."""
        at, now_s = self.tiers[tier], sent_ns / _NS_PER_S
        events = [event for event in at.events if event.from_s <= now_s < event.to_s]
        lost, of_way, angle = self._uniforms(tier, question.node, question.level, question.asked_ns)
        (window,) = self._uniforms(tier, "availability", "", sent_ns // _WINDOW_NS, n=1)
        loss = max([at.loss, *(event.by for event in events if event.what == "lossy")])
        if window >= at.availability or lost < loss or any(event.what == "down" for event in events):
            return None
        normal = math.sqrt(-2 * math.log1p(-of_way)) * math.cos(2 * math.pi * angle)
        way_ns = at.round_trip_ms * 1e6 * (math.exp(at.spread * normal) - 1)  # beyond the median
        slower = math.prod(event.by for event in events if event.what == "slow")
        return round(slower * (at.cost(question.n_bytes, question.mmac).time_ns + way_ns))

    def _uniforms(self, tier: str, node: str, level: str, number: int, *, n: int = 3) -> list[float]:
        """Numbers in [0, 1) that the arguments and the seed decide."""
        key = f"{self._seed}/{tier}/{node}/{level}/{number}".encode()
        digest = blake2b(key, digest_size=8 * n).digest()
        return [(int.from_bytes(digest[at : at + 8], "little") >> 11) * 2.0**-53 for at in range(0, 8 * n, 8)]

    def _pass(self, until_ns: int) -> None:
        self.waited_ns += max(until_ns - self._now_ns, 0)
        self._now_ns = max(self._now_ns, until_ns)

    def _reply(self, number: int) -> Reply:
        tier, question, sent_ns, due_ns = self._under_way.pop(number)
        predictor = self._models[question.model]
        took_ns = due_ns - sent_ns
        failed = Reply(number=number, tier=tier, took_ns=took_ns, fault="failed")
        try:
            outputs = predictor.predict(question.sent, question.asked_ns, due_ns)
        except ModelError:
            return failed  # as from a host, which may not end the xApp
        if isinstance(outputs, Late):
            return failed
        return Reply(number=number, tier=tier, took_ns=took_ns, outputs=outputs)
