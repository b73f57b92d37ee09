"""How far an xApp may go: set by the operator, never by the xApp itself."""

from __future__ import annotations

from enum import StrEnum


class Autonomy(StrEnum):
    """Three levels, from watching to acting."""

    OBSERVE = "observe"  # reports only: every action is refused
    RECOMMEND = "recommend"  # the guard's verdict is answered and logged, nothing is applied
    ACT = "act"

    @property
    def rank(self) -> int:
        """How far it goes, from 0."""
        return list(Autonomy).index(self)
