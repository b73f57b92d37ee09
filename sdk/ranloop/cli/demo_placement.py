"""`ranloop demo placement`: a tier fails and comes back under a running loop, and no report goes without a decision."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ranloop.bundled import bundled
from ranloop.embedded import Choices, run_embedded
from ranloop.errors import NodeError
from ranloop.guard import Autonomy
from ranloop.guard.audit_record import AuditRecord
from ranloop.node import open_world
from ranloop.placement import Tiers, load_tiers
from ranloop.placement.tiers import Event

__all__ = ("demo_placement",)

NODE, SEED, DURATION_S = "sim:seven-sites", 6001, 24
DOWN_S = (7.5, 14.5)  # the region
CUT_S = (17.5, 20.5)  # the region and the centre
FAULTS = ("sleeping-cell", "backhaul-delay", "power-loss")
_NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class _Second:
    """The decisions about the reports of one second."""

    by: Counter[str] = field(default_factory=Counter)  # "tier" or "tier (reason)" -> nodes
    took_ms: list[float] = field(default_factory=list)  # from report to verdict
    right: list[bool] = field(
        default_factory=list
    )  # a cell was sent away from or left alone, as it should be


class _Watcher:
    """An outlet that files each decision under the second of its report."""

    def __init__(self, ill: frozenset[int]) -> None:
        self.seconds: dict[int, _Second] = {}
        self._ill = ill

    def take(self, event: object) -> None:
        if not isinstance(event, AuditRecord) or event.batch is None or event.event != "result":
            return
        batch, second = event.batch, self.seconds.setdefault(event.batch.report_seq + 1, _Second())
        for how in batch.inferences:
            second.by[how.tier if how.reason == "better" else f"{how.tier} ({how.reason})"] += 1
        second.took_ms.append(event.ran_time_ns / 1e6 - 1e3 * (batch.report_seq + 1))
        offsets_db = batch.action.parameters()[:, 0]
        for cell, offset_db in zip(batch.action.targets()[:, 0].tolist(), offsets_db.tolist(), strict=True):
            second.right.append((offset_db < 0) == (cell in self._ill))


def demo_placement(*, json_output: bool) -> int:
    """Run one drop with and without tiers, and print who decided in each second.

    Raises:
        NodeError: This installation carries no examples or models.
    """
    began_s = time.monotonic()
    xapp, tiers_file = bundled("docs/examples/fault_steering"), bundled("docs/examples/tiers.toml")
    if xapp is None or tiers_file is None:
        raise NodeError(
            "the demo runs docs/examples/fault_steering, which an SDK alone does not carry; install ranloop from its wheel or a checkout"
        )
    tiers = _failing(load_tiers(tiers_file))
    placed, alone = _run(xapp, tiers), _run(xapp, None)
    if json_output:
        print(json.dumps(_facts(placed, alone), indent=2))
        return 0
    print("\n".join(_text(placed, alone)))
    print(f"{time.monotonic() - began_s:.0f} s in all")
    return 0


def _failing(tiers: Tiers) -> Tiers:
    spans = {"regional": (DOWN_S, CUT_S), "central": (CUT_S,)}
    changed = dict(tiers.tiers)
    for name, downs in spans.items():
        events = tuple(Event(what="down", from_s=from_s, to_s=to_s) for from_s, to_s in downs)
        changed[name] = tiers[name].model_copy(update={"events": events})
    return tiers.model_copy(update={"tiers": changed})


def _run(xapp: Path, tiers: Tiers | None) -> _Watcher:
    """One drop with a fault in six of 21 cells from the first second on."""
    faults: list[dict[str, Any]] = [
        {"kind": kind, "cells": [3 * at, 3 * at + 10], "start_s": 1} for at, kind in enumerate(FAULTS)
    ]
    faults[1] |= {"delay_ms": 120.0}
    faults[2] |= {"loss_db": 10.0}
    overrides = {"faults": faults, "load": 0.8, "run.duration_s": float(DURATION_S)}
    watcher = _Watcher(frozenset(cell for fault in faults for cell in fault["cells"]))
    with closing(open_world(NODE, seed=SEED, overrides=overrides)) as world:
        run_embedded(world, [xapp], Choices(tiers=tiers, autonomy=Autonomy.RECOMMEND), outlets=[watcher])
    return watcher


def _state(second: int) -> str:
    """Which tiers above are there at a report."""
    if CUT_S[0] <= second < CUT_S[1]:
        return "none"
    return "central" if DOWN_S[0] <= second < DOWN_S[1] else "regional, central"


def _text(placed: _Watcher, alone: _Watcher) -> Iterator[str]:
    yield "Seven sites; six of 21 cells have a fault. An xApp asks a classifier each second which, and recommends to send UEs away from those."
    yield f"Its model is here; a better one is on two tiers above. The region fails from {DOWN_S[0]:g} to {DOWN_S[1]:g} s, both from {CUT_S[0]:g} to {CUT_S[1]:g} s."
    yield ""
    yield f"{'report':>7}  {'tiers above':18}  {'slowest':>8}  decided by"
    for number, second in sorted(placed.seconds.items())[: DURATION_S - 1]:
        by = ", ".join(f"{n} x {who}" for who, n in second.by.most_common())
        yield f"{number:>5} s  {_state(number):18}  {max(second.took_ms):>5.0f} ms  {by}"
    facts = _facts(placed, alone)
    yield ""
    yield f"reports without a decision: {facts['without_decision']} of {facts['reports']}; slowest decision {facts['slowest_ms']:.0f} ms after its report"
    yield (
        f"cells judged right as ill or well: {facts['right_better']:.1%} with the better model, {facts['right_instead']:.1%} without it, "
        f"and {facts['right_alone']:.1%} by an xApp without tiers"
    )


def _facts(placed: _Watcher, alone: _Watcher) -> dict[str, Any]:
    n_nodes, last = 7, DURATION_S - 1  # the actions about the last report come after the end
    counted = {number: second for number, second in placed.seconds.items() if number <= last}
    n_decided = sum(len(second.took_ms) for second in counted.values())
    judged = {number: second for number, second in counted.items() if number >= 4}  # the windows are full
    with_better = [second for second in judged.values() if all("(" not in who for who in second.by)]
    without = [second for second in judged.values() if all("(" in who for who in second.by)]
    return {
        "reports": n_nodes * last,
        "without_decision": n_nodes * last - n_decided,
        "slowest_ms": max(max(second.took_ms) for second in counted.values()),
        "right_better": _share(with_better),
        "right_instead": _share(without),
        "right_alone": _share([second for number, second in alone.seconds.items() if 4 <= number <= last]),
        "by_second": {number: dict(second.by) for number, second in sorted(counted.items())},
    }


def _share(seconds: Sequence[_Second]) -> float:
    right = [one for second in seconds for one in second.right]
    return sum(right) / len(right) if right else float("nan")
