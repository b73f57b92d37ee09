"""The live host when time passes between two messages of one poll, as it does on a busy machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from ranloop.bus import Bus, open_bus
from ranloop.guard import ActionRight, Rights, StreamRight
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import decode_result, encode
from ranloop.wire.messages import ActionBatch, Result, Status

MS = 1_000_000


class SlowMachine:
    """A clock on which each look takes time; the xApp speaks while the host waits."""

    def __init__(self, look_ms: float, speak: Callable[[], object]) -> None:
        self._look_ns, self._speak, self._now_ns = round(look_ms * MS), speak, 0

    def now_ns(self) -> int:
        self._now_ns += self._look_ns
        return self._now_ns

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        self._speak()
        poll(0.0)


def test_an_action_that_takes_effect_before_the_next_message_is_read_does_not_turn_time_back() -> None:
    url = "memory://slow-machine"
    streams = (StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDl",)),)
    rights = Rights(streams=streams, actions=(ActionRight(name="SetUeWeight", rate_per_s=1000),))
    sent: list[ActionBatch] = []
    results: list[Result] = []

    def speak(bus: Bus) -> None:
        """Two messages that the host finds in one poll."""
        bus.poll()
        for _ in range(2 if len(sent) < 20 else 0):
            sent.append(
                ActionBatch(
                    id=f"b-{len(sent)}",
                    xapp="busy",
                    node="toy-1",
                    seq=len(sent),
                    action=SetUeWeight(ue=[0], weight=2.0),
                    valid_until_ns=10_000 * MS,
                    lease_ms=30,
                )
            )
            bus.publish(topics.act("busy", "toy-1"), encode(sent[-1]), qos=1)

    with closing(open_bus(url, name="host")) as host_bus, closing(open_bus(url, name="busy")) as bus:
        bus.subscribe(
            topics.result("busy", "toy-1"), lambda _, payload: results.append(decode_result(payload))
        )
        host = NodeHost(ToyWorld(), host_bus, xapps={"busy": Registration(rights=rights)})
        # 6 ms a look and some looks a message: more than the control delay of 10 ms passes from one to the next.
        summary = LiveHost(host, clock=SlowMachine(6.0, lambda: speak(bus))).run(duration_s=0.6)
        bus.poll()
    assert summary.ran_time_ns == 600 * MS
    terminal = [result.id for result in results if result.count(Status.ENDED) == 0]
    assert sorted(terminal) == sorted(batch.id for batch in sent)
    assert summary.outcomes["applied"] > 0
