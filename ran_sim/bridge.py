"""The simulator as RAN nodes: an `Engine` behind `ranloop.node.port.NodePort`, one node per site.

No other module of the simulator knows the SDK. Reports come from `periods` (counts of a period), `tables` (rows) and `kpm`
(measurements). Actions become settings of the engine. Like real nodes, these nodes round to the resolutions of TS 28.552,
report late if the scenario says so, and know the channel by 4-bit CQI.

A UE is in the report of the node that serves it at the end of the period, with its counts since it arrived there. Its dense
id is the engine's id modulo the number of ids that fit a report. An id comes again after some 2**24 sessions of the whole
network (docs/decisions/0014). Every cell has one dense id in the whole network.
"""

from __future__ import annotations

import contextlib
import copy
import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import structlog

from ran_sim import kpm
from ran_sim._jit import compiled_before
from ran_sim.energy import ACTIVE
from ran_sim.engine import Engine
from ran_sim.periods import Period, PeriodMeter
from ran_sim.plugins import PluginError
from ran_sim.scenario import Scenario, ScenarioError, load_scenario
from ran_sim.score import score
from ran_sim.sections import SliceQuota
from ran_sim.state import DEFAULT_OLLA_TARGET, F64, I64
from ran_sim.tables import Tables
from ranloop.errors import NodeError, VocabularyError
from ranloop.node.port import AnswersAtOnce
from ranloop.vocabulary import (
    ID_COLUMNS,
    LEVELS,
    Action,
    Handover,
    Level,
    SetCellOffset,
    SetCellState,
    SetClassWeight,
    SetOllaTarget,
    SetSliceQuota,
    SetTxPower,
    SetUeWeight,
    measurement,
)
from ranloop.wire.messages import F32, FOR_EVER_NS, MAX_ID, Catalogue, CellPlace, Labels, Report

# Looked up on import, so that a name which the catalogue does not have cannot go unnoticed.
_INTEGER: Final = {name: measurement(name).integer for columns in kpm.LEVELS.values() for name in columns}

# Puts settings in force: targets (UE slots or cells), values; both [n].
_Put = Callable[[I64, F64], None]


log = structlog.get_logger(__name__)


def open_world(target: str, *, seed: int = 1, overrides: Mapping[str, object] | None = None) -> SimWorld:
    """The simulated network of a scenario; the entry point `sim` of `ranloop.nodes`.

    Args:
        target: Name of a scenario that ships, or path of a TOML file.
        seed: Which of the worlds that the scenario describes.
        overrides: Dotted paths into the scenario and values, see `Scenario.with_overrides`.

    Raises:
        NodeError: No such scenario, or one with a field that does not fit.
    """
    try:
        scenario = load_scenario(target).with_overrides(overrides or {})
        if not compiled_before():
            log.warning(
                "first_use", doing="compiling the simulator's kernels", takes="about 30 s, once per version"
            )
        return SimWorld(scenario, seed)
    except ScenarioError as error:
        raise NodeError(str(error)) from error
    except ValueError as error:  # a seed or a combination of fields that the engine refuses
        raise NodeError(f"{target}: {error}") from error


class _Due(NamedTuple):
    """A period that ended and leaves the nodes in `slot`; ordered by that, then by length."""

    slot: int
    period_ms: int
    period: Period


class SimWorld(AnswersAtOnce):
    """A simulated network as a `NodePort`.

    RAN time begins at 0 and ends after the scenario's `run.duration_s`, warm-up included, unless `last_until` says later.

    Args:
        scenario: The world.
        seed: Number of the drop, 0 and up.
        scheduler: A name of `metrics.POLICIES` in place of the scenario's scheduler.
        uniform_class_weights: Start with weight 1 for every class instead of the scenario's weights.

    Attributes:
        engine: The simulated network, for experiments to read; only this world may run it.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int = 1,
        *,
        scheduler: str | None = None,
        uniform_class_weights: bool = False,
    ) -> None:
        engine = Engine(scenario, seed, scheduler=scheduler, uniform_class_weights=uniform_class_weights)
        self._scenario = scenario
        self._end_slot = scenario.slots(scenario.run.duration_s * 1e3)
        self._known_labels: dict[
            tuple[int, Level], tuple[bytes, Labels]
        ] = {}  # (site, level) -> UE ids, names
        self._meter = PeriodMeter(engine, scenario.reports.periods_ms, scenario.slots(scenario.radio.tick_ms))
        self._drive(engine)
        # Ids of UEs on the wire: all sessions that one UE slot can have before an id comes again.
        self._n_ids = MAX_ID // engine.n_ue * engine.n_ue
        # Quotas that no xApp holds: they go back to the configuration as soon as the cell's other slices leave room.
        self._unset = np.ones((engine.n_cell, len(engine.slice_names)), np.bool_)
        self._period_slots = {ms: scenario.slots(ms) for ms in scenario.reports.periods_ms}
        # A report leaves in the first slot that begins after its delay.
        self._delay_slots = math.ceil(scenario.reports.delay_ms * 1e6 / scenario.slot_ns - 1e-9)
        self._due: list[_Due] = []
        self._site = self._tables.site
        self._nodes = tuple(f"site{site}" for site in range(self._tables.n_site))
        self._catalogues = tuple(self._catalogue(site) for site in range(self._tables.n_site))

    def _drive(self, engine: Engine) -> None:
        """Read and act on `engine` from now on."""
        self.engine = engine
        self._tables = Tables(engine)
        power_dbm = self._scenario.layout.tx_power_dbm
        quotas = [self._scenario.slices.get(name, SliceQuota()) for name in engine.slice_names]
        self._quota_default: F64 = np.array([[q.min_pct, q.max_pct, q.dedicated_pct] for q in quotas])
        self._appliers: dict[type[Action], Callable[[int, Action], F32]] = {
            SetUeWeight: self._on_ues(engine.set_ue_weight, 1.0),
            SetOllaTarget: self._on_ues(engine.set_olla_target, DEFAULT_OLLA_TARGET),
            SetCellOffset: self._on_cells(engine.set_cio, 0.0),
            # An amplifier has a highest power, so the value in force may be below the wanted one.
            SetTxPower: self._on_cells(engine.set_tx_power, power_dbm, most=power_dbm),
            # In force is what was commanded; X.Cell.State follows after the transition.
            SetCellState: self._set_cell_state,
            SetClassWeight: self._set_class_weight,
            SetSliceQuota: self._set_slice_quota,
            Handover: self._hand_over,
        }

    def fork(self) -> SimWorld:
        """A second world in the same state, reports that are on their way included; the two go on independently."""
        twin = copy.copy(self)
        twin._drive(self.engine.fork())
        twin._meter = self._meter.fork(twin.engine)
        twin._due = list(self._due)
        twin._unset = self._unset.copy()
        twin._known_labels = dict(self._known_labels)
        return twin

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        return self._catalogues

    @property
    def now_ns(self) -> int:
        return self.engine.now_ns

    @property
    def end_ns(self) -> int:
        return self._end_slot * self.slot_ns

    def last_until(self, end_ns: int) -> int:
        """Go on past the scenario's `run.duration_s`, up to the slot of `end_ns`: nothing in the engine is made to a length.

        A world without an end forgets sessions that have ended; its score is about those that go on.
        """
        if end_ns >= FOR_EVER_NS:
            self.engine.forget_ended()
        self._end_slot = max(self._end_slot, end_ns // self.slot_ns)
        return min(end_ns, self.end_ns)

    @property
    def slot_ns(self) -> int:
        return self.engine.slot_ns

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        """1 where the dense id lives at `node` now, else 0, shape [n]; UEs live where they are served."""
        site, asked = self._site_of(node), np.nan_to_num(np.asarray(ids, np.float64), nan=-1.0)
        if column == "ue":
            here = self._ue_slots(site, asked.astype(np.int64)) >= 0
        elif column == "cell":
            here = self._cells(site, asked.astype(np.int64)) >= 0
        elif column == "slice":
            here = np.isin(asked, np.arange(len(self._tables.slices)))
        elif column == "five_qi":
            here = np.isin(asked, self._tables.five_qi)
        else:
            raise VocabularyError("id column", column, ("cell", "five_qi", "slice", "ue"))
        return here.astype(np.float32)

    def score(self) -> Mapping[str, float]:
        """Key figures of the run so far, warm-up removed; see `ran_sim.score`.

        Raises:
            NodeError: The world has ended, within its warm-up: there is nothing to judge.
        """
        if self.engine.slot >= self.end_ns // self.slot_ns and self.engine.slot <= self.engine.warmup_slot:
            run = self._scenario.run
            raise NodeError(
                f"{self._scenario.name}: ended at {run.duration_s:g} s, within its warm-up of {run.warmup_s:g} s, before "
                "anything counts; want run.duration_s above run.warmup_s"
            )
        return score(self.engine)

    def close(self) -> None:
        """Nothing to release."""

    def _catalogue(self, site: int) -> Catalogue:
        return Catalogue(
            node=self._nodes[site],
            measurements={level: tuple(kpm.LEVELS[level]) for level in LEVELS},
            actions=tuple(
                action.spec.name
                for action in (
                    SetUeWeight,
                    SetClassWeight,
                    Handover,
                    SetCellOffset,
                    SetTxPower,
                    SetCellState,
                    SetOllaTarget,
                    SetSliceQuota,
                )
            ),
            periods_ms=tuple(sorted(self._period_slots)),
            cells={int(c): f"site{site}/{i}" for i, c in enumerate(np.flatnonzero(self._site == site))},
            slices=dict(enumerate(self._tables.slices)),
            slice_min_pct=dict(enumerate(self._quota_default[:, 0].tolist())),
            control_delay_ms=self._scenario.control.delay_ms,
            geometry={int(c): self._place(int(c)) for c in np.flatnonzero(self._site == site)},
        )

    def _place(self, cell: int) -> CellPlace:
        cells, layout = self.engine.cells, self._scenario.layout
        return CellPlace(
            site=self._nodes[self._site[cell]],
            x_m=float(cells.x_m[cell]),
            y_m=float(cells.y_m[cell]),
            azimuth_deg=None if layout.sectors == 1 else float(np.rad2deg(cells.azimuth_rad[cell])) % 360.0,
            height_m=layout.bs_height_m,
        )

    def _site_of(self, node: str) -> int:
        try:
            return self._nodes.index(node)
        except ValueError:
            raise NodeError(f"no node {node!r} here, only {self._nodes[0]} to {self._nodes[-1]}") from None

    # -- time and reports -----------------------------------------------------------------------------------------

    def next_report_ns(self) -> int:
        return self._next_report_slot() * self.slot_ns

    def _next_report_slot(self) -> int:
        left = max(self.engine.slot - self._delay_slots, 0)  # periods that ended by then have left
        return self._delay_slots + min((left // every + 1) * every for every in self._period_slots.values())

    def advance(self, until_ns: int) -> None:
        """Move to the first slot boundary at or after `until_ns`, at most to the next report and the end.

        Raises:
            NodeError: A plug-in of the scenario gave an impossible answer.
        """
        until = min(-(-until_ns // self.slot_ns), self._next_report_slot(), self.end_ns // self.slot_ns)
        for period in self._periods_until(until):
            due = _Due(period.end.slot + self._delay_slots, period.period_ms, period)
            heapq.heappush(self._due, due)

    def _periods_until(self, slot: int) -> list[Period]:
        try:
            return self._meter.run_until(slot)
        except PluginError as error:
            raise NodeError(f"{self._scenario.name}: {error}") from error

    def reports(self, wanted: Mapping[tuple[str, str, int], frozenset[str]]) -> list[Report]:
        """The reports that leave at `now_ns`, once, by length of period, level and node.

        Raises:
            NodeError: A measurement is wanted that the catalogue does not offer at this level.
        """
        out: list[Report] = []
        while self._due and self._due[0].slot <= self.engine.slot:
            due = heapq.heappop(self._due)
            if due.slot < self.engine.slot:
                continue  # nobody asked when it left
            for level in LEVELS:
                streams = {
                    site: wanted[key]
                    for site, node in enumerate(self._nodes)
                    if (key := (node, level, due.period_ms)) in wanted
                }
                if streams:
                    out += self._level_reports(level, due.period, streams)
        return out

    def _level_reports(
        self, level: Level, period: Period, streams: Mapping[int, frozenset[str]]
    ) -> list[Report]:
        """Reports of one level: columns are computed once for the whole network, nodes take their rows."""
        columns = kpm.LEVELS[level]
        asked = frozenset[str]().union(*streams.values())
        names = tuple(name for name in columns if name in asked)
        if len(names) < len(asked):
            missing = ", ".join(sorted(asked - set(names)))
            raise NodeError(f"the simulator has no {missing} at level {level}")
        table = self._tables.table(level, period)
        n_ids = table.ids.shape[1]
        block = np.empty((len(table.ids), n_ids + len(names)), np.float32)
        block[:, :n_ids] = table.ids
        if "ue" in ID_COLUMNS[level]:
            block[:, 0] = table.ids[:, 0] % self._n_ids
        for i, name in enumerate(names):
            values = columns[name](table.rows)
            whole = self._scenario.reports.rounding and _INTEGER[name]
            block[:, n_ids + i] = kpm.rounded(name, values) if whole else values
        out = []
        for site, own in streams.items():
            rows, own_names = slice(table.start[site], table.start[site + 1]), names
            own_block = block[rows]
            if len(own) < len(names):
                keep = [i for i, name in enumerate(names) if name in own]
                own_names = tuple(names[i] for i in keep)
                own_block = own_block[:, [*range(n_ids), *(n_ids + i for i in keep)]]
            out.append(
                Report(
                    node=self._nodes[site],
                    level=level,
                    period_ms=period.period_ms,
                    seq=period.end.slot // period.slots - 1,
                    ran_time_ns=period.end.slot * self.slot_ns,
                    ids=ID_COLUMNS[level],
                    names=own_names,
                    block=own_block,
                    labels=self._labels(site, level, own_block),
                )
            )
        return out

    def _labels(self, site: int, level: Level, block: F32) -> Labels:
        """Names of the ids in a report; the same object until a UE comes or goes, by which the codec knows them."""
        with_ues = "ue" in ID_COLUMNS[level]
        ues = block[:, 0].tobytes() if with_ues else b""
        known = self._known_labels.get((site, level))
        if known is None or known[0] != ues:
            catalogue = self._catalogues[site]
            names: dict[str, Mapping[int, str]] = {"cell": catalogue.cells}
            if with_ues:
                names["ue"] = {ue: f"ue-{ue:06d}" for ue in block[:, 0].astype(np.int64).tolist()}
            if "slice" in ID_COLUMNS[level]:
                names["slice"] = catalogue.slices
            known = self._known_labels[site, level] = ues, Labels(names)
        return known[1]

    # -- actions --------------------------------------------------------------------------------------------------

    def apply(self, node: str, action: Action) -> F32:
        """Put `action` in force from the current slot on.

        A parameter of NaN asks for the value of the node's own configuration. A handover answers the serving cell
        afterwards: still the old one if the command was lost.

        Returns:
            The values in force afterwards, a row of NaN where the target is not at `node` or `why_not` tells a reason.

        Raises:
            NodeError: The catalogue does not offer this action.
        """
        applier = self._appliers.get(type(action))
        if applier is None:
            raise NodeError(f"{node} takes no {action.spec.name}")
        return applier(self._site_of(node), action)

    def why_not(self, node: str, action: Action) -> Mapping[int, str]:
        """Row -> why `apply` would do nothing there now, where more is to be said than that the target is not at `node`."""
        return self._no_handovers(self._site_of(node), action) if isinstance(action, Handover) else {}

    def _ue_slots(self, site: int, ids: I64) -> I64:
        """UE slot of each dense id, -1 where no such UE is served at `site`."""
        ues = self.engine.ues
        u = ids % self.engine.n_ue
        here = (
            (ids >= 0)
            & (ues.id[u] % self._n_ids == ids)
            & (ues.connected[u] > 0)
            & (self._site[ues.cell[u]] == site)
        )
        return np.where(here, u, -1)

    def _cells(self, site: int, ids: I64) -> I64:
        """The dense cell ids, -1 where no such cell is at `site`."""
        exists = (ids >= 0) & (ids < self.engine.n_cell)
        here = exists & (self._site[np.where(exists, ids, 0)] == site)
        return np.where(here, ids, -1)

    def _on_ues(self, put: _Put, default: float) -> Callable[[int, Action], F32]:
        return lambda site, action: _put_in_force(put, self._ue_slots(site, _ids(action)), action, default)

    def _on_cells(
        self, put: Callable[[int, float], None], default: float, most: float = math.inf
    ) -> Callable[[int, Action], F32]:
        def put_each(cells: I64, values: F64) -> None:
            for cell, value in zip(cells.tolist(), values.tolist(), strict=True):
                put(cell, value)

        return lambda site, action: _put_in_force(
            put_each, self._cells(site, _ids(action)), action, default, most
        )

    def _set_class_weight(self, site: int, action: Action) -> F32:
        targets, values = action.targets().astype(np.int64), action.parameters()
        default = {cls.five_qi: cls.weight for cls in self.engine.classes}
        cells = self._cells(site, targets[:, 0])
        for i, five_qi in enumerate(targets[:, 1].tolist()):
            if cells[i] < 0 or five_qi not in default:
                values[i] = np.nan
                continue
            if np.isnan(values[i, 0]):
                values[i] = default[five_qi]
            self.engine.set_class_weight(int(cells[i]), five_qi, float(values[i, 0]))
        return values

    def _set_cell_state(self, site: int, action: Action) -> F32:
        ues = self.engine.ues
        served_at = np.where(ues.connected > 0, self._site[ues.cell], -1)
        in_force = _put_in_force(
            self.engine.set_cell_state, self._cells(site, _ids(action)), action, float(ACTIVE)
        )
        moved = np.flatnonzero((served_at >= 0) & (served_at != self._site[ues.cell]))
        if len(moved):
            self._meter.arrived(moved)
        return in_force

    def _set_slice_quota(self, site: int, action: Action) -> F32:
        """All rows of a cell in one change, so that 60/40 becomes 40/60 without a state between.

        Where the rows of a cell would contradict the quotas that stay, all of them stay: the answer says so. A row that
        goes back to the configuration stays, too, but only until the others let it.
        """
        engine, targets, values = self.engine, action.targets().astype(np.int64), action.parameters()
        cells, slices = self._cells(site, targets[:, 0]), targets[:, 1]
        here = (cells >= 0) & (slices >= 0) & (slices < len(self._tables.slices))
        asked = values.astype(np.float64)
        back = here & np.isnan(asked).all(axis=1)
        self._unset[cells[back], slices[back]] = True
        asked = np.where(np.isnan(asked), self._quota_default[np.where(here, slices, 0)], asked)
        for cell in np.unique(cells[here]).tolist():
            self._restore_quotas(cell)  # it may make room
            rows = here & ~back & (cells == cell)
            with contextlib.suppress(ValueError):  # what is in force says that it was refused
                engine.set_slice_quota(cell, slices[rows].tolist(), *asked[rows].T.tolist())
                self._unset[cell, slices[rows]] = False
            self._restore_quotas(cell)
        values[~here] = np.nan
        values[here] = engine.slice_quota_pct[:, cells[here], slices[here]].T
        return values

    def _restore_quotas(self, cell: int) -> None:
        """Bring quotas that no xApp holds back to the configuration where they fit; those that make room come first."""
        grows = self._quota_default[:, 0] - self.engine.slice_quota_pct[0, cell]
        for row in np.argsort(grows, kind="stable").tolist():
            if self._unset[cell, row]:
                with contextlib.suppress(ValueError):  # later, when others of the cell change
                    self.engine.set_slice_quota(cell, [row], *self._quota_default[row, :, None].tolist())

    def _hand_over(self, site: int, action: Action) -> F32:
        engine, u = self.engine, self._ue_slots(site, _ids(action))
        in_force = np.full((len(u), 1), np.nan, np.float32)
        refused = self._no_handovers(site, action)
        for i in np.flatnonzero(u >= 0).tolist():
            if i in refused:
                continue
            engine.request_handover(int(u[i]), int(action.parameters()[i, 0]))
            if self._site[engine.ues.cell[u[i]]] != site:
                self._meter.arrived(u[i : i + 1])
            in_force[i] = engine.ues.cell[u[i]]
        return in_force

    def _no_handovers(self, site: int, action: Action) -> dict[int, str]:
        """Row -> why that UE, which is here, cannot be handed over now."""
        u, cells = self._ue_slots(site, _ids(action)), action.parameters()[:, 0]
        why = {
            i: self.engine.why_no_handover(int(u[i]), int(cells[i])) for i in np.flatnonzero(u >= 0).tolist()
        }
        return {i: text for i, text in why.items() if text}


def _ids(action: Action) -> I64:
    """The first id column of the targets."""
    return action.targets()[:, 0].astype(np.int64)


def _put_in_force(put: _Put, targets: I64, action: Action, default: float, most: float = math.inf) -> F32:
    """Put an action of one parameter in force: `default` where it is NaN, at most `most`, nothing for the target -1."""
    values, here = action.parameters(), targets >= 0
    values[np.isnan(values)] = default
    np.minimum(values, np.float32(most), out=values)
    put(targets[here], values[here, 0].astype(np.float64))
    values[~here] = np.nan
    return values
