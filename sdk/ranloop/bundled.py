"""The xApps, models and examples that come with ranloop: those of the checkout, or those inside an installed wheel."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ("bundled", "model_folder", "xapp_folder")

_PACKAGE = Path(__file__).resolve().parent


def bundled(path: str) -> Path | None:
    """The bundled folder or file `path`, such as `xapps/qos_scheduler`; None where this installation has none, as one of the SDK alone."""
    places = (_PACKAGE.parents[1] / path, _PACKAGE / "bundle" / path)
    return next((place for place in places if place.exists()), None)


def xapp_folder(text: str) -> Path:
    """A folder of the command line: the one that is there, else the bundled one of this path, which is said on standard error."""
    return _here_or_bundled(text, ("xapps", "docs"))


def model_folder(text: str) -> Path:
    """A model package that a node loads, found as `xapp_folder` finds an xApp."""
    return _here_or_bundled(text, ("models",))


def _here_or_bundled(text: str, rooms: tuple[str, ...]) -> Path:
    folder = Path(text)
    if folder.exists() or folder.is_absolute() or ".." in folder.parts or folder.parts[0] not in rooms:
        return folder
    found = bundled(text)
    if found is None:
        return folder
    print(f"{text} is not here; this is the bundled one, {found}", file=sys.stderr)
    return found
