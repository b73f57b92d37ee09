"""What a host and a RAN node of another program say to each other: one JSON object a line, told apart by its `kind`.

    node to host   catalogue (once, first), report (as to an xApp, in JSON), applied
    host to node   change: what is to be in force from now on; the node answers each with one `applied`

`null` as a parameter of a change means the value of the node's own configuration. `null` as a value in an answer means
that the target is not at the node.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import ConfigDict, Field, with_config
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict

from ranloop.errors import WireError
from ranloop.vocabulary import Action
from ranloop.wire.checking import parse, validator
from ranloop.wire.codec import decode_catalogue, decode_report
from ranloop.wire.forms import Ids, Measured
from ranloop.wire.headers import Count, Name, Version
from ranloop.wire.messages import F32, WIRE_VERSION, Catalogue, Report
from ranloop.wire.plain import MAX_JSON_BYTES, shortest

__all__ = ("AppliedForm", "ChangeForm", "NodeSaid", "decode_line", "encode_change")

_FORM = ConfigDict(strict=True, allow_inf_nan=False)


@with_config(_FORM)
class ChangeForm(TypedDict):
    """What a node is to put in force from its current slot on: one action type, columns of one length."""

    v: Version
    kind: Literal["change"]
    number: Annotated[Count, Field(description="Counts the changes; the answer repeats it.")]
    action: Name
    targets: Annotated[dict[Name, Ids], Field(max_length=16)]
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
        Field(max_length=64, description="By parameter; null is a target that is not at the node."),
    ]


_APPLIED = validator(AppliedForm)
NodeSaid = Catalogue | Report | tuple[int, dict[str, F32]]


def encode_change(number: int, action: Action) -> bytes:
    """A change as the line that a node reads."""
    spec, values = action.spec, action.parameters()
    columns = shortest(values).T.tolist()
    change = {
        "v": WIRE_VERSION,
        "kind": "change",
        "number": number,
        "action": spec.name,
        "targets": dict(zip(spec.targets, action.targets().T.tolist(), strict=True)),
        "parameters": dict(zip(spec.parameter_names, columns, strict=True)),
    }
    return to_json(change, inf_nan_mode="null") + b"\n"


def decode_line(line: bytes) -> NodeSaid:
    """What a node said: its catalogue, a report, or the number of a change and the values in force by parameter.

    Raises:
        WireError: None of these.
    """
    if len(line) > MAX_JSON_BYTES:
        raise WireError(f"a line of {len(line)} bytes or more; at most {MAX_JSON_BYTES} are read")
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
        return form["number"], {name: _column(values) for name, values in form["values"].items()}
    raise WireError(f"a line of kind {_brief(kind)}; want catalogue, report or applied")


def _column(values: list[float | None]) -> F32:
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(np.float32)


def _brief(value: Any) -> str:
    return repr(value)[:40]
