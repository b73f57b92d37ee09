"""The JSON form of a message: one plain object with columns, for xApps in other languages; `forms` has its keys.

Both forms travel on the same topics and are told apart by content. A binary message is a header, complete on its
first line, that counts the `rows` of the block behind it; a JSON message has nothing behind it and no `rows`.

Numbers are the shortest decimals that are the same float32 again, so nothing is lost on the way through JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, cast

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic_core import SchemaValidator, from_json

from ranloop.errors import VocabularyError, WireError
from ranloop.foreign import some_lines
from ranloop.vocabulary import ACTIONS, ID_COLUMNS, action_type
from ranloop.wire import forms
from ranloop.wire.asked import asked_key, asked_of
from ranloop.wire.checking import parse, too_many_brackets
from ranloop.wire.frame import LITTLE_F32, dense_ids, most_header_bytes, within
from ranloop.wire.headers import MAX_TEXT
from ranloop.wire.inference import inferences_key, inferences_of
from ranloop.wire.messages import (
    F32,
    I32,
    WIRE_VERSION,
    ActionBatch,
    Answer,
    Labels,
    Message,
    Report,
    Result,
    Status,
    Step,
)
from ranloop.wire.settings import settings_key, settings_of

# A parser's objects take ten times the bytes of their JSON and more.
MAX_JSON_BYTES = 1 << 22
MAX_JSON_BATCH_BYTES = 1 << 20  # of an action batch: some 40,000 targets
_STATUS = [status.name.lower() for status in Status]
# Arrays as they are, float32 as the shortest decimal that is the same float32, NaN as null; dense ids as keys.
_WITH_ARRAYS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_JSON_ENDS = b"} \t\r\n"  # as the last byte of a float32: beyond 10**37, or below 10**-18 and not 0
_Array = TypeVar("_Array", bound=NDArray[Any])
_Column = Sequence[float | None]


def is_json(payload: bytes, what: str = "") -> bool:
    """Whether a message is in the JSON form, be it valid or not."""
    end = payload.find(b"\n")
    if end < 0 or not payload[:end].rstrip().endswith(b"}"):
        return True  # on one line, or spread over several
    if payload[-1] not in _JSON_ENDS:
        return False
    if end > most_header_bytes(what) or too_many_brackets(payload[:end]):
        return True
    try:  # rare: a JSON text broken behind a "}", or a binary message that happens to end so or has no row
        header = from_json(payload[:end])
    except ValueError:
        return True
    return not isinstance(header, dict) or ("rows" not in header and not payload[end:].strip())


# To JSON


def encode_plain(message: Message) -> bytes:
    """The JSON form of a report, action batch, result, step or answer.

    Raises:
        ValueError: It has an infinite value, or takes more bytes than are read.
    """
    payload = orjson.dumps(_FORMS[type(message)](message), option=_WITH_ARRAYS)
    most = MAX_JSON_BATCH_BYTES if isinstance(message, ActionBatch) else MAX_JSON_BYTES
    if len(payload) > most:
        raise ValueError(f"{len(payload)} bytes of JSON; at most {most} are read")
    return payload


def _report_form(report: Report) -> dict[str, Any]:
    n_ids = len(report.ids)
    return {
        "v": WIRE_VERSION,
        "node": report.node,
        "run": report.run,
        "level": report.level,
        "period_ms": report.period_ms,
        "seq": report.seq,
        "ran_time_ns": report.ran_time_ns,
        "ids": _id_columns(report.ids, _whole(report.block[:, :n_ids])),
        "labels": {column: dict(names) for column, names in report.labels.items()},
        "values": _value_columns(report.names, report.block[:, n_ids:]),
        "stamps": dict(report.stamps),
    }


def _action_form(batch: ActionBatch) -> dict[str, Any]:
    spec = batch.action.spec
    return {
        "v": WIRE_VERSION,
        "id": batch.id,
        "xapp": batch.xapp,
        "node": batch.node,
        "seq": batch.seq,
        "action": spec.name,
        "targets": _id_columns(spec.targets, batch.action.targets()),
        "parameters": _value_columns(spec.parameter_names, batch.action.parameters()),
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


def _result_form(result: Result) -> dict[str, Any]:
    targets, parameters = _columns_of(result.action, result.targets.shape[1], result.applied.shape[1])
    return {
        "v": WIRE_VERSION,
        "id": result.id,
        "xapp": result.xapp,
        "node": result.node,
        "action": result.action,
        "targets": _id_columns(targets, result.targets),
        "status": [_STATUS[status] for status in result.status.tolist()],
        "cause": result.cause.tolist(),
        "causes": result.causes,
        "applied": _value_columns(parameters, result.applied),
        "ran_time_ns": result.ran_time_ns,
        "stamps": dict(result.stamps),
    }


def _step_form(step: Step) -> dict[str, Any]:
    return {
        "v": WIRE_VERSION,
        "host": step.host,
        "step": step.step,
        "ran_time_ns": step.ran_time_ns,
        "reports": [_report_form(report) for report in step.reports],
        "results": [_result_form(result) for result in step.results],
        "timers": step.timers,
        **settings_key(step),
        "last": step.last,
    }


def _answer_form(answer: Answer) -> dict[str, Any]:
    return {
        "v": WIRE_VERSION,
        "xapp": answer.xapp,
        "step": answer.step,
        "batches": [_action_form(batch) for batch in answer.batches],
        "waited_ns": answer.waited_ns,
        "error": answer.error[-MAX_TEXT:],  # as in the binary form
    }


def _columns_of(action: str, n_targets: int, n_values: int) -> tuple[Sequence[str], Sequence[str]]:
    """Names of the columns of a result; numbers where the catalogue has no such action."""
    spec = ACTIONS[action].spec if action in ACTIONS else None
    if spec and (len(spec.targets), len(spec.parameters)) == (n_targets, n_values):
        return spec.targets, spec.parameter_names
    return [*map(str, range(n_targets))], [*map(str, range(n_values))]


def _id_columns(names: Sequence[str], ids: I32) -> dict[str, I32]:
    return dict(zip(names, np.ascontiguousarray(ids.T), strict=True))


def _whole(ids: F32) -> I32:
    try:
        return dense_ids(ids, "report")
    except WireError as error:
        raise ValueError(f"this cannot be sent: {error}") from error


def _value_columns(names: Sequence[str], values: F32) -> dict[str, F32]:
    if np.isinf(values).any():
        raise ValueError("infinity is not a value; no value is NaN")
    return dict(zip(names, np.ascontiguousarray(values.T), strict=True))


# From JSON


def decode_plain_report(payload: bytes) -> Report:
    """The report in a JSON `payload`; see `decode_report`."""
    return _report(_read(forms.REPORT, payload, "report"))


def decode_plain_action_batch(payload: bytes) -> ActionBatch:
    """The action batch in a JSON `payload`; see `decode_action_batch`."""
    return _action_batch(_read(forms.ACTION, payload, "action batch", MAX_JSON_BATCH_BYTES))


def decode_plain_result(payload: bytes) -> Result:
    """The result in a JSON `payload`; see `decode_result`."""
    return _result(_read(forms.RESULT, payload, "result"))


def decode_plain_step(payload: bytes) -> Step:
    """The step in a JSON `payload`; see `decode_step`."""
    form = cast(forms.StepForm, _read(forms.STEP, payload, "step"))
    return Step(
        host=form["host"],
        step=form["step"],
        ran_time_ns=form["ran_time_ns"],
        reports=tuple(map(_report, form["reports"])),
        results=tuple(map(_result, form["results"])),
        timers=tuple(form["timers"]),
        settings=settings_of(form.get("settings")),
        last=form["last"],
    )


def decode_plain_answer(payload: bytes) -> Answer:
    """The answer in a JSON `payload`; see `decode_answer`."""
    form = cast(forms.AnswerForm, _read(forms.ANSWER, payload, "answer"))
    return Answer(
        xapp=form["xapp"],
        step=form["step"],
        batches=tuple(map(_action_batch, form["batches"])),
        waited_ns=form.get("waited_ns", 0),
        error=some_lines(form.get("error", ""), MAX_TEXT),
    )


def _read(validator: SchemaValidator, payload: bytes, what: str, most_bytes: int = MAX_JSON_BYTES) -> Any:
    return parse(validator, within(payload, most_bytes, what), what)


def _report(form: forms.ReportForm) -> Report:
    level, names = form["level"], tuple(form["values"])
    ids = _in_order(form["ids"], ID_COLUMNS[level], f"report: the id columns of level {level}")
    return Report(
        node=form["node"],
        level=level,
        period_ms=form["period_ms"],
        seq=form["seq"],
        ran_time_ns=form["ran_time_ns"],
        ids=ID_COLUMNS[level],
        names=names,
        block=_table([*ids, *form["values"].values()], [*ID_COLUMNS[level], *names], "report"),
        labels=Labels(form["labels"]),
        run=form.get("run", ""),
        stamps=MappingProxyType(form.get("stamps", {})),
    )


def _action_batch(form: forms.ActionForm) -> ActionBatch:
    try:
        kind = action_type(form["action"])
    except VocabularyError as error:
        raise WireError(f"action batch: {error}") from error
    names, n_keys = kind.spec.targets + kind.spec.parameter_names, len(kind.spec.targets)
    targets = _in_order(form["targets"], kind.spec.targets, f"action batch: the targets of {kind.spec.name}")
    parameters = _in_order(
        form["parameters"], kind.spec.parameter_names, f"action batch: the parameters of {kind.spec.name}"
    )
    table = _table([*targets, *parameters], names, "action batch")
    return ActionBatch(
        id=form["id"],
        xapp=form["xapp"],
        node=form["node"],
        seq=form["seq"],
        action=kind.from_columns(table[:, :n_keys].astype(np.int32), table[:, n_keys:]),
        valid_until_ns=form["valid_until_ns"],
        lease_ms=form.get("lease_ms"),
        atomic=form.get("atomic", False),
        models=tuple(form.get("models", ())),
        inferences=inferences_of(form.get("inferences", ())),
        report_seq=form.get("report_seq", -1),
        run=form.get("run", ""),
        stamps=MappingProxyType(form.get("stamps", {})),
        asked=asked_of(form.get("asked", ())),
    )


def _result(form: forms.ResultForm) -> Result:
    targets, applied, causes = form["targets"], form["applied"], tuple(form["causes"])
    names = _columns_of(form["action"], len(targets), len(applied))
    ids = _in_order(targets, names[0], f"result: the targets of {form['action']}")
    values = _in_order(applied, names[1], f"result: the parameters of {form['action']}")
    status = [_STATUS.index(word) for word in form["status"]]
    if form["cause"] and max(form["cause"]) >= len(causes):
        raise WireError(f"result: cause: {max(form['cause'])} is not below {len(causes)}")
    columns = [*ids, status, form["cause"], *values]
    table = _table(columns, [*names[0], "status", "cause", *names[1]], "result")
    n_keys = len(ids)
    return Result(
        id=form["id"],
        xapp=form["xapp"],
        node=form["node"],
        action=form["action"],
        targets=_frozen(table[:, :n_keys].astype(np.int32)),
        status=_frozen(table[:, n_keys].astype(np.uint8)),
        cause=_frozen(table[:, n_keys + 1].astype(np.uint8)),
        causes=causes,
        applied=table[:, n_keys + 2 :],
        ran_time_ns=form["ran_time_ns"],
        stamps=MappingProxyType(form.get("stamps", {})),
    )


def _in_order(columns: Mapping[str, _Column], wanted: Sequence[str], what: str) -> list[_Column]:
    """The columns that are wanted, in the order of the binary form."""
    if columns.keys() != set(wanted):
        raise WireError(f"{what} are {tuple(wanted)}, not {tuple(columns)[:8]}")
    return [columns[name] for name in wanted]


def _table(columns: Sequence[_Column], names: Sequence[str], what: str) -> F32:
    """Columns of one length side by side as read-only float32, shape [n_rows, n_columns]; None is NaN."""
    lengths = [len(column) for column in columns]
    if odd := [at for at, length in enumerate(lengths) if length != lengths[0]]:
        at = odd[0]
        raise WireError(f"{what}: {lengths[0]} entries of {names[0]}, {lengths[at]} of {names[at]}")
    table: F32 = np.empty((lengths[0], len(columns)), LITTLE_F32)
    with np.errstate(over="ignore"):  # too large for float32 becomes infinity, which is refused
        for at, column in enumerate(columns):
            table[:, at] = np.array(column, np.float64)
    if np.isinf(table).any():
        raise WireError(f"{what}: a value is beyond float32")
    return _frozen(table)


def _frozen(array: _Array) -> _Array:
    array.flags.writeable = False
    return array


_FORMS: dict[type, Any] = {
    ActionBatch: _action_form,
    Answer: _answer_form,
    Report: _report_form,
    Result: _result_form,
    Step: _step_form,
}
HAS_PLAIN = frozenset(_FORMS)  # all others are JSON already
