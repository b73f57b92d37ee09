"""Recorded traffic: a CSV file of packets, one line `time_ms,bytes` each, in the order of their times."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Final

import numpy as np

from ran_sim.core.files import MAX_TABLE_BYTES, MAX_TABLE_ROWS, read_bytes
from ran_sim.core.state import F64
from ran_sim.scenario import ScenarioError

HEADER: Final = ["time_ms", "bytes"]
MAX_BYTES: Final = 1 << 31


def read_trace(path: str | Path) -> F64:
    """Times since the first packet in ms and sizes in bytes, shape [n, 2], n >= 2.

    Raises:
        ScenarioError: One line with the file, the row (the header is row 1), its content and the wanted content.
    """
    packets: list[tuple[float, float]] = []
    try:
        text = read_bytes(Path(path), MAX_TABLE_BYTES).decode()
    except OSError as error:
        raise ScenarioError(f"{path}: got no readable file ({error.strerror}), want time_ms,bytes") from error
    except ValueError as error:
        raise ScenarioError(f"{path}: got no CSV ({error}), want time_ms,bytes") from error
    try:
        rows = csv.reader(io.StringIO(text, newline=""))
        head = next(rows, [])
        if [name.strip() for name in head] != HEADER:
            raise ScenarioError(f"{path}: row 1: got {','.join(head)[:80]!r}, want time_ms,bytes")
        for number, row in enumerate(rows, start=2):
            earliest = packets[-1][0] if packets else -math.inf
            packets.append(_packet(f"{path}: row {number}", row, earliest))
            if len(packets) > MAX_TABLE_ROWS:
                raise ScenarioError(
                    f"{path}: row {number}: got one more, want at most {MAX_TABLE_ROWS} packets"
                )
    except csv.Error as error:
        raise ScenarioError(f"{path}: got no CSV ({error}), want time_ms,bytes") from error
    if len(packets) < 2 or packets[0][0] == packets[-1][0]:
        raise ScenarioError(f"{path}: got {len(packets)} packets, want two or more at different times")
    trace = np.array(packets)
    trace[:, 0] -= trace[0, 0]
    return trace


def _packet(where: str, row: list[str], earliest_ms: float) -> tuple[float, float]:
    try:
        time_ms, size = float(row[0]), int(row[1])
        fits = len(row) == 2
    except (ValueError, IndexError):
        fits = False
    if not fits or not math.isfinite(time_ms) or not 1 <= size <= MAX_BYTES:
        raise ScenarioError(
            f"{where}: got {','.join(row)[:80]!r}, want a time in ms and a whole number of bytes, 1 to 2^31"
        )
    if time_ms < earliest_ms:
        raise ScenarioError(f"{where}: got {time_ms:g} ms after {earliest_ms:g} ms, want times in order")
    return time_ms, float(size)
