"""Names of nodes after files and folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ranloop.node.table.source import without_suffix

__all__ = ("topic_names",)

_MOST_FOLDERS = 6  # in a name


def topic_names(paths: Sequence[Path]) -> list[str]:
    """A topic level for each path: its name in lower case, other characters as `-`.

    Names that are alike get the names of their folders before them, and a number if that does not help.
    """
    names = {path: _name(path, 1) for path in paths}
    for depth in range(2, _MOST_FOLDERS + 1):
        alike = {name for name, count in Counter(names.values()).items() if count > 1}
        names = {path: _name(path, depth) if name in alike else name for path, name in names.items()}
    return _numbered([names[path] for path in paths])


def _name(path: Path, depth: int) -> str:
    *folders, last = path.parts[-depth:] or (path.resolve().name,)
    stem = "-".join([*folders, without_suffix(last) or last]).lower()
    name = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-")
    return (name[:64] if depth == 1 else name[-64:]).strip("-") or "table"


def _numbered(names: Sequence[str]) -> list[str]:
    taken: set[str] = set()
    distinct = []
    for base in names:
        name, k = base, 1
        while name in taken:
            k += 1
            name = f"{base[: 63 - len(str(k))]}-{k}"
        taken.add(name)
        distinct.append(name)
    return distinct
