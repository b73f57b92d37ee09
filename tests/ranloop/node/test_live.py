"""The live host: paced by a clock, deaf to nobody registered, stopped by nobody slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ranloop.bus import Bus
from ranloop.errors import BusError
from ranloop.guard import ActionRight, Autonomy, Rights
from ranloop.node import LiveHost, NodeHost, RealClock, Registration, RunSummary, VirtualClock
from ranloop.node.outlets import Event
from ranloop.node.port import Stream
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, decode_report, decode_result, decode_standing, encode
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch, Cause, Order, Report, Result, Standing, Status
from ranloop.xapp.instance import Instance
from ranloop.xapp.live import LiveRunner
from ranloop.xapp.loader import load_package
from tests.builders import APP, MANIFEST, write_xapp
from tests.ranloop.node.scripted import MS, READS_UES, rights

Connect = Callable[[str], Bus]


class Room(VirtualClock):
    """A virtual clock that lets everybody in the room poll whenever the host waits."""

    def __init__(self, *buses: Bus) -> None:
        super().__init__()
        self.buses = buses

    def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
        for bus in self.buses:
            bus.poll()
        super().wait(until_ns, poll)


class LiveXApp:
    """Holds weight 3 on UE 0 of toy-1, sent once per report; keeps what it hears."""

    def __init__(self, bus: Bus, *, lease_ms: int | None = None) -> None:
        self.bus, self.lease_ms = bus, lease_ms
        self.reports: list[Report] = []
        self.results: list[Result] = []
        self.presence: list[bool] = []
        bus.subscribe(topics.report("toy-1", "ue", 100), self._on_report, latest=True)
        bus.subscribe(
            topics.result("weigher", "toy-1"), lambda _, p: self.results.append(decode_result(p)), qos=1
        )
        bus.subscribe(
            topics.presence("host"), lambda _, p: self.presence.append(decode_presence(p).alive), qos=1
        )

    def _on_report(self, _topic: str, payload: bytes) -> None:
        report = decode_report(payload)
        self.reports.append(report)
        self.send(report.ran_time_ns, id=f"live-{report.seq}")

    def send(self, ran_time_ns: int, *, id: str) -> None:
        batch = ActionBatch(
            id=id,
            xapp="weigher",
            node="toy-1",
            seq=len(self.reports),
            action=SetUeWeight(ue=[0], weight=3),
            valid_until_ns=ran_time_ns + 200 * MS,
            lease_ms=self.lease_ms,
        )
        self.bus.publish(topics.act("weigher", "toy-1"), encode(batch), qos=1)


WEIGHER = {"weigher": Registration(rights=rights("SetUeWeight"))}


def test_the_loop_closes_at_the_pace_of_the_clock(connect: Connect) -> None:
    xapp = LiveXApp(connect("weigher"))
    world = ToyWorld()
    host = NodeHost(world, connect("host"), xapps=WEIGHER)
    summary = LiveHost(host, clock=Room(xapp.bus)).run(0.55)
    xapp.bus.poll()
    assert [report.ran_time_ns // MS for report in xapp.reports] == [100, 200, 300, 400, 500]
    assert summary.n_reports == 10
    # The fifth batch would have had its slot before the end as well: 500 ms + 10 ms.
    assert summary.outcomes == {"applied": 5, "ended/at-end": 1}
    assert [r.ran_time_ns // MS for r in xapp.results] == [110, 210, 310, 410, 510, 550]
    assert world.weight("toy-1", 0) == 1  # drained: what was held is back at its default
    assert xapp.presence == [True, True, False]  # it asks, lives, and leaves


def test_real_time_passes_as_fast_as_it_is_told(connect: Connect) -> None:
    host = NodeHost(ToyWorld(), connect("host"), xapps=WEIGHER)
    started_s = time.perf_counter()
    LiveHost(host, clock=RealClock(), speed=5.0).run(0.5)
    assert 0.1 <= time.perf_counter() - started_s < 0.5


@pytest.mark.parametrize("speed", [0.5, 1.0, 8.0])
def test_ran_time_is_the_clocks_times_the_speed(connect: Connect, speed: float) -> None:
    clock, seen = VirtualClock(), list[tuple[int, int]]()

    class Timed(ToyWorld):
        def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
            seen.append((clock.now_ns(), self.now_ns))
            return super().reports(wanted)

    host = NodeHost(Timed(), connect("host"), xapps=WEIGHER)
    LiveHost(host, clock=clock, speed=speed).run(0.5)
    assert [ran_time_ns // MS for _, ran_time_ns in seen] == [100, 200, 300, 400, 500]
    assert [at_ns for at_ns, _ in seen] == [round(ran_time_ns / speed) for _, ran_time_ns in seen]


def test_a_stop_from_elsewhere_drains(connect: Connect) -> None:
    xapp = LiveXApp(connect("weigher"))
    host = LiveHost(NodeHost(ToyWorld(duration_s=3600), connect("host"), xapps=WEIGHER))
    summaries: list[RunSummary] = []
    thread = threading.Thread(target=lambda: summaries.append(host.run()), name="live-host")
    thread.start()
    while not xapp.presence:
        xapp.bus.poll(0.05)
    host.stop()
    thread.join(timeout=5)
    xapp.bus.poll(0.05)
    assert summaries
    assert xapp.presence[-1] is False


@pytest.mark.parametrize("said", ["in a poll", "by the world"])
def test_a_run_that_an_error_ends_leaves_no_setting_behind(connect: Connect, said: str) -> None:
    xapp, broken = LiveXApp(connect("weigher")), BusError("another host has come to this bus and taken over")

    class Breaking(Room):
        def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
            super().wait(until_ns, poll)
            if said == "in a poll" and world.weight("toy-1", 0) == 3:
                raise broken

    class Stuck(ToyWorld):
        def advance(self, until_ns: int) -> None:
            if said == "by the world" and self.weight("toy-1", 0) == 3:
                raise broken
            super().advance(until_ns)

    world = Stuck()
    live = LiveHost(NodeHost(world, connect("host"), xapps=WEIGHER), clock=Breaking(xapp.bus))
    with pytest.raises(BusError) as raised:
        live.run()
    xapp.bus.poll()
    assert raised.value is broken  # what went wrong, not what followed from it
    assert world.weight("toy-1", 0) == 1
    assert [Status(xapp.results[i].status[0]) for i in (0, -1)] == [Status.APPLIED, Status.ENDED]
    assert xapp.presence[-1] is False


def test_nodes_get_their_settings_back_when_the_bus_is_gone(connect: Connect) -> None:
    xapp, bus = LiveXApp(connect("weigher")), connect("host")

    class Cut(Room):
        def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
            if len(xapp.reports) == 2:  # one batch is in force, and one waits for its slot
                bus.kill()
            super().wait(until_ns, poll)

    world = ToyWorld()
    live = LiveHost(NodeHost(world, bus, xapps=WEIGHER), clock=Cut(xapp.bus))
    with pytest.raises(BusError):
        live.run()
    assert world.weight("toy-1", 0) == 1


class Computed(ToyWorld):
    """A world that could go on for ever, as a simulator's does."""

    def last_until(self, end_ns: int) -> int:
        self._end_ns = max(self._end_ns, end_ns)
        return min(end_ns, self._end_ns)


def test_a_world_that_is_computed_runs_past_its_scenarios_length_until_somebody_stops_it(
    connect: Connect,
) -> None:
    class Stopped(Computed):
        def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
            if self.now_ns >= 5000 * MS:
                live.stop()
            return super().reports(wanted)

    host = NodeHost(Stopped(duration_s=2.0), connect("host"), xapps=WEIGHER)
    live = LiveHost(host, clock=VirtualClock())
    assert live.run().ran_time_ns == 5000 * MS
    assert host.runtime.port.end_ns == FOR_EVER_NS  # it was told that nobody knows when


def test_a_run_lasts_as_long_as_it_was_told_and_never_longer_than_a_recording(connect: Connect) -> None:
    for world, end_ms in ((Computed(duration_s=2.0), 3000), (ToyWorld(duration_s=2.0), 2000)):
        host = NodeHost(world, connect("host"), xapps=WEIGHER)
        assert LiveHost(host, clock=VirtualClock()).run(3.0).ran_time_ns == end_ms * MS


def test_nobody_reading_does_not_stop_the_host(connect: Connect) -> None:
    LiveXApp(connect("deaf"))  # subscribed, never polls
    host = NodeHost(ToyWorld(), connect("host"), xapps=WEIGHER)
    assert LiveHost(host, clock=VirtualClock()).run().ran_time_ns == 2000 * MS


def test_the_kill_switch_ends_what_is_held_and_refuses_what_comes(connect: Connect) -> None:
    xapp, operator = LiveXApp(connect("weigher")), connect("operator")

    class Operator(Room):
        def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
            if len(xapp.reports) == 2 and not operator.stats.published:
                operator.publish(topics.order("toy-1"), encode(Order(kill=True)), qos=1)
            super().wait(until_ns, poll)

    world = ToyWorld()
    LiveHost(NodeHost(world, connect("host"), xapps=WEIGHER), clock=Operator(xapp.bus)).run(0.55)
    xapp.bus.poll()
    fates = [(Status(r.status[0]), r.causes[r.cause[0]][0]) for r in xapp.results]
    assert fates[0] == (Status.APPLIED, Cause.NONE)
    assert (Status.ENDED, Cause.KILLED) in fates
    assert fates[-1] == (Status.REFUSED, Cause.KILLED)
    assert world.weight("toy-1", 0) == 1


def test_a_retry_is_answered_again_and_counts_once(connect: Connect) -> None:
    class Doubter(LiveXApp):
        def _on_report(self, _topic: str, payload: bytes) -> None:
            self.reports.append(report := decode_report(payload))
            if report.seq != 1:
                self.send(report.ran_time_ns, id="once")

    class Watcher:
        def take(self, event: Event) -> None:
            if isinstance(event, Result):
                seen.append(event)

    seen: list[Result] = []
    xapp = Doubter(connect("weigher"))
    host = NodeHost(ToyWorld(), connect("host"), xapps=WEIGHER, outlets=[Watcher()])
    summary = LiveHost(host, clock=Room(xapp.bus)).run(0.35)
    xapp.bus.poll()
    assert summary.outcomes == {"applied": 1, "ended/at-end": 1}  # held from 110 ms to the end
    assert [Status(result.status[0]) for result in seen] == [Status.APPLIED, Status.ENDED]
    heard = [(Status(result.status[0]), result.ran_time_ns // MS) for result in xapp.results]
    assert heard == [(Status.APPLIED, 110), (Status.APPLIED, 110), (Status.ENDED, 350)]


def test_a_node_that_is_started_again_still_obeys_the_orders_of_before(connect: Connect) -> None:
    operator, told = connect("operator"), list[Standing]()
    orders = Order(id="1", kill=True), Order(id="2", xapp="weigher", autonomy="observe")
    for order in orders:
        operator.publish(topics.order("toy-1", order.xapp), encode(order), qos=1, retain=True)
    operator.subscribe(topics.standing("+"), lambda _, payload: told.append(decode_standing(payload)), qos=1)
    xapp = LiveXApp(connect("weigher"))
    host = NodeHost(ToyWorld(), connect("host"), xapps=WEIGHER)
    summary = LiveHost(host, clock=Room(xapp.bus)).run(0.25)
    assert summary.outcomes == {f"refused/{Cause.KILLED}": 2}
    while len(told) < 2 and operator.poll(1.0):
        pass
    assert {standing.order for standing in told} == {"1", "2"}
    assert told[-1] == Standing(
        node="toy-1",
        order=told[-1].order,
        killed=True,
        autonomy={"weigher": "observe"},
        orders={topics.place(topics.order("toy-1", order.xapp)): order for order in orders},
    )


def test_autonomy_is_the_operators_and_bad_orders_are_counted(connect: Connect) -> None:
    xapp, operator = LiveXApp(connect("weigher")), connect("operator")
    host = NodeHost(ToyWorld(), connect("host"), xapps=WEIGHER)
    live = LiveHost(host, clock=Room(xapp.bus))
    observe = encode(Order(xapp="weigher", autonomy=Autonomy.OBSERVE))
    for topic, payload in (
        (topics.order("toy-1", "nobody"), encode(Order(xapp="nobody", autonomy="act"))),
        (topics.order("toy-1", "weigher"), encode(Order(xapp="weigher", autonomy="dictate"))),
        (topics.order("toy-1"), b"?"),
        (topics.order("toy-1"), observe),  # on the kill switch's topic
        (topics.order("toy-1", "weigher"), observe),
    ):
        operator.publish(topic, payload, qos=1)
    summary = live.run(0.25)
    assert summary.n_dropped == 4
    assert summary.outcomes == {f"refused/{Cause.AUTONOMY}": 2}


def test_garbage_is_counted_and_strangers_are_not_heard(connect: Connect) -> None:
    bus = connect("noise")
    host = NodeHost(ToyWorld(), connect("host"), xapps=WEIGHER)
    live = LiveHost(host, clock=VirtualClock())
    bus.publish(topics.act("weigher", "toy-1"), b"\xff\xff", qos=1)
    bus.publish(topics.act("stranger", "toy-1"), b"\xff\xff", qos=1)
    summary = live.run(0.2)
    assert (summary.n_dropped, summary.outcomes) == (1, {})


def test_a_flood_of_garbage_does_not_fill_the_audit_log(connect: Connect) -> None:
    host = NodeHost(ToyWorld(), connect("host"), xapps=WEIGHER)
    for _ in range(1000):
        host.runtime.drop("vandal", "garbage")
    host.runtime.drop("other", "garbage")
    host.runtime.flush()
    noted = [record.facts["dropped_so_far"] for record in host.runtime.audit if record.xapp == "vandal"]
    assert noted == [*range(1, 17), 32, 64, 128, 256, 512]
    assert host.runtime.n_dropped == 1001
    assert [record.xapp for record in host.runtime.audit][-1] == "other"


def test_a_world_slower_than_time_is_not_made_to_catch_up(connect: Connect) -> None:
    class SlowWorld(ToyWorld):
        """Computes 100 ms of RAN time in 2 s."""

        def advance(self, until_ns: int) -> None:
            super().advance(until_ns)
            clock.wait(clock.now_ns() + 2_000 * MS, lambda _: 0)

    clock = VirtualClock()
    host = NodeHost(SlowWorld(), connect("host"), xapps=WEIGHER)
    summary = LiveHost(host, clock=clock).run(0.3)
    assert summary.ran_time_ns == 300 * MS
    assert summary.worst_lag_ns < 2_000 * MS  # not 4 s and more after two periods


def test_time_that_stands_still_is_refused(connect: Connect) -> None:
    with pytest.raises(ValueError, match="go forward"):
        LiveHost(NodeHost(ToyWorld(), connect("host"), xapps=WEIGHER), speed=0)


def test_an_xapp_that_floods_is_shut_out_alone_until_the_operator_lets_it_in_again(connect: Connect) -> None:
    flooder, calm = connect("flooder"), LiveXApp(connect("weigher"))
    host_bus = connect("host")
    xapps = {**WEIGHER, "flooder": Registration(rights=rights("SetUeWeight"))}
    host = NodeHost(ToyWorld(), host_bus, xapps=xapps)
    live = LiveHost(host, clock=Room(calm.bus))
    for number in range(501):  # 100 to spare, and ten times its 20 batches a second at each of the two nodes
        batch = ActionBatch(
            id=f"flood-{number}",
            xapp="flooder",
            node="toy-1",
            seq=number,
            action=SetUeWeight(ue=[1], weight=2),
            valid_until_ns=200 * MS,
        )
        flooder.publish(topics.act("flooder", "toy-1"), encode(batch), qos=1)
    summary = live.run(0.35)
    assert summary.outcomes["applied"] >= 3  # the other one's loop went on
    assert [record.facts for record in host.runtime.audit if record.event == "shut_out"] == [
        {"cost_per_s": 500}
    ]
    assert (
        host.runtime.guards["toy-1"].submit(batch, sender="flooder", now_ns=host.runtime.port.now_ns)
        is not None
    )


def test_an_xapp_that_was_shut_out_is_heard_again_after_the_operators_order(connect: Connect) -> None:
    flooder, operator, calm = connect("flooder"), connect("operator"), LiveXApp(connect("weigher"))
    xapps = {**WEIGHER, "flooder": Registration(rights=rights("SetUeWeight"))}
    world = ToyWorld()
    host = NodeHost(world, connect("host"), xapps=xapps)
    answers: list[Result] = []
    flooder.subscribe(
        topics.result("flooder", "toy-1"), lambda _, p: answers.append(decode_result(p)), qos=1, keep=1000
    )

    def want(name: str, *, at_ns: int) -> None:
        action = SetUeWeight(ue=[7], weight=2)  # there from 1.0 s to 1.7 s
        until_ns = at_ns + 500 * MS
        batch = ActionBatch(
            id=name, xapp="flooder", node="toy-1", seq=0, action=action, valid_until_ns=until_ns
        )
        flooder.publish(topics.act("flooder", "toy-1"), encode(batch), qos=1)

    class Script(Room):
        """Shut out in the first second, asks in vain, is let in again a second later."""

        def wait(self, until_ns: int, poll: Callable[[float], int]) -> None:
            n_reports = len(calm.reports)
            if n_reports != self.n_seen:
                self.n_seen = n_reports
                if n_reports == 5:
                    want("in-vain", at_ns=world.now_ns)
                elif n_reports == 12:
                    order = encode(Order(id="let-in", xapp="flooder", autonomy=Autonomy.ACT))
                    operator.publish(topics.order("toy-1", "flooder"), order, qos=1)
                elif n_reports == 14:
                    want("heard-again", at_ns=world.now_ns)
            super().wait(until_ns, poll)

        n_seen = 0

    live = LiveHost(host, clock=Script(calm.bus))
    for number in range(501):
        want(f"flood-{number}", at_ns=0)
    live.run(1.6)
    flooder.poll()
    assert any(record.event == "shut_out" for record in host.runtime.audit)
    fates = {result.id: Status(result.status[0]) for result in reversed(answers)}  # the first word on each
    assert "in-vain" not in fates
    assert fates["heard-again"] is Status.APPLIED


def test_what_waits_of_one_xapp_between_two_polls_is_bounded(connect: Connect) -> None:
    sender, host_bus = connect("weigher"), connect("host")
    often = Rights(streams=(READS_UES,), actions=(ActionRight(name="SetUeWeight", rate_per_s=1000),))
    allowed = {"weigher": Registration(rights=often)}
    live = LiveHost(NodeHost(ToyWorld(), host_bus, xapps=allowed), clock=VirtualClock())
    for _ in range(1100):
        sender.publish(topics.act("weigher", "toy-1"), b"?", qos=1)
    assert live.run(0.1).n_dropped == 1024
    assert host_bus.stats.dropped == 76


def test_an_end_in_order_reports_no_loss_at_either_side(connect: Connect, tmp_path: Path) -> None:
    """The xApp leaves first: its open actions are answered. Then the host: what is held goes back, at the end."""
    app, text = APP.replace('"CQI"', '"DRB.UEThpDl"'), MANIFEST.replace('"CQI"', '"DRB.UEThpDl"')
    folder = write_xapp(
        tmp_path / "weigher", app=app, policy="def weight(rate): return rate * 0 + 2.0", text=text.format(name="weigher")
    )  # fmt: skip
    instance, stop = Instance(load_package(folder)), threading.Event()
    registered = {"weigher": Registration(rights=instance.manifest.rights)}
    live = LiveHost(NodeHost(ToyWorld(duration_s=60.0), connect("host"), xapps=registered), speed=4.0)
    runner, ended = LiveRunner(instance, connect("weigher")), list[RunSummary]()
    threads = [
        threading.Thread(target=lambda: ended.append(live.run()), name="host"),
        threading.Thread(target=runner.run, args=(stop,), name="weigher"),
    ]
    with capture_logs() as logs:
        for thread in threads:
            thread.start()
        while runner.stats.results[Status.APPLIED] < 10:
            stop.wait(0.01)
        stop.set()
        threads[1].join(15.0)
        live.stop()
        threads[0].join(15.0)
    causes = {told.cause for told in (*instance.fates.told(), *ended[0].fates)}
    assert "lost" not in causes
    by_chance = ("nodes_fall_behind", "handler_slow")  # on a busy machine
    assert [
        line["event"] for line in logs if line["log_level"] != "info" and line["event"] not in by_chance
    ] == []
