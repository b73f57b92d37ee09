"""The JSON headers of the wire: their keys and bounds. Unknown keys are ignored.

Each header is a TypedDict with a compiled pydantic validator beside it: strict types, no NaN or Infinity literals.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from ranloop.vocabulary import Level
from ranloop.wire.asked import AskedForms
from ranloop.wire.checking import validator
from ranloop.wire.frame import MAX_PAYLOAD_BYTES, MAX_ROWS
from ranloop.wire.inference import Inferences
from ranloop.wire.messages import MAX_ID, WIRE_VERSION, Cause, Severity
from ranloop.wire.operating import MAX_ALARMS

MAX_NAMES = 256
MAX_PARTS = 1 << 12
MAX_NEIGHBOURS = 1 << 10  # of one cell
MAX_TEXT = 1 << 16

_HEADER = ConfigDict(strict=True, allow_inf_nan=False)

# No Literal, which takes `true` for 1; a foreign version is an error of the key "v".
Version = Annotated[int, Field(ge=WIRE_VERSION, le=WIRE_VERSION, json_schema_extra={"const": WIRE_VERSION})]
Topic = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]  # may stand between two slashes of a topic
Place = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}(/[a-z0-9_-]{1,64})?$")]  # what an order is about
Name = Annotated[
    str, Field(pattern=r"^[!-~]{1,128}$")
]  # a measurement, action, column or id: printable, no blanks
Label = Annotated[str, Field(max_length=256)]
Operator = Annotated[str, Field(pattern=r"^[ -~]{0,64}$")]  # a name for the audit log
OrderId = Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,64}$")]
Run = Annotated[str, Field(pattern=r"^[!-~]{0,64}$")]  # of a host; "" where nobody asks
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Signed = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
Rows = Annotated[int, Field(ge=0, le=MAX_ROWS)]
DenseId = Annotated[int, Field(ge=0, lt=MAX_ID)]
Names = Annotated[list[Name], Field(max_length=MAX_NAMES)]
Stamps = Annotated[dict[Name, Signed], Field(max_length=64)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
NamesById = Annotated[dict[DenseId, Label], Field(max_length=MAX_ROWS)]
Shares = Annotated[dict[DenseId, Annotated[float, Field(ge=0, le=100)]], Field(max_length=MAX_ROWS)]
Metres = Annotated[float, Field(ge=-1e6, le=1e6)]
LabelColumns = Annotated[dict[Name, NamesById], Field(max_length=16)]
Models = Annotated[list[Label], Field(max_length=64)]
ReportSeq = Annotated[int, Field(ge=-1, lt=1 << 63)]
CauseText = tuple[Cause, Text]
Waited = Annotated[int, Field(ge=0, le=86_400_000_000_000)]  # a day
Timers = Annotated[list[Label], Field(max_length=MAX_NAMES)]
Lengths = Annotated[list[Annotated[int, Field(ge=0, le=MAX_PAYLOAD_BYTES)]], Field(max_length=MAX_PARTS)]


@with_config(_HEADER)
class ReportHeader(TypedDict):
    """The part of a report that stays the same while no target comes or goes; int64 counters follow it.

    `stamps` names the counters behind the sequence number and the RAN time.
    """

    v: Version
    node: Topic
    run: NotRequired[Run]
    level: Level
    period_ms: Milliseconds
    rows: Rows
    stamps: Annotated[list[Name], Field(max_length=64)]
    ids: Names
    names: Names
    labels: LabelColumns


@with_config(_HEADER)
class ActionHeader(TypedDict):
    """`columns`: the action's targets, then its parameters."""

    v: Version
    id: Name
    xapp: Topic
    node: Topic
    seq: Count
    action: Name
    columns: Names
    rows: Rows
    valid_until_ns: Signed
    lease_ms: Milliseconds | None
    atomic: bool
    models: Models
    asked: NotRequired[AskedForms]
    inferences: NotRequired[Inferences]
    report_seq: ReportSeq
    run: NotRequired[Run]
    stamps: Stamps


@with_config(_HEADER)
class ResultHeader(TypedDict):
    """The block's columns: `targets` id columns, status, cause, `values` applied values."""

    v: Version
    id: Name
    xapp: Topic
    node: Topic
    action: Name
    rows: Rows
    targets: Annotated[int, Field(ge=0, le=16)]
    values: Annotated[int, Field(ge=0, le=64)]
    causes: Annotated[list[CauseText], Field(min_length=1, max_length=256)]
    ran_time_ns: Signed
    stamps: Stamps


@with_config(_HEADER)
class PlaceHeader(TypedDict):
    """Where a cell stands: x to the right, y up; `azimuth_deg` counter-clockwise from the x axis, null without a main lobe."""

    site: Label
    x_m: Metres
    y_m: Metres
    azimuth_deg: Annotated[float, Field(ge=0, lt=360)] | None
    height_m: Metres | None
    beam_width_deg: NotRequired[Annotated[float, Field(gt=0, le=360)] | None]


@with_config(_HEADER)
class RelationHeader(TypedDict):
    """One row of a cell's neighbour relation table (TS 38.300 15.3.3); attributes as in NRCellRelation of TS 28.541."""

    cell: DenseId
    name: Label
    is_ho_allowed: NotRequired[bool]
    cell_individual_offset_db: NotRequired[Annotated[float, Field(ge=-24, le=24)] | None]


@with_config(_HEADER)
class CatalogueHeader(TypedDict):
    v: Version
    node: Topic
    measurements: dict[Level, Annotated[list[Name], Field(max_length=1024)]]
    actions: Names
    periods_ms: Annotated[list[Milliseconds], Field(max_length=64)]
    cells: NamesById
    slices: NotRequired[NamesById]
    slice_min_pct: NotRequired[Shares]
    control_delay_ms: Annotated[float, Field(gt=0, le=86_400_000)]
    run: NotRequired[Run]
    geometry: NotRequired[Annotated[dict[DenseId, PlaceHeader], Field(max_length=MAX_ROWS)]]
    neighbours: NotRequired[
        Annotated[
            dict[DenseId, Annotated[list[RelationHeader], Field(max_length=MAX_NEIGHBOURS)]],
            Field(max_length=MAX_ROWS),
        ]
    ]
    scheduler_models: NotRequired[NamesById]


@with_config(_HEADER)
class PresenceHeader(TypedDict):
    v: Version
    name: Topic
    alive: bool
    facts: Annotated[dict[Label, Any], Field(max_length=256)]


@with_config(_HEADER)
class StandingOrder(TypedDict):
    id: Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,64}$")]
    kill: bool | None
    xapp: Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,64}$")]
    autonomy: Literal["", "observe", "recommend", "act"]
    by: NotRequired[Operator]


@with_config(_HEADER)
class OrderHeader(StandingOrder):
    v: Version


@with_config(_HEADER)
class StandingHeader(TypedDict):
    """`orders`: `all`, the node's name or `node/xapp` -> the order that stands there."""

    v: Version
    node: Topic
    order: OrderId
    killed: bool
    autonomy: Annotated[dict[Topic, Literal["observe", "recommend", "act"]], Field(max_length=256)]
    orders: NotRequired[Annotated[dict[Place, StandingOrder], Field(max_length=258)]]
    shut_out: NotRequired[Annotated[dict[Topic, OrderId], Field(max_length=256)]]
    refused: NotRequired[Annotated[str, Field(max_length=1024)]]


@with_config(_HEADER)
class AdmissionHeader(TypedDict):
    """`rights`: `streams` and `actions` as in a manifest, and `shard` (2/4) of a part of the nodes; not needed where `admitted` is false."""

    v: Version
    id: OrderId
    xapp: Topic
    admitted: bool
    rights: NotRequired[dict[str, Any]]
    autonomy: NotRequired[Literal["observe", "recommend", "act"]]
    priority: NotRequired[Annotated[int, Field(ge=-1_000_000, le=1_000_000)]]
    encoding: NotRequired[Literal["binary", "json"]]
    by: NotRequired[Operator]


@with_config(_HEADER)
class SettingsForm(TypedDict):
    """`values`: setting -> value; all that an operator has changed."""

    id: OrderId
    values: Annotated[dict[Label, bool | Signed | float | Label], Field(max_length=MAX_NAMES)]
    by: NotRequired[Operator]


@with_config(_HEADER)
class SettingsHeader(SettingsForm):
    v: Version


@with_config(_HEADER)
class AlarmForm(TypedDict):
    """An active alarm; severities are the perceived severities of ITU-T X.733."""

    name: Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]
    severity: Severity
    node: NotRequired[Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,64}$")]]
    target: NotRequired[Label]
    text: NotRequired[Label]
    since_ns: NotRequired[Count]


@with_config(_HEADER)
class AlarmsHeader(TypedDict):
    """`active`: all alarms that are; one that is missing is cleared. No two have the same name, node and target."""

    v: Version
    xapp: Topic
    active: Annotated[list[AlarmForm], Field(max_length=MAX_ALARMS)]
    left_out: NotRequired[Count]


@with_config(_HEADER)
class StepHeader(TypedDict):
    """`reports` and `results` are the lengths in bytes of the messages that follow, in this order."""

    v: Version
    host: Topic
    step: Count
    ran_time_ns: Count
    reports: Lengths
    results: Lengths
    timers: Timers
    settings: NotRequired[SettingsForm]
    last: bool


@with_config(_HEADER)
class AnswerHeader(TypedDict):
    """`batches` are the lengths in bytes of the messages that follow."""

    v: Version
    xapp: Topic
    step: Count
    batches: Lengths
    waited_ns: NotRequired[Waited]
    error: Text


REPORT = validator(ReportHeader)
ACTION = validator(ActionHeader)
RESULT = validator(ResultHeader)
CATALOGUE = validator(CatalogueHeader)
PRESENCE = validator(PresenceHeader)
ORDER = validator(OrderHeader)
STANDING = validator(StandingHeader)
ADMISSION = validator(AdmissionHeader)
SETTINGS = validator(SettingsHeader)
ALARMS = validator(AlarmsHeader)
STEP = validator(StepHeader)
ANSWER = validator(AnswerHeader)
