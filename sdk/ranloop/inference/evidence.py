"""What a model was asked and said about the targets of an action, within bounds, for the audit log."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from ranloop.inference.card import Card
from ranloop.inference.watch import Watch
from ranloop.vocabulary import Action
from ranloop.wire.asked import MOST_LABELS, MOST_ROWS, MOST_TEXT, MOST_VALUES, Asked, Numbers
from ranloop.wire.messages import F32, Report

__all__ = ("Call", "evidence")


class Call(NamedTuple):
    """The last call of a model."""

    report: Report | None  # None for a ready matrix
    matrix: F32
    outputs: F32


def evidence(
    tag: str, card: Card, call: Call, watch: Watch | None, action: Action, of_interest: NDArray[np.intp]
) -> Asked:
    """The rows of a call that are about an action's targets. Inputs that the card calls raw stay here: no value stands in their place.

    Args:
        tag: Of the model, or of the rung that answered.
        card: Of the model.
        call: Its last call.
        watch: Its inputs beside those of training.
        action: What the xApp wants.
        of_interest: Targets of the action by their place, the most interesting first.
    """
    width = card.row_shape[0] if not card.steps else card.steps * len(card.features)
    n_outputs = len(card.outputs)
    fits = width + n_outputs <= MOST_VALUES
    most = min(MOST_ROWS, MOST_VALUES // (width + n_outputs if fits else n_outputs))
    rows = _rows_of(call, action, of_interest[:most])[:most]
    matrix = call.matrix[rows]
    report, beyond = call.report, () if watch is None else watch.beyond(matrix)
    if any(is_raw := [feature.sensitivity == "raw" for feature in card.features]):
        matrix = np.where(is_raw, np.float32(np.nan), matrix)
    return Asked(
        model=tag[:256],
        version=card.version[:MOST_TEXT],
        rows=len(call.matrix),
        ids={} if report is None else {name: tuple(report.id(name)[rows].tolist()) for name in report.ids},
        features=tuple(each.label[:MOST_TEXT] for each in card.features)
        if len(card.features) <= MOST_LABELS
        else (),
        inputs=_numbers(matrix.reshape(len(rows), -1)) if fits else (),
        outputs=_numbers(call.outputs[rows].reshape(len(rows), -1)),
        outside=tuple(label[:MOST_TEXT] for label in beyond[:MOST_LABELS]),
    )


def _rows_of(call: Call, action: Action, of_interest: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows of the call with the ids of the targets; the first ones where targets and rows have no id in common."""
    report, names = call.report, action.spec.targets
    common = [] if report is None else [name for name in names if name in report.ids]
    if report is None or not common:
        return np.arange(len(call.matrix))
    targets = action.targets()[of_interest]
    fits = np.ones(len(report), bool)
    for name in common:
        fits &= np.isin(report.id(name), targets[:, names.index(name)])
    return np.flatnonzero(fits)


def _numbers(rows: F32) -> Numbers:
    """Shortest decimals of float32, None for what is no number."""
    text = orjson.dumps(np.ascontiguousarray(rows, np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
    return tuple(map(tuple, orjson.loads(text)))
