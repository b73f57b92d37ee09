"""The live host: RAN time follows a clock, reports leave when they are due, actions come when they come.

It never waits for an xApp: reports go out with QoS 0 and a slow reader misses some. A world that computes slower than
time passes falls behind; RAN time then runs as fast as the world does, and the lag is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from ranloop.bus import Subscription
from ranloop.errors import VocabularyError, WireError
from ranloop.guard import AuditRecord, Autonomy
from ranloop.node.clock import Clock, RealClock
from ranloop.node.flood import FloodMeter
from ranloop.node.host import NodeHost
from ranloop.node.lockstep import Observer
from ranloop.node.summary import Trace
from ranloop.wire import topics
from ranloop.wire.codec import decode_action_batch, decode_order, encode
from ranloop.wire.messages import FOR_EVER_NS, Result, Standing

log = structlog.get_logger(__name__)

_NS_PER_S = 1_000_000_000
_KEEP = 1024  # batches of one xApp that may wait between two polls
OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiveSummary:
    """The end of a live run.

    Attributes:
        ran_time_ns: RAN time when it ended.
        n_reports: Reports published.
        outcomes: Targets by what became of them.
        latencies_ns: Stage -> wall-clock duration of each pass: "advance", "apply", "report", "guard".
        worst_lag_ns: How far RAN time fell behind the clock at most.
        n_dropped: Messages that could not be used.
    """

    ran_time_ns: int
    n_reports: int
    outcomes: dict[str, int]
    latencies_ns: dict[str, NDArray[np.int64]]
    worst_lag_ns: int
    n_dropped: int


class LiveHost:
    """Runs a `NodeHost` at the pace of a clock, once.

    Args:
        host: The nodes and who is registered there.
        clock: What RAN time follows.
        speed: Seconds of RAN time per second of the clock.
        observers: See every report and result, after the fact.
    """

    def __init__(
        self,
        host: NodeHost,
        *,
        clock: Clock | None = None,
        speed: float = 1.0,
        observers: Sequence[Observer] = (),
    ) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed:g}: RAN time must go forward")
        self.host = host
        self._clock: Clock = RealClock() if clock is None else clock
        self._speed = speed
        self._observers = tuple(observers)
        self._trace = Trace()
        self._stop = False
        self._start_ns = 0  # clock at RAN time 0, moved when the world falls behind
        self._horizon_ns = 0  # RAN time may not pass the next event before it has been dealt with
        self._worst_lag_ns = 0
        self._reconnects = host.bus.stats.reconnects
        self._flood = FloodMeter(host.xapps, len(host.guards))
        self._heard: dict[str, list[Subscription]] = {}  # xApp -> where it is listened to
        for node in host.guards:
            # Orders are retained: the kill switch of an earlier run still holds.
            host.bus.subscribe(topics.order(node), self._on_order, qos=1)
            host.bus.subscribe(topics.order(node, "+"), self._on_order, qos=1)
        for xapp in host.xapps:
            self._listen_to(xapp)

    def stop(self) -> None:
        """Ask the run to end; safe in a signal handler and from another thread."""
        self._stop = True

    def run(self, duration_s: float | None = None) -> LiveSummary:
        """Run until `duration_s` of RAN time have passed, somebody calls `stop`, or the world has no more data.

        A world that is computed runs on past the length that its scenario gives it: an operator's node has no end.
        At the end what waits is answered, what is held goes back to its default, and the life sign is withdrawn; also
        when an error ends it, such as another host that takes over the nodes.

        Raises:
            BusError: Another host has come in our place, or the bus is gone.
        """
        world = self.host.world
        end_ns = world.last_until(FOR_EVER_NS if duration_s is None else round(duration_s * _NS_PER_S))
        end_ns -= end_ns % world.slot_ns
        try:
            try:
                self._keep_pace(end_ns)
            except BaseException as error:  # noqa: BLE001 raised again
                try:
                    self._drain()
                finally:
                    raise error  # what ended the run is to be told, not what follows from it
            self._drain()
        finally:
            self.host.announce(alive=False)
            self.host.bus.poll(0.0)  # hand over what is still in the outbox
        return LiveSummary(
            ran_time_ns=world.now_ns,
            n_reports=self._trace.n_reports,
            outcomes=dict(sorted(self._trace.outcomes.items())),
            latencies_ns=self._trace.latencies_ns(),
            worst_lag_ns=self._worst_lag_ns,
            n_dropped=self.host.n_dropped,
        )

    def _keep_pace(self, end_ns: int) -> None:
        world = self.host.world
        self.host.announce(alive=True)
        self._start_ns = self._clock.now_ns() - round(world.now_ns / self._speed)
        while world.now_ns < end_ns and not self._stop:
            self._run_to_next_event(end_ns)

    def _drain(self) -> None:
        """Answer what waits, and return what is held to its default on the next slot."""
        world = self.host.world
        try:
            world.advance(-(-self._now_ns() // world.slot_ns) * world.slot_ns)
        finally:  # one that moves no further may still take settings
            self._return_to_defaults()

    def _return_to_defaults(self) -> None:
        """The nodes first: a bus that fails must not keep their settings from going back."""
        now_ns, results = self.host.world.now_ns, list[Result]()
        for guard in self.host.guards.values():
            results += guard.stop(now_ns)
        results += self.host.carry_out(now_ns)
        self._publish(results)

    def _run_to_next_event(self, end_ns: int) -> None:
        world = self.host.world
        while not self._stop:
            # Asked anew after each wait: an action that came meanwhile may be due earlier.
            guard_ns = self.host.next_event_ns()
            report_ns = world.next_report_ns()
            self._horizon_ns = min(report_ns, end_ns, report_ns if guard_ns is None else guard_ns)
            self._horizon_ns = max(self._horizon_ns, world.now_ns)
            due_ns = self._start_ns + round(self._horizon_ns / self._speed)
            if self._clock.now_ns() >= due_ns:
                break
            self._clock.wait(due_ns, self.host.bus.poll)
        else:
            return
        self._worst_lag_ns = max(self._worst_lag_ns, self._clock.now_ns() - due_ns)
        self._deal_with(self._horizon_ns, is_report=self._horizon_ns == report_ns)
        self.host.bus.poll(0.0)
        if self.host.bus.stats.reconnects != self._reconnects:
            # A broker that was restarted has forgotten what was retained; one that lost us has sent our will.
            self._reconnects = self.host.bus.stats.reconnects
            self.host.announce(alive=True)
        behind_ns = self._clock.now_ns() - self._start_ns - round(world.now_ns / self._speed)
        if behind_ns > _NS_PER_S:
            # Catching up would mean a burst of reports; the present matters more.
            self._start_ns += behind_ns
            log.warning(
                "world_falls_behind", ran_time_s=world.now_ns / _NS_PER_S, lag_s=behind_ns / _NS_PER_S
            )

    def _deal_with(self, now_ns: int, *, is_report: bool) -> None:
        """Move the world to `now_ns`, do what is due, publish what leaves the nodes."""
        world, started_ns = self.host.world, self._clock.now_ns()
        world.advance(now_ns)
        moved_ns = self._clock.now_ns()
        self._trace.took("advance", moved_ns - started_ns)
        results = self.host.carry_out(now_ns)
        self._publish(results)
        applied_ns = self._clock.now_ns()
        self._trace.took("apply", applied_ns - moved_ns)
        if not is_report:
            return
        reports = world.reports(self.host.wanted())
        for report in reports:
            self._trace.report(report)
        self.host.publish_reports(reports)
        self._trace.took("report", self._clock.now_ns() - applied_ns)
        for observer in self._observers:
            observer.observe(reports, ())

    def _now_ns(self) -> int:
        """RAN time: what the clock says, but not past an event that has not been dealt with."""
        paced_ns = round((self._clock.now_ns() - self._start_ns) * self._speed)
        # Asked anew for each message: the one before it, of the same poll, may take effect before the horizon.
        guard_ns = self.host.next_event_ns()
        horizon_ns = self._horizon_ns if guard_ns is None else min(self._horizon_ns, guard_ns)
        return max(self.host.world.now_ns, min(paced_ns, horizon_ns))

    def _publish(self, results: Sequence[Result]) -> None:
        """Count results, show them to the observers and send them to their xApps."""
        for result in results:
            self._trace.result(result)
            self._send(result)
        if results:
            for observer in self._observers:
                observer.observe((), results)

    def _send(self, result: Result) -> None:
        if result.xapp in self.host.xapps:
            self.host.publish_result(result)

    # What comes in

    def _listen_to(self, xapp: str) -> None:
        """One subscription per xApp and node: one that floods fills its own queues, and can be dropped alone."""
        if not self._heard.get(xapp):
            self._heard[xapp] = [
                self.host.bus.subscribe(topics.act(xapp, node), self._on_action, qos=1, keep=_KEEP)
                for node in self.host.guards
            ]

    def _shut_out(self, xapp: str, now_ns: int) -> None:
        """Stop listening to an xApp that floods and end what it holds, until an operator lets it act again."""
        for subscription in self._heard.pop(xapp):
            subscription.cancel()
        limit = self._flood.limits[xapp]
        facts = {"messages_per_s": limit}
        self.host.audit.add(
            AuditRecord(event="shut_out", ran_time_ns=now_ns, node="", xapp=xapp, facts=facts)
        )
        log.error(
            "xapp_shut_out", xapp=xapp, messages_per_s=limit, back_with="order --xapp NAME --autonomy act"
        )
        for guard in self.host.guards.values():
            self._publish(guard.set_autonomy(xapp, Autonomy.OBSERVE, now_ns))

    def _on_action(self, topic: str, payload: bytes) -> None:
        _, sender, node = topics.levels(topic)
        started_ns, now_ns = self._clock.now_ns(), self._now_ns()
        if self._flood.floods(sender, started_ns):
            self._shut_out(sender, now_ns)
            return
        try:
            batch = decode_action_batch(payload)
        except WireError as error:
            self.host.drop(sender, now_ns, str(error))
            return
        guard = self.host.guards[node]
        before = guard.answered(sender, batch.id)
        result = guard.submit(batch, sender=sender, now_ns=now_ns)
        self._trace.took("guard", self._clock.now_ns() - started_ns)
        if result is None:
            return
        if result is before:  # a retry: its answer was lost or is late, and it must not count twice
            self._send(result)
        else:
            self._publish([result])

    def _on_order(self, topic: str, payload: bytes) -> None:
        """The operator's kill switch and autonomy; who may publish here is the broker's to enforce."""
        _, node, *xapp = topics.levels(topic)
        guard, now_ns = self.host.guards[node], self._now_ns()
        if not payload:  # withdrawn: nothing to obey, and nothing to take back
            return
        try:
            order = decode_order(payload)
            if [order.xapp] != (xapp or [""]):
                raise WireError(f"an order about xApp {order.xapp!r} belongs on its own topic")
            if order.kill is True:
                self._publish(guard.kill(now_ns))
            elif order.kill is False:
                guard.revive(now_ns)
            if order.xapp:
                self._publish(guard.set_autonomy(order.xapp, Autonomy(order.autonomy), now_ns))
                self._listen_to(order.xapp)
        except (WireError, VocabularyError, ValueError) as error:
            self.host.drop(OPERATOR, now_ns, f"order to {node}: {error}")
            return
        log.info("order_obeyed", node=node, kill=order.kill, xapp=order.xapp, autonomy=order.autonomy)
        standing = Standing(node=node, order=order.id, killed=guard.killed, autonomy=guard.autonomy)
        self.host.bus.publish(topics.standing(node), encode(standing), qos=1, retain=True)
