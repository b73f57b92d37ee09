"""What a path of tables gives as nodes, as plain facts for a person or a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ranloop.node.table.address import TableOptions
from ranloop.node.table.mapping import TableMapping
from ranloop.node.table.opening import OpenedTables, open_tables
from ranloop.node.table.streams import TableStream
from ranloop.vocabulary import ID_COLUMNS, MEASUREMENTS

__all__ = ("describe_tables",)


def describe_tables(path: Path, options: TableOptions | None = None) -> dict[str, Any]:
    """The nodes of the tables at a path, the mappings that read them, and what is left out.

    Returns:
        Lists, dictionaries, text and numbers alone.

    Raises:
        NodeError: As `open_tables`.
    """
    tables = open_tables(path, options)
    return {
        "path": str(path),
        "mappings": [_mapping(mapping, n_files) for mapping, n_files in tables.used],
        "nodes": [_node(catalogue.node, tables) for catalogue in tables.catalogues],
        "left_out": list(tables.left_out),
    }


def _mapping(mapping: TableMapping, n_files: int) -> dict[str, Any]:
    return {
        "name": mapping.name,
        "title": mapping.title,
        "source": mapping.source,
        "files": n_files,
        "columns": [
            {
                "column": name,
                "measurement": column.measurement,
                "unit": column.unit or column.entry.unit,
                "remark": column.remark,
            }
            for name, column in mapping.columns.items()
        ],
        "without": dict(mapping.without),
    }


def _node(node: str, tables: OpenedTables) -> dict[str, Any]:
    return {
        "node": node,
        "day": str(tables.days[node]),
        "streams": [_stream(stream) for stream in tables.streams if stream.table.node == node],
    }


def _stream(stream: TableStream) -> dict[str, Any]:
    table = stream.table
    ids = ID_COLUMNS[table.level]
    values: Mapping[str, int] = dict(
        zip(table.names, np.isfinite(table.block[:, len(ids) :]).sum(axis=0).tolist(), strict=True)
    )
    return {
        "level": table.level,
        "period_ms": table.period_ms,
        "reports": len(table.seq),
        "rows": len(table.block),
        "seconds": stream.end_ns / 1e9,
        "ids": {column: len(np.unique(table.block[:, at])) for at, column in enumerate(ids)},
        "measurements": [
            {"name": name, "unit": MEASUREMENTS[name].unit, "values": n_values}
            for name, n_values in values.items()
        ],
    }
