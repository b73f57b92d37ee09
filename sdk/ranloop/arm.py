"""One way to run the network, and fresh copies of its xApps for each run, also on another machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ranloop.errors import LockstepError, NodeError, RanloopError
from ranloop.node.mishaps import Mishap
from ranloop.xapp.instance import user_traceback
from ranloop.xapp.manifest import load_manifest
from ranloop_work import UNCOPIED, Parcel

__all__ = ("Arm", "fresh_copies", "packed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to run the network.

    Attributes:
        overrides: Scenario fields, e.g. {"scheduler.class_weight": {"2": 8.0}}.
        xapps: xApp folders.
        settings: xApp name -> setting -> value.
        models: xApp name -> model name -> model package, in place of the manifest's own.
        mishap: What goes wrong between the network and its xApps, and from when on.
    """

    name: str
    overrides: Mapping[str, object] = field(default_factory=dict)
    xapps: tuple[Path, ...] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    mishap: Mishap | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """xApps and the models that are given."""
        return (*self.xapps, *(path for of_xapp in self.models.values() for path in of_xapp.values()))


@contextmanager
def fresh_copies(arm: Arm, parcels: Mapping[Path, Parcel]) -> Iterator[Arm]:
    """The arm with its xApps' folders copied, in an empty working folder; both vanish afterwards.

    Models stay where they are, if they are on this machine: they are read, never run.
    """
    if not arm.xapps:
        yield arm
        return
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="ranloop-drop-") as scratch:
        root = Path(scratch).resolve()
        copies = [root / str(number) / folder.resolve().name for number, folder in enumerate(arm.xapps)]
        if parcels:
            models = _unpacked(arm, parcels, copies, root / "models")
        else:
            models = _models(arm)
            for folder, to in zip(arm.xapps, copies, strict=True):
                _copy(folder.resolve(), to)
        work = root / "work"
        work.mkdir()
        os.chdir(work)
        try:
            yield replace(arm, xapps=tuple(copies), models=models)
        except Exception as error:
            if isinstance(error, RanloopError) and not isinstance(error, LockstepError):
                raise
            # The xApp's own error; where its module fails on import, no runner has made a text of it.
            raised = f"the xApp raised {type(error).__name__}\n"
            text = str(error) if isinstance(error, LockstepError) else raised + user_traceback(error, root)
            for copied, folder in zip(
                copies, arm.xapps, strict=True
            ):  # its author looks for the files he knows
                text = text.replace(str(copied), str(folder))
            raise LockstepError(text) from error
        finally:
            os.chdir(before)


def _models(arm: Arm) -> dict[str, Mapping[str, Path]]:
    """xApp name -> model name -> absolute path, with those that only the manifests name."""
    models = dict(arm.models)
    for folder in (path.resolve() for path in arm.xapps):
        manifest = load_manifest(folder)
        given = {name: path.resolve() for name, path in arm.models.get(manifest.name, {}).items()}
        models[manifest.name] = manifest.model_folders(folder, given)
    return models


def packed(arm: Arm, parcels: dict[Path, Parcel]) -> Arm:
    """The arm with absolute paths, all of which `parcels` holds afterwards.

    Raises:
        WorkError: A folder cannot be read.
    """
    arm = replace(arm, xapps=tuple(path.resolve() for path in arm.xapps), models=_models(arm))
    for path in arm.folders:
        if path not in parcels:
            parcels[path] = Parcel.of(path)
    return arm


def _unpacked(
    arm: Arm, parcels: Mapping[Path, Parcel], xapps: Sequence[Path], models: Path
) -> dict[str, Mapping[str, Path]]:
    """The models of an arm, laid out below `models`, as its xApps are at `xapps`."""
    for folder, to in zip(arm.xapps, xapps, strict=True):
        parcels[folder].unpack(to)
    places = {xapp: {name: models / xapp / name for name in of_xapp} for xapp, of_xapp in arm.models.items()}
    for xapp, of_xapp in arm.models.items():
        for name, folder in of_xapp.items():
            parcels[folder].unpack(places[xapp][name])
    return dict(places)


def _copy(folder: Path, to: Path) -> None:
    try:
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns(*UNCOPIED))
    except OSError as error:  # shutil.Error is one; it may list many files
        raise NodeError(f"{folder} cannot be copied for a run: {str(error)[:200]}") from error
