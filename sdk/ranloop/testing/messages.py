"""Reports and results for tests, from a few columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ranloop.vocabulary import ID_COLUMNS, Action, Level, measurement
from ranloop.wire.messages import Cause, Report, Result, Status

__all__ = ("Names", "make_report", "make_result")

Names = Mapping[int, str] | Sequence[str]  # of dense ids, or of each row


def make_report(
    columns: Mapping[str, ArrayLike],
    *,
    level: Level = "ue",
    ids: Mapping[str, ArrayLike] | None = None,
    labels: Mapping[str, Names] | None = None,
    node: str = "site0",
    period_ms: int = 100,
    seq: int = 0,
    run: str = "",
) -> Report:
    """A report from columns by name.

    Args:
        columns: Catalogue name -> values, shape [n_rows]; NaN is "no value".
        ids: Id column -> dense ids, shape [n_rows]; columns left out count 0, 1, 2, … for the row's own target and
            are 0 for the rest.
        labels: Id column -> the node's own names: {dense id: name}, or one for each row.
        seq: Period number; the RAN time is that of the period's end.
        run: Of the host; another one is a restart of the node.

    Raises:
        VocabularyError: A name is not in the catalogue.
        ValueError: Columns of different lengths, or labels of another number of rows.
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
    rows = dict(zip(id_names, id_values, strict=True))
    named = {
        column: dict(names)
        if isinstance(names, Mapping)
        else dict(zip(rows[column].astype(int).tolist(), names, strict=True))
        for column, names in (labels or {}).items()
    }
    return Report(
        node=node,
        level=level,
        period_ms=period_ms,
        seq=seq,
        ran_time_ns=(seq + 1) * period_ms * 1_000_000,
        ids=id_names,
        names=names,
        labels=named,
        run=run,
        block=np.column_stack((*id_values, *values)),
    )


def make_result(
    action: Action,
    status: Status = Status.APPLIED,
    cause: Cause = Cause.NONE,
    text: str = "",
    *,
    id: str = "test-1",
    xapp: str = "test",
    node: str = "site0",
    ran_time_ns: int = 0,
) -> Result:
    """The result of an action whose targets all have one fate; the values in force are those wanted, if it is applied."""
    parameters = action.parameters()
    is_applied = status is Status.APPLIED
    return Result(
        id=id,
        xapp=xapp,
        node=node,
        action=action.spec.name,
        targets=action.targets(),
        status=np.full(len(action), status, np.uint8),
        cause=np.full(len(action), int(cause is not Cause.NONE), np.uint8),
        causes=((Cause.NONE, ""), (cause, text)),
        applied=parameters if is_applied else np.full_like(parameters, np.nan),
        ran_time_ns=ran_time_ns,
    )
