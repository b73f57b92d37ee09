"""The engine: a scenario and a seed become a network that runs slot by slot, can be read and can be acted on.

`slot_loop` runs it and `actions` changes its settings; this module builds, reads, copies and saves it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from ran_sim.core.counters import Snapshot
from ran_sim.core.plugins import Plugin, PluginError
from ran_sim.core.state import F32, F64, I32, I64, Cells, Links, Ues
from ran_sim.engine import saved
from ran_sim.engine.actions import Actions
from ran_sim.engine.arguments import check, whole
from ran_sim.engine.build import build_network, scheduling_rule
from ran_sim.engine.first_use import compile_kernels
from ran_sim.engine.kernels import channel_into, for_slots
from ran_sim.engine.provenance import platform_provenance, scenario_hash
from ran_sim.engine.session_rows import SESSION_DTYPE, SessionRows, running_rows
from ran_sim.engine.sessions import fold_all
from ran_sim.mac.slices import DEDICATED, MAX, MIN
from ran_sim.radio.own_propagation import OwnPropagation, own_model
from ran_sim.scenario import Scenario
from ran_sim.traffic.queues import ARRIVAL, FULL_BUFFER_BYTES, N_PACKET


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficClass:
    """One class of the scenario's traffic, as far as reports and experiments ask for it."""

    name: str
    five_qi: int
    slice: str
    model: str
    delay_bound: bool
    budget_ms: float  # the radio's share of the packet delay budget
    promised_mbps: float | None  # of a UE while data waits for it
    weight: float  # default scheduling weight


class Channel(NamedTuple):
    """Of all UE rows at one moment."""

    sinr_db: (
        F32  # [n_ue, n_rbg] that a measurement without error would find in the next slot, NaN without a UE
    )
    report_db: F32  # [n_ue, n_rbg] that slots work with, NaN without a report
    wideband: I32  # [n_ue] CQI of the newest report, -1 without one
    measured_slot: I64  # [n_ue] of that report, -1 without one


def _classes(scenario: Scenario, weight: F64) -> tuple[TrafficClass, ...]:
    """The scenario's, with the default weights of a run, [n_class]."""
    return tuple(
        TrafficClass(
            name=traffic.name,
            five_qi=traffic.five_qi,
            slice=traffic.slice,
            model=traffic.model,
            delay_bound=traffic.delay_bound,
            budget_ms=traffic.budget_ms,
            promised_mbps=traffic.promised_mbps,
            weight=float(weight[i]),
        )
        for i, traffic in enumerate(scenario.traffic)
    )


class Engine(Actions):
    """A simulated network.

    `run_until` simulates up to a slot; settings made in between take effect from `slot`, the next one to be simulated.
    The same scenario, seed and settings at the same slots give the same bits, however the run is cut into calls.
    Engines share nothing, and `run_until` holds no GIL: several can run in threads.

    Args:
        scenario: The network; see `load_scenario`.
        seed: Number of the drop, 0 and up.
        scheduler: A name of `metrics.POLICIES` in place of the scenario's scheduler.
        metric: A scheduling metric of your own in its place: "path/to/file.py:function" or a function, see `metrics`.
        path_loss: A path loss of your own in the same forms, or a whole `PropagationModel`, in place of the scenario's, see
            `own_propagation`.
        traffic: Packets of the classes with model "plugin": "path/to/file.py:function" or a function, see `traffic.arrivals`.
        uniform_class_weights: Start with weight 1 for every class instead of the scenario's weights.

    Attributes:
        scenario: The network's.
        seed: The network's.
        scheduler: Name of the scheduling rule.
        plugins: Name and hash of each function of yours by what it is: "metric", "path_loss", "los_probability",
            "shadow_sd_db", "traffic"; and the distances of a `PropagationModel` by their names.
        classes: The scenario's traffic classes.

    Raises:
        ValueError: unknown scheduler, or a seed that is no whole number from 0 to 2^62 - 1.
        PluginError: a metric, a path loss or a traffic model that cannot be loaded or compiled.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        *,
        scheduler: str | None = None,
        metric: str | Callable[..., float] | Plugin | None = None,
        path_loss: OwnPropagation = None,
        traffic: str | Callable[..., tuple[float, float]] | Plugin | None = None,
        uniform_class_weights: bool = False,
    ) -> None:
        check(
            isinstance(scenario, Scenario),
            "scenario",
            repr(scenario),
            "a Scenario, such as load_scenario reads",
        )
        seed = whole("seed", seed)
        if seed < 0:
            raise ValueError(f"seed {seed} is negative; take 0 or more")
        check(seed < 2**62, "seed", seed, "less than 2^62")
        name, rule = scheduling_rule(scenario, scheduler, metric)
        super().__init__(build_network(scenario, seed, rule, path_loss, traffic), scenario, seed, name)
        self.uniform_class_weights = uniform_class_weights
        compile_kernels(self._network)
        if uniform_class_weights:
            self._network.traffic.weight[:] = 1.0
        self.classes = _classes(scenario, self._network.traffic.weight[0])
        self._joule_per_unit_ms = scenario.energy.unit_w * 1e-3

    # Reading -----------------------------------------------------------------------------------------------------

    @property
    def cells(self) -> Cells:
        """The cells' state; read only."""
        return self._network.cells

    @property
    def ues(self) -> Ues:
        """The UE rows' state; read only."""
        return self._network.ues

    @property
    def links(self) -> Links:
        """The large-scale radio; read only."""
        return self._network.links

    @property
    def class_of(self) -> I32:
        """Row of `classes` of each UE row, shape [n_ue]; a UE row carries one QoS flow."""
        return self._network.traffic.of_ue

    @property
    def slice_names(self) -> tuple[str, ...]:
        """S-NSSAI of every slice; the position is its dense id."""
        return self.scenario.slice_names

    @property
    def slice_quota_pct(self) -> F64:
        """Minimum, maximum and dedicated share of each cell's PRBs in force, shape [3, n_cell, n_slice]; a copy."""
        return np.asarray(np.moveaxis(self._network.slices.quota[:, :, [MIN, MAX, DEDICATED]], -1, 0) * 100.0)

    @property
    def slot_model_of(self) -> I64:
        """Row of the scenario's `scheduler.models` that ranks the UEs of each cell, -1 for none, shape [n_cell]; a copy."""
        return self._network.settings.rule.model_of.copy()

    def slot_features(self) -> F64:
        """Inputs of learned metrics that slots have computed last, shape [n, N_FEATURE] of `mac.learned`; a copy.

        Only while a model ranks UEs; one row for each place in the list of candidates.
        """
        terms = self._network.mac.terms
        return np.asarray(terms[(terms != 0.0).any(axis=1)])

    def channel(self) -> Channel:
        """What UEs would measure now, and the reports of them that slots use; copies."""
        csi, sinr_db = self._network.csi, np.zeros((self.n_ue, self.n_rbg), np.float32)
        self._call(channel_into, sinr_db, self._slot, for_slots(self._network))
        known = csi.wideband >= 0
        report_db = np.where(known[:, None], csi.snr_db, np.float32(np.nan))
        measured_slot = np.where(known, csi.measured_slot, -1)
        return Channel(sinr_db, report_db, csi.wideband.copy(), measured_slot)

    def ue_row_of(self, ue_id: int) -> int | None:
        """UE row of a connected UE; None if there is no such UE (any more)."""
        u = int(ue_id) % self.n_ue
        return u if ue_id >= 0 and self._network.queues.owner[u] == ue_id else None

    # Copies ------------------------------------------------------------------------------------------------------

    def fork(self) -> Self:
        """A second engine in the same state; the two run on independently, with the same settings to the same bits.

        All randomness is in counters keyed by UE, link and purpose. A fork with other settings therefore still meets the same
        arrivals, positions and fading, and the two differ by the effect of the settings alone.
        """
        twin = copy.copy(self)
        twin._network = saved.copy_tree(self._network)
        twin._ended, twin._bound = list(self._ended), dict(self._bound)
        return twin

    def save(self, path: str | Path) -> None:
        """Keep the state in a file, from which `load` continues; an old file is replaced in one step.

        Raises:
            SavedStateError: `path` cannot be written.
        """
        header = saved.Header(
            scenario=self.scenario,
            seed=self.seed,
            scheduler=self.scheduler,
            uniform_class_weights=self.uniform_class_weights,
            plugins=dict(self.plugins),
            slot=self._slot,
            next_tick=self._next_tick,
            warmup_slot=self._warmup_slot,
            packet_rows=len(self._network.queues.packet),
            provenance=self.provenance(),
        )
        ended = np.concatenate([np.zeros(0, SESSION_DTYPE), *self._ended])
        saved.write(Path(path), self._network, header, ended)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        metric: str | Callable[..., float] | Plugin | None = None,
        path_loss: OwnPropagation = None,
        traffic: str | Callable[..., tuple[float, float]] | Plugin | None = None,
    ) -> Self:
        """The engine that `save` kept; it runs on to the same bits on the same machine and versions, else it warns.

        A file holds no function: a `metric`, `path_loss` or `traffic` that the saved engine got must be given again.
        Functions that the scenario names are read from their files.

        Raises:
            SavedStateError: `path` is no whole saved state, one of another version of the simulator, or of a run with
                other plug-ins.
            PluginError: One of these cannot be loaded or compiled.
        """
        path = Path(path)
        state = saved.read(path)
        header = state.header
        model = own_model(header.scenario.layout.path_loss if path_loss is None else path_loss)
        saved.check_maps(path, header.scenario, model)
        try:
            engine = cls(
                header.scenario,
                header.seed,
                scheduler=header.scheduler if "metric" not in header.plugins and metric is None else None,
                metric=metric,
                path_loss=model,
                traffic=traffic,
                uniform_class_weights=header.uniform_class_weights,
            )
        except PluginError:
            raise
        except ValueError as error:
            raise saved.SavedStateError(f"{path}: its header describes no run: {error}") from error
        saved.check_plugins(path, header, engine.plugins)
        packet = np.zeros((header.packet_rows, N_PACKET), np.int64)
        engine._network = engine._network._replace(queues=engine._network.queues._replace(packet=packet))
        engine._slot, engine._next_tick = header.slot, header.next_tick
        engine._warmup_slot = header.warmup_slot
        engine._ended = [saved.fill(path, engine._network, state, SESSION_DTYPE)]
        return engine

    def provenance(self) -> dict[str, str | int]:
        """Everything that the bits of this run depend on, for the results to carry along; see `provenance`."""
        return {
            **platform_provenance(),
            "scenario": self.scenario.name,
            "scenario_hash": scenario_hash(self.scenario),
            "scheduler": self.scheduler,
            "seed": self.seed,
            **self.plugins,
            **({"class_weights": "uniform"} if self.uniform_class_weights else {}),
        }

    # Results -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Copies of all counters and gauges as of the start of `slot`."""
        network = self._network
        self._call(fold_all, network.queues.cell, network.traffic.of_ue, network.counts)
        queues = network.queues
        waits = queues.sending < queues.tail
        oldest = queues.packet[queues.ring_start + (queues.sending & queues.ring_mask), ARRIVAL]
        connected = queues.owner >= 0
        return Snapshot(
            slot=self._slot,
            ue_id=network.ues.id.copy(),
            connected=connected.astype(np.uint8),
            cell=queues.cell.copy(),
            ue=network.counts.ue.copy(),
            cell_class=network.counts.cell_class.copy(),
            backlog_bytes=np.where(queues.backlog_bytes == FULL_BUFFER_BYTES, 0, queues.backlog_bytes),
            hol_slots=np.where(waits, self._slot - oldest, -1),
            cqi=network.csi.wideband.copy(),
            handover=network.radio.handover.counts.copy(),
            energy_j=network.energy.used * self._joule_per_unit_ms,
            active_slots=network.energy.active_slots.copy(),
        )

    def sessions(self) -> SessionRows:
        """One row (`SESSION_DTYPE`) per UE session so far: ended ones in the order of their end, then running ones.

        Counters count from the end of the scenario's warm-up on. A UE is satisfied if `packets_in_budget` is at least
        99 % of in budget + late + dropped; sessions without an outcome say nothing.
        """
        running = running_rows(self._network, self._slot, counting=self._counting)
        return np.concatenate([*self._ended, running])

    def handovers(self) -> I64:
        """Handovers and lost links since the end of the scenario's warm-up, shape [len(handover.COUNTERS), n_cell]."""
        handover = self._network.radio.handover
        before = handover.counts_before if self._counting else handover.counts
        return handover.counts - before

    def energy_j(self) -> F64:
        """Energy that each cell has drawn since the end of the scenario's warm-up in joules, shape [n_cell]."""
        energy = self._network.energy
        before = energy.used_before if self._counting else energy.used
        return (energy.used - before) * self._joule_per_unit_ms

    def take_peak_power_dbm(self) -> F64:
        """Highest power that each cell has sent with in a slot since this was last asked, shape [n_cell]; NaN: it sent nothing."""
        share = self._network.energy.peak_share
        peak_dbm = np.full(self.n_cell, np.nan)
        sent = share > 0.0
        peak_dbm[sent] = self.scenario.layout.tx_power_dbm + 10.0 * np.log10(share[sent])
        share[:] = 0.0
        return peak_dbm
