"""`ranloop new`: the folder of a new xApp, from a template that ships."""

from __future__ import annotations

import json
import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from ranloop.errors import RanloopError, VocabularyError
from ranloop.vocabulary.near import near_matches

__all__ = ("TEMPLATES", "make_xapp")

# Template -> the node on which it has something to do. Each is a folder of plain files beside this module.
TEMPLATES = {
    "monitor": "sim:one-cell",
    "loop": "sim:seven-sites",
    "model": "sim:seven-sites",
    "steering": "sim:city-day",
    "slice": "sim:city-day",
    "energy": "sim:city-day",
}
_NAME_IN_TEMPLATES = "my_xapp"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")  # as a manifest takes it


def make_xapp(folder: Path, template: str, *, json_output: bool) -> int:
    """Write the xApp `folder.name` into `folder`, and print what to do next.

    Raises:
        RanloopError: There is no such template, the folder is there already or cannot be made, or its name is no xApp's.
    """
    name = folder.name
    if template not in TEMPLATES:
        raise VocabularyError("template", template, near_matches(template, TEMPLATES) or tuple(TEMPLATES))
    if not _NAME.fullmatch(name):
        raise RanloopError(
            f"an xApp cannot be called {name!r}: want a lower-case letter, then letters, digits, '_' and '-', "
            "at most 64, such as my_xapp"
        )
    if folder.exists():
        raise RanloopError(f"{folder} is there already; choose another name, or remove it first")
    templates = files("ranloop.cli") / "templates"
    if not templates.is_dir():
        raise RanloopError(
            "an xApp's image has no templates; make the xApp with a checkout or an installed wheel"
        )
    try:
        with as_file(templates / template) as source:
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            _fill_in(path, name)
    except OSError as error:
        raise RanloopError(f"{folder} cannot be written: {error.strerror or error}") from error
    node = TEMPLATES[template]
    if json_output:
        written = sorted(str(path) for path in folder.rglob("*") if path.is_file())
        print(json.dumps({"xapp": name, "template": template, "node": node, "files": written}, indent=2))
        return 0
    print(f"{folder}: a new xApp from the template {template!r}. Next:")
    for command in (
        f"pytest {folder}",
        f"ranloop check {folder}",
        f"ranloop run {folder} --node {node} --duration-s 10",
        f"ranloop package {folder}",
    ):
        print(f"    {command}")
    return 0


def _fill_in(path: Path, name: str) -> None:
    """Put the xApp's name into one file of text, and into the name of its test module."""
    if path.suffix != ".onnx":
        path.write_text(path.read_text("utf-8").replace(_NAME_IN_TEMPLATES, name), "utf-8")
    path.rename(path.with_name(path.name.replace(_NAME_IN_TEMPLATES, name.replace("-", "_"))))
