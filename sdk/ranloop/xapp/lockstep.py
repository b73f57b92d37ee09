"""Runs an xApp in lockstep: one answer to each step of the node host, in RAN time, nothing lost or merged."""

from __future__ import annotations

import time

import structlog

from ranloop.bus import Bus, Subscription
from ranloop.errors import LockstepError, WireError
from ranloop.wire import topics
from ranloop.wire.codec import decode_step, encode
from ranloop.wire.messages import Answer, Presence
from ranloop.xapp.instance import Instance

__all__ = ("LockstepRunner",)

log = structlog.get_logger(__name__)

_LAST_WORDS_S = 0.1


class LockstepRunner:
    """Ties one `Instance` to one bus. Whoever owns the bus polls it; handlers run inside that poll."""

    def __init__(self, instance: Instance, bus: Bus, *, host: str = "host") -> None:
        self.instance = instance
        self.over = False
        self.malformed = 0
        self._bus = bus
        self._host = host
        self._last: tuple[int, bytes] = (-1, b"")  # number and bytes of the step answered last
        self._answer = b""
        self._failure, self._failed_at_s = "", 0.0
        self._subscription: Subscription = bus.subscribe(
            topics.step(host, instance.name), self._on_step, qos=1
        )
        announce(bus, instance, alive=True)

    def run(self, *, timeout_s: float = 60.0) -> None:
        """Answer steps until the host says that it was the last.

        Raises:
            LockstepError: The xApp's code raised (the text carries its author's frames; the host has heard of it), or
                the host was silent for `timeout_s`.
        """
        heard = time.monotonic()
        while not self.over:
            if self._bus.poll(min(timeout_s, 0.5)):
                heard = time.monotonic()
            elif time.monotonic() - heard > timeout_s:
                raise LockstepError(
                    f"{self.instance.name}: no step from host {self._host!r} for {timeout_s:.0f} s; is it running?"
                )
        if self._failure:
            self._bus.poll(_LAST_WORDS_S)  # the host hears why before it hears that we are gone
            raise LockstepError(f"{self.instance.name} failed at {self._failed_at_s:g} s:\n{self._failure}")

    def close(self) -> None:
        """Leave: stop listening and withdraw the life sign."""
        self._subscription.cancel()
        announce(self._bus, self.instance, alive=False)

    def _on_step(self, _topic: str, payload: bytes) -> None:
        try:
            step = decode_step(payload)
        except WireError as error:
            self.malformed += 1
            log.warning("step_ignored", xapp=self.instance.name, reason=str(error))
            return
        last_step, last_payload = self._last
        if (
            payload != last_payload
        ):  # QoS 1 may deliver twice: the same step has the same answer, and no second effect
            if step.step > last_step:
                answer = self.instance.handle(step)
            else:
                text = f"step {step.step} after step {last_step}: another run has begun, or two hosts have one name"
                answer = Answer(xapp=self.instance.name, step=step.step, error=text)
            self._last, self._answer = (step.step, payload), encode(answer)
            self.over = step.last or bool(answer.error)
            self._failure, self._failed_at_s = answer.error, step.ran_time_ns / 1e9
        self._bus.publish(topics.answer(self.instance.name, self._host), self._answer, qos=1)


def announce(bus: Bus, instance: Instance, *, alive: bool) -> None:
    """Publish an xApp's life sign, retained: its version, streams and timers, so that a host knows what is due."""
    facts = {
        "kind": "xapp",
        "version": instance.manifest.version,
        "run": instance.run,
        "streams": [[stream.level, stream.every_ms] for stream in instance.manifest.streams],
        "timers": instance.timers,
    }
    presence = Presence(name=instance.name, alive=alive, facts=facts)
    bus.publish(topics.presence(instance.name), encode(presence), qos=1, retain=True)
