"""Runs an xApp in lockstep: one answer to each step of the node host, in RAN time, without losing or merging anything."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson
import structlog

from ranloop.bus import Bus, LifeSign, Subscription
from ranloop.errors import LockstepError, WireError
from ranloop.foreign import one_line
from ranloop.wire import topics
from ranloop.wire.codec import decode_catalogue_on, decode_step, encode
from ranloop.wire.messages import Answer, Presence, Step
from ranloop.xapp.alarm_line import AlarmLine
from ranloop.xapp.instance import Instance
from ranloop.xapp.silence import nodes_open_to, why_no_reports

__all__ = ("LockstepRunner",)

log = structlog.get_logger(__name__)

GONE_S = 2.0  # a host that lost its connection for a moment is back by this time
NODES_AT_ONCE = 4096  # catalogues that may wait between two polls: all retained ones come together
_LAST_WORDS_S = 0.1
_MOST_SETTINGS = 1 << 15  # bytes in a life sign, which has 64 KiB
_MOST_DIFFERENCES = 16  # that are logged: anybody can forge a host's life sign


class LockstepRunner:
    """Ties one `Instance` to one bus. The owner of the bus polls it; handlers run inside that poll.

    `on_turn` is called between handlers while `run` works.
    """

    def __init__(
        self,
        instance: Instance,
        bus: Bus,
        *,
        host: str = "host",
        on_turn: Callable[[], object] = lambda: None,
    ) -> None:
        self.instance, self._on_turn = instance, on_turn
        self.over = False
        self.malformed = 0
        self.took_ns = 0  # by the wall clock, in the xApp's handlers, for the step answered last
        self._bus = bus
        self._host = host
        self._last: tuple[int, bytes] = (-1, b"")  # number and bytes of the step answered last
        self._answer = b""
        self._ran_time_ns = 0
        self._heard_at_s, self._host_seen_s = float("-inf"), float("inf")
        self._failure, self._failed_at_s = "", 0.0
        self._sign = life_sign(bus, instance)
        self._alarms = AlarmLine(bus, instance.name, instance.registered.alarms, lambda: self._ran_time_ns)
        self._held: tuple[Step, bytes] | None = None  # waits for the catalogue of a node that it is about
        self._subscriptions: list[Subscription] = [
            self._hear_catalogues(),
            bus.subscribe(topics.step(host, instance.name), self._on_step, qos=1),
        ]
        self._sign.show()

    def run(self, *, timeout_s: float = 60.0) -> None:
        """Answer steps until the host marks one as the last.

        Raises:
            LockstepError: The xApp's code raised, the host went away, or the host was silent for `timeout_s`. After an
                error of the code, the text has the frames of the xApp, and the host has been told.
        """
        began_s = time.monotonic()
        while not self.over:
            self._bus.poll(min(timeout_s, 0.5))
            self._on_turn()
            if self._held:  # nats-server can lose a retained message for a subscription that is made with it
                self._subscriptions[0].cancel()
                self._subscriptions[0] = self._hear_catalogues()
            now_s = time.monotonic()
            if self._host in self._sign.others:
                self._host_seen_s = now_s
            elif now_s - self._host_seen_s > GONE_S and not self.over:
                raise LockstepError(
                    f"{self.instance.name}: host {self._host!r} went away in the middle of the run, after step {self._last[0]}"
                )
            if not self.over and time.monotonic() - max(began_s, self._heard_at_s) > timeout_s:
                raise LockstepError(
                    f"{self.instance.name}: no step from host {self._host!r} for {timeout_s:.0f} s; is it running?"
                )
        if self._failure:
            self._bus.poll(_LAST_WORDS_S)  # the host hears the reason before it hears that the xApp is gone
            raise LockstepError(f"{self.instance.name} failed at {self._failed_at_s:g} s:\n{self._failure}")

    def not_ready(self) -> str:
        """Why the host would not hear the xApp now, in words; "" if it would. Any thread may ask."""
        if not self._bus.connected:
            return "the broker is away"
        others = list(self._sign.others.values())
        heard = nodes_open_to(self.instance.name, (host for host in others if host.name == self._host))
        return "" if heard else why_no_reports(self.instance, others)

    def close(self) -> None:
        """Stop listening and withdraw the life sign."""
        for subscription in self._subscriptions:
            subscription.cancel()
        self._alarms.withdraw()
        self._sign.withdraw()

    def _hear_catalogues(self) -> Subscription:
        return self._bus.subscribe(topics.catalogue("+"), self._on_catalogue, qos=1, keep=NODES_AT_ONCE)

    def _on_step(self, _topic: str, payload: bytes) -> None:
        try:
            step = decode_step(payload)
        except WireError as error:
            self.malformed += 1
            log.warning("step_ignored", xapp=self.instance.name, reason=str(error))
            return
        self._heard_at_s = time.monotonic()
        self._held = (step, payload)
        self._answer_held()

    def _on_catalogue(self, topic: str, payload: bytes) -> None:
        try:
            self.instance.know(decode_catalogue_on(topic, payload))
        except WireError as error:
            self.malformed += 1
            log.warning("catalogue_ignored", xapp=self.instance.name, reason=str(error))
            return
        self._answer_held()

    def _answer_held(self) -> None:
        """Answer the step that came last, once the catalogues are there: handlers see the same on every bus."""
        if self._held is None or self.instance.lacks_catalogue(self._held[0]):
            return
        (step, payload), self._held = self._held, None
        last_step, last_payload = self._last
        # QoS 1 may deliver twice: the same step gets the same answer and has no second effect.
        if payload != last_payload:
            if step.step > last_step:
                began_ns = time.perf_counter_ns()
                answer = self.instance.handle(step)
                self.took_ns = time.perf_counter_ns() - began_ns
                self._ran_time_ns = step.ran_time_ns
                self._alarms.tell()
                if step.settings is not None:
                    show_settings(self._sign, self.instance)
            else:
                text = f"step {step.step} after step {last_step}: another run has begun, or two hosts have one name"
                answer = Answer(xapp=self.instance.name, step=step.step, error=text)
            self._last, self._answer = (step.step, payload), encode(answer)
            self.over = step.last or bool(answer.error)
            self._failure, self._failed_at_s = answer.error, step.ran_time_ns / 1e9
        self._bus.publish(topics.answer(self.instance.name, self._host), self._answer, qos=1)


def life_sign(bus: Bus, instance: Instance) -> LifeSign:
    """An xApp's life sign: its version, streams, timers and manifest. A host needs them to know what is due.

    Raises:
        NameTakenError: A living xApp has this name.
    """
    sign = LifeSign(bus, instance.name, _facts(instance), run=instance.run)
    told: set[str] = set()

    def tell_difference(host: Presence) -> None:
        """Log once what a host says of its copy of our manifest."""
        differs = host.facts.get("differs")
        text = differs.get(instance.name) if isinstance(differs, dict) else None
        if isinstance(text, str) and text not in told and len(told) < _MOST_DIFFERENCES:
            told.add(text)
            log.warning(
                "manifest_differs", xapp=instance.name, host=one_line(host.name), differs=one_line(text, 1000)
            )

    sign.on_other = tell_difference
    sign.claim()
    return sign


def show_settings(sign: LifeSign, instance: Instance) -> None:
    """Answer the operator's order about settings: what is in force, and why the order is refused."""
    sign.change(_facts(instance), ())
    sign.show()


def _facts(instance: Instance) -> dict[str, object]:
    facts: dict[str, object] = {
        "kind": "xapp",
        "version": instance.manifest.version,
        "streams": [[stream.level, stream.every_ms] for stream in instance.manifest.streams],
        "timers": instance.timers,
        "rights": instance.manifest.rights.as_facts(),
    }
    if instance.settings_order:
        facts["settings_order"] = instance.settings_order
    in_force = instance.in_force()
    if len(orjson.dumps(in_force)) <= _MOST_SETTINGS:
        facts["settings"] = in_force
    return facts
