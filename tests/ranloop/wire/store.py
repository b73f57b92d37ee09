"""Messages as one version of the code writes them, kept for later versions, which must read them to the same values.

    python -m tests.ranloop.wire.store NAME [COMMIT]     # writes tests/ranloop/wire/stored/NAME.jsonl

With a commit, its code writes. A stored file stays as it is; each release gets a new one. Its first line has the commit. Each
further line is a message: `kind/variant/form`, the payload (a character is a byte) and the values of its attributes after
decoding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ranloop.errors import WireError
from ranloop.vocabulary import ACTIONS, ID_COLUMNS, Action
from ranloop.wire import Message, codec
from ranloop.wire.codec import encode, encode_json
from ranloop.wire.plain import HAS_PLAIN
from ranloop.wire.schema import json_schema
from tests.ranloop.wire import samples

ROOT = Path(__file__).parents[3]
STORED = Path(__file__).parent / "stored"


class Entry(NamedTuple):
    """A stored message."""

    name: str
    payload: bytes
    values: Any

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]

    @property
    def form(self) -> str:
        return self.name.rpartition("/")[2]


def messages() -> Iterator[tuple[str, Message]]:
    """A message of every kind, a report of every level and a batch of every action; `kind/variant` of each."""
    each = samples.one_of_each()
    full: dict[str, dict[str, Any]] = {
        "report": {"run": "7f3a"},
        "action_batch": {"run": "7f3a", "atomic": True},
        "result": {"status": np.array([5, 2], np.uint8)},  # no two columns are alike
        "catalogue": {"run": "7f3a"},
        "order": {"by": "anna"},
        "standing": {
            "orders": {"all": each["order"]},
            "shut_out": {"greedy": "1a"},
            "refused": "no xApp qos",
        },
        "admission": {"autonomy": "recommend", "encoding": "json", "by": "anna"},
        "step": {"settings": each.get("settings")},
    }
    for kind, message in each.items():
        known = {name: value for name, value in full.get(kind, {}).items() if hasattr(message, name)}
        yield f"{kind}/sample", message
        yield f"{kind}/full", replace(message, **known)
    for level, ids in ID_COLUMNS.items():
        block = np.array([[*range(5, 5 + len(ids)), 1200.5, np.nan], [*range(9, 9 + len(ids)), 0.1, 11]])
        columns = {"ids": ids, "names": ("DRB.UEThpDl", "CQI"), "block": block.astype(np.float32)}
        yield f"report/{level}", samples.report(level=level, **columns, labels={})
    for name, action in ACTIONS.items():
        n_keys, n_values = len(action.spec.targets), len(action.spec.parameters)
        targets = np.arange(3, 3 + 2 * n_keys, dtype=np.int32).reshape(2, n_keys)
        values = np.arange(1, 1 + 2 * n_values, dtype=np.float32).reshape(2, n_values)
        yield f"action_batch/{name}", samples.batch(action=action.from_columns(targets, values))


def written() -> Iterator[Entry]:
    """What the code on the path writes: both forms of each message, and its JSON form with required keys alone."""
    for name, message in messages():
        kind = name.partition("/")[0]
        forms = {"json": encode_json(message)} | (
            {"binary": encode(message)} if type(message) in HAS_PLAIN else {}
        )
        if name == f"{kind}/sample":
            said = json.loads(forms["json"])
            required = {key: said[key] for key in json_schema(kind)["required"]}
            yield entry(f"{kind}/required/json", json.dumps(required).encode())
        for form, payload in forms.items():
            yield entry(f"{name}/{form}", payload)


def entry(name: str, payload: bytes) -> Entry:
    return Entry(name, payload, values_of(decoded(name, payload)))


def decoded(name: str, payload: bytes) -> Any:
    return getattr(codec, f"decode_{name.partition('/')[0]}")(payload)


def values_of(value: Any) -> Any:
    """The attributes of a message as JSON has them: columns as lists, no value as null."""
    if isinstance(value, Action):
        return {
            "action": value.spec.name,
            "targets": dict(zip(value.spec.targets, value.targets().T.tolist(), strict=True)),
            "parameters": dict(zip(value.spec.parameter_names, value.parameters().T.tolist(), strict=True)),
        }
    if is_dataclass(value):
        return {field.name: values_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return values_of(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): values_of(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [values_of(one) for one in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def stored(name: str) -> tuple[str, list[Entry]]:
    """The commit and the messages of a stored file."""
    first, _, rest = (STORED / f"{name}.jsonl").read_text("utf-8").partition("\n")
    return json.loads(first)["commit"], entries(rest)


def lacking(then: Any, now: Any, where: str = "") -> list[str]:
    """Where `now` lacks a key of `then`, or has another value there. Keys that came later are fine."""
    if isinstance(then, dict) and isinstance(now, dict):
        gone = [f"{where}/{key} is gone" for key in then if key not in now]
        return gone + [
            fault for key in then if key in now for fault in lacking(then[key], now[key], f"{where}/{key}")
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [fault for at, (one, other) in pairs for fault in lacking(one, other, f"{where}/{at}")]
    return [] if then == now else [f"{where}: {now!r}, was {then!r}"]


def lines(entries: Iterable[Entry]) -> str:
    """The messages as a stored file has them, one a line."""
    said = ({"name": e.name, "payload": e.payload.decode("latin-1"), "values": e.values} for e in entries)
    return "".join(json.dumps(one) + "\n" for one in said)


def entries(text: str) -> list[Entry]:
    """What `lines` made."""
    said = map(json.loads, text.splitlines())
    return [Entry(one["name"], one["payload"].encode("latin-1"), one["values"]) for one in said]


def written_by(commit: str) -> list[Entry]:
    """What the code of a commit writes."""
    return entries(_with_code_of(commit, "write", ""))


def read_by(commit: str, given: Iterable[Entry]) -> list[Entry]:
    """The same messages, with the values that the code of a commit reads; the text of an error where it reads none."""
    return entries(_with_code_of(commit, "read", lines(given)))


def _with_code_of(commit: str, do: str, given: str) -> str:
    """What this script prints with the SDK and the samples of a commit."""
    with tempfile.TemporaryDirectory(prefix="ranloop-wire-") as folder:
        command = ["git", "archive", commit, "sdk", "tests"]
        archive = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((f"{folder}/sdk", folder))}
        command = [sys.executable, "-P", __file__, "-", do]
        done = subprocess.run(
            command, cwd=folder, env=environment, input=given, check=True, stdout=subprocess.PIPE, text=True
        )
    return done.stdout


def _read(one: Entry) -> Entry:
    try:
        return one._replace(values=values_of(decoded(one.name, one.payload)))
    except WireError as error:
        return one._replace(values=str(error))


def write(name: str, commit: str = "") -> str:
    """Store what a commit writes; without one, what the code on the path does.

    Raises:
        FileExistsError: There is such a file.
    """
    found = written_by(commit) if commit else list(written())
    command = ["git", "rev-parse", commit or "HEAD"]
    whole = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    STORED.mkdir(exist_ok=True)
    with (STORED / f"{name}.jsonl").open("x", encoding="utf-8") as file:
        file.write(json.dumps({"commit": whole}) + "\n" + lines(found))
    return f"{len(found)} messages are in {file.name}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["-", "write"]:
            print(lines(written()), end="")
        case ["-", "read"]:
            print(lines(map(_read, entries(sys.stdin.read()))), end="")
        case [name] | [name, _] if not name.startswith("-"):
            print(write(*sys.argv[1:]))
        case _:
            raise SystemExit(__doc__)
