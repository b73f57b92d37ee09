"""Drive an xApp folder in a unit test: a report in, its actions out; no bus, no node, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ranloop.testing.judge import Judge
from ranloop.vocabulary import Action
from ranloop.wire.messages import ActionBatch, Alarm, Catalogue, Report, Result, Settings
from ranloop.wire.operating import SettingValue
from ranloop.xapp.app import ReportHandler
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from ranloop.xapp.state import State

__all__ = ("XAppHarness",)


class XAppHarness:
    """One loaded xApp in a test of its author. An error of a handler reaches the test unchanged.

    Actions that a guard would refuse for what the manifest says (rights, ranges, rates) and reports that no handler reads
    raise an `AssertionError`.

    Args:
        folder: The xApp's folder.
        state: What it kept of a former run, such as the `state` of another harness; nothing, if left out.
        settings: Values of its settings; the manifest's defaults otherwise.
    """

    def __init__(
        self, folder: str | Path, /, *, state: Mapping[str, Any] | None = None, **settings: object
    ) -> None:
        self.instance = Instance(load_package(Path(folder)), settings=settings, state=State(state))
        self._changed: dict[str, SettingValue] = {}
        self._judge = Judge(self.instance.name, self.instance.manifest.rights)

    @property
    def state(self) -> State:
        """What the xApp keeps beyond its end: `app.state`."""
        return self.instance.state

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """The alarms that are active now, in the order of name, node and target."""
        return self.instance.registered.alarms.active

    def module(self, name: str) -> ModuleType:
        """One of the xApp's modules, e.g. `policy`."""
        return self.instance.package.module(name)

    def know(self, catalogue: Catalogue) -> None:
        """Hand over what a node says of itself, for an xApp that asks for `XApp.catalogues`."""
        self.instance.know(catalogue)

    def send(self, report: Report) -> list[Action]:
        """Hand over one report; returns the actions that the xApp wants held.

        Raises:
            AssertionError: No handler reads such a report, or a guard would refuse an action.
        """
        handlers = self.instance.registered.reports
        if all((one.level, one.every_ms) != (report.level, report.period_ms) for one in handlers):
            raise AssertionError(_no_handler(report, handlers))
        return self._judged(self.instance.on_report(report), report.ran_time_ns)

    def answer(self, result: Result) -> list[Action]:
        """Hand over one result; returns the actions that the xApp wants held."""
        return self._judged(self.instance.on_result(result), result.ran_time_ns)

    def tick(self, timer: str, ran_time_ns: int = 0) -> list[Action]:
        """Let one timer fire; returns the actions that the xApp wants held."""
        return self._judged(self.instance.on_timer(timer, ran_time_ns), ran_time_ns)

    def change(self, **settings: SettingValue) -> list[Action]:
        """Change settings as an operator does while the xApp runs; returns the actions that it wants held.

        Raises:
            ValueError: The manifest does not allow a value, or has no such setting. Nothing has changed then.
        """
        values = self._changed | settings
        batches = self.instance.on_settings(Settings(id="test", values=values), 0)
        if refused := self.instance.settings_order["refused"]:
            raise ValueError(refused)
        self._changed = values
        return self._judged(batches, 0)

    def summary(self) -> Mapping[str, Any]:
        """The xApp's summary at the end of a run."""
        return self.instance.summary()

    def _judged(self, batches: Sequence[ActionBatch], now_ns: int) -> list[Action]:
        objections = [text for batch in batches for _, text in self._judge.objections(batch, now_ns)]
        if objections:
            raise AssertionError(f"{self.instance.name} " + "; ".join(objections))
        return [batch.action for batch in batches]


def _no_handler(report: Report, handlers: Sequence[ReportHandler]) -> str:
    """What the handlers read instead of such a report, the nearest first."""
    near = sorted(handlers, key=lambda one: (one.level != report.level, one.every_ms != report.period_ms))
    read = "; ".join(
        f"{one.function.__name__} reads level {one.level} every {one.every_ms} ms ({', '.join(one.names)})"
        for one in near
    )
    return (
        f"no handler reads a report of level {report.level} every {report.period_ms} ms "
        f"({', '.join(report.names)}): {read or 'there is no handler of reports'}"
    )
