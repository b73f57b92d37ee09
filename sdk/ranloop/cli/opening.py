"""Opens the node of a command line: a world, seen through a profile if one is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from ranloop.cli.values import parse_pairs
from ranloop.guard import Rights
from ranloop.node import NodePort, left_out, load_profile, open_world, require_fit, under_profile

__all__ = ("gaps", "open_node")


def open_node(
    address: str, *, seed: int, overrides: Sequence[str], profile: str, xapps: Mapping[str, Rights]
) -> NodePort:
    """The world at an address.

    Args:
        overrides: As typed behind `--override`.
        profile: Name or file of what to show of it; "" shows all.
        xapps: Name -> rights of those that are to run there.

    Raises:
        RanloopError: What cannot be opened, or, one line each, what the profile does not have for the xApps.
    """
    changes = parse_pairs("--override", overrides)
    if not profile:
        return open_world(address, seed=seed, overrides=changes)
    stack = load_profile(profile)
    require_fit(stack, xapps)
    with ExitStack() as on_error:
        world = open_world(address, seed=seed, overrides=changes)
        on_error.callback(world.close)
        shown = under_profile(world, stack)
        on_error.pop_all()
    return shown


def gaps(world: NodePort) -> dict[str, int]:
    """For a summary: how many logs the world was opened without; nothing where all were played."""
    n_left_out = len(left_out(world))
    return {"logs_left_out": n_left_out} if n_left_out else {}
