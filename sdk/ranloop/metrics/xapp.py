"""The metrics of an xApp: what its instance, its models and its runner count anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ranloop.durations import Durations
from ranloop.inference.model import Model
from ranloop.inference.rollout import Trial
from ranloop.metrics.host import of_fates
from ranloop.metrics.metric import Kind, Metric, Reading
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner, LiveStats
from ranloop.xapp.lockstep import LockstepRunner

__all__ = ("XAppSource",)


@dataclass(frozen=True, slots=True)
class XAppSource:
    """An xApp and what runs it."""

    metrics: ClassVar[tuple[Metric[Any], ...]]

    runner: LiveRunner | LockstepRunner

    @property
    def instance(self) -> Instance:
        return self.runner.instance

    @property
    def name(self) -> str:
        return self.instance.name

    def not_ready(self) -> str:
        """As the runner's `not_ready`."""
        return self.runner.not_ready()


def _live(
    name: str, kind: Kind, meaning: str, value: Callable[[LiveRunner], float | Durations]
) -> Metric[XAppSource]:
    """A metric that a live runner alone has."""

    def read(source: XAppSource) -> Iterable[Reading]:
        return [((source.name,), value(source.runner))] if isinstance(source.runner, LiveRunner) else []

    return Metric(
        name=f"ranloop_xapp_{name}", kind=kind, labels=("xapp",), meaning=f"{meaning}; live only", read=read
    )


def _counter(name: str, meaning: str, value: Callable[[LiveStats], int]) -> Metric[XAppSource]:
    return _live(f"{name}_total", "counter", meaning, lambda runner: value(runner.stats))


def _reports(source: XAppSource) -> Iterator[Reading]:
    """Also of a node that the xApp has joined and that sends nothing."""
    joined = source.runner.joined if isinstance(source.runner, LiveRunner) else ()
    for node in dict.fromkeys((*joined, *source.instance.reports)):
        yield (source.name, node), source.instance.reports[node]


def _outcomes(model: Model) -> dict[str, int]:
    return {
        "answered": model.took.n,
        "late": model.n_late,
        "failed": model.n_failed,
        "rested": model.n_rested,
    }


def _of_models(
    values: Callable[[Model], Iterable[tuple[str, float]]],
) -> Callable[[XAppSource], Iterator[Reading]]:
    """Values with a label of their own, of each model."""

    def read(source: XAppSource) -> Iterator[Reading]:
        for name, model in source.instance.models.items():
            for label, value in values(model):
                yield (source.name, name, label), value

    return read


def _outside(model: Model) -> Iterable[tuple[str, float]]:
    watch = model.watch
    return [] if watch is None else zip(watch.labels, watch.outside.tolist(), strict=True)


def _drift(model: Model) -> Iterable[tuple[str, float]]:
    return [] if model.watch is None else model.watch.psi().items()


def _of_candidate(trial: Trial | None, kind: str) -> Iterable[tuple[str, float]]:
    return [] if trial is None else dict(trial.calls if kind == "calls" else trial.rows).items()


XAppSource.metrics = (
    Metric(
        name="ranloop_xapp_reports_total",
        kind="counter",
        labels=("xapp", "node"),
        meaning="Reports that were handed to the xApp's code",
        read=_reports,
    ),
    _counter(
        "reports_missed", "Reports that were lost or overtaken by a newer one", lambda stats: stats.missed
    ),
    _counter(
        "reports_late", "Copies of reports, and reports older than one before", lambda stats: stats.late
    ),
    _counter("messages_malformed", "Messages that could not be used", lambda stats: stats.malformed),
    _counter(
        "values_outside",
        "Measured values outside the range of the vocabulary, which became no value",
        lambda stats: stats.outside,
    ),
    Metric(
        name="ranloop_xapp_handler_seconds",
        kind="histogram",
        labels=("xapp", "handler", "called", "every_ms"),
        meaning="How long a call of a handler took, by what it is called for (report, timer, result, restart, settings) and "
        "the period of its reports or its timer",
        read=lambda source: [
            ((source.name, handler, called, str(period_ms or "")), took)
            for (handler, called, period_ms), took in source.instance.times.durations.items()
        ],
    ),
    _counter(
        "handler_overruns", "Calls of handlers that took longer than their period", lambda stats: stats.slow
    ),
    _counter("handler_failures", "Calls of handlers that raised", lambda stats: stats.failures),
    _live(
        "resting",
        "gauge",
        "Whether the code rests after failures in a row: 1 or 0",
        lambda runner: runner.rests,
    ),
    _counter(
        "events_skipped",
        "Events that were not handed to the code while it rested",
        lambda stats: stats.skipped,
    ),
    _counter("actions", "Actions that were sent", lambda stats: stats.batches),
    _counter(
        "actions_retried",
        "Actions that were sent again, because no answer had come",
        lambda stats: stats.retried,
    ),
    _live("actions_pending", "gauge", "Actions that wait for their answer", lambda runner: runner.n_pending),
    _live(
        "answer_seconds",
        "histogram",
        "Time from an action to its answer, with the node's control delay and without the time in handlers",
        lambda runner: runner.answered,
    ),
    Metric(
        name="ranloop_xapp_targets_total",
        kind="counter",
        labels=("xapp", "action", "status", "cause"),
        meaning="Targets of the xApp's actions by what became of them, as the xApp has heard",
        read=lambda source: of_fates(source.instance.fates),
    ),
    Metric(
        name="ranloop_model_calls_total",
        kind="counter",
        labels=("xapp", "model", "outcome"),
        meaning="Calls of a model: answered, late, failed, or rested after several over its budget. Without an answer its ladder "
        "answers, or nothing",
        read=_of_models(lambda model: _outcomes(model).items()),
    ),
    Metric(
        name="ranloop_model_calls_over_budget_total",
        kind="counter",
        labels=("xapp", "model"),
        meaning="Calls of a model that were answered and took longer than its budget",
        read=lambda source: [
            ((source.name, name), model.n_over) for name, model in source.instance.models.items()
        ],
    ),
    Metric(
        name="ranloop_model_rows_total",
        kind="counter",
        labels=("xapp", "model", "by"),
        meaning="Rows that a model was called with, by what answered: the model, a rung of its ladder, none",
        read=_of_models(lambda model: model.rows_by.items()),
    ),
    Metric(
        name="ranloop_model_inputs_total",
        kind="counter",
        labels=("xapp", "model"),
        meaning="Values of each input that were held to the range seen in training",
        read=lambda source: [
            ((source.name, name), model.watch.n_values)
            for name, model in source.instance.models.items()
            if model.watch is not None
        ],
    ),
    Metric(
        name="ranloop_model_inputs_outside_total",
        kind="counter",
        labels=("xapp", "model", "feature"),
        meaning="Values of an input outside the range seen in training",
        read=_of_models(_outside),
    ),
    Metric(
        name="ranloop_model_drift_psi",
        kind="gauge",
        labels=("xapp", "model", "feature"),
        meaning="Population stability index of an input beside training, over a window of 4096 rows: above 0.25 it has drifted",
        read=_of_models(_drift),
    ),
    Metric(
        name="ranloop_model_candidate_calls_total",
        kind="counter",
        labels=("xapp", "model", "outcome"),
        meaning="Calls of a model's candidate since it came to its stage: answered, late or failed",
        read=_of_models(lambda model: _of_candidate(model.trial, "calls")),
    ),
    Metric(
        name="ranloop_model_candidate_rows_total",
        kind="counter",
        labels=("xapp", "model", "answer"),
        meaning="Rows that a model and its candidate both answered: the same, or other",
        read=_of_models(lambda model: _of_candidate(model.trial, "rows")),
    ),
    Metric(
        name="ranloop_model_error",
        kind="gauge",
        labels=("xapp", "model"),
        meaning="Mean absolute error of the last outputs whose truth became known",
        read=lambda source: [
            ((source.name, name), model.error.recent)
            for name, model in source.instance.models.items()
            if model.error.n
        ],
    ),
    Metric(
        name="ranloop_model_seconds",
        kind="histogram",
        labels=("xapp", "model"),
        meaning="How long a call of a model took that was answered",
        read=lambda source: [
            ((source.name, name), model.took) for name, model in source.instance.models.items()
        ],
    ),
)
