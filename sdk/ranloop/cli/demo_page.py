"""`ranloop demo --dashboard`: one drop of the demo at the pace of a clock, the xApp beside the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from ranloop.cli.dashboard import PageWanted, watched_run
from ranloop.embedded import Choices, run_embedded
from ranloop.evaluate import Arm
from ranloop.node import open_world

__all__ = ("shown_pair",)


@contextmanager
def shown_pair(
    wanted: PageWanted,
    folder: Path,
    arms: tuple[Arm, Arm],
    *,
    node: str,
    seed: int,
    overrides: Mapping[str, object],
) -> Iterator[Callable[[], None]]:
    """Run one drop under both arms on a page, to its end; the page stays while the block runs.

    Args:
        folder: The xApp.
        arms: The baseline, and the arm with the xApp.
        overrides: Scenario fields of both.

    Yields:
        What keeps the page until a signal comes.
    """
    baseline, xapp = arms
    wanted = replace(wanted, beside=True, speed=wanted.speed or 1.0)
    with (
        closing(open_world(node, seed=seed, overrides={**overrides, **xapp.overrides})) as world,
        closing(open_world(node, seed=seed, overrides={**overrides, **baseline.overrides})) as other,
        watched_run(
            wanted, world, lambda: other, f"drop {seed} of {node}", None, (xapp.name, baseline.name)
        ) as page,
    ):
        run = run_embedded(
            world,
            [folder],
            Choices(settings=xapp.settings),
            onlooker=page.watchers[0],
            on_progress=page.follow,
        )
        page.finish(world.now_ns)
        yield lambda: page.stay(run.times)
