"""Today's code and what earlier code wrote: each reads the other within a wire version. `store` made the stored messages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ranloop.errors import WireError
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import Cause, Severity, Status
from ranloop.wire.codec import encode, encode_json
from ranloop.wire.frame import ALIGN
from ranloop.wire.node_side import Answered, decode_line, encode_change
from ranloop.wire.plain import HAS_PLAIN
from ranloop.wire.schema import MESSAGES
from tests.ranloop.wire import store
from tests.ranloop.wire.store import STORED, decoded, lacking, stored, values_of

NAMES = sorted(file.stem for file in STORED.glob("*.jsonl"))


def as_json(values: Any) -> Any:
    """The values as they come out of a stored file."""
    return json.loads(json.dumps(values))


def head(payload: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON object of a message in either form, and the bytes behind it."""
    line, _, rest = payload.partition(b"\n")
    return json.loads(line), rest


def heads(payload: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """`head` of the message and of each message inside it, in the binary form of a step or an answer."""
    header, rest = head(payload)
    found = []
    for key in ("reports", "results", "batches"):
        if all(isinstance(length, int) for length in header.get(key, ())):
            for length in header.pop(key, ()):
                found.append(head(rest[:length]))
                rest = rest[length:]
    return [(header, rest), *found]


@pytest.mark.parametrize("name", NAMES)
def test_what_earlier_code_wrote_is_read_to_the_same_values(name: str) -> None:
    faults = [
        f"{one.name}{fault}"
        for one in stored(name)[1]
        for fault in lacking(one.values, as_json(values_of(decoded(one.name, one.payload))))
    ]
    assert faults == []


@pytest.mark.parametrize("name", NAMES)
def test_today_the_same_message_has_every_key_and_byte_that_an_earlier_reader_looks_for(name: str) -> None:
    faults = []
    for one in stored(name)[1]:
        to_bytes: Callable[..., bytes] = encode if one.form == "binary" else encode_json
        again = to_bytes(decoded(one.name, one.payload))
        for (then, block_then), (now, block_now) in zip(heads(one.payload), heads(again), strict=True):
            faults += [f"{one.name}{fault}" for fault in lacking(then, now)]
            faults += [one.name] * (block_now != block_then)
    assert faults == []


@pytest.mark.parametrize("name", NAMES)
def test_keys_of_a_later_version_are_ignored(name: str) -> None:
    for one in stored(name)[1]:
        said, rest = head(one.payload)
        line = json.dumps(said | {"x_later": {"deep": [1, None]}}).encode()
        aligned = line.ljust(-(-(len(line) + 1) // ALIGN) * ALIGN - 1)
        later = aligned + b"\n" + rest if one.form == "binary" else line
        assert as_json(values_of(decoded(one.name, later))) == as_json(
            values_of(decoded(one.name, one.payload))
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_version_that_is_not_known_is_refused_in_one_line(name: str) -> None:
    for one in stored(name)[1]:
        later = one.payload.replace(b'"v":1', b'"v":2', 1).replace(b'"v": 1', b'"v": 2', 1)
        with pytest.raises(WireError) as refused:
            decoded(one.name, later)
        kind = one.kind.replace("_", " ")
        assert str(refused.value) == f"{kind} speaks version 2 of the wire; this ranloop reads version 1"


def test_the_last_stored_version_has_every_kind_of_message_in_each_of_its_forms() -> None:
    hint = "python -m tests.ranloop.wire.store write NAME"
    names = {one.name for one in stored(NAMES[-1])[1]}
    wanted = {(kind, form) for kind in MESSAGES for form in ("json", "binary")}
    plain = {type(message) for name, message in store.messages()} - HAS_PLAIN
    assert plain
    only_json = {name.partition("/")[0] for name, message in store.messages() if type(message) in plain}
    wanted -= {(kind, "binary") for kind in only_json}
    assert {(name.partition("/")[0], name.rpartition("/")[2]) for name in names} == wanted, hint


def test_the_words_that_an_earlier_reader_would_refuse_stay_as_they_are() -> None:
    causes = (
        "none identity autonomy killed not-supported not-permitted range limit rate invariant conflict stale no-target node atomic "
        "lease-lapsed ue-left superseded malformed harm lost"
    )
    assert [str(cause) for cause in Cause] == causes.split()
    assert [status.name for status in Status] == [
        "APPLIED",
        "REFUSED",
        "EXPIRED",
        "UNKNOWN",
        "RECOMMENDED",
        "ENDED",
    ]
    assert Severity.__args__ == ("critical", "major", "minor", "warning")  # type: ignore[attr-defined]  # because it is a Literal


# What may be left out has the value that docs/wire.md and the classes of the messages say.
DEFAULTS: dict[str, dict[str, Any]] = {
    "report": {"run": "", "stamps": {}},
    "action_batch": {
        "lease_ms": None,
        "atomic": False,
        "models": [],
        "report_seq": -1,
        "run": "",
        "stamps": {},
    },
    "result": {"stamps": {}},
    "catalogue": {
        "slices": {},
        "slice_min_pct": {},
        "run": "",
        "geometry": {},
        "neighbours": {},
        "scheduler_models": {},
    },
    "presence": {},
    "order": {"by": ""},
    "standing": {"orders": {}, "shut_out": {}, "refused": ""},
    "admission": {"rights": {}, "autonomy": "act", "priority": 0, "encoding": "binary", "by": ""},
    "settings": {"by": ""},
    "alarms": {"left_out": 0},
    "step": {"settings": None},
    "answer": {"error": ""},
}


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_what_may_be_left_out_has_its_default(kind: str) -> None:
    (required,) = (one for one in stored(NAMES[-1])[1] if one.name == f"{kind}/required/json")
    assert set(DEFAULTS[kind]).isdisjoint(json.loads(required.payload))
    values = values_of(decoded(required.name, required.payload))
    assert {key: values[key] for key in DEFAULTS[kind]} == DEFAULTS[kind]


def test_a_node_of_another_program_is_spoken_to_as_ever() -> None:
    change = {
        "v": 1, "kind": "change", "number": 3, "action": "SetUeWeight", "atomic": False,
        "targets": {"ue": [7, 9]}, "parameters": {"weight": [4.0, None]},
    }  # fmt: skip
    assert lacking(change, json.loads(encode_change(3, SetUeWeight(ue=[7, 9], weight=[4.0, np.nan])))) == []
    answer = decode_line(
        b'{"v": 1, "kind": "applied", "number": 3, "values": {"weight": [4.0, null]}, "reasons": {"1": "it left"}}'
    )
    assert isinstance(answer, Answered)
    assert values_of(answer._asdict()) == {
        "number": 3,
        "values": {"weight": [4.0, None]},
        "reasons": {"1": "it left"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_code_that_wrote_a_stored_version_reads_what_is_written_today(name: str) -> None:
    commit, then = stored(name)
    known = ["git", "cat-file", "-e", commit]
    if subprocess.run(known, cwd=store.ROOT, check=False, capture_output=True).returncode:
        pytest.skip(f"the history here does not have commit {commit}")
    # A level or a kind that came later has topics of its own. Messages with required keys alone are from other writers.
    heard = {one.name for one in then if "/required/" not in one.name}
    today = [one for one in store.written() if one.name in heard]
    faults = [
        f"{one.name}{fault}"
        for one, read in zip(today, store.read_by(commit, today), strict=True)
        for fault in lacking(read.values, as_json(one.values))
    ]
    assert faults == []
