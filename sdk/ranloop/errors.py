"""Every error that ranloop raises on purpose. The text says what came, what was wanted and what to do.

    RanloopError
    ├── VocabularyError    a name that is not in the catalogue (with near matches)
    ├── WireError          bytes that are not a message of ours
    ├── BusError           a broker that is not there, or an address we cannot use
    │   └── NameTakenError a living participant has our name, or one of our RAN nodes
    ├── ManifestError      an xApp package that cannot be loaded as it stands
    ├── ModelError         a model package that is broken, or does not fit its card or its input
    ├── PlacementError     a tiers file, or a placement of a model, that cannot be used
    ├── NodeError          a RAN node, recording or scenario that cannot be opened
    ├── TrainingError      a training that cannot be carried out as it is planned
    ├── EvaluationError    claims of an xApp that cannot be judged, or results that cannot be read
    ├── LimitsError        an operator's limits that cannot be used
    ├── LockstepError      an xApp that did not answer a step
    └── MissingExtraError  something optional is not installed; names the install line

A wrong argument to a function is a `ValueError` as everywhere in Python.
"""

from __future__ import annotations

from typing import Any

__all__ = (
    "BusError",
    "EvaluationError",
    "LimitsError",
    "LockstepError",
    "ManifestError",
    "MissingExtraError",
    "ModelError",
    "NameTakenError",
    "NodeError",
    "PlacementError",
    "RanloopError",
    "TrainingError",
    "VocabularyError",
    "WireError",
)


class RanloopError(Exception):
    """Parent of every error that ranloop raises on purpose. Its text is one line of advice."""


class VocabularyError(RanloopError, ValueError):
    """A name that the catalogue does not have. As a ValueError it may leave a pydantic validator.

    `remedy` is said where no name is near.
    """

    def __init__(self, kind: str, name: str, near: tuple[str, ...] = (), remedy: str = "") -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else remedy
        super().__init__(f"unknown {kind} {name!r}" + (f"; {hint}" if hint else ""))
        self.kind, self.name, self.near, self.remedy = kind, name, near, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (
            self.kind,
            self.name,
            self.near,
            self.remedy,
        )  # pickle calls this, so that the error comes whole from another process


class WireError(RanloopError):
    """Bytes from the bus that are not one of our messages."""


class BusError(RanloopError):
    """The bus cannot be opened or used."""


class NameTakenError(BusError):
    """A living participant has the name of this participant, or one of its RAN nodes."""


class ManifestError(RanloopError):
    """An xApp folder whose manifest or code cannot be used."""


class ModelError(RanloopError):
    """A model package that is broken, or does not fit its card or its input."""


class PlacementError(RanloopError):
    """A tiers file, or the placement of a model, that cannot be used."""


class NodeError(RanloopError):
    """A RAN node, scenario or recording that cannot be opened."""


class TrainingError(RanloopError):
    """A training that cannot be carried out as it is planned: its plan, its `train.py` or its journals do not fit."""


class EvaluationError(RanloopError):
    """Claims of an xApp that cannot be judged as its `claims.toml` states them, or kept results that cannot be read."""


class LimitsError(RanloopError):
    """A file of operator's limits that cannot be used, or that binds nothing."""


class LockstepError(RanloopError):
    """An xApp did not answer a lockstep step in time."""


class MissingExtraError(RanloopError):
    """An optional part is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part: pip install 'ranloop[{extra}]'")
        self.what, self.extra = what, extra

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.extra)
