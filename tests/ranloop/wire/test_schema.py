"""JSON Schemas and the AsyncAPI document: the committed files are what is generated, and they say what the decoders say."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.errors import WireError
from ranloop.wire import codec, topics
from ranloop.wire.access import access, as_mosquitto
from ranloop.wire.channels import CHANNELS, PARAMETERS
from ranloop.wire.codec import encode_json
from ranloop.wire.schema import MESSAGES, NODE_SIDE, asyncapi, json_schema, write_schemas
from tests.ranloop.wire import samples
from tests.ranloop.wire.page import access_list

DOCS = Path(__file__).parents[3] / "docs"
VALID = {kind: json.loads(encode_json(message)) for kind, message in samples.one_of_each().items()}


@cache
def schema_of(kind: str) -> Any:
    return jsonschema.Draft7Validator(json_schema(kind))


def decodes(kind: str, said: object) -> bool:
    try:
        getattr(codec, f"decode_{kind}")(json.dumps(said).encode())
    except WireError:
        return False
    return True


def test_the_committed_files_are_what_is_generated(tmp_path: Path) -> None:
    hint = "renew them: ranloop schema --out docs"
    files = write_schemas(tmp_path)
    assert len(files) == 1 + len(MESSAGES) + len(NODE_SIDE) == 15
    for file in files:
        assert (DOCS / file.relative_to(tmp_path)).read_text() == file.read_text(), hint
    assert {file.name for file in (DOCS / "schemas").iterdir()} == {file.name for file in files[1:]}, hint


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_a_schema_is_a_schema(kind: str) -> None:
    jsonschema.Draft7Validator.check_schema(json_schema(kind))


@pytest.mark.parametrize("kind", sorted(MESSAGES))
@given(data=st.data())
def test_a_schema_accepts_what_is_encoded(kind: str, data: st.DataObject) -> None:
    schema_of(kind).validate(json.loads(encode_json(data.draw(samples.STRATEGIES[kind]))))


def mutants(said: Any, rng: random.Random) -> Iterator[tuple[str, Any]]:
    """The same message with one key gone or of another kind, at every depth."""
    paths = list(places(said))
    for path in paths:
        without, other = copy.deepcopy(said), copy.deepcopy(said)
        *way, last = path
        holder, other_holder = at(without, way), at(other, way)
        del holder[last]
        yield f"without {path}", without
        old = other_holder[last]
        others: list[Any] = [None, -7, 2.5, "Ü b", [], {}, True]
        other_holder[last] = rng.choice([value for value in others if type(value) is not type(old)])
        yield f"{path} = {other_holder[last]!r}", other


def places(said: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = said if isinstance(said, dict) else range(len(said)) if isinstance(said, list) else ()
    for key in keys:
        yield (*way, key)
        yield from places(said[key], (*way, key))


def at(said: Any, way: list[Any]) -> Any:
    for key in way:
        said = said[key]
    return said


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_a_schema_never_refuses_what_the_decoder_reads(kind: str) -> None:
    validator, refused = schema_of(kind), 0
    for what, mutant in mutants(VALID[kind], random.Random(kind)):
        accepted = validator.is_valid(mutant)
        assert accepted or not decodes(kind, mutant), what
        refused += not accepted
    assert refused > 5


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("report", ["v"], 2),
        ("report", ["node"], "gNB/1"),
        ("report", ["level"], "beam"),
        ("report", ["period_ms"], 0),
        ("report", ["seq"], -1),
        ("report", ["ids"], {"ue": [7, 9]}),
        ("report", ["ids"], {"ue": [7, 9], "cell": [3, 3], "beam": [1, 1]}),
        ("report", ["ids", "ue", 0], 1 << 24),
        ("report", ["ids", "ue", 0], None),
        ("report", ["values", "two words"], [1, 2]),
        ("report", ["values", "CQI", 0], "11"),
        ("report", ["labels", "ue"], {"seven": "x"}),
        ("action_batch", ["targets"], {"cell": [7, 9]}),
        ("action_batch", ["parameters"], {"w": [1, 4]}),
        ("action_batch", ["parameters", "weight", 0], None),
        ("action_batch", ["lease_ms"], 0),
        ("result", ["status", 0], "done"),
        ("result", ["causes", 1, 0], "whim"),
        ("result", ["causes", 1], ["range"]),
        ("order", ["autonomy"], "rule"),
        ("catalogue", ["control_delay_ms"], 0),
        ("catalogue", ["run"], "r" * 65),
        ("action_batch", ["run"], "a b"),
        ("step", ["reports", 0, "ids", "ue", 0], -1),
        ("answer", ["batches", 0, "parameters"], {}),
    ],
)
def test_what_a_schema_refuses_the_decoder_refuses(kind: str, path: list[Any], value: object) -> None:
    mutant = copy.deepcopy(VALID[kind])
    at(mutant, path[:-1])[path[-1]] = value
    assert not schema_of(kind).is_valid(mutant)
    assert not decodes(kind, mutant)


@pytest.mark.parametrize("left_out", ["lease_ms", "atomic", "models", "asked", "report_seq", "run", "stamps"])
def test_what_has_a_default_may_be_left_out(left_out: str) -> None:
    said = {key: value for key, value in VALID["action_batch"].items() if key != left_out}
    schema_of("action_batch").validate(said)
    assert decodes("action_batch", said)


# The AsyncAPI document


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from [part["$ref"]] if "$ref" in part else []
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = asyncapi()
    for reference in set(references(document)):
        assert at(document, reference.removeprefix("#/").split("/"))


def test_messages_validate_against_the_document_itself() -> None:
    document = asyncapi()
    for kind, said in VALID.items():
        payload = document["components"]["messages"][kind]["payload"]
        # References are looked up in the document that the schema is a part of.
        validator = jsonschema.Draft7Validator(document | payload)
        validator.validate(said)
        assert not validator.is_valid(said | {"v": 2})


def test_the_page_has_the_table_of_topics() -> None:
    page = (DOCS / "wire.md").read_text()
    for c in CHANNELS:
        cells = [
            f"`{c.address}`", c.message, ", ".join(c.forms), ", ".join(c.writers), ", ".join(c.readers),
            str(c.qos), "yes" if c.retained else "no",
        ]  # fmt: skip
        assert f"| {' | '.join(cells)} |\n" in page


def test_the_page_has_the_access_list_of_an_xapp() -> None:
    assert access_list() == as_mosquitto([access("xapp", "my_xapp", [("ue", 100)])]).splitlines()


def test_addresses_are_the_topics() -> None:
    for channel in CHANNELS:
        values = {name: name.replace("_", "-") for name in channel.parameters}
        assert channel.address.format(**values) == channel.topic(*values.values())
        assert set(channel.parameters) <= PARAMETERS.keys()
    makers = {name for name, maker in vars(topics).items() if callable(maker) and not name.startswith("_")}
    covered = {channel.topic.__name__ for channel in CHANNELS}
    assert makers - covered == {"is_topic_level", "levels", "lru_cache", "place"}
