"""An inference host: serves models to xApps over the bus, in batches, and says so when it has no room.

Questions come with QoS 0 and a span after which their answer is of no use. They wait in a bounded queue; one that finds it
full is answered "busy" at once, and one that has waited too long "late", without being computed. Questions to one model that
wait together are computed together. Nothing of a question is trusted: `wire.asking` bounds it, the topic says who asks, and a
matrix has to have the shape of the model's card.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from ranloop.bus import Bus, LifeSign
from ranloop.bus.meter import is_round
from ranloop.errors import ModelError, PlacementError, WireError
from ranloop.foreign import one_line
from ranloop.inference import Late, Model, Predictor
from ranloop.placement.split import Split
from ranloop.wire import topics
from ranloop.wire.asking import Asked, Inferred, State, decode_asked, encode_inferred
from ranloop.wire.messages import F32, FOR_EVER_NS

__all__ = ("InferenceHost",)

log = structlog.get_logger(__name__)

QUEUE = 256
BATCH_ROWS = 4096
_TURN_S = 0.1
_REMEMBERED = 4096  # questions answered last: one that comes twice is answered once
_NONE = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class _Served:
    """A model, or the tail of one."""

    tag: str
    row_shape: tuple[int, ...]
    n_outputs: int
    predictor: Predictor


@dataclass(frozen=True, slots=True)
class _Waiting:
    asked: Asked
    came_s: float


class InferenceHost:
    """Ties models to a bus, which its owner polls through `turn`.

    Args:
        bus: The connection.
        name: Name of this host on the bus; replicas of a tier have different names.
        tier: The tier that it is part of.
        models: What it serves.
        splits: Models whose tails it serves.
        queue: Questions that may wait.
        batch_rows: Rows that are computed at a time, if no single question has more.
        clock: Seconds, monotonic.

    Attributes:
        counts: Answers by their state, and "malformed", "stranger" (in another's name) and "double" questions.

    Raises:
        NameTakenError: A living participant has this name.
        PlacementError: Two of the models are the same.
    """

    def __init__(
        self,
        bus: Bus,
        name: str,
        tier: str,
        models: Sequence[Model],
        *,
        splits: Sequence[Split] = (),
        queue: int = QUEUE,
        batch_rows: int = BATCH_ROWS,
        clock: Callable[[], float] = time.monotonic,
        run: str = "",
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._bus, self._name, self._clock = bus, name, clock
        served = [
            _Served(one.tag, one.card.row_shape, len(one.card.outputs), one.predictor) for one in models
        ]
        served += [_Served(one.tag, one.tail.row_shape, len(one.card.outputs), one.tail) for one in splits]
        self._models = {one.tag: one for one in served}
        if len(self._models) < len(served):
            raise PlacementError(f"a model is given twice: {', '.join(one.tag for one in served)}")
        self._most_waiting, self._batch_rows = queue, batch_rows
        self._waiting: deque[_Waiting] = deque()
        self._seen: dict[tuple[str, str, int], None] = {}
        facts = {"kind": "inference", "tier": tier, "models": list(self._models)}
        self._sign = LifeSign(bus, name, facts, run=run)
        self._sign.claim()
        # More than fit the queue, so that the rest is told that it is full.
        self._subscription = bus.subscribe(topics.ask(name, "+"), self._on_question, keep=2 * queue + 64)
        self._sign.show()

    def run(self, stop: threading.Event, *, duration_s: float | None = None) -> Mapping[str, int]:
        """Serve until `stop` is set or `duration_s` is over, then withdraw the life sign; the counts."""
        end_s = float("inf") if duration_s is None else self._clock() + duration_s
        try:
            while not stop.is_set() and self._clock() < end_s:
                self.turn(_TURN_S)
        finally:
            self.close()
        return dict(self.counts)

    def turn(self, timeout_s: float = 0.0) -> int:
        """Take what has come, or what comes within `timeout_s`, and answer it; the number of answers."""
        n_before = self._n_answered
        self._bus.poll(timeout_s)
        while self._waiting:
            self._compute(self._next_batch())
        return self._n_answered - n_before

    def close(self) -> None:
        """Stop listening and withdraw the life sign."""
        self._subscription.cancel()
        self._sign.withdraw()

    @property
    def _n_answered(self) -> int:
        return sum(n for state, n in self.counts.items() if state not in ("malformed", "stranger", "double"))

    def _on_question(self, topic: str, payload: bytes) -> None:
        sender = topics.levels(topic)[2]
        try:
            asked = decode_asked(payload)
        except WireError as error:
            self._ignore("malformed", sender, str(error))
            return
        key = asked.xapp, asked.run, asked.number
        if asked.xapp != sender:
            self._ignore("stranger", sender, f"a question in the name of {asked.xapp}")
        elif key in self._seen:
            self.counts["double"] += 1
        else:
            self._remember(key)
            self._admit(_Waiting(asked, self._clock()))

    def _admit(self, waiting: _Waiting) -> None:
        model = self._models.get(waiting.asked.model)
        if model is None:
            self._answer(waiting, "unknown-model")
        elif waiting.asked.matrix.shape[1:] != model.row_shape:
            self._answer(waiting, "wrong-shape")
        elif len(self._waiting) >= self._most_waiting:
            self._answer(waiting, "busy")
        else:
            self._waiting.append(waiting)

    def _next_batch(self) -> list[_Waiting]:
        """The question that waits longest, and all others to its model that fit."""
        model, n_rows = self._waiting[0].asked.model, 0
        batch: list[_Waiting] = []
        rest: deque[_Waiting] = deque()
        for waiting in self._waiting:
            fits = not batch or n_rows + len(waiting.asked.matrix) <= self._batch_rows
            if waiting.asked.model == model and fits:
                batch.append(waiting)
                n_rows += len(waiting.asked.matrix)
            else:
                rest.append(waiting)
        self._waiting = rest
        return batch

    def _compute(self, batch: Sequence[_Waiting]) -> None:
        began_s = self._clock()
        in_time: list[_Waiting] = []
        for one in batch:
            waited_ms = (began_s - one.came_s) * 1e3
            if waited_ms <= one.asked.within_ms:
                in_time.append(one)
            else:
                self._answer(one, "late", waited_ms=waited_ms)
        if not in_time:
            return
        model = self._models[in_time[0].asked.model]
        matrices = [one.asked.matrix for one in in_time]
        matrix = np.ascontiguousarray(np.concatenate(matrices) if len(matrices) > 1 else matrices[0])
        state: State = "ok"
        try:
            outputs = model.predictor.predict(matrix, 0, FOR_EVER_NS)
        except ModelError as error:
            log.warning("model_failed", model=model.tag, reason=str(error))
            outputs = _NONE
        if isinstance(outputs, Late) or outputs.shape != (len(matrix), model.n_outputs):
            state, outputs = "failed", _NONE
        took_ms, at = (self._clock() - began_s) * 1e3, 0
        for one in in_time:
            n = len(one.asked.matrix)
            part, at = (outputs[at : at + n], at + n) if state == "ok" else (_NONE, at)
            own: State = state if np.isfinite(part).all() else "failed"
            self._answer(
                one,
                own,
                part if own == "ok" else _NONE,
                waited_ms=(began_s - one.came_s) * 1e3,
                took_ms=took_ms,
            )

    def _answer(
        self,
        waiting: _Waiting,
        state: State,
        outputs: F32 = _NONE,
        *,
        waited_ms: float = 0.0,
        took_ms: float = 0.0,
    ) -> None:
        asked = waiting.asked
        answer = Inferred(
            number=asked.number,
            run=asked.run,
            replica=self._name,
            model=asked.model,
            state=state,
            waited_ms=waited_ms,
            took_ms=took_ms,
            outputs=outputs,
        )
        self._bus.publish(topics.inferred(asked.xapp, self._name), encode_inferred(answer))
        self.counts[state] += 1

    def _remember(self, key: tuple[str, str, int]) -> None:
        if len(self._seen) >= _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None

    def _ignore(self, kind: str, sender: str, reason: str) -> None:
        self.counts[kind] += 1
        if is_round(self.counts[kind]):
            log.warning("question_ignored", xapp=sender, so_far=self.counts[kind], reason=one_line(reason))
