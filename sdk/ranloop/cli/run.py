"""`ranloop run`: xApps on a node in this process, or on a bus."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ranloop.bus import open_bus, will_of
from ranloop.cli.opening import gaps, open_node
from ranloop.cli.operator import leave_will_on_error, stop_on_signals
from ranloop.cli.summaries import plain_summaries
from ranloop.cli.values import (
    check_name,
    check_positive,
    parse_autonomies,
    parse_pairs,
    parse_priorities,
)
from ranloop.embedded import run_embedded
from ranloop.errors import RanloopError
from ranloop.guard import AuditLog, load_limits
from ranloop.node import Recorder
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from ranloop.xapp.manifest import Manifest, load_manifest

__all__ = ("join_bus", "run_on_node")

T = TypeVar("T")


def run_on_node(
    folders: Sequence[Path],
    address: str,
    *,
    seed: int,
    duration_s: float | None,
    settings: Sequence[str],
    models: Sequence[str],
    overrides: Sequence[str],
    autonomy: Sequence[str],
    priorities: Sequence[str],
    profile: str,
    limits: Path | None,
    audit: Path | None,
    record: Path | None,
    json_output: bool,
) -> int:
    """Run in lockstep on a world in this process, then print a summary."""
    check_positive("--duration-s", duration_s)
    manifests = [load_manifest(folder) for folder in folders]
    names = [manifest.name for manifest in manifests]
    levels, ranks = parse_autonomies(autonomy, names), parse_priorities(priorities, names)
    given = _deal(manifests, parse_pairs("--set", settings), lambda manifest: manifest.settings)
    chosen = _deal(manifests, _model_folders(models), lambda manifest: manifest.models)
    with contextlib.ExitStack() as stack:
        bounds = None if limits is None else load_limits(limits)
        log = stack.enter_context(AuditLog(audit))
        rights = {manifest.name: manifest.rights for manifest in manifests}
        node = open_node(address, seed=seed, overrides=overrides, profile=profile, xapps=rights)
        world = stack.enter_context(contextlib.closing(node))
        recorder = stack.enter_context(contextlib.closing(Recorder(record, world))) if record else None
        stack.enter_context(_prints_to_stderr(json_output))
        run = run_embedded(
            world,
            folders,
            settings=given,
            models=chosen,
            autonomy=levels,
            priorities=ranks,
            until_ns=None if duration_s is None else round(duration_s * 1e9),
            audit=log,
            limits=bounds,
            outlets=[recorder] if recorder else (),
        )
    summary = run.summary
    facts = {
        "ran_time_s": summary.ran_time_ns / 1e9,
        "steps": summary.steps,
        "reports": summary.n_reports,
        "targets": dict(summary.outcomes),
        "trace_hash": summary.trace_hash,
        **gaps(world),
    }
    _show(facts, run.xapps, json_output=json_output)
    return 0


def join_bus(
    folders: Sequence[Path],
    url: str,
    *,
    settings: Sequence[str],
    models: Sequence[str],
    duration_s: float | None,
    lockstep: bool,
    host: str,
    json_output: bool,
) -> int:
    """Run one xApp on a broker: live, or answering a lockstep host."""
    check_positive("--duration-s", duration_s)
    check_name("host", host)
    if url.startswith("memory:"):
        raise RanloopError(
            f"--bus {url} is a bus inside one process, and this process has no host; give --node, or a broker"
        )
    if len(folders) != 1:
        raise RanloopError(
            f"on a bus one process runs one xApp, with its own credentials; got {len(folders)} folders"
        )
    incarnation = "0" if lockstep else secrets.token_hex(8)
    instance = Instance(
        load_package(folders[0]),
        settings=parse_pairs("--set", settings),
        models=_model_folders(models),
        incarnation=incarnation,
    )
    will = will_of(instance.name, instance.run)
    with (
        contextlib.closing(open_bus(url, name=instance.name, will=will)) as bus,
        leave_will_on_error(bus),
        _prints_to_stderr(json_output),
    ):
        if lockstep:
            runner = LockstepRunner(instance, bus, host=host)
            runner.run()
            runner.close()
            facts: dict[str, Any] = {}
        else:
            stats = LiveRunner(instance, bus).run(stop_on_signals(), duration_s=duration_s)
            facts = {"live": stats.as_dict()}
        bus.poll(0.1)
    _show(facts, {instance.name: instance.summary()}, json_output=json_output)
    return 0


def _deal(
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


def _model_folders(pairs: Sequence[str]) -> dict[str, Path]:
    return {name: Path(str(folder)) for name, folder in parse_pairs("--model", pairs).items()}


@contextlib.contextmanager
def _prints_to_stderr(active: bool) -> Iterator[None]:
    """Send an xApp's own output to standard error: with --json, standard output is for the JSON document alone."""
    with contextlib.redirect_stdout(sys.stderr) if active else contextlib.nullcontext():
        yield


def _show(facts: Mapping[str, Any], told: Mapping[str, object], *, json_output: bool) -> None:
    """Print the facts of a run, and the summaries of its xApps.

    Raises:
        RanloopError: A summary of an xApp has no JSON form; the others are printed.
    """
    summaries, complaints = plain_summaries(told)
    facts = {**facts, "xapps": summaries}
    print(json.dumps(facts, indent=2) if json_output else _lines(facts), flush=True)
    if complaints:
        raise RanloopError("; ".join(complaints))


def _lines(facts: dict[str, Any], indent: str = "") -> str:
    """Nested facts as indented lines; so are lists of text."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:" + (" none" if not value else ""))
            lines += [_lines(value, indent + "  ")] if value else []
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            lines += [f"{indent}{key}:", *(f"{indent}  {item}" for item in value)]
        else:
            lines.append(
                f"{indent}{key}: {value:.4g}" if isinstance(value, float) else f"{indent}{key}: {value}"
            )
    return "\n".join(lines)
