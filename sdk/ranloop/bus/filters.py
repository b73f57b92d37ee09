"""Topic filters: the topics that a subscription wants. MQTT 3.1.1, clause 4.7."""

from __future__ import annotations

from functools import lru_cache

MAX_TOPIC_BYTES = 65_535


def matches(topic_filter: str, topic: str) -> bool:
    """Whether `topic` is wanted by `topic_filter`.

    `+` stands for exactly one level, a trailing `#` for the level before it and everything below. A wildcard
    in the first level does not match topics that begin with `$` (clause 4.7.2).
    """
    if topic.startswith("$") and topic_filter[:1] in "+#":
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels, below = levels[: len(wanted)], len(levels) >= len(wanted)
        if not below:
            return False
    if len(wanted) != len(levels):
        return False
    return all(one in ("+", level) for one, level in zip(wanted, levels, strict=True))


@lru_cache(1024)
def check_topic(topic: str) -> str:
    """`topic`, if a client may publish to it.

    Raises:
        ValueError: It is empty, too long, or holds a wildcard or NUL.
    """
    if not topic or len(topic.encode()) > MAX_TOPIC_BYTES or any(sign in topic for sign in "+#\0"):
        raise ValueError(f"{topic[:80]!r} is not a topic to publish to: no wildcards, not empty")
    return topic


def check_filter(topic_filter: str) -> str:
    """`topic_filter`, if it is one.

    Raises:
        ValueError: A wildcard is not alone in its level, `#` is not the last level, or it is empty or too long.
    """
    levels = topic_filter.split("/")
    alone = all(level in ("+", "#") or not set(level) & set("+#\0") for level in levels)
    if not topic_filter or len(topic_filter.encode()) > MAX_TOPIC_BYTES or not alone or "#" in levels[:-1]:
        raise ValueError(
            f"{topic_filter[:80]!r} is not a topic filter: '+' and '#' stand alone in a level, '#' in the last"
        )
    return topic_filter
