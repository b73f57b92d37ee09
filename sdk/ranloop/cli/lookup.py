"""`ranloop vocabulary`: the catalogue's entries, and those that a real stack has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ranloop.errors import NodeError, VocabularyError
from ranloop.node.profile import Profile, load_profile
from ranloop.node.profile_fit import absent
from ranloop.vocabulary import ACTIONS, MEASUREMENTS, action_type, measurement
from ranloop.vocabulary.search import search

__all__ = ("show_vocabulary",)


def show_vocabulary(text: str, *, profile: str, json_output: bool) -> int:
    """Print the entry of a name, a list of those that some words find, or the list of all.

    With a profile, these are the entries of its stack in the stack's own form.

    Raises:
        VocabularyError: `text` is no name, and nothing is found by it.
        NodeError: The stack does not have the named entry.
    """
    stack = load_profile(profile) if profile else None
    names, is_name = _meant(text) if text else ([*MEASUREMENTS, *ACTIONS], False)
    entries = [found for each in names if (found := _entry(each, stack))]
    if stack and text and not entries:
        raise NodeError(f"{text}: {absent(stack, names[0], (*stack.spelling, *stack.taken), 'has')}")
    if json_output:
        print(json.dumps(entries[0] if is_name else entries, indent=2, default=str))
    elif is_name:
        for key, value in entries[0].items():
            print(f"{key:12} {_plain(value)}")
    else:
        _show_all(entries, stack)
    return 0


def _meant(text: str) -> tuple[list[str], bool]:
    """The entry that `text` names, or those that it finds, best first; and whether it is a name."""
    try:
        return [_known(text)], True
    except VocabularyError as unknown:
        if found := search(text):
            return found, False
        remedy = "search by a word of a name or a definition, such as throughput, or leave it out to list all"
        raise VocabularyError(unknown.kind, text, unknown.near, remedy) from None


def _known(name: str) -> str:
    """The catalogue's spelling of `name`.

    Raises:
        VocabularyError: Neither a measurement nor an action; with near matches of both.
    """
    try:
        return measurement(name).name
    except VocabularyError as unknown_measurement:
        try:
            return action_type(name).spec.name
        except VocabularyError as unknown_action:
            near = unknown_measurement.near + unknown_action.near
            raise VocabularyError("measurement or action", name, near) from None


def _entry(name: str, stack: Profile | None) -> dict[str, Any]:
    """The lines about a name; none if the stack does not have it."""
    facts = asdict(action_type(name).spec if name in ACTIONS else measurement(name))
    return facts if stack is None else _on(stack, facts)


def _on(stack: Profile, facts: dict[str, Any]) -> dict[str, Any]:
    name = facts["name"]
    if name in ACTIONS:
        if not stack.takes(name):
            return {}
    else:
        levels = tuple(level for level in facts["levels"] if stack.measures(name, level))
        if not levels:
            return {}
        whole = facts["integer"] or name in stack.whole
        facts |= {"levels": levels, "integer": whole, "sent_as": stack.spelling.get(name, name)}
    entry = stack.entry(name)
    return facts | ({"based_on": entry.based_on, "remark": entry.remark} if entry else {})


def _show_all(entries: list[dict[str, Any]], stack: Profile | None) -> None:
    name = Column("name", no_wrap=True)  # a part of a name finds nothing
    table = Table(name, "unit", "levels or targets", "remark" if stack else "what", box=None)
    for entry in entries:
        sent_as = entry.get("sent_as", entry["name"])
        row = (
            entry["name"] + (f" (as {sent_as})" if sent_as != entry["name"] else ""),
            entry.get("unit", ""),
            _plain(entry.get("levels") or entry.get("targets")),
            entry.get("remark", "") if stack else entry["definition"],
        )
        table.add_row(*map(Text, row))  # text from a profile is no markup
    console = Console()
    console.print(table)
    for line in _notes(stack) if stack else ():
        console.print(Text(line))


def _notes(stack: Profile) -> Iterator[str]:
    if stack.period:
        yield f"new values every {stack.period.shortest_ms} ms: {stack.period.based_on}"
    yield from (f"there, but not shown: {name}: {because}" for name, because in stack.because.items())
    yield from (f"left open: {text}" for text in stack.left_open)


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return " ".join(f"{key}={_plain(item)}" for key, item in value.items() if item is not None)
    return str(value)
