"""Two shards of an xApp drive four nodes of two hosts over three nats-servers, one of which is killed (`pytest -s -m slow`)."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.wire import topics
from ranloop.wire.codec import decode_result
from ranloop.wire.messages import Result, Status
from tests.builders import MANIFEST, write_xapp
from tests.ranloop.hostile import HostProcess, environment_of, hosting
from tests.ranloop.nats_cluster import nats_cluster

pytestmark = [pytest.mark.broker, pytest.mark.slow]

# Another weight with each report, so that an action that takes effect twice shows as a weight that does.
APP = """
from ranloop import Report, SetUeWeight, XApp
app = XApp()

@app.on_report("DRB.UEThpDl")
def act(report: Report) -> SetUeWeight:
    return SetUeWeight(ue=report.ue, weight=2.0 + report.seq % 2000 / 1000)
"""
NODES = {
    "north": ("gnb-3", "gnb-4"),
    "south": ("gnb-2", "gnb-5"),
}  # of each host; the second one is in shard 1/2
DECIDER = {"gnb-3": "mine-2of2", "gnb-4": "mine-1of2", "gnb-2": "mine-2of2", "gnb-5": "mine-1of2"}
PATIENCE_S = 60.0


class Watch:
    """Results with applied targets, as an observer hears them: which xApp decided, and when the last one came."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.deciders: dict[str, set[str]] = {}
        self.newest: dict[str, Result] = {}
        bus.subscribe(topics.result("+", "+"), self._on_result, qos=1, keep=4096)

    def _on_result(self, _topic: str, payload: bytes) -> None:
        result = decode_result(payload)
        if result.count(Status.APPLIED):
            self.deciders.setdefault(result.node, set()).add(result.xapp)
            self.newest[result.node] = result

    def until(self, true: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < give_up_s, f"the last applied: {self.newest}"
            self.bus.poll(0.05)

    def seconds_until_all_flow(self) -> dict[str, float]:
        """Per node, the seconds until it has applied something that was decided from now on, a second of RAN time later."""
        began_s, since_ns = time.monotonic(), {node: self.newest[node].ran_time_ns for node in DECIDER}
        took_s: dict[str, float] = {}

        def all_flow() -> bool:
            for node in DECIDER.keys() - took_s.keys():
                if self.newest[node].ran_time_ns > since_ns[node] + 1_000_000_000:
                    took_s[node] = time.monotonic() - began_s
            return took_s.keys() == DECIDER.keys()

        self.until(all_flow)
        return took_s


@contextmanager
def running_shard(folder: Path, url: str, shard: str) -> Iterator[subprocess.Popen[bytes]]:
    log = folder.parent / f"shard-{shard[0]}.log"
    ranloop = str(Path(sys.executable).with_name("ranloop"))
    command = [ranloop, "run", str(folder), "--bus", url, "--shard", shard]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment_of(folder.parent))
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_every_loop_flows_again_after_one_of_three_servers_is_killed(tmp_path: Path) -> None:
    text = MANIFEST.format(name="mine").replace('"CQI"', '"DRB.UEThpDl"')
    xapp = write_xapp(tmp_path / "mine", app=APP, text=text)
    with nats_cluster(tmp_path) as cluster, ExitStack() as stack:
        hosts: list[HostProcess] = []
        for number, (name, nodes) in enumerate(NODES.items()):
            place = f"toy:3600,{','.join(nodes)}@{tmp_path / f'applied-{name}'}"
            options = ("--name", name, "--shards", "mine=2")
            hosts.append(
                stack.enter_context(
                    hosting(cluster.url(number), tmp_path / name, [xapp], *options, node=place)
                )
            )
        shards = [stack.enter_context(running_shard(xapp, cluster.url(n), f"{n + 1}/2")) for n in range(2)]
        watch = Watch(stack.enter_context(closing(open_bus(cluster.url(2), name="observer"))))
        watch.until(lambda: watch.newest.keys() == DECIDER.keys())
        watch.seconds_until_all_flow()

        cluster.kill(0)  # where a host and a shard were connected
        took_s = watch.seconds_until_all_flow()
        print(
            f"\na server killed; loops flow again after {', '.join(f'{n} {s:.1f} s' for n, s in sorted(took_s.items()))}"
        )

        shards[1].kill()
        time.sleep(2.0)
        watch.bus.poll()
        flows = {node for node, decider in DECIDER.items() if decider == "mine-1of2"}
        still = {node: result.ran_time_ns for node, result in watch.newest.items()}
        watch.until(lambda: all(watch.newest[node].ran_time_ns > still[node] for node in flows))
        assert all(watch.newest[node].ran_time_ns == still[node] for node in DECIDER.keys() - flows)
        with running_shard(xapp, cluster.url(1), "2/2"):
            took_s = watch.seconds_until_all_flow()
            print(
                f"a shard killed, and started again after 2 s; its nodes flow {max(took_s.values()):.1f} s later"
            )

        assert watch.deciders == {node: {decider} for node, decider in DECIDER.items()}
        for name in NODES:
            lines = (tmp_path / f"applied-{name}").read_text().splitlines()
            weights = Counter(line for line in lines if not line.endswith(" 1.0"))  # 1 is the default
            assert len(weights) > 100
            assert [line for line, times in weights.items() if times > 1] == []
        assert all(host.process.poll() is None for host in hosts)
