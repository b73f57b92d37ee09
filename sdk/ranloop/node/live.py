"""The live pace: RAN time follows a clock, reports leave when they are due, actions come when they come.

The host never waits for an xApp: reports go out with QoS 0 and a slow reader misses some. Nodes that compute slower than
time passes fall behind; RAN time then runs as fast as they do, and the lag is told.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import structlog

from ranloop.bus import Subscription
from ranloop.errors import WireError
from ranloop.node.clock import Clock, RealClock
from ranloop.node.flood import FloodMeter, Kind
from ranloop.node.host import NodeHost
from ranloop.node.outlets import Aside
from ranloop.node.port import PushPort
from ranloop.node.summary import RunSummary
from ranloop.wire import topics
from ranloop.wire.codec import decode_action_batch
from ranloop.wire.messages import FOR_EVER_NS

log = structlog.get_logger(__name__)

_NS_PER_S = 1_000_000_000
LAST_ANSWERS_S = (
    1.0  # a host that ends waits so long for nodes to say that settings are back at their default
)
_KEEP = 1024  # batches of one xApp that may wait between two polls


class LiveHost:
    """Runs a `NodeHost` at the pace of a clock, once.

    Args:
        host: The nodes and the xApps that are admitted there.
        clock: What RAN time follows.
        speed: Seconds of RAN time per second of the clock.
    """

    def __init__(self, host: NodeHost, *, clock: Clock | None = None, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed:g}: RAN time must go forward")
        self.host, self.runtime = host, host.runtime
        self._clock: Clock = RealClock() if clock is None else clock
        self._speed = speed
        self._stop = False
        port = host.runtime.port
        self._push = port if isinstance(port, PushPort) else None
        self._start_ns = 0  # clock at RAN time 0, moved when the nodes fall behind
        self._horizon_ns = 0  # RAN time may not pass the next event before it has been dealt with
        self.worst_lag_ns = 0
        self.given_up_ns = 0  # of the clock, when nodes that fell behind were let go on from the present
        self._flood = FloodMeter(speed=speed)
        self._heard: dict[str, list[Subscription]] = {}  # xApp -> where it is listened to
        host.deliver, host.now_ns, host.on_change = host.publish_results, self._now_ns, self._listen
        host.on_settings = host.publish_settings
        host.runtime.alarms.now_ns = self._clock.now_ns
        self._listen()

    def stop(self) -> None:
        """Ask the run to end; safe in a signal handler and from another thread."""
        self._stop = True
        self.host.bus.wake()

    @property
    def lag_ns(self) -> int:
        """How far the next event is overdue by the clock. Any thread may ask."""
        return max(0, self._clock.now_ns() - self._start_ns - round(self._horizon_ns / self._speed))

    def run(self, duration_s: float | None = None) -> RunSummary:
        """Run until `duration_s` of RAN time have passed, somebody calls `stop`, or the nodes have no more data.

        A simulation runs on past the length that its scenario gives it: an operator's node has no end.
        At the end what waits is answered, what is held goes back to its default, and the life sign is withdrawn; also
        when an error ends it, such as another host that takes over the nodes.

        Raises:
            BusError: The bus is gone.
        """
        port = self.runtime.port
        end_ns = port.last_until(FOR_EVER_NS if duration_s is None else round(duration_s * _NS_PER_S))
        end_ns -= end_ns % port.slot_ns
        with ExitStack() as stack:
            aside = [stack.enter_context(Aside(outlet)) for outlet in self.runtime.outlets]
            self.runtime.outlets = aside
            stack.callback(self.runtime.flush)
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
        n_not_shown = sum(one.n_dropped for one in aside)
        return self.runtime.summary(worst_lag_ns=self.worst_lag_ns, n_not_shown=n_not_shown)

    def _keep_pace(self, end_ns: int) -> None:
        port = self.runtime.port
        self.begin()
        while port.now_ns < end_ns and not self._stop:
            if self._push:
                if self._push.over:
                    log.warning("nodes_ended", nodes=list(self.runtime.guards))
                    return
                self._follow(port.next_report_ns())
            self.turn(end_ns)
            self.settle()

    def begin(self) -> None:
        """Announce the nodes, and let RAN time follow the clock from now on; once, before the first `turn`."""
        self.host.announce(alive=True)
        self._start_ns = self._clock.now_ns() - round(self.runtime.port.now_ns / self._speed)
        if self._push:
            self._push.listen(self.host.bus.wake)

    def _follow(self, report_ns: int) -> None:
        """Let RAN time be what the report of a push node says that has arrived, where the clock lags behind it."""
        if report_ns < FOR_EVER_NS:
            self._start_ns = min(self._start_ns, self._clock.now_ns() - round(report_ns / self._speed))

    def _drain(self) -> None:
        """Answer what waits, and return what is held to its default on the next slot."""
        port = self.runtime.port
        try:
            port.advance(-(-self._now_ns() // port.slot_ns) * port.slot_ns)
        finally:  # nodes that move no further may still take settings, and a bus that fails must not keep them
            results = [*self.runtime.stop(), *self.runtime.carry_out(self.runtime.now_ns)]
            self.host.publish_results(results)
        self.host.bus.poll(0.0)  # what has come meanwhile is refused, and has its answer
        give_up_s = time.monotonic() + LAST_ANSWERS_S
        while self.runtime.waits_for_nodes and time.monotonic() < give_up_s:
            self.host.bus.poll(0.01)
            self.host.publish_results(self.runtime.carry_out(self.runtime.now_ns))
        self.host.publish_results(self.runtime.give_up())

    def turn(self, end_ns: int) -> None:
        """Serve the bus until the next event, at `end_ns` at the latest, or until something came; deal with what is due."""
        self._clock.wait(self._due_ns(end_ns), self.host.poll)
        if self._push:  # an answer that has arrived opens the way for the next change
            self.host.publish_results(self.runtime.carry_out(self._now_ns()))
        due_ns = self._due_ns(end_ns)  # anew: an action that came meanwhile may be due earlier
        if self._stop or self._clock.now_ns() < due_ns:
            return
        port = self.runtime.port
        self.worst_lag_ns = max(self.worst_lag_ns, self._clock.now_ns() - due_ns)
        moment = self.runtime.advance(self._horizon_ns)
        self.host.publish_results(moment.results)
        self.host.publish_reports(moment.reports)
        self.host.publish_timers(moment.timers, moment.ran_time_ns)
        behind_ns = self._clock.now_ns() - self._start_ns - round(port.now_ns / self._speed)
        if behind_ns > _NS_PER_S:
            # Catching up would mean a burst of reports; the present matters more.
            self._start_ns += behind_ns
            self.given_up_ns += behind_ns
            log.warning("nodes_fall_behind", ran_time_s=port.now_ns / _NS_PER_S, lag_s=behind_ns / _NS_PER_S)

    def settle(self) -> None:
        """After a turn, what nobody waits for: show the outlets what happened, and stay known."""
        self.runtime.flush()
        self.host.stay_known()

    def _due_ns(self, end_ns: int) -> int:
        """When the next event is due, by the clock."""
        self._horizon_ns = max(min(self.runtime.next_event_ns(), end_ns), self.runtime.now_ns)
        return self._start_ns + round(self._horizon_ns / self._speed)

    def _now_ns(self) -> int:
        """RAN time: what the clock says, but not past an event that has not been dealt with."""
        paced_ns = round((self._clock.now_ns() - self._start_ns) * self._speed)
        # Asked anew for each message: the one before it, of the same poll, may take effect before the horizon.
        return max(self.runtime.now_ns, min(paced_ns, self._horizon_ns, self.runtime.next_change_ns()))

    # What comes in

    def _listen(self) -> None:
        """One subscription per xApp and node: one that floods fills its own queues, and can be dropped alone."""
        heard = {xapp: r for xapp, r in self.runtime.xapps.items() if xapp not in self.runtime.shut_out}
        for xapp in self._heard.keys() - heard.keys():
            for subscription in self._heard.pop(xapp):
                subscription.cancel()
        for xapp, registration in heard.items():
            self._flood.admit(xapp, registration.rights, len(self.runtime.guards))
            if xapp not in self._heard:
                self._heard[xapp] = [
                    self.host.bus.subscribe(topics.act(xapp, node), self._on_action, qos=1, keep=_KEEP)
                    for node in self.runtime.guards
                ]

    def _shut_out(self, xapp: str) -> None:
        """Stop listening to an xApp that floods and end what it holds, until an operator lets it act again."""
        limit = self._flood.limits[xapp]
        self.host.publish_results(self.runtime.shut(xapp, self._now_ns(), cost_per_s=limit))
        self._listen()
        self.host.operator.say_all()
        log.error(
            "xapp_shut_out", xapp=xapp, cost_per_s=limit, back_with=f"order all --xapp {xapp} --autonomy act"
        )

    def _on_action(self, topic: str, payload: bytes) -> None:
        _, sender, node = topics.levels(topic)
        started_ns, now_ns = time.perf_counter_ns(), self._now_ns()
        try:
            batch = decode_action_batch(payload)
        except WireError as error:
            batch = None
            self.runtime.drop(sender, str(error))
        kind: Kind = "unreadable" if batch is None else "expired" if batch.valid_until_ns < now_ns else "fit"
        if self._flood.floods(sender, self._clock.now_ns(), len(payload), kind):
            self._shut_out(sender)
        elif batch is not None:
            self.host.publish_results(self.runtime.submit(batch, sender=sender, node=node, now_ns=now_ns))
        self.runtime.tally.took("guard", started_ns)
