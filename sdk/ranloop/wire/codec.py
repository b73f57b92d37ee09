"""Messages to bytes and back: `encode` and `encode_json` for all, and one `decode_*` for each, which reads both forms.

A decoder raises `WireError` and nothing else, whatever the bytes. The message that it returns is valid and frozen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any, cast

from ranloop.errors import WireError
from ranloop.foreign import some_lines
from ranloop.wire import headers, topics
from ranloop.wire.actions import decode_action_batch, decode_result, encode_action_batch, encode_result
from ranloop.wire.checking import parse
from ranloop.wire.frame import first_line, json_line, most_header_bytes, split_parts, within
from ranloop.wire.messages import (
    WIRE_VERSION,
    ActionBatch,
    Admission,
    Alarm,
    Alarms,
    Answer,
    Catalogue,
    CellPlace,
    CellRelation,
    Message,
    Order,
    Presence,
    Report,
    Result,
    Settings,
    Standing,
    Step,
)
from ranloop.wire.plain import HAS_PLAIN, decode_plain_answer, decode_plain_step, encode_plain, is_json
from ranloop.wire.reports import decode_report, encode_report
from ranloop.wire.settings import settings_form, settings_key, settings_of

__all__ = (
    "decode_action_batch",
    "decode_admission",
    "decode_alarms",
    "decode_answer",
    "decode_catalogue",
    "decode_catalogue_on",
    "decode_order",
    "decode_presence",
    "decode_report",
    "decode_result",
    "decode_settings",
    "decode_standing",
    "decode_step",
    "encode",
    "encode_json",
)

_MAX_DEPTH = 8
_MAX_SAFE_INTEGER = 1 << 63


def encode(message: Message) -> bytes:
    """The bytes of any message.

    Raises:
        ValueError: The wire cannot carry the message: a wrong shape, a name with blanks, NaN outside a block.
    """
    return _ENCODERS[type(message)](message)


def encode_json(message: Message) -> bytes:
    """The same in the JSON form, which a JSON parser can read: for people and for xApps in other languages.

    Raises:
        ValueError: As `encode`.
    """
    payload = encode(message)  # refuses a message that neither form can carry
    return encode_plain(message) if type(message) in HAS_PLAIN else payload


def _header_only(payload: bytes, what: str) -> bytes:
    """A message that is JSON without a block, with any line breaks."""
    return within(payload, most_header_bytes(what), what)


def encode_catalogue(catalogue: Catalogue) -> bytes:
    return json_line(
        {
            "v": WIRE_VERSION,
            "node": catalogue.node,
            "measurements": catalogue.measurements,
            "actions": catalogue.actions,
            "periods_ms": catalogue.periods_ms,
            "cells": catalogue.cells,
            "slices": catalogue.slices,
            "slice_min_pct": catalogue.slice_min_pct,
            "control_delay_ms": catalogue.control_delay_ms,
            "run": catalogue.run,
            "geometry": {cell: asdict(place) for cell, place in catalogue.geometry.items()},
            "neighbours": {
                cell: [asdict(relation) for relation in relations]
                for cell, relations in catalogue.neighbours.items()
            },
            "scheduler_models": catalogue.scheduler_models,
        }
    )


def decode_catalogue(payload: bytes) -> Catalogue:
    """The catalogue in `payload`.

    Raises:
        WireError: Not a catalogue of wire version 1 within bounds.
    """
    line = _header_only(payload, "catalogue")
    header = cast(headers.CatalogueHeader, parse(headers.CATALOGUE, line, "catalogue"))
    return Catalogue(
        node=header["node"],
        measurements=MappingProxyType(
            {level: tuple(names) for level, names in header["measurements"].items()}
        ),
        actions=tuple(header["actions"]),
        periods_ms=tuple(header["periods_ms"]),
        cells=MappingProxyType(header["cells"]),
        slices=MappingProxyType(header.get("slices", {})),
        slice_min_pct=MappingProxyType(header.get("slice_min_pct", {})),
        control_delay_ms=header["control_delay_ms"],
        run=header.get("run", ""),
        geometry=MappingProxyType(
            {cell: CellPlace(**place) for cell, place in header.get("geometry", {}).items()}
        ),
        neighbours=MappingProxyType(
            {
                cell: tuple(CellRelation(**relation) for relation in relations)
                for cell, relations in header.get("neighbours", {}).items()
            }
        ),
        scheduler_models=MappingProxyType(header.get("scheduler_models", {})),
    )


def decode_catalogue_on(topic: str, payload: bytes) -> Catalogue:
    """The catalogue that came on a topic.

    Raises:
        WireError: It is none, or one of another node than the topic says.
    """
    catalogue = decode_catalogue(payload)
    if topic != topics.catalogue(catalogue.node):
        raise WireError(f"a catalogue of {catalogue.node} came on {topic}")
    return catalogue


def encode_presence(presence: Presence) -> bytes:
    _check_plain(presence.facts, ValueError)
    return json_line(
        {"v": WIRE_VERSION, "name": presence.name, "alive": presence.alive, "facts": presence.facts}
    )


def decode_presence(payload: bytes) -> Presence:
    """The life sign in `payload`.

    Raises:
        WireError: Not a presence of wire version 1 within bounds.
    """
    line = _header_only(payload, "presence")
    header = cast(headers.PresenceHeader, parse(headers.PRESENCE, line, "presence"))
    _check_plain(header["facts"], WireError)
    return Presence(name=header["name"], alive=header["alive"], facts=MappingProxyType(header["facts"]))


def _check_plain(value: object, error: type[Exception], depth: int = 0) -> None:
    """Bound the depth of `facts`, and refuse numbers that other JSON readers do not know: the schema does neither."""
    if depth > _MAX_DEPTH:
        raise error(f"presence: facts are nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        for item in value.values():
            _check_plain(item, error, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_plain(item, error, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise error("presence: a fact is not a finite number")
    elif isinstance(value, int) and abs(value) > _MAX_SAFE_INTEGER:
        raise error("presence: a fact is an integer beyond 64 bits")


def encode_order(order: Order) -> bytes:
    return json_line({"v": WIRE_VERSION, **asdict(order)})


def decode_order(payload: bytes) -> Order:
    """The operator's order in `payload`.

    Raises:
        WireError: Not an order of wire version 1 within bounds.
    """
    return _order(parse(headers.ORDER, _header_only(payload, "order"), "order"))


def _order(header: headers.StandingOrder) -> Order:
    return Order(
        id=header["id"],
        kill=header["kill"],
        xapp=header["xapp"],
        autonomy=header["autonomy"],
        by=header.get("by", ""),
    )


def encode_standing(standing: Standing) -> bytes:
    header = {
        "node": standing.node,
        "order": standing.order,
        "killed": standing.killed,
        "autonomy": dict(standing.autonomy),
        "orders": {place: asdict(order) for place, order in standing.orders.items()},
        "shut_out": dict(standing.shut_out),
        "refused": standing.refused,
    }
    return json_line({"v": WIRE_VERSION, **header})


def decode_standing(payload: bytes) -> Standing:
    """The orders that stand at a node, as its host says.

    Raises:
        WireError: Not such a message of wire version 1 within bounds.
    """
    line = _header_only(payload, "standing")
    header = cast(headers.StandingHeader, parse(headers.STANDING, line, "standing"))
    return Standing(
        node=header["node"],
        order=header["order"],
        killed=header["killed"],
        autonomy=MappingProxyType(header["autonomy"]),
        orders=MappingProxyType({place: _order(order) for place, order in header.get("orders", {}).items()}),
        shut_out=MappingProxyType(header.get("shut_out", {})),
        refused=header.get("refused", ""),
    )


def encode_admission(admission: Admission) -> bytes:
    _check_plain(admission.rights, ValueError)
    rights = dict(admission.rights)  # asdict copies no mapping but a dict, and a decoded one is none
    return json_line({"v": WIRE_VERSION, **asdict(replace(admission, rights=rights))})


def decode_admission(payload: bytes) -> Admission:
    """An operator's word about one xApp at one host. The host checks the rights themselves.

    Raises:
        WireError: Not such a message of wire version 1 within bounds.
    """
    line = _header_only(payload, "admission")
    header = cast(headers.AdmissionHeader, parse(headers.ADMISSION, line, "admission"))
    rights = header.get("rights", {})
    _check_plain(rights, WireError)
    return Admission(
        id=header["id"],
        xapp=header["xapp"],
        admitted=header["admitted"],
        rights=MappingProxyType(rights),
        autonomy=header.get("autonomy", "act"),
        priority=header.get("priority", 0),
        encoding=header.get("encoding", "binary"),
        by=header.get("by", ""),
    )


def encode_settings(settings: Settings) -> bytes:
    if not all(math.isfinite(value) for value in settings.values.values() if isinstance(value, float)):
        raise ValueError("settings: a value is not a finite number")
    return json_line({"v": WIRE_VERSION, **settings_form(settings)})


def decode_settings(payload: bytes) -> Settings:
    """An operator's values of the settings of one xApp. The xApp checks them against its manifest.

    Raises:
        WireError: Not such a message of wire version 1 within bounds.
    """
    header = cast(
        headers.SettingsHeader, parse(headers.SETTINGS, _header_only(payload, "settings"), "settings")
    )
    return cast(Settings, settings_of(header))


def encode_alarms(alarms: Alarms) -> bytes:
    active = [asdict(alarm) for alarm in alarms.active]
    return json_line({"v": WIRE_VERSION, "xapp": alarms.xapp, "active": active, "left_out": alarms.left_out})


def decode_alarms(payload: bytes) -> Alarms:
    """The active alarms of one xApp.

    Raises:
        WireError: Not such a message of wire version 1 within bounds, or one alarm stands in it twice.
    """
    header = cast(headers.AlarmsHeader, parse(headers.ALARMS, _header_only(payload, "alarms"), "alarms"))
    active = tuple(Alarm(**alarm) for alarm in header["active"])
    if len({alarm.key for alarm in active}) < len(active):
        raise WireError("alarms: two of the same name, node and target")
    return Alarms(xapp=header["xapp"], active=active, left_out=header.get("left_out", 0))


def encode_step(step: Step) -> bytes:
    reports = [encode_report(report) for report in step.reports]
    results = [encode_result(result) for result in step.results]
    header = {
        "v": WIRE_VERSION,
        "host": step.host,
        "step": step.step,
        "ran_time_ns": step.ran_time_ns,
        "reports": [len(part) for part in reports],
        "results": [len(part) for part in results],
        "timers": step.timers,
        **settings_key(step),
        "last": step.last,
    }
    return b"".join((json_line(header), *reports, *results))


def decode_step(payload: bytes) -> Step:
    """The lockstep step in `payload`, with all its reports and results.

    Raises:
        WireError: Not a step of wire version 1 within bounds, or one of its parts is not in order.
    """
    if is_json(payload, "step"):
        return decode_plain_step(payload)
    line, start = first_line(payload, "step")
    header = cast(headers.StepHeader, parse(headers.STEP, line, "step"))
    parts = split_parts(payload, start, header["reports"] + header["results"], "step")
    n_reports = len(header["reports"])
    return Step(
        host=header["host"],
        step=header["step"],
        ran_time_ns=header["ran_time_ns"],
        reports=tuple(map(decode_report, parts[:n_reports])),
        results=tuple(map(decode_result, parts[n_reports:])),
        timers=tuple(header["timers"]),
        settings=settings_of(header.get("settings")),
        last=header["last"],
    )


def encode_answer(answer: Answer) -> bytes:
    batches = [encode_action_batch(batch) for batch in answer.batches]
    header = {
        "v": WIRE_VERSION,
        "xapp": answer.xapp,
        "step": answer.step,
        "batches": [len(part) for part in batches],
        "waited_ns": answer.waited_ns,
        # A traceback names the error in its last lines.
        "error": answer.error[-headers.MAX_TEXT :],
    }
    return b"".join((json_line(header), *batches))


def decode_answer(payload: bytes) -> Answer:
    """The lockstep answer in `payload`, with all its action batches.

    Raises:
        WireError: Not an answer of wire version 1 within bounds, or one of its parts is not in order.
    """
    if is_json(payload, "answer"):
        return decode_plain_answer(payload)
    line, start = first_line(payload, "answer")
    header = cast(headers.AnswerHeader, parse(headers.ANSWER, line, "answer"))
    parts = split_parts(payload, start, header["batches"], "answer")
    return Answer(
        xapp=header["xapp"],
        step=header["step"],
        batches=tuple(map(decode_action_batch, parts)),
        waited_ns=header.get("waited_ns", 0),
        error=some_lines(header["error"], headers.MAX_TEXT),  # it ends on a terminal
    )


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    ActionBatch: encode_action_batch,
    Answer: encode_answer,
    Catalogue: encode_catalogue,
    Order: encode_order,
    Presence: encode_presence,
    Report: encode_report,
    Result: encode_result,
    Standing: encode_standing,
    Admission: encode_admission,
    Settings: encode_settings,
    Alarms: encode_alarms,
    Step: encode_step,
}
