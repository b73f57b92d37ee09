"""Validators of JSON that stop at the first error: to refuse a message costs no more than to accept one of its size.

pydantic collects all errors of a message and makes a Python object of each input that is wrong; for a missing key the
input is the whole message. A sender that wants to do harm multiplies the work that way. Three measures bound it:

- Lists and dicts stop at their first bad item (`fail_fast`), so a message has a handful of errors at most.
- A missing key ends the validation itself, and nothing is made of the message.
- Brackets are counted before parsing, because each list or object takes a hundred times its two bytes.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from ranloop.errors import WireError
from ranloop.wire.messages import WIRE_VERSION

MAX_BRACKETS = 1 << 16  # lists and objects in one message; in names and texts they count as well


class _MissingKeyError(Exception):
    """Ends a validation at once: pydantic passes on every exception that is no ValueError."""


def validator(message: type) -> SchemaValidator:
    """The compiled validator of one TypedDict."""
    return SchemaValidator(_stopping_early(TypeAdapter(message).core_schema))


def _stopping_early(schema: Any) -> Any:
    """A core schema, with all schemas inside it, that stops at its first error."""
    if isinstance(schema, list):
        return [_stopping_early(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _stopping_early(value) for key, value in schema.items() if key != "metadata"}
    kind = schema.get("type")
    if kind in ("list", "dict"):
        found["fail_fast"] = True
    elif kind == "typed-dict":
        required = {name for name, field in schema["fields"].items() if field["required"]}
        for name in required:
            found["fields"][name]["required"] = False
        return core_schema.no_info_after_validator_function(_having(required), found)
    return found


def _having(required: set[str]) -> Any:
    def check(header: dict[str, Any]) -> dict[str, Any]:
        if not header.keys() >= required:
            raise _MissingKeyError(min(required - header.keys(), key=lambda name: (name != "v", name)))
        return header

    return check


def too_many_brackets(line: bytes) -> bool:
    """Whether the JSON `line` may have more lists and objects than are read; found without parsing it."""
    return line.count(b"[") + line.count(b"{") > MAX_BRACKETS


def parse(check: SchemaValidator, line: bytes, what: str) -> Any:
    """The JSON `line` as the validator `check` understands it.

    Raises:
        WireError: It is no JSON, or no such message.
    """
    if too_many_brackets(line):
        raise WireError(f"{what}: more than {MAX_BRACKETS} lists and objects are not read")
    try:
        return check.validate_json(line)
    except ValidationError as error:
        _refuse(error, what)
    except _MissingKeyError as error:
        name = str(error)
        raise WireError(
            _other_version(what, "no version") if name == "v" else f"{what}: {name}: Field required"
        ) from None


def _refuse(error: ValidationError, what: str) -> NoReturn:
    """Turn pydantic's findings into one line. A foreign wire version explains all others, so it goes first."""
    findings = error.errors(include_url=False, include_context=False)
    first = min(findings, key=lambda finding: finding["loc"] != ("v",))
    if first["loc"] == ("v",):
        raise WireError(_other_version(what, f"version {_brief(first['input'])}")) from None
    where = "/".join(_brief(part) for part in first["loc"][:4])
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    raise WireError(f"{what}: {where + ': ' if where else ''}{first['msg']}{more}") from None


def _other_version(what: str, got: str) -> str:
    return f"{what} speaks {got} of the wire; this ranloop reads version {WIRE_VERSION}"


def _brief(value: object) -> str:
    """A foreign value, short and on one line."""
    if isinstance(value, (list, dict)):
        return f"a {type(value).__name__}"  # its text may take longer than all the rest
    text = value if isinstance(value, str) and value.isidentifier() else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
