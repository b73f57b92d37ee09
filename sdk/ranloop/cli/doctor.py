"""`ranloop doctor`: looks for the commonest faults, and says what to do about each."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

import ranloop
from ranloop.bus import open_bus, without_password
from ranloop.cli.bus_view import BusView, names_in
from ranloop.cli.host_clocks import HostClocks
from ranloop.errors import BusError, RanloopError
from ranloop.foreign import one_line
from ranloop.guard.fates import fruitless
from ranloop.guard.remedies import remedy
from ranloop.inference import Model, read_package
from ranloop.node.registry import ENTRY_POINTS
from ranloop.wire.messages import Cause
from ranloop.xapp.loader import read_code
from ranloop.xapp.manifest import Manifest, load_manifest

__all__ = ("Finding", "run_doctor")

LISTEN_S = 3.0  # to a bus: retained messages come at once, results with the next reports
_LEAST_PYTHON = (3, 11)
_EXTRAS = {
    "numba": "sim",
    "pyarrow": "record",
    "prometheus_client": "metrics",
    "uvicorn": "page",
    "distributed": "cluster",
    "gymnasium": "gym",
    "matplotlib": "plot",
    "skl2onnx": "train",
    "cryptography": "trust",
}
_CLOCK_SLACK_S = 60.0
_ANSWER_SLACK_S = 5.0  # an answer has whole seconds, and waits until its host polls
_SET_CLOCKS = "set both clocks (NTP): certificates and the audit log need them"

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes:
        state: "note" is no fault by itself, and may explain one.
        remedy: What to do; "" where nothing is to be done.
    """

    check: str
    state: State
    text: str
    remedy: str = ""


def run_doctor(folder: Path | None, bus_url: str, *, json_output: bool) -> int:
    """Print a line for each check; 1 if one of them found a problem, else 0.

    Args:
        folder: An xApp folder; its code is read and not run. None looks at everything else.
        bus_url: The bus to listen to; "" leaves out all that needs one.
        json_output: Print one JSON document.
    """
    findings = [_python(), _extras(), _simulator(), _clock(time.time())]
    manifest = None
    if folder is not None:
        found, manifest = _folder(folder)
        findings.append(found)
    findings += _on_bus(bus_url, folder, manifest) if bus_url else [_no_bus()]
    if json_output:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            advice = f"; {finding.remedy}" if finding.remedy else ""
            print(f"{finding.state:8} {finding.check:10} {one_line(finding.text + advice, 1000)}")
    return int(any(finding.state == "problem" for finding in findings))


# This machine


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _LEAST_PYTHON:
        wanted = ".".join(map(str, _LEAST_PYTHON))
        return Finding("python", "problem", f"Python {found}", f"ranloop needs {wanted} or later")
    return Finding("python", "ok", f"Python {found}, ranloop in {Path(ranloop.__file__).parent}")


def _extras() -> Finding:
    missing = [extra for module, extra in _EXTRAS.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return Finding("extras", "ok", "all optional parts are installed")
    return Finding(
        "extras", "note", f"not installed: {', '.join(missing)}", f"where needed: pip install 'ranloop[{','.join(missing)}]'"
    )  # fmt: skip


def _simulator() -> Finding:
    """Load the simulator: it says itself whether its compiled kernels can be kept."""
    points = [point for point in entry_points(group=ENTRY_POINTS) if point.name == "sim"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            for point in points:
                point.load()
        except ImportError as error:
            return Finding("simulator", "note", f"cannot be loaded: {error}", "pip install 'ranloop[sim]'")
    if not points:
        return Finding("simulator", "note", "not installed", "where needed: pip install 'ranloop[sim]'")
    for warning in said:
        text, _, advice = str(warning.message).rpartition("; ")
        if text.startswith("ran_sim: "):
            return Finding("simulator", "problem", text.removeprefix("ran_sim: "), advice)
    return Finding("simulator", "ok", "loads, and keeps its compiled kernels")


def _clock(now_s: float) -> Finding:
    """Whether the clock is behind what is surely past. Leases are in RAN time; certificates and the audit log are not."""
    installed_s = Path(ranloop.__file__).stat().st_mtime
    if now_s < installed_s - _CLOCK_SLACK_S:
        text = f"the clock is {installed_s - now_s:.0f} s behind the time at which ranloop was installed"
        return Finding(
            "clock", "problem", text, "set the clock (NTP): certificates and the audit log need it"
        )
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s)))


# The xApp


def _folder(folder: Path) -> tuple[Finding, Manifest | None]:
    try:
        manifest = load_manifest(folder)
        if manifest.encoding == "binary" or (folder / "app.py").exists():
            read_code(folder)
        for place in manifest.packages.values():
            Model.tag_of(read_package(folder / place)[0])
    except RanloopError as error:
        return Finding("xapp", "problem", str(error), f"ranloop check {folder} looks closer"), None
    return Finding("xapp", "ok", f"{manifest.name} {manifest.version} reads well"), manifest


# The bus


def _no_bus() -> Finding:
    return Finding("bus", "note", "not looked at", "give --bus URL, or set RANLOOP_BUS")


def _on_bus(url: str, folder: Path | None, manifest: Manifest | None) -> list[Finding]:
    place = without_password(url)
    try:
        with closing(open_bus(url, name="doctor")) as bus:
            view = BusView(bus, traffic=False)
            clocks = HostClocks(bus, view)
            until_s = time.monotonic() + LISTEN_S
            while (left_s := until_s - time.monotonic()) > 0:
                bus.poll(left_s)
                clocks.ask()
    except BusError as error:
        text, _, advice = str(error).rpartition("; ")
        return [Finding("broker", "problem", text or advice, advice if text else "")]
    findings = [Finding("broker", "ok", f"{place} answers"), _hosts(view)]
    findings += [finding for xapp in sorted(_xapps(view)) for finding in _refusals(view, xapp)]
    findings += [*_switches(view), *_clocks(view, clocks.ahead_s, time.time())]
    if folder is not None and manifest is not None:
        findings += [_name(view, manifest), _streams(view, manifest), *_admission(view, folder, manifest)]
    return findings


def _hosts(view: BusView) -> Finding:
    if not view.hosts:
        gone = f"; catalogues of {', '.join(sorted(view.catalogues))} stand there" if view.catalogues else ""
        return Finding("host", "problem", f"no host lives on this bus{gone}", "start one with: ranloop host")
    told = [f"{name} with {', '.join(names_in(sign, 'nodes'))}" for name, sign in sorted(view.hosts.items())]
    return Finding("host", "ok", "; ".join(told))


def _xapps(view: BusView) -> set[str]:
    return {xapp for sign in view.hosts.values() for xapp in names_in(sign, "xapps")}


def _refusals(view: BusView, xapp: str) -> Iterator[Finding]:
    """Whether all targets of an xApp are being refused, as far as its results may be read."""
    told = [one for one in view.roster.fates.told() if one.xapp == xapp]
    warned = fruitless(told)
    if xapp in warned:
        text, _, advice = warned[xapp].rpartition("; remedy: ")
        yield Finding("results", "problem", text, advice)
    elif told:
        yield Finding("results", "ok", f"targets of {xapp} are applied")


def _switches(view: BusView) -> Iterator[Finding]:
    """What the operator has ordered, which an xApp's author may not know."""
    living = {node: standing for node, standing in view.standings.items() if view.host_of(node)}
    if killed := sorted(node for node, standing in living.items() if standing.killed):
        yield Finding(
            "orders", "problem", f"the kill switch is on at {', '.join(killed)}", remedy(Cause.KILLED)
        )
    for node, standing in sorted(living.items()):
        if limited := sorted(
            f"{xapp} {level}s" for xapp, level in standing.autonomy.items() if level != "act"
        ):
            yield Finding("orders", "note", f"at {node}: {', '.join(limited)}", remedy(Cause.AUTONOMY))
        if standing.shut_out:
            text = f"{', '.join(sorted(standing.shut_out))} flooded {node} and is not heard"
            yield Finding("orders", "problem", text, remedy(Cause.AUTONOMY))


def _clocks(view: BusView, ahead_s: Mapping[str, float], now_s: float) -> Iterator[Finding]:
    """Participants whose clock differs from ours.

    Args:
        view: Life signs, which are retained: one may be old, but none is of the future.
        ahead_s: Host -> by how much the clock of its answer was ahead of ours.
    """
    for host, ahead in sorted(ahead_s.items()):
        if abs(ahead) > _ANSWER_SLACK_S:
            text = (
                f"the clock here is {abs(ahead):.0f} s {'behind' if ahead > 0 else 'ahead of'} that of {host}"
            )
            yield Finding("clock", "problem", text, _SET_CLOCKS)
    for name, sign in sorted(view.signs.items()):
        shown_s = sign.facts.get("time_s")
        if name in ahead_s or not sign.alive or not isinstance(shown_s, int | float):
            continue
        if shown_s > now_s + _CLOCK_SLACK_S:
            text = f"the clock of {name} is {shown_s - now_s:.0f} s or more ahead of the one here"
            yield Finding("clock", "problem", text, _SET_CLOCKS)


def _name(view: BusView, manifest: Manifest) -> Finding:
    name = manifest.name
    if name in view.hosts:
        return Finding(
            "name",
            "problem",
            f"a host is called {name}",
            "rename the xApp in manifest.toml, or the host: --name",
        )
    if view.is_alive(name):
        return Finding(
            "name", "note", f"{name} runs on this bus", "a second process of this name is turned away: stop the first one"
        )  # fmt: skip
    return Finding("name", "ok", f"nobody else is called {name}")


def _streams(view: BusView, manifest: Manifest) -> Finding:
    catalogues = [one for node, one in sorted(view.catalogues.items()) if view.host_of(node)]
    if not catalogues:
        return Finding("reads", "note", "no living node has a catalogue", "start one with: ranloop host")
    for stream in manifest.streams:
        lacks = [stream.lacking(catalogue) for catalogue in catalogues]
        if all(lacks):
            what = (
                f"{manifest.name} reads {stream.level} reports every {stream.every_ms} ms, but {lacks[0][0]}"
            )
            return Finding(
                "reads", "problem", what, "read what a node offers: ranloop vocabulary, or another --profile or node"
            )  # fmt: skip
    return Finding("reads", "ok", f"what {manifest.name} reads is offered")


def _admission(view: BusView, folder: Path, manifest: Manifest) -> Iterator[Finding]:
    if not view.hosts:
        return
    name = manifest.name
    admitting = [host for host, sign in sorted(view.hosts.items()) if name in names_in(sign, "xapps")]
    admit = f"ranloop admit {folder} --host "
    if not admitting:
        text = f"no host has admitted {name}; {', '.join(sorted(view.hosts))} is here"
        yield Finding("admission", "problem", text, admit + min(view.hosts))
        return
    yield Finding("admission", "ok", f"{name} is admitted at {', '.join(admitting)}")
    for host in admitting:
        differs = view.hosts[host].facts.get("differs")
        clauses = differs.get(name) if isinstance(differs, dict) else None
        if isinstance(clauses, str):
            yield Finding("manifest", "problem", f"{host} admitted another one: {clauses}", admit + host)
