"""The messages of the bus, as frozen dataclasses; `codec` turns them into bytes and back.

Messages from outside are checked where they come in, so an instance of these classes is valid. Arrays are little-endian
float32 on the wire. Ids are dense integers below 2**24, which float32 holds exactly; their opaque names are in `labels`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from ranloop.errors import MissingExtraError, VocabularyError
from ranloop.vocabulary import ACTIONS, Action, Level, MeasurementName, measurement
from ranloop.vocabulary.near import near_matches
from ranloop.wire.asked import Asked
from ranloop.wire.inference import Inference
from ranloop.wire.operating import Admission, Alarm, Alarms, Encoding, Order, Settings, Severity, Standing

if TYPE_CHECKING:
    import pandas

__all__ = (
    "F32",
    "FOR_EVER_NS",
    "I32",
    "MAX_ID",
    "WIRE_VERSION",
    "ActionBatch",
    "Admission",
    "Alarm",
    "Alarms",
    "Answer",
    "Asked",
    "Catalogue",
    "Cause",
    "CellPlace",
    "CellRelation",
    "Encoding",
    "Fate",
    "Inference",
    "Labels",
    "Message",
    "Order",
    "Presence",
    "Report",
    "Result",
    "Settings",
    "Severity",
    "Standing",
    "Status",
    "Step",
)

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

WIRE_VERSION = 1
FOR_EVER_NS = 1 << 62  # RAN time that no run comes to: the end of one that goes on until it is stopped
MAX_ID = 1 << 24


class Labels(Mapping[str, Mapping[int, str]]):
    """Id column -> {dense id: the node's own opaque name}, as it was when this was made.

    A report's `labels` may be any mapping. The codec compares a `Labels` by identity, because it cannot change, and other
    mappings name by name. A node therefore keeps one `Labels` for as long as no target comes or goes.
    """

    __slots__ = ("_columns",)

    def __init__(self, columns: Mapping[str, Mapping[int, str]]) -> None:
        self._columns = {column: MappingProxyType(dict(names)) for column, names in columns.items()}

    def __getitem__(self, column: str) -> Mapping[int, str]:
        return self._columns[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Labels({ {column: dict(names) for column, names in self._columns.items()} })"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """One KPM report: all targets of one level of one node, for one granularity period.

    Attributes:
        node: Name of the RAN node.
        level: The target of a row: a cell, UE, slice, QoS flow, or a cell that a UE measures.
        period_ms: Granularity period in milliseconds.
        seq: Counts the periods of this stream from 0; a gap is a lost report.
        ran_time_ns: RAN time at the end of the period, in nanoseconds since the run began.
        ids: Names of the id columns, `ID_COLUMNS[level]`.
        names: Catalogue names of the measurement columns.
        block: Shape [n_rows, len(ids) + len(names)], float32, catalogue units, NaN = no value.
        labels: Id column -> {dense id: the node's own opaque name}; a `Labels` is fastest.
        run: Text of the host's start, another one at each start; "" if the host has none.
        stamps: Stage -> monotonic clock in nanoseconds, for latency breakdowns only.
    """

    node: str
    level: Level
    period_ms: int
    seq: int
    ran_time_ns: int
    ids: tuple[str, ...]
    names: tuple[str, ...]
    block: F32
    labels: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    run: str = ""
    stamps: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.block)

    def __contains__(self, name: object) -> bool:
        """Whether the report has a measurement of this name."""
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        """The names of the measurements, as a table has those of its columns; `len` is the number of rows."""
        return iter(self.names)

    @overload
    def __getitem__(self, name: MeasurementName) -> F32: ...  # an editor completes these
    @overload
    def __getitem__(self, name: str) -> F32: ...
    def __getitem__(self, name: str) -> F32:
        """The column of one measurement, shape [n_rows], catalogue units, NaN = no value."""
        try:
            return self.block[:, len(self.ids) + self.names.index(name)]
        except ValueError:
            remedy = (
                f"it has {', '.join(self.names)}; name what else to read in on_report and in the manifest"
            )
            near = near_matches(name, self.names)
            raise VocabularyError(f"measurement in this {self.level} report", name, near, remedy) from None

    def only(self, names: tuple[str, ...]) -> Report:
        """The same report with these measurement columns alone, in this order."""
        if self.names == names:
            return self
        n_ids = len(self.ids)
        columns = [*range(n_ids), *(n_ids + self.names.index(name) for name in names)]
        return replace(self, names=names, block=np.ascontiguousarray(self.block[:, columns]))

    def id(self, column: str) -> I32:
        """One id column as integers, shape [n_rows]."""
        try:
            return self.block[:, self.ids.index(column)].astype(np.int32)
        except ValueError:
            raise VocabularyError(f"id column of a {self.level} report", column, self.ids) from None

    @property
    def ue(self) -> I32:
        return self.id("ue")

    @property
    def cell(self) -> I32:
        return self.id("cell")

    @property
    def measured_cell(self) -> I32:
        return self.id("measured_cell")

    @property
    def five_qi(self) -> I32:
        return self.id("five_qi")

    @property
    def slice(self) -> I32:
        return self.id("slice")

    def names_of(self, column: str) -> NDArray[np.object_]:
        """The node's own name of each row's id, "" where it gave none, shape [n_rows].

        Dense ids are one node's, names are the network's. A comparison is a mask: `report.names_of("cell") == "north"`.
        """
        names = self.labels.get(column, {})
        return np.array([names.get(dense, "") for dense in self.id(column).tolist()], object)

    def by_ue(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Each UE with its rows, in the order of the report: of level `ue_cell` the serving cell's, then the strongest neighbour's."""
        ue = self.ue
        order = np.argsort(ue, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(ue[order])) + 1):
            if len(rows):
                yield int(ue[rows[0]]), rows

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame with a row per target: the ids, the node's own names of those that have one, the measurements.

        The units of the measurements stand in `attrs["units"]`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingExtraError("Report.to_pandas", "notebook") from error
        columns: dict[str, Any] = {column: self.id(column) for column in self.ids}
        columns |= {f"{column}_name": self.names_of(column) for column in self.ids if self.labels.get(column)}
        frame = pandas.DataFrame(columns | {name: self[name] for name in self.names})
        frame.attrs["units"] = {name: measurement(name).unit for name in self.names}
        return frame

    @property
    def time_s(self) -> float:
        """RAN time at the end of the period, in seconds."""
        return self.ran_time_ns / 1e9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActionBatch:
    """The state that one xApp wants for targets of one node, held or done once: one action type, columns.

    Attributes:
        id: Unique for ever; a retry has the same id.
        xapp: Sender; the guard compares it with the topic, which only the sender may write.
        node: RAN node that owns the targets.
        seq: The xApp's own counter; actions of one instant are judged in the order (xapp, seq).
        action: The typed columns.
        valid_until_ns: RAN time after which the batch must not take effect any more.
        lease_ms: RAN time that a setting lives without renewal; None for a one-shot.
        atomic: All targets or none, judged as the state after the whole change.
        models: "name@hash" of each model that had a part in the decision, for the audit log.
        inferences: Where the answers of models with a placement came from.
        report_seq: Sequence number of the report that the decision rests on, -1 if none.
        run: Run of the host that the decision was made for: RAN time begins at 0 again in the next.
        stamps: As in `Report`, continued.
        asked: What models were asked and said about some of its targets, for the audit log.
    """

    id: str
    xapp: str
    node: str
    seq: int
    action: Action
    valid_until_ns: int
    lease_ms: int | None = None
    atomic: bool = False
    models: tuple[str, ...] = ()
    inferences: tuple[Inference, ...] = ()
    report_seq: int = -1
    run: str = ""
    stamps: Mapping[str, int] = field(default_factory=dict)
    asked: tuple[Asked, ...] = ()


class Status(IntEnum):
    """The fate of one target. All but ENDED are terminal: exactly one of them per action id and target."""

    APPLIED = 0
    REFUSED = 1
    EXPIRED = 2
    UNKNOWN = 3  # the answer was lost and cannot be found
    RECOMMENDED = 4  # the guard would have accepted; the xApp may only recommend
    ENDED = 5  # a setting that had been applied is over (lease lapsed, UE left, killed, ...)


class Cause(StrEnum):
    """The reason why a target was not applied, or why a setting ended. The result's text adds the facts."""

    NONE = "none"
    IDENTITY = "identity"
    AUTONOMY = "autonomy"
    KILLED = "killed"
    NOT_SUPPORTED = "not-supported"
    NOT_PERMITTED = "not-permitted"
    RANGE = "range"
    LIMIT = "limit"  # the operator's
    RATE = "rate"
    INVARIANT = "invariant"
    CONFLICT = "conflict"
    STALE = "stale"
    NO_TARGET = "no-target"
    NODE = "node"  # would not; the text is the node's own
    ATOMIC = "atomic"
    LEASE_LAPSED = "lease-lapsed"
    UE_LEFT = "ue-left"
    SUPERSEDED = "superseded"
    MALFORMED = "malformed"
    HARM = "harm"
    LOST = "lost"


class Fate(NamedTuple):
    """What became of one target.

    Attributes:
        target: Its ids, in the order of the action's targets: (7,) of a UE, (0, 2) of a cell and a slice.
        status: APPLIED, or what else.
        cause: The reason; NONE if it was applied.
        text: The reason for a person, with the facts.
        applied: Parameter -> the value in force afterwards; empty where nothing was applied.
    """

    target: tuple[int, ...]
    status: Status
    cause: Cause
    text: str
    applied: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """The answer of guard and node to an action batch, target by target.

    Attributes:
        id: Id of the batch.
        action: Name of the action type.
        targets: Shape [n, n_keys].
        status: Shape [n], values of `Status`.
        cause: Shape [n], indices into `causes`.
        causes: Pairs (cause, text for a person); index 0 is (NONE, "").
        applied: Shape [n, n_parameters], the values in force afterwards; NaN where nothing was applied.
        ran_time_ns: RAN time at which it took effect or was decided.
    """

    id: str
    xapp: str
    node: str
    action: str
    targets: I32
    status: NDArray[np.uint8]
    cause: NDArray[np.uint8]
    causes: tuple[tuple[Cause, str], ...]
    applied: F32
    ran_time_ns: int
    stamps: Mapping[str, int] = field(default_factory=dict)

    @property
    def fates(self) -> list[Fate]:
        """What became of each target, in the order of `targets`; the arrays are quicker where there are many."""
        names = ACTIONS[self.action].spec.parameter_names if self.action in ACTIONS else ()
        columns = (self.targets, self.status, self.cause, self.applied)
        fates = []
        for target, status, index, values in zip(*(column.tolist() for column in columns), strict=True):
            cause, text = self.causes[index]
            applied = {
                name: value for name, value in zip(names, values, strict=False) if not math.isnan(value)
            }
            fates.append(Fate(tuple(target), Status(status), cause, text, applied))
        return fates

    def count(self, status: Status) -> int:
        return int(np.count_nonzero(self.status == status))

    def __len__(self) -> int:
        return len(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPlace:
    """The place of a cell, in a flat frame: x to the right, y up, in metres.

    All nodes of one network share the frame. `X.UE.PosX` and `X.UE.PosY` are in it, too.

    Attributes:
        site: Name of the site.
        x_m: Place of the antenna.
        y_m: Place of the antenna.
        azimuth_deg: Direction of the main lobe, counter-clockwise from the x axis, 0 to below 360; None if it has none.
        height_m: Height of the antenna above ground; None if the node does not know it.
        beam_width_deg: Width of the main lobe in azimuth, between the angles with half its power; None if it has none, or if the
            node does not know it.
    """

    site: str
    x_m: float
    y_m: float
    azimuth_deg: float | None = None
    height_m: float | None = None
    beam_width_deg: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRelation:
    """One row of a cell's neighbour relation table, TS 38.300 15.3.3: the NRCellRelation of TS 28.541.

    Attributes:
        cell: Dense id of the neighbour, as in the node's reports; the target of a handover to it.
        name: Its name, which its own node gives it, too.
        is_ho_allowed: Whether handovers to it are allowed (isHOAllowed).
        cell_individual_offset_db: Offset of event A3 for this relation (cellIndividualOffset, rsrpOffsetSSB); None if the node
            has none for each relation.
    """

    cell: int
    name: str
    is_ho_allowed: bool = True
    cell_individual_offset_db: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The measurements and actions of a node; retained on the bus, checked when subscribing.

    Attributes:
        measurements: Level -> catalogue names that it reports at this level.
        actions: Names of the action types it takes.
        periods_ms: Granularity periods it offers.
        cells: Dense cell id -> the node's own name of the cell.
        slices: Dense slice id -> S-NSSAI.
        slice_min_pct: Dense slice id -> minimum share that the node's own configuration guarantees the slice in each of
            its cells, in percent; 0 where it is missing.
        control_delay_ms: From the guard's verdict to the slot at which the action takes effect; never 0.
        run: As in `Report`.
        geometry: Dense cell id -> place of the cell; cells whose place the node does not know are missing.
        neighbours: Dense cell id -> the cell's neighbour relations; cells without a table are missing.
        scheduler_models: Number in `SetSchedulerModel` -> name of the learned metric that the node has loaded.
    """

    node: str
    measurements: Mapping[Level, tuple[str, ...]]
    actions: tuple[str, ...]
    periods_ms: tuple[int, ...]
    cells: Mapping[int, str]
    slices: Mapping[int, str] = field(default_factory=dict)
    slice_min_pct: Mapping[int, float] = field(default_factory=dict)
    control_delay_ms: float = 10.0
    run: str = ""
    geometry: Mapping[int, CellPlace] = field(default_factory=dict)
    neighbours: Mapping[int, tuple[CellRelation, ...]] = field(default_factory=dict)
    scheduler_models: Mapping[int, str] = field(default_factory=dict)

    @property
    def handovers(self) -> frozenset[tuple[int, int]]:
        """(cell, neighbour) of each relation that allows handovers."""
        return frozenset(
            (cell, to.cell) for cell, table in self.neighbours.items() for to in table if to.is_ho_allowed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A participant's life sign; retained, and the last will carries it with `alive=False`."""

    name: str
    alive: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Everything that is due for one xApp at one instant; live, timers and settings alone.

    `settings`, if there are any, are in force before results, timers and reports are handled.
    """

    host: str
    step: int
    ran_time_ns: int
    reports: tuple[Report, ...] = ()
    results: tuple[Result, ...] = ()
    timers: tuple[str, ...] = ()
    settings: Settings | None = None
    last: bool = False  # the run is over; the xApp answers once more and leaves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """Lockstep: everything one xApp wants after one step; empty if nothing.

    Attributes:
        waited_ns: RAN time for which its handlers waited for models of other tiers; the batches are judged so much later.
    """

    xapp: str
    step: int
    batches: tuple[ActionBatch, ...] = ()
    waited_ns: int = 0
    error: str = ""  # the user's traceback when a handler raised: the host stops the run with it


Message = (
    Report
    | ActionBatch
    | Result
    | Catalogue
    | Presence
    | Step
    | Answer
    | Order
    | Standing
    | Admission
    | Settings
    | Alarms
)
