"""Node, guard and xApps in one process, in lockstep over the memory bus: no broker, no network, the same bits every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranloop.bus import open_bus
from ranloop.errors import ManifestError
from ranloop.guard.audit import AuditLog
from ranloop.guard.autonomy import Autonomy
from ranloop.guard.limits import Limits
from ranloop.node.host import NodeHost
from ranloop.node.lockstep import LockstepHost
from ranloop.node.outlets import Outlet
from ranloop.node.port import NodePort
from ranloop.node.runtime import Registration
from ranloop.node.summary import RunSummary
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner

__all__ = ("EmbeddedRun", "run_embedded")

_runs = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedRun:
    """The outcome of a run: the host's summary and the summary of each xApp."""

    summary: RunSummary
    xapps: Mapping[str, Mapping[str, Any]]


def run_embedded(
    world: NodePort,
    folders: Sequence[Path],
    *,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    models: Mapping[str, Mapping[str, Path]] | None = None,
    autonomy: Autonomy | Mapping[str, Autonomy] = Autonomy.ACT,
    priorities: Mapping[str, int] | None = None,
    until_ns: int | None = None,
    audit: AuditLog | None = None,
    outlets: Sequence[Outlet] = (),
    limits: Limits | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> EmbeddedRun:
    """Run xApp folders on a world until it ends.

    Args:
        world: The world; the caller closes it.
        folders: xApp folders; each is loaded as a package of its own and gets the rights of its manifest.
        settings: xApp name -> setting -> value.
        models: xApp name -> model name -> model package, in place of the manifest's own.
        autonomy: The level of all xApps, or xApp name -> level; an xApp that is left out may act.
        priorities: xApp name -> priority, 0 by default; a higher one displaces the settings of a lower one.
        until_ns: RAN time at which the run ends; default: the world's end.
        outlets: Observers of every event: reports, results, the guard's audit records.
        limits: The operator's limits, which no manifest can widen.
        on_progress: Called after each step with (RAN time, end) in nanoseconds.

    Raises:
        ManifestError: A folder is no xApp, two xApps have one name, or an argument names an xApp that does not run.
        NodeError: An xApp reads what no node of this world offers.
        LockstepError: A handler raised; the text carries the user's traceback.
    """
    packages = [load_package(folder) for folder in folders]
    names = [package.manifest.name for package in packages]
    if len(set(names)) < len(names):
        raise ManifestError(f"two of the xApps have the same name: {', '.join(names)}")
    levels = dict.fromkeys(names, autonomy) if isinstance(autonomy, Autonomy) else autonomy
    given, chosen, ranks = settings or {}, models or {}, priorities or {}
    words = {"settings": given, "models": chosen, "an autonomy": levels, "a priority": ranks}
    for what, about in words.items():
        if strangers := set(about) - set(names):
            raise ManifestError(f"{what} for {', '.join(sorted(strangers))}, which does not run here")
    instances = [
        Instance(package, settings=given.get(package.manifest.name), models=chosen.get(package.manifest.name))
        for package in packages
    ]
    registrations = {
        instance.name: Registration(
            rights=instance.manifest.rights,
            autonomy=levels.get(instance.name, Autonomy.ACT),
            priority=ranks.get(instance.name, 0),
        )
        for instance in instances
    }
    with ExitStack() as stack:
        bus = open_bus(_private_url(), name="embedded")
        stack.callback(bus.close)
        runners = [LockstepRunner(instance, bus) for instance in instances]
        host = NodeHost(world, bus, xapps=registrations, audit=audit, outlets=outlets, limits=limits)
        summary = LockstepHost(host).run(until_ns, on_progress=on_progress)
        for runner in runners:
            runner.close()
    return EmbeddedRun(summary=summary, xapps={instance.name: instance.summary() for instance in instances})


def _private_url() -> str:
    global _runs
    _runs += 1
    return f"memory://embedded-{_runs}"
