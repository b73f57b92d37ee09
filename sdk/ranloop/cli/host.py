"""`ranloop host`: RAN nodes with their guards on a bus, for xApps that run elsewhere."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ranloop.bus import new_run, open_bus, will_of, without_password
from ranloop.cli.dashboard import PageWanted, serve_host
from ranloop.cli.ending import delay_facts, in_words, lines, not_applied, score_facts
from ranloop.cli.last_resort import LastResort
from ranloop.cli.opening import gaps, open_node
from ranloop.cli.operator import leave_will_on_error, stop_on_signals
from ranloop.cli.values import (
    check_name,
    check_positive,
    in_shards,
    parse_autonomies,
    parse_handler_delay,
    parse_priorities,
)
from ranloop.errors import ManifestError
from ranloop.guard import AuditLog, load_limits
from ranloop.inference import load_trust
from ranloop.metrics import HostSource, PageSource, serve_metrics
from ranloop.node import (
    LiveHost,
    LockstepHost,
    NodeHost,
    Recorder,
    Registration,
)
from ranloop.node.delay import fixed, measured
from ranloop.node.lockstep import OnTimeout
from ranloop.page import Watcher
from ranloop.xapp.manifest import Manifest, load_manifest

__all__ = ("run_host",)


def run_host(
    address: str,
    allow: Sequence[Path],
    url: str,
    *,
    name: str,
    seed: int,
    duration_s: float | None,
    overrides: Sequence[str],
    autonomy: Sequence[str],
    priorities: Sequence[str],
    shards: Sequence[str],
    profile: str,
    lockstep: bool,
    timeout_s: float,
    on_timeout: OnTimeout,
    handler_delay: str,
    speed: float,
    limits: Path | None,
    trust: Path | None,
    audit: Path | None,
    record: Path | None,
    metrics: str,
    dashboard: PageWanted | None,
    json_output: bool,
) -> int:
    """Host until `duration_s` of RAN time have passed, a replay or lockstep run is over, or a signal comes."""
    check_name("host", name)
    check_positive("--duration-s", duration_s)
    check_positive("--speed", speed)
    check_positive("--timeout-s", timeout_s)
    delay = parse_handler_delay(handler_delay)
    xapps = _registrations([load_manifest(folder) for folder in allow], autonomy, priorities, shards)
    run = new_run()
    # With --json, standard output is for the JSON document alone.
    tell = functools.partial(print, file=sys.stderr if json_output else sys.stdout, flush=True)
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(serve_metrics(metrics, lambda url: tell(f"metrics are on {url}")))
        last_resort = stack.enter_context(LastResort())
        bounds = None if limits is None else load_limits(limits)
        trusted = None if trust is None else load_trust(trust)
        log = stack.enter_context(AuditLog(audit))
        rights = {xapp: registration.rights for xapp, registration in xapps.items()}
        node = open_node(
            address, seed=seed, overrides=overrides, profile=profile, xapps=rights, trust=trusted
        )
        world = stack.enter_context(contextlib.closing(node))
        here = [catalogue.node for catalogue in world.catalogues]
        xapps = {xapp: one for xapp, one in xapps.items() if any(map(one.rights.reach, here))}
        bus = stack.enter_context(contextlib.closing(open_bus(url, name=name, will=will_of(name, run))))
        line = stack.enter_context(contextlib.closing(open_bus(url, name=f"{name}-operator")))
        stack.enter_context(leave_will_on_error(bus))
        recorder = stack.enter_context(contextlib.closing(Recorder(record, world))) if record else None
        onlooker, watched = None, []
        if dashboard:
            page = stack.enter_context(serve_host(dashboard, f"{address} on {without_password(url)}", url))
            page.meet(world.catalogues)
            onlooker = stack.enter_context(Watcher(page))
            watched = [PageSource(page=page, watchers=[onlooker])]
        host = NodeHost(
            world,
            bus,
            name=name,
            xapps=xapps,
            audit=log,
            outlets=[recorder] if recorder else [],
            limits=bounds,
            run=run,
            operator_bus=line,
            onlooker=onlooker,
        )
        tell(
            f"hosting {', '.join(host.runtime.guards)} on {without_password(url)} for {', '.join(xapps) or 'nobody'}"
        )
        facts: dict[str, object]
        buses = {"all": bus, "operator": line}
        if lockstep:
            until_ns = None if duration_s is None else round(duration_s * 1e9)
            of_wall = measured if isinstance(delay, str) else fixed(delay)
            paced = LockstepHost(host, delay=of_wall)
            process.show("host", name, buses, HostSource(pace=paced, recorder=recorder), *watched)
            summary = paced.run(until_ns, timeout_s=timeout_s, on_timeout=on_timeout)
            facts = {
                "steps": summary.steps,
                "trace_hash": summary.trace_hash,
                "timeouts": summary.n_timeouts,
                "xapps_dropped": list(summary.dropped_xapps),
                **delay_facts(delay, summary),
            }
        else:
            live = LiveHost(host, speed=speed)
            process.show("host", name, buses, HostSource(pace=live, recorder=recorder), *watched)

            def stop() -> None:
                last_resort.start()
                live.stop()

            stop_on_signals(stop)
            summary = live.run(duration_s)
            facts = {
                "worst_lag_ms": round(summary.worst_lag_ns / 1e6, 1),
                "xapps_shut_out": sorted(host.runtime.shut_out),
                "events_not_shown": summary.n_not_shown,
            }
        facts |= {
            "ran_time_s": summary.ran_time_ns / 1e9,
            "reports": summary.n_reports,
            "targets": dict(summary.outcomes),
            "messages_dropped": summary.n_dropped,
            "values_outside_range": summary.n_outside,
            **gaps(world),
            **score_facts(world),
            "not_applied": not_applied(summary.fates),
        }
    if recorder:
        facts["reports_not_recorded"] = recorder.n_lost
    if audit:
        facts["audit_records_not_written"] = log.n_not_written
    print(
        json.dumps(facts, indent=2)
        if json_output
        else lines({key: _plain(fact) for key, fact in in_words(facts).items()})
    )
    return 0


def _plain(fact: object) -> object:
    """A fact as people read it: a list on one line."""
    return ", ".join(fact) or "none" if isinstance(fact, list) else fact


def _registrations(
    manifests: Sequence[Manifest], autonomy: Sequence[str], priorities: Sequence[str], shards: Sequence[str]
) -> dict[str, Registration]:
    """The xApps that the operator admits, each with its rights, autonomy and priority."""
    names = [manifest.name for manifest in manifests]
    if len(set(names)) < len(names):
        raise ManifestError(f"two of the xApps have the same name: {', '.join(names)}")
    levels, ranks = parse_autonomies(autonomy, names), parse_priorities(priorities, names)
    return {
        manifest.name: Registration(
            rights=manifest.rights, autonomy=levels[name], priority=ranks[name], encoding=manifest.encoding
        )
        for name, of_the_xapp in in_shards(manifests, shards).items()
        for manifest in of_the_xapp
    }
