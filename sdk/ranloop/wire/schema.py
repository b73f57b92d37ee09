"""JSON Schemas of all messages, and an AsyncAPI document of all topics, from the very types that the decoders check.

The schemas are draft-07, which AsyncAPI 3.0 takes unchanged. A schema describes single keys. Only the decoder checks that
columns have one length and that a value fits float32. `ranloop schema --out docs` writes docs/asyncapi.json and
docs/schemas.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ranloop.errors import VocabularyError
from ranloop.vocabulary.near import near_matches
from ranloop.wire import asking, forms, headers, node_side
from ranloop.wire.channels import CHANNELS, PARAMETERS, Channel, Form
from ranloop.wire.messages import WIRE_VERSION

__all__ = ("MESSAGES", "asyncapi", "json_schema", "write_schemas")

DRAFT = "http://json-schema.org/draft-07/schema#"
# Message -> its JSON form.
MESSAGES: dict[str, type] = {
    "report": forms.ReportForm,
    "action_batch": forms.ActionForm,
    "result": forms.ResultForm,
    "catalogue": headers.CatalogueHeader,
    "presence": headers.PresenceHeader,
    "order": headers.OrderHeader,
    "standing": headers.StandingHeader,
    "admission": headers.AdmissionHeader,
    "settings": headers.SettingsHeader,
    "alarms": headers.AlarmsHeader,
    "step": forms.StepForm,
    "answer": forms.AnswerForm,
}
# What a host and a node of another program say to each other besides, on a pipe.
NODE_SIDE: dict[str, type] = {"change": node_side.ChangeForm, "applied": node_side.AppliedForm}
# Message -> the header line of its binary form.
HEADERS: dict[str, type] = {
    "report": headers.ReportHeader,
    "action_batch": headers.ActionHeader,
    "result": headers.ResultHeader,
    "step": headers.StepHeader,
    "answer": headers.AnswerHeader,
    "asked": asking.AskedHeader,
    "inferred": asking.InferredHeader,
}
# Messages without a JSON form: their header.
BINARY_ONLY = {name: HEADERS[name] for name in HEADERS.keys() - MESSAGES.keys()}
_BEHIND_THE_HEADER = {
    "report": "little-endian int64 counters (seq, ran_time_ns, then the stamps), then the float32 block",
    "action_batch": "the float32 block: targets, then parameters",
    "result": "the float32 block: targets, status, index of the cause, values applied",
    "step": "the binary reports, then the binary results",
    "answer": "the binary action batches",
    "asked": "the float32 block: rows of the model's input",
    "inferred": "the float32 block: rows of the model's output",
}


class _Draft07(GenerateJsonSchema):
    """pydantic's schema of a type, without a title per key, and with bounds for the keys of a dict."""

    schema_dialect = DRAFT

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        if "patternProperties" in found:
            found["additionalProperties"] = False
        elif schema.get("keys_schema", {}).get("type") == "int":
            found["propertyNames"] = {"pattern": "^[0-9]{1,8}$"}  # a dense id
        return found

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        found = super().tuple_schema(schema)
        if "prefixItems" in found:
            found |= {"items": found.pop("prefixItems"), "additionalItems": False}
        return found


def json_schema(message: str) -> dict[str, Any]:
    """The JSON Schema of the JSON form of a message, or of its header if it has none; self-contained.

    Raises:
        VocabularyError: There is no such message.
    """
    known = MESSAGES | NODE_SIDE | BINARY_ONLY
    if message not in known:
        raise VocabularyError("message", message, near_matches(message, known) or tuple(known))
    schema = TypeAdapter(known[message]).json_schema(schema_generator=_Draft07)
    return {
        "$schema": DRAFT,
        **schema,
        "title": f"{_words(message)}, version {WIRE_VERSION} of ranloop's wire",
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: channels, messages, senders and receivers."""
    types = {*MESSAGES.values(), *HEADERS.values()}
    _, schemas = TypeAdapter.json_schemas(
        [(kind, "validation", TypeAdapter(kind)) for kind in sorted(types, key=lambda kind: kind.__name__)],
        schema_generator=_Draft07,
        ref_template="#/components/schemas/{model}",
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ranloop",
            "version": f"{WIRE_VERSION}.0.0",
            "description": "KPM reports of RAN nodes, actions of xApps and their results over MQTT 3.1.1. docs/wire.md "
            "says how to close a loop with it.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": dict(operation for channel in CHANNELS for operation in _operations(channel)),
        "components": {
            "messages": {
                _message_name(channel.message, form): _message(channel.message, form)
                for channel in CHANNELS
                for form in channel.forms
            },
            "schemas": schemas["$defs"],
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "address": channel.address,
        "description": channel.purpose,
        "parameters": {name: {"description": PARAMETERS[name]} for name in channel.parameters},
        "messages": {
            _message_name(channel.message, form): {
                "$ref": f"#/components/messages/{_message_name(channel.message, form)}"
            }
            for form in channel.forms
        },
    }


def _operations(channel: Channel) -> list[tuple[str, dict[str, Any]]]:
    parties = [(role, "send", "sends") for role in channel.writers]
    parties += [(role, "receive", "receives") for role in channel.readers]
    return [
        (
            f"{role}_{verb}_{channel.name}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel.name}"},
                "tags": [{"name": role}],
                "bindings": {
                    "mqtt": {"qos": channel.qos, "retain": channel.retained, "bindingVersion": "0.2.0"}
                },
            },
        )
        for role, action, verb in parties
    ]


def _message_name(message: str, form: Form) -> str:
    return f"{message}_binary" if form == "binary" else message


def _message(message: str, form: Form) -> dict[str, Any]:
    if form == "json":
        schema = {"$ref": f"#/components/schemas/{MESSAGES[message].__name__}"}
        return {"title": _words(message), "contentType": "application/json", "payload": schema}
    return {
        "title": f"{_words(message)}, binary form",
        "contentType": "application/octet-stream",
        "payload": {
            "type": "string",
            "format": "binary",
            "description": "One line of JSON as in x-header, padded with spaces to a multiple of 8 bytes; behind it "
            f"{_BEHIND_THE_HEADER[message]}.",
            "x-header": {"$ref": f"#/components/schemas/{HEADERS[message].__name__}"},
        },
    }


def _words(message: str) -> str:
    return message.replace("_", " ")


def write_schemas(folder: Path) -> list[Path]:
    """Write `asyncapi.json` and `schemas/<message>.json` into `folder`; the files, in that order.

    Raises:
        OSError: They cannot be written.
    """
    documents = {"asyncapi.json": asyncapi()}
    documents |= {f"schemas/{message}.json": json_schema(message) for message in (*MESSAGES, *NODE_SIDE)}
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / name).write_text(as_text(document) + "\n")
    return [folder / name for name in documents]


def as_text(document: dict[str, Any]) -> str:
    """A document as it stands in a file, without its last line break."""
    return json.dumps(document, indent=2, ensure_ascii=False)
