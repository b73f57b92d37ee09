"""A participant's life sign: it shows others that we are there, and keeps two processes from having one name.

It is retained on `presence/<name>` and carries in its facts `run`, another one for each start. Before a participant shows
it, it asks on its own topic (`facts.asks`, not retained). Who lives and has the name, or one of the same RAN nodes, answers
(`facts.answers` = the asker's run, not retained), and the asker gives up. So nothing has to be believed of what is retained:
a life sign that a crashed process left behind, because the broker could not send its will, holds the name for `ANSWER_S`
and no longer. Who did not answer in that time, because it was asleep or computing, stops when it hears the newcomer.

A broker that does not let us read `presence/+` leaves us without all this, `ANSWER_S` later. Of what is said under another
name only a claim to one of our nodes counts, and not even that from those in `untrusted`: xApps must not stop a node.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Mapping
from typing import Any, Literal

import structlog

from ranloop.bus.base import Bus, Will
from ranloop.errors import BusError, WireError
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, encode
from ranloop.wire.messages import Presence

__all__ = ("LifeSign", "is_question", "new_run", "will_of")

log = structlog.get_logger(__name__)

_KEEP = 4096  # life signs that may wait between two polls
ANSWER_S = 1.0  # whom we hear nothing of for so long is not there


def new_run() -> str:
    """What tells one start of a participant from the next."""
    return secrets.token_hex(8)


def will_of(name: str, run: str) -> Will:
    """What the broker says of a participant that vanished."""
    return Will(
        topic=topics.presence(name), payload=encode(Presence(name=name, alive=False, facts={"run": run}))
    )


def is_question(presence: Presence) -> bool:
    """Whether this is no life sign but somebody who asks whether the name is taken."""
    return bool(presence.facts.get("asks"))


class LifeSign:
    """Ours, and those of the others.

    Args:
        bus: Polled by its owner; the handlers here may raise in that poll, see `BusError` below.
        name: Of the participant.
        facts: What is to be known of it: its kind, and `nodes` if it hosts any.
        run: Of this start; as in the will.
        untrusted: Names under which nobody can claim a node of ours.

    Raises:
        BusError: In `claim` or in a later poll: somebody else has the name or one of the nodes. What we were to say at the end
            is then not said: the life sign on the bus is the other one's.
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
        self.others: dict[str, Presence] = {}  # name -> life sign of who lives
        self._bus, self._name = bus, name
        self._facts = {**facts, "run": self.run}
        self._untrusted = frozenset(untrusted)
        self._state: Literal["asking", "ours", "shown", "over"] = "asking"
        self._claimed_at = -1  # number of the connection
        self._heard_ourselves = False
        self._waiting_for: dict[str, Presence] = {}  # name -> who had what is to be ours, and may be dead
        self._silent_runs: set[object] = (
            set()
        )  # did not answer when asked: what is still heard of them is old
        self._subscription = bus.subscribe(topics.presence("+"), self._on_presence, qos=1, keep=_KEEP)

    def claim(self) -> None:
        """Ask whether somebody lives who has the name; nothing happens if we have asked on this connection.

        The broker tells a new subscriber first what it has retained, so our own question coming back ends the wait; only
        where that was a life sign, its owner has `ANSWER_S` to answer.
        """
        if self._state == "over" or self._claimed_at == self._bus.stats.reconnects:
            return
        self._claimed_at = self._bus.stats.reconnects
        before, self._state, self._heard_ourselves = self._state, "asking", False
        self._waiting_for = {name: other for name, other in self.others.items() if self._rivals(other)}
        self._say(alive=True, asks=True)
        give_up_s = time.monotonic() + ANSWER_S
        while self._waiting_for or not self._heard_ourselves:
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                break
            self._bus.poll(left_s)
        self._silent_runs |= {_run(other) for other in self._waiting_for.values()}
        self._state = "ours" if before == "asking" else before

    def show(self) -> None:
        """Tell everybody that we are there, those who come later as well."""
        self._state = "shown"
        self._say(alive=True, retain=True)

    def withdraw(self) -> None:
        """Say good-bye, if the name is still ours, and listen no longer."""
        if self._state == "over":
            return
        self._say(alive=False, retain=True)
        self._state = "over"
        self._subscription.cancel()

    def _say(self, *, alive: bool, retain: bool = False, **more: object) -> None:
        presence = Presence(name=self._name, alive=alive, facts={**self._facts, **more})
        self._bus.publish(topics.presence(self._name), encode(presence), qos=1, retain=retain)

    # What comes in

    def _on_presence(self, topic: str, payload: bytes) -> None:
        try:
            presence = decode_presence(payload)
            if topic != topics.presence(presence.name):
                raise WireError(f"a life sign of {presence.name!r} came on {topic}")
        except WireError as error:
            log.warning("life_sign_ignored", by=self._name, reason=str(error))
            return
        if _run(presence) == self.run:
            self._heard_ourselves |= is_question(presence)
        elif self._state == "over":
            return
        elif is_question(presence):
            self._hear_question(presence)
        elif "answers" in presence.facts:
            if presence.facts["answers"] == self.run and self._state == "asking":
                self._lose(presence, "is on this bus already")
        elif presence.alive:
            self._hear_life(presence)
        else:
            self._hear_end(presence)

    def _hear_question(self, presence: Presence) -> None:
        if not self._rivals(presence):
            return
        if self._state != "asking" or self._heard_ourselves:
            self._say(alive=True, answers=_run(presence))
        else:  # it asked before us, so it will have the name
            self._lose(presence, "starts at this moment")

    def _hear_life(self, presence: Presence) -> None:
        if presence.name != self._name:
            self.others[presence.name] = presence
        if not self._rivals(presence) or _run(presence) in self._silent_runs:
            return
        if self._state == "asking":
            self._waiting_for[presence.name] = presence
        else:
            self._lose(presence, "has come to this bus and taken over")

    def _hear_end(self, presence: Presence) -> None:
        known = self.others.get(presence.name, presence)
        if _run(presence) in ("", _run(known)):  # not of one that ran there before
            self.others.pop(presence.name, None)
        waited_for = self._waiting_for.get(presence.name)
        if waited_for and _run(presence) in ("", _run(waited_for)):
            del self._waiting_for[presence.name]
        if presence.name == self._name and self._state == "shown":
            self._say(alive=True, retain=True)  # the late will of a dead namesake must not hide us

    def _rivals(self, other: Presence) -> str:
        """What of ours another participant has, in words; "" if nothing."""
        if other.name == self._name:
            return f"{self._facts.get('kind', 'participant')} {self._name!r}"
        theirs = other.facts.get("nodes")
        if other.name in self._untrusted or not isinstance(theirs, list):
            return ""
        shared = [node for node in self._facts.get("nodes", ()) if node in theirs]
        return (
            f"{other.facts.get('kind', 'participant')} {other.name!r} with {', '.join(shared)}"
            if shared
            else ""
        )

    def _lose(self, other: Presence, why: str) -> None:
        what, self._state = self._rivals(other), "over"
        advice = (
            "one name is one process: stop the other one, or take another name for this one"
            if other.name == self._name
            else "a RAN node is hosted by one process: stop the other one"
        )
        raise BusError(f"another {what} {why}; {advice}")


def _run(presence: Presence) -> str:
    """Of which start it is; "" of a participant that does not say."""
    return str(presence.facts.get("run", ""))
