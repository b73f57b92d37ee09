"""`ranloop audit`: what became of targets and why, from an audit log."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ranloop.errors import RanloopError, VocabularyError
from ranloop.foreign import one_line
from ranloop.guard.audit_query import AuditReader, Happening, Verdict
from ranloop.guard.remedies import REMEDIES
from ranloop.vocabulary.near import near_matches

__all__ = ("show_audit",)

_MOST_TEXT = 300
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def show_audit(
    path: Path,
    *,
    xapp: str,
    cell: int | None,
    ue: int | None,
    cause: str,
    since: str,
    json_output: bool,
) -> int:
    """Print a line for each target and verdict that is asked for; with `json_output` each is a JSON object.

    Raises:
        RanloopError: There is no such log, or an option that asks for nothing that could be in one.
    """
    if cause and cause not in REMEDIES:
        raise VocabularyError("cause", cause, near_matches(cause, REMEDIES) or tuple(REMEDIES))
    reader = AuditReader(path, since=_moment(since) if since else None)
    of_targets = cell is not None or ue is not None or bool(cause)
    show: Callable[[Verdict | Happening], str] = _as_json if json_output else _in_words
    n_shown = 0
    try:
        for one in reader:
            if xapp and one.xapp != xapp:
                continue
            if _is_asked(one, cell=cell, ue=ue, cause=cause) if isinstance(one, Verdict) else not of_targets:
                print(show(one))
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


def _as_json(one: Verdict | Happening) -> str:
    return json.dumps(asdict(one))


def _in_words(one: Verdict | Happening) -> str:
    ran_time = "" if one.ran_time_s is None else f"{one.ran_time_s:.3f} s"
    head = [one.time, ran_time, one.node, one.xapp]
    if isinstance(one, Happening):
        facts = " ".join(f"{name}={_plain(fact)}" for name, fact in one.facts.items())
        return "  ".join(one_line(part, _MOST_TEXT) for part in (*head, one.event, facts) if part)
    what = f"{one.action} {_pairs(one.target)}"
    if values := _pairs(one.parameters):
        what += f" {'to' if one.verdict != 'ended' else 'back to'} {values}"
    fate = one.verdict + (f"/{one.cause}" if one.cause else "")
    again = f"({one.repeats} more alike)" if one.repeats else ""
    held = f"held by {one.holder} until {one.held_until_s:g} s" if one.holder else ""
    parts = (*head, what, fate, one.text, held, again)
    return "  ".join(one_line(part, _MOST_TEXT) for part in parts if part)


def _pairs(values: Mapping[str, float | None]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in values.items() if value is not None)


def _plain(fact: Any) -> str:
    return json.dumps(fact) if isinstance(fact, dict | list) else str(fact)
