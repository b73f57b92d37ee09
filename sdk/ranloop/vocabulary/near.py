"""Names of the catalogue that come closest to one that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near_matches(name: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """Return up to `most` of the `known` names that resemble `name`, best first; case does not count."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    return tuple(by_lower[hit] for hit in get_close_matches(name.lower(), by_lower, n=most, cutoff=0.6))
