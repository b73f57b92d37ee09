"""Names of nodes after files and folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ranloop.node.table.source import without_suffix

__all__ = ("topic_names",)


def topic_names(paths: Sequence[Path]) -> list[str]:
    """A topic level for each path: its name in lower case, other characters as `-`.

    Names that are alike get the names of their folders before them, and a number if that does not help.
    """
    most = max((len(path.parts) for path in paths), default=1)
    names = [_name(path, 1) for path in paths]
    for depth in range(2, min(most, 6) + 1):
        alike = {name for name, count in Counter(names).items() if count > 1}
        names = [
            _name(path, depth) if name in alike else name for path, name in zip(paths, names, strict=True)
        ]
    return _numbered(names)


def _name(path: Path, depth: int) -> str:
    *folders, last = path.parts[-depth:] or (path.resolve().name,)
    stem = "-".join([*folders, without_suffix(last) or last]).lower()
    return re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-")[-64:].strip("-") or "table"


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
