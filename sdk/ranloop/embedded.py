"""Node, guard and xApps in one process, in lockstep over the memory bus: no broker, no network, the same bits every time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ranloop.bus import open_bus
from ranloop.errors import ManifestError, NodeError
from ranloop.guard.audit import AuditLog
from ranloop.guard.autonomy import Autonomy
from ranloop.guard.limits import Limits
from ranloop.guard.rights import StreamRight
from ranloop.inference import Provider, Trust
from ranloop.node.delay import Delay, HandlerDelay, fixed
from ranloop.node.host import NodeHost
from ranloop.node.lockstep import LockstepHost
from ranloop.node.outlets import Onlooker, Outlet
from ranloop.node.port import NodePort
from ranloop.node.runtime import Registration
from ranloop.node.settings_desk import SettingsDesk
from ranloop.node.summary import RunSummary
from ranloop.placement import Tiers, VirtualTiers
from ranloop.wire.messages import Settings
from ranloop.wire.operating import SettingValue
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import XAppPackage, load_package
from ranloop.xapp.lockstep import LockstepRunner
from ranloop.xapp.manifest import Manifest
from ranloop.xapp.rollouts import PREFIX, split
from ranloop.xapp.state_file import StateFile
from ranloop.xapp.times import HandlerTime

__all__ = ("Choices", "EmbeddedRun", "SettingsAt", "run_embedded")

SettingsAt = Mapping[
    float, Mapping[str, Mapping[str, object]]
]  # RAN time in s -> xApp name -> setting -> value
_runs = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedRun:
    """The outcome of a run: the host's summary; the summary, the handlers' times and what its models were asked, of each xApp."""

    summary: RunSummary
    xapps: Mapping[str, Mapping[str, Any]]
    times: Mapping[str, tuple[HandlerTime, ...]]
    models: Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What is chosen for the xApps of a run; what is left out is as their manifests say.

    Attributes:
        settings: xApp name -> setting -> value.
        settings_at_s: RAN time in s -> the same, of settings that change then, as `ranloop settings` changes them: they are in
            force before the handlers of the first step from then on.
        models: xApp name -> model name -> model package.
        trust: Whose model packages may run; None takes those of everybody.
        provider: What computes the models.
        autonomy: The level of all xApps, or xApp name -> level; an xApp that is left out may act.
        priorities: xApp name -> priority, 0 by default; a higher one displaces the settings of a lower one.
        state: Folder of what the xApps keep between runs; with None each begins with nothing.
        tiers: Virtual tiers of the models that the manifests place; with None all models are computed here.
    """

    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    settings_at_s: SettingsAt = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    trust: Trust | None = None
    provider: Provider = "cpu"
    autonomy: Autonomy | Mapping[str, Autonomy] = Autonomy.ACT
    priorities: Mapping[str, int] = field(default_factory=dict)
    state: Path | None = None
    tiers: Tiers | None = None

    def check_names(self, names: Collection[str]) -> None:
        """Refuse what is chosen for an xApp that does not run.

        Raises:
            ManifestError: It is none of `names`.
        """
        levels = {} if isinstance(self.autonomy, Autonomy) else self.autonomy
        for what, about in (
            *(("settings", values) for values in (self.settings, *self.settings_at_s.values())),
            ("models", self.models),
            ("an autonomy", levels),
            ("a priority", self.priorities),
        ):
            if strangers := set(about) - set(names):
                raise ManifestError(f"{what} for {', '.join(sorted(strangers))}, which does not run here")

    def registration(self, manifest: Manifest) -> Registration:
        """The rights of a manifest, at the level and priority that are chosen."""
        name, level = manifest.name, self.autonomy
        return Registration(
            rights=manifest.rights,
            autonomy=level if isinstance(level, Autonomy) else level.get(name, Autonomy.ACT),
            priority=self.priorities.get(name, 0),
        )

    def instance(self, package: XAppPackage, stack: ExitStack) -> Instance:
        """The xApp as it is chosen; `stack` keeps its state at the end."""
        name = package.manifest.name
        return Instance(
            package,
            settings=self.settings.get(name),
            models=self.models.get(name),
            trust=self.trust,
            provider=self.provider,
            state=stack.enter_context(StateFile(self.state, name)).state if self.state else None,
            reach=VirtualTiers(self.tiers) if self.tiers else None,
        )


def run_embedded(
    world: NodePort,
    xapps: Sequence[Path | XAppPackage],
    chosen: Choices = Choices(),
    *,
    until_ns: int | None = None,
    audit: AuditLog | None = None,
    outlets: Sequence[Outlet] = (),
    limits: Limits | None = None,
    watched: Sequence[StreamRight] = (),
    onlooker: Onlooker | None = None,
    handler_delay_ms: HandlerDelay | Delay = 0.0,
    on_start: Callable[[LockstepHost, Sequence[LockstepRunner]], object] | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> EmbeddedRun:
    """Run xApps on a world until it ends.

    Args:
        world: The world; the caller closes it.
        xapps: xApp folders, or packages that are loaded already; each gets the rights of its manifest.
        chosen: For these xApps.
        until_ns: RAN time at which the run ends; default: the world's end.
        audit: Where verdicts go; a log in memory if left out.
        outlets: Observers of every event: reports, results, the guard's audit records.
        limits: The operator's limits, which no manifest can widen.
        watched: Streams that the outlets see even if no xApp reads them.
        onlooker: Sees the events, too, and more columns of the reports, such as a page.
        handler_delay_ms: RAN time that each step of an xApp takes, in which it misses reports (`ranloop.node.delay`);
            "measured" takes the wall-clock time of its handlers, and no two runs are the same then; a `Delay` is
            asked at each step.
        on_start: Called once before RAN time moves, with what runs the nodes and the xApps.
        on_progress: Called after each step with (RAN time, end) in nanoseconds.

    Raises:
        ManifestError: A folder is no xApp, two xApps have one name, something is chosen for an xApp that does not run, or a
            setting is none of its manifest; nothing has run then.
        NodeError: An xApp reads what no node of this world offers, or settings change outside of the run.
        LockstepError: A handler raised; the text carries the user's traceback.
    """
    packages = [xapp if isinstance(xapp, XAppPackage) else load_package(xapp) for xapp in xapps]
    manifests = {package.manifest.name: package.manifest for package in packages}
    if len(manifests) < len(packages):
        names = [package.manifest.name for package in packages]
        raise ManifestError(f"two of the xApps have the same name: {', '.join(names)}")
    chosen.check_names(manifests)
    end_ns = world.end_ns if until_ns is None else world.last_until(until_ns)
    orders = _Orders(chosen.settings_at_s, manifests, end_ns)
    with ExitStack() as stack:
        instances = [chosen.instance(package, stack) for package in packages]
        bus = stack.enter_context(closing(open_bus(_private_url(), name="embedded")))
        runners = [LockstepRunner(instance, bus) for instance in instances]
        host = NodeHost(
            world,
            bus,
            xapps={name: chosen.registration(manifest) for name, manifest in manifests.items()},
            audit=audit,
            outlets=outlets,
            limits=limits,
            watched=watched,
            onlooker=onlooker,
        )
        pace = LockstepHost(host, delay=_delay(handler_delay_ms, runners))
        if on_start is not None:
            on_start(pace, runners)
        summary = pace.run(
            until_ns,
            before_step=lambda now_ns: orders.give(now_ns, host.runtime.settings),
            on_progress=on_progress,
        )
        for runner in runners:
            runner.close()
    return EmbeddedRun(
        summary=summary,
        xapps={instance.name: instance.summary() for instance in instances},
        times={instance.name: instance.times.told() for instance in instances},
        models={instance.name: instance.models_told() for instance in instances if instance.models},
    )


def _delay(handlers: HandlerDelay | Delay, runners: Sequence[LockstepRunner]) -> Delay:
    """The RAN time of a step: the same for each, as long as its handlers took by the wall clock, or another one's to say."""
    if callable(handlers):
        return handlers
    if not isinstance(handlers, str):
        return fixed(handlers)
    took = {runner.instance.name: runner for runner in runners}
    return lambda xapp, _: took[xapp].took_ns


class _Orders:
    """Settings that change while the xApps run, as an operator would order them.

    Raises:
        ManifestError: A setting is none of its xApp's manifest.
        NodeError: A time lies outside of the run.
    """

    def __init__(self, changes: SettingsAt, manifests: Mapping[str, Manifest], end_ns: int) -> None:
        if wrong := [at_s for at_s in changes if not 0 <= at_s * 1e9 <= end_ns]:
            raise NodeError(
                f"settings_at_s: {wrong[0]:g} s is not in the run, which ends at {end_ns / 1e9:g} s"
            )
        # RAN time, xApp, and all of its settings that have been changed by then
        self._due: deque[tuple[int, str, Settings]] = deque()
        changed: dict[str, dict[str, SettingValue]] = {}
        for at_s, of_xapps in sorted(changes.items()):
            at_ns = round(at_s * 1e9)
            for xapp, values in of_xapps.items():
                plain, stages = split(values)
                checked = manifests[xapp].effective_settings(plain)
                changed[xapp] = changed.get(xapp, {}) | {name: checked[name] for name in plain}
                changed[xapp] |= {PREFIX + name: stage for name, stage in stages.items()}
                order = Settings(id=f"at-{at_ns}", values=changed[xapp], by="settings_at_s")
                self._due.append((at_ns, xapp, order))

    def give(self, now_ns: int, desk: SettingsDesk) -> None:
        """Give the orders that are due."""
        while self._due and self._due[0][0] <= now_ns:
            _, xapp, order = self._due.popleft()
            desk.hear(xapp, order)


def _private_url() -> str:
    global _runs
    _runs += 1
    return f"memory://embedded-{_runs}"
