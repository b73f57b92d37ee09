"""Converts a recording of format 1 (.npz files): `python -m ranloop.node.npz_recording OLD_FOLDER NEW_FOLDER`."""

from __future__ import annotations

import json
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from ranloop.errors import NodeError, RanloopError, WireError
from ranloop.node.port import NodePort
from ranloop.node.recording import MANIFEST, Recorder
from ranloop.vocabulary import ID_COLUMNS
from ranloop.wire.codec import decode_catalogue
from ranloop.wire.messages import Report
from ranloop.wire.topics import is_topic_level

# What JSON, zipfile, zlib and NumPy raise about bytes that are not what they should be.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    WireError,
)


def convert(old: Path, new: Path) -> int:
    """Write the reports of the recording in `old` as a new recording.

    Returns:
        How many they are.

    Raises:
        NodeError: `old` is no recording of format 1, is damaged, or `new` cannot be written.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        manifest = json.loads((old / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != 1:
            raise NodeError(f"{old}: recording format {manifest['format']}, this converts format 1")
        catalogues = tuple(decode_catalogue(json.dumps(entry).encode()) for entry in manifest["catalogues"])
        world = SimpleNamespace(slot_ns=int(manifest["slot_ns"]), catalogues=catalogues)
        reports = [report for entry in manifest["streams"] for report in _reports(old, entry)]
    except _DAMAGE as error:
        raise NodeError(f"{old}: damaged recording: {type(error).__name__}: {error}") from error
    with closing(Recorder(new, cast(NodePort, world))) as recorder:
        for report in reports:
            recorder.take(report)
    return len(reports)


def _reports(folder: Path, entry: Mapping[str, Any]) -> Iterator[Report]:
    """The reports of one stream."""
    node, level, names = str(entry["node"]), entry["level"], tuple(map(str, entry["names"]))
    with (folder / Path(entry["file"]).name).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        block = arrays["block"].astype(np.float32)
        columns = [arrays[name].astype(np.int64) for name in ("seq", "ran_time_ns", "first_row", "labels")]
    is_one = is_topic_level(node) and all(column.ndim == 1 for column in columns)
    if not is_one or block.shape[1:] != (len(ID_COLUMNS[level]) + len(names),):
        raise ValueError(f"the arrays of {entry['file']} do not fit together")
    seq, times_ns, first_row, states = (column.tolist() for column in columns)
    labels = [
        {column: {int(dense): str(name) for dense, name in names.items()} for column, names in state.items()}
        for state in entry["labels"]
    ]
    for i, (start, stop) in enumerate(pairwise(first_row)):
        yield Report(
            node=node,
            level=level,
            period_ms=int(entry["period_ms"]),
            seq=seq[i],
            ran_time_ns=times_ns[i],
            ids=ID_COLUMNS[level],
            names=names,
            block=block[start:stop],
            labels=labels[states[i]],
        )


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: python -m ranloop.node.npz_recording OLD_FOLDER NEW_FOLDER", file=sys.stderr)
        return 2
    try:
        n_reports = convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except RanloopError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{n_reports} reports in {sys.argv[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
