"""`ranloop audit`: what became of targets and why, from an audit log."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ranloop.errors import RanloopError, VocabularyError
from ranloop.foreign import one_line
from ranloop.guard.audit_inferences import Told, added, way_of
from ranloop.guard.audit_query import AuditReader, Happening, Verdict
from ranloop.guard.remedies import REMEDIES
from ranloop.vocabulary.near import near_matches

__all__ = ("show_audit",)

_MOST_TEXT = 300
_OF_ITS_MOMENT = ("time", "ran_time_s", "id", "held_until_s", "inferences", "repeats")
_MOST_WAITING = 10_000  # lines that may wait for the end of a row of equal verdicts
_Place = tuple[str | tuple[str, int], ...]  # node, xApp, action, target
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def show_audit(
    path: Path,
    *,
    xapp: str,
    cell: int | None,
    ue: int | None,
    cause: str,
    since: str,
    each: bool,
    json_output: bool,
) -> int:
    """Print a line for each target and verdict that is asked for, equal ones of a target that follow each other as one.

    Args:
        each: Print every one.
        json_output: Print every one as a JSON object.

    Raises:
        RanloopError: There is no such log, or an option that asks for nothing that could be in one.
    """
    if cause and cause not in REMEDIES:
        raise VocabularyError("cause", cause, near_matches(cause, REMEDIES) or tuple(REMEDIES))
    reader = AuditReader(path, since=_moment(since) if since else None)
    of_targets = cell is not None or ue is not None or bool(cause)
    asked = (
        one
        for one in reader
        if (not xapp or one.xapp == xapp)
        and (_is_asked(one, cell=cell, ue=ue, cause=cause) if isinstance(one, Verdict) else not of_targets)
    )
    lines = map(_as_json, asked) if json_output else map(_in_words, asked if each else _rows(asked))
    n_shown = 0
    try:
        for line in lines:
            print(line)
            n_shown += 1
        sys.stdout.flush()
    except BrokenPipeError:  # its reader has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if not n_shown:
        print(f"{path}: nothing in {reader.n_lines} lines is about that", file=sys.stderr)
    if reader.n_damaged:
        named = "; ".join(one_line(line) for line in reader.damaged)
        more = ", …" if reader.n_damaged > len(reader.damaged) else ""
        print(
            f"warning: {reader.n_damaged} of {reader.n_lines} lines are damaged and were passed over: {named}{more}",
            file=sys.stderr,
        )
    return 0


def _is_asked(verdict: Verdict, *, cell: int | None, ue: int | None, cause: str) -> bool:
    cells = (verdict.target.get("cell"), verdict.parameters.get("target_cell"))
    return (
        (cell is None or cell in cells)
        and (ue is None or verdict.target.get("ue") == ue)
        and (not cause or verdict.cause == cause)
    )


def _moment(text: str) -> datetime:
    """The wall clock that `--since` means: a date and time, in UTC where it names no zone, or a time ago."""
    if ago := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RanloopError(
            f"--since {text!r}: want a time as 2026-11-30T12:00, in UTC unless it says otherwise, or a time ago as 90s, 15m, 2h, 1d"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# Rows of equal verdicts


@dataclass(slots=True)
class _Row:
    """Equal verdicts on one target, one after the other."""

    first: Verdict
    last: Verdict
    n: int  # batches
    inferences: Told = field(default_factory=list)  # of all of them

    def take(self, verdict: Verdict) -> bool:
        """Whether `verdict` is as the ones before, apart from its moment; it belongs to the row then."""
        now = {name: getattr(verdict, name) for name in _OF_ITS_MOMENT}
        same_ways = [*map(way_of, self.last.inferences)] == [*map(way_of, verdict.inferences)]
        if replace(self.last, **now) != verdict or not same_ways:
            return False
        self.last = verdict
        self.inferences = added(self.inferences, verdict.inferences)
        self.n += max(verdict.repeats, 1)
        return True


def _rows(told: Iterable[Verdict | Happening]) -> Iterator[_Row | Happening]:
    """Verdicts by rows, each at the place of its first; a row that is long open is ended, so that no more wait than fit."""
    waiting: deque[tuple[_Place, _Row | Happening]] = deque()
    newest: dict[_Place, _Row] = {}
    for one in told:
        place: _Place = ()
        shown: _Row | Happening
        if isinstance(one, Verdict):
            place = one.node, one.xapp, one.action, *one.target.items()
            if place in newest and newest[place].take(one):
                continue
            shown = newest[place] = _Row(one, one, max(one.repeats, 1), added((), one.inferences))
        else:
            shown = one
        waiting.append((place, shown))
        while waiting and (len(waiting) > _MOST_WAITING or newest.get(waiting[0][0]) is not waiting[0][1]):
            place, shown = waiting.popleft()
            if newest.get(place) is shown:
                del newest[place]
            yield shown
    yield from (shown for _, shown in waiting)


# One line


def _as_json(one: Verdict | Happening) -> str:
    return json.dumps(asdict(one))


def _in_words(one: Verdict | Happening | _Row) -> str:
    if isinstance(one, Happening):
        facts = " ".join(f"{name}={_plain(fact)}" for name, fact in one.facts.items())
        return _joined(_head(one), one.event, facts)
    row = one if isinstance(one, _Row) else _Row(one, one, 1, added((), one.inferences))
    first, last = row.first, row.last
    what = f"{first.action} {_pairs(first.target)}"
    if values := _pairs(first.parameters):
        what += f" {'to' if first.verdict != 'ended' else 'back to'} {values}"
    fate = first.verdict + (f"/{first.cause}" if first.cause else "")
    held = f"held by {last.holder} until {last.held_until_s:g} s" if last.holder else ""
    again = f"({first.repeats} more alike)" if first.repeats else ""
    if last is not first:
        again = f"×{row.n}, {_span(first.time, last.time)}, RAN time to {last.ran_time_s:.3f} s"
    asked = "; ".join(map(_asked_in_words, first.asked))
    models = "; ".join(map(_way_in_words, row.inferences))
    return _joined(_head(first), what, fate, first.text, asked, models, held, again)


def _asked_in_words(one: Mapping[str, Any]) -> str:
    """What a model was asked and said about a target; of a row of equal verdicts the first time."""
    inputs = one["inputs"]
    shown = _pairs(inputs) if isinstance(inputs, dict) else f"{len(inputs)} inputs"
    said = " ".join("no value" if value is None else f"{value:g}" for value in one["outputs"])
    outside = f", outside its training: {', '.join(map(str, one['outside']))}" if one["outside"] else ""
    return f"{one['model']} (version {one['version']}) asked {shown} said {said}{outside}"


def _way_in_words(one: Mapping[str, Any]) -> str:
    """Where an answer came from; of a row of verdicts the longest wait, the oldest report and the sums."""
    how = f"{one['reason']}, {one['instead']} instead" if one["instead"] else one["reason"]
    sent = ", ".join(f"{n:,} B {kind}" for kind, n in one["sent_bytes"].items())
    joules, confidence = one["modelled_joules"], one["confidence"]
    parts = (
        f"{one['model']} at {one['tier']} ({how})",
        f"waited {one['waited_ms']:.1f} ms, report {one['age_ms']:.1f} ms old",
        f"{one['rows_above']} of {one['rows']} rows from above",
        sent and f"sent {sent}",
        "" if joules is None else f"{joules:.3g} J modelled",
        "" if confidence is None else f"confidence {confidence:.2f}",
    )
    return ", ".join(part for part in parts if part)


def _head(one: Verdict | Happening) -> tuple[str, str, str, str]:
    ran_time = "" if one.ran_time_s is None else f"{one.ran_time_s:.3f} s"
    return one.time, ran_time, one.node, one.xapp


def _joined(head: Iterable[str], *parts: str) -> str:
    return "  ".join(one_line(part, _MOST_TEXT) for part in (*head, *parts) if part)


def _span(first: str, last: str) -> str:
    """Two ISO moments in short: "14:02:01 to 14:02:05", with the days if they are not the same."""
    clock = slice(11, 19) if first[:10] == last[:10] else slice(0, 19)
    return f"{first[clock]} to {last[clock]}"


def _pairs(values: Mapping[str, float | None]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in values.items() if value is not None)


def _plain(fact: Any) -> str:
    return json.dumps(fact) if isinstance(fact, dict | list) else str(fact)
