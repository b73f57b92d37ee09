"""One running xApp, free of I/O: reports, results and timers in, action batches out.

The lockstep runner, the live runner and a unit test drive the same object. An xApp therefore behaves the same in all three.
"""

from __future__ import annotations

import inspect
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ranloop.bus import new_run
from ranloop.errors import ManifestError, RanloopError, WireError
from ranloop.foreign import one_line
from ranloop.guard.fates import Fates
from ranloop.inference import Provider, Trust, load_model, share_features
from ranloop.placement import PlacedModel, Reach, place
from ranloop.vocabulary import ACTIONS, Action, Kind
from ranloop.voice import speaks
from ranloop.wire.asked import Asked
from ranloop.wire.frame import MAX_ROWS
from ranloop.wire.headers import MAX_PARTS
from ranloop.wire.inference import Inference
from ranloop.wire.messages import (
    F32,
    I32,
    MAX_ID,
    ActionBatch,
    Answer,
    Catalogue,
    Report,
    Result,
    Settings,
    Step,
)
from ranloop.xapp.app import Request, Timer, Wanted, bind, change_settings, registrations
from ranloop.xapp.budget import put_budgets
from ranloop.xapp.loader import XAppPackage
from ranloop.xapp.memory import began_anew
from ranloop.xapp.rollouts import Change, Rollouts, split
from ranloop.xapp.state import State
from ranloop.xapp.times import Called, HandlerTimes

__all__ = ("HANDLERS_MAY_RAISE", "Instance", "user_traceback")

# A handler that calls sys.exit has failed like any other: an xApp ends when its runner does.
HANDLERS_MAY_RAISE: Final = (Exception, SystemExit)

LEASE_PERIODS = 3  # a setting outlives two lost reports
VALID_PERIODS = 2
_PERIODS_KEPT = 4096  # of the batches sent last, for results on them


@dataclass(slots=True)
class _Met:
    """A node as far as its reports have been handled."""

    run: str
    newest_ns: dict[tuple[str, int], int] = field(default_factory=dict)  # (level, period) -> RAN time


class _Decided(NamedTuple):
    """What a handler's actions rest on."""

    models: tuple[str, ...]
    inferences: tuple[Inference, ...]
    report: Report | None


class Instance:
    """A loaded xApp bound to its models and settings."""

    def __init__(
        self,
        package: XAppPackage,
        *,
        settings: Mapping[str, object] | None = None,
        models: Mapping[str, Path] | None = None,
        trust: Trust | None = None,
        provider: Provider = "cpu",
        incarnation: str = "0",
        state: State | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        reach: Reach | None = None,
    ) -> None:
        """Bind a package.

        Args:
            package: A package from `load_package`.
            settings: The operator's values; the manifest's defaults otherwise.
            models: Model name -> the operator's model package, in place of the manifest's own.
            trust: Whose model packages may run; those of everybody, if left out.
            provider: What computes its models.
            incarnation: Makes action ids unique across restarts; constant in lockstep, random when live.
            state: What the app kept of its former runs; nothing, if left out.
            clock_ns: Times the handlers; nothing that an xApp does depends on it.
            reach: The way to the tiers of the models that the manifest places; without it all are computed here.

        Raises:
            ManifestError: A setting or model does not exist, or a setting is out of range.
            ModelError: A model package cannot be used.
            PlacementError: A placement does not fit the tiers.
        """
        self.package = package
        self.registered = registrations(package.app)
        self.manifest = package.manifest
        self.name = package.manifest.name
        self.run = new_run()  # how a host notices a restart
        self.times, self.fates = HandlerTimes(), Fates()  # of all handlers and all results so far
        self.reports: Counter[str] = Counter()  # node -> reports that were handed to the app
        self._clock_ns = clock_ns
        self._incarnation = incarnation
        self._seq = 0
        self._period_ms: dict[str, int] = {}  # batch id -> period of the stream or timer that it came from
        self.runs: dict[str, str] = {}  # node -> run of its host, as its reports (or its catalogue) say
        self._met: dict[str, _Met] = {}  # node -> as far as its reports have been handled
        self._wanted: dict[
            tuple[str, str], tuple[I32, F32]
        ] = {}  # node, action -> targets and values of its last batch
        places = self.manifest.model_folders(package.folder, models or {})
        self.models = place(
            {name: load_model(folder, trust=trust, provider=provider) for name, folder in places.items()},
            self.manifest.placement,
            places,
            self.manifest.better_folders(package.folder),
            reach,
            levels={stream.level for stream in self.manifest.streams},
            trust=trust,
            provider=provider,
        )
        self._reach = reach
        self._placed = [model for model in self.models.values() if isinstance(model, PlacedModel)]
        share_features(self.models.values())
        self._put_budgets()
        measured = frozenset(name for stream in self.manifest.streams for name in stream.measurements)
        self._rollouts = Rollouts(self.name, self.models, measured, trust=trust, provider=provider)
        self._change: tuple[Settings, dict[str, Any], Change] | None = (
            None  # an order whose models are being loaded
        )
        self.has_news = False  # about the models, for the life sign
        self.state = State() if state is None else state
        self._given = dict(settings or {})
        self.settings = self.manifest.effective_settings(self._given)
        self.settings_order: dict[str, str] = {}  # the operator's last one: id, and why it is refused
        bind(package.app, self.models, self.settings, self.state)

    def _put_budgets(self) -> None:
        handles = self.registered.models
        said = {name: handle.budget for name, handle in handles.items() if handle.budget is not None}
        if twice := said.keys() & self.manifest.budget.keys():
            raise ManifestError(
                f"{self.name}: the budget of {min(twice)} stands in the manifest and in app.py; keep one"
            )
        rules = {name: handle.own_rule for name, handle in handles.items() if handle.own_rule is not None}
        put_budgets(self.name, self.models, {**self.manifest.budget, **said}, rules)

    def in_real_time(self) -> None:
        """Let models rest that exceed their budget by the wall clock."""
        self._rollouts.in_background = True
        for model in self.models.values():
            model.rests = True

    @property
    def timers(self) -> dict[str, int]:
        """Timer name -> period in milliseconds."""
        return {timer.name: timer.period_ms for timer in self.registered.timers}

    def know(self, catalogue: Catalogue) -> None:
        """Take in what a node says of itself."""
        self.runs[catalogue.node] = catalogue.run
        if self.registered.catalogues is not None:
            self.registered.catalogues.know(catalogue)

    def lacks_catalogue(self, step: Step) -> bool:
        """Whether a handler may ask for a catalogue that has not come yet."""
        known = self.registered.catalogues
        return known is not None and not all(known.fit(report) for report in step.reports)

    def on_report(self, report: Report) -> list[ActionBatch]:
        """Run the handlers of this stream; an error of the user's code passes through."""
        self.reports[report.node] += 1
        batches = self._notice_restart(report)
        for handler in self.registered.reports:
            if handler.level == report.level and handler.every_ms == report.period_ms:
                batches += self._batches(
                    handler.function, (report,), report.node, report.ran_time_ns, handler.every_ms, report
                )
        return batches

    def begins_anew(self, report: Report) -> bool:
        """Whether the report's node was restarted after the reports that have been handled."""
        met = self._met.get(report.node)
        return met is not None and began_anew(
            report, met.run, met.newest_ns.get((report.level, report.period_ms), 0)
        )

    def _notice_restart(self, report: Report) -> list[ActionBatch]:
        """Before the first report of a node's new run: forget what was known of its targets, and tell the app."""
        node, stream = report.node, (report.level, report.period_ms)
        self.runs[node] = report.run
        restarted = self.begins_anew(report)
        if restarted or node not in self._met:
            self._met[node] = _Met(report.run)
        met = self._met[node]
        met.newest_ns[stream] = max(report.ran_time_ns, met.newest_ns.get(stream, 0))
        batches: list[ActionBatch] = []
        if restarted:
            self.registered.forget(node)
            for function in self.registered.restarts:
                batches += self._batches(
                    function, (node,), node, report.ran_time_ns, report.period_ms, called="restart"
                )
        return batches

    def on_result(self, result: Result) -> list[ActionBatch]:
        """Hand a result to the app."""
        self.fates.take(result)
        if self.models and result.action in ACTIONS:
            self._rollouts.take_result(result, ACTIONS[result.action].spec.targets)
        batches: list[ActionBatch] = []
        period_ms = self._period_ms.get(result.id, self._shortest_ms)
        for function in self.registered.results:
            batches += self._batches(
                function, (result,), result.node, result.ran_time_ns, period_ms, called="result"
            )
        return batches

    def on_settings(self, order: Settings, ran_time_ns: int) -> list[ActionBatch]:
        """Put an operator's values in force, all of them or none, and tell the app which have changed.

        While a model is loaded in the background, the order is not answered; `go_on` puts it in force then.
        """
        values, stages = split(order.values)
        try:
            settings = self.manifest.effective_settings(self._given | values)
            self._change = order, settings, self._rollouts.begin(stages)
        except RanloopError as error:
            self.settings_order = {"id": order.id, "refused": one_line(str(error), 1000)}
            return []
        return self.go_on(ran_time_ns)

    def close(self) -> None:
        """Let go of what works in the background."""
        self._rollouts.close()

    @property
    def is_loading(self) -> bool:
        """Whether an order waits for its models."""
        return self._change is not None

    def go_on(self, ran_time_ns: int) -> list[ActionBatch]:
        """Put an order in force whose models have been loaded in the meantime; nothing if there is none."""
        if self._change is None or not self._rollouts.is_ready(self._change[2]):
            return []
        (order, settings, change), self._change = self._change, None
        self.has_news = True
        before = self.settings
        try:
            self._rollouts.put(change)
        except RanloopError as error:
            self.settings_order = {"id": order.id, "refused": one_line(str(error), 1000)}
            return []
        self.settings, self.settings_order = settings, {"id": order.id, "refused": ""}
        change_settings(self.package.app, self.settings)
        changed = {name: value for name, value in self.settings.items() if value != before[name]}
        batches: list[ActionBatch] = []
        for function in self.registered.settings if changed else ():
            batches += self._batches(
                function, (changed,), "", ran_time_ns, self._shortest_ms, called="settings"
            )
        return batches

    def on_timer(self, name: str, ran_time_ns: int) -> list[ActionBatch]:
        """Run one timer.

        Raises:
            WireError: The app has no timer of this name.
        """
        timer = self._timer(name)
        return self._batches(timer.function, (), "", ran_time_ns, timer.period_ms, called="timer")

    def handle(self, step: Step) -> Answer:
        """Handle one lockstep step: settings, results, timers, reports. An error of a handler becomes the answer's."""
        batches: list[ActionBatch] = []
        if self._reach is not None:
            self._reach.begin(step.ran_time_ns)
        try:
            if step.settings is not None:
                batches += self.on_settings(step.settings, step.ran_time_ns)
            for result in step.results:
                batches += self.on_result(result)
            for name in step.timers:
                batches += self.on_timer(name, step.ran_time_ns)
            for report in step.reports:
                batches += self.on_report(report)
            if len(batches) > MAX_PARTS:
                raise ValueError(
                    f"{self.name} wants {len(batches)} actions in one step; at most {MAX_PARTS} are read"
                )
        except HANDLERS_MAY_RAISE as error:
            return Answer(xapp=self.name, step=step.step, error=user_traceback(error, self.package.folder))
        waited_ns = 0 if self._reach is None else self._reach.waited_ns
        return Answer(xapp=self.name, step=step.step, batches=tuple(batches), waited_ns=waited_ns)

    def summary(self) -> Mapping[str, Any]:
        """The app's summary at the end of its run; {} if the app has none."""
        with speaks(self.name):
            return self.registered.summary() if self.registered.summary else {}

    def in_force(self) -> dict[str, Any]:
        """The settings, and the stages of models that an operator has ordered."""
        return {**self.settings, **self._rollouts.in_force()}

    def models_told(self) -> dict[str, dict[str, Any]]:
        """Model -> what it was asked and what came of that."""
        return {name: model.told() for name, model in self.models.items()}

    @property
    def _shortest_ms(self) -> int:
        """The shortest period of the xApp's streams and timers."""
        return min(
            [*(stream.every_ms for stream in self.manifest.streams), *self.timers.values()], default=1000
        )

    def _timer(self, name: str) -> Timer:
        for timer in self.registered.timers:
            if timer.name == name:
                return timer
        raise WireError(f"{self.name} has no timer {name!r}; it has: {', '.join(self.timers) or 'none'}")

    def _batches(
        self,
        function: Callable[..., Wanted],
        arguments: tuple[Report | Result | str | Mapping[str, Any]] | tuple[()],
        node: str,
        ran_time_ns: int,
        period_ms: int,
        report: Report | None = None,
        *,
        called: Called = "report",
    ) -> list[ActionBatch]:
        """Call a handler. Its batches name the models that answered during the call, or while a generator ran."""
        board = self.registered.alarms
        board.node, board.now_ns = node, ran_time_ns
        for model in self.models.values():
            model.begin()
        for placed in self._placed:
            placed.take_told()
        began_ns = self._clock_ns()
        with speaks(self.name):
            wanted = function(*arguments)
            requests = [
                request
                for request in (() if wanted is None else _requests(wanted, function))
                if len(request.action)
            ]
        own_period_ms = period_ms if called in ("report", "timer") else None
        self.times.note(function.__name__, called, own_period_ms, node, self._clock_ns() - began_ns)
        for name, reason in self._rollouts.fallen():
            self.has_news = True
            board.set("model-rolled-back", "minor", node or None, name, reason)
        used = tuple([tag for model in self.models.values() for tag in model.tags()])
        for request in requests:
            _refuse_unsendable(request.action, function)
            if not (request.node or node):
                raise ManifestError(
                    f"{_place(function)} wants {request.action.spec.name} without saying where; "
                    "return Request(action=…, node=…)"
                )
        for placed in self._placed:
            if text := placed.broken_promise:
                board.set("cascade-gate", "minor", "", placed.card.name, text)
        told = tuple([one for model in self._placed for one in model.take_told()])
        return [
            self._batch(request, node, ran_time_ns, period_ms, _Decided(used, told, report))
            for request in requests
        ]

    def _asked(self, action: Action, node: str) -> tuple[Asked, ...]:
        """What the models were asked and said, first about targets that want something else than in the batch before."""
        place, targets, values = (node, action.spec.name), action.targets(), action.parameters()
        before, self._wanted[place] = self._wanted.get(place), (targets, values)
        changed = np.zeros(len(action), bool)
        if before is not None and np.array_equal(before[0], targets):
            changed = (before[1] != values).any(axis=1)
        first = np.argsort(~changed, kind="stable")
        return tuple([asked for model in self.models.values() for asked in model.asked(action, first)])

    def _batch(
        self,
        request: Request,
        node: str,
        ran_time_ns: int,
        period_ms: int,
        decided: _Decided,
    ) -> ActionBatch:
        report = decided.report
        valid_ms = request.valid_ms if request.valid_ms is not None else VALID_PERIODS * period_ms
        is_setting = request.action.spec.kind is Kind.SETTING
        lease_ms = request.lease_ms if request.lease_ms is not None else LEASE_PERIODS * period_ms
        self._seq += 1
        batch_id = f"{self.name}-{self._incarnation}-{self._seq}"
        self._period_ms[batch_id] = period_ms
        if len(self._period_ms) > _PERIODS_KEPT:
            del self._period_ms[next(iter(self._period_ms))]
        return ActionBatch(
            id=batch_id,
            xapp=self.name,
            node=request.node or node,
            seq=self._seq,
            action=request.action,
            valid_until_ns=ran_time_ns + valid_ms * 1_000_000,
            lease_ms=lease_ms if is_setting else None,
            atomic=request.atomic,
            models=decided.models,
            inferences=decided.inferences,
            report_seq=report.seq if report else -1,
            asked=self._asked(request.action, request.node or node) if decided.models else (),
            run=self.runs.get(request.node or node, ""),
            stamps=report.stamps if report else {},
        )


def _requests(wanted: Wanted, function: Callable[..., Wanted]) -> list[Request]:
    if isinstance(wanted, (Action, Request)):
        items: Iterable[object] = [wanted]
    elif isinstance(wanted, Iterable) and not isinstance(wanted, str | bytes):
        items = wanted
    else:
        raise _no_action(wanted, function, "returned")
    requests = []
    for item in items:
        if isinstance(item, Action):
            requests.append(Request(action=item))
        elif isinstance(item, Request):
            requests.append(item)
        else:
            raise _no_action(item, function, f"returned {type(wanted).__name__} with")
    return requests


def _no_action(item: object, function: Callable[..., Wanted], returned: str) -> TypeError:
    return TypeError(
        f"{_place(function)} {returned} {type(item).__name__}, want actions such as SetUeWeight, or None"
    )


def _place(function: Callable[..., Wanted]) -> str:
    """Name, file and line of a handler, for errors in its answer: no traceback has a frame of it then."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return function.__name__ + (f" ({code.co_filename}:{code.co_firstlineno})" if code else "")


def _refuse_unsendable(action: Action, function: Callable[..., Wanted]) -> None:
    """Refuse an action that no node could read, and name the handler. Otherwise the message would just be lost."""
    if len(action) <= MAX_ROWS and action.is_sendable(MAX_ID):
        return
    wants = f"{_place(function)} wants {action.spec.name}"
    if len(action) > MAX_ROWS:
        raise ValueError(f"{wants} for {len(action)} targets; at most {MAX_ROWS} fit one action")
    targets, values = action.targets(), action.parameters()
    unknown = (targets < 0) | (targets >= MAX_ID)
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        name = action.spec.targets[column]
        raise ValueError(
            f"{wants} for {name} {targets[row, column]}; an id is a whole number from 0 to {MAX_ID - 1}"
        )
    bad = ~np.isfinite(values)  # NaN is "no value" in a report and nothing that a node could hold
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{wants} with {action.spec.parameters[column].name} = {values[row, column]} for "
            f"target {targets[row].tolist()}; leave targets out instead"
        )


def user_traceback(error: BaseException, folder: Path) -> str:
    """The traceback from the first frame inside `folder` on; the error alone if there is no such frame."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [i for i, frame in enumerate(frames) if frame.filename.startswith(str(folder))]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames[own[0] :])] if own else []
    return "".join([*lines, *traceback.format_exception_only(error)]).rstrip()
