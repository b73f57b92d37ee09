"""Names of nodes after files and folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ranloop.node.table.source import without_suffix

__all__ = ("topic_names",)


def topic_names(paths: Sequence[Path]) -> list[str]:
    """A topic level for each path: its name in lower case, other characters as `-`, numbered where two are alike."""
    taken: set[str] = set()
    names = []
    for path in paths:
        stem = (without_suffix(path.name) or path.name or path.resolve().name).lower()
        base = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-")[:64] or "table"
        name, k = base, 1
        while name in taken:
            k += 1
            name = f"{base[: 63 - len(str(k))]}-{k}"
        taken.add(name)
        names.append(name)
    return names
