"""`tiers.toml`: the places where models can be computed, how far away they are, what they cost and what they may see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ranloop.errors import PlacementError
from ranloop.toml import read_toml
from ranloop.wire.inference import Sensitivity

__all__ = ("SENSITIVITIES", "Cost", "Event", "Tier", "Tiers", "load_tiers")

SENSITIVITIES: tuple[Sensitivity, ...] = ("public", "per-cell", "per-ue", "raw")  # from harmless to secret
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
_NS_PER_MS = 1e6


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Event(_Frozen):
    """What befalls a virtual tier for a while: `down` answers nothing; `slow` takes `by` times as long; `lossy` loses a share `by`."""

    what: Literal["down", "slow", "lossy"]
    from_s: float = Field(ge=0)
    to_s: float
    by: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _is_one(self) -> Event:
        if not self.from_s < self.to_s:
            raise ValueError(f"from_s = {self.from_s:g} is not before to_s = {self.to_s:g}")
        if self.what == "lossy" and self.by > 1:
            raise ValueError(f"by = {self.by:g}; a share of lost questions is at most 1")
        if self.what == "slow" and self.by < 1:
            raise ValueError(f"by = {self.by:g}; slow takes at least 1 times as long")
        return self


class Cost(NamedTuple):
    """What one question takes by the figures of a tier: time without waiting in a line, energy, money."""

    time_ns: int
    joules: float | None
    price: float


class Tier(_Frozen):
    """One place. Its times are planning figures and drive the virtual tier; live, the real ones are measured.

    Attributes:
        zone: Trust zone, one of `[zones]`.
        above: The next tier up, "" if there is none.
        address: URL of the bus where its inference hosts are; "" for the bus of the xApp.
        round_trip_ms: Median time on the way, there and back.
        spread: Standard deviation of the logarithm of the round trip.
        loss: Share of questions that get no answer.
        bandwidth_mbps: Of the way up.
        gmac_per_s: Multiply-accumulates per second for one question.
        overhead_ms: Time that each question takes besides.
        availability: Share of windows of 10 s in which it is there.
        joules_per_gmac: None if unknown.
        joules_per_mb: Of sending there, per 10**6 bytes; None if unknown.
        price: Of 10**6 questions, in any currency.
        events: What befalls it when it is virtual.
    """

    zone: str = ""
    above: str = ""
    address: str = ""
    round_trip_ms: float = Field(default=0.0, ge=0, le=60_000)
    spread: float = Field(default=0.0, ge=0, le=3)
    loss: float = Field(default=0.0, ge=0, le=1)
    bandwidth_mbps: float = Field(default=1e5, gt=0)
    gmac_per_s: float = Field(gt=0)
    overhead_ms: float = Field(default=0.0, ge=0, le=60_000)
    availability: float = Field(default=1.0, ge=0, le=1)
    joules_per_gmac: float | None = Field(default=None, ge=0)
    joules_per_mb: float | None = Field(default=None, ge=0)
    price: float = Field(default=0.0, ge=0)
    events: tuple[Event, ...] = Field(default=(), max_length=1000)

    def cost(self, n_bytes: int, mmac: float) -> Cost:
        """What a question of `n_bytes` to a model of `mmac` million multiply-accumulates takes."""
        ms = self.round_trip_ms + self.overhead_ms + n_bytes * 8 / (self.bandwidth_mbps * 1e3)
        ms += mmac / self.gmac_per_s
        computing, sending = self.joules_per_gmac, self.joules_per_mb
        joules = (
            None
            if computing is None or (sending is None and n_bytes)
            else computing * mmac / 1e3 + (sending or 0.0) * n_bytes / 1e6
        )
        return Cost(time_ns=round(ms * _NS_PER_MS), joules=joules, price=self.price / 1e6)


class Tiers(_Frozen):
    """All tiers of a network, seen from the place where an xApp runs.

    Attributes:
        here: The tier where the xApp runs.
        seed: Of the virtual tiers' delays and losses.
        zones: Trust zone -> the most sensitive data that may enter it.
        tiers: By name.
    """

    here: str
    seed: int = Field(default=1, ge=0, lt=1 << 63)
    zones: dict[Name, Sensitivity] = Field(min_length=1, max_length=64)
    tiers: dict[Name, Tier] = Field(min_length=1, max_length=64)

    @model_validator(mode="after")
    def _agree(self) -> Tiers:
        if faults := list(_faults(self)):
            raise ValueError("; ".join(faults))
        return self

    def __getitem__(self, name: str) -> Tier:
        return self.tiers[name]

    def may_see(self, tier: str, sensitivity: Sensitivity) -> bool:
        """Whether data of this sensitivity may go to a tier."""
        most = self.zones[self.tiers[tier].zone]
        return SENSITIVITIES.index(sensitivity) <= SENSITIVITIES.index(most)

    def above(self, name: str) -> tuple[str, ...]:
        """The tiers above one, the next first."""
        way: list[str] = []
        while name := self.tiers[name].above:
            way.append(name)
        return tuple(way)


def _faults(tiers: Tiers) -> Iterator[str]:
    known = ", ".join(tiers.tiers)
    if tiers.here not in tiers.tiers:
        yield f"here: there is no tier {tiers.here!r}; there are {known}"
    for name, tier in tiers.tiers.items():
        if not tier.zone:
            yield f"tiers.{name}: no trust zone; give zone = one of {', '.join(tiers.zones)}"
        elif tier.zone not in tiers.zones:
            yield f"tiers.{name}.zone: there is no zone {tier.zone!r}; there are {', '.join(tiers.zones)}"
        if tier.above and tier.above not in tiers.tiers:
            yield f"tiers.{name}.above: there is no tier {tier.above!r}; there are {known}"
    if loop := _loop({name: tier.above for name, tier in tiers.tiers.items()}):
        yield f"tiers: above goes in a loop: {' -> '.join(loop)}"


def _loop(above: Mapping[str, str]) -> list[str]:
    """A way that comes back to where it was; [] if there is none."""
    for start in above:
        way = [start]
        while (step := above.get(way[-1], "")) and step not in way:
            way.append(step)
        if step:
            return [*way[way.index(step) :], step]
    return []


def load_tiers(path: Path) -> Tiers:
    """Read and check a tiers file.

    Raises:
        PlacementError: It is missing, not TOML, or describes no tiers; one line with the fields' paths.
    """
    missing = f"{path}: there is no such tiers file; docs/placement.md shows one"
    return read_toml(path, Tiers, missing=missing, error_type=PlacementError)
