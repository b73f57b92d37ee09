"""Gives each of several xApps the settings and models that its manifest has names for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ranloop.cli.values import parse_pairs
from ranloop.xapp.manifest import Manifest

__all__ = ("deal", "model_folders")

T = TypeVar("T")


def deal(
    manifests: Sequence[Manifest], given: Mapping[str, T], names_of: Callable[[Manifest], Collection[str]]
) -> dict[str, dict[str, T]]:
    """Distribute values by name: each xApp gets those whose names its manifest has.

    The first xApp also gets the values that no xApp has a name for, and refuses them with its own error.
    """
    known = {name for manifest in manifests for name in names_of(manifest)}
    return {
        manifest.name: {
            name: value
            for name, value in given.items()
            if name in names_of(manifest) or (manifest is manifests[0] and name not in known)
        }
        for manifest in manifests
    }


def model_folders(option: str, pairs: Sequence[str]) -> dict[str, Path]:
    """`["flow_rate=models/mine"]` as {"flow_rate": Path("models/mine")}."""
    return {name: Path(str(folder)) for name, folder in parse_pairs(option, pairs).items()}
