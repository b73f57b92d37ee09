"""A participant's life sign: it shows that the participant runs, and keeps two processes from having one name.

The sign is retained on `presence/<name>`. Its fact `run` is another text for each start. Before a participant shows its
sign for the first time, it asks on its own topic (`facts.asks`, not retained). A living owner of the name, or of one of the
same RAN nodes, answers (`facts.answers` is the run of the question, not retained), and the new participant gives up. A
retained sign alone proves nothing, because the broker keeps it where the will of a crashed process was lost. Such a sign
holds the name for `ANSWER_S` and no longer. A health check asks in the same way (`facts.health`) and wants no name. `time_s` is the
wall clock of the sign, so that a clock that is far off can be noticed.

A running participant stays: no message ends a participant that has shown its sign (docs/decisions/0011). Two processes can
have one name nonetheless, because one of them was away or busy when the other asked. Both log it.

If the broker does not let a participant read `presence/+`, the participant starts without this check, `ANSWER_S` later. A
sign under another name counts only where it claims one of our nodes, and never under a name in `untrusted`.

A sender can flood `presence/+`. Between two polls only the newest few signs of each topic wait. Beyond `PER_S` a second,
signs are counted and not read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import structlog

from ranloop.bus.base import Bus, Will
from ranloop.bus.meter import RateMeter, is_round
from ranloop.errors import NameTakenError, WireError
from ranloop.foreign import one_line
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, encode
from ranloop.wire.messages import Presence

__all__ = ("LifeSign", "health_question", "is_question", "new_run", "will_of")

log = structlog.get_logger(__name__)

_KEEP = 4096  # life signs that may wait between two polls
# A start sends up to four messages on one topic: a retained sign, a question, an answer and the next sign. All must wait.
_NEWEST = 4
PER_S = 20  # per topic; a participant sends one sign at its start and one for each question
ANSWER_S = 5.0  # a participant that is silent for longer is not there, or is busy
_MOST_TEXT = 64  # characters of a foreign run, or kind


def new_run() -> str:
    """A text that tells one start of a participant from the next."""
    return secrets.token_hex(8)


def will_of(name: str, run: str) -> Will:
    """The will of a participant: the broker publishes it when the participant vanishes."""
    return Will(
        topic=topics.presence(name), payload=encode(Presence(name=name, alive=False, facts={"run": run}))
    )


def health_question(name: str, run: str) -> Presence:
    """A question whether a participant answers, from somebody who does not want its name."""
    return Presence(name=name, alive=True, facts={"run": run, "asks": True, "health": True})


def is_question(presence: Presence) -> bool:
    """Whether this is no life sign, but a question whether the name is taken."""
    return bool(presence.facts.get("asks"))


class LifeSign:
    """The life sign of one participant, and the signs of the others.

    Args:
        bus: Polled by its owner.
        name: Name of the participant.
        facts: Facts about the participant: its kind, and `nodes` if it hosts any.
        run: Text of this start, the same as in the will.
        untrusted: Names whose signs cannot claim one of our nodes.
    """

    def __init__(
        self,
        bus: Bus,
        name: str,
        facts: Mapping[str, Any],
        *,
        run: str = "",
        untrusted: Collection[str] = (),
    ) -> None:
        self.run = run or new_run()
        self.others: dict[str, Presence] = {}  # name -> life sign of a participant that lives
        self._bus, self._name = bus, name
        self._facts = {**facts, "run": self.run}
        self._untrusted = frozenset(untrusted)
        # Told of each life sign of another participant, and of each end of one.
        self.on_other: Callable[[Presence], None] = lambda presence: None
        self._state: Literal["asking", "ours", "shown", "over"] = "asking"
        self._heard_ourselves = False
        self._waiting_for: dict[
            str, Presence
        ] = {}  # name -> a participant with our name or node, which may be dead
        # Runs that did not answer when asked, or that we have complained about: their signs are no news.
        self._known_runs: set[str] = set()
        self._n_ignored = 0
        self._meter = RateMeter(PER_S)
        self._subscription = bus.subscribe(
            topics.presence("+"), self._on_presence, qos=1, keep=_KEEP, latest=_NEWEST
        )

    def claim(self) -> None:
        """Ask whether a living participant has the name or a node; once, before the first `show`.

        The broker sends a new subscriber the retained messages first, so the wait ends when our own question comes back.
        If a retained life sign was among them, its owner has `ANSWER_S` to answer.

        Raises:
            NameTakenError: A living participant has the name or one of our nodes.
        """
        self._say(alive=True, asks=True)
        give_up_s = time.monotonic() + ANSWER_S
        while self._waiting_for or not self._heard_ourselves:
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                break
            self._bus.poll(left_s)
        self._known_runs |= {_run(other) for other in self._waiting_for.values()}
        self._state = "ours"

    def show(self) -> None:
        """Tell all participants that we are there, also those that come later."""
        self._state = "shown"
        self._say(alive=True, retain=True)

    def change(self, facts: Mapping[str, Any], untrusted: Collection[str]) -> None:
        """Replace the facts, which the next `show` publishes, and the names that cannot claim one of our nodes."""
        self._facts = {**facts, "run": self.run}
        self._untrusted = frozenset(untrusted)

    def withdraw(self) -> None:
        """Publish the end of the participant, if the name is still its own, and stop listening."""
        if self._state == "over":
            return
        self._say(alive=False, retain=True)
        self._state = "over"
        self._subscription.cancel()

    def _say(self, *, alive: bool, retain: bool = False, **more: object) -> None:
        facts = {**self._facts, "time_s": round(time.time()), **more}
        presence = Presence(name=self._name, alive=alive, facts=facts)
        self._bus.publish(topics.presence(self._name), encode(presence), qos=1, retain=retain)

    # What comes in

    def _on_presence(self, topic: str, payload: bytes) -> None:
        if beyond := self._meter.beyond(topic):
            if is_round(beyond):
                log.warning(
                    "life_signs_flood", by=self._name, topic=one_line(topic), per_s=PER_S, so_far=beyond
                )
            return
        try:
            presence = decode_presence(payload)
            if topic != topics.presence(presence.name):
                raise WireError(f"presence of {presence.name!r} came on {topic}")
        except WireError as error:
            self._ignore(error)
            return
        if self._state == "over":
            return
        if presence.name == self._name and _run(presence) == self.run:
            self._hear_ourselves(presence)
        elif is_question(presence):
            self._hear_question(presence)
        elif "answers" in presence.facts:
            if presence.facts["answers"] == self.run:
                self._contest(presence, "is on this bus already")
        else:
            (self._hear_life if presence.alive else self._hear_end)(presence)
            if presence.name != self._name:
                self.on_other(presence)

    def _ignore(self, error: WireError) -> None:
        """Count a message that is no life sign, and log it less and less often: its sender may repeat it for ever."""
        self._n_ignored += 1
        if is_round(self._n_ignored):
            log.warning(
                "life_sign_ignored", by=self._name, so_far=self._n_ignored, reason=one_line(str(error))
            )

    def _hear_ourselves(self, presence: Presence) -> None:
        self._heard_ourselves |= is_question(presence)
        if not presence.alive and self._state == "shown":
            self.show()  # the broker published our will after a short loss of the connection

    def _hear_question(self, presence: Presence) -> None:
        if not self._rivals(presence):
            return
        if self._state != "asking" or self._heard_ourselves:
            self._say(alive=True, answers=_run(presence))
        elif not presence.facts.get("health"):  # the other asked first and gets the name
            self._contest(presence, "starts at this moment")

    def _hear_life(self, presence: Presence) -> None:
        if presence.name != self._name:
            self.others[presence.name] = presence
        if self._state == "asking" and self._rivals(presence):
            self._waiting_for[presence.name] = presence
        else:
            self._contest(presence, "is on this bus, too")

    def _hear_end(self, presence: Presence) -> None:
        known = self.others.get(presence.name, presence)
        if _run(presence) in ("", _run(known)):  # an older run of that name is no news
            self.others.pop(presence.name, None)
        waited_for = self._waiting_for.get(presence.name)
        if waited_for and _run(presence) in ("", _run(waited_for)):
            del self._waiting_for[presence.name]
        if presence.name == self._name and self._state == "shown":
            self.show()  # the late will of a dead participant of our name replaced our sign

    def _rivals(self, other: Presence) -> str:
        """The name or node of ours that another participant has, in words; "" if none."""
        if other.name == self._name:
            return f"{self._facts.get('kind', 'participant')} {self._name!r}"
        theirs = other.facts.get("nodes")
        if other.name in self._untrusted or not isinstance(theirs, list):
            return ""
        shared = [node for node in self._facts.get("nodes", ()) if node in theirs]
        kind = one_line(str(other.facts.get("kind", "participant")), _MOST_TEXT)
        return f"{kind} {other.name!r} with {', '.join(shared)}" if shared else ""

    def _contest(self, other: Presence, why: str) -> None:
        """Another participant claims our name or node: while we ask we give way, later we only tell the operator."""
        what = self._rivals(other)
        if not what or _run(other) in self._known_runs:
            return
        advice = (
            "one name is one process: stop the other one, or take another name for this one"
            if other.name == self._name
            else "a RAN node is hosted by one process: stop the other one"
        )
        if self._state == "asking":
            self._state = "over"
            raise NameTakenError(f"another {what} {why}; {advice}")
        if len(self._known_runs) < _KEEP:
            self._known_runs.add(_run(other))
            log.error("name_taken_twice", by=self._name, reason=f"another {what} {why}; {advice}")


def _run(presence: Presence) -> str:
    """The start that a life sign belongs to; "" if it does not say."""
    return str(presence.facts.get("run", ""))[:_MOST_TEXT]
