"""All metrics of a process in the text form that Prometheus reads. It needs the extra `metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ranloop.durations import EDGES_NS, Durations
from ranloop.errors import MissingExtraError
from ranloop.metrics.metric import Metric, Reading, Source
from ranloop.metrics.process import Process

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

__all__ = ("Page", "exposition")

_TRIES = 10
_EDGES = (*(repr(edge_ns / 1e9) for edge_ns in EDGES_NS), "+Inf")
Page = tuple[bytes, str]  # content and its type


def exposition(process: Process) -> Callable[[str], Page]:
    """A function that makes the page for a client, who says in `Accept` which forms it reads.

    Raises:
        MissingExtraError: prometheus-client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector
        from prometheus_client.exposition import choose_encoder
    except ImportError as error:
        raise MissingExtraError("--metrics", "metrics") from error
    registry = CollectorRegistry()
    registry.register(_Collector(process))
    ProcessCollector(registry=registry)  # CPU time, memory and descriptors, where the system tells them

    def page(accept: str) -> Page:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    return page


class _Collector:
    """Reads everything anew at each scrape; the loop counts as if nobody asked."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def describe(self) -> list[Family]:
        """Nothing is read when this is registered."""
        return []

    def collect(self) -> Iterator[Family]:
        families: dict[str, Family] = {}
        for source in self._process.sources:
            for metric in source.metrics:
                family = families.get(metric.name)
                if family is None:
                    family = families[metric.name] = _family(metric)
                for labels, value in _readings(metric, source):
                    _add(family, labels, value)
        yield from families.values()


def _readings(metric: Metric[Any], source: Source) -> list[Reading]:
    """The values of one metric. The loop may add to a dictionary while it is read: then it is read again."""
    for _ in range(_TRIES):
        try:
            return list(metric.read(source))
        except RuntimeError:  # changed size during iteration
            time.sleep(0.001)
    return list(metric.read(source))


def _family(metric: Metric[Any]) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    kinds: dict[str, Callable[..., Family]] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    return kinds[metric.kind](metric.name, metric.meaning, labels=metric.labels)


def _add(family: Any, labels: tuple[str, ...], value: float | Durations) -> None:
    if isinstance(value, Durations):
        counts = accumulate(value.counts.copy())
        family.add_metric(labels, list(zip(_EDGES, counts, strict=True)), value.sum_ns / 1e9)
    else:
        family.add_metric(labels, float(value))
