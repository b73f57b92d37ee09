"""The topic of each message. The major wire version is in the topic; a level is one of `[a-z0-9_-]+`.

Reports are readable per stream, results per xApp, and actions are writable by their sender alone. A broker's access list
can enforce exactly the distinctions that topics make.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ranloop.wire.messages import WIRE_VERSION

ROOT = f"ranloop/{WIRE_VERSION}"
_LEVEL = re.compile(r"[a-z0-9_-]{1,64}")


def is_topic_level(text: str) -> bool:
    """Whether `text` may stand between two slashes: lower-case letters, digits, `_`, `-`, at most 64."""
    return _LEVEL.fullmatch(text) is not None


@lru_cache(4096)  # a run has few topics, and asks for one with every message
def _join(*levels: str) -> str:
    for level in levels:
        if level != "+" and not is_topic_level(level):
            raise ValueError(
                f"{level!r} cannot be part of a topic: use lower-case letters, digits, '_' and '-', at most 64"
            )
    return "/".join((ROOT, *levels))


def report(node: str, level: str, period_ms: int | str) -> str:
    return _join("report", node, level, str(period_ms))


def report_json(node: str, level: str, period_ms: int | str) -> str:
    """The same stream in the JSON form, for xApps that read JSON. It lies below `report`, so one right covers both."""
    return _join("report", node, level, str(period_ms), "json")


def catalogue(node: str) -> str:
    return _join("catalogue", node)


def act(xapp: str, node: str) -> str:
    """Writable by `xapp` alone: the topic is the sender's identity."""
    return _join("act", xapp, node)


def result(xapp: str, node: str) -> str:
    return _join("result", xapp, node)


def step(host: str, xapp: str) -> str:
    return _join("step", host, xapp)


def answer(xapp: str, host: str) -> str:
    """Writable by `xapp` alone."""
    return _join("answer", xapp, host)


def presence(name: str) -> str:
    return _join("presence", name)


ALL = "all"  # in the place of a node's name in an order; no node may be called so


def order(node: str, xapp: str = "") -> str:
    """The kill switch of a node or of `ALL`, or the autonomy of one xApp there; retained, writable by the operator alone."""
    return _join("order", node, xapp) if xapp else _join("order", node)


def order_all() -> str:
    """The kill switch of all nodes: an operator need not know their names."""
    return order(ALL)


def place(topic: str) -> str:
    """The subject of an order's topic: `all`, a node, or `node/xapp`."""
    return topic.removeprefix(f"{ROOT}/order/")


def admission(host: str, xapp: str) -> str:
    """Whether an xApp is admitted at a host, and with which rights; retained, writable by the operator alone."""
    return _join("admission", host, xapp)


def standing(node: str) -> str:
    """Which orders stand at a node; retained."""
    return _join("standing", node)


def settings(host: str, xapp: str) -> str:
    """An operator's values for the settings of an xApp; retained, writable by the operator alone."""
    return _join("settings", host, xapp)


def alarms(xapp: str) -> str:
    """The active alarms of an xApp; retained, writable by `xapp` alone."""
    return _join("alarms", xapp)


def ask(inference: str, xapp: str) -> str:
    """Questions of one xApp to one inference host; writable by `xapp` alone."""
    return _join("ask", inference, xapp)


def inferred(xapp: str, inference: str) -> str:
    """Answers of one inference host to one xApp; writable by that host alone."""
    return _join("inferred", xapp, inference)


def levels(topic: str) -> list[str]:
    """The parts after the root, or [] if the topic is not one of ours."""
    return topic[len(ROOT) + 1 :].split("/") if topic.startswith(ROOT + "/") else []
