"""What holds in lockstep holds live: one suite over both paces, two speeds, and every bus."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ranloop.bus import Bus, open_bus
from ranloop.bus.broker import BrokerKind
from ranloop.guard import AuditRecord, load_limits, verdict_counts
from ranloop.node import LiveHost, LockstepHost, NodeHost, Registration, RunSummary
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Admission, Order, Standing
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import write_xapp

MANIFEST = """
name = "weigher"
version = "1"
summary = "Holds weight 3 on one UE of toy-1, and counts what it sees."
streams = [{ level = "ue", every_ms = 100, measurements = ["X.UE.Weight"] }]
actions = [{ name = "SetUeWeight", rate_per_s = 1000 }, { name = "SetSliceQuota" }]
"""
APP = """
from ranloop import Report, Request, SetSliceQuota, SetUeWeight, XApp

app = XApp()
seen = {"columns": [], "ticks": [], "fates": {}, "weight": [], "asked": False}


@app.on_report("X.UE.Weight")
def hold(report: Report):
    if report.names not in seen["columns"]:
        seen["columns"].append(report.names)
    seen["now"] = report.ran_time_ns
    if report.node == "toy-1" and len(report):
        seen["weight"].append(float(report["X.UE.Weight"][0]))
        yield Request(action=SetUeWeight(ue=report.ue[:1], weight=3.0), valid_ms=1000)
        if report.seq >= 3 and not seen["asked"]:
            seen["asked"] = True
            yield SetSliceQuota(cell=0, slice=1, min_pct=5.0, max_pct=100.0, dedicated_pct=0.0)


@app.every("70ms")
def tick():
    seen["ticks"].append(seen.get("now", 0) // 1_000_000)


@app.on_result
def count(result):
    for cause, _ in {result.causes[c] for c in result.cause}:
        name = f"{result.action}/{cause}"
        seen["fates"][name] = seen["fates"].get(name, 0) + 1


@app.summary
def tell():
    return seen
"""
WIDE = """
name = "wide"
version = "1"
summary = "Reads more than the other one."
streams = [{ level = "ue", every_ms = 100, measurements = ["DRB.UEThpDl", "X.UE.Weight"] }]
"""
WIDE_APP = """
from ranloop import XApp
app = XApp()
found = {}


@app.on_report("DRB.UEThpDl")
def read(report):
    found.setdefault("first", report.ran_time_ns)
    found["last"] = report.ran_time_ns


@app.summary
def tell():
    return found
"""
TICKER = """
name = "ticker"
version = "1"
summary = "Reads nothing, and holds weight 2 on UE 0."
actions = [{ name = "SetUeWeight", rate_per_s = 1000 }]
"""
TICKER_APP = """
from ranloop import Request, SetUeWeight, XApp
app = XApp()


@app.every("100ms")
def hold():
    return Request(action=SetUeWeight(ue=[0], weight=2.0), node="toy-1", valid_ms=1000)
"""
_fresh = itertools.count()
PACES = ["lockstep", "live", "live x 4"]


@pytest.fixture(
    params=[
        "memory",
        pytest.param("mosquitto", marks=pytest.mark.broker),
        pytest.param("nats", marks=pytest.mark.broker),
    ]
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://paces-{next(_fresh)}"
        return
    kind: BrokerKind = request.param
    with running_broker(kind) as broker:
        yield broker.url


class Loop:
    """A host at one pace in this thread, two xApps in threads of their own, an operator between them.

    The operator acts when the world has come to a RAN time: `at[ms]` is called once, in the host's thread.
    """

    def __init__(
        self, pace: str, url: str, folder: Path, *, xapps: Sequence[str] = ("weigher", "wide"), **host: Any
    ) -> None:
        self.pace, self.url, self.host_options = pace, url, host
        texts = {"weigher": (APP, MANIFEST), "wide": (WIDE_APP, WIDE), "ticker": (TICKER_APP, TICKER)}
        folders = [write_xapp(folder / name, app=texts[name][0], text=texts[name][1]) for name in xapps]
        self.instances = {i.name: i for i in (Instance(load_package(f)) for f in folders)}
        self.admitted = list(self.instances)
        self.records: list[AuditRecord] = []
        self.standings: list[Standing] = []

    def take(self, event: object) -> None:
        if isinstance(event, AuditRecord):
            self.records.append(event)
        elif isinstance(event, Standing):
            self.standings.append(event)

    def run(self, ran_s: float, at: Mapping[int, Callable[[Bus], None]] | None = None) -> RunSummary:
        waiting = dict(at or {})

        class Watched(ToyWorld):
            def advance(world, until_ns: int) -> None:
                super().advance(until_ns)
                for ms in [ms for ms in waiting if until_ns >= ms * 1_000_000]:
                    order = waiting.pop(ms)
                    heard = len(host.runtime.tally.outcomes), len(self.standings)
                    order(operator)
                    give_up_s = time.monotonic() + 10.0
                    while self._n_words(host) == heard[1] and time.monotonic() < give_up_s:
                        host.poll(0.05)
                        host.runtime.flush()
                        time.sleep(0)

        self.world = Watched(duration_s=ran_s)
        stop = threading.Event()
        with (
            closing(open_bus(self.url, name="host")) as bus,
            closing(open_bus(self.url, name="operator")) as operator,
        ):
            registered = {
                name: Registration(rights=self.instances[name].manifest.rights) for name in self.admitted
            }
            host = NodeHost(self.world, bus, xapps=registered, outlets=[self], run="r", **self.host_options)
            threads = [threading.Thread(target=self._work, args=(i, stop)) for i in self.instances.values()]
            for thread in threads:
                thread.start()
            try:
                self._wait_for_xapps(host)
                if self.pace == "lockstep":
                    return LockstepHost(host).run(timeout_s=20.0)
                return LiveHost(host, speed=4.0 if self.pace == "live x 4" else 1.0).run()
            finally:
                stop.set()
                for thread in threads:
                    thread.join(20.0)
                self.audit = host.runtime.audit

    def _n_words(self, host: NodeHost) -> int:
        return len(self.standings)

    def _wait_for_xapps(self, host: NodeHost) -> None:
        """All of them, also one that is admitted later: a lockstep run waits for the admitted ones only and may be over first."""
        host.announce(alive=True)
        give_up_s = time.monotonic() + 10.0
        while not self.instances.keys() <= host.others.keys() and time.monotonic() < give_up_s:
            host.poll(0.05)

    def _work(self, instance: Instance, stop: threading.Event) -> None:
        with closing(open_bus(self.url, name=instance.name)) as bus:
            if self.pace == "lockstep":
                runner = LockstepRunner(instance, bus)
                runner.run(timeout_s=20.0)
                runner.close()
            else:
                LiveRunner(instance, bus, patience_s=0.3).run(stop)

    def rights(self, xapp: str) -> dict[str, Any]:
        return self.instances[xapp].manifest.rights.model_dump(mode="json", exclude_defaults=True)

    @property
    def seen(self) -> Mapping[str, Any]:
        return self.instances["weigher"].summary()


def say(word: Admission) -> Callable[[Bus], None]:
    return lambda bus: bus.publish(topics.admission("host", word.xapp), encode(word), qos=1, retain=True)


def order(order: Order, node: str = "toy-1") -> Callable[[Bus], None]:
    return lambda bus: bus.publish(topics.order(node, order.xapp), encode(order), qos=1, retain=True)


@pytest.mark.parametrize("pace", PACES)
def test_the_loop_closes_and_a_handler_sees_the_columns_of_its_manifest(
    pace: str, url: str, tmp_path: Path
) -> None:
    loop = Loop(pace, url, tmp_path)
    summary = loop.run(1.05)
    assert summary.outcomes["applied"] >= 8  # ten reports, of which the first or last may go without
    assert loop.seen["columns"] == [("X.UE.Weight",)]  # though the other xApp reads more of the same stream
    assert 3.0 in loop.seen["weight"]
    assert summary.n_dropped == 0


@pytest.mark.parametrize("pace", PACES)
def test_a_timer_counts_ran_time_at_any_speed(pace: str, url: str, tmp_path: Path) -> None:
    loop = Loop(pace, url, tmp_path)
    loop.run(1.11)  # the xApp is stopped with the host: a tick at the very end might still be under way
    assert len(loop.seen["ticks"]) == 15  # every 70 ms until 1.05 s, whatever the clock on the wall says


@pytest.mark.parametrize("pace", PACES)
def test_an_xapp_that_reads_nothing_acts_by_its_timers(pace: str, url: str, tmp_path: Path) -> None:
    loop = Loop(pace, url, tmp_path, xapps=["ticker"])
    outcomes = loop.run(0.65).outcomes
    assert outcomes["applied"] >= 5
    assert not any(fate.startswith("expired/stale") for fate in outcomes)


@pytest.mark.parametrize("pace", PACES)
def test_the_kill_switch_is_obeyed_confirmed_and_taken_back(pace: str, url: str, tmp_path: Path) -> None:
    loop = Loop(pace, url, tmp_path)
    killed: list[bool] = []

    def revive(bus: Bus) -> None:
        killed.append(loop.world.weight("toy-1", 0) == 3)
        order(Order(id="r", kill=False), node="all")(bus)

    loop.run(
        1.5,
        at={
            500: order(Order(id="k", kill=True), node="all"),
            900: revive,
        },
    )
    assert killed == [False]
    assert loop.seen["fates"]["SetUeWeight/killed"] >= 2  # what was held, and what was wanted since
    assert [s.killed for s in loop.standings if s.order == "k"] == [True, True]
    assert [s.killed for s in loop.standings if s.order == "r"] == [False, False]
    assert loop.seen["weight"][-1] == 3.0  # and it acts again
    by = [record.facts["by"] for record in loop.records if record.event == "order" and record.facts.get("by")]
    assert by == ["k", "k", "r", "r"]


@pytest.mark.parametrize("pace", PACES)
def test_autonomy_is_taken_away_and_the_withdrawal_of_an_order_changes_nothing(
    pace: str, url: str, tmp_path: Path
) -> None:
    loop = Loop(pace, url, tmp_path)
    # Not when clients ask nats-server again for what is retained, 0.5 and 1 s after the start: the order would be heard twice.
    loop.run(
        1.2,
        at={
            250: order(Order(id="o", xapp="weigher", autonomy="observe")),
            700: lambda bus: bus.publish(topics.order("toy-1", "weigher"), b"", qos=1, retain=True),
        },
    )
    assert loop.seen["fates"]["SetUeWeight/autonomy"] >= 3
    assert loop.seen["weight"][-1] == 1.0
    assert [dict(s.autonomy)["weigher"] for s in loop.standings] == ["observe", "observe"]
    assert [sorted(s.orders) for s in loop.standings] == [["toy-1/weigher"], []]


@pytest.mark.parametrize("pace", ["live", "live x 4"])
def test_an_xapp_is_dismissed_and_admitted_again(pace: str, url: str, tmp_path: Path) -> None:
    loop = Loop(pace, url, tmp_path)
    loop.run(
        1.5,
        at={
            400: say(Admission(id="d", xapp="weigher", admitted=False)),
            800: say(Admission(id="a", xapp="weigher", rights=loop.rights("weigher"), priority=2)),
        },
    )
    # Once each: nats-server, asked again for what is retained at this moment, delivers an admission twice.
    said = dict.fromkeys((s.node, "weigher" in s.autonomy, s.order) for s in loop.standings)
    assert [*said] == [
        ("toy-1", False, "d"),
        ("toy-2", False, "d"),
        ("toy-1", True, "a"),
        ("toy-2", True, "a"),
    ]
    assert "SetUeWeight/not-permitted" in loop.seen["fates"]
    assert loop.seen["weight"][-1] == 3.0


def test_in_lockstep_an_xapp_joins_when_it_is_admitted_and_leaves_when_it_is_dismissed(
    url: str, tmp_path: Path
) -> None:
    """The run goes on without the one and waits for the other from then on."""
    loop = Loop("lockstep", url, tmp_path)
    loop.admitted = ["weigher"]
    summary = loop.run(
        1.5,
        at={
            250: say(Admission(id="a", xapp="wide", rights=loop.rights("wide"))),
            550: say(Admission(id="d", xapp="weigher", admitted=False)),
        },
    )
    assert summary.ran_time_ns == 1_500_000_000
    assert summary.outcomes["ended/not-permitted"] == 2  # on UE 0, which stays until 700 ms, and the quota
    assert loop.seen["now"] == 500_000_000
    assert loop.instances["wide"].summary() == {"first": 300_000_000, "last": 1_500_000_000}


@pytest.mark.parametrize("pace", PACES)
def test_the_operators_limits_bind_at_every_pace(pace: str, url: str, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text(
        '[[limits]]\nname = "floor"\naction = "SetSliceQuota"\nparameter = "min_pct"\nat_least = 10.0\n'
    )
    loop = Loop(pace, url, tmp_path / "xapps", limits=load_limits(limits))
    loop.run(0.8)
    assert loop.seen["fates"]["SetSliceQuota/limit"] == 1
    (refused,) = [r for r in loop.records if r.result and r.result.action == "SetSliceQuota"]
    assert refused.result is not None
    assert "'floor'" in refused.result.causes[1][1]


def test_the_audit_and_the_counters_are_the_same_at_every_pace(tmp_path: Path) -> None:
    """Verdicts by event and cause, of a run whose end does not cut through a batch."""

    def books(pace: str) -> tuple[dict[str, int], set[str]]:
        loop = Loop(pace, f"memory://books-{next(_fresh)}", tmp_path / pace)
        summary = loop.run(1.05)
        audited: Counter[str] = Counter()
        for record in loop.records:
            if record.result is not None:
                audited.update(verdict_counts(record.result))
        assert audited == summary.outcomes  # target by target, not only in kind
        # A live batch may come after its UE has left, or after the end.
        by_chance = ("at-end", "stale", "no-target")
        outcomes = {fate: n for fate, n in summary.outcomes.items() if not fate.endswith(by_chance)}
        return outcomes, {record.event for record in loop.records}

    outcomes, events = books("lockstep")
    assert outcomes["applied"] >= 10
    for pace in ("live", "live x 4"):
        found, seen = books(pace)
        assert found.keys() == outcomes.keys()
        assert seen >= events - {"ended"}
