"""A bench for schedulers: the simulator's own `schedule_cells` on one cell of 51 PRBs, with given channels.

Whether a block arrives is known at once, so that the results depend on the scheduler only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ran_sim.core import counters as count
from ran_sim.core.jit import bound
from ran_sim.core.state import F64, I64
from ran_sim.energy.power import ACTIVE
from ran_sim.link.adaptation import link_tables
from ran_sim.link.csi import Reports, init_csi
from ran_sim.link.harq import FREE, HARQ_RTT_SLOTS, SENT, WAITING, init_harq, init_sent
from ran_sim.mac.leg import Leg
from ran_sim.mac.metrics import built_in_rule
from ran_sim.mac.scheduler import schedule_cells
from ran_sim.mac.slices import init_slices
from ran_sim.mac.state import guaranteed_bits, init_mac
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.traffic.arrivals import init_traffic
from ran_sim.traffic.queues import FULL_BUFFER_BYTES, init_queues

N_RBG = 13
RBG_PRB: I64 = np.array([4] * 12 + [3], np.int64)  # 51 PRB
_REPORTS = Reports(seed=1, period_slots=1, delay_slots=1, error_db=0.0, subbands=True)  # no UE measures


class Bench:
    """One cell whose UEs have a CQI that is set by hand.

    Args:
        cqi: CQI of each UE, the same on every RBG.
        classes: Row of each UE's class in the scenario's traffic.
        policy: One of `ran_sim.mac.metrics`.
        max_dci: Number of UEs that can be scheduled in a slot.
        scenario: Traffic classes, guaranteed rates and slice quotas; `one-cell` if missing.
        window_slots: Time constant of the averages, in slots.
        loss: Share of the first transmissions of each UE that are lost, shape [n]; their retransmissions arrive.
    """

    def __init__(
        self,
        cqi: Sequence[int],
        classes: Sequence[int],
        *,
        policy: int,
        max_dci: int = 4,
        scenario: Scenario | None = None,
        window_slots: float = 200.0,
        loss: Sequence[float] | None = None,
    ) -> None:
        n = len(cqi)
        scenario = scenario or load_scenario("one-cell")
        self.n, self.policy, self.max_dci, self.window_slots = n, policy, max_dci, window_slots
        self.tables = link_tables(51)
        self.traffic = init_traffic(scenario)
        self.traffic.of_ue[:n] = classes
        self.queues, self.harq, self.csi = init_queues(n), init_harq(n), init_csi(n, N_RBG, _REPORTS)
        self.mac = init_mac(n, np.zeros(1, np.int32), RBG_PRB, *guaranteed_bits(scenario))
        self.slices, self.sent = init_slices(scenario), init_sent(max_dci)
        self.mac.members[:] = np.arange(n)
        self.mac.member_start[:] = 0, n
        self.weight = np.ones(n)
        self.loss = np.zeros(n) if loss is None else np.array(loss)
        self._schedule: Callable[..., None] | None = None
        self._rng = np.random.default_rng(1)
        self.reachable_slot = np.zeros(n, np.int64)
        self.state = np.array([ACTIVE], np.int32)
        self.mute = np.zeros(1, np.uint8)
        self.activity = np.zeros(N_RBG, np.float32)
        self.counts = np.zeros((n, count.N), np.int64)
        for u in range(n):
            self.set_cqi(u, np.full(N_RBG, cqi[u]))

    def set_cqi(self, u: int, cqi: NDArray[np.int64]) -> None:
        """Set the CQI of a UE on each RBG, shape [13]."""
        self.csi.wideband[u] = cqi.max()
        self.set_rates(u, self.tables.cqi_efficiency[cqi])
        self.csi.snr_db[u] = self.tables.cqi_t10_db[cqi]

    def set_rates(self, u: int, rate: F64) -> None:
        """Set the bits per resource element of a UE on each RBG, shape [13], in place of those of its CQI."""
        self.csi.efficiency[u] = rate
        self.csi.best[u] = rate.max()

    def fill_buffers(self) -> None:
        """Give every UE more data than can ever be sent."""
        self.queues.backlog_bytes[:] = FULL_BUFFER_BYTES

    def schedule(self, slot: int) -> dict[int, NDArray[np.int64]]:
        """Schedule one slot; the RBGs of each scheduled UE."""
        row = slot % HARQ_RTT_SLOTS
        self.sent.n[row] = 0
        leg = Leg(
            self.traffic,
            self.queues,
            self.harq,
            self.csi,
            self.mac,
            self.slices,
            self.tables,
            self.sent,
            self.counts,
        )
        arguments = (
            slot, built_in_rule(self.policy), self.max_dci, self.state, self.mute, self.activity.reshape(1, N_RBG),
            self.reachable_slot, self.weight, leg,
        )  # fmt: skip
        if self._schedule is None:
            self._schedule = bound(schedule_cells, *arguments)
        self._schedule(*arguments)
        n = int(self.sent.n[row])
        rbgs = {int(u): mask for u, mask in zip(self.sent.ue[row, :n], self.sent.rbgs[row, :n], strict=True)}
        return {u: np.flatnonzero((int(mask) >> np.arange(N_RBG)) & 1) for u, mask in rbgs.items()}

    def settle(self) -> None:
        """End the slot: blocks are received or wait to be sent again, and the averages are updated."""
        first = (self.harq.state == SENT) & (self.harq.attempts == 1)
        lost = first & (self._rng.random(first.shape) < self.loss[:, None])
        self.harq.state[:] = np.where(lost | (self.harq.state == WAITING), WAITING, FREE)
        self.harq.n_busy[:] = self.harq.n_waiting[:] = (self.harq.state == WAITING).sum(axis=1)
        self.mac.average_bits[:] += (self.mac.served_bits - self.mac.average_bits) / self.window_slots
        self.mac.served_bits[:] = 0

    def prbs(self, slots: int, *, first: int = 0) -> I64:
        """PRBs of each UE in each slot from `first` on, shape [slots, n]."""
        used = np.zeros((slots, self.n), np.int64)
        for i in range(slots):
            for u, rbgs in self.schedule(first + i).items():
                used[i, u] += RBG_PRB[rbgs].sum()
            self.settle()
        return used

    def airtime(self, slots: int, *, warmup: int = 2000) -> F64:
        """Share of the PRBs in use that each UE gets with full buffers, shape [n]."""
        self.fill_buffers()
        used = self.prbs(warmup + slots)[warmup:].sum(axis=0)
        return np.asarray(used / used.sum())
