"""The xApps' alarms at their host: read at a bounded rate, and compared with those before for the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ranloop.errors import WireError
from ranloop.guard import AuditRecord
from ranloop.guard.grants import TokenBucket
from ranloop.wire.codec import decode_alarms
from ranloop.wire.messages import Alarm, Alarms

__all__ = ("AlarmDesk",)

PER_S, BURST = 20.0, 40.0  # lists of one xApp; an xApp of ours publishes 5 a second after 20


class AlarmDesk:
    """Alarms by xApp.

    Args:
        show: Takes the list of an xApp, and records of what was raised, changed and cleared.
        drop: Counts a message that could not be read: its sender and the reason.
        run: Of the host.
        now_ns: The time in which the rate is bounded.
    """

    def __init__(
        self,
        show: Callable[[Alarms | AuditRecord], None],
        drop: Callable[[str, str], None],
        run: str,
        now_ns: Callable[[], int],
    ) -> None:
        self.now_ns = now_ns
        self._show, self._drop, self._run = show, drop, run
        self._buckets: dict[str, TokenBucket] = {}
        self._active: dict[str, Alarms] = {}

    @property
    def active(self) -> Mapping[str, Alarms]:
        """xApp -> its alarms, of those that have any."""
        return self._active

    def hear(self, xapp: str, payload: bytes, ran_time_ns: int) -> None:
        """Take the list of an xApp, as it came on its topic."""
        if not payload and xapp not in self._active:
            return  # each start of an xApp says that there are none
        bucket = self._buckets.setdefault(xapp, TokenBucket(PER_S, burst=BURST))
        if not bucket.take(self.now_ns()):
            self._drop(xapp, f"more than {PER_S:g} lists of alarms a second")
            return
        try:
            alarms = decode_alarms(payload) if payload else Alarms(xapp=xapp)
            if alarms.xapp != xapp:
                raise WireError(f"alarms in the name of {alarms.xapp}")
        except WireError as error:
            self._drop(xapp, str(error))
            return
        before = {alarm.key: alarm for alarm in self._active.pop(xapp, Alarms(xapp=xapp)).active}
        if alarms.active:
            self._active[xapp] = alarms
        for alarm in alarms.active:
            former = before.pop(alarm.key, None)
            if former is None or (former.severity, former.text) != (alarm.severity, alarm.text):
                self._note("alarm_changed" if former else "alarm_raised", xapp, alarm, ran_time_ns)
        for former in before.values():
            self._note("alarm_cleared", xapp, former, ran_time_ns)
        self._show(alarms)

    def _note(self, event: str, xapp: str, alarm: Alarm, ran_time_ns: int) -> None:
        facts = {"alarm": alarm.name, "severity": alarm.severity, "target": alarm.target, "text": alarm.text}
        self._show(
            AuditRecord(
                event=event,
                ran_time_ns=ran_time_ns,
                node=alarm.node,
                xapp=xapp,
                run=self._run,
                facts={name: fact for name, fact in facts.items() if fact},
            )
        )
