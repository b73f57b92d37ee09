"""Opens RAN nodes by their address: `sim:SCENARIO`, `replay:PATH`, `table:PATH` or `pipe:COMMAND`.

The simulator is found through the entry point group `ranloop.nodes`, so that the SDK installs and runs without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from inspect import signature
from typing import TYPE_CHECKING, cast

from ranloop.errors import MissingExtraError, NodeError
from ranloop.node.port import NodePort

if TYPE_CHECKING:
    from ranloop.inference import Trust

__all__ = ("ENTRY_POINTS", "open_world")

ENTRY_POINTS = "ranloop.nodes"
_OWN = {"pipe": "program", "replay": "recording", "table": "table"}
_EXTRAS = {"sim": ("the simulator", "sim")}


def open_world(
    address: str,
    *,
    seed: int = 1,
    overrides: Mapping[str, object] | None = None,
    trust: Trust | None = None,
) -> NodePort:
    """Open the world behind an address.

    Args:
        address: `kind:target`, such as `sim:seven-sites`, `sim:my.toml`, `replay:recordings/monday`,
            `table:kpm.csv?mapping=own.toml` or `pipe:node my_node.js`.
        seed: Of a simulated world.
        overrides: Scenario fields to change in a simulated world, by dotted path.
        trust: Whose models a simulated world may load; None for everybody's. A program behind `pipe:` loads its own.

    Raises:
        NodeError: No such kind, scenario or recording, or a kind that knows no trust; one line.
        ModelError: `trust` does not admit a model of the world.
        MissingExtraError: The kind is known but not installed.
    """
    kind, _, target = address.partition(":")
    if kind in _OWN and overrides:
        what = _OWN[kind]
        raise NodeError(f"{address}: a {what} has no fields to override, got {', '.join(overrides)}")
    if kind in ("replay", "table") and target:
        from ranloop.node.replay import open_replay
        from ranloop.node.table import split_address

        path, options = split_address(target)
        return open_replay(path, options)
    if kind == "pipe" and target:
        from ranloop.node.pipe import PipedNode

        return PipedNode(target)
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if kind not in found or not target:
        if kind in _EXTRAS and target:
            raise MissingExtraError(*_EXTRAS[kind])
        known = ", ".join(f"{name}:…" for name in sorted({*found, *_OWN}))
        raise NodeError(f"no node at {address!r}; want kind:target, where kind is one of {known}")
    try:
        opener = found[kind].load()
    except ModuleNotFoundError as error:
        # A wheel of the SDK alone still advertises the simulator's entry point; so does one without numba.
        raise MissingExtraError(*_EXTRAS.get(kind, (f"the node kind {kind!r}", kind))) from error
    if trust is None:
        return cast(NodePort, opener(target, seed=seed, overrides=overrides))
    if "trust" not in signature(opener).parameters:
        raise NodeError(f"{address}: a node of kind {kind!r} takes no --trust: nobody would check its models")
    return cast(NodePort, opener(target, seed=seed, overrides=overrides, trust=trust))
