"""The JSON form of reports, actions, results, steps and answers: the keys and their bounds.

A block of the binary form is plain columns here, by name, so that readers and writers need nothing but a JSON parser.
`null` is "no value". Unknown keys are ignored, and the order of keys means nothing. All other messages are JSON in both
forms: `headers`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from ranloop.vocabulary import ACTIONS, ID_COLUMNS, Level
from ranloop.vocabulary.page import range_text
from ranloop.wire.asked import AskedForms
from ranloop.wire.checking import validator
from ranloop.wire.frame import MAX_ROWS
from ranloop.wire.headers import (
    MAX_NAMES,
    MAX_PARTS,
    CauseText,
    Count,
    DenseId,
    LabelColumns,
    Milliseconds,
    Models,
    Name,
    ReportSeq,
    Run,
    SettingsForm,
    Signed,
    Stamps,
    Text,
    Timers,
    Topic,
    Version,
    Waited,
)
from ranloop.wire.inference import Inferences

_FORM = ConfigDict(strict=True, allow_inf_nan=False)
_MAX_TARGETS, _MAX_VALUES = 16, 64

Status = Literal[
    "applied", "refused", "expired", "unknown", "recommended", "ended"
]  # wire.Status, in its order
Ids = Annotated[list[DenseId], Field(max_length=MAX_ROWS)]
Numbers = Annotated[list[float], Field(max_length=MAX_ROWS)]
Measured = Annotated[list[float | None], Field(max_length=MAX_ROWS)]


def _columns_of_levels(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema which id columns a level has."""
    schema["allOf"] = [
        _if("level", level, ids=_exactly({column: {} for column in columns}))
        for level, columns in ID_COLUMNS.items()
    ]


def _columns_of_actions(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema which columns an action has; ranges are for people, the guard judges them."""
    schema["allOf"] = [
        _if(
            "action",
            kind.spec.name,
            targets=_exactly({column: {} for column in kind.spec.targets}),
            parameters=_exactly(
                {
                    p.name: {"description": f"{range_text(p.low, p.high)}, unit: {p.unit}"}
                    for p in kind.spec.parameters
                }
            ),
        )
        for kind in ACTIONS.values()
    ]


def _if(key: str, value: str, **then: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {key: {"const": value}}}, "then": {"properties": then}}


def _exactly(columns: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {"properties": columns, "required": list(columns), "maxProperties": len(columns)}


@with_config(_FORM | ConfigDict(json_schema_extra=_columns_of_levels))
class ReportForm(TypedDict):
    """A KPM report: all targets of one level of one node, for one granularity period.

    All columns have the same length, one entry per target. `ids` has the id columns of the level: `cell` for cells,
    `ue` and `cell` for UEs, `slice` and `cell` for slices, `ue`, `cell`, `five_qi` and `slice` for QoS flows, `ue`, `cell`
    and `measured_cell` for cells that UEs measure, the serving `cell` first.
    """

    v: Version
    node: Topic
    run: NotRequired[Annotated[Run, Field(description="Run of the host; an action batch repeats it.")]]
    level: Level
    period_ms: Milliseconds
    seq: Annotated[
        Count, Field(description="Counts the periods of this stream from 0; a gap is a lost report.")
    ]
    ran_time_ns: Annotated[Count, Field(description="RAN time at the end of the period.")]
    ids: Annotated[dict[Name, Ids], Field(max_length=16)]
    labels: Annotated[LabelColumns, Field(description="Id column -> {id: the node's own name of it}.")]
    values: Annotated[
        dict[Name, Measured],
        Field(
            max_length=MAX_NAMES,
            description="Measurement -> column, in catalogue units; null is no value, never 0.",
        ),
    ]
    stamps: NotRequired[Stamps]


@with_config(_FORM | ConfigDict(json_schema_extra=_columns_of_actions))
class ActionForm(TypedDict):
    """The state that one xApp wants for targets of one node: one action type, columns of one length."""

    v: Version
    id: Annotated[Name, Field(description="Unique for ever; a retry has the same id.")]
    xapp: Topic
    node: Topic
    seq: Annotated[Count, Field(description="The xApp's own counter.")]
    action: Name
    targets: Annotated[dict[Name, Ids], Field(max_length=_MAX_TARGETS)]
    parameters: Annotated[dict[Name, Numbers], Field(max_length=_MAX_VALUES)]
    valid_until_ns: Annotated[
        Signed, Field(description="RAN time after which the batch must not take effect any more.")
    ]
    lease_ms: NotRequired[
        Annotated[
            Milliseconds | None,
            Field(description="RAN time that a setting lives without renewal; null for a one-shot."),
        ]
    ]
    atomic: NotRequired[Annotated[bool, Field(description="All targets or none; false if left out.")]]
    models: NotRequired[Models]
    asked: NotRequired[
        Annotated[AskedForms, Field(description="What models were asked and said about some of the targets.")]
    ]
    inferences: NotRequired[
        Annotated[Inferences, Field(description="Where the answers of the models came from.")]
    ]
    report_seq: NotRequired[
        Annotated[
            ReportSeq,
            Field(description="Sequence number of the report that the decision rests on; -1 is none."),
        ]
    ]
    run: NotRequired[
        Annotated[
            Run,
            Field(
                description="Run of the host, from its reports or its catalogue; a batch of another run is refused."
            ),
        ]
    ]
    stamps: NotRequired[Stamps]


@with_config(_FORM)
class ResultForm(TypedDict):
    """The answer of guard and node to an action batch, target by target: columns of one length.

    Columns of an action that the catalogue does not have are called 0, 1, 2, ...
    """

    v: Version
    id: Annotated[Name, Field(description="Id of the action batch.")]
    xapp: Topic
    node: Topic
    action: Name
    targets: Annotated[dict[Name, Ids], Field(max_length=_MAX_TARGETS)]
    status: Annotated[list[Status], Field(max_length=MAX_ROWS)]
    cause: Annotated[
        list[Annotated[int, Field(ge=0, le=255)]],
        Field(max_length=MAX_ROWS, description="An index into `causes` for each target."),
    ]
    causes: Annotated[list[CauseText], Field(min_length=1, max_length=256)]
    applied: Annotated[
        dict[Name, Measured],
        Field(
            max_length=_MAX_VALUES,
            description="Parameter -> values in force afterwards; null where nothing was applied.",
        ),
    ]
    ran_time_ns: Signed
    stamps: NotRequired[Stamps]


@with_config(_FORM)
class StepForm(TypedDict):
    """Lockstep: everything that is due for one xApp at one instant."""

    v: Version
    host: Topic
    step: Count
    ran_time_ns: Count
    reports: Annotated[list[ReportForm], Field(max_length=MAX_PARTS)]
    results: Annotated[list[ResultForm], Field(max_length=MAX_PARTS)]
    timers: Timers
    settings: NotRequired[
        Annotated[
            SettingsForm,
            Field(
                description="The operator's values; in force before the rest of the step. Left out if none."
            ),
        ]
    ]
    last: bool


@with_config(_FORM)
class AnswerForm(TypedDict):
    """Lockstep: everything one xApp wants after one step; no batches if nothing."""

    v: Version
    xapp: Topic
    step: Count
    batches: Annotated[list[ActionForm], Field(max_length=MAX_PARTS)]
    waited_ns: NotRequired[
        Annotated[
            Waited,
            Field(
                description="RAN time for which it waited for models of other tiers; its actions are judged so much later."
            ),
        ]
    ]
    error: NotRequired[
        Annotated[
            Text, Field(description="The error for which the xApp gave up; the host then stops the run.")
        ]
    ]


REPORT = validator(ReportForm)
ACTION = validator(ActionForm)
RESULT = validator(ResultForm)
STEP = validator(StepForm)
ANSWER = validator(AnswerForm)
