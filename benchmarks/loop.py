"""The closed loop: a report of 100 UEs leaves, 100 targets come back, their result leaves.

Two loops. *Transport*: bus, codec and the xApp's runner around a handler that decides nothing; the host takes the decoded
action for applied. *Guarded*: a policy at the xApp, the live host with all that it does. Over mosquitto host and xApp are two processes, as in reality; over memory they share one, as in the embedded default.

The peer of all four is a bare paho loop over mosquitto: the same hops, sizes of payload, QoS and TCP options, in the
caller's thread at both ends, and nothing that is read, decided or checked. Measured at the host, from the call that makes
the report until the result has left. Between two rounds there is a pause, as there is between two reports: what the xApp
does with a result, and the host after it, is then not in the way of the next report. Blocks of rounds take turns.

By default a client of ranloop waits awake for a while after traffic; *asleep* is without it. Those rounds follow each other
quickly, so that caches are warm. *Every 20 ms* is a loop that sleeps between its reports, and whose caches are cold.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from benchmarks.bare_client import BareClient
from benchmarks.far_end import ACT, REPORT, RESULT, THRESHOLD, TRIVIAL, far_end
from benchmarks.measure import F64, ROUNDS, Row, latency_row
from benchmarks.still_world import NODE, PERIOD_NS, StillWorld
from ranloop.bus import Broker, Bus, open_bus
from ranloop.node import LiveHost, NodeHost, Registration
from ranloop.node.outlets import Onlooker
from ranloop.wire import Cause, Result, topics
from ranloop.wire.codec import decode_action_batch, encode
from ranloop.wire.messages import FOR_EVER_NS
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.manifest import load_manifest

SAMPLES = 20_000
# Of the bare loop: what travels may cost a third more, all that a live host does four fifths.
BARS = {"transport, over memory": 1.3, "transport, over mosquitto": 1.3, "guarded, over mosquitto": 1.8}
_BLOCK = 250  # rounds in a row; the first ones, in caches that others have filled, must not make up the 99th percentile
_PAUSE_S = 0.0005
_SLOW_SAMPLES = 1000
_SLOW_PAUSE_S = 0.02
_GIVE_UP_S = 5.0
_BARE = "bare"
_SPIN = "RANLOOP_MQTT_SPIN_US"


class Loop:
    """The host's end of a ranloop loop."""

    sizes = (0, 0, 0)  # bytes of report, batch and result

    def __init__(
        self, bus: Bus, poll: Callable[[float], object], xapp: Path, onlooker: Onlooker | None = None
    ) -> None:
        manifest = load_manifest(xapp)
        xapps = {manifest.name: Registration(rights=manifest.rights)}
        self.bus, self.poll = bus, poll
        self.host = NodeHost(StillWorld(), bus, xapps=xapps, onlooker=onlooker)

    def round(self) -> None:
        """Report out, action in, result out."""
        raise NotImplementedError


class TransportLoop(Loop):
    """A loop without guard and node: the result reports every value as applied."""

    def __init__(self, bus: Bus, poll: Callable[[float], object], xapp: Path) -> None:
        super().__init__(bus, poll, xapp)
        self._done = False
        for xapp_name in self.host.runtime.xapps:
            bus.subscribe(topics.act(xapp_name, NODE), self._on_action, qos=1, keep=1024)
        self.host.announce(alive=True)

    def round(self) -> None:
        """Report out, action in, result out."""
        world, self._done = self.host.runtime.port, False
        world.advance(world.next_report_ns())
        self.host.publish_reports(reports := world.reports(self.host.runtime.wanted))
        give_up_s = time.monotonic() + _GIVE_UP_S
        while not self._done:
            self.poll(0.1)
            if time.monotonic() > give_up_s:
                raise TimeoutError("the xApp does not answer")
        self.sizes = (len(encode(reports[0])), *self.sizes[1:])

    def _on_action(self, topic: str, payload: bytes) -> None:
        batch = decode_action_batch(payload)
        all_well = np.zeros(len(batch.action), np.uint8)
        result = Result(
            id=batch.id,
            xapp=batch.xapp,
            node=batch.node,
            action=batch.action.spec.name,
            targets=batch.action.targets(),
            status=all_well,
            cause=all_well,
            causes=((Cause.NONE, ""),),
            applied=batch.action.parameters(),
            ran_time_ns=self.host.runtime.port.now_ns,
            stamps=batch.stamps,
        )
        packed = encode(result)
        self.bus.publish(topics.result(result.xapp, result.node), packed, qos=1)
        self.sizes = (self.sizes[0], len(payload), len(packed))
        self._done = True


class HeldClock:
    """A clock that jumps to the next event, but waits for the xApp before the next report leaves."""

    def __init__(self, poll: Callable[[float], object]) -> None:
        self._poll, self._now_ns = poll, 0
        self.report_may_leave = True

    def now_ns(self) -> int:
        return self._now_ns

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        if until_ns % PERIOD_NS or self.report_may_leave:
            self._now_ns = until_ns
        else:
            self._poll(0.1)


class GuardedLoop(Loop):
    """The loop of `ranloop host`: guard, leases, results, counters and the audit. Only the waiting for RAN time is removed."""

    def __init__(
        self, bus: Bus, poll: Callable[[float], object], xapp: Path, onlooker: Onlooker | None = None
    ) -> None:
        super().__init__(bus, self._settle, xapp, onlooker)
        self._clock = HeldClock(poll)
        self.live = LiveHost(self.host, clock=self._clock)
        self._poll = poll
        self.host.announce(alive=True)

    def round(self) -> None:
        """Report out, action in, result out."""
        self._clock.report_may_leave = True
        self.live.turn(FOR_EVER_NS)
        self._clock.report_may_leave = False
        while self._clock.now_ns() % PERIOD_NS == 0:  # the result leaves at a slot between two reports
            self.live.settle()
            self.live.turn(FOR_EVER_NS)

    def _settle(self, timeout_s: float) -> None:
        self.live.settle()
        outcomes = self.host.runtime.tally.outcomes
        if set(outcomes) != {"applied"}:
            raise RuntimeError(f"not everything was applied: {dict(outcomes)}")
        self._poll(timeout_s)


class BareLoop:
    """The same hops with payloads of zeros."""

    def __init__(self, port: int, report_bytes: int, result_bytes: int) -> None:
        self._report, self._result = bytes(report_bytes), bytes(result_bytes)
        self._done = False
        self._client = BareClient(port, "bare-near", self._on_message)
        self.poll = self._client.turn
        self._client.paho.subscribe(ACT, 1)
        self._client.turn(1.0)

    def round(self) -> None:
        """Report out, action in, result out."""
        self._done = False
        self._client.paho.publish(REPORT, self._report, qos=0)
        give_up_s = time.monotonic() + _GIVE_UP_S
        while not self._done:
            self._client.turn(0.1)
            if time.monotonic() > give_up_s:
                raise TimeoutError("the far end does not answer")

    def _on_message(self, topic: str, payload: bytes) -> None:
        self._client.paho.publish(RESULT, self._result, qos=1)
        self._done = True


Loops = dict[str, Loop | BareLoop]


def _measure(loops: Loops, samples: int, pause_s: float) -> dict[str, F64]:
    """Microseconds per round, shape [ROUNDS, samples / ROUNDS]; blocks of rounds take turns."""
    took_us = {name: np.empty(samples) for name in loops}
    block = min(_BLOCK, samples // ROUNDS)
    for loop in loops.values():
        for _ in range(300):
            loop.round()
            pause(loop, _PAUSE_S)
    for start in range(0, samples, block):
        for name, loop in loops.items():
            for sample in range(start, start + block):
                began_ns = time.perf_counter_ns()
                loop.round()
                took_us[name][sample] = (time.perf_counter_ns() - began_ns) / 1e3
                pause(loop, pause_s)
    return {name: took.reshape(ROUNDS, -1) for name, took in took_us.items()}


def pause(loop: Loop | BareLoop, pause_s: float) -> None:
    """Finish the work that is still on its way: acknowledgements, the result at the xApp."""
    end_s = time.monotonic() + pause_s
    while (left_s := end_s - time.monotonic()) > 0.0:
        loop.poll(left_s)


def run() -> list[Row]:
    """Both loops over memory and over mosquitto, each against the bare loop."""
    with ExitStack() as stack:
        loops: Loops = {}
        for kind, make, xapp in (("transport", TransportLoop, TRIVIAL), ("guarded", GuardedLoop, THRESHOLD)):
            loop, _ = embedded(stack, make, xapp)
            loops[f"{kind}, over memory"] = loop
            if kind == "transport":
                loop.round()
                report_bytes, batch_bytes, result_bytes = loop.sizes
            loops[f"{kind}, over mosquitto"], broker = apart(stack, make, xapp)
        with asleep():
            loops["transport, over mosquitto, asleep"], _ = apart(stack, TransportLoop, TRIVIAL)
        stack.enter_context(far_end("bare", str(broker.port), str(batch_bytes)))
        loops[_BARE] = BareLoop(broker.port, report_bytes, result_bytes)
        rows = _rows(
            _measure(loops, SAMPLES, _PAUSE_S),
            bars=BARS,
            note=f"report {report_bytes} B QoS 0, batch {batch_bytes} B and result {result_bytes} B QoS 1",
        )
        slow = {name: loop for name, loop in loops.items() if name == _BARE or "mosquitto" in name}
        rows += _rows(_measure(slow, _SLOW_SAMPLES, _SLOW_PAUSE_S), suffix=", every 20 ms")
        return rows + [_cpu_row(name, loop) for name, loop in slow.items() if "guarded" not in name]


def _rows(
    took_us: Mapping[str, F64], *, bars: Mapping[str, float] | None = None, suffix: str = "", note: str = ""
) -> list[Row]:
    return [
        latency_row(
            f"loop, {name}{suffix}",
            took_us[name],
            peer=f"bare paho loop, mosquitto{suffix}",
            peer_took=took_us[_BARE],
            bar=(bars or {}).get(name),
            bar_p99=True,
            note=note,
        )
        for name in took_us
        if name != _BARE
    ]


def _cpu_row(name: str, loop: Loop | BareLoop) -> Row:
    """CPU time of this end's process per round, waiting awake included."""
    began_s, rounds = time.process_time(), 100
    for _ in range(rounds):
        loop.round()
        pause(loop, _SLOW_PAUSE_S)
    took_us = (time.process_time() - began_s) / rounds * 1e6
    return Row(name=f"loop, {name}, every 20 ms, CPU of the host", unit="us a round", p50=took_us)


@contextmanager
def asleep() -> Iterator[None]:
    """Clients that are opened in here, also by processes that are started, sleep as soon as they wait."""
    os.environ[_SPIN] = "0"
    try:
        yield
    finally:
        del os.environ[_SPIN]


def apart(
    stack: ExitStack, make: Callable[[Bus, Callable[[float], object], Path], Loop], xapp: Path
) -> tuple[Loop, Broker]:
    """A loop with its xApp in a process of its own, and their broker."""
    broker = stack.enter_context(Broker.start("mosquitto"))
    stack.enter_context(far_end("ranloop", str(broker.port), xapp.name))
    bus = stack.enter_context(open_bus(broker.url, name="host"))
    loop = make(bus, bus.poll, xapp)
    _let_join(bus)
    return loop, broker


def embedded(stack: ExitStack, make: type[Loop], xapp: Path) -> tuple[Loop, LiveRunner]:
    """A loop with its xApp in this process, and what runs the xApp."""
    address = f"memory://{xapp.name}"
    memory = stack.enter_context(open_bus(address, name="host"))
    xapp_memory = stack.enter_context(open_bus(address, name=xapp.name))
    runner = LiveRunner(Instance(load_package(xapp), incarnation="1"), xapp_memory)
    loop = make(memory, lambda _: (xapp_memory.poll(), memory.poll()), xapp)
    xapp_memory.poll()  # reads the catalogue and subscribes
    return loop, runner


def _let_join(bus: Bus) -> None:
    """Poll until the xApp has had time to read the catalogue and subscribe; the first report must not be lost."""
    end_s = time.monotonic() + 1.0
    while time.monotonic() < end_s:
        bus.poll(0.05)
