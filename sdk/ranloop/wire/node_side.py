"""The messages between a host and a RAN node of another program: one JSON object a line, told apart by its `kind`.

    node to host   catalogue (once, first), report (as to an xApp, in JSON), applied
    host to node   change: values to put in force from now on; the node answers each with one `applied`

`null` as a parameter of a change means the value of the node's own configuration. `null` as a value in an answer means
that nothing was done there: the target is not at the node, or `reasons` has the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, cast

import numpy as np
import orjson
from pydantic import ConfigDict, Field, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from ranloop.errors import WireError
from ranloop.vocabulary import Action
from ranloop.wire.checking import parse, too_many_brackets, validator
from ranloop.wire.codec import decode_catalogue, decode_report
from ranloop.wire.forms import Ids, Measured
from ranloop.wire.frame import MAX_ROWS
from ranloop.wire.headers import Count, DenseId, Label, Name, Version
from ranloop.wire.messages import F32, WIRE_VERSION, Catalogue, Report
from ranloop.wire.plain import MAX_JSON_BYTES

__all__ = ("AppliedForm", "ChangeForm", "NodeSaid", "decode_line", "encode_change")

_FORM = ConfigDict(strict=True, allow_inf_nan=False)


@with_config(_FORM)
class ChangeForm(TypedDict):
    """Values to put in force from the node's current slot on: one action type, columns of one length."""

    v: Version
    kind: Literal["change"]
    number: Annotated[Count, Field(description="Counts the changes; the answer repeats it.")]
    action: Name
    targets: Annotated[dict[Name, Ids], Field(max_length=16)]
    atomic: Annotated[bool, Field(description="All targets or none.")]
    parameters: Annotated[
        dict[Name, Measured],
        Field(max_length=64, description="null is the value of the node's own configuration."),
    ]


@with_config(_FORM)
class AppliedForm(TypedDict):
    """A node's answer to one change: the values in force afterwards, in the order of the change's targets."""

    v: Version
    kind: Literal["applied"]
    number: Count
    values: Annotated[
        dict[Name, Measured],
        Field(max_length=64, description="By parameter; null is a target at which nothing was done."),
    ]
    reasons: NotRequired[
        Annotated[
            dict[DenseId, Label],
            Field(
                max_length=MAX_ROWS,
                description="Row -> why nothing was done; without one it is not at the node.",
            ),
        ]
    ]


_APPLIED = validator(AppliedForm)


class Answered(NamedTuple):
    """A node's answer: the number of the change, the values in force by parameter, and why some rows have none."""

    number: int
    values: Mapping[str, F32]
    reasons: Mapping[int, str]


NodeSaid = Catalogue | Report | Answered


def encode_change(number: int, action: Action, *, atomic: bool = False) -> bytes:
    """A change as the line that a node reads."""
    spec, values = action.spec, np.ascontiguousarray(action.parameters().T)
    change = {
        "v": WIRE_VERSION,
        "kind": "change",
        "number": number,
        "action": spec.name,
        "atomic": atomic,
        "targets": dict(zip(spec.targets, action.targets().T.tolist(), strict=True)),
        "parameters": dict(zip(spec.parameter_names, values, strict=True)),
    }
    return orjson.dumps(change, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def decode_line(line: bytes) -> NodeSaid:
    """The message in a node's line: its catalogue, a report, or an answer.

    Raises:
        WireError: The line is none of these.
    """
    if len(line) > MAX_JSON_BYTES:
        raise WireError(f"a line of {len(line)} bytes or more; at most {MAX_JSON_BYTES} are read")
    if too_many_brackets(line):
        raise WireError("a line with more brackets than its columns need")
    try:
        said = from_json(line)
    except ValueError as error:
        raise WireError(f"a line that is no JSON: {error}") from error
    kind = said.get("kind") if isinstance(said, dict) else None
    if kind == "catalogue":
        return decode_catalogue(line)
    if kind == "report":
        return decode_report(line)
    if kind == "applied":
        form = cast(AppliedForm, parse(_APPLIED, line, "applied"))
        values = {name: _column(column) for name, column in form["values"].items()}
        return Answered(form["number"], values, form.get("reasons", {}))
    raise WireError(f"a line of kind {_brief(kind)}; want catalogue, report or applied")


def _column(values: list[float | None]) -> F32:
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(np.float32)


def _brief(value: Any) -> str:
    return repr(value)[:40]
