"""`manifest.toml`: the reports and actions of an xApp, its models and its settings."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as short  # a value may be thousands of digits long
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, model_validator

from ranloop.errors import ManifestError
from ranloop.guard.rights import ActionRights, Rights, StreamRight
from ranloop.guard.shard import NodeShard
from ranloop.placement.declaration import Placement
from ranloop.toml import read_toml
from ranloop.wire.messages import Encoding
from ranloop.xapp.budget import Budget

__all__ = ("MANIFEST_FILE", "Manifest", "Setting", "ShardManifest", "load_manifest", "shard_of")

MANIFEST_FILE = "manifest.toml"
LONGEST_NAME = 64  # characters


class Setting(BaseModel):
    """One value an operator may change without touching the code.

    Attributes:
        pattern: Of a text: a regular expression that all of it matches; its default shows the form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["float", "int", "bool", "str"]
    default: float | int | bool | str
    low: StrictInt | StrictFloat | None = None
    high: StrictInt | StrictFloat | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    description: str

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Setting:
        if self.type != "str" and (self.choices or isinstance(self.default, str)):
            raise ValueError(f"a setting of type {self.type} has no choices, and a default without quotes")
        if self.type != "str" and self.pattern:
            raise ValueError(f"a setting of type {self.type} has no pattern")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r} is no regular expression: {error}") from None
        if self.type in ("bool", "str") and not self.low is self.high is None:
            raise ValueError(f"a setting of type {self.type} has no low and no high")
        if not self._low <= self._high:  # NaN, too
            raise ValueError(f"low {self.low} and high {self.high} are no range")
        self.parse(self.default)
        return self

    @property
    def _low(self) -> float:
        return -math.inf if self.low is None else self.low

    @property
    def _high(self) -> float:
        return math.inf if self.high is None else self.high

    def parse(self, value: object) -> float | int | bool | str:
        """`value` as this setting's type.

        Raises:
            ValueError: The value has the wrong type or is out of range; one line.
        """
        parsed = _as_type(self.type, value)
        if isinstance(parsed, int | float) and not self._low <= parsed <= self._high:
            raise ValueError(f"got {short(value)}, want {self.type} in [{self._low}, {self._high}]")
        if self.choices and parsed not in self.choices:
            raise ValueError(f"got {short(value)}, want one of {', '.join(self.choices)}")
        if self.pattern and not re.fullmatch(self.pattern, str(parsed)):
            raise ValueError(f"got {short(value)}, want a text like {self.default!r}")
        return parsed


def _as_type(kind: str, value: object) -> float | int | bool | str:
    match kind, value:
        case "bool", bool():
            return value
        case "bool", "true" | "false":
            return value == "true"
        case "str", str():
            return value
        case "int", int() | str() if not isinstance(value, bool):
            try:
                return int(value)
            except ValueError:
                pass
        case "float", int() | float() | str() if not isinstance(value, bool):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                pass
            else:
                if math.isfinite(number):
                    return number
    raise ValueError(f"got {short(value)}, want {kind}")


class Manifest(BaseModel):
    """An xApp's whole declaration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=rf"^[a-z][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}$")
    version: str
    summary: str
    encoding: Encoding = Field(
        default="binary", description="how it is spoken to; json is for xApps in other languages"
    )
    streams: tuple[StreamRight, ...] = ()
    actions: ActionRights = ()
    models: dict[str, str] = Field(
        default_factory=dict, description="name -> folder, relative to the manifest"
    )
    placement: dict[str, Placement] = Field(
        default_factory=dict, description="model -> how it is computed on several tiers"
    )
    settings: dict[str, Setting] = Field(default_factory=dict)
    budget: dict[str, Budget] = Field(
        default_factory=dict, description="model -> how long a call may take, and what answers past it"
    )

    @model_validator(mode="after")
    def _places_its_own_models(self) -> Manifest:
        if unknown := [name for name in self.placement if name not in self.models]:
            raise ValueError(
                f"placement.{unknown[0]}: there is no model of that name; there are: {', '.join(self.models) or 'none'}"
            )
        return self

    @property
    def rights(self) -> Rights:
        return Rights(streams=self.streams, actions=self.actions)

    def effective_settings(self, given: Mapping[str, object]) -> dict[str, Any]:
        """Defaults with `given` laid over them.

        Raises:
            ManifestError: An unknown name or a value outside the setting's range.
        """
        values: dict[str, Any] = {
            name: setting.parse(setting.default) for name, setting in self.settings.items()
        }
        for name, value in given.items():
            if name not in self.settings:
                raise ManifestError(
                    f"{self.name} has no setting {name!r}; it has: {', '.join(self.settings) or 'none'}"
                )
            try:
                values[name] = self.settings[name].parse(value)
            except ValueError as error:
                raise ManifestError(f"{self.name}: setting {name}: {error}") from error
        return values

    def model_folders(self, folder: Path, given: Mapping[str, Path]) -> dict[str, Path]:
        """Folder of each model: the manifest's, relative to its own `folder`, with `given` laid over them.

        Raises:
            ManifestError: `given` names a model that the manifest does not list.
        """
        if unknown := [name for name in given if name not in self.models]:
            raise ManifestError(
                f"{self.name} has no model {unknown[0]!r}; it has: {', '.join(self.models) or 'none'}"
            )
        return {name: given.get(name, folder / place) for name, place in self.models.items()}

    @property
    def packages(self) -> dict[str, str]:
        """Folder of each model package, relative to the manifest: the models, and those that tiers above compute."""
        better = {f"placement.{name}": one.better for name, one in self.placement.items() if one.better}
        return {**self.models, **better}

    def better_folders(self, folder: Path) -> dict[str, Path]:
        """Model -> folder of the one that its placement lets tiers above compute, where that is another."""
        return {name: folder / one.better for name, one in self.placement.items() if one.better}


class ShardManifest(Manifest):
    """Of one shard of an xApp: another name, and rights at the shard's nodes alone."""

    shard: NodeShard

    @property
    def rights(self) -> Rights:
        return Rights(streams=self.streams, actions=self.actions, shard=str(self.shard))


def shard_of(manifest: Manifest, shard: NodeShard) -> ShardManifest:
    """The manifest of one shard.

    Raises:
        ManifestError: The xApp's name is too long to name a shard as well.
    """
    name = shard.name_of(manifest.name)
    if len(name) > LONGEST_NAME:
        raise ManifestError(
            f"the name {name!r} has {len(name)} characters, of {LONGEST_NAME}; want a shorter xApp name"
        )
    return ShardManifest.model_validate({**dict(manifest), "name": name, "shard": shard})


def load_manifest(folder: Path) -> Manifest:
    """Read and check `folder/manifest.toml`.

    Raises:
        ManifestError: The file is missing, not TOML, or not a manifest; one line with the field's path.
    """
    missing = f"{folder} is no xApp: it has no {MANIFEST_FILE}"
    return read_toml(folder / MANIFEST_FILE, Manifest, missing=missing, error_type=ManifestError)
