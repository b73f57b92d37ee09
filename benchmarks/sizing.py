"""How many processes 1,000, 100,000 and 1,000,000 cells take, from what benchmarks/scale.json has measured.

`python -m benchmarks.sizing` prints the tables of docs/sizing.md, and puts them there with --write. Every figure of the plan is a
product: loops a second, times the dearest loop that was measured without overload, over processes that are half busy. A row that a
measurement contradicts is named below the plan.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import markdown
from benchmarks.scale import Load, kept
from benchmarks.still_world import N_CELLS
from ranloop.bus.broker import BrokerKind

PAGE = Path(__file__).parents[1] / "docs" / "sizing.md"
CELLS = (1000, 100_000, 1_000_000)
PERIODS_MS = (1000, 100)
BUSY = 0.5  # of a core that a process has, so that a host's burst is over after half a period
IN_TIME = 0.95  # of the reports: where fewer are answered before the next one, a size is overloaded
ALL = 0.9  # of the loops that are due: a host that falls behind sends fewer reports, and these in time
FEW_CELLS = 100  # on a broker: below, a loop's cost is mostly that of waking up


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Processes for a network of `cells`.

    Attributes:
        loops_per_s: A report, an action and a result of each node in each period.
        buses: Brokers, each with hosts and xApp shards of its own.
        hosts: Over all buses, of at most `nodes_per_host` nodes.
        shards: Processes of one xApp, over all buses.
        cores: Busy ones, all parts together.
        memory_gb: Of all processes.
    """

    broker: BrokerKind
    cells: int
    period_ms: int
    loops_per_s: float
    buses: int
    hosts: int
    nodes_per_host: int
    shards: int
    cores: float
    memory_gb: float


def on_time(load: Load) -> bool:
    """Whether a size carried what it was given."""
    return load.in_time > IN_TIME and load.loops_per_s > ALL * load.size.due_per_s


def fair(loads: Sequence[Load], broker: BrokerKind, period_ms: int) -> list[Load]:
    """The sizes that say what a loop costs: large enough, and not overloaded."""
    return [
        load
        for load in loads
        if (load.size.broker, load.size.period_ms) == (broker, period_ms)
        and on_time(load)
        and load.size.hosts * load.size.cells >= FEW_CELLS
    ]


def plan(loads: Sequence[Load], broker: BrokerKind, cells: int, period_ms: int) -> Plan:
    """Multiply. `loads` has at least one that is fair."""
    measured = fair(loads, broker, period_ms)
    cpu_s = {part: max(load.cpu_us[part] for load in measured) / 1e6 for part in ("host", "xApp", "broker")}
    memory_mb = {part: max(load.resident_mb[part] for load in measured) for part in cpu_s}
    nodes = math.ceil(cells / N_CELLS)
    per_node = 1000 / period_ms  # loops a second
    loops_per_s = nodes * per_node
    # No host is larger than those measured: what a loop costs there grows with the nodes of the host.
    most_nodes = max(load.size.nodes for load in measured)
    nodes_per_host = min(most_nodes, math.floor(BUSY / (cpu_s["host"] * per_node)))
    buses = math.ceil(loops_per_s * cpu_s["broker"] / BUSY)
    hosts = max(buses, math.ceil(nodes / nodes_per_host))
    shards = max(buses, math.ceil(loops_per_s * cpu_s["xApp"] / BUSY))
    memory_mb_total = hosts * memory_mb["host"] + shards * memory_mb["xApp"] + buses * memory_mb["broker"]
    return Plan(
        broker=broker,
        cells=cells,
        period_ms=period_ms,
        loops_per_s=loops_per_s,
        buses=buses,
        hosts=hosts,
        nodes_per_host=nodes_per_host,
        shards=shards,
        cores=loops_per_s * sum(cpu_s.values()),
        memory_gb=memory_mb_total / 1024,
    )


def plans(loads: Sequence[Load]) -> Iterator[Plan]:
    """A plan for each broker, period and number of cells that a fair size speaks for."""
    for broker in ("mosquitto", "nats"):
        for period_ms in PERIODS_MS:
            for cells in CELLS if fair(loads, broker, period_ms) else ():
                yield plan(loads, broker, cells, period_ms)


def refuted(loads: Sequence[Load]) -> Iterator[str]:
    """A line for each row of the plan whose very size was measured, on one broker, and was not carried."""
    for row in plans(loads):
        wanted = (row.broker, row.period_ms, row.buses, row.hosts, row.shards, row.cells)
        for load in loads:
            size = load.size
            found = (size.broker, size.period_ms, 1, size.hosts, size.shards, size.hosts * size.cells)
            if found == wanted and not on_time(load):
                yield (
                    f"The row of {row.cells:,} cells over {row.broker} was measured: {size.hosts} hosts of {size.cells:,} cells"
                    f" answered {100 * load.in_time:.0f} % in time on the busy cores of the second table."
                    " The plan counts CPU time and assumes that the cores are there."
                )


def unplanned(loads: Sequence[Load]) -> Iterator[str]:
    """A line for each period that no plan is given for."""
    planned = {one.period_ms for one in plans(loads)}
    for period_ms in PERIODS_MS:
        if period_ms not in planned:
            yield f"No plan is given for {period_ms / 1000:g} s."


def plan_table(loads: Sequence[Load]) -> str:
    head = (
        "cells",
        "every",
        "broker",
        "loops/s",
        "buses",
        "hosts",
        "nodes of a host",
        "xApp shards",
        "busy cores",
        "memory",
    )
    return markdown(
        [
            head,
            *(
                (
                    f"{one.cells:,}",
                    f"{one.period_ms / 1000:g} s",
                    one.broker,
                    f"{one.loops_per_s:,.0f}",
                    f"{one.buses:,}",
                    f"{one.hosts:,}",
                    f"{one.nodes_per_host:,}",
                    f"{one.shards:,}",
                    f"{one.cores:,.1f}",
                    f"{one.memory_gb:,.1f} GB",
                )
                for one in plans(loads)
            ),
        ]
    )


def measured_table(loads: Sequence[Load]) -> str:
    head = (
        "broker",
        "hosts",
        "cells of each",
        "every",
        "shards",
        "loops/s",
        "in time",
        "p50",
        "p99",
        "host",
        "xApp",
        "broker",
        "busiest",
        "MB",
    )
    return markdown([head, *map(_cells_of, loads)])


def _cells_of(load: Load) -> tuple[str, ...]:
    size = load.size
    parts = [
        f"{load.cpu_us[part]:,.0f} us, {100 * load.busy[part]:.0f} %" for part in ("host", "xApp", "broker")
    ]
    return (
        size.broker,
        str(size.hosts),
        f"{size.cells:,}",
        f"{size.period_ms / 1000:g} s",
        str(size.shards),
        f"{load.loops_per_s:,.0f} of {size.due_per_s:,.0f}",
        f"{100 * load.in_time:.0f} %",
        *("" if ms is None else f"{ms:,.0f} ms" for ms in (load.p50_ms, load.p99_ms)),
        *parts,
        load.first,
        ", ".join(f"{load.resident_mb[part]:.0f}" for part in ("host", "xApp", "broker")),
    )


def blocks() -> dict[str, str]:
    """What stands between the marks of the page."""
    where, loads = kept()
    said = " ".join((*refuted(loads), *unplanned(loads)))
    return {
        "plan": f"{plan_table(loads)}\n\n{said}".rstrip(),
        "measured": f"{where}\n\n{measured_table(loads)}",
    }


def filled(page: str) -> str:
    """The page with today's blocks.

    Raises:
        ValueError: A mark is missing.
    """
    for name, text in blocks().items():
        first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, at, rest = page.partition(first)
        _, end, after = rest.partition(last)
        if not (at and end):
            raise ValueError(f"docs/{PAGE.name} has no {first} with its {last}; put both back")
        page = f"{before}{first}\n{text}\n{last}{after}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizing", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{PAGE.name}")
    if parser.parse_args().write:
        PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    print("\n\n".join(blocks().values()))


if __name__ == "__main__":
    main()
