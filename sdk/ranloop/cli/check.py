"""`ranloop check`: loads xApp folders as a runner would, or only reads them, and lists their streams and actions.

With a profile it also lists what a real stack lacks for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ranloop.inference import Model, read_package
from ranloop.node.profile import Profile, load_profile
from ranloop.node.profile_fit import Lack, as_lines, lacks, remarks
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package, read_code
from ranloop.xapp.manifest import Manifest, load_manifest

__all__ = ("check_xapps",)


_RUN = "was run: --no-run only reads it"
_READ = "was read, not run: that its handlers fit the manifest, and its models run, is not shown"


def check_xapps(folders: list[Path], *, profile: str, run: bool, json_output: bool) -> int:
    """Load each folder; the first problem is raised as one line. 1 if the profile lacks something for an xApp.

    Args:
        run: Whether to run the xApp's module and its models, or to read manifest, cards and the syntax of the code only.
    """
    stack = load_profile(profile) if profile else None
    found = [_facts(folder, stack, run) for folder in folders]
    if json_output:
        print(json.dumps(found, indent=2))
    else:
        for facts in found:
            _show(facts)
    return int(any(facts.get("lacks") for facts in found))


def _models(folder: Path, manifest: Manifest, run: bool) -> list[str]:
    """Tags of the xApp's models, after a check of them and of its code."""
    if run:
        handles = Instance(load_package(folder)).registered.models.values()
        return [handle.model.tag for handle in handles]
    read_code(folder)
    packages = manifest.model_folders(folder, {}).values()
    return [Model.tag_of(read_package(package)[0]) for package in packages]


def _facts(folder: Path, stack: Profile | None, run: bool) -> dict[str, Any]:
    manifest = load_manifest(folder)
    # An xApp in another language has only a manifest to check.
    is_foreign = manifest.encoding == "json" and not (folder / "app.py").exists()
    facts: dict[str, Any] = {
        "name": manifest.name,
        "version": manifest.version,
        "reads": [f"{s.level}/{s.every_ms} ms: {', '.join(s.measurements)}" for s in manifest.streams],
        "writes": [f"{a.name} {dict(a.ranges)}" for a in manifest.actions],
        "code": "in another language" if is_foreign else _RUN if run else _READ,
        "models": [] if is_foreign else _models(folder, manifest, run),
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
