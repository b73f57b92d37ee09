"""The card of a model package: its inputs and outputs, how it was made and how well it does.

A package is a folder `models/<name>/` with `card.toml` and the ONNX file the card names. The card binds every input
column to a measurement of the catalogue, so that training and serving build the same matrix.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from ranloop.errors import ModelError
from ranloop.toml import parse_toml, toml_bytes
from ranloop.vocabulary import measurement
from ranloop.wire.inference import Sensitivity

__all__ = (
    "CARD_FILE",
    "Card",
    "Feature",
    "Golden",
    "Output",
    "Seen",
    "card_bytes",
    "load_card",
    "parse_card",
)

CARD_FILE = "card.toml"
MAX_ROW = 65_536  # values of one row of a sequence
MOST_GOLDEN = 512  # numbers
_ROUNDED = 0.01  # of a sum of shares that were rounded


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Seen(_Frozen):
    """The values of one input in training, as the node fills them: their range, and a histogram.

    `shares` are those of the bins between `edges`, the outer ones open, and `missing` that of no value; they add up to 1.
    """

    low: FiniteFloat
    high: FiniteFloat
    edges: tuple[FiniteFloat, ...] = Field(default=(), max_length=31)
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (1.0,)
    missing: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Seen:
        if self.low > self.high:
            raise ValueError(f"seen from {self.low:g} to {self.high:g}, which is no range")
        if any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError("the edges of seen do not rise")
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(
                f"{len(self.edges)} edges make {len(self.edges) + 1} bins, got {len(self.shares)} shares"
            )
        if abs(sum(self.shares) + self.missing - 1) > _ROUNDED:
            raise ValueError(f"the shares of seen add up to {sum(self.shares) + self.missing:g}, want 1")
        return self


class Feature(_Frozen):
    """One input column.

    Either a measurement of the catalogue (`measurement`), as it was `lag` report periods ago or as a statistic over
    the `window` periods that end there, or a quantity that the xApp computes and hands over under `name`. `fill` takes
    the place of a missing value; NaN leaves it missing, for a model that was trained with missing values.
    """

    measurement: str = ""
    name: str = ""
    unit: str
    lag: int = Field(default=0, ge=0, le=600)
    window: int = Field(default=1, ge=1, le=600)
    stat: Literal["last", "mean", "std", "min", "max"] = "last"
    fill: float = 0.0
    seen: Seen | None = Field(default=None, description="the values in training; without, nothing is flagged")
    sensitivity: Sensitivity | None = Field(
        default=None,
        description="of the values; default: that of the report's level. Raw values leave no trace outside",
    )

    @field_validator("fill")
    @classmethod
    def _fill_is_no_infinity(cls, fill: float) -> float:
        if math.isinf(fill):
            raise ValueError("a missing value is filled with a finite number, or left missing: nan")
        return fill

    @model_validator(mode="after")
    def _one_source(self) -> Feature:
        if bool(self.measurement) == bool(self.name):
            raise ValueError("a feature has either a measurement or a name")
        if self.measurement:
            entry = measurement(self.measurement)
            if entry.unit != self.unit:
                raise ValueError(f"{self.measurement} is in {entry.unit!r}, the card says {self.unit!r}")
        if self.stat == "last" and self.window != 1:
            raise ValueError("a window needs a stat other than 'last'")
        return self

    @property
    def label(self) -> str:
        """A unique, readable column name, e.g. `DRB.UEThpDl[lag=1]` or `X.UE.AppThpDl[mean/5]`."""
        lag = f"[lag={self.lag}]" if self.lag else ""
        stat = f"[{self.stat}/{self.window}]" if self.stat != "last" else ""
        return f"{self.measurement or self.name}{stat}{lag}"


class Output(_Frozen):
    """One output column, with its unit and the range that its values are clipped to."""

    name: str
    unit: str
    low: float = float("-inf")
    high: float = float("inf")

    @model_validator(mode="after")
    def _range_is_one(self) -> Output:
        if not self.low < self.high:  # NaN, too
            raise ValueError(f"{self.name} is clipped to {self.low:g} .. {self.high:g}, which is no range")
        return self


class Golden(_Frozen):
    """Rows of inputs as the model gets them, one after the other, and the outputs that it gave at its export, before they are clipped."""

    inputs: tuple[tuple[float, ...], ...] = Field(min_length=1)
    outputs: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _is_small(self) -> Golden:
        if sum(map(len, (*self.inputs, *self.outputs))) > MOST_GOLDEN:
            raise ValueError(f"golden: more than {MOST_GOLDEN} numbers")
        return self


class Card(_Frozen):
    """All facts that are needed to use a model, and to doubt it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    version: str
    summary: str
    file: str = Field(
        default="model.onnx", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", description="in the card's folder"
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    period_ms: int = Field(gt=0, description="granularity period of the reports that the features come from")
    features: tuple[Feature, ...] = Field(min_length=1)
    steps: int = Field(
        default=0,
        ge=0,
        le=600,
        description="periods that a row shows, the oldest first: the input is [n, steps, n_features]; 0: [n, n_features]",
    )
    output: str = Field(default="", description="name of the output to read, where the file has several")
    sensitivity_inside: Sensitivity | None = Field(
        default=None,
        description="of the tensors inside, which a split sends to another tier; default: that of the inputs",
    )
    outputs: tuple[Output, ...] = Field(min_length=1)
    licence: str = Field(default="", max_length=200, description="of the model, an SPDX expression")
    data_licence: str = Field(default="", max_length=200, description="of the data it learned from")
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    golden: Golden | None = Field(
        default=None, description="answers that have to be the same on every machine"
    )

    @model_validator(mode="after")
    def _row_is_of_this_world(self) -> Card:
        if self.steps * len(self.features) > MAX_ROW:
            raise ValueError(
                f"a row of {self.steps} steps of {len(self.features)} features; at most {MAX_ROW} values"
            )
        return self

    @property
    def history(self) -> int:
        """Number of report periods that the oldest feature looks back, the current one included."""
        return max(feature.lag + feature.window for feature in self.features) + max(self.steps - 1, 0)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row of the input."""
        return (self.steps, len(self.features)) if self.steps else (len(self.features),)


def load_card(folder: Path) -> Card:
    """Read and check `folder/card.toml`.

    Raises:
        ModelError: There is no card, it is not TOML, or it does not describe a model; one line with the field's path.
    """
    return parse_card(card_bytes(folder), folder)


def card_bytes(folder: Path) -> bytes:
    """The bytes of `folder/card.toml`, for `parse_card`.

    Raises:
        ModelError: There is no card, or it is too large.
    """
    missing = f"{folder} is no model package: it has no {CARD_FILE}"
    return toml_bytes(folder / CARD_FILE, missing=missing, error_type=ModelError)


def parse_card(content: bytes, folder: Path) -> Card:
    """The card in these bytes, which were read from `folder`.

    Raises:
        ModelError: They are not TOML, or do not describe a model; one line with the field's path.
    """
    return parse_toml(content, folder / CARD_FILE, Card, error_type=ModelError)
