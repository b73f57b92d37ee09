"""Arms that meet the same drops of one world: what they depend on, and their results, kept from an earlier call or run now."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from rich.console import Console

from ranloop.arm import Arm
from ranloop.cli.arms import origin
from ranloop.cli.kept_drops import KeptDrops
from ranloop.cli.watching import watch
from ranloop.conduct import Terms
from ranloop.evaluate import DropResult, Task, look_at
from ranloop.kpi import Kpi
from ranloop.training import Drop

__all__ = ("PairedDrops", "Workers")


class Workers(TypedDict):
    """Processes of this machine, by default all cores, or the address of a dask scheduler."""

    processes: int | None
    on: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDrops:
    """One world at one load, in which all arms run the same drops.

    Attributes:
        tasks: By arm, in the order of the seeds.
        kpis: Of the world.
        origins: Arm letter -> all that its results depend on beside the seed.
    """

    name: str
    tasks: tuple[tuple[Task, ...], ...]
    kpis: tuple[Kpi, ...]
    origins: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(
        cls, name: str, arms: Sequence[Arm], drops: Sequence[Drop], observe: Terms | None = None
    ) -> PairedDrops:
        """All arms on these drops, looked at; the name of each begins with a letter of its own.

        Raises:
            RanloopError: A world cannot be opened, or an xApp cannot be read.
        """
        tasks = tuple(tuple(replace(drop.task(arm), observe=observe) for drop in drops) for arm in arms)
        worlds = [look_at(of_arm[0]) for of_arm in tasks]
        terms = {"observe": asdict(observe)} if observe else {}
        origins = {
            arm.name[0]: origin(arm, world.provenance) | terms
            for arm, world in zip(arms, worlds, strict=True)
        }
        return cls(name=name, tasks=tasks, kpis=worlds[0].kpis, origins=origins)

    def kept_in(self, folder: Path) -> KeptDrops:
        """The drops of it that an earlier call left in a folder of all places."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return KeptDrops(folder / slug, self.origins)

    def results(
        self, kept: KeptDrops, workers: Workers, console: Console, tally: Sequence[Kpi]
    ) -> list[list[DropResult]]:
        """By arm, the results of all drops in the order of the seeds; `tally` names what the view shows meanwhile."""
        tasks = [task for of_drop in zip(*self.tasks, strict=True) for task in of_drop]
        before = [kept.read(task) for task in tasks]
        left = [task for task, result in zip(tasks, before, strict=True) if result is None]
        ran = iter(watch(left, console, tally, on_done=kept.keep, **workers) if left else [])
        results = [next(ran) if result is None else result for result in before]
        n = len(self.tasks)
        return [results[i::n] for i in range(n)]
