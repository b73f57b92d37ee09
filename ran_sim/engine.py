"""The engine: a scenario and a seed become a world that runs slot by slot, can be read and can be acted on."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar, TypeVarTuple, cast

import numpy as np
from numpy.typing import NDArray

from ran_sim import counters, radio, saved
from ran_sim._jit import bound
from ran_sim.answers import check_packets, check_path_loss
from ran_sim.arguments import check, whole, wholes
from ran_sim.build import build_world, scheduling_rule
from ran_sim.counters import Snapshot
from ran_sim.energy import ACTIVE, STATE_NAMES, command_state
from ran_sim.first_use import compile_kernels
from ran_sim.kernels import for_slots, run_slots
from ran_sim.plugins import Plugin, PluginError
from ran_sim.provenance import platform_provenance, scenario_hash
from ran_sim.queues import FULL_BUFFER_BYTES, RING
from ran_sim.scenario import Scenario
from ran_sim.sessions import fold_all, sync_sessions
from ran_sim.slices import DEDICATED, MAX, MIN, set_quota
from ran_sim.state import F64, I32, I64, Cells, Links, Ues

Arguments = TypeVarTuple("Arguments")
R = TypeVar("R")

SESSION_DTYPE: Final = np.dtype(
    [
        ("ue_id", np.int64),
        ("ue_slot", np.int64),
        ("cell", np.int64),  # last serving cell
        ("start_slot", np.int64),
        ("end_slot", np.int64),
        ("traffic_class", np.int64),
        *((name, np.int64) for name in counters.NAMES),
    ]
)
OLLA_TARGET_RANGE: Final = (0.001, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficClass:
    """One class of the scenario's traffic, as far as reports and experiments ask for it."""

    name: str
    five_qi: int
    slice: str
    model: str
    delay_bound: bool
    budget_ms: float  # the radio's share of the packet delay budget
    weight: float  # default scheduling weight


class Engine:
    """A simulated world.

    `run_until` simulates up to a slot; settings made in between take effect from `slot`, the next one to be simulated.
    The same scenario, seed and settings at the same slots give the same bits, however the run is cut into calls.
    Engines share nothing, and `run_until` holds no GIL: several can run in threads.

    Args:
        scenario: The world; see `load_scenario`.
        seed: Which of the worlds that the scenario describes, 0 and up.
        scheduler: A name of `metrics.POLICIES` in place of the scenario's scheduler.
        metric: A scheduling metric of your own in its place: "path/to/file.py:function" or a function, see `metrics`.
        path_loss: A path loss of your own in the same forms, in place of the scenario's, see `propagation`.
        traffic: Packets of the classes with model "plugin": "path/to/file.py:function" or a function, see `traffic`.
        uniform_class_weights: Start with weight 1 for every class instead of the scenario's weights.

    Attributes:
        scenario: The world's.
        seed: The world's.
        scheduler: Name of the scheduling rule.
        plugins: Name and hash of each function of yours by what it is: "metric", "path_loss", "traffic".
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
        path_loss: str | Callable[..., float] | Plugin | None = None,
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
        self.scheduler, rule = scheduling_rule(scenario, scheduler, metric)
        self.scenario = scenario
        self.seed = seed
        self.slot_ns = scenario.slot_ns
        self.n_ue, self.n_cell, self.n_rbg = scenario.n_ue, scenario.n_cell, scenario.n_rbg
        self.n_prb = scenario.carrier.bandwidth_prb
        self._world = build_world(scenario, seed, rule, path_loss, traffic)
        self.plugins = saved.plugins_of(self._world)
        self.uniform_class_weights = uniform_class_weights
        compile_kernels(self._world)
        if uniform_class_weights:
            self._world.traffic.weight[:] = 1.0
        self.classes = tuple(
            TrafficClass(
                name=t.name,
                five_qi=t.five_qi,
                slice=t.slice,
                model=t.model,
                delay_bound=t.delay_bound,
                budget_ms=t.budget_ms,
                weight=float(self._world.traffic.weight[0, i]),
            )
            for i, t in enumerate(scenario.traffic)
        )
        self._joule_per_unit_ms = scenario.energy.unit_w * 1e-3
        self._slot = 0
        self._next_tick = 0
        self._warmup_slot = scenario.slots(scenario.run.warmup_s * 1e3)
        self._ended: list[NDArray[Any]] = []
        self._bound: dict[Callable[..., Any], Callable[..., Any]] = {}  # kernels, to the types of this world

    # What is there -----------------------------------------------------------------------------------------------

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
    def cells(self) -> Cells:
        """The cells' state; read only."""
        return self._world.cells

    @property
    def ues(self) -> Ues:
        """The UE slots' state; read only."""
        return self._world.ues

    @property
    def links(self) -> Links:
        """The large-scale radio; read only."""
        return self._world.links

    @property
    def class_of(self) -> I32:
        """Row of `classes` of each UE slot, shape [n_ue]; a UE slot carries one QoS flow."""
        return self._world.traffic.of_ue

    @property
    def slice_names(self) -> tuple[str, ...]:
        """S-NSSAI of every slice; the position is its dense id."""
        return self.scenario.slice_names

    @property
    def slice_quota_pct(self) -> F64:
        """Minimum, maximum and dedicated share of each cell's PRBs in force, shape [3, n_cell, n_slice]; a copy."""
        return np.asarray(np.moveaxis(self._world.slices.quota[:, :, [MIN, MAX, DEDICATED]], -1, 0) * 100.0)

    @property
    def nan_claims(self) -> int:
        """How often a metric of your own has answered NaN so far; it counts as no claim."""
        return int(self._world.settings.rule.nan_claims[0])

    def ue_slot_of(self, ue_id: int) -> int | None:
        """UE slot of a connected UE; None if there is no such UE (any more)."""
        u = int(ue_id) % self.n_ue
        return u if ue_id >= 0 and self._world.queues.owner[u] == ue_id else None

    # Time --------------------------------------------------------------------------------------------------------

    def run_until(self, slot: int) -> None:
        """Simulate up to, not including, `slot`.

        Raises:
            ValueError: `slot` has been simulated already, or is no whole number.
            PluginError: A path loss or a traffic model of your own gave an answer that is none; the run is over then.
        """
        slot = whole("slot", slot)
        if slot < self._slot:
            raise ValueError(f"cannot run until slot {slot}: the engine is at slot {self._slot}")
        nan_claims = self.nan_claims
        while self._slot < slot:
            if self._slot == self._next_tick:
                self._tick()
            stop = min(slot, self._next_tick)
            if self._slot < self._warmup_slot:
                stop = min(stop, self._warmup_slot)
            self._call(run_slots, self._slot, stop, for_slots(self._world))
            self._look_at_answers()
            self._slot = stop
            if stop == self._warmup_slot:
                self.count_from_now()
        if self.nan_claims > nan_claims:
            warnings.warn(
                f"metric {self.scheduler}: answers NaN, which gets no grant (`Engine.nan_claims` counts)",
                RuntimeWarning,
                stacklevel=2,
            )

    def _tick(self) -> None:
        world = self._world
        self._call(radio.radio_tick, self._slot, world.cells, world.ues, world.links, world.radio)
        if world.radio.propagation.own_path_loss:
            check_path_loss(world)
        self._sync()
        self._next_tick = self._slot + int(world.radio.tick_slots)

    def _sync(self) -> None:
        world = self._world
        n_ended = self._call(
            sync_sessions,
            self._slot,
            self.seed,
            world.cells.site,
            world.cells.state,
            world.ues,
            world.traffic,
            world.queues,
            world.harq,
            world.csi,
            world.mac,
            world.counts,
        )
        self._look_at_answers()
        if n_ended:
            counts = world.counts
            self._ended.append(
                self._session_rows(counts.ended_ue[:n_ended].copy(), counts.ended[:n_ended].copy())
            )

    def _look_at_answers(self) -> None:
        if "traffic" in self.plugins:
            check_packets(self._world)

    def _call(self, kernel: Callable[[*Arguments], R], *arguments: *Arguments) -> R:
        """Call a kernel whose arguments always have the types that they have the first time."""
        if kernel not in self._bound:
            self._bound[kernel] = bound(kernel, *arguments)
        return cast(R, self._bound[kernel](*arguments))

    def count_from_now(self) -> None:
        """Let `sessions`, `energy_j` and with them the score count from `slot` on, as if the warm-up ended now."""
        self._warmup_slot = self._slot
        self._ended = [rows.copy() for rows in self._ended]
        for rows in self._ended:
            for name in counters.NAMES:
                rows[name] = 0
        np.copyto(self._world.counts.before, self._world.counts.ue)
        np.copyto(self._world.energy.used_before, self._world.energy.used)

    # Copies ------------------------------------------------------------------------------------------------------

    def fork(self) -> Self:
        """A second engine in the same state; the two run on independently, with the same settings to the same bits.

        All randomness is in counters keyed by who it belongs to, so a fork that is treated differently still meets the
        same arrivals, positions and fading: what differs between the two is what the treatment did.
        """
        twin = copy.copy(self)
        twin._world = saved.copy_tree(self._world)
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
            provenance=self.provenance(),
        )
        ended = np.concatenate([np.zeros(0, SESSION_DTYPE), *self._ended])
        saved.write(Path(path), self._world, header, ended)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        metric: str | Callable[..., float] | Plugin | None = None,
        path_loss: str | Callable[..., float] | Plugin | None = None,
        traffic: str | Callable[..., tuple[float, float]] | Plugin | None = None,
    ) -> Self:
        """The engine that `save` kept; it runs on to the same bits on the same machine and versions, else it warns.

        A file holds no function: what the saved engine was given as `metric`, `path_loss` or `traffic` is to be given
        again. What its scenario names is read from where the scenario says.

        Raises:
            SavedStateError: `path` is no whole saved state, one of another version of the simulator, or of a run with
                other plug-ins.
            PluginError: One of these cannot be loaded or compiled.
        """
        path = Path(path)
        header = saved.read_header(path)
        try:
            engine = cls(
                header.scenario,
                header.seed,
                scheduler=header.scheduler if "metric" not in header.plugins and metric is None else None,
                metric=metric,
                path_loss=path_loss,
                traffic=traffic,
                uniform_class_weights=header.uniform_class_weights,
            )
        except PluginError:
            raise
        except ValueError as error:
            raise saved.SavedStateError(f"{path}: its header describes no run: {error}") from error
        saved.check_plugins(path, header, engine.plugins)
        engine._slot, engine._next_tick = header.slot, header.next_tick
        engine._warmup_slot = header.warmup_slot
        engine._ended = [saved.read_into(path, engine._world, header, SESSION_DTYPE)]
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

    # Settings ----------------------------------------------------------------------------------------------------

    def set_ue_weight(self, u: int | I64, weight: float | F64) -> None:
        """Scheduling weight of the UE in slot `u` (or of many: arrays of one length), until the UE leaves its node."""
        weights = np.asarray(weight)
        check(np.all((weights > 0) & np.isfinite(weights)), "weight", weight, "a positive number")
        self._world.ues.weight[self._present(u)] = weights

    def set_class_weight(self, cell: int, five_qi: int, weight: float) -> None:
        """Scheduling weight of all traffic classes with `five_qi` in `cell`; multiplies the UEs' weights."""
        check(weight > 0 and np.isfinite(weight), "weight", weight, "a positive number")
        known = [c.five_qi for c in self.classes]
        check(five_qi in known, "five_qi", five_qi, f"one of {sorted(set(known))}")
        rows = [i for i, value in enumerate(known) if value == five_qi]
        self._world.traffic.weight[self._cell(cell), rows] = weight

    def set_slice_quota(
        self,
        cell: int,
        slices: Sequence[int],
        min_pct: Sequence[float],
        max_pct: Sequence[float],
        dedicated_pct: Sequence[float],
    ) -> None:
        """Replace the quotas of some slices (rows of `slice_names`) of a cell, all at once: there is no state between.

        Raises:
            ValueError: the quotas would contradict each other; none is changed then.
        """
        for row in slices:
            row = whole("slice", row)
            check(0 <= row < len(self.slice_names), "slice", row, f"0 to {len(self.slice_names) - 1}")
        set_quota(self._world.slices, self._cell(cell), slices, min_pct, max_pct, dedicated_pct)

    def set_olla_target(self, u: int | I64, bler: float | F64) -> None:
        """First-transmission block error rate that link adaptation aims at for the UE (or UEs) in slot `u`."""
        low, high = OLLA_TARGET_RANGE
        targets = np.asarray(bler)
        check(np.all((targets >= low) & (targets <= high)), "bler", bler, f"{low} to {high}")
        self._world.ues.olla_target[self._present(u)] = targets

    def set_tx_power(self, cell: int, dbm: float) -> None:
        """Total transmit power of a cell over its carrier; at most what it was configured with, its amplifier's limit."""
        world, most = self._world, self.scenario.layout.tx_power_dbm
        check(
            np.isfinite(dbm) and dbm <= most,
            "dbm",
            dbm,
            f"at most {most:g}, what the cells are configured with",
        )
        world.cells.tx_power_dbm[self._cell(cell)] = dbm
        self._call(radio.refresh_links, world.cells, world.ues, world.links, world.radio)

    def set_cio(self, cell: int, db: float) -> None:
        """Cell individual offset that event A3 adds to measurements of `cell`; TS 38.331: -24 to 24 dB."""
        check(-24.0 <= db <= 24.0, "db", db, "-24 to 24")
        self._world.cells.cio_db[self._cell(cell)] = db

    def set_cell_state(self, cell: int | I64, state: int | I64 | F64) -> None:
        """Put a cell to sleep or wake it (or many at once: arrays of one length); states are those of `energy`.

        From this slot on a cell that is put to sleep sends nothing: its UEs are commanded to the strongest cell that each
        still hears; who hears none, or cannot be reached, loses its link and re-establishes where it can. A cell that is
        woken sends when its transition has ended, and takes UEs from the next radio tick on.
        """
        names = ", ".join(f"{i} ({name})" for i, name in enumerate(STATE_NAMES))
        chosen = np.atleast_1d(wholes("cell", cell))
        states = np.broadcast_to(np.asarray(state), chosen.shape)
        check(np.isin(states, range(len(STATE_NAMES))).all(), "state", state, names)
        check(np.isin(chosen, range(self.n_cell)).all(), "cell", cell, f"0 to {self.n_cell - 1}")
        world = self._world
        sleepy = chosen[(states != ACTIVE) & (world.cells.state[chosen] == ACTIVE)]
        if len(sleepy):
            radio.release_cells(self._slot, sleepy, world.ues, world.links, world.radio.handover)
        for each, wanted in zip(chosen.tolist(), states.tolist(), strict=True):
            command_state(self._slot, each, int(wanted), world.cells, world.energy)
        if len(sleepy):
            self._call(radio.refresh_links, world.cells, world.ues, world.links, world.radio)
            self._sync()

    def request_handover(self, u: int, cell: int) -> bool:
        """Command the UE in slot `u` to `cell` now.

        False if it is not connected, there already, in a handover or without a link; where the command is lost, the UE
        stays where it is.
        """
        world = self._world
        # Links of slot 0 exist only after its radio tick.
        if self._slot == 0:
            return False
        done = bool(
            self._call(
                radio.request_handover,
                self._slot,
                self._ue(u),
                self._cell(cell),
                world.cells,
                world.ues,
                world.links,
                world.radio,
            )
        )
        if done:
            self._sync()
        return done

    # Results -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Copies of all counters and gauges as of the start of `slot`."""
        world = self._world
        self._call(fold_all, world.queues.cell, world.traffic.of_ue, world.counts)
        queues = world.queues
        waits = queues.sending < queues.tail
        oldest = queues.arrival[np.arange(self.n_ue), queues.sending % RING]
        connected = queues.owner >= 0
        return Snapshot(
            slot=self._slot,
            ue_id=world.ues.id.copy(),
            connected=connected.astype(np.uint8),
            cell=queues.cell.copy(),
            ue=world.counts.ue.copy(),
            cell_class=world.counts.cell_class.copy(),
            backlog_bytes=np.where(queues.backlog_bytes == FULL_BUFFER_BYTES, 0, queues.backlog_bytes),
            hol_slots=np.where(waits, self._slot - oldest, -1),
            cqi=world.csi.wideband.copy(),
            handover=world.radio.handover.counts.copy(),
            energy_j=world.energy.used * self._joule_per_unit_ms,
            active_slots=world.energy.active_slots.copy(),
        )

    def sessions(self) -> NDArray[Any]:
        """One row (`SESSION_DTYPE`) per UE session so far: ended ones in the order of their end, then running ones.

        Counters count from the end of the scenario's warm-up on. A UE is satisfied if `packets_in_budget` is at least
        99 % of in budget + late + dropped; sessions without an outcome say nothing.
        """
        world = self._world
        u = np.flatnonzero(world.queues.owner >= 0)
        ue = np.stack(
            [world.queues.owner[u], u, world.queues.cell[u].astype(np.int64), world.counts.start_slot[u]],
            axis=1,
        )
        # Until the warm-up is over nothing counts.
        before = world.counts.before if self._slot > self._warmup_slot else world.counts.ue
        running = self._session_rows(ue, world.counts.ue[u] - before[u])
        return np.concatenate([*self._ended, running])

    def energy_j(self) -> F64:
        """Energy that each cell has drawn since the end of the scenario's warm-up in joules, shape [n_cell]."""
        energy = self._world.energy
        # Until the warm-up is over nothing counts.
        before = energy.used_before if self._slot > self._warmup_slot else energy.used
        return (energy.used - before) * self._joule_per_unit_ms

    def take_peak_power_dbm(self) -> F64:
        """Highest power that each cell has sent with in a slot since this was last asked, shape [n_cell]; NaN: it sent nothing."""
        share = self._world.energy.peak_share
        peak_dbm = np.full(self.n_cell, np.nan)
        sent = share > 0.0
        peak_dbm[sent] = self.scenario.layout.tx_power_dbm + 10.0 * np.log10(share[sent])
        share[:] = 0.0
        return peak_dbm

    def _session_rows(self, ue: I64, counts: I64) -> NDArray[Any]:
        rows = np.zeros(len(ue), SESSION_DTYPE)
        for i, name in enumerate(("ue_id", "ue_slot", "cell", "start_slot")):
            rows[name] = ue[:, i]
        rows["end_slot"] = self._slot
        rows["traffic_class"] = self.class_of[ue[:, 1]]
        if self._slot > self._warmup_slot:
            for i, name in enumerate(counters.NAMES):
                rows[name] = counts[:, i]
        return rows

    def _ue(self, u: int) -> int:
        u = whole("UE slot", u)
        check(0 <= u < self.n_ue, "UE slot", u, f"0 to {self.n_ue - 1}")
        return u

    def _ues(self, u: int | I64) -> I64:
        slots = wholes("UE slot", u)
        check(np.all((slots >= 0) & (slots < self.n_ue)), "UE slot", u, f"0 to {self.n_ue - 1}")
        return slots

    def _present(self, u: int | I64) -> I64:
        """UE slots that hold a UE: what is set on an empty one would be lost with the next UE."""
        slots = self._ues(u)
        empty = np.unique(slots[self._world.queues.owner[slots] < 0])
        if len(empty):
            when = (
                "nobody is connected before the first slot has run" if self._slot == 0 else "nobody is in it"
            )
            raise ValueError(
                f"UE slot {empty[0]}: {when}; want a slot whose UE is connected (`ues.connected`)"
            )
        return slots

    def _cell(self, cell: int) -> int:
        cell = whole("cell", cell)
        check(0 <= cell < self.n_cell, "cell", cell, f"0 to {self.n_cell - 1}")
        return cell
