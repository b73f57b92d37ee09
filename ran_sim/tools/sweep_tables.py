"""The Parquet files of a sweep: a row per run, and a row per UE session."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ran_sim.engine.provenance import platform_provenance, scenario_hash
from ran_sim.engine.session_rows import SESSION_DTYPE
from ran_sim.scenario import Scenario
from ran_sim.tools.sweep import Record, Run, SweepError, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ("write_results", "write_sessions")


def write_results(path: Path, records: Sequence[Record], base: Scenario) -> None:
    """One Parquet row per run: seed, settings, hash of its scenario, and the score; where it came from in the metadata.

    Raises:
        SweepError: `path` cannot be written.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {"seed": pa.array([record.seed for record in records], pa.int64())}
    for name in records[0].settings:
        columns[name] = pa.array(_of_one_type([record.settings[name] for record in records]))
    columns["scenario_hash"] = pa.array([record.scenario_hash for record in records])
    figures = dict.fromkeys(name for record in records for name in record.score)
    for name in figures:
        columns[name] = pa.array([record.score.get(name) for record in records], pa.float64())
    _write_table(path, pa.table(columns), base)


def write_sessions(
    path: Path, records: Sequence[Record], runs: Sequence[Run], folder: Path, base: Scenario
) -> None:
    """One Parquet row per UE session of all runs, see `Engine.sessions`, with the seed and settings of its run.

    Raises:
        SweepError: A file cannot be read or `path` cannot be written.
    """
    import pyarrow as pa

    names = {(run.seed, run.scenario_hash): run.name for run in runs}
    tables = []
    for record in records:
        file = folder / f"{names[record.seed, record.scenario_hash]}.npy"
        try:
            rows = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise SweepError(f"{file}: holds no sessions; remove it") from error
        if rows.dtype != SESSION_DTYPE or rows.ndim != 1:
            raise SweepError(f"{file}: holds no sessions; remove it")
        tables.append((record, rows))
    count = [len(rows) for _, rows in tables]
    columns: dict[str, Any] = {"seed": pa.array(np.repeat([record.seed for record in records], count))}
    for name in records[0].settings:
        values = _of_one_type([record.settings[name] for record in records])
        columns[name] = pa.array([value for value, n in zip(values, count, strict=True) for _ in range(n)])
    together = np.concatenate([rows for _, rows in tables])
    for name in SESSION_DTYPE.names or ():
        columns[name] = pa.array(np.ascontiguousarray(together[name]))
    _write_table(path, pa.table(columns), base)


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    """Numbers, texts and truths as they are, anything else or a mixture as JSON: a column has one type."""
    for kinds in ((bool,), (int,), (str,), (int, float)):
        if all(type(value) in kinds for value in values):
            return [float(value) for value in values] if len(kinds) == 2 else list(values)
    return [json.dumps(value) for value in values]


def _write_table(path: Path, table: pa.Table, base: Scenario) -> None:
    import pyarrow.parquet as pq

    origin = {**platform_provenance(), "scenario": base.name, "base_hash": scenario_hash(base)}
    table = table.replace_schema_metadata(
        {"ran_sim": json.dumps(origin), "ran_sim.scenario": base.model_dump_json()}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise SweepError(f"{path}: cannot be written ({error.strerror})") from error
