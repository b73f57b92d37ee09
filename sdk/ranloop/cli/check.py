"""`ranloop check`: load xApp folders as a runner would; say what they read and write, and what a real stack lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ranloop.node.profile import Profile, load_profile
from ranloop.node.profile_fit import Lack, as_lines, lacks, remarks
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from ranloop.xapp.manifest import load_manifest

__all__ = ("check_xapps",)


def check_xapps(folders: list[Path], *, profile: str, json_output: bool) -> int:
    """Load each folder; the first problem is raised as one line. 1 if the profile lacks something for one of them."""
    stack = load_profile(profile) if profile else None
    found = [_facts(folder, stack) for folder in folders]
    if json_output:
        print(json.dumps(found, indent=2))
    else:
        for facts in found:
            _show(facts)
    return int(any(facts.get("lacks") for facts in found))


def _facts(folder: Path, stack: Profile | None) -> dict[str, Any]:
    manifest = load_manifest(folder)
    # An xApp in another language is its manifest here; what it runs is its own.
    is_foreign = manifest.encoding == "json" and not (folder / "app.py").exists()
    models = {} if is_foreign else Instance(load_package(folder)).app.models
    facts: dict[str, Any] = {
        "name": manifest.name,
        "version": manifest.version,
        "reads": [f"{s.level}/{s.every_ms} ms: {', '.join(s.measurements)}" for s in manifest.streams],
        "writes": [f"{a.name} {dict(a.ranges)}" for a in manifest.actions],
        "models": [handle.model.tag for handle in models.values()],
        "settings": {name: setting.default for name, setting in manifest.settings.items()},
    }
    if stack:
        facts |= {
            "profile": stack.name,
            "beware": remarks(stack, manifest.rights),
            "lacks": [lack._asdict() for lack in lacks(stack, manifest.rights)],
        }
    return facts


def _show(facts: dict[str, Any]) -> None:
    if "lacks" in facts:
        facts = facts | {"lacks": as_lines([Lack(**lack) for lack in facts["lacks"]])}
    for key, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        print(f"{key:9} " + ("\n" + " " * 10).join(str(line) for line in lines))
    print(f"does not run on {facts['profile']}" if facts.get("lacks") else "ok")
