"""`ranloop access`: the access list of a broker for xApps, hosts, operators and observers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

from ranloop.cli.values import check_name, in_shards
from ranloop.errors import RanloopError
from ranloop.vocabulary.near import near_matches
from ranloop.wire.access import Access, access, as_mosquitto, as_nats
from ranloop.wire.channels import Role
from ranloop.xapp.manifest import load_manifest

__all__ = ("show_access",)

_ROLES: tuple[Role, ...] = tuple(role for role in get_args(Role) if role != "xapp")  # an xApp has a manifest


def show_access(
    folders: Sequence[Path],
    roles: Sequence[str],
    *,
    shards: Sequence[str],
    broker: Literal["mosquitto", "nats"],
    certificates: bool,
    json_output: bool,
) -> int:
    """Print what each client may read and write.

    Raises:
        RanloopError: No client is named, a name is used twice, or there is no such role.
    """
    clients = [_of_role(text) for text in roles]
    manifests = [load_manifest(folder) for folder in folders]
    for manifest in manifests if not shards else chain.from_iterable(in_shards(manifests, shards).values()):
        streams = [(stream.level, stream.every_ms) for stream in manifest.streams]
        clients.append(access("xapp", manifest.name, streams))
    if not clients:
        raise RanloopError(f"no client is named; name xApp folders, or --role {' | '.join(_ROLES)}")
    users = [one.user for one in clients]
    if twice := sorted({user for user in users if users.count(user) > 1}):
        raise RanloopError(f"{', '.join(twice)} is named twice; a broker knows one client by one name")
    if json_output:
        print(json.dumps([asdict(one) for one in clients], indent=2))
    else:
        print(as_nats(clients, by_certificate=certificates) if broker == "nats" else as_mosquitto(clients))
    return 0


def _of_role(text: str) -> Access:
    """The access of `ROLE`, `ROLE=NAME` or `ROLE+ROLE=NAME`."""
    roles, _, name = text.partition("=")
    name = name or roles
    check_name(roles, name)
    granted = [access(_known(role, text), name) for role in roles.split("+")]
    return Access(
        user=name,
        reads=tuple(dict.fromkeys(topic for one in granted for topic in one.reads)),
        writes=tuple(dict.fromkeys(topic for one in granted for topic in one.writes)),
    )


def _known(role: str, text: str) -> Role:
    for known in _ROLES:
        if role == known:
            return known
    near = near_matches(role, _ROLES) or _ROLES
    raise RanloopError(f"--role {text!r}: no such role; did you mean {' or '.join(near)}?")
