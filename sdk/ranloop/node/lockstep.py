"""The lockstep pace: RAN time stands still until every xApp has answered, so a run is the same on any machine and bus.

One step is one instant at which some xApp has something due: a report of a stream that it reads, or a timer. Results
and an operator's settings do not make a step of their own; they ride with the next one. The host publishes `Step` on
`step/<host>/<xapp>`, takes one `Answer` per xApp from `answer/<xapp>/<host>`, judges all batches in the order (xApp, seq) and
runs on. With a handler delay (`delay`) the batches are judged that much later in RAN time, and the xApp gets no step until then.

Presence of an xApp (retained on `presence/<xapp>`) tells the host what it must know, in `facts`:
    timers: {name: period in ms}; a timer is due at every multiple of its period, at the next slot boundary.
    run:    optional, different for every start of the xApp; a change in the middle of a run means it was restarted.
An xApp whose life sign goes out in the middle of a run ends the run at once.

At the end what waits is answered, and what is held stays: RAN time ends there, and a test can look at what is in force.
A live host hands back what is held, because its nodes go on without it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from ranloop.bus import Subscription
from ranloop.errors import LockstepError, NodeError, WireError
from ranloop.node.delay import NO_DELAY, AtWork, Delay
from ranloop.node.host import NodeHost, encode_as
from ranloop.node.port import PushPort
from ranloop.node.runtime import Moment
from ranloop.node.summary import RunSummary, TraceHash
from ranloop.wire import topics
from ranloop.wire.codec import decode_answer
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch, Answer, Presence, Report, Result, Step

OnTimeout = Literal["fail", "drop", "hold"]
_TURN_S = 0.001  # one turn of polling when other participants live in this process


class LockstepHost:
    """Runs a `NodeHost` in lockstep with its xApps, once.

    Args:
        host: The nodes and the xApps that are admitted there.
        poll_others: Called while the host waits: in one process, the xApps' buses poll here.
        delay: RAN time that an xApp's step takes; none by default.

    Raises:
        NodeError: The nodes report at their own pace.
    """

    def __init__(
        self,
        host: NodeHost,
        *,
        poll_others: Sequence[Callable[[], object]] = (),
        delay: Delay = NO_DELAY,
    ) -> None:
        if isinstance(host.runtime.port, PushPort):
            raise NodeError(
                f"{', '.join(host.runtime.guards)} reports at its own pace and does not wait for xApps; host it live"
            )
        self.host, self.runtime = host, host.runtime
        self._poll_others = tuple(poll_others)
        self._trace = TraceHash()
        self.runtime.outlets = (self._trace, *self.runtime.outlets)
        self._step = 0
        self._present = dict(host.others)
        self._dropped: list[str] = []
        self.n_timeouts = 0  # answers that did not come in time
        self._asked: frozenset[str] = frozenset()  # in this step
        self._answers: dict[str, tuple[Answer, int]] = {}  # with the wall clock, ns
        self._at_work = AtWork(delay, host.runtime.port.slot_ns)
        self._results: defaultdict[str, list[Result]] = defaultdict(list)
        self._running = False
        self._heard: dict[str, Subscription] = {}  # xApp -> where its answers are heard
        host.deliver, host.on_presence, host.on_change = self._file, self._on_presence, self._listen
        self._listen()

    def run(
        self,
        until_ns: int | None = None,
        *,
        before_step: Callable[[int], object] | None = None,
        on_progress: Callable[[int, int], object] | None = None,
        timeout_s: float = 30.0,
        on_timeout: OnTimeout = "fail",
    ) -> RunSummary:
        """Run from now to `until_ns` (default: to the end of the nodes).

        Args:
            until_ns: RAN time; a simulation lasts so long, whatever its scenario says.
            before_step: Called with the RAN time of each step before it is sent.
            on_progress: Called after each step with (RAN time, end) in nanoseconds.
            timeout_s: Wall-clock patience for the xApps to appear, and for each step's answers.
            on_timeout: What to do about an xApp that does not answer: fail the run; drop it from the run (its
                settings lapse); or hold: go on without it for this step, its late answer is not taken.

        Raises:
            LockstepError: An xApp did not appear, did not answer, died, or its code raised.
        """
        port = self.runtime.port
        end_ns = port.end_ns if until_ns is None else port.last_until(until_ns)
        self.host.announce(alive=True)
        try:
            self._wait_for_xapps(timeout_s)
            self._running = True
            while port.now_ns < end_ns:
                moment = self.runtime.advance(
                    min(self.runtime.next_event_ns(), self._at_work.next_ns(), end_ns)
                )
                self._file(moment.results)
                if before_step is not None:
                    before_step(port.now_ns)
                self._exchange(moment, timeout_s, on_timeout)
                if on_progress is not None:
                    on_progress(port.now_ns, end_ns)
            self._running = False  # from now on xApps may leave
            self._finish(timeout_s, on_timeout)
        finally:
            self.host.announce(alive=False)
        return self.runtime.summary(
            steps=self._step,
            trace_hash=self._trace.hexdigest(),
            n_timeouts=self.n_timeouts,
            dropped_xapps=tuple(self._dropped),
            n_missed=dict(self._at_work.n_missed),
        )

    def _wait_for_xapps(self, timeout_s: float) -> None:
        def missing() -> list[str]:
            return [xapp for xapp in self.runtime.xapps if not self._alive(xapp)]

        if not self._poll_until(lambda: not missing(), timeout_s):
            raise LockstepError(
                f"no life sign of {', '.join(missing())} within {timeout_s:g} s; start it with the same bus and "
                f"host name {self.host.name!r}"
            )

    def _alive(self, xapp: str) -> bool:
        return xapp in self._present and self._present[xapp].alive

    @property
    def _taking_part(self) -> list[str]:
        """The admitted xApps that are there; one that is admitted in the middle of a run joins when its life sign is heard."""
        return [xapp for xapp in self.runtime.xapps if self._alive(xapp) and xapp not in self._dropped]

    def _listen(self) -> None:
        """Hear the answers of the admitted xApps; one that was dismissed gets its last step."""
        for xapp in self.runtime.xapps.keys() - self._heard.keys():
            topic = topics.answer(xapp, self.host.name)
            self._heard[xapp] = self.host.bus.subscribe(topic, self._on_answer, qos=1)
        for xapp in self._heard.keys() - self.runtime.xapps.keys():
            self._heard.pop(xapp).cancel()
            self._send(xapp, last=True)

    # One step

    def _exchange(self, moment: Moment, timeout_s: float, on_timeout: OnTimeout) -> None:
        """Send each xApp what is due for it, wait for the answers, judge them."""
        self._judge(self._at_work.done(moment.ran_time_ns))
        due = {
            xapp: self._at_work.due(
                xapp,
                self.runtime.reports_for(xapp, moment.reports),
                tuple(moment.timers.get(xapp, ())),
            )
            for xapp in self._taking_part
        }
        asked = [xapp for xapp, (reports, timers) in due.items() if reports or timers]
        if asked:
            start_ns = time.perf_counter_ns()
            self._asked = frozenset(asked)
            for xapp in asked:
                self._send(xapp, *due[xapp])
            self._collect(timeout_s, on_timeout)
            self.runtime.tally.took("step", start_ns)
            for xapp, (answer, answered_ns) in self._answers.items():
                took_ns = answered_ns - start_ns
                self._at_work.begin(
                    xapp, answer.batches, moment.ran_time_ns, took_ns, waited_ns=answer.waited_ns
                )
            self._answers.clear()
            self._judge(self._at_work.done(moment.ran_time_ns))
            self._step += 1
        self.runtime.flush()

    def _send(
        self, xapp: str, reports: tuple[Report, ...] = (), timers: tuple[str, ...] = (), *, last: bool = False
    ) -> None:
        results, self._results[xapp] = self._results[xapp], []
        step = Step(
            host=self.host.name,
            step=self._step,
            ran_time_ns=self.runtime.port.now_ns,
            reports=reports,
            results=tuple(results),
            timers=timers,
            settings=None if last else self.runtime.settings.due(xapp),
            last=last,
        )
        self.host.bus.publish(
            topics.step(self.host.name, xapp), encode_as(step, self.host.encoding_of(xapp)), qos=1
        )

    def _collect(self, timeout_s: float, on_timeout: OnTimeout) -> None:
        """Wait until all that were asked have answered this step."""

        def late_ones() -> list[str]:
            missing = self._asked - self._answers.keys()
            return sorted(missing & self.runtime.xapps.keys())

        if self._poll_until(lambda: not late_ones(), timeout_s):
            return
        late = late_ones()
        self.n_timeouts += len(late)
        if on_timeout == "fail":
            raise LockstepError(f"no answer of {', '.join(late)} to step {self._step} within {timeout_s:g} s")
        if on_timeout == "drop":
            self._dropped += late
            for xapp in late:
                self.runtime.timers.forget(xapp)

    def _judge(self, wanted: Sequence[tuple[str, ActionBatch]]) -> None:
        """Hand batches to the guards, each with its sender."""
        if not wanted:
            return
        start_ns, now_ns = time.perf_counter_ns(), self.runtime.port.now_ns
        for sender, batch in wanted:
            # The step that an xApp answers says which run its batch is of.
            own = replace(batch, run=self.runtime.run)
            self._file(self.runtime.submit(own, sender=sender, node=batch.node, now_ns=now_ns))
        self.runtime.tally.took("guard", start_ns)

    def _file(self, results: Sequence[Result]) -> None:
        """Keep results for the next step of their xApps."""
        for result in results:
            self._results[result.xapp].append(result)

    def _finish(self, timeout_s: float, on_timeout: OnTimeout) -> None:
        """The last step: every result that is left; what an xApp still wants comes too late."""
        self._file(self.runtime.stop())
        self._judge(self._at_work.done(FOR_EVER_NS))
        self._asked = frozenset(self._taking_part)
        for xapp in sorted(self._asked):
            self._send(xapp, last=True)
        self._collect(timeout_s, on_timeout)
        self._answers.clear()
        self.runtime.flush()

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
            self.host.poll(min(left_s, _TURN_S) if self._poll_others else left_s)
        return True

    def _on_answer(self, topic: str, payload: bytes) -> None:
        sender = topics.levels(topic)[1]
        try:
            answer = decode_answer(payload)
        except WireError as error:
            self.runtime.drop(sender, str(error))
            return
        if answer.xapp != sender:
            self.runtime.drop(sender, f"an answer in the name of {answer.xapp}")
        elif sender not in self._asked or answer.step != self._step:
            self.runtime.drop(sender, f"an answer to step {answer.step}, this is step {self._step}")
        elif sender in self._answers:
            self.runtime.drop(sender, f"a second answer to step {answer.step}")
        elif answer.error:
            now_s = self.runtime.port.now_ns / 1e9
            raise LockstepError(f"{sender} failed at {now_s:g} s:\n{answer.error}")
        else:
            self._answers[sender] = answer, time.perf_counter_ns()

    def _on_presence(self, presence: Presence) -> None:
        sender, now_s = presence.name, self.runtime.port.now_ns / 1e9
        if self._running and sender in self._taking_part:
            run = self._present[sender].facts.get("run")
            if not presence.alive:
                if presence.facts.get("run") not in (None, run):
                    return  # of an earlier one that died: its will is late
                raise LockstepError(f"{sender} went away at {now_s:g} s, in the middle of the run")
            if presence.facts.get("run") != run:
                raise LockstepError(f"{sender} was restarted at {now_s:g} s, in the middle of the run")
        self._present[sender] = presence
