"""What of tables is left out, and why, as lines for a person: a line a table, or one for many tables with one reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ranloop.node.table.source import counted

__all__ = ("Loss", "told")

_MOST_ALIKE = 3  # tables with one reason that have a line each


class Loss(NamedTuple):
    """Rows or values of one table that are left out for one reason.

    Attributes:
        what: "row" or "value".
        of: Of which column or measurement; "" of rows.
        example: Of a value; "" if it would not help.
    """

    path: Path
    n: int
    what: str
    of: str
    why: str
    example: str = ""


def told(losses: Iterable[Loss], place: Path) -> Iterator[str]:
    """The losses as lines.

    Args:
        place: Where the tables lie.
    """
    alike = sorted(
        losses, key=lambda loss: (loss.what, loss.of, loss.why)
    )  # stable: in the order of the tables
    for (what, of, why), same in groupby(alike, key=lambda loss: (loss.what, loss.of, loss.why)):
        own = list(same)
        some = f" of {of}" if of else ""
        if len(own) <= _MOST_ALIKE:
            for loss in own:
                such = f", such as {loss.example}" if loss.example else ""
                yield f"{loss.path}: {counted(loss.n, what)}{some} left out: {why}{such}"
        else:
            most = max(own, key=lambda loss: loss.n)
            n = counted(sum(loss.n for loss in own), what)
            yield f"{place}: {n}{some} in {len(own)} tables left out: {why}; most in {most.path.name}, {most.n}"
