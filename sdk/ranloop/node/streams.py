"""Which streams of a port's nodes an xApp reads, by its rights, and what all xApps read together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ranloop.errors import NodeError
from ranloop.guard import Rights
from ranloop.node.port import Stream
from ranloop.wire.messages import Catalogue

__all__ = ("merged", "readable")


def readable(xapp: str, rights: Rights, catalogues: Sequence[Catalogue]) -> dict[Stream, tuple[str, ...]]:
    """Per stream of each node that offers all of it, the columns that `rights` name, in their order.

    Raises:
        NodeError: A stream that no node offers.
    """
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


def merged(streams: Iterable[Mapping[Stream, Sequence[str]]]) -> dict[Stream, frozenset[str]]:
    """What several read together: stream -> merged measurement names."""
    found: dict[Stream, frozenset[str]] = {}
    for own in streams:
        for stream, names in own.items():
            found[stream] = found.get(stream, frozenset()).union(names)
    return dict(sorted(found.items()))
