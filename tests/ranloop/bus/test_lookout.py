"""Waiting awake and asleep, on a clock and a CPU that the test moves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from ranloop.bus.lookout import LATE_S, MOST_S, REST_S, SHARE, Lookout

AWAKE_S = 0.0006
LOOK_S = 0.00001  # one offer of the CPU that nobody takes


class Machine:
    """A clock, a CPU whose next offers take as long as `taken_s` says, and a socket that is ready at an instant."""

    def __init__(self, ready_s: float = float("inf")) -> None:
        self.now_s, self.ready_s = 100.0, 100.0 + ready_s
        self.taken_s: Iterator[float] = repeat(LOOK_S)
        self.looks, self.slept_s = 0, 0.0

    def clock(self) -> float:
        return self.now_s

    def give_way(self) -> None:
        self.now_s += next(self.taken_s)

    def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
        if timeout_ms == 0.0:
            self.looks += 1
        else:
            wakes_s = max(min(self.now_s + timeout_ms / 1e3, self.ready_s), self.now_s)
            self.slept_s += wakes_s - self.now_s
            self.now_s = wakes_s
        return [(3, 1)] if self.now_s >= self.ready_s else []

    def lookout(self, awake_s: float = AWAKE_S) -> Lookout:
        return Lookout(awake_s, clock=self.clock, give_way=self.give_way)

    def wait_after_traffic(self, lookout: Lookout, timeout_s: float = 0.01) -> float:
        """Seconds asleep in one wait right after traffic."""
        before_s = self.slept_s
        lookout.stay_awake()
        lookout.wait(self, timeout_s)
        return self.slept_s - before_s


def test_after_traffic_it_is_awake_for_as_long_as_told_and_sleeps_for_the_rest_of_the_time() -> None:
    machine = Machine()
    asleep_s = machine.wait_after_traffic(machine.lookout(), 0.01)
    assert asleep_s == pytest.approx(0.01 - AWAKE_S, abs=LOOK_S)
    assert machine.now_s == pytest.approx(100.01, abs=LOOK_S)


def test_what_comes_while_it_is_awake_is_seen_without_sleeping() -> None:
    machine = Machine(ready_s=0.0003)
    lookout = machine.lookout()
    lookout.stay_awake()
    assert lookout.wait(machine, 0.01) == [(3, 1)]
    assert machine.slept_s == 0.0


def test_long_after_traffic_it_sleeps_at_once() -> None:
    machine = Machine()
    lookout = machine.lookout()
    lookout.stay_awake()
    machine.now_s += 2 * AWAKE_S
    assert lookout.wait(machine, 0.01) == []
    assert machine.looks == 0
    assert machine.slept_s == pytest.approx(0.01)


def test_it_never_waits_longer_than_asked() -> None:
    machine = Machine()
    asleep_s = machine.wait_after_traffic(machine.lookout(), AWAKE_S / 2)
    assert asleep_s == 0.0
    assert machine.now_s == pytest.approx(100.0 + AWAKE_S / 2, abs=LOOK_S)


@pytest.mark.parametrize("gives_way", [True, False])
def test_without_a_time_awake_or_a_way_to_offer_the_cpu_it_only_sleeps(gives_way: bool) -> None:
    machine = Machine()
    if gives_way:
        lookout = machine.lookout(awake_s=0.0)
    else:
        lookout = Lookout(AWAKE_S, clock=machine.clock, give_way=None)
    assert machine.wait_after_traffic(lookout, 0.01) == pytest.approx(0.01)


def lose(machine: Machine, lookout: Lookout, late_s: float, *, every_s: float, for_s: float) -> float:
    """Offers of the CPU that come back late at such intervals; how long of `for_s` passed before it slept at once."""
    began_s = machine.now_s
    while machine.now_s < began_s + for_s:
        machine.taken_s = chain([late_s], repeat(LOOK_S))
        looks = machine.looks
        machine.wait_after_traffic(lookout, every_s)
        if machine.looks == looks:
            return machine.now_s - began_s
    return for_s


def test_losses_below_the_share_never_end_waiting_awake() -> None:
    machine = Machine()
    assert lose(machine, machine.lookout(), 0.9 * SHARE, every_s=1.0, for_s=100.0) == 100.0


@pytest.mark.parametrize(("late_s", "every_s"), [(0.003, 0.03), (0.05, 0.1), (1.1 * LATE_S, 0.01)])
def test_where_others_have_the_cpu_for_a_share_that_counts_it_sleeps_for_a_while(
    late_s: float, every_s: float
) -> None:
    machine = Machine()
    lookout = machine.lookout()
    # The bucket fills with what is lost less what is allowed; one more period shows that it is over.
    periods = math.ceil((MOST_S + 1e-9) / (late_s - SHARE * every_s))
    assert lose(machine, lookout, late_s, every_s=every_s, for_s=10.0) == pytest.approx(
        (periods + 1) * every_s, rel=0.1
    )


def test_after_its_rest_it_is_awake_again_however_long_it_was_held_up() -> None:
    machine = Machine()
    lookout = machine.lookout()
    machine.taken_s = chain([3600.0], repeat(LOOK_S))  # the process was stopped for an hour
    machine.wait_after_traffic(lookout)
    rests_until_s = machine.now_s + 0.99 * REST_S
    while machine.now_s < rests_until_s:
        assert machine.wait_after_traffic(lookout, 0.01) == pytest.approx(0.01)
    machine.now_s = rests_until_s + 0.1
    machine.taken_s = chain([1.1 * LATE_S], repeat(LOOK_S))
    assert machine.wait_after_traffic(lookout, 0.01) < 0.01
    assert machine.wait_after_traffic(lookout, 0.01) == pytest.approx(0.01 - AWAKE_S, abs=LOOK_S)


def test_a_quiet_hour_does_not_make_it_slower_to_see_that_others_want_the_cpu() -> None:
    machine = Machine()
    lookout = machine.lookout()
    machine.now_s += 3600.0
    assert lose(machine, lookout, 0.003, every_s=0.03, for_s=10.0) < 0.5


def test_offers_of_the_cpu_that_end_soon_do_not_end_the_time_awake() -> None:
    machine = Machine()
    lookout = machine.lookout(awake_s=10.0)
    machine.taken_s = repeat(0.9 * LATE_S)
    assert machine.wait_after_traffic(lookout, 5.0) == 0.0


def test_one_that_is_interrupted_too_much_sleeps_for_the_rest_of_this_wait() -> None:
    machine = Machine()
    lookout = machine.lookout(awake_s=10.0)
    machine.taken_s = repeat(0.011)
    assert machine.wait_after_traffic(lookout, 1.0) == pytest.approx(1.0 - 0.022)
    assert machine.looks == 2
