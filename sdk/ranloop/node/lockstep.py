"""The lockstep host: RAN time stands still until every xApp has answered, so a run is the same on any machine and bus.

One step is one instant at which some xApp has something due: a report of a stream that it reads, or a timer. Results
do not make a step of their own; they ride with the next one. The host publishes `Step` on `step/<host>/<xapp>`, takes
one `Answer` per xApp from `answer/<xapp>/<host>`, judges all batches in the order (xApp, seq) and runs on.

Presence of an xApp (retained on `presence/<xapp>`) tells the host what it must know, in `facts`:
    timers: {name: period in ms}; a timer is due at every multiple of its period, at the next slot boundary.
    run:    optional, different for every start of the xApp; a change in the middle of a run means it was restarted.
An xApp whose life sign goes out in the middle of a run ends the run at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

from ranloop.bus import is_question
from ranloop.errors import LockstepError, WireError
from ranloop.node.host import NodeHost
from ranloop.node.summary import RunSummary, Trace
from ranloop.wire import topics
from ranloop.wire.codec import decode_answer, decode_presence
from ranloop.wire.messages import ActionBatch, Answer, Presence, Report, Result, Step

OnTimeout = Literal["fail", "drop", "hold"]
_NS_PER_MS = 1_000_000
_TURN_S = 0.001  # one turn of polling when other participants live in this process


class Observer(Protocol):
    """Sees a run go by: a recorder, a dashboard."""

    def observe(self, reports: Sequence[Report], results: Sequence[Result]) -> None: ...


class LockstepHost:
    """Runs a `NodeHost` in lockstep with its xApps, once.

    Args:
        host: The nodes and who is registered there.
        poll_others: Called while the host waits: in one process, the xApps' buses poll here.
        observers: See every report and result, after the fact.
    """

    def __init__(
        self,
        host: NodeHost,
        *,
        poll_others: Sequence[Callable[[], object]] = (),
        observers: Sequence[Observer] = (),
    ) -> None:
        self.host = host
        self._poll_others = tuple(poll_others)
        self._observers = tuple(observers)
        self._trace = Trace()
        self._step = 0
        self._present: dict[str, Presence] = {}
        self._taking_part = list(host.xapps)
        self._dropped: list[str] = []
        self._n_timeouts = 0
        self._answers: dict[str, Answer] = {}
        self._results: dict[str, list[Result]] = {xapp: [] for xapp in host.xapps}
        self._fresh_results: list[Result] = []  # of this instant, for the observers
        self._timers: dict[tuple[str, str], int] = {}  # (xApp, timer) -> period in ns
        self._running = False
        for xapp in host.xapps:
            host.bus.subscribe(topics.answer(xapp, host.name), self._on_answer, qos=1)
            host.bus.subscribe(topics.presence(xapp), self._on_presence, qos=1)

    def run(
        self,
        until_ns: int | None = None,
        *,
        on_progress: Callable[[int, int], object] | None = None,
        timeout_s: float = 30.0,
        on_timeout: OnTimeout = "fail",
    ) -> RunSummary:
        """Run from now to `until_ns` (default: to the end of the world).

        Args:
            until_ns: RAN time; a world that is computed lasts so long, whatever its scenario says.
            on_progress: Called after each step with (RAN time, end) in nanoseconds.
            timeout_s: Wall-clock patience for the xApps to appear, and for each step's answers.
            on_timeout: What to do about an xApp that does not answer: fail the run; drop it from the run (its
                settings lapse); or hold: go on without it for this step, its late answer is not taken.

        Raises:
            LockstepError: An xApp did not appear, did not answer, died, or its code raised.
        """
        world = self.host.world
        end_ns = world.end_ns if until_ns is None else world.last_until(until_ns)
        self.host.announce(alive=True)
        try:
            self._wait_for_xapps(timeout_s)
            self._running = True
            while world.now_ns < end_ns:
                reports = self._to_next_event(end_ns)
                self._exchange(reports, self._due_timers(), timeout_s, on_timeout)
                if on_progress is not None:
                    on_progress(world.now_ns, end_ns)
            self._running = False  # from now on xApps may leave
            self._finish(timeout_s, on_timeout)
        finally:
            self.host.announce(alive=False)
        return RunSummary(
            steps=self._step,
            ran_time_ns=world.now_ns,
            n_reports=self._trace.n_reports,
            outcomes=dict(sorted(self._trace.outcomes.items())),
            latencies_ns=self._trace.latencies_ns(),
            trace_hash=self._trace.hexdigest(),
            n_timeouts=self._n_timeouts,
            n_dropped=self.host.n_dropped,
            dropped_xapps=tuple(self._dropped),
        )

    # Before the run

    def _wait_for_xapps(self, timeout_s: float) -> None:
        def missing() -> list[str]:
            return [xapp for xapp in self._taking_part if not self._alive(xapp)]

        if not self._poll_until(lambda: not missing(), timeout_s):
            raise LockstepError(
                f"no life sign of {', '.join(missing())} within {timeout_s:g} s; start it with the same bus and "
                f"host name {self.host.name!r}"
            )
        for xapp in self._taking_part:
            timers = self._present[xapp].facts.get("timers", {})
            if not isinstance(timers, dict) or not all(_is_period(period) for period in timers.values()):
                raise LockstepError(f"{xapp} announces the timers {timers!r}; want {{name: period in ms}}")
            self._timers |= {
                (xapp, name): int(period) * _NS_PER_MS for name, period in sorted(timers.items())
            }

    def _alive(self, xapp: str) -> bool:
        return xapp in self._present and self._present[xapp].alive

    # One step

    def _to_next_event(self, end_ns: int) -> list[Report]:
        """Move the world to the next instant at which something happens, and do what is due there."""
        world, start_ns = self.host.world, time.perf_counter_ns()
        report_ns = world.next_report_ns()
        guard_ns = self.host.next_event_ns()
        timer_ns = self._next_timer_ns()
        next_ns = min(t for t in (report_ns, guard_ns, timer_ns, end_ns) if t is not None)
        world.advance(next_ns)
        moved_ns = time.perf_counter_ns()
        self._trace.took("advance", moved_ns - start_ns)
        self._file(self.host.carry_out(next_ns))
        applied_ns = time.perf_counter_ns()
        self._trace.took("apply", applied_ns - moved_ns)
        if next_ns != report_ns:
            return []
        reports = world.reports(self.host.wanted())
        self._trace.took("report", time.perf_counter_ns() - applied_ns)
        for report in reports:
            self._trace.report(report)
        return reports

    def _next_timer_ns(self) -> int | None:
        return min([self._timer_after(period) for period in self._timers.values()], default=None)

    def _timer_after(self, period_ns: int) -> int:
        """The first slot boundary after now at or after a multiple of the period."""
        slot_ns, now_ns = self.host.world.slot_ns, self.host.world.now_ns
        k = now_ns // period_ns
        while (due_ns := -(-(k * period_ns) // slot_ns) * slot_ns) <= now_ns:
            k += 1
        return due_ns

    def _due_timers(self) -> dict[str, list[str]]:
        """xApp -> names of its timers that are due now."""
        slot_ns, now_ns = self.host.world.slot_ns, self.host.world.now_ns
        due: dict[str, list[str]] = {}
        for (xapp, name), period_ns in self._timers.items():
            latest_ns = now_ns // period_ns * period_ns
            if latest_ns > 0 and -(-latest_ns // slot_ns) * slot_ns == now_ns:
                due.setdefault(xapp, []).append(name)
        return due

    def _exchange(
        self, reports: Sequence[Report], timers: dict[str, list[str]], timeout_s: float, on_timeout: OnTimeout
    ) -> None:
        """Send each xApp what is due for it, wait for the answers, judge them."""
        readable = {xapp: self.host.reports_for(xapp, reports) for xapp in self._taking_part}
        asked = [xapp for xapp in self._taking_part if readable[xapp] or xapp in timers]
        if asked:
            start_ns = time.perf_counter_ns()
            for xapp in asked:
                self._send(xapp, readable[xapp], tuple(timers.get(xapp, ())))
            self._collect(asked, timeout_s, on_timeout)
            self._trace.took("step", time.perf_counter_ns() - start_ns)
            self._judge(asked)
            self._step += 1
        for observer in self._observers:
            observer.observe(reports, self._fresh_results)
        self._fresh_results = []

    def _send(
        self, xapp: str, reports: tuple[Report, ...] = (), timers: tuple[str, ...] = (), *, last: bool = False
    ) -> None:
        results, self._results[xapp] = self._results[xapp], []
        step = Step(
            host=self.host.name,
            step=self._step,
            ran_time_ns=self.host.world.now_ns,
            reports=reports,
            results=tuple(results),
            timers=timers,
            last=last,
        )
        self.host.bus.publish(topics.step(self.host.name, xapp), self.host.encode_for(xapp, step), qos=1)

    def _collect(self, asked: Sequence[str], timeout_s: float, on_timeout: OnTimeout) -> None:
        """Wait until all of `asked` have answered this step."""
        if self._poll_until(lambda: all(xapp in self._answers for xapp in asked), timeout_s):
            return
        late = [xapp for xapp in asked if xapp not in self._answers]
        self._n_timeouts += len(late)
        if on_timeout == "fail":
            raise LockstepError(f"no answer of {', '.join(late)} to step {self._step} within {timeout_s:g} s")
        if on_timeout == "drop":
            self._dropped += late
            self._taking_part = [xapp for xapp in self._taking_part if xapp not in late]
            self._timers = {key: period for key, period in self._timers.items() if key[0] not in late}

    def _judge(self, asked: Iterable[str]) -> None:
        """Hand the batches of all answers to the guards, in the order (xApp, seq)."""
        start_ns, now_ns = time.perf_counter_ns(), self.host.world.now_ns
        batches: list[tuple[str, ActionBatch]] = [
            (xapp, batch)
            for xapp in sorted(asked)
            if xapp in self._answers
            for batch in sorted(self._answers[xapp].batches, key=lambda batch: batch.seq)
        ]
        self._answers.clear()
        for sender, batch in batches:
            result = self.host.submit(batch, sender=sender, now_ns=now_ns)
            if result is not None:
                self._file([result])
        self._trace.took("guard", time.perf_counter_ns() - start_ns)

    def _file(self, results: Sequence[Result]) -> None:
        """Keep results for the next step of their xApps."""
        for result in results:
            self._trace.result(result)
            if result.xapp in self._results:
                self._results[result.xapp].append(result)
        self._fresh_results += results

    # The end

    def _finish(self, timeout_s: float, on_timeout: OnTimeout) -> None:
        """The last step: every result that is left; what an xApp still wants comes too late."""
        for guard in self.host.guards.values():
            self._file(guard.stop(self.host.world.now_ns))
        for xapp in self._taking_part:
            self._send(xapp, last=True)
        self._collect(self._taking_part, timeout_s, on_timeout)
        self._answers.clear()
        for observer in self._observers:
            observer.observe((), self._fresh_results)

    # The bus

    def _poll_until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Poll until `done`; False when `timeout_s` of wall-clock time have passed first."""
        deadline_s = time.monotonic() + timeout_s
        while not done():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            for poll in self._poll_others:
                poll()
            self.host.bus.poll(min(left_s, _TURN_S) if self._poll_others else left_s)
        return True

    def _on_answer(self, topic: str, payload: bytes) -> None:
        sender, now_ns = topics.levels(topic)[1], self.host.world.now_ns
        try:
            answer = decode_answer(payload)
        except WireError as error:
            self.host.drop(sender, now_ns, str(error))
            return
        if answer.xapp != sender:
            self.host.drop(sender, now_ns, f"an answer in the name of {answer.xapp}")
        elif sender not in self._taking_part or answer.step != self._step:
            self.host.drop(sender, now_ns, f"an answer to step {answer.step}, this is step {self._step}")
        elif sender in self._answers:
            self.host.drop(sender, now_ns, f"a second answer to step {answer.step}")
        elif answer.error:
            raise LockstepError(f"{sender} failed at {now_ns / 1e9:g} s:\n{answer.error}")
        else:
            self._answers[sender] = answer

    def _on_presence(self, topic: str, payload: bytes) -> None:
        sender, now_ns = topics.levels(topic)[1], self.host.world.now_ns
        try:
            presence = decode_presence(payload)
        except WireError as error:
            self.host.drop(sender, now_ns, str(error))
            return
        if is_question(presence):
            return  # a namesake of the xApp, which it turns away
        if self._running and sender in self._taking_part:
            run = self._present[sender].facts.get("run")
            if not presence.alive:
                if presence.facts.get("run") not in (None, run):
                    return  # of an earlier one that died: its will is late
                raise LockstepError(f"{sender} went away at {now_ns / 1e9:g} s, in the middle of the run")
            if presence.facts.get("run") != run:
                raise LockstepError(f"{sender} was restarted at {now_ns / 1e9:g} s, in the middle of the run")
        self._present[sender] = presence


def _is_period(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 1
