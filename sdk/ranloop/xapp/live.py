"""Runs an xApp live: the newest report first, actions at once, and an end for every action, also if its answer is lost."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import structlog

from ranloop.bus import Bus
from ranloop.durations import Durations
from ranloop.errors import WireError
from ranloop.guard.rights import StreamRight
from ranloop.wire import topics
from ranloop.wire.checked import checked
from ranloop.wire.codec import decode_catalogue_on, decode_report, decode_result, decode_step, encode
from ranloop.wire.messages import ActionBatch, Catalogue, Cause, Report, Result, Status
from ranloop.xapp.alarm_line import AlarmLine
from ranloop.xapp.instance import HANDLERS_MAY_RAISE, Instance, user_traceback
from ranloop.xapp.lockstep import NODES_AT_ONCE, life_sign, show_settings
from ranloop.xapp.silence import Silence, nodes_open_to, why_no_reports
from ranloop.xapp.times import too_slow

__all__ = ("LiveRunner", "LiveStats")

log = structlog.get_logger(__name__)

QUARANTINE_AFTER = 5  # consecutive failures after which the user's code rests
QUARANTINE_S = 30.0
SILENT_S = 30.0  # and three report periods without a report: the node is gone
_TURN_S = 0.1
_RUNS_KEPT = 16  # of a node: a report of one before the present is late


@dataclass(slots=True)
class LiveStats:
    """Counters of one live run. Every lost message is counted."""

    reports: int = 0
    missed: int = 0  # gaps in the sequence numbers: lost, or overtaken by a newer report
    malformed: int = 0
    batches: int = 0
    retried: int = 0
    failures: int = 0  # times the user's code raised
    skipped: int = 0  # events not handed over while it was in quarantine
    outside: int = 0  # values outside their catalogue range, which became no value
    late: int = 0  # copies of reports that were handed over already, or older ones
    slow: int = 0  # times the user's code took longer than its period
    results: Counter[Status] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, object]:
        """Plain data, statuses by name."""
        results = {status.name.lower(): count for status, count in self.results.items() if count}
        return {**asdict(self), "results": results}


@dataclass(slots=True)
class _Pending:
    batch: ActionBatch
    sent_at_s: float
    retried: bool = False


class LiveRunner:
    """Ties one `Instance` to one bus in real time.

    Args:
        instance: The xApp.
        bus: Polled by `run`.
        clock: Seconds, monotonic.
        patience_s: Time for which a leaving xApp waits for the answers to its actions.
        on_turn: Called between handlers while `run` works.
    """

    def __init__(
        self,
        instance: Instance,
        bus: Bus,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = 2.0,
        on_turn: Callable[[], object] = lambda: None,
    ) -> None:
        self.instance, self._on_turn = instance, on_turn
        instance.in_real_time()
        self.stats = LiveStats()
        self.answered = Durations()  # from an action to its answer, without the time in handlers
        self._bus = bus
        self._clock = clock
        self._nodes: dict[str, Catalogue] = {}
        self._runs: dict[str, list[str]] = {}  # node -> runs of its host, the present one last
        self._seqs: dict[tuple[str, str, int], int] = {}
        self._columns = _columns(instance.manifest.streams)
        self._steps: dict[str, bytes] = {}  # host -> its last step; a second delivery repeats the number
        self._ran_time_ns: dict[str, int] = {}
        self._heard_at_s: dict[str, float] = {}  # node -> when its last report came, by `_waiting_s`
        self._in_handlers_s = 0.0
        self._told_too_slow = False
        slowest_ms = max([stream.every_ms for stream in instance.manifest.streams], default=0)
        self._silent_after_s = SILENT_S + 3 * slowest_ms / 1e3
        self._pending: dict[str, _Pending] = {}
        self._leaving, self._patience_s = False, patience_s
        self._failed_in_a_row = 0
        self._resting_until = float("-inf")
        self._reconnects = bus.stats.reconnects
        self._sign = life_sign(bus, instance)
        self._alarms = AlarmLine(bus, instance.name, instance.registered.alarms, lambda: round(clock() * 1e9))
        self._silence = Silence(instance, self._sign.others, self._waiting_s)
        self._subscriptions = [
            bus.subscribe(topics.catalogue("+"), self._on_catalogue, qos=1, keep=NODES_AT_ONCE),
            bus.subscribe(topics.step("+", instance.name), self._on_step, qos=1),
        ]
        # Urgent: a handler that is slower than its reports would leave the answers unread, and end them as UNKNOWN.
        results = topics.result(instance.name, "+")
        bus.subscribe(results, self._on_result, qos=1, urgent=True, keep=NODES_AT_ONCE)
        self._sign.show()

    def run(self, stop: threading.Event, *, duration_s: float | None = None) -> LiveStats:
        """Work until a signal handler sets `stop` or `duration_s` is over, then withdraw the life sign."""
        end = float("inf") if duration_s is None else self._clock() + duration_s
        try:
            while not stop.is_set() and self._clock() < end:
                self.turn(max(0.0, min(_TURN_S, end - self._clock())))
            self._end_what_is_open()
        finally:
            self.instance.close()
            self._alarms.withdraw()
            self._sign.withdraw()
        return self.stats

    def turn(self, timeout_s: float = 0.0) -> int:
        """Handle what waits on the bus, or what comes within `timeout_s`; how many messages."""
        self._stay_known()
        n_handled = self._bus.poll(timeout_s)
        self._put_models()
        self._give_up_on_silent_nodes()
        if self._bus.connected:  # else the bus has told that the broker is away
            self._silence.tell()
        self._alarms.tell()
        self._on_turn()
        return n_handled

    def _put_models(self) -> None:
        """Put models in force that have been loaded in the meantime, and show that, or that one was rolled back."""
        if self.instance.is_loading:
            now_ns = max(self._ran_time_ns.values(), default=0)
            self._send(self._guarded(lambda: self.instance.go_on(now_ns)))
        if self.instance.has_news:
            self.instance.has_news = False
            show_settings(self._sign, self.instance)

    def not_ready(self) -> str:
        """Why no reports can come and no actions can be heard now, in words; "" if they can. Any thread may ask."""
        if not self._bus.connected:
            return "the broker is away"
        others = list(self._sign.others.values())
        joined = nodes_open_to(self.instance.name, others) & self._nodes.keys()
        return "" if joined else why_no_reports(self.instance, others)

    @property
    def joined(self) -> tuple[str, ...]:
        """The nodes whose reports are listened to. Any thread may ask."""
        return tuple(self._nodes)

    @property
    def n_pending(self) -> int:
        """Actions that wait for their answer. Any thread may ask."""
        return len(self._pending)

    @property
    def rests(self) -> bool:
        """Whether the user's code is in quarantine. Any thread may ask."""
        return self._clock() < self._resting_until

    def _waiting_s(self) -> float:
        """The clock without the time in the user's code: no node is silent while its messages are not read."""
        return self._clock() - self._in_handlers_s

    def _stay_known(self) -> None:
        """Show the life sign again after a reconnection, because a restarted broker has forgotten it."""
        if self._bus.stats.reconnects != self._reconnects:
            self._reconnects = self._bus.stats.reconnects
            self._sign.show()

    def _end_what_is_open(self) -> None:
        """Stop deciding, wait for the answers to open actions, and end the others as UNKNOWN."""
        for subscription in self._subscriptions:
            subscription.cancel()
        self._leaving = True
        give_up_s = time.monotonic() + self._patience_s
        while self._pending and (left_s := give_up_s - time.monotonic()) > 0:
            self._bus.poll(left_s)
        for pending in list(self._pending.values()):
            batch = pending.batch
            self._conclude(
                _unknown(batch, self._ran_time_ns.get(batch.node, 0), "the xApp left before the answer")
            )

    def _on_catalogue(self, topic: str, payload: bytes) -> None:
        try:
            catalogue = decode_catalogue_on(topic, payload)
        except WireError as error:
            self._malformed("catalogue", error)
            return
        node = catalogue.node
        self.instance.know(catalogue)
        if not self.instance.manifest.rights.reach(node):  # another shard of this xApp decides there
            return
        if node in self._nodes:
            self._nodes[node] = catalogue
            return
        streams = self.instance.manifest.streams
        lacking = [clause for stream in streams for clause in stream.lacking(catalogue)]
        if lacking:
            log.warning("node_does_not_fit", xapp=self.instance.name, node=node, lacks=lacking)
            return
        self._nodes[node] = catalogue
        for level, every_ms in self._columns:
            topic = topics.report(node, level, every_ms)
            self._subscriptions.append(self._bus.subscribe(topic, self._on_report, latest=True))
        log.info("node_joined", xapp=self.instance.name, node=node)

    def _on_report(self, topic: str, payload: bytes) -> None:
        try:
            report = self._in_our_columns(decode_report(payload), topic)
        except WireError as error:
            self._malformed("report", error)
            return
        self._silence.end()
        stream = (report.node, report.level, report.period_ms)
        if not report.run and self.instance.begins_anew(report):
            self._forget_run(report)  # a host that names no run begins anew where its RAN time does
        runs = self._runs.setdefault(report.node, [report.run])
        if report.run in runs[:-1]:
            self.stats.late += 1
            return
        if report.run != runs[-1]:
            self._forget_run(report)
            self._runs[report.node] = [*runs[1 - _RUNS_KEPT :], report.run]
        previous = self._seqs.get(stream, report.seq - 1)
        if report.seq <= previous:
            self.stats.late += 1
            return
        self.stats.reports += 1
        missed = report.seq - previous - 1
        self.stats.missed += missed
        self._seqs[stream] = report.seq
        self._ran_time_ns[report.node] = report.ran_time_ns
        self._heard_at_s[report.node] = self._waiting_s()
        self._send(self._guarded(lambda: self.instance.on_report(report), period_ms=report.period_ms))
        if missed:
            self._tell_too_slow()
        self._settle_pending(report)

    def _in_our_columns(self, report: Report, topic: str) -> Report:
        """The columns of a report that the manifest reads, as in lockstep.

        Raises:
            WireError: The report is not of the stream that its topic names, lacks a column, or has two rows of one
                target. The fault is the node's and not the user's code.
        """
        if topic != topics.report(report.node, report.level, report.period_ms):
            raise WireError(
                f"a {report.level} report of {report.node} every {report.period_ms} ms came on {topic}"
            )
        wanted = self._columns[report.level, report.period_ms]
        if lacking := [name for name in wanted if name not in report.names]:
            raise WireError(f"a {report.level} report of {report.node} without {', '.join(lacking)}")
        found, n_outside = checked(report.only(wanted))
        self.stats.outside += n_outside
        return found

    def _forget_run(self, report: Report) -> None:
        """Forget the run of a restarted node: its RAN time begins again, and it does not know earlier actions."""
        log.warning("node_restarted", xapp=self.instance.name, node=report.node, ran_time_s=report.time_s)
        for pending in [p for p in self._pending.values() if p.batch.node == report.node]:
            self._deliver(
                _unknown(pending.batch, report.ran_time_ns, "the node was restarted before it answered")
            )
        self._seqs = {stream: seq for stream, seq in self._seqs.items() if stream[0] != report.node}

    def _on_result(self, topic: str, payload: bytes) -> None:
        try:
            result = decode_result(payload)
            self._check_answer(result, topic)
        except WireError as error:
            self._malformed("result", error)
            return
        if (pending := self._pending.get(result.id)) is not None:
            self.answered.add(round((self._waiting_s() - pending.sent_at_s) * 1e9))
        self._deliver(result)

    def _check_answer(self, result: Result, topic: str) -> None:
        """Check that a result comes from the node that its topic names, and fits an action sent to that node.

        Raises:
            WireError: A node answers for another one, or for targets that the action does not have.
        """
        if topic != topics.result(result.xapp, result.node):
            raise WireError(f"a result of {result.node} for {result.xapp} came on {topic}")
        pending = self._pending.get(result.id)
        if pending is None:
            return
        batch = pending.batch
        if result.node != batch.node:
            raise WireError(f"{result.node} answers {result.id}, which went to {batch.node}")
        if result.action != batch.action.spec.name or not np.array_equal(
            result.targets, batch.action.targets()
        ):
            raise WireError(f"{result.node} answers {result.id} with other targets than it was asked about")

    def _deliver(self, result: Result) -> None:
        terminal = result.status != Status.ENDED
        if terminal.any() and self._pending.pop(result.id, None) is None:
            return  # answered before: this is the answer to a retry
        self._send(self._conclude(result))

    def _conclude(self, result: Result) -> list[ActionBatch]:
        """Count a result and hand it to the user's code; the actions that the code returns."""
        for status, count in enumerate(np.bincount(result.status, minlength=len(Status)).tolist()):
            self.stats.results[Status(status)] += count
        return self._guarded(lambda: self.instance.on_result(result))

    def _settle_pending(self, report: Report) -> None:
        """Repeat an action once when its answer is overdue; end it as UNKNOWN when the answer can no longer come."""
        period_ns = report.period_ms * 1_000_000
        for pending in [p for p in self._pending.values() if self._tells_time(report, p.batch.node)]:
            batch = pending.batch
            if report.ran_time_ns > batch.valid_until_ns + 2 * period_ns:
                self._deliver(
                    _unknown(batch, report.ran_time_ns, "no answer from the node, also not after a retry")
                )
            elif report.ran_time_ns >= batch.valid_until_ns and not pending.retried:
                pending.retried = True
                self.stats.retried += 1
                self._publish(batch)

    def _give_up_on_silent_nodes(self) -> None:
        """End the actions at a node that reports no more: no RAN time of it will show that they are overdue."""
        if not self._pending:
            return
        since_s = self._waiting_s() - self._silent_after_s
        for pending in list(self._pending.values()):
            node = pending.batch.node
            if max(pending.sent_at_s, self._heard_at_s.get(node, 0.0)) < since_s:
                ran_time_ns = self._ran_time_ns.get(node, 0)
                self._deliver(_unknown(pending.batch, ran_time_ns, "the node has fallen silent"))

    def _tells_time(self, report: Report, node: str) -> bool:
        """Whether a report shows the RAN time of `node`. For a node without reports, any report does."""
        return report.node == node or node not in self._nodes

    def _on_step(self, _topic: str, payload: bytes) -> None:
        """Take an operator's settings, and run the timers that a host announces as due, in its RAN time."""
        try:
            step = decode_step(payload)
            unknown = [name for name in step.timers if name not in self.instance.timers]
            if unknown:
                raise WireError(
                    f"{step.host} calls the timer {unknown[0]!r}, which {self.instance.name} has not"
                )
        except WireError as error:
            self._malformed("step", error)
            return
        if self._steps.get(step.host) == payload:  # QoS 1 may deliver twice
            return
        self._steps[step.host] = payload
        if (order := step.settings) is not None:
            self._send(self._guarded(lambda: self.instance.on_settings(order, step.ran_time_ns)))
            show_settings(self._sign, self.instance)
        for name in step.timers:
            call = functools.partial(self.instance.on_timer, name, step.ran_time_ns)
            self._send(self._guarded(call, period_ms=self.instance.timers[name]))

    def _guarded(
        self, call: Callable[[], list[ActionBatch]], *, period_ms: int | None = None
    ) -> list[ActionBatch]:
        """Run the user's code. Its errors are counted and logged; after several in a row the code rests."""
        began_s = self._clock()
        if began_s < self._resting_until:
            self.stats.skipped += 1
            return []
        try:
            batches = call()
        except HANDLERS_MAY_RAISE as error:
            self.stats.failures += 1
            self._failed_in_a_row += 1
            log.error(
                "handler_raised",
                xapp=self.instance.name,
                in_a_row=self._failed_in_a_row,
                traceback=user_traceback(error, self.instance.package.folder),
            )
            if self._failed_in_a_row >= QUARANTINE_AFTER:
                self._resting_until = self._clock() + QUARANTINE_S
                self._failed_in_a_row = 0
                log.error("xapp_quarantined", xapp=self.instance.name, for_s=QUARANTINE_S)
            return []
        finally:
            took_s = self._clock() - began_s
            self._in_handlers_s += took_s
            if period_ms is not None and took_s > period_ms / 1e3:
                self._tell_slow(took_s, period_ms)
        self._failed_in_a_row = 0
        return batches

    def _tell_slow(self, took_s: float, period_ms: int) -> None:
        """Log the first call that took longer than its period; all of them are counted."""
        self.stats.slow += 1
        if self.stats.slow == 1:
            log.warning("handler_slow", xapp=self.instance.name, took_s=round(took_s, 3), period_ms=period_ms)
        else:
            self._tell_too_slow()

    def _tell_too_slow(self) -> None:
        """Log once that reports are missed because the handlers cannot keep up."""
        if not self._told_too_slow and (lines := too_slow(self.instance.times.told())):
            self._told_too_slow = True
            log.warning("handlers_too_slow", xapp=self.instance.name, reason="; ".join(lines))

    def _send(self, batches: list[ActionBatch]) -> None:
        for batch in () if self._leaving else batches:
            self._pending[batch.id] = _Pending(batch, self._waiting_s())
            self.stats.batches += 1
            self._publish(batch)
        self._alarms.tell()

    def _publish(self, batch: ActionBatch) -> None:
        self._bus.publish(topics.act(batch.xapp, batch.node), encode(batch), qos=1)

    def _malformed(self, what: str, error: WireError) -> None:
        self.stats.malformed += 1
        log.warning("message_ignored", xapp=self.instance.name, what=what, reason=str(error))


def _columns(streams: Sequence[StreamRight]) -> dict[tuple[str, int], tuple[str, ...]]:
    """(Level, period) -> the measurements that a manifest reads in that stream, in its order."""
    columns: dict[tuple[str, int], tuple[str, ...]] = {}
    for stream in streams:
        names = (*columns.get((stream.level, stream.every_ms), ()), *stream.measurements)
        columns[stream.level, stream.every_ms] = tuple(dict.fromkeys(names))
    return columns


def _unknown(batch: ActionBatch, ran_time_ns: int, reason: str) -> Result:
    n = len(batch.action)
    return Result(
        id=batch.id,
        xapp=batch.xapp,
        node=batch.node,
        action=batch.action.spec.name,
        targets=batch.action.targets(),
        status=np.full(n, Status.UNKNOWN, np.uint8),
        cause=np.ones(n, np.uint8),
        causes=((Cause.NONE, ""), (Cause.LOST, reason)),
        applied=np.full((n, len(batch.action.spec.parameters)), np.nan, np.float32),
        ran_time_ns=ran_time_ns,
    )
