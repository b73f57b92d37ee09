"""Runs tasks under a live view: how many are done, which are running, and the tally so far; a line a run without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ranloop.evaluate import DropResult, Progress, Task, run_tasks
from ranloop.kpi import Kpi

__all__ = ("watch",)


def watch(
    tasks: Sequence[Task],
    console: Console,
    tally: Sequence[Kpi],
    on_done: Callable[[DropResult], object] = lambda result: None,
    *,
    on: str | None = None,
    processes: int | None = None,
) -> list[DropResult]:
    """The results of the tasks, in their order.

    Args:
        tasks: To be run.
        console: Where the view is.
        tally: KPIs of which the means so far are shown.
        on_done: Called with each result as it comes.
        on: Address of the dask scheduler whose workers run them; by default this machine does.
        processes: Of this machine; default: all cores that this process may use.
    """
    bar = Bar(
        TextColumn("drops"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        auto_refresh=False,
    )
    job = bar.add_task("runs", total=len(tasks))
    running: dict[tuple[str, int], Progress] = {}
    done: list[DropResult] = []

    def view() -> Group:
        return Group(bar, _running_table(running), _tally_table(done, tally))

    with Live(view(), console=console, refresh_per_second=4, transient=True) as live:

        def progressed(progress: Progress) -> None:
            if (progress.arm, progress.seed) in {(result.arm, result.seed) for result in done}:
                return  # a report of its progress came after its result
            running[progress.arm, progress.seed] = progress
            live.update(view())

        def ended(result: DropResult) -> None:
            running.pop((result.arm, result.seed), None)
            done.append(result)
            bar.advance(job)
            live.update(view())
            if not console.is_terminal:
                figures = (f"{kpi.key} {result.score[kpi.key]:.{kpi.digits}f} {kpi.unit}" for kpi in tally)
                console.print(
                    escape(
                        f"  {len(done):2d}/{len(tasks)} drop {result.seed} {result.arm:15s} {', '.join(figures)}"
                    )
                )
            on_done(result)

        return run_tasks(tasks, processes=processes, on=on, on_done=ended, on_progress=progressed)


def _running_table(running: dict[tuple[str, int], Progress]) -> Table:
    table = Table("now running", "RAN time", "targets applied", "refused", box=None, pad_edge=False)
    for (arm, seed), progress in sorted(running.items()):
        refused = sum(count for name, count in progress.outcomes.items() if name.startswith("refused"))
        table.add_row(
            escape(f"{arm}, drop {seed}"),
            f"{progress.ran_time_s:.1f} of {progress.end_s:.0f} s",
            str(progress.outcomes.get("applied", 0)),
            str(refused),
        )
    return table


def _tally_table(done: Sequence[DropResult], tally: Sequence[Kpi]) -> Table:
    headings = (f"{kpi.key} {kpi.unit}" for kpi in tally)
    table = Table("so far", "drops", *headings, box=None, pad_edge=False)
    for arm in sorted({result.arm for result in done}):
        scores = [result.score for result in done if result.arm == arm]
        means = (f"{np.mean([score[kpi.key] for score in scores]):.{kpi.digits}f}" for kpi in tally)
        table.add_row(escape(arm), str(len(scores)), *means)
    return table
