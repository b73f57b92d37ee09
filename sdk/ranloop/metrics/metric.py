"""A metric: its name, its labels, what it means, and how it is read from the objects that keep it anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from ranloop.durations import Durations

__all__ = ("Kind", "Metric", "Reading", "Source", "one")

Kind = Literal["counter", "gauge", "histogram"]
Reading = tuple[
    tuple[str, ...], float | Durations
]  # values of the labels, and the value; durations become seconds
S_contra = TypeVar("S_contra", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Generic[S_contra]):
    """One metric of a kind of source.

    Attributes:
        name: As Prometheus knows it, with unit and `_total`.
        labels: Their values come from manifests, catalogues and the vocabulary, never from a report: they are few.
        meaning: A sentence without its full stop, for the help text and the documentation.
        read: The present values. Called on the thread that answers a scrape, while the loop runs on.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    meaning: str
    read: Callable[[S_contra], Iterable[Reading]]


class Source(Protocol):
    """A part of the process that has metrics."""

    metrics: ClassVar[tuple[Metric[Any], ...]]

    def not_ready(self) -> str:
        """Why this part cannot do its work now, in words; "" if it can."""
        ...


def one(value: Callable[[S_contra], float | Durations]) -> Callable[[S_contra], Iterable[Reading]]:
    """Read a metric without labels."""
    return lambda source: [((), value(source))]
