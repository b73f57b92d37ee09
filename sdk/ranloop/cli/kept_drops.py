"""The folder of a comparison: each finished drop is a file there, so that the same call goes on where an earlier one ended.

A drop is written under another name and renamed, so it is whole or not there. `comparison.json` says what the arms consist
of; drops of other arms, another scenario or other versions are never mixed with them.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ranloop.conduct import Conduct
from ranloop.errors import RanloopError
from ranloop.evaluate import DropResult, Task
from ranloop.kpi import Kpi

__all__ = ("KeptDrops", "write_whole")

_INDEX: Final = "comparison.json"


class _Drop(BaseModel):
    """The file of a drop."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    seed: int
    score: dict[str, float | None]  # None where there was nothing to judge
    outcomes: dict[str, int]
    latencies_ns: dict[str, list[int]] = {}
    wall_s: float
    course: list[tuple[float, dict[str, float | None]]]
    conduct: Conduct | None = None


class KeptDrops:
    """The finished drops of some arms in a folder.

    Args:
        folder: Made if it is missing.
        origins: Arm letter -> all that the arm's results depend on beside the seed, of plain JSON values.

    Raises:
        RanloopError: The folder cannot be written, or holds drops of other arms; one line.
    """

    def __init__(self, folder: Path, origins: Mapping[str, Mapping[str, Any]]) -> None:
        self._drops, index = folder / "drops", folder / _INDEX
        try:
            self._drops.mkdir(parents=True, exist_ok=True)
            if index.exists():
                found = json.loads(index.read_text("utf-8"))
            else:
                write_whole(index, json.dumps(found := dict(origins), indent=1).encode())
        except (OSError, ValueError) as error:
            raise RanloopError(f"--out {folder}: cannot be used ({error}); choose another folder") from error
        if changed := sorted(_differences(found, origins)):
            raise RanloopError(
                f"--out {folder}: holds drops of other arms, {', '.join(changed[:3])} differs; choose another folder or remove it"
            )

    def read(self, task: Task) -> DropResult | None:
        """The result of a task that was done before, None if it was not.

        Raises:
            RanloopError: The file is none of a drop.
        """
        path = self._path(task.arm.name, task.seed)
        if not path.is_file():
            return None
        try:
            drop = _Drop.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise RanloopError(f"{path}: is no drop of a comparison; remove it") from error
        return DropResult(
            arm=task.arm.name,
            seed=task.seed,
            score=_numbers(drop.score),
            outcomes=drop.outcomes,
            latencies_ns={name: np.array(times, np.int64) for name, times in drop.latencies_ns.items()},
            xapps={},
            wall_s=drop.wall_s,
            course=[(time_s, _numbers(score)) for time_s, score in drop.course],
            conduct=drop.conduct,
        )

    def keep(self, result: DropResult) -> None:
        """Write a finished drop.

        Raises:
            RanloopError: It cannot be written.
        """
        drop = _Drop(
            seed=result.seed,
            score=_plain(result.score),
            outcomes=dict(result.outcomes),
            latencies_ns={name: times.tolist() for name, times in result.latencies_ns.items()},
            wall_s=result.wall_s,
            course=[(time_s, _plain(score)) for time_s, score in result.course],
            conduct=result.conduct,
        )
        path = self._path(result.arm, result.seed)
        try:
            write_whole(path, drop.model_dump_json().encode())
        except OSError as error:
            raise RanloopError(f"{path}: cannot be written ({error.strerror})") from error

    def _path(self, arm: str, seed: int) -> Path:
        return self._drops / f"{arm[0]}-{seed}.json"


def write_results(
    path: Path,
    arms: Sequence[tuple[str, Mapping[str, Any], Sequence[DropResult]]],
    kpis: Sequence[Kpi],
    node: str,
) -> None:
    """One Parquet row per arm and seed: every KPI, what became of the actions, and all that the row depends on.

    Args:
        path: Of the file.
        arms: Name, origin and results of each arm.
        kpis: Columns; their meaning is in the file's metadata.
        node: The address of the node.

    Raises:
        RanloopError: `path` cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "arm": name[0],
            "name": name[2:],
            "node": node,
            "seed": result.seed,
            **{kpi.key: _finite(result.score[kpi.key]) for kpi in kpis},
            "outcomes": json.dumps(dict(result.outcomes), sort_keys=True),
            "xapps": json.dumps(origin["xapps"], sort_keys=True),
            **{
                key: str(value)
                for part in ("versions", "world", "under")
                for key, value in origin.get(part, {}).items()
            },
            "wall_s": result.wall_s,
        }
        for name, origin, results in arms
        for result in results
    ]
    numbers = {"seed": pa.int64(), "wall_s": pa.float64()} | {kpi.key: pa.float64() for kpi in kpis}
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table(
        {name: pa.array([row.get(name) for row in rows], numbers.get(name, pa.string())) for name in names}
    )
    meaning = {kpi.key: [kpi.label, kpi.unit, kpi.better, kpi.definition] for kpi in kpis}
    table = table.replace_schema_metadata({"ranloop.kpis": json.dumps(meaning)})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    try:
        write_whole(path, buffer.getvalue().to_pybytes())
    except OSError as error:
        raise RanloopError(f"{path}: cannot be written ({error.strerror})") from error


def write_whole(path: Path, content: bytes) -> None:
    """Whole or not at all, even if the process is killed now."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    part.write_bytes(content)
    os.replace(part, path)


def _differences(found: Any, wanted: Any, place: str = "") -> list[str]:
    """Dotted places at which two trees of JSON values differ."""
    if not (isinstance(found, Mapping) and isinstance(wanted, Mapping)):
        return [] if found == wanted else [place]
    keys = {*found, *wanted}
    return [
        difference
        for key in keys
        for difference in _differences(found.get(key), wanted.get(key), f"{place}.{key}".removeprefix("."))
    ]


def _plain(score: Mapping[str, float]) -> dict[str, float | None]:
    return {key: _finite(value) for key, value in score.items()}


def _numbers(score: Mapping[str, float | None]) -> dict[str, float]:
    return {key: math.nan if value is None else value for key, value in score.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
