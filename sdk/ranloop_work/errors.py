"""The error of this package."""

from __future__ import annotations

__all__ = ("WorkError",)


class WorkError(Exception):
    """Work cannot be spread as asked: one line with the fault and advice."""
