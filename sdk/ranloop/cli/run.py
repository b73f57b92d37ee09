"""`ranloop run`: xApps on a node in this process, or on a bus."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ranloop.bus import open_bus, will_of
from ranloop.cli.dashboard import PageWanted, watched_run
from ranloop.cli.dealing import deal, model_folders
from ranloop.cli.ending import delay_facts, ending, exit_code, in_words, lines, score_facts
from ranloop.cli.logs import log_level, tell_metrics
from ranloop.cli.opening import gaps, open_node
from ranloop.cli.operator import leave_will_on_error, stop_on_signals
from ranloop.cli.summaries import plain_summaries
from ranloop.cli.values import (
    check_name,
    check_positive,
    parse_autonomies,
    parse_handler_delay,
    parse_pairs,
    parse_priorities,
    parse_shard,
)
from ranloop.embedded import Choices, run_embedded
from ranloop.errors import RanloopError
from ranloop.guard import AuditLog, load_limits
from ranloop.inference import Provider, load_trust
from ranloop.metrics import HostSource, PageSource, XAppSource, serve_metrics
from ranloop.node import LockstepHost, NodePort, Recorder
from ranloop.placement import BusTiers, Tiers, VirtualTiers, load_tiers
from ranloop.voice import named_output
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from ranloop.xapp.manifest import Manifest, load_manifest, shard_of
from ranloop.xapp.state_file import StateFile

__all__ = ("join_bus", "run_on_node")


def run_on_node(
    folders: Sequence[Path],
    address: str,
    *,
    seed: int,
    duration_s: float | None,
    settings: Sequence[str],
    models: Sequence[str],
    trust: Path | None,
    provider: Provider,
    overrides: Sequence[str],
    autonomy: Sequence[str],
    priorities: Sequence[str],
    profile: str,
    limits: Path | None,
    audit: Path | None,
    record: Path | None,
    state: Path | None,
    handler_delay: str,
    tiers: Path | None,
    metrics: str,
    dashboard: PageWanted | None,
    json_output: bool,
) -> int:
    """Run in lockstep on a world in this process, then print a summary."""
    check_positive("--duration-s", duration_s)
    delay = parse_handler_delay(handler_delay)
    manifests = [load_manifest(folder) for folder in folders]
    names = [manifest.name for manifest in manifests]
    until_ns = None if duration_s is None else round(duration_s * 1e9)
    trusted = None if trust is None else load_trust(trust)
    chosen = Choices(
        settings=deal(manifests, parse_pairs("--set", settings), lambda manifest: manifest.settings),
        models=deal(manifests, model_folders("--model", models), lambda manifest: manifest.models),
        autonomy=parse_autonomies(autonomy, names),
        priorities=parse_priorities(priorities, names),
        trust=trusted,
        provider=provider,
        state=state,
        tiers=_tiers(manifests, tiers),
    )
    with contextlib.ExitStack() as pages, contextlib.ExitStack() as stack:
        process = stack.enter_context(serve_metrics(metrics, tell_metrics))
        bounds = None if limits is None else load_limits(limits)
        log = stack.enter_context(AuditLog(audit))
        rights = {manifest.name: manifest.rights for manifest in manifests}

        def opened() -> NodePort:
            node = open_node(
                address, seed=seed, overrides=overrides, profile=profile, xapps=rights, trust=trusted
            )
            return stack.enter_context(contextlib.closing(node))

        world = opened()
        recorder = stack.enter_context(contextlib.closing(Recorder(record, world))) if record else None
        title = f"{', '.join(names)} on {address}"
        page = (
            pages.enter_context(watched_run(dashboard, world, opened, title, until_ns)) if dashboard else None
        )

        def show(pace: LockstepHost, runners: Sequence[LockstepRunner]) -> None:
            host = HostSource(pace=pace, recorder=recorder)
            watched = [PageSource(page=page.page, watchers=page.watchers)] if page else []
            buses = {"all": pace.host.bus}
            process.show("run", ",".join(names), buses, host, *map(XAppSource, runners), *watched)

        stack.enter_context(named_output(to_stderr=json_output, level=log_level()))
        run = run_embedded(
            world,
            folders,
            chosen,
            until_ns=until_ns,
            audit=log,
            limits=bounds,
            outlets=[recorder] if recorder else (),
            onlooker=page.watchers[0] if page else None,
            handler_delay_ms=delay,
            on_start=show,
            on_progress=page.follow if page else None,
        )
        if page:
            page.finish(world.now_ns)
        score = score_facts(world)
        summary = run.summary
        takes_actions = any(catalogue.actions for catalogue in world.catalogues)
        facts = {
            "ran_time_s": summary.ran_time_ns / 1e9,
            "steps": summary.steps,
            "reports": summary.n_reports,
            "targets": dict(summary.outcomes),
            "trace_hash": summary.trace_hash,
            **delay_facts(delay, summary),
            **gaps(world),
            **score,
            **ending(summary.fates, run.times, models=run.models, takes_actions=takes_actions),
        }
        stack.close()
        _show(facts, run.xapps, json_output=json_output)
        if page:
            page.stay(run.times)
    return exit_code(summary.fates, takes_actions=takes_actions)


def join_bus(
    folders: Sequence[Path],
    url: str,
    *,
    settings: Sequence[str],
    models: Sequence[str],
    trust: Path | None,
    provider: Provider,
    duration_s: float | None,
    lockstep: bool,
    host: str,
    state: Path | None,
    shard: str,
    tiers: Path | None,
    metrics: str,
    json_output: bool,
) -> int:
    """Run one xApp, or one shard of it, on a broker: live, or answering a lockstep host."""
    check_positive("--duration-s", duration_s)
    check_name("host", host)
    part = parse_shard(shard)
    if url.startswith("memory:"):
        raise RanloopError(
            f"--bus {url} is a bus inside one process, and this process has no host; give --node, or a broker"
        )
    if len(folders) != 1:
        raise RanloopError(
            f"on a bus one process runs one xApp, with its own credentials; got {len(folders)} folders"
        )
    places = _tiers([load_manifest(folder) for folder in folders], tiers)
    incarnation = "0" if lockstep else secrets.token_hex(8)
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(serve_metrics(metrics, tell_metrics))
        stack.enter_context(named_output(to_stderr=json_output, level=log_level()))
        package = load_package(folders[0])
        if part is not None:
            package = replace(package, manifest=shard_of(package.manifest, part))
        reach = None if places is None else _reach(places, package.manifest.name, url, lockstep=lockstep)
        if isinstance(reach, BusTiers):
            stack.enter_context(reach)
        kept = stack.enter_context(StateFile(state, package.manifest.name))
        instance = Instance(
            package,
            settings=parse_pairs("--set", settings),
            models=model_folders("--model", models),
            trust=None if trust is None else load_trust(trust),
            provider=provider,
            incarnation=incarnation,
            state=kept.state,
            reach=reach,
        )
        will = will_of(instance.name, instance.run)
        bus = stack.enter_context(contextlib.closing(open_bus(url, name=instance.name, will=will)))
        stack.enter_context(leave_will_on_error(bus))
        if lockstep:
            runner = LockstepRunner(instance, bus, host=host, on_turn=kept.turn)
            process.show("xapp", instance.name, {"all": bus}, XAppSource(runner))
            runner.run()
            runner.close()
            facts: dict[str, Any] = {}
        else:

            def turn() -> None:
                kept.turn()
                if isinstance(reach, BusTiers):
                    reach.turn()

            live = LiveRunner(instance, bus, on_turn=turn)
            process.show("xapp", instance.name, {"all": bus}, XAppSource(live))
            stats = live.run(stop_on_signals(), duration_s=duration_s)
            facts = {"live": stats.as_dict()}
        bus.poll(0.1)
        found = {instance.name: instance.summary()}
    told = instance.fates.told()
    of_models = {instance.name: instance.models_told()} if instance.models else {}
    facts |= ending(told, {instance.name: instance.times.told()}, models=of_models, is_live=not lockstep)
    _show(facts, found, json_output=json_output)
    return exit_code(told)


def _tiers(manifests: Sequence[Manifest], path: Path | None) -> Tiers | None:
    """The tiers file; without one it is said of which models the placement does not hold.

    Raises:
        RanloopError: The file cannot be used, or no model would use it.
    """
    placed = [f"{manifest.name}/{model}" for manifest in manifests for model in manifest.placement]
    if path is None:
        if placed:
            told = ", ".join(placed)
            print(f"without --tiers, computed here alone: {told}", file=sys.stderr, flush=True)
        return None
    if not placed:
        raise RanloopError(
            f"--tiers {path}: no manifest here has a [placement.MODEL]; docs/placement.md shows one"
        )
    return load_tiers(path)


def _reach(tiers: Tiers, xapp: str, url: str, *, lockstep: bool) -> VirtualTiers | BusTiers:
    """The way to the tiers: virtual ones where RAN time waits for the xApp, else those on their buses."""
    if lockstep:
        return VirtualTiers(tiers)
    return BusTiers(tiers, xapp, lambda address: open_bus(address or url, name=xapp))


def _show(facts: Mapping[str, Any], told: Mapping[str, object], *, json_output: bool) -> None:
    """Print the facts of a run, and the summaries of its xApps.

    Raises:
        RanloopError: A summary of an xApp has no JSON form; the others are printed.
    """
    summaries, complaints = plain_summaries(told)
    facts = {**facts, "xapps": summaries}
    print(json.dumps(facts, indent=2) if json_output else lines(in_words(facts)), flush=True)
    if complaints:
        raise RanloopError("; ".join(complaints))
