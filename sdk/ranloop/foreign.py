"""Foreign text made safe for a log line or a terminal: no control characters, and a bounded length."""

from __future__ import annotations

__all__ = ("one_line", "some_lines")

_MOST = 200


def one_line(text: str, most: int = _MOST) -> str:
    """`text` on one line: blanks for white space, `\N{REPLACEMENT CHARACTER}` for what is not printable, cut after `most` characters.

    Escape sequences would move an operator's cursor, and a direction mark would turn a line around.
    """
    shown = "".join(
        sign if sign.isprintable() else " " if sign.isspace() else "\N{REPLACEMENT CHARACTER}"
        for sign in text[:most]
    )
    return shown if len(text) <= most else f"{shown}…"


def some_lines(text: str, most: int) -> str:
    """The last `most` characters of `text`, each line as `one_line`. A traceback names the error in its last lines."""
    return "\n".join(one_line(line, most) for line in text[-most:].split("\n"))
