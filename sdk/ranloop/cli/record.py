"""`ranloop record`: what a node measures while no xApp runs, as a recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from ranloop.cli.opening import gaps, open_node
from ranloop.cli.values import check_positive
from ranloop.embedded import run_embedded
from ranloop.errors import NodeError
from ranloop.node import Recorder
from ranloop.node.streams import watch_rights
from ranloop.vocabulary import measurement

__all__ = ("record_node",)


def record_node(
    address: str,
    folder: Path,
    *,
    levels: Sequence[str],
    every_ms: int,
    measurements: Sequence[str],
    seed: int,
    duration_s: float | None,
    overrides: Sequence[str],
    profile: str,
    json_output: bool,
) -> int:
    """Run the world without an xApp and keep the reports of these levels.

    Raises:
        RanloopError: The node, a level, a measurement or the folder cannot be used.
    """
    check_positive("--duration-s", duration_s)
    names = [measurement(name).name for name in measurements]
    with ExitStack() as stack:
        world = stack.enter_context(
            closing(open_node(address, seed=seed, overrides=overrides, profile=profile, xapps={}))
        )
        watched = watch_rights(world.catalogues, levels, every_ms, names)
        recorder = stack.enter_context(closing(Recorder(folder, world)))
        run = run_embedded(
            world,
            [],
            until_ns=None if duration_s is None else round(duration_s * 1e9),
            outlets=[recorder],
            watched=watched,
        )
    summary = run.summary
    facts = {
        "folder": str(folder),
        "ran_time_s": summary.ran_time_ns / 1e9,
        "reports": summary.n_reports,
        "reports_lost": recorder.n_lost,
        **gaps(world),
    }
    print(
        json.dumps(facts, indent=2)
        if json_output
        else "\n".join(f"{key}: {value}" for key, value in facts.items())
    )
    if recorder.n_lost:
        raise NodeError(f"{recorder.n_lost} reports could not be written to {folder}; the log above says why")
    return 0
