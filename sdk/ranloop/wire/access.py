"""Access lists of a broker, made from the table of topics: each role may read and write its topics, and nothing else.

An own name stands in a topic wherever the table has it as the identity of a writer or a reader; all else is `+`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ranloop.vocabulary import Level
from ranloop.wire.channels import CHANNELS, Channel, Role

__all__ = ("Access", "access", "as_mosquitto", "as_nats")

Stream = tuple[Level, int]  # level, granularity period in ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rights of one client: MQTT topic filters, in the order of the table of topics."""

    user: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def access(role: Role, user: str, streams: Iterable[Stream] = ()) -> Access:
    """The access list of one client.

    Args:
        role: The client's role.
        user: The client's name, on the bus and to the broker.
        streams: The reports that an xApp's manifest reads.
    """
    own = {role: user}
    reports = [{"level": level, "period_ms": str(period)} for level, period in dict.fromkeys(streams)]
    reads: list[str] = []
    for channel in CHANNELS:
        if role in channel.readers:
            per_stream = role == "xapp" and "period_ms" in channel.parameters
            reads += [_filter(channel, own | one) for one in (reports if per_stream else [{}])]
    # On `presence/<name>` everybody reads all names and writes its own.
    writes = [_filter(channel, own | {"name": user}) for channel in CHANNELS if role in channel.writers]
    return Access(user=user, reads=tuple(reads), writes=tuple(writes))


def _filter(channel: Channel, known: dict[str, str]) -> str:
    return channel.topic(*(known.get(parameter, "+") for parameter in channel.parameters))


def as_mosquitto(clients: Sequence[Access]) -> str:
    """A file for `acl_file` of mosquitto.conf; it does not say how a client proves its name."""
    return "\n\n".join(
        "\n".join(
            [
                f"user {one.user}",
                *(f"topic read {topic}" for topic in one.reads),
                *(f"topic write {topic}" for topic in one.writes),
            ]
        )
        for one in clients
    )


def as_nats(clients: Sequence[Access], *, by_certificate: bool = False) -> str:
    """The `authorization` block of nats-server's configuration.

    Args:
        by_certificate: Whether clients are known by their TLS certificates (`verify_and_map`), whose DNS name is the user's;
            else passwords come from the server's environment.
    """

    def proof(user: str) -> str:
        return "" if by_certificate else f"password: ${user.replace('-', '_').upper()}_PASSWORD, "

    return "\n".join(
        [
            "authorization {",
            "  users = [",
            *(
                f"    {{ user: {one.user}, {proof(one.user)}permissions: {{\n"
                f"      subscribe: {_subjects(one.reads)}\n"
                f"      publish: {_subjects(one.writes)}\n"
                "    } }"
                for one in clients
            ),
            "  ]",
            "}",
        ]
    )


def _subjects(filters: Sequence[str]) -> str:
    """MQTT filters as NATS subjects: `.` for `/` and `*` for `+`."""
    subjects = [one.replace("/", ".").replace("+", "*") for one in filters]
    if not subjects:
        return '{ deny: ">" }'  # an empty list would allow everything
    lines = ",\n".join(f'        "{subject}"' for subject in subjects)
    return f"[\n{lines}\n      ]"
