"""Finds the targets of a report again in the data of earlier reports of the same node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranloop.wire.messages import Report

__all__ = ("I64", "find", "keys")

I64 = NDArray[np.int64]
_ID_BITS = 24


def keys(report: Report, columns: Sequence[str]) -> I64:
    """One number per row, made of these id columns; shape [n_rows].

    Each column but the first takes 24 bits; the first one takes the rest of 63.
    """
    key = np.zeros(len(report), np.int64)
    for column in columns:
        key = (key << _ID_BITS) | report.id(column)
    return key


def find(known: NDArray[Any], wanted: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each of `wanted` stands in the sorted `known`, and whether it does; shape [n_wanted] each."""
    if not len(known):
        return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), bool)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return place, known[place] == wanted
