"""The metrics of a live page: who looks at it, and what it has lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ranloop.metrics.metric import Metric, Reading, one
from ranloop.page import Watcher

__all__ = ("PageSource",)


class Counted(Protocol):
    """A page, in this process or in another one."""

    @property
    def counts(self) -> Mapping[str, int]: ...

    @property
    def is_up(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSource:
    """A page, with what hands events of this process over to it.

    Attributes:
        is_all: The process does nothing else.
    """

    metrics: ClassVar[tuple[Metric[Any], ...]]

    page: Counted
    watchers: Sequence[Watcher] = ()
    is_all: bool = False

    def not_ready(self) -> str:
        """Why the process cannot do its work; a host or a run can without a page.

        A broker that is away is no reason: the page shows just that.
        """
        return "the page's server has ended" if self.is_all and not self.page.is_up else ""


def _count(name: str) -> Callable[[PageSource], Iterable[Reading]]:
    return one(lambda source: source.page.counts.get(name, 0))


PageSource.metrics = (
    Metric(
        name="ranloop_page_up",
        kind="gauge",
        meaning="Whether the page is served: 1 or 0",
        read=one(lambda source: source.page.is_up),
    ),
    Metric(name="ranloop_page_open", kind="gauge", meaning="Browsers that have it open", read=_count("open")),
    Metric(
        name="ranloop_page_closed_total",
        kind="counter",
        labels=("reason",),
        meaning="Browsers that were sent away: refused (of another origin, or one too many), slow, or hostile",
        read=lambda source: [
            ((reason,), source.page.counts.get(reason, 0)) for reason in ("refused", "slow", "hostile")
        ],
    ),
    Metric(
        name="ranloop_page_reports_total",
        kind="counter",
        meaning="Reports that have come to the page, those included that it has forgotten for want of room",
        read=_count("reports"),
    ),
    Metric(
        name="ranloop_page_frames_passed_over_total",
        kind="counter",
        meaning="Reports that were not drawn, because the browser was too slow or they came faster than anybody can see",
        read=_count("frames"),
    ),
    Metric(
        name="ranloop_page_lines_lost_total",
        kind="counter",
        meaning="Lines of decisions that browsers were too slow for",
        read=_count("lines"),
    ),
    Metric(
        name="ranloop_page_events_dropped_total",
        kind="counter",
        meaning="Events that the page was too slow for; none of its browsers has them",
        read=one(lambda source: sum(watcher.n_dropped for watcher in source.watchers)),
    ),
    Metric(
        name="ranloop_page_names_forgotten_total",
        kind="counter",
        meaning="Nodes, streams and xApps that went because too many names were heard",
        read=_count("forgotten"),
    ),
    Metric(
        name="ranloop_page_wrong_tokens_total",
        kind="counter",
        meaning="Orders with a wrong token",
        read=_count("wrong_tokens"),
    ),
)
