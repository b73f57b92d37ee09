"""`ranloop infer-host`: serves model packages to xApps over a bus, as one replica of a tier."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ranloop.bus import new_run, open_bus, will_of, without_password
from ranloop.cli.logs import log_level
from ranloop.cli.operator import leave_will_on_error, stop_on_signals
from ranloop.cli.values import check_name, check_positive
from ranloop.errors import RanloopError
from ranloop.inference import Provider, Trust, load_model, load_trust
from ranloop.placement.packing import Wire
from ranloop.placement.server import InferenceHost
from ranloop.placement.split import Split, open_cut_model
from ranloop.voice import named_output

__all__ = ("run_infer_host",)


def run_infer_host(
    folders: Sequence[Path],
    url: str,
    *,
    cuts: Sequence[str],
    tier: str,
    name: str,
    queue: int,
    batch_rows: int,
    trust: Path | None,
    provider: Provider,
    duration_s: float | None,
    json_output: bool,
) -> int:
    """Serve until a signal or `duration_s` ends it, then print what was answered.

    Raises:
        RanloopError: A package cannot be used, a name is none, or the bus cannot be opened.
    """
    check_positive("--duration-s", duration_s)
    check_name("tier", tier)
    name = name or tier
    check_name("name", name)
    if url.startswith("memory:"):
        raise RanloopError(
            f"--bus {url} is a bus inside one process, and no xApp is in this one; give a broker"
        )
    trusted = None if trust is None else load_trust(trust)
    models = [load_model(folder, trust=trusted, provider=provider) for folder in folders]
    splits = _splits(folders, cuts, trusted, provider)
    run = new_run()
    with contextlib.ExitStack() as stack:
        stack.enter_context(named_output(to_stderr=json_output, level=log_level()))
        bus = stack.enter_context(contextlib.closing(open_bus(url, name=name, will=will_of(name, run))))
        stack.enter_context(leave_will_on_error(bus))
        stop = stop_on_signals(bus.wake)
        host = InferenceHost(
            bus, name, tier, models, splits=splits, queue=queue, batch_rows=batch_rows, run=run
        )
        if not json_output:
            tags = [*(model.tag for model in models), *(split.tag for split in splits)]
            print(f"{name} serves {', '.join(tags)} as tier {tier} on {without_password(url)}", flush=True)
        counts = host.run(stop, duration_s=duration_s)
        bus.poll(0.1)
    facts = {"name": name, "tier": tier, "questions": dict(sorted(counts.items()))}
    told = ", ".join(f"{state} {n:,}" for state, n in sorted(counts.items())) or "none"
    print(json.dumps(facts, indent=2) if json_output else f"questions: {told}", flush=True)
    return 0


def _splits(
    folders: Sequence[Path], cuts: Sequence[str], trust: Trust | None, provider: Provider
) -> list[Split]:
    """Each cut of the one package, in both forms on the wire."""
    if not cuts:
        return []
    if len(folders) > 1:
        raise RanloopError(
            f"--cut belongs to one package, and there are {len(folders)}: start a host for each"
        )
    model = open_cut_model(folders[0], trust=trust, provider=provider)
    splits = [model.split(model.cut(cut), wire) for cut in cuts for wire in get_args(Wire)]
    for split in splits:
        split.tail.open()  # a tail that cannot run is to be told now
    return splits
