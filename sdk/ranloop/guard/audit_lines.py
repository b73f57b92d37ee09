"""Audit records as short lines of JSON.

A line lists the differences of a batch to the batch before of the same xApp, action and node: targets that are new or have
other values, the number of `unchanged` ones, and `since` which batch. A batch without a difference has no line. Such renewals
are counted, and one line a minute, or before the next different batch, gives their number.

`status` is in runs: [[7, "applied"], [1, "refused/range"]] are eight targets in their order. `applied` is left out if the node
has the wanted values in force.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ranloop.guard.audit_inferences import Told, added, facts, ways
from ranloop.guard.audit_record import AuditRecord
from ranloop.guard.grants import TokenBucket
from ranloop.guard.results import cause_labels, fate_runs, verdict_counts
from ranloop.recent import Recent
from ranloop.wire.asked import asked_key
from ranloop.wire.messages import ActionBatch, Result, Status

__all__ = ("MAX_LISTED", "AuditLines")

MAX_LISTED = 1024  # targets that one line spells out: what a manifest grants by default
_TOLD_EVERY_NS = 60_000_000_000
_BURST_BYTES = 1 << 22
_S_PER_DAY = 86_400
_MOST_TEXTS, _CHARACTERS = 16, 300  # causes or models of one line, and each of them

_MOST_KEYS, _MOST_BYTES = 1024, 1 << 24  # of what was spelled out
_MOST_XAPPS = 4096  # a page that observes a bus reads names that anybody may make up
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE

_HEAD = ("time", "event", "run", "node", "xapp", "ran_time_ns")  # of each line
_Key = tuple[str, str, str]
U32 = NDArray[np.uint32]


@dataclass(slots=True, eq=False)
class _Spelled:
    """The content of the lines about one xApp, action and node so far."""

    targets: bytes | None  # None: to be spelled out again
    fates: U32  # [n, columns] parameters, applied, status, cause: the bits of each
    why: object  # causes, the models that decided, and where they were computed
    id: str  # of the batch that the next line's `since` names
    told_ns: int  # RAN time
    n_renewed: int = 0
    last: AuditRecord | None = None  # the renewal counted last
    inferences: Told = field(default_factory=list)  # of all renewals counted


class AuditLines:
    """Makes lines of records; they must come in the order of RAN time.

    Args:
        bytes_per_day: That the lines of one xApp take at most, per day of RAN time, after a first `_BURST_BYTES`. Where an
            xApp would write more, columns are left out; where that is not enough, lines are, and the next tells how many.
    """

    def __init__(self, *, bytes_per_day: float) -> None:
        self._bytes_per_s = bytes_per_day / _S_PER_DAY
        self._spelled: dict[_Key, _Spelled] = {}
        self._budgets: Recent[str, TokenBucket] = Recent(_MOST_XAPPS)
        self._left_out: Recent[str, int] = Recent(_MOST_XAPPS)  # xApp -> lines since its last

    def forget(self) -> None:
        """Spell everything out again: the lines so far are in another file, or in none."""
        for known in self._spelled.values():
            known.targets = None

    def text(self, record: AuditRecord) -> bytes:
        """The lines that `record` leads to; none for a renewal that is merely counted."""
        batch, result = record.batch, record.result
        if batch is None or result is None:
            of = result.action if result is not None else ""
            text = self._renewals((record.node, record.xapp, of))
            columns = {} if result is None else _columns(result.targets, None, result, None)
            return text + self._line(record, columns)
        key = record.node, record.xapp, result.action
        fates = np.hstack(
            (
                np.ascontiguousarray(batch.action.parameters()).view(np.uint32),
                np.ascontiguousarray(result.applied).view(np.uint32),
                result.status[:, None].astype(np.uint32),
                result.cause[:, None].astype(np.uint32),
            )
        )
        targets, known = result.targets.tobytes(), self._spelled.get(key)
        why = result.causes, batch.models, ways(batch)
        if known is None or known.targets != targets or known.why != why:
            text = self._renewals(key)
            kept = sum(other.fates.nbytes for other in self._spelled.values())
            if (
                len(self._spelled) >= _MOST_KEYS or kept > _MOST_BYTES
            ):  # an xApp may name nodes that do not exist
                text += self.rest()
                self._spelled.clear()
            self._spelled[key] = _Spelled(targets, fates, why, result.id, record.ran_time_ns)
            return text + self._line(record, _columns(result.targets, batch, result, None))
        changed = np.flatnonzero((known.fates != fates).any(axis=1))
        if not len(changed):
            known.n_renewed += 1
            known.last = record
            known.inferences = added(known.inferences, facts(batch, result))
            due = record.ran_time_ns - known.told_ns >= _TOLD_EVERY_NS
            return self._renewals(key) if due else b""
        text = self._renewals(key)
        columns = _columns(result.targets, batch, result, changed)
        columns |= {"unchanged": len(result) - len(changed), "since": known.id}
        known.fates, known.id, known.told_ns = fates, result.id, record.ran_time_ns
        return text + self._line(record, columns)

    def _renewals(self, key: _Key) -> bytes:
        """The line that tells of renewals counted so far."""
        known = self._spelled.get(key)
        if known is None or known.last is None:
            return b""
        last, n = known.last, known.n_renewed
        inferences, known.inferences = known.inferences, []
        known.last, known.n_renewed, known.told_ns = None, 0, last.ran_time_ns
        assert last.result is not None  # only results are counted
        return self._charged(
            last.xapp,
            last.ran_time_ns,
            _head(last, "renewed")
            | {
                "action": last.result.action,
                "since": known.id,
                "id": last.result.id,
                "n": n,
                "n_targets": len(last.result),
            }
            | ({"inferences": inferences} if inferences else {})
            | dict(last.facts),
        )

    def rest(self) -> bytes:
        """Records of renewals that are counted and not written yet."""
        return b"".join(self._renewals(key) for key in list(self._spelled))

    def gap(self, n_missing: int) -> bytes:
        """A line that tells how many records before it could not be written."""
        return _json({"time": _iso(None), "event": "gap", "records_missing": n_missing})

    def _line(self, record: AuditRecord, columns: dict[str, Any]) -> bytes:
        line = _head(record, record.event) | {name: _plain(fact) for name, fact in record.facts.items()}
        if record.batch is not None:
            line |= _decision(record.batch)
        if record.result is not None:
            result = record.result
            if record.batch is not None and record.batch.inferences:
                line["inferences"] = facts(record.batch, result)
            line |= {"id": result.id, "action": result.action, "n_targets": len(result)}
            line["verdict"] = verdict_counts(result)
            reasons = zip(cause_labels(result), result.causes, strict=True)
            told = [(label, text) for label, (_, text) in reasons if text][:_MOST_TEXTS]
            line["causes"] = {label: _plain(text) for label, text in told}
        return self._charged(record.xapp, record.ran_time_ns, line, columns)

    def _charged(
        self, xapp: str, now_ns: int, line: dict[str, Any], columns: dict[str, Any] | None = None
    ) -> bytes:
        """`line` with its columns, without them, or nothing, as the xApp's share allows. Orders are free.

        A line that JSON cannot carry is left out, and one that says so stands in its place.
        """
        try:
            return self._fitting(xapp, now_ns, line, columns)
        except orjson.JSONEncodeError as error:
            self._spell_out_again(xapp)
            head = {name: _plain(line[name]) for name in _HEAD}
            said = {"event": "left_out", "lines_left_out": 1, "reason": f"{line['event']}: {error}"}
            return self._fitting(xapp, now_ns, head | said, None)

    def _fitting(self, xapp: str, now_ns: int, line: dict[str, Any], columns: dict[str, Any] | None) -> bytes:
        if not xapp:
            return _json(line | (columns or {}))
        budget = self._budgets.get(xapp) or TokenBucket(self._bytes_per_s, burst=_BURST_BYTES)
        self._budgets[xapp] = budget
        if left_out := self._left_out.get(xapp):
            line["lines_left_out"] = left_out + line.get("lines_left_out", 0)
        if columns:
            text = _json(line | columns)
            if budget.take(now_ns, len(text)):
                self._left_out.pop(xapp, None)
                return text
            line["columns"] = "left out: too many bytes a day"
            self._spell_out_again(xapp)
        text = _json(line)
        if not budget.take(now_ns, len(text)):
            self._left_out[xapp] = (left_out or 0) + 1
            return b""
        self._left_out.pop(xapp, None)
        return text

    def _spell_out_again(self, xapp: str) -> None:
        """No later line may refer to those of this xApp."""
        for (_, of, _), known in self._spelled.items():
            if of == xapp:
                known.targets = None


def _head(record: AuditRecord, event: str) -> dict[str, Any]:
    return {
        "time": _iso(record.wall_ns),
        "event": event,
        "run": record.run,
        "node": record.node,
        "xapp": record.xapp,
        "ran_time_ns": record.ran_time_ns,
    }


def _decision(batch: ActionBatch) -> dict[str, Any]:
    """The report and models of the batch, what they were asked and said, and its times."""
    return {
        "report_seq": batch.report_seq,
        "models": [_plain(model) for model in batch.models[:_MOST_TEXTS]],
        "valid_until_ns": batch.valid_until_ns,
        "lease_ms": batch.lease_ms,
        **asked_key(batch.asked),
    }


def _columns(
    targets: NDArray[np.int32], batch: ActionBatch | None, result: Result, rows: NDArray[np.int64] | None
) -> dict[str, Any]:
    """Targets, wanted values and fates of `rows` or of all rows, at most `MAX_LISTED`."""
    listed = (np.arange(len(result)) if rows is None else rows)[:MAX_LISTED]
    columns: dict[str, Any] = {"targets": np.ascontiguousarray(targets[listed])}
    applied = result.applied[listed]
    if batch is not None:
        asked = batch.action.parameters()[listed]
        columns["parameters"] = np.ascontiguousarray(asked)
        in_force = result.status[listed] == Status.APPLIED
        if np.array_equal(asked[in_force], applied[in_force]):
            applied = applied[:0]
    if len(applied):
        columns["applied"] = np.ascontiguousarray(applied)
    columns["status"] = fate_runs(result, listed)
    return columns


def _iso(wall_ns: int | None) -> str:
    moment = datetime.now(UTC) if wall_ns is None else datetime.fromtimestamp(wall_ns / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    """Short, and nothing that JSON cannot carry."""
    if isinstance(value, str):
        return value[:_CHARACTERS].encode(errors="replace").decode()
    return value


def _json(line: dict[str, Any]) -> bytes:
    """One line; a NaN is null."""
    return orjson.dumps(line, default=str, option=_OPTIONS)
