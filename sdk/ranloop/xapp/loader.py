"""Loads an xApp folder as a Python package of its own.

Each load makes a fresh package with a unique name. Two xApps in one process, or two instances of one xApp, therefore never
share a module in `sys.modules` when they import `.policy`.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ranloop.errors import ManifestError
from ranloop.guard.rights import ActionRight, StreamRight
from ranloop.vocabulary import ACTIONS, Level
from ranloop.voice import speaks
from ranloop.xapp.app import Registrations, XApp, registrations
from ranloop.xapp.manifest import Manifest, Setting, load_manifest

__all__ = ("MODULE_PREFIX", "XAppPackage", "load_package", "package_of", "read_code")

MODULE_PREFIX = "_ranloop_xapp_"  # of the names of all modules that are an xApp's

_counter = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class XAppPackage:
    """An xApp folder, loaded: its manifest, its `app` object, its modules' common prefix."""

    folder: Path
    manifest: Manifest
    app: XApp
    module_prefix: str

    def module(self, name: str) -> ModuleType:
        """One of its modules, e.g. `policy`, as this instance sees it."""
        return sys.modules[f"{self.module_prefix}.{name}"]


def load_package(folder: Path) -> XAppPackage:
    """Load `folder/manifest.toml` and `folder/app.py`.

    Raises:
        ManifestError: The folder has no manifest or no `app.py`, `app.py` has no `app` of type XApp, or a handler wants a
            stream that the manifest does not declare.
        Exception: Any error of the user's module at import, with the user's traceback.
    """
    folder = folder.resolve()
    manifest = load_manifest(folder)
    _has_app(folder, manifest)
    prefix = f"{MODULE_PREFIX}{next(_counter)}_{manifest.name.replace('-', '_')}"
    package = ModuleType(prefix)
    package.__path__ = [str(folder)]
    package.__spec__ = importlib.machinery.ModuleSpec(prefix, None, is_package=True)
    sys.modules[prefix] = package
    try:
        with speaks(manifest.name):
            app = getattr(importlib.import_module(f"{prefix}.app"), "app", None)
        if not isinstance(app, XApp):
            raise ManifestError(f"{folder / 'app.py'} has no `app = XApp()`")
        _check_against_manifest(registrations(app), manifest, folder)
    except BaseException:
        unload(prefix)
        raise
    return XAppPackage(folder=folder, manifest=manifest, app=app, module_prefix=prefix)


def package_of(
    app: XApp, name: str, *, settings: Mapping[str, object], models: Mapping[str, Path]
) -> XAppPackage:
    """An `XApp` object that has no folder, such as one made in a notebook, with the manifest that its handlers need.

    It may take every action, as far as the guard and the operator's limits let it.

    Args:
        settings: Those that the app has, with the values that they get.
        models: Folder of each model that the app names.

    Raises:
        ManifestError: A model without a folder, a setting that is neither a number nor text, or no XApp name.
    """
    registered = registrations(app)
    if lacking := sorted(registered.models.keys() - models.keys()):
        raise ManifestError(
            f"{name} uses the model {lacking[0]!r}; give models={{{name!r}: {{{lacking[0]!r}: FOLDER}}}}"
        )
    streams: dict[tuple[Level, int], tuple[str, ...]] = {}
    for handler in registered.reports:
        stream = handler.level, handler.every_ms
        streams[stream] = tuple(dict.fromkeys(streams.get(stream, ()) + handler.names))
    manifest = Manifest(
        name=name,
        version="0",
        summary="an XApp object without a folder",
        streams=tuple(
            StreamRight(level=at, every_ms=ms, measurements=names) for (at, ms), names in streams.items()
        ),
        actions=tuple(ActionRight(name=action, rate_per_s=1000) for action in ACTIONS),
        models={model: str(folder.resolve()) for model, folder in models.items()},
        settings={key: _setting(f"{name}: setting {key}", value) for key, value in settings.items()},
    )
    return XAppPackage(folder=_place_of(registered), manifest=manifest, app=app, module_prefix="")


def _setting(where: str, value: object) -> Setting:
    match value:
        case bool() | int() | float() | str():
            return Setting.model_validate({"type": type(value).__name__, "default": value, "description": ""})
    raise ManifestError(f"{where} is a {type(value).__name__}; want a number, text or a bool")


def _place_of(registered: Registrations) -> Path:
    """File of the first function of the author's, whose frames a traceback shows."""
    functions = [*(one.function for one in registered.reports), *(one.function for one in registered.timers)]
    codes = [getattr(function, "__code__", None) for function in functions]
    return Path(next((code.co_filename for code in codes if code), "a notebook"))


def read_code(folder: Path) -> None:
    """Check the syntax of an xApp's modules without running them.

    Raises:
        ManifestError: There is no `app.py`, or a file is not Python; one line with the place.
    """
    _has_app(folder, load_manifest(folder))
    for path in sorted(folder.rglob("*.py")):
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except SyntaxError as error:
            raise ManifestError(f"{path}:{error.lineno} is no Python: {error.msg}") from error
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            raise ManifestError(
                f"{path} cannot be read as Python: {error or type(error).__name__}"
            ) from error


def _has_app(folder: Path, manifest: Manifest) -> None:
    if not (folder / "app.py").is_file():
        elsewhere = (
            "; start an xApp in another language yourself, and admit it with `ranloop host NODE --allow`"
        )
        raise ManifestError(
            f"{folder} is no xApp: it has no app.py{elsewhere if manifest.encoding == 'json' else ''}"
        )


def unload(prefix: str) -> None:
    """Forget the modules of one loaded package."""
    for name in [name for name in sys.modules if name == prefix or name.startswith(prefix + ".")]:
        del sys.modules[name]


def _check_against_manifest(registered: Registrations, manifest: Manifest, folder: Path) -> None:
    declared = {(stream.level, stream.every_ms): set(stream.measurements) for stream in manifest.streams}
    for handler in registered.reports:
        where = f"{folder.name}/app.py: {handler.function.__name__}"
        allowed = declared.get((handler.level, handler.every_ms))
        if allowed is None:
            raise ManifestError(
                f"{where} reads the {handler.level} stream every {handler.every_ms} ms, which the manifest does not "
                "declare; add a [[streams]] entry"
            )
        if lacking := [name for name in handler.names if name not in allowed]:
            raise ManifestError(
                f"{where} reads {', '.join(lacking)}, which the manifest's stream does not list"
            )
    if lacking := [name for name in registered.models if name not in manifest.models]:
        raise ManifestError(
            f"{folder.name}/app.py uses the model {lacking[0]!r}, which the manifest does not list"
        )
