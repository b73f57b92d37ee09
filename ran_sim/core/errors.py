"""What callers may tell their users as it is."""

from __future__ import annotations

__all__ = ("InputError",)


class InputError(ValueError):
    """Wrong input, of a person or in a file: one line with what it is and what is wanted."""
