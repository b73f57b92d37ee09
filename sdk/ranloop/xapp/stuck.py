"""Whether a stream is stuck: reports of a collector that hangs come in time, and repeat themselves to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ranloop.wire.messages import Report

__all__ = ("ALARM", "Stuck")

ALARM: Final = "reports-stuck"


class _Seen(NamedTuple):
    """The newest report of a stream that was asked about, and how many in a row repeated the one before."""

    ran_time_ns: int
    rows: bytes
    n_repeats: int


class Stuck:
    """Asked about each report of a stream: `stuck(report)`. As long as it is so, an alarm is active at the node.

    Measurements with traffic or fading in them are never the same twice. Counters of an idle cell are: whether a stream that
    repeats itself is to be believed is for the xApp to say, and so is after how many repetitions it is not.

    Args:
        after: Repetitions in a row from which on the stream is stuck.
        alarm: Raises an alarm, as `XApp.alarm`.
        clear: Clears it.
    """

    def __init__(self, after: int, alarm: Callable[..., None], clear: Callable[..., None]) -> None:
        if type(after) is not int or after < 1:
            raise ValueError(f"after is a whole number of repetitions from 1, not {after!r}")
        self._after, self._alarm, self._clear = after, alarm, clear
        self._seen: dict[str, dict[tuple[str, int], _Seen]] = {}  # by node

    def __call__(self, report: Report) -> bool:
        streams, stream = self._seen.setdefault(report.node, {}), (report.level, report.period_ms)
        before = streams.get(stream)
        if before is None or before.ran_time_ns != report.ran_time_ns:  # else it came twice
            rows = report.block.tobytes()
            repeats = before is not None and before.rows == rows and len(rows) > 0
            n_repeats = before.n_repeats + 1 if before and repeats else 0
            before = streams[stream] = _Seen(report.ran_time_ns, rows, n_repeats)
        is_stuck, target = before.n_repeats >= self._after, f"{report.level}/{report.period_ms}-ms"
        if is_stuck:
            text = f"{self._after} reports or more repeat the one before to the bit"
            self._alarm(ALARM, severity="minor", target=target, text=text, node=report.node)
        else:
            self._clear(ALARM, target=target, node=report.node)
        return is_stuck

    def forget(self, node: str | None = None) -> None:
        """Drop what was seen of a node, or of all nodes."""
        if node is None:
            self._seen.clear()
        else:
            self._seen.pop(node, None)
