"""An option that a way of running does not read is refused in it, with a word about where it belongs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import typer

from ranloop.cli.app import app
from ranloop.cli.ways import idle_in_host, idle_in_run
from ranloop.node import open_world
from tests.builders import write_xapp
from tests.command import Command

SIM = ("--node", "sim:one-cell")
HOST = ("host", "sim:one-cell", "--bus", "memory://ways")
EVERYWHERE = {"json_output", "help"}


@pytest.fixture
def xapp(tmp_path: Path) -> Path:
    return write_xapp(tmp_path / "weigher")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("--autonomy", "observe"),
            "--autonomy belongs to --node; on a bus the host says it: ranloop host … --autonomy",
        ),
        (("--seed", "1"), "--seed belongs to --node; on a bus the host says it: ranloop host … --seed"),
        (("--override", "load=1"), "--override belongs to --node; on a bus the host says it"),
        (("--record", "x"), "--record belongs to --node; on a bus the host says it"),
        (("--audit", "x"), "--audit belongs to --node; on a bus the host says it"),
        (("--priority", "weigher=1"), "--priority belongs to --node; on a bus the host says it"),
        (("--handler-delay", "5"), "--handler-delay belongs to --node; on a bus the host says it"),
        (("--profile", "oai"), "--profile belongs to --node; on a bus the host says it"),
        (("--host", "north"), "--host belongs to --lockstep; a live xApp joins every host on the bus"),
        (
            ("--lockstep", "--duration-s", "1"),
            "--duration-s is the host's to say in lockstep: ranloop host … --lockstep --duration-s",
        ),
        (("--lockstep", "--autonomy", "act"), "--autonomy belongs to --node"),
        ((*SIM, "--bus", "mqtt://x"), "--bus belongs to a bus; with --node there is none"),
        ((*SIM, "--lockstep"), "--lockstep belongs to a bus; with --node there is none"),
        ((*SIM, "--host", "host"), "--host belongs to a bus; with --node there is none"),
        (("--node", "replay:x", "--seed", "1"), "--seed belongs to sim:…; a recording draws nothing"),
    ],
)
def test_run_refuses_what_it_would_not_read(
    ranloop: Command, xapp: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    assert ranloop("run", xapp, *arguments).complaint.startswith(complaint)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("--lockstep", "--speed", "1"),
            "--speed belongs to a live host; in lockstep time waits for the xApps",
        ),
        (("--on-timeout", "drop"), "--on-timeout belongs to --lockstep; a live host never waits"),
        (("--handler-delay", "3"), "--handler-delay belongs to --lockstep; a live host never waits"),
        (("--timeout-s", "3"), "--timeout-s belongs to --lockstep; a live host never waits"),
    ],
)
def test_host_refuses_what_it_would_not_read(
    ranloop: Command, arguments: tuple[str, ...], complaint: str
) -> None:
    assert ranloop(*HOST, *arguments).complaint == complaint


def test_a_live_host_records_while_it_runs(ranloop: Command, xapp: Path, tmp_path: Path) -> None:
    allowed = ("--allow", xapp, "--record", tmp_path / "kept", "--duration-s", "0.25")
    assert ranloop(*HOST, *allowed).code == 0
    with closing(open_world(f"replay:{tmp_path / 'kept'}")) as kept:
        assert kept.end_ns == 200_000_000


def test_host_refuses_a_seed_for_a_recording(ranloop: Command) -> None:
    complaint = ranloop("host", "replay:x", "--seed", "1").complaint
    assert complaint == "--seed belongs to sim:…; a recording draws nothing"


def test_the_environment_may_name_a_bus_that_this_command_does_not_need(
    ranloop: Command, xapp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANLOOP_BUS", "mqtt://nowhere")
    assert ranloop("run", xapp, *SIM, "--duration-s", "0.1").code == 0


def options_of(command: str) -> set[str]:
    group = typer.main.get_command(app)
    parameters = group.commands[command].params  # type: ignore[attr-defined]  # because an app of several commands is a group
    return {str(parameter.name) for parameter in parameters} - EVERYWHERE


def test_every_option_of_run_is_known_to_belong_somewhere() -> None:
    ours = {"xapps", "node", "settings", "model", "trust", "provider", "state", "metrics", "tiers"}
    world = {"override", "autonomy", "priority", "limits", "audit", "record", "profile", "duration_s"}
    world |= {"handler_delay", "dashboard", "dashboard_at"}
    reads = {
        "sim": options_of("run") - idle_in_run(node="sim:x", lockstep=False).keys(),
        "page": options_of("run") - idle_in_run(node="sim:x", lockstep=False, page=True).keys(),
        "replay": options_of("run") - idle_in_run(node="replay:x", lockstep=False).keys(),
        "live": options_of("run") - idle_in_run(node="", lockstep=False).keys(),
        "lockstep": options_of("run") - idle_in_run(node="", lockstep=True).keys(),
    }
    assert reads == {
        "sim": ours | world | {"seed"},
        "page": ours | world | {"seed", "beside", "speed"},
        "replay": ours | world,  # which says itself that it has no fields to override
        "live": ours | {"bus", "duration_s", "lockstep", "shard"},
        "lockstep": ours | {"bus", "host", "lockstep", "shard"},
    }


def test_every_option_of_host_is_known_to_belong_somewhere() -> None:
    always = {"node", "allow", "name", "bus", "seed", "duration_s", "override"}
    always |= {"autonomy", "priority", "profile", "lockstep", "limits", "trust", "audit", "record", "metrics"}
    always |= {"dashboard", "dashboard_at", "shards"}
    reads = {
        lockstep: options_of("host") - idle_in_host(node="sim:x", lockstep=lockstep).keys()
        for lockstep in (False, True)
    }
    assert reads == {False: always | {"speed"}, True: always | {"timeout_s", "on_timeout", "handler_delay"}}
    with_a_page = options_of("host") - idle_in_host(node="sim:x", lockstep=False, page=True).keys()
    assert with_a_page == always | {"speed", "operator_token"}
