"""What an xApp asks of an inference host, and its answer: one header line and one block, rows first.

Times in them are spans, never clocks: the two machines need not agree on the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import numpy as np
from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from ranloop.errors import WireError
from ranloop.wire.checking import parse, validator
from ranloop.wire.frame import (
    LITTLE_F32,
    MAX_PAYLOAD_BYTES,
    MAX_ROWS,
    first_line,
    json_line,
    matrix,
    within,
)
from ranloop.wire.headers import Count, Label, Name, Rows, Topic, Version
from ranloop.wire.messages import F32, WIRE_VERSION

__all__ = (
    "Asked",
    "AskedHeader",
    "Inferred",
    "InferredHeader",
    "decode_asked",
    "decode_inferred",
    "encode_asked",
    "encode_inferred",
)

MAX_COLUMNS = 1 << 16  # values of one row
_MOST_MS = 60_000
State = Literal["ok", "busy", "late", "unknown-model", "wrong-shape", "failed"]
Milliseconds = Annotated[float, Field(ge=0, le=86_400_000)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """A question to one inference host.

    Attributes:
        number: Of the question, in this run of the asker.
        run: Of the asker.
        model: "name@hash".
        within_ms: Time after which the answer is of no use.
        matrix: float32, [n, n_features] or [n, n_steps, n_features].
    """

    number: int
    run: str
    xapp: str
    model: str
    within_ms: float
    matrix: F32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inferred:
    """The answer to one question.

    Attributes:
        number: The question's.
        run: The asker's.
        model: The question's.
        state: "ok", or why there are no outputs.
        waited_ms: In the host's queue.
        took_ms: Of the model, for the batch that the question was in.
        outputs: [n, n_outputs]; no rows where the state is not "ok".
    """

    number: int
    run: str
    replica: str
    model: str
    state: State
    waited_ms: float = 0.0
    took_ms: float = 0.0
    outputs: F32


_HEADER = ConfigDict(strict=True, allow_inf_nan=False)


@with_config(_HEADER)
class AskedHeader(TypedDict):
    """`row`: shape of a row."""

    v: Version
    number: Count
    run: Name
    xapp: Topic
    model: Label
    within_ms: Annotated[float, Field(gt=0, le=_MOST_MS)]
    rows: Annotated[int, Field(ge=1, le=MAX_ROWS)]
    row: Annotated[list[Annotated[int, Field(ge=1, le=MAX_COLUMNS)]], Field(min_length=1, max_length=2)]


@with_config(_HEADER)
class InferredHeader(TypedDict):
    """`columns`: outputs of a row."""

    v: Version
    number: Count
    run: Name
    replica: Topic
    model: Label
    state: State
    waited_ms: Milliseconds
    took_ms: Milliseconds
    rows: Rows
    columns: Annotated[int, Field(ge=0, le=MAX_COLUMNS)]


_ASKED, _INFERRED = validator(AskedHeader), validator(InferredHeader)


def encode_asked(asked: Asked) -> bytes:
    """The question as it travels.

    Raises:
        WireError: It is larger than a reader takes.
    """
    header = {
        "v": WIRE_VERSION,
        "number": asked.number,
        "run": asked.run,
        "xapp": asked.xapp,
        "model": asked.model,
        "within_ms": asked.within_ms,
        "rows": len(asked.matrix),
        "row": asked.matrix.shape[1:],
    }
    block = asked.matrix.astype(LITTLE_F32, copy=False).tobytes()
    return within(json_line(header) + block, MAX_PAYLOAD_BYTES, "question")


def decode_asked(payload: bytes) -> Asked:
    """The question in `payload`. NaN is a value that is missing; a model may be made for that.

    Raises:
        WireError: Not a question of wire version 1 within bounds.
    """
    line, start = first_line(payload, "question")
    header = cast(AskedHeader, parse(_ASKED, line, "question"))
    n_columns = math.prod(header["row"])
    if n_columns > MAX_COLUMNS:
        raise WireError(f"question: a row of {n_columns} values; at most {MAX_COLUMNS} are read")
    block = matrix(payload, start, header["rows"], n_columns, "question")
    return Asked(
        number=header["number"],
        run=header["run"],
        xapp=header["xapp"],
        model=header["model"],
        within_ms=header["within_ms"],
        matrix=block.reshape(header["rows"], *header["row"]),
    )


def encode_inferred(inferred: Inferred) -> bytes:
    header = {
        "v": WIRE_VERSION,
        "number": inferred.number,
        "run": inferred.run,
        "replica": inferred.replica,
        "model": inferred.model,
        "state": inferred.state,
        "waited_ms": inferred.waited_ms,
        "took_ms": inferred.took_ms,
        "rows": inferred.outputs.shape[0],
        "columns": inferred.outputs.shape[1],
    }
    return json_line(header) + inferred.outputs.astype(LITTLE_F32, copy=False).tobytes()


def decode_inferred(payload: bytes) -> Inferred:
    """The answer in `payload`; all its outputs are finite.

    Raises:
        WireError: Not an answer of wire version 1 within bounds.
    """
    line, start = first_line(payload, "inference")
    header = cast(InferredHeader, parse(_INFERRED, line, "inference"))
    outputs = matrix(payload, start, header["rows"], header["columns"], "inference")
    if not np.isfinite(outputs).all():
        raise WireError("inference: an output is not a finite number")
    return Inferred(
        number=header["number"],
        run=header["run"],
        replica=header["replica"],
        model=header["model"],
        state=header["state"],
        waited_ms=header["waited_ms"],
        took_ms=header["took_ms"],
        outputs=outputs,
    )
