"""Action batches and their results as bytes: one header line and one block, rows = targets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ranloop.errors import VocabularyError, WireError
from ranloop.vocabulary import ACTIONS, action_type
from ranloop.wire import headers
from ranloop.wire.asked import asked_key, asked_of
from ranloop.wire.checking import parse
from ranloop.wire.frame import (
    LITTLE_F32,
    dense_ids,
    first_line,
    json_line,
    matrix,
    none_infinite,
)
from ranloop.wire.inference import inferences_key, inferences_of
from ranloop.wire.messages import F32, I32, WIRE_VERSION, ActionBatch, Result, Status
from ranloop.wire.plain import decode_plain_action_batch, decode_plain_result, is_json

# Action -> the columns of its block: targets, then parameters.
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: kind.spec.targets + kind.spec.parameter_names for name, kind in ACTIONS.items()}
)


_BLOCKS_KEPT = 64
_BYTES_KEPT = 1 << 14  # of one block: the ids of 4096 UEs
_T = TypeVar("_T")
_Seen = tuple[tuple[int, ...], bytes]  # bytes of small columns of whole numbers, and other short keys
_Fates = tuple[I32, NDArray[np.uint8], NDArray[np.uint8]]
# Findings about columns that have been seen lately. Plain dicts: single operations on them are atomic between threads.
_known_targets: dict[_Seen, tuple[I32, ...]] = {}
_known_fates: dict[_Seen, _Fates] = {}


def encode_action_batch(batch: ActionBatch) -> bytes:
    spec, block = batch.action.spec, batch.action.table().astype(LITTLE_F32, copy=False)
    header = {
        "v": WIRE_VERSION,
        "id": batch.id,
        "xapp": batch.xapp,
        "node": batch.node,
        "seq": batch.seq,
        "action": spec.name,
        "columns": COLUMNS[spec.name],
        "rows": len(block),
        "valid_until_ns": batch.valid_until_ns,
        "lease_ms": batch.lease_ms,
        "atomic": batch.atomic,
        "models": batch.models,
        **inferences_key(batch.inferences),
        "report_seq": batch.report_seq,
        "run": batch.run,
        "stamps": dict(batch.stamps),
        **asked_key(batch.asked),
    }
    return json_line(header) + block.tobytes()


def decode_action_batch(payload: bytes) -> ActionBatch:
    """The action batch in `payload`, in either form.

    Raises:
        WireError: Not an action batch of wire version 1 within bounds, or an action that the catalogue does not have.
    """
    if is_json(payload, "action batch"):
        return decode_plain_action_batch(payload)
    line, start = first_line(payload, "action batch")
    header = cast(headers.ActionHeader, parse(headers.ACTION, line, "action batch"))
    try:
        kind = action_type(header["action"])
    except VocabularyError as error:
        raise WireError(f"action batch: {error}") from error
    wanted = COLUMNS[kind.spec.name]
    if tuple(header["columns"]) != wanted:
        raise WireError(
            f"action batch: the columns of {kind.spec.name} are {wanted}, not {header['columns'][:8]}"
        )
    block = matrix(payload, start, header["rows"], len(wanted), "action batch")
    n_keys = len(kind.spec.targets)
    targets = _targets(block[:, :n_keys])
    # The ids are checked by now, so only a parameter can be not finite. One look at the block is faster than at its columns.
    if np.count_nonzero(np.isfinite(block)) != block.size:
        raise WireError(f"action batch: a parameter of {kind.spec.name} is not a finite number")
    # A copy: columns outlive the message, and views of it would keep all its padding.
    parameters = np.array(block.T[n_keys:], order="C")
    parameters.flags.writeable = False
    action = kind.adopt((*targets, *parameters))
    return ActionBatch(
        id=header["id"],
        xapp=header["xapp"],
        node=header["node"],
        seq=header["seq"],
        action=action,
        valid_until_ns=header["valid_until_ns"],
        lease_ms=header["lease_ms"],
        atomic=header["atomic"],
        models=tuple(header["models"]),
        inferences=inferences_of(header.get("inferences", ())),
        report_seq=header["report_seq"],
        run=header.get("run", ""),
        stamps=MappingProxyType(header["stamps"]),
        asked=asked_of(header.get("asked", ())),
    )


def _targets(ids: F32) -> tuple[I32, ...]:
    """The id columns of an action, read-only.

    An xApp that renews its settings names the same targets each time. They are then the same arrays as before, and
    the guard's findings about them still hold.
    """
    seen = ids.shape, ids.tobytes()
    known = _known_targets.get(seen)
    if known is None:
        columns = np.ascontiguousarray(dense_ids(ids, "action batch").T)
        columns.flags.writeable = False
        known = tuple(columns)
        _keep(_known_targets, seen, known)
    return known


def _keep(memory: dict[_Seen, _T], seen: _Seen, found: _T) -> None:
    if len(seen[1]) > _BYTES_KEPT:
        return
    if len(memory) >= _BLOCKS_KEPT:
        memory.clear()
    memory[seen] = found


def encode_result(result: Result) -> bytes:
    n, n_keys = result.targets.shape
    n_values = result.applied.shape[1]
    block = np.empty((n, n_keys + 2 + n_values), LITTLE_F32)
    block[:, :n_keys] = result.targets
    block[:, n_keys] = result.status
    block[:, n_keys + 1] = result.cause
    block[:, n_keys + 2 :] = result.applied
    header = {
        "v": WIRE_VERSION,
        "id": result.id,
        "xapp": result.xapp,
        "node": result.node,
        "action": result.action,
        "rows": n,
        "targets": n_keys,
        "values": n_values,
        "causes": result.causes,
        "ran_time_ns": result.ran_time_ns,
        "stamps": dict(result.stamps),
    }
    return json_line(header) + block.tobytes()


def decode_result(payload: bytes) -> Result:
    """The result in `payload`, in either form; its arrays are read-only.

    The action need not be in the catalogue: a batch that was refused for its unknown action has a result, too.

    Raises:
        WireError: Not a result of wire version 1 within bounds.
    """
    if is_json(payload, "result"):
        return decode_plain_result(payload)
    line, start = first_line(payload, "result")
    header = cast(headers.ResultHeader, parse(headers.RESULT, line, "result"))
    n_keys, causes = header["targets"], tuple(header["causes"])
    block = matrix(payload, start, header["rows"], n_keys + 2 + header["values"], "result")
    applied = block[:, n_keys + 2 :]
    none_infinite(applied, "result")
    targets, status, cause = _fates(block[:, : n_keys + 2], len(causes))
    return Result(
        id=header["id"],
        xapp=header["xapp"],
        node=header["node"],
        action=header["action"],
        targets=targets,
        status=status,
        cause=cause,
        causes=causes,
        applied=applied,
        ran_time_ns=header["ran_time_ns"],
        stamps=MappingProxyType(header["stamps"]),
    )


def _fates(columns: F32, n_causes: int) -> _Fates:
    """Targets, status and cause of a result; where all goes well they are as they were in the one before."""
    seen = (*columns.shape, n_causes), columns.tobytes()
    known = _known_fates.get(seen)
    if known is None:
        whole = dense_ids(columns, "result")
        whole.flags.writeable = False
        status = _index(whole[:, -2], len(Status), "status")
        known = whole[:, :-2], status, _index(whole[:, -1], n_causes, "cause")
        _keep(_known_fates, seen, known)
    return known


def _index(column: I32, below: int, what: str) -> NDArray[np.uint8]:
    """Whole numbers as bytes, each in [0, `below`), `below` at most 256."""
    narrow = column.astype(np.uint8)
    if len(column) and np.maximum.reduce(column) >= below:
        raise WireError(f"result: {what}: {column.max()} is not below {below}")
    narrow.flags.writeable = False
    return narrow
