"""What a training leaves in an xApp's folder: its card, and a winner's point as the defaults of the manifest's settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from ranloop.errors import MissingExtraError, TrainingError
from ranloop.training.contender import Point
from ranloop.training.outcome import Outcome
from ranloop.xapp.manifest import load_manifest

__all__ = ("CARD_FILE", "write_card", "write_defaults")

CARD_FILE: Final = "card.toml"


def write_card(outcome: Outcome, name: str) -> None:
    """Write `card.toml` of a winner that is no model package: what it was made of, and its figures beside the best rule's.

    Raises:
        MissingExtraError: The `train` extra is not installed.
    """
    try:
        import tomli_w
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing a card", "train") from error
    card: dict[str, Any] = {
        "name": name,
        "kind": outcome.winners[name].kind,
        "best_rule": outcome.best_rule.name,
        "training": outcome.training(name),
        "metrics": outcome.metrics(name),
    }
    (outcome.folder / CARD_FILE).write_text(tomli_w.dumps(card), "utf-8")


def write_defaults(folder: Path, point: Point, digits: int = 3) -> None:
    """Make the values of a point the defaults of the settings of the same names in `manifest.toml`; all else stays as it is.

    Args:
        digits: Significant digits that are kept.

    Raises:
        TrainingError: The manifest has no such setting, or its range excludes the value; nothing is written.
        ManifestError: It cannot be read.
    """
    path = folder / "manifest.toml"
    settings, text = load_manifest(folder).settings, path.read_text("utf-8")
    for name, value in point.items():
        if name not in settings:
            raise TrainingError(f"{path}: has no setting {name!r}; there is {', '.join(settings)}")
        rounded = float(f"{value:.{digits}g}")
        try:
            settings[name].parse(rounded)
        except ValueError as error:
            raise TrainingError(f"{path}: setting {name}: {error}") from error
        entry = re.compile(
            rf"(^\[settings\.{re.escape(name)}\]\n(?:(?!\[).*\n)*?default\s*=\s*)[^\n#]*?(\s*(?:#.*)?)$",
            re.MULTILINE,
        )
        text, count = entry.subn(rf"\g<1>{rounded!r}\g<2>", text)
        if count != 1:
            raise TrainingError(
                f"{path}: setting {name} wants a section [settings.{name}] with a line `default = …`"
            )
    path.write_text(text, "utf-8")
