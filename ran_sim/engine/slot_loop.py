"""The slot loop: a network, its current slot, and the kernels that simulate the next ones, tick by tick."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, cast

import numpy as np

from ran_sim.core.jit import bound
from ran_sim.engine import saved
from ran_sim.engine.answers import check_packets, check_propagation
from ran_sim.engine.arguments import whole
from ran_sim.engine.faults import fault_slots, holding, next_change, put_in_force
from ran_sim.engine.kernels import Network, for_slots, run_slots
from ran_sim.engine.link_powers import renew_path_gains
from ran_sim.engine.radio_tick import radio_tick
from ran_sim.engine.session_rows import SessionRows, ended_rows, without_counts
from ran_sim.engine.sessions import sync_sessions
from ran_sim.mac.leg import Leg
from ran_sim.scenario import Scenario
from ran_sim.scenario.faults import Fault
from ran_sim.traffic.queues import with_larger_rings

Arguments = TypeVarTuple("Arguments")
R = TypeVar("R")


class SlotLoop:
    """A network and its clock.

    Args:
        network: As `build_network` makes it, before its first slot.
        scenario: That it was built from.
        seed: That it was built from.
        scheduler: Name of its scheduling rule.
    """

    def __init__(self, network: Network, scenario: Scenario, seed: int, scheduler: str) -> None:
        self.scenario = scenario
        self.seed = seed
        self.scheduler = scheduler
        self.plugins = saved.plugins_of(network)
        self.slot_ns = scenario.slot_ns
        self.n_ue, self.n_cell, self.n_rbg = scenario.n_ue, scenario.n_cell, scenario.n_rbg
        self.n_prb = scenario.carrier.bandwidth_prb
        self._network = network
        self._slot = 0
        self._next_tick = 0
        self._warmup_slot = scenario.slots(scenario.run.warmup_s * 1e3)
        self._ended: list[SessionRows] = []
        self._keeps_ended = True
        self._faults = fault_slots(scenario)
        self._bound: dict[
            Callable[..., Any], Callable[..., Any]
        ] = {}  # kernels, to the types of this network

    @property
    def slot(self) -> int:
        """The next slot to be simulated; slot k covers [k, k + 1) * `slot_ns` of RAN time."""
        return self._slot

    @property
    def now_ns(self) -> int:
        """RAN time of the start of `slot`."""
        return self._slot * self.slot_ns

    @property
    def warmup_slot(self) -> int:
        """From this slot on `sessions` counts."""
        return self._warmup_slot

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The scenario's faults that hold in `slot`: the truth beside all reports."""
        return holding(self._faults, self._slot)

    @property
    def nan_metrics(self) -> int:
        """Number of times that a metric of your own has answered NaN; such a UE gets no grant."""
        return int(self._network.settings.rule.nan_metrics[0])

    def run_until(self, slot: int) -> None:
        """Simulate up to, not including, `slot`.

        Raises:
            ValueError: `slot` has been simulated already, or is no whole number.
            PluginError: A path loss or a traffic model of your own gave an impossible answer; the run is over then.
        """
        slot = whole("slot", slot)
        if slot < self._slot:
            raise ValueError(f"cannot run until slot {slot}: the engine is at slot {self._slot}")
        nan_metrics = self.nan_metrics
        while self._slot < slot:
            change = next_change(self._faults, self._slot)
            if self._slot == change:
                self._change_faults()
                change = next_change(self._faults, self._slot + 1)
            if self._slot == self._next_tick:
                self._tick()
            stop = min(slot, self._next_tick, change)
            if self._slot < self._warmup_slot:
                stop = min(stop, self._warmup_slot)
            self._slot = self._call(run_slots, self._slot, stop, for_slots(self._network))
            self._look_at_answers()
            if self._slot < stop:
                self._network = self._network._replace(queues=with_larger_rings(self._network.queues))
            elif stop == self._warmup_slot:
                self.count_from_now()
        if self.nan_metrics > nan_metrics:
            warnings.warn(
                f"metric {self.scheduler}: answers NaN, which gets no grant (`Engine.nan_metrics` counts)",
                RuntimeWarning,
                stacklevel=2,
            )

    def _tick(self) -> None:
        network = self._network
        self._call(radio_tick, self._slot, network.cells, network.ues, network.links, network.radio)
        if network.radio.propagation.own_path_loss:
            check_propagation(network)
        self._sync()
        self._next_tick = self._slot + int(network.radio.tick_slots)

    def _change_faults(self) -> None:
        network = self._network
        if put_in_force(self.faults, network, self.scenario):
            self._call(renew_path_gains, network.cells, network.ues, network.links, network.radio)

    def _sync(self) -> None:
        network = self._network
        leg = Leg(
            network.traffic, network.queues, network.harq, network.csi, network.mac, network.slices, network.tables,
            network.sent, network.counts.ue,
        )  # fmt: skip
        n_ended = self._call(
            sync_sessions, self._slot, self.seed, network.cells, network.ues, leg, network.counts
        )
        self._look_at_answers()
        if n_ended and self._keeps_ended:
            self._ended.append(ended_rows(network, n_ended, self._slot, counting=self._counting))

    def _look_at_answers(self) -> None:
        if "traffic" in self.plugins:
            check_packets(self._network)

    def _call(self, kernel: Callable[[*Arguments], R], *arguments: *Arguments) -> R:
        """Call a kernel whose arguments always have the types that they have the first time."""
        if kernel not in self._bound:
            self._bound[kernel] = bound(kernel, *arguments)
        return cast(R, self._bound[kernel](*arguments))

    def count_from_now(self) -> None:
        """Let `sessions`, `handovers`, `energy_j` and with them the score count from `slot` on, as if the warm-up ended now."""
        self._warmup_slot = self._slot
        self._ended = [without_counts(rows) for rows in self._ended]
        np.copyto(self._network.counts.before, self._network.counts.ue)
        np.copyto(self._network.energy.used_before, self._network.energy.used)
        np.copyto(self._network.radio.handover.counts_before, self._network.radio.handover.counts)

    def forget_ended(self) -> None:
        """Keep no session that has ended, from now on: in a run without an end they would fill the memory.

        The simulation itself does not change. `sessions` and the score then cover only the sessions that go on.
        """
        self._ended, self._keeps_ended = [], False

    @property
    def _counting(self) -> bool:
        """Whether the warm-up is over, so that sessions count."""
        return self._slot > self._warmup_slot
