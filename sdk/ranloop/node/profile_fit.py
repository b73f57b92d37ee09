"""Whether an xApp would run on a stack: its manifest is compared with the stack's profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ranloop.errors import NodeError
from ranloop.guard import Rights, StreamRight
from ranloop.node.profile import Entry, Profile
from ranloop.vocabulary import LEVELS, Level
from ranloop.vocabulary.near import near_matches

__all__ = ("Lack", "absent", "as_lines", "lacks", "remarks", "require_fit")


class Lack(NamedTuple):
    """One thing that an xApp asks for and a stack does not have."""

    wants: str  # "reads CQI per ue"
    instead: str  # why not, the nearest there is, or all that there is


def require_fit(profile: Profile, xapps: Mapping[str, Rights]) -> None:
    """Refuse xApps (name -> rights) that want what the stack does not have.

    Raises:
        NodeError: One line per lacking thing.
    """
    found = [
        f"  {xapp} {line}" for xapp, rights in xapps.items() for line in as_lines(lacks(profile, rights))
    ]
    if found:
        raise NodeError("\n".join([f"the profile {profile.name} does not have what is asked for:", *found]))


def as_lines(found: Sequence[Lack]) -> list[str]:
    """One line per lack. A reason that is the one of the line above becomes "likewise"."""
    above = ("", *(lack.instead for lack in found))
    return [
        f"{lack.wants}: {'likewise' if lack.instead == before else lack.instead}"
        for lack, before in zip(found, above, strict=False)
    ]


def lacks(profile: Profile, rights: Rights) -> list[Lack]:
    """The things that `rights` ask for and the stack does not have, in the manifest's order."""
    found = [lack for stream in rights.streams for lack in _stream_lacks(profile, stream)]
    for right in rights.actions:
        if not profile.takes(right.name):
            found.append(Lack(f"writes {right.name}", absent(profile, right.name, profile.taken, "takes")))
    return list(dict.fromkeys(found))  # two streams may lack the same thing


def remarks(profile: Profile, rights: Rights) -> list[str]:
    """The profile's remarks on the entries that `rights` ask for and the stack has."""
    entries: dict[str, Entry | None] = {
        f"{name} per {stream.level}": profile.measured[stream.level].get(name)
        for stream in rights.streams
        for name in stream.measurements
    }
    entries |= {right.name: profile.taken.get(right.name) for right in rights.actions}
    return [f"{what}: {entry.remark}" for what, entry in entries.items() if entry and entry.remark]


def _stream_lacks(profile: Profile, stream: StreamRight) -> Iterator[Lack]:
    level, period = stream.level, profile.period
    if period is not None and stream.every_ms < period.shortest_ms:
        least = period.shortest_ms
        yield Lack(
            f"reads {level} reports every {stream.every_ms} ms",
            f"{profile.name} has new values every {least} ms; want every_ms = {least} or more",
        )
    for name in stream.measurements:
        if not profile.measures(name, level):
            yield Lack(f"reads {name} per {level}", _instead(profile, name, level))


def _instead(profile: Profile, name: str, level: Level) -> str:
    """The nearest thing that the stack has in place of a measurement."""
    if elsewhere := [other for other in LEVELS if profile.measures(name, other)]:
        return f"{profile.name} has it per {' and '.join(elsewhere)} only"
    offered = profile.measured[level]
    if offered or name in profile.because:
        return absent(profile, name, offered, f"has per {level}")
    has = " and ".join(other for other in LEVELS if profile.measured[other])
    return f"{profile.name} has no {level} reports" + (f", only {has} reports" if has else "")


def absent(profile: Profile, name: str, offered: Iterable[str], has: str) -> str:
    """Why a name is not there, or the nearest ones, or all that there are."""
    if name in profile.because:
        return f"{profile.name} has it, but {profile.because[name]}"
    names = tuple(offered)
    if near := near_matches(name, names):
        return f"{profile.name} does not have it; near: {', '.join(near)}"
    return f"{profile.name} does not have it; it {has} {', '.join(names) or 'nothing'}"
