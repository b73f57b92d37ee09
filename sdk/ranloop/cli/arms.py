"""The two arms of a comparison as they are typed: xApp folders joined by `+`, `nothing`, or a folder as of a git revision."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ranloop
from ranloop.cli.dealing import deal, model_folders
from ranloop.cli.values import parse_pairs
from ranloop.errors import RanloopError
from ranloop.evaluate import Arm
from ranloop.xapp.manifest import load_manifest
from ranloop_work import UNCOPIED

__all__ = ("NOTHING", "TypedArm", "identity", "origin", "read_arm")

NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedArm:
    """One arm of the command line: its text, and the entries of the options that end in its letter."""

    letter: str
    text: str
    settings: Sequence[str] = ()
    models: Sequence[str] = ()
    overrides: Sequence[str] = ()


def read_arm(typed: TypedArm, scratch: Path) -> Arm:
    """The arm that was typed, checked against the manifests of its xApps.

    Args:
        typed: The command line's words.
        scratch: An empty folder, in which xApps of a git revision are laid out.

    Raises:
        RanloopError: A folder, revision, setting or model that is not there; one line.
    """
    folders = [] if typed.text == NOTHING else list(_folders(typed.text, scratch))
    low = typed.letter.lower()
    settings = parse_pairs(f"--set-{low}", typed.settings)
    models = model_folders(f"--model-{low}", typed.models)
    if not folders and (settings or models):
        option = f"--set-{low}" if settings else f"--model-{low}"
        raise RanloopError(f"{option}: arm {typed.letter} is {NOTHING} and has no xApp to take it")
    manifests = [load_manifest(folder) for folder in folders]
    arm = Arm(
        name=f"{typed.letter} {typed.text}",
        overrides=parse_pairs(f"--override-{low}", typed.overrides),
        xapps=tuple(folders),
        settings=deal(manifests, settings, lambda manifest: manifest.settings) if manifests else {},
        models=deal(manifests, models, lambda manifest: manifest.models) if manifests else {},
    )
    identity(arm)  # every name and folder is looked at, before anything runs
    return arm


def _folders(text: str, scratch: Path) -> Iterator[Path]:
    parts = [text] if Path(text).is_dir() else text.split("+")
    for number, part in enumerate(parts):
        path, at, revision = part.rpartition("@")
        if Path(part).is_dir() or not at:
            yield Path(part)
        else:
            yield _of_revision(Path(path), revision, scratch / str(number))


# -- git ----------------------------------------------------------------------------------------------------------


def _of_revision(folder: Path, revision: str, to: Path) -> Path:
    """The folder as of a git revision, laid out below `to` together with the models that its manifest names."""
    typed = f"{folder}@{revision}"
    place = Path(os.path.abspath(folder))
    there = next(parent for parent in (place, *place.parents) if parent.is_dir())
    top = Path(_git(there, typed, "rev-parse", "--show-toplevel").decode().strip())
    inside = place.resolve().relative_to(top.resolve())
    if revision.startswith("-"):
        raise RanloopError(f"{typed}: {revision} is no revision; want a commit, branch or tag")
    commit = _git(top, typed, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    _lay_out(top, typed, commit, inside, to)
    for model in load_manifest(to / inside).models.values():
        beside = Path(os.path.normpath(inside / model))
        if not beside.is_relative_to(inside) and beside.parts[0] != os.pardir:
            _lay_out(top, typed, commit, beside, to)
    return to / inside


def _lay_out(top: Path, typed: str, commit: str, inside: Path, to: Path) -> None:
    archive = _git(top, typed, "archive", "--format=tar", commit, "--", inside.as_posix())
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(to, filter="data")


def _git(folder: Path, typed: str, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    except FileNotFoundError:
        raise RanloopError(f"{typed}: a revision needs git, which is not installed") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().partition("\n")[0] or "no such revision"
        raise RanloopError(f"{typed}: {said.removeprefix('fatal: ')}; want FOLDER@COMMIT of a git repository")
    return done.stdout


# -- what an arm is -----------------------------------------------------------------------------------------------


def identity(arm: Arm) -> dict[str, Any]:
    """All that an arm's xApps consist of: files, settings in force, models; xApp name -> digests and values.

    Raises:
        RanloopError: A setting or model that a manifest does not have, or a folder that cannot be read.
    """
    xapps = {}
    for folder in arm.xapps:
        manifest = load_manifest(folder)
        if manifest.name in xapps:
            raise RanloopError(f"{arm.name}: two xApps of an arm have the name {manifest.name}")
        models = manifest.model_folders(folder, arm.models.get(manifest.name, {}))
        xapps[manifest.name] = {
            "files": digest(folder),
            "settings": manifest.effective_settings(arm.settings.get(manifest.name, {})),
            "models": {name: digest(package) for name, package in models.items()},
        }
    return dict(sorted(xapps.items()))


def digest(folder: Path) -> str:
    """Of the names and contents of all files below a folder, as far as a run gets to see them.

    Raises:
        RanloopError: The folder is not there, or a file cannot be read.
    """
    if not folder.is_dir():
        raise RanloopError(f"{folder} is no folder")
    total = hashlib.sha256()
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not UNCOPIED.intersection(name.parts):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(f"{name.as_posix()}\0{content}\n".encode())
    except OSError as error:
        raise RanloopError(f"{folder} cannot be read: {error}") from error
    return total.hexdigest()


def origin(arm: Arm, world: Mapping[str, str | int]) -> dict[str, Any]:
    """All that an arm's results depend on beside the seed: its xApps, the code that runs them, and what the world says of itself.

    Raises:
        RanloopError: A setting or model that a manifest does not have, or a folder that cannot be read.
    """
    # The SDK's version may stay while its code changes.
    code = {"ranloop": ranloop.__version__, "ranloop_code": digest(Path(ranloop.__file__).parent)[:16]}
    shared = {name: value for name, value in world.items() if name != "seed"}
    return {"xapps": identity(arm), "versions": code, "world": shared}
