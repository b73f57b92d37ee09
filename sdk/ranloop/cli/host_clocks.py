"""How far the clocks of the hosts on a bus are from ours: each is asked, as somebody would who wanted one of its nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ranloop.bus import Bus, health_question, new_run
from ranloop.cli.bus_view import BusView
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Presence

__all__ = ("HostClocks",)

_NAME = "doctor"


class HostClocks:
    """The clocks of the hosts that a view sees.

    A broker with an access list may not let us ask. No clock is known then.

    Args:
        bus: Polled by its owner.
        view: Of the same bus; its `on_answer` is ours from now on.
        clock: Seconds since 1970.

    Attributes:
        ahead_s: Host -> by how much the clock of its answer was ahead of ours.
    """

    def __init__(self, bus: Bus, view: BusView, *, clock: Callable[[], float] = time.time) -> None:
        self.ahead_s: dict[str, float] = {}
        self._bus, self._view, self._clock = bus, view, clock
        self._question = health_question(_NAME, new_run())
        self._asked: set[str] = set()
        view.on_answer = self._hear

    def ask(self) -> None:
        """Ask the hosts that have not been asked yet."""
        for name, host in self._view.hosts.items():
            if name not in self._asked:
                self._asked.add(name)
                facts = {**self._question.facts, "nodes": host.facts.get("nodes")}
                self._bus.publish(topics.presence(_NAME), encode(replace(self._question, facts=facts)), qos=1)

    def _hear(self, sign: Presence) -> None:
        told_s = sign.facts.get("time_s")
        if sign.facts["answers"] == self._question.facts["run"] and isinstance(told_s, int | float):
            self.ahead_s[sign.name] = told_s - self._clock()
