"""`XApp`, the object of an xApp's code. Its handlers turn a report into the state that the network is to hold."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import ArrayLike

from ranloop.errors import ModelError, VocabularyError
from ranloop.vocabulary import Action, Level, MeasurementName, measurement
from ranloop.vocabulary.model import LEVELS
from ranloop.wire.messages import F32, Report, Result, Severity
from ranloop.wire.topics import is_topic_level
from ranloop.xapp.alarms import AlarmBoard
from ranloop.xapp.budget import Budget, Rule
from ranloop.xapp.catalogues import Catalogues
from ranloop.xapp.latest import LEVELS as LEVELS_OF_LATEST
from ranloop.xapp.latest import Latest
from ranloop.xapp.memory import PerTarget
from ranloop.xapp.state import State
from ranloop.xapp.stuck import Stuck

if TYPE_CHECKING:
    from ranloop.inference import (
        Late,
        Model,
    )  # its cards are pydantic models, which an xApp without a model need not import

__all__ = (
    "ModelHandle",
    "Registrations",
    "ReportHandler",
    "Request",
    "Timer",
    "Wanted",
    "XApp",
    "bind",
    "change_settings",
    "registrations",
)

MAX_MS = 86_400_000  # a day, as on the wire


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """An action with options beside its columns; a bare action takes the defaults.

    Attributes:
        action: The columns.
        node: RAN node; default: the node of the report that is being handled.
        lease_ms: RAN time for which a setting lives without renewal; default: three report periods.
        valid_ms: RAN time after the report until which it may take effect; default: two report periods.
        atomic: All targets or none.
    """

    action: Action
    node: str = ""
    lease_ms: int | None = None
    valid_ms: int | None = None
    atomic: bool = False

    def __post_init__(self) -> None:
        """Refuse a request that no node could read; the error points at the author's own line."""
        if self.node and not is_topic_level(self.node):
            raise ValueError(f"node {self.node!r} is no node's name: a-z, 0-9, '_' and '-', at most 64")
        for name, value in (("lease_ms", self.lease_ms), ("valid_ms", self.valid_ms)):
            if value is not None and not (type(value) is int and 1 <= value <= MAX_MS):
                raise ValueError(
                    f"{name} is a whole number of milliseconds from 1 to {MAX_MS} (a day), not {value!r}"
                )


Wanted = Action | Request | Iterable[Action | Request] | None
ReportFunction = Callable[[Report], Wanted]
ResultFunction = Callable[[Result], Wanted]
TimerFunction = Callable[[], Wanted]
RestartFunction = Callable[[str], Wanted]
SettingsFunction = Callable[[Mapping[str, Any]], Wanted]
SummaryFunction = Callable[[], Mapping[str, Any]]
L = TypeVar("L", bound=Rule)
N = TypeVar("N", bound=RestartFunction)
P = TypeVar("P", bound=SettingsFunction)
R = TypeVar("R", bound=ReportFunction)
S = TypeVar("S", bound=ResultFunction)
T = TypeVar("T", bound=TimerFunction)
U = TypeVar("U", bound=SummaryFunction)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportHandler:
    """One `on_report` registration."""

    names: tuple[str, ...]
    level: Level
    every_ms: int
    function: ReportFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """One `every` registration; its name on the wire is the function's."""

    name: str
    period_ms: int
    function: TimerFunction


class ModelHandle:
    """A model by the name the manifest gives it; usable from the moment the runner binds the xApp."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.budget: Budget | None = None
        self.own_rule: Rule | None = None
        self._model: Model | None = None

    def bind(self, model: Model) -> None:
        self._model = model

    @property
    def model(self) -> Model:
        if self._model is None:
            raise ModelError(f"model {self.name!r} is used before the xApp runs; call it inside a handler")
        return self._model

    def __call__(self, report: Report, extra: Mapping[str, ArrayLike] | None = None) -> F32:
        """Outputs for each row of `report`, NaN if they do not come in time; see `ranloop.inference.Model`."""
        return self.model(report, extra)

    def ask(
        self, report: Report, extra: Mapping[str, ArrayLike] | None = None, *, within_ms: int | None = None
    ) -> F32 | Late:
        """Outputs for each row of `report`, or `Late` if they do not come in time; see `ranloop.inference.Model`."""
        return self.model.ask(report, extra, within_ms=within_ms)

    def predict(self, matrix: F32) -> F32:
        """Outputs for a ready matrix [n, n_features] in the card's column order."""
        return self.model.predict(matrix)

    def within(
        self, call_ms: float | None = None, *, past: Sequence[str] = (), keep_ms: float = 300.0
    ) -> ModelHandle:
        """Set a budget where the manifest has none: `rate = app.model("rate").within(2.0, past=["last", "rule"])`.

        See `Budget` for the arguments.
        """
        self.budget = Budget(call_ms=call_ms, past=tuple(past), keep_ms=keep_ms)
        return self

    def rule(self, function: L) -> L:
        """Answer by this function where the model's `past` names the rule; it takes the report and gives a value for each row."""
        self.own_rule = function
        return function

    def note_truth(self, predicted: ArrayLike, truth: ArrayLike) -> None:
        """Tell what came true of earlier outputs, NaN where it is not known; the error is in the summary and in the metrics."""
        self.model.error.note(predicted, truth)


@dataclass(slots=True)
class Registrations:
    """What an xApp has registered, for those that run it; `registrations(app)` gives it."""

    reports: list[ReportHandler] = field(default_factory=list)
    results: list[ResultFunction] = field(default_factory=list)
    restarts: list[RestartFunction] = field(default_factory=list)
    settings: list[SettingsFunction] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    summary: SummaryFunction | None = None
    models: dict[str, ModelHandle] = field(default_factory=dict)
    alarms: AlarmBoard = field(default_factory=AlarmBoard)
    catalogues: Catalogues | None = None  # None: no handler asks for them
    memories: tuple[PerTarget, PerTarget] = field(
        default_factory=lambda: (PerTarget("ue"), PerTarget("cell"))
    )
    latest: list[Latest] = field(default_factory=list)
    stuck: list[Stuck] = field(default_factory=list)

    def forget(self, node: str | None = None) -> None:
        """Drop the memory of every target of a node, or of all nodes."""
        remembering: list[PerTarget | Latest | Stuck] = [*self.memories, *self.latest, *self.stuck]
        for memory in remembering:
            memory.forget(node)

    def bind_models(self, models: Mapping[str, Model]) -> None:
        """Give the handles their models, and make a handle of each model that the code does not name."""
        for name, model in models.items():
            self.models.setdefault(name, ModelHandle(name)).bind(model)


def registrations(app: XApp) -> Registrations:
    """What `app` has registered: for a runner, a check, a page. An author needs nothing of it."""
    return app._registered


class XApp:
    """The registrations of one xApp. It opens and reads nothing; the runner does that.

    Attributes:
        per_ue: Makes a memory of each UE: `app.per_ue(demand_kbps=nan)` or `app.per_ue(Phone)`, see `PerTarget`.
        per_cell: Makes a memory of each cell; a report of any level finds the cells of its rows.
    """

    def __init__(self) -> None:
        self._registered = Registrations()
        self.per_ue, self.per_cell = self._registered.memories
        self._settings: Mapping[str, Any] | None = None
        self._state: State | None = None

    def on_report(
        self, *names: MeasurementName, level: Level = "ue", every_ms: int = 100
    ) -> Callable[[R], R]:
        """Handle each report of one level and granularity period, of every node that offers these measurements.

        The function returns the actions it wants held, or None. It sees at least the named measurements.

        Raises:
            VocabularyError: A name is not in the catalogue (with near matches), or not at this level.
        """
        if not names:
            raise ValueError("on_report needs at least one measurement name")
        if level not in LEVELS:
            raise VocabularyError("level", level, LEVELS)
        known = [measurement(name) for name in names]
        for entry in known:
            if level not in entry.levels:
                raise VocabularyError(
                    f"measurement at level {level}", entry.name, tuple(f"level={at}" for at in entry.levels)
                )

        def register(function: R) -> R:
            _refuse_coroutine(function)
            canonical = tuple(dict.fromkeys(entry.name for entry in known))
            self._registered.reports.append(
                ReportHandler(names=canonical, level=level, every_ms=every_ms, function=function)
            )
            return function

        return register

    def latest(
        self, name: MeasurementName, *, level: Level = "ue", every_ms: int = 100, unknown: float = nan
    ) -> Latest:
        """Keep the newest value of a measurement of each UE or cell for handlers of other streams.

        `load = app.latest("RRU.PrbTotDl", level="cell", every_ms=1000)` at the top reads that stream by itself; in a handler,
        `load.of(report)` has the values beside the rows of its report.

        Args:
            level: "ue" or "cell".
            unknown: What a target has that no report of the last three periods showed.

        Raises:
            VocabularyError: A name that is not in the catalogue or not at this level, or another level.
        """
        if level not in LEVELS_OF_LATEST:
            raise VocabularyError("level of latest", level, LEVELS_OF_LATEST)
        made = Latest(measurement(name).name, level, unknown)
        self.on_report(name, level=level, every_ms=every_ms)(made)
        self._registered.latest.append(made)
        return made

    def stuck(self, *, after: int = 3) -> Stuck:
        """Notice streams that repeat themselves: `if stuck(report): return None`, and what the xApp holds goes back to its default.

        Args:
            after: Repetitions in a row, to the bit.
        """
        made = Stuck(after, self.alarm, self.clear)
        self._registered.stuck.append(made)
        return made

    def on_result(self, function: S) -> S:
        """Handle the results of this xApp's actions."""
        _refuse_coroutine(function)
        self._registered.results.append(function)
        return function

    def on_restart(self, function: N) -> N:
        """Learn that a node has begun anew: its RAN time and sequence numbers begin again, and its ids mean others.

        The function gets the node's name, before the first report of the new run is handled. The memory of that node
        (`per_ue`, `per_cell`) has been dropped by then; what the xApp keeps itself is its own to drop. Actions that it
        returns go to that node.
        """
        _refuse_coroutine(function)
        self._registered.restarts.append(function)
        return function

    def on_settings(self, function: P) -> P:
        """Learn that an operator has changed settings while the xApp runs (`ranloop settings`).

        The function gets the names and new values of the settings that changed; `app.settings` has them already.
        """
        _refuse_coroutine(function)
        self._registered.settings.append(function)
        return function

    def every(self, period: str) -> Callable[[T], T]:
        """Run a function each `period` of RAN time, such as "100ms" or "1s"."""
        match = re.fullmatch(r"(\d+)(ms|s)", period)
        period_ms = int(match[1]) * (1000 if match[2] == "s" else 1) if match else 0
        if period_ms < 10:
            raise ValueError(f'a period reads "100ms" or "1s", from 10ms on, not {period!r}')

        def register(function: T) -> T:
            _refuse_coroutine(function)
            self._registered.timers.append(
                Timer(name=function.__name__, period_ms=period_ms, function=function)
            )
            return function

        return register

    def summary(self, function: U) -> U:
        """Give the xApp's findings, once when its run ends: a dictionary of plain data and NumPy values."""
        self._registered.summary = function
        return function

    def alarm(
        self, name: str, *, severity: Severity, target: str = "", text: str = "", node: str | None = None
    ) -> None:
        """Raise an alarm, which is active until `clear`; to raise it again changes its severity and text only.

        Args:
            name: What is wrong, such as "sleeping-cell": 1 to 64 printable characters without a blank.
            severity: critical or major if it affects service, minor if not, warning if it may come to that (perceived
                severity of ITU-T X.733).
            target: What at the node, in the node's words, such as the name of a cell; at most 128 characters.
            text: For a person; at most 256 characters are kept.
            node: Node that it is about; default: the node of the report or result that is being handled.

        Raises:
            ValueError: No such severity, or a name or target that cannot be sent.
        """
        self._registered.alarms.set(name, severity, node, target, text)

    def clear(self, name: str, *, target: str = "", node: str | None = None) -> None:
        """Clear an alarm; nothing happens if it is not active."""
        self._registered.alarms.clear(name, node, target)

    def model(self, name: str) -> ModelHandle:
        """The model that the manifest lists as `name`."""
        return self._registered.models.setdefault(name, ModelHandle(name))

    def catalogues(self) -> Catalogues:
        """What the nodes say of themselves: `.of(report).neighbours`, `.slices`, `.cells`, `.geometry`, …"""
        if self._registered.catalogues is None:
            self._registered.catalogues = Catalogues()
        return self._registered.catalogues

    @property
    def settings(self) -> Mapping[str, Any]:
        """Values of the manifest's settings, as the operator set them; another mapping after a change."""
        if self._settings is None:
            raise RuntimeError("settings are read before the xApp runs; read them inside a handler")
        return self._settings

    @property
    def state(self) -> State:
        """What outlives the xApp's process, where its operator gives a folder (`ranloop run --state FOLDER`).

        A mapping of names to JSON values or arrays of numbers. The runner reads it before the first handler, and writes
        it between handlers and at the end. docs/decisions/0033.
        """
        if self._state is None:
            raise RuntimeError("app.state is used before the xApp runs; use it inside a handler")
        return self._state


def bind(app: XApp, models: Mapping[str, Model], settings: Mapping[str, Any], state: State) -> None:
    """Give `app` its models, settings and state; the runner's call, before the first handler.

    An app that ran before begins without the memory and the alarms of that run.
    """
    app._registered.alarms = AlarmBoard()
    app._registered.forget()
    app._registered.bind_models(models)
    app._settings, app._state = settings, state


def change_settings(app: XApp, settings: Mapping[str, Any]) -> None:
    """Put other settings in force."""
    app._settings = settings


def _refuse_coroutine(function: Callable[..., object]) -> None:
    if inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{function.__name__} is a coroutine; write a plain function, which reports, results and timers call"
        )
