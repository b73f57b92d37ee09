"""The operator's settings of xApps, at their host: which stand, which an xApp still has to get, and what it answered.

No bus, no clock. docs/decisions/0033 says why settings come through the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ranloop.foreign import one_line
from ranloop.wire.messages import Presence, Settings

__all__ = ("SettingsDesk",)

_MOST_XAPPS = 256  # as in a standing
_MOST_REASON = 1000
_MOST_OPEN = 16  # orders of one xApp without an answer


class SettingsDesk:
    """Settings by xApp.

    Args:
        note: Takes the name of an event, the xApp and facts, for the audit log.
    """

    def __init__(self, note: Callable[..., None]) -> None:
        self._note = note
        self._standing: dict[str, Settings] = {}
        self._runs: dict[str, str] = {}  # xApp that lives -> its run
        self._handed: dict[str, tuple[str, str]] = {}  # xApp -> its run and the id of what it got last
        self._open: dict[
            str, list[tuple[str, str]]
        ] = {}  # the same, of the newest ones that it has not answered

    def hear(self, xapp: str, settings: Settings | None) -> None:
        """Take the operator's word; None withdraws it, and changes nothing that is in force."""
        if settings is None:
            self._standing.pop(xapp, None)
            return
        known = self._standing.get(xapp)
        if (known is not None and known.id == settings.id) or (
            known is None and len(self._standing) >= _MOST_XAPPS
        ):
            return
        self._standing[xapp] = settings
        self._note(
            "settings_ordered",
            xapp,
            id=settings.id,
            values=dict(settings.values),
            by=settings.by or settings.id,
        )

    def due(self, xapp: str) -> Settings | None:
        """What a living xApp has not got yet; it counts as handed over from now on."""
        settings, run = self._standing.get(xapp), self._runs.get(xapp)
        if settings is None or run is None or self._handed.get(xapp) == (run, settings.id):
            return None
        self._handed[xapp] = run, settings.id
        self._open[xapp] = [*self._open.get(xapp, ())[1 - _MOST_OPEN :], (run, settings.id)]
        return settings

    def meet(self, presence: Presence) -> None:
        """Read an xApp's life sign: which start it is, and its answer to an order."""
        xapp, run = presence.name, str(presence.facts.get("run", ""))
        if not presence.alive:
            if self._runs.get(xapp) == run:
                del self._runs[xapp]
            return
        self._runs[xapp] = run
        answer = presence.facts.get("settings_order")
        if not isinstance(answer, Mapping) or not isinstance(answer.get("id"), str):
            return
        if (run, answer["id"]) not in self._open.get(xapp, ()):
            return  # said before, or nobody asked
        self._open[xapp].remove((run, answer["id"]))
        refused = answer.get("refused", "")
        facts: dict[str, Any] = {"id": answer["id"]}
        if refused:
            facts["reason"] = one_line(str(refused), _MOST_REASON)
        self._note("settings_refused" if refused else "settings_in_force", xapp, **facts)
