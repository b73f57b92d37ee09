"""The metrics of a live page: who looks at it, and what has come to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ranloop.metrics.metric import Metric, one
from ranloop.page import History

if TYPE_CHECKING:
    from ranloop.page.server import Page  # its server is an extra

__all__ = ("PageSource",)


@dataclass(frozen=True, slots=True)
class PageSource:
    """A page and the history that it shows."""

    metrics: ClassVar[tuple[Metric[Any], ...]]

    page: Page
    history: History

    def not_ready(self) -> str:
        """Why nobody can look; "" if the page is served. A broker that is away is no reason: the page shows just that."""
        return "" if self.page.serves else "the page's server has ended"


PageSource.metrics = (
    Metric(
        name="ranloop_page_open",
        kind="gauge",
        meaning="Pages that are open in browsers",
        read=one(lambda source: source.page.counts["open"]),
    ),
    Metric(
        name="ranloop_page_sent_away_total",
        kind="counter",
        labels=("why",),
        meaning="Pages that were refused (another origin, or too many), closed for being slow, or closed for what they sent (hostile)",
        read=lambda source: [((why,), source.page.counts[why]) for why in ("refused", "slow", "hostile")],
    ),
    Metric(
        name="ranloop_page_reports_total",
        kind="counter",
        meaning="Reports that have come to the page, those included that it has forgotten for want of room",
        read=one(lambda source: sum(track.end for track in source.history.tracks.values())),
    ),
)
