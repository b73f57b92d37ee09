"""One xApp as several processes, each with a part of the nodes, beside one live host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.embedded import run_embedded
from ranloop.guard.shard import NodeShard
from ranloop.node import LiveHost, NodeHost, Registration, VirtualClock
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import decode_result, encode
from ranloop.wire.messages import Cause, Status
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.manifest import shard_of
from tests.builders import MANIFEST, write_xapp
from tests.command import Command

APP = """
from ranloop import Report, SetUeWeight, XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report: Report) -> SetUeWeight:
    return SetUeWeight(ue=report.ue, weight=2.0)
"""
SHARDS = (NodeShard(2, 4), NodeShard(4, 4))  # of toy-1 and of toy-2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = MANIFEST.format(name="mine").replace('"CQI"', '"DRB.UEThpDl"')
    return write_xapp(tmp_path / "mine", app=APP, text=text)


class Together(VirtualClock):
    """RAN time; whoever is in `turns` has its turn whenever the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: dict[str, Callable[[], object]] = {}

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        for turn in list(self.turns.values()):
            turn()
        super().wait(until_ns, poll)


class Scene:
    """A live host of toy-1 and toy-2, and a runner of each shard, on a bus in memory."""

    def __init__(self, folder: Path, connect: Callable[[str], Bus]) -> None:
        self.clock = Together()
        packages = {shard: load_package(folder) for shard in SHARDS}
        manifests = {shard: shard_of(package.manifest, shard) for shard, package in packages.items()}
        xapps = {one.name: Registration(rights=one.rights) for one in manifests.values()}
        self.live = LiveHost(
            NodeHost(ToyWorld(duration_s=600.0), connect("host"), xapps=xapps), clock=self.clock
        )
        self.runners: dict[str, LiveRunner] = {}
        for shard, manifest in manifests.items():
            instance = Instance(replace(packages[shard], manifest=manifest), incarnation=str(shard.number))
            runner = self.runners[manifest.name] = LiveRunner(instance, connect(manifest.name))
            self.clock.turns[manifest.name] = runner.turn
        self.applied: Counter[tuple[str, str]] = Counter()  # (xApp, node) -> targets
        self.lapsed: Counter[str] = Counter()  # node -> targets
        observer = connect("observer")
        observer.subscribe(topics.result("+", "+"), self._on_result, qos=1, keep=10_000)
        self.clock.turns["observer"] = observer.poll

    def _on_result(self, _topic: str, payload: bytes) -> None:
        result = decode_result(payload)
        self.applied[result.xapp, result.node] += result.count(Status.APPLIED)
        self.lapsed[result.node] += sum(result.causes[at][0] is Cause.LEASE_LAPSED for at in result.cause)


@pytest.fixture
def scene(folder: Path, connect: Callable[[str], Bus]) -> Scene:
    return Scene(folder, connect)


def test_each_node_has_exactly_one_decider(scene: Scene) -> None:
    scene.live.run(2.0)
    assert {place for place, count in scene.applied.items() if count} == {
        ("mine-2of4", "toy-1"),
        ("mine-4of4", "toy-2"),
    }
    assert {name: runner.joined for name, runner in scene.runners.items()} == {
        "mine-2of4": ("toy-1",),
        "mine-4of4": ("toy-2",),
    }
    assert not [outcome for outcome in scene.live.runtime.tally.outcomes if outcome.startswith("refused")]


def test_in_lockstep_the_shards_do_to_the_nodes_what_the_whole_xapp_does(folder: Path) -> None:
    whole, parts = ToyWorld(duration_s=3.0), ToyWorld(duration_s=3.0)
    packages = [load_package(folder) for _ in SHARDS]
    ran = run_embedded(whole, [folder])
    ran_in_parts = run_embedded(
        parts,
        [
            replace(package, manifest=shard_of(package.manifest, shard))
            for package, shard in zip(packages, SHARDS, strict=True)
        ],
    )
    assert ran_in_parts.summary.outcomes == ran.summary.outcomes
    assert ran.summary.outcomes["applied"] > 100
    for node in ("toy-1", "toy-2"):
        assert [parts.weight(node, ue) for ue in range(60)] == [whole.weight(node, ue) for ue in range(60)]


def test_a_shard_that_dies_leaves_its_nodes_at_their_defaults_and_the_others_alone(scene: Scene) -> None:
    turns = scene.clock.turns

    def kill() -> None:
        if scene.clock.now_ns() > 1e9 and "mine-2of4" in turns:
            del turns["mine-2of4"]

    turns["kill"] = kill
    scene.live.run(3.0)
    assert scene.lapsed["toy-1"] > 0  # its settings ended with their leases
    assert scene.lapsed["toy-2"] == 0
    alone = scene.applied["mine-2of4", "toy-1"]
    assert scene.applied["mine-4of4", "toy-2"] > 2 * alone > 0


def test_none_of_hundreds_of_catalogues_that_come_together_is_lost(
    folder: Path, connect: Callable[[str], Bus]
) -> None:
    bus = connect("mine")
    for catalogue in ToyWorld(nodes=[f"gnb-{number}" for number in range(300)]).catalogues:
        bus.publish(topics.catalogue(catalogue.node), encode(catalogue), qos=1, retain=True)
    runner = LiveRunner(Instance(load_package(folder)), bus)
    while runner.turn():
        pass
    assert len(runner.joined) == 300
    assert bus.stats.dropped == 0


def test_a_shard_that_waits_says_which_shard_it_is(folder: Path, connect: Callable[[str], Bus]) -> None:
    LiveHost(NodeHost(ToyWorld(), connect("host"), xapps={})).begin()
    package = load_package(folder)
    reasons = {}
    for number in (1, 2):
        shard = replace(package, manifest=shard_of(package.manifest, NodeShard(number, 4)))
        runner = LiveRunner(Instance(shard), connect(f"x{number}"))
        runner.turn()
        reasons[number] = runner.not_ready()
    assert reasons[1] == "toy-1, toy-2 is here and not in shard 1/4"
    assert reasons[2].endswith(f"has not admitted mine-2of4: ranloop admit {folder} --host host --shard 2/4")


# The command line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("run", "--shard", "5/4"),
            "--shard '5/4': want I/N, the I-th of N shards, such as 1/4 to 4/4; N at most 1000",
        ),
        (("run", "--shard", "1/2", "--node", "sim:one-cell"), "--shard belongs to a bus"),
        (("admit", "--shard", "2"), "--shard '2': want I/N"),
        (("access", "--shards", "mine"), "--shards 'mine': want NAME=N, N processes from 1 to 1000"),
        (("access", "--shards", "mine=0"), "--shards 'mine=0': want NAME=N, N processes from 1 to 1000"),
        (("access", "--shards", "min=2"), "--shards 'min=2': no xApp 'min' is admitted; there is mine"),
    ],
)
def test_a_wrong_shard_is_one_line(
    ranloop: Command, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in ranloop(arguments[0], folder, *arguments[1:]).complaint


def test_a_name_that_is_too_long_for_a_shard_says_so(ranloop: Command, tmp_path: Path) -> None:
    long = write_xapp(tmp_path / ("x" * 60))
    assert (
        "has 66 characters, of 64; want a shorter xApp name"
        in ranloop("run", long, "--shard", "1/12").complaint
    )


def test_the_access_list_has_a_user_of_each_shard(ranloop: Command, folder: Path) -> None:
    out = ranloop("access", folder, "--shards", "mine=2").out
    assert [line for line in out.splitlines() if line.startswith("user")] == [
        "user mine-1of2",
        "user mine-2of2",
    ]
    assert "topic write ranloop/1/act/mine-2of2/+" in out


def test_a_host_admits_the_shards_that_have_a_node_there(ranloop: Command, folder: Path) -> None:
    with ExitStack() as stack:
        bus = stack.enter_context(open_bus("memory://shards-host", name="x"))
        assert bus.connected
        done = ranloop(
            "host", "sim:one-cell", "--allow", folder, "--shards", "mine=4", "--bus", "memory://shards-host",
            "--duration-s", "0.1", "--priority", "mine=3",
        )  # fmt: skip
    assert done.code == 0, done.err
    assert (
        "hosting site0 on memory://shards-host for mine-2of4\n" in done.out
    )  # CRC-32 of site0 is 1 modulo 4
