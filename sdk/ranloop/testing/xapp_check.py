"""`check_xapp`: tests in one line whether an xApp copes with the events of a real network."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ranloop.testing.judge import Judge
from ranloop.testing.made_up import MadeUp, made_up_catalogue
from ranloop.testing.messages import make_result
from ranloop.testing.predictors import DelayedPredictor
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch, Cause, Report, Result, Settings, Status
from ranloop.xapp.instance import HANDLERS_MAY_RAISE, Instance
from ranloop.xapp.loader import load_package

__all__ = ("check_xapp", "faults_of")

_N_REPORTS = 12  # per stream
_MS = 1_000_000
_NODES = ("site0", "site1")
Call = Callable[[Instance], list[ActionBatch]]


def check_xapp(folder: str | Path, **settings: object) -> None:
    """Drive an xApp through the events of a network, with made-up reports of the streams in its manifest.

    The xApp passes if none of its handlers raises, two instances return the same actions for the same reports, all actions
    are within its manifest with each target once, and it has a summary at the end. The events are:

    - reports without rows, without values, lost, repeated and out of order;
    - a restart of the node, and two nodes with the same ids;
    - UEs and cells that no other report had, and streams that disagree about them;
    - results that are late, doubled, or of actions that the xApp never sent;
    - timers before any report, models that do not answer in time, and settings that are changed.

    Args:
        folder: The xApp's folder.
        settings: Values of its settings; the manifest's defaults otherwise.

    Raises:
        AssertionError: One line per finding: the trial, the handler's file and line, what went wrong.
        ManifestError: The folder is no xApp, or a setting does not exist.
        ModelError: A model that cannot be loaded.
    """
    faults = faults_of(folder, **settings)
    if faults:
        lines = [f"- {fault}" for fault in faults]
        head = f"{Path(folder).name} has {len(lines)} fault{'s' if len(lines) > 1 else ''}:"
        raise AssertionError("\n".join([head, *lines]))


def faults_of(folder: str | Path, **settings: object) -> list[str]:
    """The findings of `check_xapp`, one line each; none if the xApp passes."""
    texts: dict[str, str] = {}  # what is wrong -> its first example
    trials: dict[str, dict[str, None]] = {}
    for trial in TRIALS:
        for wrong, text in _Course(Path(folder), settings, trial).findings():
            texts.setdefault(wrong, text)
            trials.setdefault(wrong, {})[trial.name] = None
    return [f"{text} ({_shortened(list(trials[wrong]))})" for wrong, text in texts.items()]


def _shortened(trials: Sequence[str]) -> str:
    return trials[0] + (f", and {len(trials) - 1} more trials" if len(trials) > 1 else "")


@dataclass(frozen=True, slots=True)
class _Trial:
    """A course of reports, and the other events of a trial."""

    name: str
    reports: Callable[[Instance], Iterator[Report]]
    results: bool = False
    late_models: bool = False
    settings: bool = False


class _Course:
    """One trial of one xApp."""

    def __init__(self, folder: Path, settings: dict[str, object], trial: _Trial) -> None:
        self._folder, self._settings, self._trial = folder, settings, trial
        self._wanted: list[ActionBatch] = []

    def findings(self) -> Iterator[tuple[str, str]]:
        """What is wrong in this trial, and an example; it ends with the first error or difference."""
        first, second = self._instance(), self._instance()
        judge = Judge(first.name, first.manifest.rights)
        for event, now_ns, call in self._events(first):
            try:
                wanted, again = call(first), call(second)
            except HANDLERS_MAY_RAISE as error:
                yield _once(self._told(error))
                return
            if [_content(batch) for batch in wanted] != [_content(batch) for batch in again]:
                yield _once(f"{event}: two instances want different things of the same reports")
                return
            for batch in wanted:
                for cause, text in judge.objections(batch, now_ns):
                    yield f"{event} {batch.action.spec.name} {cause}", f"{event} {text}"
            self._wanted = wanted
        try:
            first.state.to_bytes()
        except (TypeError, ValueError) as error:
            yield _once(str(error))
        try:
            summary: object = first.summary()
        except HANDLERS_MAY_RAISE as error:
            yield _once(f"the summary: {self._told(error)}")
        else:
            if not isinstance(summary, Mapping):
                yield _once(f"the summary is a {type(summary).__name__}, want a dictionary")

    def _instance(self) -> Instance:
        instance = Instance(load_package(self._folder), settings=self._settings)
        for node in _NODES:
            instance.know(made_up_catalogue(node))
        for handle in instance.registered.models.values() if self._trial.late_models else ():
            handle.model.predictor = DelayedPredictor(handle.model.predictor, delay_ms=FOR_EVER_NS / _MS)
        return instance

    def _events(self, instance: Instance) -> Iterator[tuple[str, int, Call]]:
        """The handlers that are called, the RAN time, and the call; results are about the actions of the last call."""
        registered = instance.registered
        for timer in registered.timers:
            yield _place(timer.function), 0, partial(Instance.on_timer, name=timer.name, ran_time_ns=0)
        orders = _orders(instance)
        for report in self._trial.reports(instance):
            handlers = [
                handler.function
                for handler in registered.reports
                if (handler.level, handler.every_ms) == (report.level, report.period_ms)
            ]
            now_ns = report.ran_time_ns
            yield ", ".join(map(_place, handlers)), now_ns, partial(Instance.on_report, report=report)
            if self._trial.settings and (order := next(orders, None)) is not None:
                changing = ", ".join(map(_place, registered.settings))
                yield changing, now_ns, partial(Instance.on_settings, order=order, ran_time_ns=now_ns)
            for batch in self._wanted if self._trial.results else ():
                for result in _answers(batch, report.ran_time_ns):
                    yield (
                        ", ".join(map(_place, registered.results)),
                        now_ns,
                        partial(Instance.on_result, result=result),
                    )

    def _told(self, error: BaseException) -> str:
        """The innermost line of the xApp's own code, and the error."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(self._folder.resolve())]
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}: " if own else ""
        return f"{where}{type(error).__name__}: {error}"


def _once(text: str) -> tuple[str, str]:
    """A finding that reads the same wherever it shows."""
    return text, text


def _place(function: Callable[..., object]) -> str:
    code = getattr(function, "__code__", None)
    return function.__name__ + (f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else "")


def _content(batch: ActionBatch) -> tuple[object, ...]:
    """The parts of a batch in which two instances must agree."""
    columns = (batch.action.targets().tobytes(), batch.action.parameters().tobytes())
    terms = (batch.node, batch.seq, batch.valid_until_ns, batch.lease_ms, batch.atomic, batch.models)
    return (batch.action.spec.name, *columns, *terms)


def _answers(batch: ActionBatch, ran_time_ns: int) -> Iterator[Result]:
    """Results in time, late, twice, and of an action that was not asked for."""
    for status, cause, late_ms, id_ in (
        (Status.APPLIED, Cause.NONE, 10, batch.id),
        (Status.APPLIED, Cause.NONE, 10, batch.id),
        (Status.REFUSED, Cause.RANGE, 10, batch.id),
        (Status.EXPIRED, Cause.STALE, 5_000, batch.id),
        (Status.UNKNOWN, Cause.LOST, 60_000, f"{batch.id}-of-another-run"),
        (Status.ENDED, Cause.UE_LEFT, 20, batch.id),
    ):
        at_ns = ran_time_ns + late_ms * _MS
        yield make_result(
            batch.action,
            status,
            cause,
            "made up",
            id=id_,
            xapp=batch.xapp,
            node=batch.node,
            ran_time_ns=at_ns,
        )


def _orders(instance: Instance) -> Iterator[Settings]:
    """An operator's changes of settings: each to the ends of its range, or to each of its choices."""
    for name, setting in instance.manifest.settings.items():
        ends = (False, True) if setting.type == "bool" else (setting.low, setting.high, *setting.choices)
        for value in ends:
            if value is not None:
                yield Settings(id=f"{name}-{value}", values={name: value})


def _course(order: Sequence[int] = range(_N_REPORTS), **kind: Any) -> Callable[[Instance], Iterator[Report]]:
    """All streams in turn, their reports in this order."""

    def reports(instance: Instance) -> Iterator[Report]:
        made = MadeUp(seed=1)
        for seq in order:
            for stream in instance.manifest.streams:
                yield made.report(stream, seq, **kind)

    return reports


def _two_nodes(instance: Instance) -> Iterator[Report]:
    made = MadeUp(seed=2)
    for seq in range(_N_REPORTS):
        for node in _NODES:
            for stream in instance.manifest.streams:
                yield made.report(stream, seq, node=node)


def _restarted(instance: Instance) -> Iterator[Report]:
    for run in ("1", "2"):
        made = MadeUp(seed=3, run=run)
        for seq in range(_N_REPORTS):
            for stream in instance.manifest.streams:
                yield made.report(stream, seq)


def _one_stream_after_the_other(instance: Instance) -> Iterator[Report]:
    made = MadeUp(seed=4)
    for stream in reversed(instance.manifest.streams):
        for seq in range(3):
            yield made.report(stream, seq)


def _changing(instance: Instance) -> Iterator[Report]:
    """Rows, no rows, values, no values."""
    made = MadeUp(seed=5)
    for seq in range(_N_REPORTS):
        for stream in instance.manifest.streams:
            yield made.report(stream, seq, empty=seq % 3 == 1, valued=seq % 4 != 2)


TRIALS = (
    _Trial("reports as they should be", _course()),
    _Trial("reports without rows", _course(empty=True)),
    _Trial("reports without values", _course(valued=False)),
    _Trial("reports with and without rows and values", _changing),
    _Trial("reports out of order and repeated", _course((0, 1, 3, 2, 2, 4, 6, 5, 3, 7, 7, 8))),
    _Trial("lost reports", _course((0, 1, 2, 9, 10, 60, 61))),
    _Trial("a restart of the node", _restarted),
    _Trial("two nodes with the same ids", _two_nodes),
    _Trial("UEs and cells that come and go", _course(strange=True)),
    _Trial("streams that disagree about UEs and cells", _one_stream_after_the_other),
    _Trial("results late, twice and of nothing asked for", _course(), results=True),
    _Trial("models that do not answer in time", _course(), late_models=True),
    _Trial("settings changed while it runs", _course(), settings=True),
)
