"""The rights that a manifest asks for and an operator grants: streams to read, actions to take.

These are the `[[streams]]` and `[[actions]]` tables of a manifest; unknown keys and unknown names are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    field_validator,
    model_validator,
)

from ranloop.guard.shard import NodeShard
from ranloop.vocabulary import Level, action_type, measurement
from ranloop.vocabulary.near import near_matches
from ranloop.wire.messages import Catalogue

LEASE_PERIODS = 3  # a setting outlives two lost reports, not three
_MINUTE_MS = 60_000
_PERIOD_WITHOUT_STREAMS_MS = 1000


class StreamRight(BaseModel):
    """One KPM stream: these measurements, at this level, once per granularity period, from every node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level
    every_ms: int = Field(gt=0, le=3_600_000)
    measurements: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_exist_at_this_level(self) -> Self:
        for name in self.measurements:
            entry = measurement(name)
            if entry.name != name:
                raise ValueError(f"{name!r} is an alias; the catalogue calls it {entry.name!r}")
            if self.level not in entry.levels:
                raise ValueError(f"{name} is measured per {' or '.join(entry.levels)}, not per {self.level}")
        if len(set(self.measurements)) < len(self.measurements):
            raise ValueError("a measurement is listed twice")
        return self

    def lacking(self, catalogue: Catalogue) -> list[str]:
        """The parts of this stream that the node of `catalogue` lacks, a clause each; empty if it lacks nothing."""
        offered = catalogue.measurements.get(self.level, ())
        lacks = []
        if self.every_ms not in catalogue.periods_ms:
            lacks.append(f"{catalogue.node} reports every {', '.join(map(str, catalogue.periods_ms))} ms")
        if not offered:
            there = ", ".join(level for level, names in catalogue.measurements.items() if names) or "none"
            return [*lacks, f"{catalogue.node} has no {self.level} reports; it has {there}"]
        for name in self.measurements:
            if name not in offered:
                near = ", ".join(near_matches(name, offered) or offered[:3])
                lacks.append(f"{catalogue.node} does not measure {name} per {self.level}; it has {near}")
        return lacks


class ActionRight(BaseModel):
    """One action type, and how much of it.

    Attributes:
        name: Name in the action catalogue.
        cells: The nodes' names of the cells it may touch, or "*" for all. For actions on UEs only "*" is
            possible: a UE moves between cells, and a right that comes and goes with it cannot be kept.
            (A cell that is a *parameter*, a handover's target, is limited by it too.)
        ranges: Parameter -> [low, high], narrower than the catalogue's; others have the catalogue's range.
        rate_per_s: Batches per second of RAN time and node, averaged over one second. Batches and not targets,
            because renewing a hundred held settings is one message; `max_targets` bounds its size.
        max_targets: Targets in one batch.
        every_ms: How often its settings are renewed, where that is another period than the streams': a timer's. A
            lease may then last three of these.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    cells: tuple[str, ...] | Literal["*"] = "*"
    ranges: dict[str, tuple[FiniteFloat, FiniteFloat]] = Field(default_factory=dict)
    rate_per_s: float = Field(default=20.0, gt=0, le=10_000)
    max_targets: int = Field(default=1024, gt=0, le=65_536)
    every_ms: int | None = Field(default=None, gt=0, le=28_800_000)

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        spec = action_type(self.name).spec
        for parameter, (low, high) in self.ranges.items():
            spec.parameter(parameter)
            if low > high:
                raise ValueError(f"the range of {parameter} is empty: {low:g} to {high:g}")
        if self.cells != "*" and "cell" not in spec.targets and "target_cell" not in spec.parameter_names:
            raise ValueError(f'{self.name} acts on a {spec.targets[0]}, not on a cell: `cells` must be "*"')
        return self


def _each_action_once(actions: tuple[ActionRight, ...]) -> tuple[ActionRight, ...]:
    names = [right.name for right in actions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is granted twice; merge the entries")
    return actions


ActionRights = Annotated[tuple[ActionRight, ...], AfterValidator(_each_action_once)]


class Rights(BaseModel):
    """Everything one xApp may read and touch, at all nodes or at those of one shard (`2/4`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    streams: tuple[StreamRight, ...] = ()
    actions: ActionRights = ()
    shard: str = ""

    @field_validator("shard")
    @classmethod
    def _is_a_shard(cls, text: str) -> str:
        return text and str(NodeShard.parse(text))

    @property
    def node_shard(self) -> NodeShard | None:
        return NodeShard.parse(self.shard) if self.shard else None

    def reach(self, node: str) -> bool:
        """Whether they hold at this node."""
        return not self.shard or NodeShard.parse(self.shard).has(node)

    def default_lease_ms(self, action: ActionRight) -> int:
        """How long a setting lives when its batch does not say: three periods of `action`, or of the quickest stream."""
        periods_ms = [s.every_ms for s in self.streams] or [_PERIOD_WITHOUT_STREAMS_MS]
        return LEASE_PERIODS * (action.every_ms or min(periods_ms))

    def longest_lease_ms(self, action: ActionRight) -> int:
        """How long a batch may promise to hold: a minute, or three of the longest period if that is more."""
        periods_ms = [s.every_ms for s in self.streams] + [action.every_ms or 0]
        return max(_MINUTE_MS, LEASE_PERIODS * max(periods_ms))

    def as_facts(self) -> dict[str, Any]:
        """Plain data of a life sign or an admission; `Rights.model_validate` reads it back."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def differences(self, own: Rights) -> list[str]:
        """Where the host's copy of a manifest (this) and the xApp's `own` differ, a clause each; empty if they agree."""
        found = []
        if self.shard != own.shard:
            found.append(f"it is shard {own.shard or '1/1'} and admitted as shard {self.shard or '1/1'}")
        admitted, read = _streams(self), _streams(own)
        for stream in dict.fromkeys([*read, *admitted]):
            name = f"{stream[0]} every {stream[1]} ms"
            if lacking := sorted(read.get(stream, set()) - admitted.get(stream, set())):
                found.append(f"{name}: {', '.join(lacking)} is read and not admitted")
            if idle := sorted(admitted.get(stream, set()) - read.get(stream, set())):
                found.append(f"{name}: {', '.join(idle)} is admitted and not read")
        theirs = {right.name: right for right in own.actions}
        ours = {right.name: right for right in self.actions}
        found += [f"{name} is asked for and not admitted" for name in sorted(theirs.keys() - ours.keys())]
        found += [f"{name} is admitted and not asked for" for name in sorted(ours.keys() - theirs.keys())]
        for name in sorted(ours.keys() & theirs.keys()):
            for field, value in ours[name]:
                if value != (asked := getattr(theirs[name], field)):
                    found.append(f"{name}: {field} is {value} at the host and {asked} in the xApp's manifest")
        return found


def _streams(rights: Rights) -> dict[tuple[Level, int], set[str]]:
    """(Level, period) -> the measurements that are read there."""
    streams: dict[tuple[Level, int], set[str]] = {}
    for stream in rights.streams:
        streams.setdefault((stream.level, stream.every_ms), set()).update(stream.measurements)
    return streams
