"""Errors whose text callers show to their users unchanged."""

from __future__ import annotations

__all__ = ("InputError", "one_line")


class InputError(ValueError):
    """Wrong input, of a person or in a file: one line with what it is and what is wanted."""


def one_line(text: str, most: int = 200) -> str:
    """`text` from a file, on one line: without control characters, and cut after `most` characters.

    The same as `ranloop.foreign.one_line`; the simulator knows nothing of the SDK, so it is written twice.
    """
    shown = "".join(
        sign if sign.isprintable() else " " if sign.isspace() else "\N{REPLACEMENT CHARACTER}"
        for sign in text[:most]
    )
    return shown if len(text) <= most else f"{shown}…"
