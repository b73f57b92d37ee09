"""Opens the node that a command line names: a world, seen through a profile if the command gives one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranloop.cli.values import parse_pairs
from ranloop.guard import Rights
from ranloop.inference import Trust
from ranloop.node import NodePort, left_out, load_profile, open_world, require_fit, under_profile

__all__ = ("gaps", "open_node")


def open_node(
    address: str,
    *,
    seed: int,
    overrides: Sequence[str],
    profile: str,
    xapps: Mapping[str, Rights],
    trust: Trust | None = None,
) -> NodePort:
    """The world at an address.

    Args:
        overrides: Entries of `--override`, as typed.
        profile: Name or file of a profile that limits the world; "" shows all.
        xapps: Name -> rights of the xApps that are to run there.
        trust: Whose models a simulated node may load; None for everybody's.

    Raises:
        RanloopError: The world cannot be opened; or the profile lacks something for the xApps, one line each.
    """
    changes = parse_pairs("--override", overrides)
    if not profile:
        return open_world(address, seed=seed, overrides=changes, trust=trust)
    stack = load_profile(profile)
    require_fit(stack, xapps)
    return under_profile(open_world(address, seed=seed, overrides=changes, trust=trust), stack)


def gaps(world: NodePort) -> dict[str, list[str]]:
    """What the world does not play of its data, and why, for a summary: a line each; empty if all is played."""
    lines = list(left_out(world))
    return {"left_out": lines} if lines else {}
