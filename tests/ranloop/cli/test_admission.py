"""Options about admitted xApps: autonomy and priority of each, and the fate of an xApp that does not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Presence
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import MANIFEST, write_xapp
from tests.command import Command

NOBODY_ACTS_BUT_B = ("--autonomy", "b=act", "--autonomy", "observe")
B_FIRST = ("--priority", "b=1")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two xApps that want the same weight of every UE."""
    return [write_xapp(tmp_path / name, text=MANIFEST.format(name=name)) for name in ("a", "b")]


def verdicts(audit: Path) -> dict[str, set[str]]:
    """What became of the actions of each xApp."""
    seen: dict[str, set[str]] = {}
    for line in map(json.loads, audit.read_text().splitlines()):
        if line["event"] == "result":
            seen.setdefault(line["xapp"], set()).update(line["verdict"])
    return seen


def run_here(ranloop: Command, folders: list[Path], audit: Path, *words: str) -> None:
    run = ranloop("run", *folders, "--node", "sim:one-cell", "--duration-s", "0.35", "--audit", audit, *words)
    assert run.code in (0, 1), run.err  # 1: everything that one of them wanted was refused


@contextmanager
def joined(folder: Path, url: str) -> Iterator[None]:
    """The xApp answers a lockstep host on the bus, in a thread."""
    instance = Instance(load_package(folder))
    with closing(open_bus(url, name=instance.name)) as bus:
        thread = threading.Thread(target=LockstepRunner(instance, bus).run, name=instance.name)
        thread.start()
        yield
        thread.join(20.0)


def run_on_a_bus(ranloop: Command, folders: list[Path], audit: Path, *words: str) -> None:
    url = f"memory://{audit}"
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(joined(folder, url))
        let_in = [word for folder in folders for word in ("--allow", folder)]
        host = ranloop("host", "sim:one-cell", "--lockstep", "--bus", url, "--duration-s", "0.35", "--audit", audit,
                       *let_in, *words)  # fmt: skip
    assert host.code == 0, host.err


@pytest.mark.parametrize("run", [run_here, run_on_a_bus])
def test_each_xapp_has_its_own_autonomy_and_priority(
    ranloop: Command,
    folders: list[Path],
    tmp_path: Path,
    run: object,
) -> None:
    assert callable(run)
    run(ranloop, folders, tmp_path / "first-come")
    run(ranloop, folders, tmp_path / "priority", *B_FIRST)
    run(ranloop, folders, tmp_path / "autonomy", *NOBODY_ACTS_BUT_B)
    # Batches of one instant are judged in the order of names: of equals the first one holds what both want.
    assert verdicts(tmp_path / "first-come")["b"] == {"refused/conflict"}
    assert verdicts(tmp_path / "priority")["b"] == {"applied"}
    assert "refused/conflict" in verdicts(tmp_path / "priority")["a"]
    assert verdicts(tmp_path / "autonomy") == {"a": {"refused/autonomy"}, "b": {"applied"}}


@pytest.mark.parametrize("policy", ["fail", "drop", "hold"])
def test_the_operator_says_what_becomes_of_an_xapp_that_does_not_answer(
    ranloop: Command, folders: list[Path], policy: str
) -> None:
    url = f"memory://{policy}"
    with closing(open_bus(url, name="a")) as mute:
        mute.publish(topics.presence("a"), encode(Presence(name="a", alive=True)), qos=1, retain=True)
        host = ranloop("host", "sim:one-cell", "--allow", folders[0], "--lockstep", "--bus", url, "--duration-s", "0.35",
                       "--timeout-s", "0.05", "--on-timeout", policy, "--json")  # fmt: skip
    if policy == "fail":
        assert host.code == 2
        assert "error: no answer of a to step 0 within 0.05 s\n" in host.err
        return
    facts = json.loads(host.out)
    # Reports at 100, 200 and 300 ms make three steps, and the end is one more to answer.
    wanted = {"drop": (1, 1, ["a"]), "hold": (3, 4, [])}[policy]
    assert (facts["steps"], facts["timeouts"], facts["xapps_dropped"]) == wanted
