"""Profiles: what a real stack has of the vocabulary, so that an xApp's author knows before deployment.

A profile is a TOML file: which measurements at which levels, which actions, how often values are renewed. A profile
limits nothing that it does not mention. The bundled profiles lie in `profiles/`. Each of their entries says what it is
based on, `read_at` the version of the stack, `left_open` all that could not be found out. An operator's own file may
name a bundled profile with `like` and give only the differences.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ranloop.errors import NodeError, VocabularyError
from ranloop.toml import read_toml
from ranloop.vocabulary import ACTIONS, LEVELS, MEASUREMENTS, Level, action_type, measurement
from ranloop.vocabulary.near import near_matches

__all__ = ("Entry", "Profile", "load_profile", "profile_names")

_FOLDER = Path(__file__).parent / "profiles"
Line = Annotated[str, Field(pattern=r"^[^\r\n]*$")]  # what is shown as one line or as a cell of a table


def _a_measurement(name: str) -> str:
    measurement(name)
    return name


def _an_action(name: str) -> str:
    return action_type(name).spec.name


def _either(name: str) -> str:
    if name not in MEASUREMENTS and name not in ACTIONS:
        near = near_matches(name, (*MEASUREMENTS, *ACTIONS))
        raise VocabularyError("measurement or action", name, near)
    return name


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Renewal(_Table):
    """How often the stack's values are renewed. A stream with a shorter period repeats old ones."""

    shortest_ms: int = Field(gt=0, le=3_600_000, strict=True)
    based_on: Line = ""


class Entry(_Table):
    """What all kinds of entries say about their names.

    Attributes:
        based_on: Where it is known from.
        remark: What to beware of.
    """

    based_on: Line = ""
    remark: Line = ""


class Measured(Entry):
    """Measurements that the stack sends.

    Attributes:
        names: As the stack spells them: catalogue names or aliases.
        levels: Where it sends them.
        whole: It rounds them to the nearest whole number, whether the catalogue does or not.
    """

    names: tuple[Annotated[str, AfterValidator(_a_measurement)], ...] = Field(min_length=1)
    levels: tuple[Level, ...] = Field(min_length=1)
    whole: bool = False

    @model_validator(mode="after")
    def _levels_exist(self) -> Self:
        for spelling in self.names:
            known = measurement(spelling)
            if wrong := [level for level in self.levels if level not in known.levels]:
                raise ValueError(
                    f"{known.name} is measured per {' or '.join(known.levels)}, not per {wrong[0]}"
                )
        return self


class Taken(Entry):
    """Actions that the stack takes."""

    names: tuple[Annotated[str, AfterValidator(_an_action)], ...] = Field(min_length=1)


class Withheld(_Table):
    """Names that the stack has, but not as the catalogue means them."""

    names: tuple[Annotated[str, AfterValidator(_either)], ...] = Field(min_length=1)
    because: Line = Field(min_length=1)


class Profile(_Table):
    """One stack. `measurements` or `actions` that are missing (None) are not limited; empty ones are none at all.

    Attributes:
        read_at: Commit or version of the stack that the entries are about; a stack that is newer may have more.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    title: Line = ""
    source: Line = ""
    read_at: Line = Field(min_length=1)
    like: str = ""
    period: Renewal | None = None
    measurements: tuple[Measured, ...] | None = None
    actions: tuple[Taken, ...] | None = None
    withheld: tuple[Withheld, ...] = ()
    left_open: tuple[Line, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _over_the_one_it_is_like(cls, given: Any) -> Any:
        if not (isinstance(given, Mapping) and isinstance(like := given.get("like", ""), str) and like):
            return given
        return tomllib.loads(_bundled(like).read_text("utf-8")) | dict(given)

    @model_validator(mode="after")
    def _says_each_name_once(self) -> Self:
        said = sum(len(entry.names) * len(entry.levels) for entry in self.measurements or ())
        if said > sum(map(len, self.measured.values())):
            raise ValueError("measurements: a name stands at the same level twice")
        if both := sorted({*self.spelling, *self.taken} & self.because.keys()):
            inherited = " (`withheld = []` drops what `like` brings)" if self.like else ""
            raise ValueError(f"{both[0]} is both withheld and shown; keep one of the two{inherited}")
        return self

    @cached_property
    def measured(self) -> Mapping[Level, Mapping[str, Measured]]:
        """Level -> catalogue name -> the entry that says so."""
        return {
            level: {
                measurement(spelling).name: entry
                for entry in self.measurements or ()
                if level in entry.levels
                for spelling in entry.names
            }
            for level in LEVELS
        }

    @cached_property
    def taken(self) -> Mapping[str, Taken]:
        """Name of an action -> the entry that says so."""
        return {name: entry for entry in self.actions or () for name in entry.names}

    def entry(self, name: str) -> Entry | None:
        """Where it says of a measurement or action that the stack has it."""
        of_levels = (self.measured[level].get(name) for level in LEVELS)
        return self.taken.get(name) or next(filter(None, of_levels), None)

    def measures(self, name: str, level: Level) -> bool:
        """Whether the stack has a measurement at a level, as the catalogue means it."""
        return name not in self.because and (self.measurements is None or name in self.measured[level])

    def takes(self, action: str) -> bool:
        """Whether the stack takes an action, as the catalogue means it."""
        return action not in self.because and (self.actions is None or action in self.taken)

    @cached_property
    def because(self) -> Mapping[str, str]:
        """Withheld name -> why."""
        return {name: entry.because for entry in self.withheld for name in entry.names}

    @cached_property
    def whole(self) -> frozenset[str]:
        """Catalogue names of what the stack rounds to whole numbers."""
        return frozenset(
            measurement(spelling).name
            for entry in self.measurements or ()
            if entry.whole
            for spelling in entry.names
        )

    @cached_property
    def spelling(self) -> Mapping[str, str]:
        """Catalogue name -> how the stack spells it."""
        return {measurement(name).name: name for entry in self.measurements or () for name in entry.names}


def profile_names() -> tuple[str, ...]:
    """The bundled profiles."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_profile(name: str) -> Profile:
    """A bundled profile by name, or an operator's own by the path of its TOML file.

    Raises:
        NodeError: No such profile, or a file that is none; one line.
    """
    if not (name.endswith(".toml") or "/" in name):
        try:
            path = _bundled(name)
        except ValueError as error:
            raise NodeError(f"{error}, or the path of a .toml file") from None
    else:
        path = Path(name)
    return read_toml(path, Profile, missing=f"{path}: no such profile", error_type=NodeError)


def _bundled(name: str) -> Path:
    names = profile_names()
    if name not in names:
        near = " or ".join(near_matches(name, names))
        hint = f"; did you mean {near}?" if near else ";"
        raise ValueError(f"no profile {name!r}{hint} there is {', '.join(names)}")
    return _FOLDER / f"{name}.toml"
