"""Parses the values of options: pairs, numbers, names, autonomy levels, priorities and shards."""

from __future__ import annotations

import getpass
import json
import math
import os
import re
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from ranloop.errors import RanloopError
from ranloop.guard.autonomy import Autonomy
from ranloop.guard.shard import MOST as MOST_SHARDS
from ranloop.guard.shard import NodeShard
from ranloop.node.delay import HandlerDelay
from ranloop.vocabulary.near import near_matches
from ranloop.wire.topics import is_topic_level
from ranloop.xapp.manifest import Manifest, shard_of

__all__ = (
    "check_host_names",
    "check_name",
    "check_positive",
    "in_shards",
    "operator_name",
    "parse_autonomies",
    "parse_autonomy",
    "parse_handler_delay",
    "parse_pairs",
    "parse_priorities",
    "parse_seeds",
    "parse_shard",
)

MOST_DELAY_MS = 3_600_000.0


def parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, Any]:
    """`["load=1.2", "scheduler=rr"]` as {"load": 1.2, "scheduler": "rr"}: a value that is not JSON is text.

    Raises:
        RanloopError: An entry without `=`.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name):
            raise RanloopError(f"{option} {pair!r}: want NAME=VALUE")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def check_host_names(option: str, names: Sequence[str]) -> list[str]:
    """`names`, if each is a host name or an IP address.

    Raises:
        RanloopError: One is neither, such as a URL or a name with its port.
    """
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}", name):
            raise RanloopError(
                f"{option} {name!r}: want a host name alone, such as localhost or ran.example.net"
            )
    return list(names)


def parse_seeds(text: str, *, least: int) -> list[int]:
    """`1..16` or `1,2,5` as the list of seeds.

    Raises:
        RanloopError: Neither, a seed twice, below 0 or beyond 2^62, fewer than `least` or more than 10000.
    """
    first, dots, last = text.partition("..")
    try:
        seeds = range(int(first), int(last) + 1) if dots else [int(seed) for seed in text.split(",")]
    except ValueError:
        raise RanloopError(f"--seeds {text}: want 1..16 or 1,2,5") from None
    if not least <= len(seeds) <= 10_000:
        raise RanloopError(f"--seeds {text}: {len(seeds)} seeds; want {least} to 10000, the lower one first")
    if min(seeds) < 0 or max(seeds) >= 2**62:
        raise RanloopError(f"--seeds {text}: want seeds from 0 to 2^62 - 1")
    if len(set(seeds)) < len(seeds):
        raise RanloopError(f"--seeds {text}: a seed is given twice; the same drop says nothing new")
    return list(seeds)


def check_positive(option: str, value: float | None) -> float | None:
    """A length of time or a speed; None if the option was left out.

    Raises:
        RanloopError: The value is zero, negative or not finite.
    """
    if value is not None and not 0 < value < math.inf:
        raise RanloopError(f"{option} {value:g}: want a number above 0")
    return value


def parse_handler_delay(text: str) -> HandlerDelay:
    """The value of `--handler-delay`: "measured", or RAN milliseconds; 0 if it is not given.

    Raises:
        RanloopError: It is neither.
    """
    if text == "measured":
        return "measured"
    try:
        delay_ms = float(text or 0)
    except ValueError:
        delay_ms = math.nan
    if not 0 <= delay_ms <= MOST_DELAY_MS:
        raise RanloopError(
            f"--handler-delay {text!r}: want milliseconds of RAN time from 0 to {MOST_DELAY_MS:.0f}, or measured"
        )
    return delay_ms


def parse_autonomy(text: str) -> Autonomy:
    """An autonomy level from the command line.

    Raises:
        RanloopError: The text is not one of the three levels.
    """
    try:
        return Autonomy(text)
    except ValueError:
        raise RanloopError(f"--autonomy {text!r}: want one of {', '.join(Autonomy)}") from None


def parse_autonomies(texts: Sequence[str], xapps: Collection[str]) -> dict[str, Autonomy]:
    """The level of each xApp: `LEVEL` is for all, `NAME=LEVEL` for one. The last entry about an xApp counts.

    Raises:
        RanloopError: No such xApp, or no such level.
    """
    for_all, own = Autonomy.ACT, dict[str, Autonomy]()
    for text in texts:
        name, equals, level = text.rpartition("=")
        if equals:
            own[_known("--autonomy", text, name, xapps)] = parse_autonomy(level)
        else:
            for_all = parse_autonomy(level)
    return {xapp: own.get(xapp, for_all) for xapp in xapps}


def parse_priorities(texts: Sequence[str], xapps: Collection[str]) -> dict[str, int]:
    """The priority of each xApp, from `NAME=N`; 0 if none is given.

    Raises:
        RanloopError: There is no such xApp, or N is not a whole number.
    """
    priorities = dict.fromkeys(xapps, 0)
    for text in texts:
        name, equals, number = text.partition("=")
        try:
            priority = int(number)
        except ValueError:
            equals = ""
        if not equals:
            raise RanloopError(f"--priority {text!r}: want NAME=N, N a whole number; the higher displaces")
        priorities[_known("--priority", text, name, xapps)] = priority
    return priorities


def parse_shard(text: str) -> NodeShard | None:
    """The value of `--shard`; None if it is not given.

    Raises:
        RanloopError: It is no I/N.
    """
    try:
        return NodeShard.parse(text) if text else None
    except ValueError as error:
        raise RanloopError(f"--shard {error}") from error


def in_shards(manifests: Sequence[Manifest], texts: Sequence[str]) -> dict[str, list[Manifest]]:
    """The manifests of each xApp by its name: its own one, or those of its N shards where `texts` has `NAME=N`.

    Raises:
        RanloopError: No such xApp, or N is no number of shards.
    """
    found = {manifest.name: [manifest] for manifest in manifests}
    for text in texts:
        name, _, count = text.partition("=")
        (whole,) = [one for one in manifests if one.name == _known("--shards", text, name, found)]
        try:
            last = NodeShard.parse(f"{count}/{count}")
        except ValueError:
            raise RanloopError(
                f"--shards {text!r}: want NAME=N, N processes from 1 to {MOST_SHARDS}"
            ) from None
        found[name] = [shard_of(whole, NodeShard(number, last.count)) for number in range(1, last.count + 1)]
    return found


def _known(option: str, text: str, name: str, xapps: Collection[str]) -> str:
    if name not in xapps:
        there = ", ".join(near_matches(name, xapps) or xapps) or "no xApp at all"
        raise RanloopError(f"{option} {text!r}: no xApp {name!r} is admitted; there is {there}")
    return name


def operator_name(bus_url: str) -> str:
    """The name that an audit log shows: the broker's user in the URL or the environment, else the user of this machine."""
    user = urlsplit(bus_url).username or os.environ.get("RANLOOP_MQTT_USER") or _user_of_this_machine()
    return "".join(sign for sign in unquote(user) if " " <= sign <= "~")[:64]


def _user_of_this_machine() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in most containers
        return f"uid {os.getuid()}"


def check_name(what: str, name: str) -> None:
    """Refuse the name of a host, node or xApp that cannot be a part of a topic.

    Raises:
        RanloopError: The name is not one level of a topic.
    """
    if not is_topic_level(name):
        raise RanloopError(f"{what} name {name!r}: want lower-case letters, digits, '_' and '-', at most 64")
