"""`ranloop check`: loads xApp folders as a runner would, or only reads them, and lists their streams and actions.

With a profile it also lists what a real stack lacks for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ranloop.errors import RanloopError
from ranloop.guard.rights import ActionRight
from ranloop.inference import Model, load_model, read_package
from ranloop.node.profile import Profile, load_profile
from ranloop.node.profile_fit import Lack, as_lines, lacks, remarks
from ranloop.voice import named_output
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package, read_code
from ranloop.xapp.manifest import Manifest, load_manifest

__all__ = ("check_xapps",)


_RUN = "was run: --no-run only reads it"
_READ = "was read, not run: that its handlers fit the manifest, and its models run, is not shown"


def check_xapps(folders: list[Path], *, profile: str, run: bool, trials: bool, json_output: bool) -> int:
    """Load each folder; the first problem is raised as one line. 1 if the profile lacks something, or a trial shows a fault.

    Args:
        run: Whether to run the xApp's module and its models, or to read manifest, cards and the syntax of the code only.
        trials: Whether to drive the xApp through what a network does to it, see `ranloop.testing.check_xapp`.
    """
    if trials and not run:
        raise RanloopError("--trials runs the xApp and --no-run does not: leave one of them out")
    stack = load_profile(profile) if profile else None
    with named_output(to_stderr=json_output):
        found = [_facts(folder, stack, run) | (_faults(folder) if trials else {}) for folder in folders]
    if json_output:
        print(json.dumps(found, indent=2))
    else:
        for facts in found:
            _show(facts)
    return int(any(facts.get("lacks") or facts.get("faults") for facts in found))


def _models(folder: Path, manifest: Manifest, run: bool) -> list[str]:
    """Tags of the xApp's models, after a check of them and of its code."""
    if run:
        handles = Instance(load_package(folder)).registered.models.values()
        better = [load_model(place) for place in manifest.better_folders(folder).values()]
        return [*(handle.model.tag for handle in handles), *(model.tag for model in better)]
    read_code(folder)
    return [Model.tag_of(read_package(folder / place)[0]) for place in manifest.packages.values()]


def _facts(folder: Path, stack: Profile | None, run: bool) -> dict[str, Any]:
    manifest = load_manifest(folder)
    # An xApp in another language has only a manifest to check.
    is_foreign = manifest.encoding == "json" and not (folder / "app.py").exists()
    facts: dict[str, Any] = {
        "name": manifest.name,
        "version": manifest.version,
        "reads": [f"{s.level}/{s.every_ms} ms: {', '.join(s.measurements)}" for s in manifest.streams],
        "writes": [_right(right) for right in manifest.actions],
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


def _right(right: ActionRight) -> str:
    ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in right.ranges.items())
    return f"{right.name} {ranges}".rstrip()


def _faults(folder: Path) -> dict[str, list[str]]:
    """What the trials show; nothing of an xApp in another language, which cannot be driven here."""
    from ranloop.testing.xapp_check import faults_of  # loads the test kit

    if not (folder / "app.py").exists():
        return {}
    return {"faults": faults_of(folder)}


def _show(facts: dict[str, Any]) -> None:
    if "lacks" in facts:
        facts = facts | {"lacks": as_lines([Lack(**lack) for lack in facts["lacks"]])}
    if "faults" in facts:
        facts = facts | {"faults": facts["faults"] or "none in all trials"}
    for key, value in facts.items():
        if isinstance(value, dict):
            value = [f"{name} = {default}" for name, default in value.items()]
        lines = (value or ["none"]) if isinstance(value, list) else [value]
        print(f"{key:9} " + ("\n" + " " * 10).join(str(line) for line in lines))
    if facts.get("lacks"):
        print(f"does not run on {facts['profile']}")
    elif isinstance(facts.get("faults"), list):
        print("does not stand what a network does to it")
    else:
        print("ok")
