"""Which streams of a port's nodes an xApp reads, by its rights, and what all xApps read together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ranloop.errors import NodeError, VocabularyError
from ranloop.guard import Rights, StreamRight
from ranloop.node.port import Stream
from ranloop.vocabulary.model import LEVELS
from ranloop.wire.messages import Catalogue

__all__ = ("looked_at", "merged", "page_period_ms", "readable", "watch_rights")

_EYES_MS = 100  # nobody sees more than ten pictures a second


def readable(xapp: str, rights: Rights, catalogues: Sequence[Catalogue]) -> dict[Stream, tuple[str, ...]]:
    """Per stream of each node that offers all of it, the columns that `rights` name, in their order.

    Raises:
        NodeError: A stream that no node offers, or a shard that has no node here.
    """
    if catalogues and not any(rights.reach(catalogue.node) for catalogue in catalogues):
        here = ", ".join(catalogue.node for catalogue in catalogues)
        raise NodeError(
            f"{xapp} decides at the nodes of shard {rights.shard}, and none is here; here is {here}"
        )
    catalogues = [catalogue for catalogue in catalogues if rights.reach(catalogue.node)]
    streams: dict[Stream, tuple[str, ...]] = {}
    for right in rights.streams:
        offers = [catalogue for catalogue in catalogues if not right.lacking(catalogue)]
        if not offers:
            lacks = right.lacking(catalogues[0])[0] if catalogues else "there is no node"
            raise NodeError(f"{xapp} reads {right.level} reports every {right.every_ms} ms, but {lacks}")
        for catalogue in offers:
            stream = (catalogue.node, str(right.level), right.every_ms)
            before = streams.get(stream, ())
            streams[stream] = before + tuple(name for name in right.measurements if name not in before)
    return streams


def merged(streams: Iterable[Mapping[Stream, Collection[str]]]) -> dict[Stream, frozenset[str]]:
    """What several read together: stream -> merged measurement names."""
    found: dict[Stream, frozenset[str]] = {}
    for own in streams:
        for stream, names in own.items():
            found[stream] = found.get(stream, frozenset()).union(names)
    return dict(sorted(found.items()))


def page_period_ms(periods_ms: Iterable[int]) -> int:
    """The granularity period for people's eyes: the shortest of 100 ms or more, else the longest."""
    periods = sorted(periods_ms)
    return next((ms for ms in periods if ms >= _EYES_MS), periods[-1])


def looked_at(
    columns: Mapping[str, Collection[str]], catalogues: Sequence[Catalogue]
) -> dict[Stream, tuple[str, ...]]:
    """The streams that have the columns (level -> measurements), as far as each node offers them."""
    found: dict[Stream, tuple[str, ...]] = {}
    for catalogue in catalogues:
        for level, names in columns.items():
            offered = tuple(n for n in catalogue.measurements.get(level, ()) if n in names)  # type: ignore[call-overload]
            if offered and catalogue.periods_ms:
                found[catalogue.node, level, page_period_ms(catalogue.periods_ms)] = offered
    return found


def watch_rights(
    catalogues: Sequence[Catalogue], levels: Iterable[str], every_ms: int, names: Sequence[str] = ()
) -> list[StreamRight]:
    """The streams with everything that the nodes measure at these levels, or with `names` alone.

    Raises:
        VocabularyError: There is no such level.
        NodeError: No node measures any of it, or none reports at this period.
    """
    periods = sorted({ms for catalogue in catalogues for ms in catalogue.periods_ms})
    if every_ms not in periods:
        raise NodeError(
            f"no node here reports every {every_ms} ms; they report every {', '.join(map(str, periods))} ms"
        )
    rights = []
    for level in levels:
        if level not in LEVELS:
            raise VocabularyError("level", level, LEVELS)
        offered = [catalogue.measurements.get(level, ()) for catalogue in catalogues]
        kept = {tuple(name for name in own if not names or name in names) for own in offered} - {()}
        if not kept:
            raise NodeError(f"no node here measures {' or '.join(names) or 'anything'} per {level}")
        rights += [
            StreamRight.model_validate({"level": level, "every_ms": every_ms, "measurements": measured})
            for measured in sorted(kept)
        ]
    return rights
