"""An xApp, live, on a network in virtual time: a second takes milliseconds, and a test says what goes wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from numpy.typing import ArrayLike

from ranloop.bus import Bus, Will, open_bus, will_of
from ranloop.bus.memory import MemoryBus
from ranloop.closing import Closing
from ranloop.guard import AuditLog, AuditRecord
from ranloop.inference import Predictor
from ranloop.node.clock import VirtualClock
from ranloop.node.host import NodeHost
from ranloop.node.live import LiveHost
from ranloop.node.outlets import Event
from ranloop.node.port import NodePort
from ranloop.node.registry import open_world
from ranloop.node.runtime import Registration
from ranloop.testing.mail import Kind, Mail, MailedBus
from ranloop.testing.messages import Names
from ranloop.testing.predictors import DelayedPredictor, FailingPredictor
from ranloop.testing.scripted_node import ScriptedNode
from ranloop.vocabulary import ACTIONS, Action, Level
from ranloop.vocabulary import Kind as ActionKind
from ranloop.wire import topics
from ranloop.wire.codec import decode_action_batch, encode
from ranloop.wire.messages import ActionBatch, Alarm, Fate, Result, Settings, Status
from ranloop.wire.operating import SettingValue
from ranloop.xapp.instance import HANDLERS_MAY_RAISE, Instance
from ranloop.xapp.live import LiveRunner, LiveStats
from ranloop.xapp.loader import load_package
from ranloop.xapp.state import State

__all__ = ("VirtualRan",)

_MS = 1_000_000
_HOST = "host"
_fresh = itertools.count()


class VirtualRan(Closing):
    """One xApp and the nodes that it acts on, with the real guard, runners and messages between them.

    Everything that a network does to an xApp happens at the instant that the test says, so a test gives the same each
    time. An error of a handler ends `run` and reaches the test.

    Args:
        folder: The xApp's folder.
        world: Opens the nodes: an address such as "sim:one-cell", or a function; a `ScriptedNode` if left out.
        state: What the xApp kept of a former run.
        settings: Values of its settings; the manifest's defaults otherwise.

    Attributes:
        actions: The batches that reached the host, as they came.
        results: What became of them.
        held: (Action, target) -> values of each setting that is in force for the xApp.
        audit: The guard's records.
    """

    def __init__(
        self,
        folder: str | Path,
        /,
        *,
        world: str | Callable[[], NodePort] | None = None,
        state: Mapping[str, Any] | None = None,
        **settings: object,
    ) -> None:
        self._stack = ExitStack()
        self._clock = _Clock(self)
        self._mail = Mail(self._clock.now_ns)
        self._url = f"memory://virtual-{next(_fresh)}"
        self._errors: list[BaseException] = []
        self._changed: dict[str, SettingValue] = {}
        self._n_runs, self._n_orders = 0, 0
        self.actions: list[ActionBatch] = []
        self.results: list[Result] = []
        self.held: dict[tuple[str, tuple[int, ...]], dict[str, float]] = {}
        self.audit: list[AuditRecord] = []
        self.instance = _Noting(
            self._errors,
            load_package(Path(folder)),
            settings=settings,
            state=State(state),
            incarnation="test",
        )
        self._open = self._opener(world)
        self._operator = self._client("operator")
        self._operator.subscribe(topics.act(self.instance.name, "+"), self._on_action, qos=1)
        self._begin_host()
        xapp_bus = cast(Bus, MailedBus(self._client(self.instance.name), self._mail))
        self._runner = LiveRunner(self.instance, xapp_bus, clock=lambda: self._clock.now_ns() / 1e9)

    def _opener(self, world: str | Callable[[], NodePort] | None) -> Callable[[], NodePort]:
        if isinstance(world, str):
            return lambda: open_world(world)
        return world or (lambda: ScriptedNode(self.instance.manifest.streams))

    def _client(self, name: str, will: Will | None = None) -> MemoryBus:
        return cast(MemoryBus, self._stack.enter_context(open_bus(self._url, name=name, will=will)))

    def _begin_host(self) -> None:
        self.world = self._open()
        self._stack.callback(self.world.close)
        self._n_runs += 1
        run = str(self._n_runs)
        self._host_bus = self._client(_HOST, will_of(_HOST, run))
        manifest = self.instance.manifest
        host = NodeHost(
            self.world,
            cast(Bus, MailedBus(self._host_bus, self._mail)),
            name=_HOST,
            xapps={manifest.name: Registration(rights=manifest.rights, encoding=manifest.encoding)},
            audit=AuditLog(),
            outlets=[_Outlet(self)],
            run=run,
        )
        self._live = LiveHost(host, clock=self._clock)
        self._live.begin()

    # What the node says and does

    @property
    def node(self) -> ScriptedNode:
        """The scripted node.

        Raises:
            TypeError: The test has a world of its own.
        """
        if not isinstance(self.world, ScriptedNode):
            raise TypeError(f"{type(self.world).__name__} has no script; leave out `world` to have one")
        return self.world

    def show(
        self,
        columns: Mapping[str, ArrayLike],
        *,
        level: Level = "ue",
        ids: Mapping[str, ArrayLike] | None = None,
        labels: Mapping[str, Names] | None = None,
    ) -> None:
        """Let the node report these rows at a level from now on, as `make_report` makes them; it begins with made-up ones."""
        self.node.show(level, columns, ids, labels)

    def leave(self, *ues: int) -> None:
        """Let UEs leave the node."""
        self.node.leave(ues)

    def refuse(self, reason: str = "the test wants it so", n: int = 1) -> None:
        """Let the node do nothing of the next `n` changes that the guard hands it."""
        self.node.refuse(reason, n)

    def restart(self) -> None:
        """Let the nodes and their host crash and start anew: another run, from RAN time 0, with the script as it was."""
        self._host_bus.kill()
        self.held.clear()
        if isinstance(self.world, ScriptedNode):
            self._open = self.world.anew
        self._begin_host()

    # What happens on the way

    def lose(self, n: int = 1, *, kind: Kind = "report") -> None:
        """Lose the next `n` messages of a kind: "report", "act" (of the xApp) or "result"."""
        self._mail.plan(kind, "lost", n)

    def delay(self, by_ms: float, n: int = 1, *, kind: Kind = "report") -> None:
        """Let the next `n` messages of a kind come later. An action that comes too late expires."""
        self._mail.plan(kind, round(by_ms * _MS), n)

    def repeat(self, n: int = 1, *, kind: Kind = "report") -> None:
        """Let the next `n` messages of a kind come twice."""
        self._mail.plan(kind, "twice", n)

    def swap(self, *, kind: Kind = "report") -> None:
        """Let the next message of a kind come behind the one after it."""
        self._mail.plan(kind, "behind", 1)

    def slow_model(self, name: str, delay_ms: float) -> None:
        """Let a model answer so much later, in RAN time; past its deadline its outputs are no value."""
        self._replace(name, lambda inner: DelayedPredictor(inner, delay_ms=delay_ms))

    def failing_model(self, name: str) -> None:
        """Let a model raise `ModelError` whenever it is asked."""
        self._replace(name, lambda inner: FailingPredictor())

    def _replace(self, name: str, wrap: Callable[[Predictor], Predictor]) -> None:
        model = self.instance.registered.models[name].model
        model.predictor = wrap(model.predictor)

    def change(self, **settings: SettingValue) -> None:
        """Order other settings, as `ranloop settings` does; the xApp has them when time has passed."""
        self._changed |= settings
        self._n_orders += 1
        order = Settings(id=str(self._n_orders), values=self._changed, by="test")
        self._operator.publish(topics.settings(_HOST, self.instance.name), encode(order), qos=1, retain=True)

    # Time

    @property
    def now_ms(self) -> float:
        """RAN time, since the nodes started."""
        return self.world.now_ns / _MS

    def run(self, ms: float, *, raises: bool = True) -> list[Action]:
        """Let time pass; the actions that reached the host meanwhile.

        Args:
            ms: Virtual time, in milliseconds.
            raises: Let an error of a handler reach the test. Otherwise the runner contains it, as it does live, and
                `stats.failures` counts it.
        """
        self._errors.clear()
        n_before = len(self.actions)
        end_ns = self.world.last_until(self.world.now_ns + round(ms * _MS))
        while self.world.now_ns < end_ns:
            self._live.turn(end_ns)
            self._after_turn(raises)
        self._deliver()
        self._after_turn(raises)
        return [batch.action for batch in self.actions[n_before:]]

    def _after_turn(self, raises: bool) -> None:
        self._live.settle()
        if self._errors and raises:
            raise self._errors[0]

    def _talk(self) -> None:
        """Let host and xApp read what has come, until nothing is left."""
        while self._runner.turn() + self._live.host.poll(0.0) + self._operator.poll():
            pass

    def _deliver(self) -> None:
        """Send what is late and due, one message after the other, so that each is read."""
        self._talk()
        while self._mail.release():
            self._talk()

    def close(self) -> None:
        self._stack.close()

    # What came of it

    @property
    def fates(self) -> list[Fate]:
        """The fates of all targets of all results, in the order of time."""
        return [fate for result in self.results for fate in result.fates]

    @property
    def stats(self) -> LiveStats:
        """The runner's counters: reports, late and missed ones, values outside their range, failures, …."""
        return self._runner.stats

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """The alarms of the xApp that the host knows of."""
        known = self._live.runtime.alarms.active.get(self.instance.name)
        return () if known is None else known.active

    @property
    def state(self) -> State:
        """What the xApp keeps beyond its end: `app.state`."""
        return self.instance.state

    def _on_action(self, _topic: str, payload: bytes) -> None:
        batch = decode_action_batch(payload)
        if all(batch.id != known.id for known in self.actions):  # else a retry
            self.actions.append(batch)

    def _note(self, event: Event) -> None:
        if isinstance(event, AuditRecord):
            self.audit.append(event)
        elif isinstance(event, Result) and event.xapp == self.instance.name:
            self.results.append(event)
            if ACTIONS[event.action].spec.kind is ActionKind.SETTING:
                self._hold(event)

    def _hold(self, result: Result) -> None:
        for fate in result.fates:
            key = result.action, fate.target
            if fate.status is Status.APPLIED:
                self.held[key] = dict(fate.applied)
            elif fate.status is Status.ENDED:
                self.held.pop(key, None)


class _Noting(Instance):
    """An instance whose errors a test sees."""

    def __init__(self, errors: list[BaseException], *arguments: Any, **options: Any) -> None:
        self._errors = errors
        super().__init__(*arguments, **options)

    def _batches(self, *arguments: Any, **options: Any) -> list[ActionBatch]:
        try:
            return super()._batches(*arguments, **options)
        except HANDLERS_MAY_RAISE as error:
            self._errors.append(error)
            raise


class _Outlet:
    """Shows a test what happens at its host."""

    def __init__(self, ran: VirtualRan) -> None:
        self._ran = ran

    def take(self, event: Event) -> None:
        self._ran._note(event)


class _Clock(VirtualClock):
    """Lets host and xApp talk before it jumps, to the next late message at most."""

    def __init__(self, ran: VirtualRan) -> None:
        super().__init__()
        self._ran = ran

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        self._ran._deliver()
        self._now_ns = max(self._now_ns, min(until_ns, self._ran._mail.next_ns()))
