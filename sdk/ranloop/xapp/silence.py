"""Reasons for a missing report: an xApp that waits logs them after three periods, and then less and less often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from ranloop.wire.messages import Presence
from ranloop.xapp.instance import Instance

__all__ = ("Silence", "nodes_open_to", "why_no_reports")

log = structlog.get_logger(__name__)

PERIODS = 3  # of the slowest stream that are waited for without a word
AT_LEAST_S = 3.0


class Silence:
    """Tells the operator the reason why an xApp gets no reports.

    Args:
        instance: The waiting xApp.
        others: Name -> life sign of a living participant; read anew each time.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, instance: Instance, others: Mapping[str, Presence], clock: Callable[[], float]
    ) -> None:
        self._instance, self._others, self._clock = instance, others, clock
        slowest_ms = max((stream.every_ms for stream in instance.manifest.streams), default=None)
        # An xApp without streams waits for nothing.
        self._patience_s = float("inf") if slowest_ms is None else max(AT_LEAST_S, PERIODS * slowest_ms / 1e3)
        self.end()

    def end(self) -> None:
        """Note that a report has come."""
        self._since_s, self._gap_s = self._clock(), self._patience_s
        self._tell_at_s = self._since_s + self._gap_s

    def tell(self) -> None:
        """Log the reason if it is time: after the patience, and after twice, four and eight times as long."""
        now_s = self._clock()
        if now_s < self._tell_at_s:
            return
        self._gap_s *= 2
        self._tell_at_s = self._since_s + self._gap_s
        log.warning(
            "no_reports",
            xapp=self._instance.name,
            for_s=round(now_s - self._since_s, 1),
            reason=why_no_reports(self._instance, self._others.values()),
        )


def nodes_open_to(xapp: str, others: Iterable[Presence]) -> set[str]:
    """The nodes of living hosts that have admitted `xapp`, by their life signs."""
    open_to: set[str] = set()
    for other in others:
        nodes, allowed = other.facts.get("nodes"), other.facts.get("xapps")
        if isinstance(nodes, list) and isinstance(allowed, list) and xapp in allowed:
            open_to.update(map(str, nodes))
    return open_to


def why_no_reports(instance: Instance, others: Iterable[Presence]) -> str:
    """Why an xApp gets no reports, by the life signs of the hosts, and what to do."""
    hosts = sorted(
        (other for other in others if other.facts.get("kind") == "node-host"), key=lambda host: host.name
    )
    if not hosts:
        return f"no node has what {instance.name} reads; hosts seen: none. Start one with: ranloop host"
    return "; ".join(_of_host(instance, host) for host in hosts)


def _of_host(instance: Instance, host: Presence) -> str:
    nodes, allowed = host.facts.get("nodes"), host.facts.get("xapps")
    here = ", ".join(map(str, nodes)) if isinstance(nodes, list) else "a node"
    rights = instance.manifest.rights
    if isinstance(nodes, list) and not any(rights.reach(str(node)) for node in nodes):
        return f"{here} is here and not in shard {rights.shard}"
    if isinstance(allowed, list) and instance.name not in allowed:
        shard = f" --shard {rights.shard}" if rights.shard else ""
        return (
            f"{here} is here but has not admitted {instance.name}: "
            f"ranloop admit {instance.package.folder} --host {host.name}{shard}"
        )
    return f"{here} is here and has admitted {instance.name}, but sends nothing that it reads"
