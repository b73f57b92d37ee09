"""An xApp that is a function from a step to batches, on a bus of its own: what a host sees of a real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ranloop.bus import Bus
from ranloop.guard import ActionRight, Rights, StreamRight
from ranloop.vocabulary import Action
from ranloop.wire import topics
from ranloop.wire.codec import decode_step, encode
from ranloop.wire.messages import ActionBatch, Answer, Presence, Step

READS_UES = StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDl",))
MS = 1_000_000


def rights(*actions: str, streams: Sequence[StreamRight] = (READS_UES,)) -> Rights:
    return Rights(streams=tuple(streams), actions=tuple(ActionRight(name=name) for name in actions))


class ScriptedXApp:
    """Answers each step with what `decide(step)` wants: pairs of node and action."""

    def __init__(
        self,
        name: str,
        bus: Bus,
        decide: Callable[[Step], Sequence[tuple[str, Action]]],
        *,
        timers: Mapping[str, int] | None = None,
        lease_ms: int | None = None,
        atomic: bool = False,
        run: str = "1",
    ) -> None:
        self.name, self.bus, self.decide, self.lease_ms = name, bus, decide, lease_ms
        self.atomic = atomic
        self.steps: list[Step] = []
        self._seq = 0
        bus.subscribe(topics.step("host", name), self._on_step, qos=1)
        self.show(alive=True, timers=timers or {}, run=run)

    def show(self, *, alive: bool, timers: Mapping[str, object] | None = None, run: str = "1") -> None:
        facts = {"timers": dict(timers or {}), "run": run}
        presence = Presence(name=self.name, alive=alive, facts=facts)
        self.bus.publish(topics.presence(self.name), encode(presence), qos=1, retain=True)

    def _on_step(self, _topic: str, payload: bytes) -> None:
        step = decode_step(payload)
        self.steps.append(step)
        batches = tuple(self.batch(step, node, action) for node, action in self.decide(step))
        self.answer(Answer(xapp=self.name, step=step.step, batches=batches))

    def batch(self, step: Step, node: str, action: Action) -> ActionBatch:
        self._seq += 1
        return ActionBatch(
            id=f"{self.name}-{self._seq}",
            xapp=self.name,
            node=node,
            seq=self._seq,
            action=action,
            valid_until_ns=step.ran_time_ns + 200 * MS,
            lease_ms=self.lease_ms,
            atomic=self.atomic,
        )

    def answer(self, answer: Answer) -> None:
        self.bus.publish(topics.answer(self.name, "host"), encode(answer), qos=1)
