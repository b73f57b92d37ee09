"""The fields of a catalogue entry, for measurements and for actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from ranloop.errors import VocabularyError
from ranloop.vocabulary.near import near_matches

Level = Literal["cell", "ue", "slice", "qos_flow", "ue_cell"]
LEVELS: tuple[Level, ...] = ("cell", "ue", "slice", "qos_flow", "ue_cell")

# The id columns that a report of each level carries, in this order: the first names the row's target,
# `cell` joins the levels of one RAN time. A row of level "ue_cell" is a UE and a cell that it measures: its serving cell first,
# then its neighbours, the strongest first.
ID_COLUMNS: dict[Level, tuple[str, ...]] = {
    "cell": ("cell",),
    "ue": ("ue", "cell"),
    "slice": ("slice", "cell"),
    "qos_flow": ("ue", "cell", "five_qi", "slice"),
    "ue_cell": ("ue", "cell", "measured_cell"),
}


NONE_KNOWN = "none known"  # which open stacks carry it


class Collection(StrEnum):
    """Origin of a value: the collection methods of the 3GPP template, TS 32.404 (clause not verified)."""

    COUNTER = "CC"  # cumulative counter over the granularity period
    GAUGE = "GAUGE"  # a state that goes up and down; the value at the end of the period
    EVENTS = "DER"  # discrete event registration: from the period's single events, as a mean or a ratio
    STATUS = "SI"  # status inspection: from samples of a state within the period


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One entry of the measurement catalogue.

    `low` and `high` bound every meaningful value, in `unit`; "no value" is NaN and never 0. `integer` says that the
    specification rounds; a node may send the unrounded value and says so.
    """

    name: str
    unit: str
    levels: tuple[Level, ...]
    collection: Collection
    integer: bool = False
    low: float = 0
    high: float = math.inf
    definition: str
    clause: str
    no_value: str  # when a period has no meaningful value
    carrier: str = NONE_KNOWN  # the E2SM-KPM level/style real stacks carry it at
    aliases: tuple[str, ...] = ()


class Kind(StrEnum):
    """A setting is held under a lease and reverts; a one-shot happens once or not at all."""

    SETTING = "setting"
    ONE_SHOT = "one-shot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter column of an action, with its range [`low`, `high`] and the value that it reverts to.

    `default` is None if the node's own configuration has the value (a setting), or if nothing reverts (a one-shot).
    """

    name: str
    unit: str
    low: float
    high: float
    default: float | None
    integer: bool = False

    def quantity(self, value: float) -> str:
        """A value with its unit, for a person: "10 %", and "3" of a number without one."""
        return f"{value:g}" if self.unit == "1" else f"{value:g} {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """One entry of the action catalogue.

    `targets` are the id columns that together name one target, e.g. ("cell", "five_qi").
    `carrier` is the E2SM-RC or E2SM-CCC carrier, or the words "ranloop extension".
    """

    name: str
    targets: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    kind: Kind
    definition: str
    carrier: str

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameter columns, in order."""
        return tuple([parameter.name for parameter in self.parameters])

    def parameter(self, name: str) -> Parameter:
        """Look a parameter up by its exact name.

        Raises:
            VocabularyError: There is none; the error names near matches.
        """
        names = self.parameter_names
        if name not in names:
            raise VocabularyError(f"parameter of {self.name}", name, near_matches(name, names) or names)
        return self.parameters[names.index(name)]
