"""`ranloop check`: load xApp folders as a runner would, and say what they read and write."""

from __future__ import annotations

import json
from pathlib import Path

from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package

__all__ = ("check_xapps",)


def check_xapps(folders: list[Path], *, json_output: bool) -> int:
    """Load each folder; the first problem is raised as one line."""
    found = []
    for folder in folders:
        instance = Instance(load_package(folder))
        manifest = instance.manifest
        found.append(
            {
                "name": manifest.name,
                "version": manifest.version,
                "reads": [
                    f"{s.level}/{s.every_ms} ms: {', '.join(s.measurements)}" for s in manifest.streams
                ],
                "writes": [f"{a.name} {dict(a.ranges)}" for a in manifest.actions],
                "models": [handle.model.tag for handle in instance.app.models.values()],
                "settings": {name: setting.default for name, setting in manifest.settings.items()},
            }
        )
    if json_output:
        print(json.dumps(found, indent=2))
        return 0
    for facts in found:
        for key, value in facts.items():
            lines = value if isinstance(value, list) else [value]
            print(f"{key:9} " + ("\n" + " " * 10).join(str(line) for line in lines))
        print("ok")
    return 0
