"""`ranloop schema`: the wire as JSON Schemas and as an AsyncAPI document."""

from __future__ import annotations

import json
from pathlib import Path

from ranloop.errors import RanloopError
from ranloop.wire.channels import CHANNELS
from ranloop.wire.schema import as_text, asyncapi, json_schema, write_schemas

__all__ = ("show_schema",)

ASYNCAPI = "asyncapi"


def show_schema(name: str, out: Path | None, *, json_output: bool) -> int:
    """Print one document, write all of them into `out`, or list the messages with their topics."""
    if out is not None:
        _write(name, out, json_output=json_output)
    elif name:
        print(as_text(asyncapi() if name == ASYNCAPI else json_schema(name)))  # JSON, asked for or not
    elif json_output:
        print(json.dumps([{"message": c.message, "topic": c.address} for c in CHANNELS], indent=2))
    else:
        for channel in CHANNELS:
            print(f"{channel.message:13} {channel.address:47} {channel.purpose}")
        print(f"{ASYNCAPI:13} {'all of them':47} One document for generators.")
    return 0


def _write(name: str, out: Path, *, json_output: bool) -> None:
    if name:
        raise RanloopError(f"--out writes all documents; leave out {name!r}, or --out")
    try:
        files = [str(file) for file in write_schemas(out)]
    except OSError as error:
        raise RanloopError(f"--out {out}: cannot be written ({error.strerror})") from error
    print(json.dumps(files, indent=2) if json_output else "\n".join(files))
