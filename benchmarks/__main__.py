"""`python -m benchmarks`: run all, print one table; exit code 1 if a bar is missed.

--only NAME    one of them (repeatable): action_path, codec, curves, first_report, forecaster, imports, loop, memory, metrics,
               model_call, notebook, page, peers, recorder, scale, simulator, tables
--json         the rows as JSON
--write        put the table into docs/benchmarks.md, with the machine and the versions it was measured on
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Row, machine, markdown

NAMES = (
    "codec",
    "action_path",
    "model_call",
    "forecaster",
    "loop",
    "simulator",
    "curves",
    "peers",
    "imports",
    "first_report",
    "notebook",
    "recorder",
    "metrics",
    "page",
    "tables",
    "memory",
    "scale",
)
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_HEAD = ("name", "p50", "p99", "unit", "peer", "peer p50", "ratio p50", "ratio p99", "bar", "ok", "note")
_PAGE = """\
# Benchmarks

What `python -m benchmarks --write` measured; every number stands beside its peer or floor, taken in the same run and in
turns with it. A bar is the most that is allowed of the ratio, or of the number itself where there is no peer.

{machine}

{table}

## Reading it

- **Percentiles.** A neighbour who takes the CPU for a scheduler's slice shows as some 4 ms in a p99. It hits both sides
  of a pair alike only where both take about as long; p99 is therefore judged for the loops alone.
- **Codec.** What is left above the bare block are a search for infinities, a comparison of the id columns, one of the
  header, and a message object with names; see [decision 1](decisions/0001-report-counters.md).
- **Action path.** Encode, decode, judge, apply on a world where nothing happens, settle, encode and decode the result.
  No single stage dominates: it is many small NumPy calls and the calls around them. What is known of targets that
  come again (their keys, that none stands there twice, where their rows are) is not found out again.
- **Loops.** The peer is a bare paho loop with the same hops, QoS and sizes; it reads, decides and checks nothing. The bar
  of 1.3 is about what travels, so it is applied to the *transport* rows: bus, codec and the xApp's runner around a handler
  that sends back what came; the host takes the decoded action for applied. The *guarded* rows add a policy and the live host with
  all that it does, from the check of the report to the result; over mosquitto their bar is 1.8. Counters, audit and recorder
  follow the result and are not in these times.
- **Awake and asleep.** A process that sleeps until a message comes wakes up with cold caches, and takes three to five times as
  long for the same work. A client on a broker therefore waits awake for 600 us after traffic
  ([decision 8](decisions/0008-wait-awake-after-traffic.md)); the rows *asleep* are without it. With a report every 20 ms
  all caches are cold in between, in the bare loop as well, and waiting awake gains little: those rows show the time of a slow
  loop.
- **Recorder.** It writes a minute of RAN time at a time, so its cost is in the run's last step here; live, an outlet has a thread of
  its own.
- **Metrics.** The same loop with and without them in turns: the buckets of all durations, and a scrape of host and xApp every second by
  another process.
- **Memory.** What a host keeps (newest audit records, durations of stages, ids that could be repeated) is bounded and full long
  before 100,000 reports; from then on its size must not grow.
- **Scale.** A loop is a report of 3 cells and 100 UEs, an action on all of them and its result; hosts, xApp and broker are processes,
  and none waits awake. A figure is the time from a report to its result, without the node's control delay; the nodes of a host report
  at the same instant, so it is how long a host's burst takes. [sizing.md](sizing.md) plans with the CPU times.
- **Simulator.** The floor is what it would cost to look at each UE's channel in each slot and do nothing with it. S1 to S4
  are worlds of tri-sectored sites with 100 MHz at 30 kHz; a slot is CPU time of its thread, split among the stages
  by the cycle counter.
- **Floor of a stage.** The least work that a stage of S1 cannot avoid, counted by hand from its kernel, at the rate at which
  loops that do nothing else do it here (`benchmarks/floors.py`). No stage reaches it: branches, values that wait for
  another, and rows of 18 RBGs that fill no whole vectors are left out.
- **Cost by UEs, cells and load.** The ratio is the cost of a slot in slots of S1, measured in turns with it.
- **Beside other simulators.** No other simulator has the same models, so a UE·step is not the same work: the notes name the parts
  that a peer's step leaves out. As many cells and UEs on both sides; the ratio is our time per UE·step, or per simulated second,
  in the peer's. They are installed by `pip install --group peers` into an environment of their own, whose interpreter
  `RANLOOP_PEERS_PYTHON` names.
"""


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed, beside peers and floors."
    )
    parser.add_argument("--only", action="append", choices=NAMES, help="one of them; repeatable")
    parser.add_argument("--json", action="store_true", help="rows as JSON on standard output")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.only or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the table, not for log lines
            rows += importlib.import_module(f"benchmarks.{name}").run()
    if arguments.json:
        print(json.dumps([asdict(row) | {"ok": row.ok} for row in rows], indent=2))
    else:
        print(_aligned([_HEAD, *map(_cells, rows)]))
    if arguments.write:
        PAGE.write_text(_PAGE.format(machine=machine(), table=markdown([_HEAD, *map(_cells, rows)])), "utf-8")
    return int(any(row.ok is False for row in rows))


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {True: "yes", False: "MISSED", None: ""}[row.ok]
    bar = (
        ""
        if row.bar is None
        else f"{row.bar:g}{'x' if row.peer else ''}{' (p99, too)' if row.bar_p99 else ''}"
    )
    numbers = (row.p50, row.p99, row.peer_p50, row.ratio_p50, row.ratio_p99)
    p50, p99, peer_p50, ratio_p50, ratio_p99 = ("" if n is None else f"{n:.3g}" for n in numbers)
    return (row.name, p50, p99, row.unit, row.peer, peer_p50, ratio_p50, ratio_p99, bar, verdict, row.note)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
