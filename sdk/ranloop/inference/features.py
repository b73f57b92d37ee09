"""From reports to the model's input matrix, by the names on the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranloop.errors import ModelError
from ranloop.inference.card import Card
from ranloop.vocabulary import Level
from ranloop.wire.messages import F32, Report
from ranloop.wire.targets import I64, find, keys

__all__ = ("FeatureBinder",)

# The ids by which a row is found again in other reports: a UE and its flows take their past along when they change the
# cell. 5QIs come first: they are below 2**8 (TS 23.501 clause 5.7.4), so that three ids fit one int64.
IDENTITY: dict[Level, tuple[str, ...]] = {
    "cell": ("cell",),
    "ue": ("ue",),
    "slice": ("slice", "cell"),
    "qos_flow": ("five_qi", "ue", "slice"),
    "ue_cell": ("ue", "measured_cell"),
}
_NO_COLUMNS = np.zeros(0, np.intp)
KEPT = 5  # windows of a stream, so that a report that comes three periods late gets the state before it


class _Window(NamedTuple):
    """The latest values of a stream's targets."""

    seq: int
    targets: I64  # sorted, see `keys`
    values: F32  # [history, n_target, n_measurement], index 0 is the report `seq`, NaN where unknown


class _Stream:
    """The latest windows of one stream, of one run of its node."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.windows: list[_Window] = []  # by sequence number, at most `KEPT`

    def is_before(self, seq: int) -> bool:
        """Whether a report came before all that are kept."""
        return bool(self.windows) and seq < self.windows[0].seq

    def keep(self, window: _Window) -> None:
        """Keep the newest windows; of two of one report the one with more targets, because a model may be asked about some."""
        last = self.windows[-1] if self.windows else None
        if last is None or window.seq > last.seq:
            self.windows = [*self.windows[1 - KEPT :], window]
        elif window.seq == last.seq and len(window.targets) >= len(last.targets):
            self.windows[-1] = window


class FeatureBinder:
    """Builds the matrix a card asks for, and remembers as many reports per stream as its features look back.

    A target is followed by its dense ids, so a UE keeps its history when rows move, for as long as it is reported.
    A missing value (no value, a lost report, a UE that was not there) becomes the feature's `fill`.

    The matrix of a report depends on the report and on the earlier ones that a matrix was asked for. The same report gives the same
    matrix again. A report that comes up to three periods late gives the matrix that the reports before it make.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        # A row of a sequence is built like any other, of the features at all its steps, the oldest first.
        features = [
            f if f.name else f.model_copy(update={"lag": f.lag + back})
            for back in reversed(range(max(card.steps, 1)))
            for f in card.features
        ]
        self._n_columns = len(features)
        fill = np.array([feature.fill for feature in features], np.float32)
        # One number where it is the same for all, as it mostly is: half the time.
        self._fill = fill[0] if (fill == fill[0]).all() else fill
        self._named = list(dict.fromkeys(f.name for f in card.features if f.name))
        self._measured = tuple(dict.fromkeys(f.measurement for f in card.features if f.measurement))
        self._plain = card.history == 1 and not self._named
        # Period, ids and names of a report -> places of the card's measurements in its block.
        self._columns: dict[tuple[int, tuple[str, ...], tuple[str, ...]], NDArray[np.intp]] = {}
        self._last_found: tuple[tuple[str, ...], tuple[str, ...], NDArray[np.intp]] = ((), (), _NO_COLUMNS)
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._last_built: tuple[Report | None, F32] = (None, np.empty((0, 0), np.float32))
        place = {name: at for at, name in enumerate(self._measured)}
        measured = [(column, f) for column, f in enumerate(features) if f.measurement]
        last = [(column, f.lag, place[f.measurement]) for column, f in measured if f.stat == "last"]
        # Columns, lags and measurements of the features that are a plain earlier value, taken in one go.
        self._last = np.array(last, np.intp).reshape(-1, 3).T
        self._statistics = [(column, f, place[f.measurement]) for column, f in measured if f.stat != "last"]
        self._named_columns = [
            (name, [column for column, f in enumerate(features) if f.name == name]) for name in self._named
        ]

    def matrix(self, report: Report, extra: Mapping[str, ArrayLike] | None = None) -> F32:
        """Input matrix for one report.

        Args:
            report: Must carry every measurement of the card, at the card's period.
            extra: Values of the card's named features, each of shape [n_rows], or [n_rows, steps] of a sequence.

        Returns:
            Shape [n_rows, *row_shape of the card], float32, to be read only; NaN only where the card's `fill` is NaN.

        Raises:
            ModelError: The report lacks a measurement, has another period, or is so late that the state before it is gone; or
                `extra` lacks a name.
        """
        last, matrix = self._last_built
        if report is last and not extra:
            return matrix  # another model, with the same features, was asked about the same report
        values = report.block.take(self._column_index(report), axis=1)  # [n_rows, n_measured]
        matrix = values if self._plain else self._assemble(report, values, extra or {})
        np.copyto(matrix, self._fill, where=np.isnan(matrix))
        if self._card.steps:
            matrix = matrix.reshape(len(report), *self._card.row_shape)
        self._last_built = (None if extra else report), matrix
        return matrix

    def _column_index(self, report: Report) -> NDArray[np.intp]:
        # A decoder gives the names of a stream as one object, whose hash would have to be worked out each time.
        names, ids, index = self._last_found
        if report.names is names and report.ids == ids and report.period_ms == self._card.period_ms:
            return index
        made_of = (report.period_ms, report.ids, report.names)
        known = self._columns.get(made_of)
        if known is None:
            if report.period_ms != self._card.period_ms:
                raise ModelError(
                    f"model {self._card.name} was trained on {self._card.period_ms} ms reports but got one of "
                    f"{report.period_ms} ms; subscribe with every_ms={self._card.period_ms}"
                )
            lacking = [name for name in self._measured if name not in report.names]
            if lacking:
                raise ModelError(
                    f"model {self._card.name} needs {', '.join(lacking)}, which the {report.level} report of "
                    f"{report.node} does not carry; add it to on_report and to the manifest"
                )
            wanted = [f.measurement for f in self._card.features] if self._plain else self._measured
            known = np.array([len(report.ids) + report.names.index(name) for name in wanted], np.intp)
            self._columns[made_of] = known
        self._last_found = report.names, report.ids, known
        return known

    def _assemble(self, report: Report, values: F32, extra: Mapping[str, ArrayLike]) -> F32:
        targets = keys(report, IDENTITY[report.level])
        order = np.argsort(targets, kind="stable")
        window = self._window(report, targets[order], values[order])
        matrix = np.full((len(report), self._n_columns), np.nan, np.float32)
        columns, lags, places = self._last
        matrix[order[:, None], columns] = window.values[lags, :, places].T
        for column, feature, place in self._statistics:
            span = window.values[feature.lag : feature.lag + feature.window, :, place]
            matrix[order, column] = _STATISTICS[feature.stat](span)
        for name, at in self._named_columns:
            if name not in extra:
                raise ModelError(
                    f"model {self._card.name} needs the feature {name!r}: pass it as extra={{{name!r}: …}}"
                )
            matrix[:, at] = np.asarray(extra[name], np.float32).reshape(len(report), -1)
        return matrix

    def _window(self, report: Report, targets: I64, values: F32) -> _Window:
        """The values of the report's targets up to it; remembered unless a later report has come."""
        node, run = (report.node, report.level), report.run
        stream = self._streams.get(node)
        if stream is None or stream.run != run or (not run and stream.is_before(report.seq)):
            stream = self._streams[node] = _Stream(run)
        elif stream.is_before(report.seq) and len(stream.windows) == KEPT:
            raise ModelError(
                f"model {self._card.name}: the {report.level} report {report.seq} of {report.node} comes after number "
                f"{stream.windows[-1].seq}; the state before it is not kept for so long"
            )
        before = next((window for window in reversed(stream.windows) if window.seq < report.seq), None)
        window = _advance(before, report.seq, targets, values, self._card.history)
        stream.keep(window)
        return window


def _advance(before: _Window | None, seq: int, targets: I64, values: F32, history: int) -> _Window:
    """The window with one more report, rows sorted by target; values between two reports are unknown."""
    window = np.full((history, *values.shape), np.nan, np.float32)
    if before is not None and seq < before.seq + history:
        gap = seq - before.seq
        place, known = find(before.targets, targets)
        window[gap:, known] = before.values[: history - gap, place[known]]
    window[0] = values
    return _Window(seq, targets, window)


def _mean(span: F32) -> F32:
    """Mean over the periods with a value, NaN if there is none. [window, n] -> [n]"""
    unknown = np.isnan(span)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(unknown, 0.0, span).sum(axis=0) / (~unknown).sum(axis=0), np.float32)


def _std(span: F32) -> F32:
    return np.sqrt(_mean((span - _mean(span)) ** 2))


_STATISTICS: dict[str, Callable[[F32], F32]] = {
    "mean": _mean,
    "std": _std,
    "min": np.fmin.reduce,  # fmin and fmax pass over NaN
    "max": np.fmax.reduce,
}
