"""Drive an xApp folder in a unit test: a report in, its actions out; no bus, no node, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ranloop.vocabulary import ID_COLUMNS, Action, Level, measurement
from ranloop.wire.messages import ActionBatch, Catalogue, Report, Result
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package

__all__ = ("XAppHarness", "make_report")


def make_report(
    columns: Mapping[str, ArrayLike],
    *,
    level: Level = "ue",
    ids: Mapping[str, ArrayLike] | None = None,
    node: str = "site0",
    period_ms: int = 100,
    seq: int = 0,
) -> Report:
    """A report from columns by name.

    Args:
        columns: Catalogue name -> values, shape [n_rows]; NaN is "no value".
        ids: Id column -> dense ids, shape [n_rows]; columns left out count 0, 1, 2, … for the row's own target and
            are 0 for the rest.
        seq: Period number; the RAN time is that of the period's end.

    Raises:
        VocabularyError: A name is not in the catalogue.
        ValueError: Columns of different lengths.
    """
    names = tuple(measurement(name).name for name in columns)
    values = [np.atleast_1d(np.asarray(value, np.float32)) for value in columns.values()]
    n = len(values[0])
    id_names = ID_COLUMNS[level]
    given = dict(ids or {})
    id_values = [
        np.atleast_1d(np.asarray(given.get(name, np.arange(n) if at == 0 else np.zeros(n)), np.float32))
        for at, name in enumerate(id_names)
    ]
    lengths = {len(column) for column in (*id_values, *values)}
    if lengths != {n}:
        raise ValueError(f"columns of different lengths: {sorted(lengths)}")
    return Report(
        node=node,
        level=level,
        period_ms=period_ms,
        seq=seq,
        ran_time_ns=(seq + 1) * period_ms * 1_000_000,
        ids=id_names,
        names=names,
        block=np.column_stack((*id_values, *values)),
    )


class XAppHarness:
    """One loaded xApp in a test of its author. An error of a handler reaches the test unchanged."""

    def __init__(self, folder: str | Path, **settings: object) -> None:
        self.instance = Instance(load_package(Path(folder)), settings=settings)

    def module(self, name: str) -> ModuleType:
        """One of the xApp's modules, e.g. `policy`."""
        return self.instance.package.module(name)

    def know(self, catalogue: Catalogue) -> None:
        """Hand over what a node says of itself, for an xApp that asks for `XApp.catalogues`."""
        self.instance.know(catalogue)

    def send(self, report: Report) -> list[Action]:
        """Hand over one report; returns the actions that the xApp wants held."""
        return _actions(self.instance.on_report(report))

    def answer(self, result: Result) -> list[Action]:
        """Hand over one result; returns the actions that the xApp wants held."""
        return _actions(self.instance.on_result(result))

    def tick(self, timer: str, ran_time_ns: int = 0) -> list[Action]:
        """Let one timer fire; returns the actions that the xApp wants held."""
        return _actions(self.instance.on_timer(timer, ran_time_ns))

    def summary(self) -> Mapping[str, Any]:
        """The xApp's summary at the end of a run."""
        return self.instance.summary()


def _actions(batches: Sequence[ActionBatch]) -> list[Action]:
    return [batch.action for batch in batches]
