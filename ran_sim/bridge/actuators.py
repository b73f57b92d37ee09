"""Actions as settings of the engine: the values that each puts in force, and the reasons for a refusal."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ran_sim.bridge.places import Places
from ran_sim.core.state import DEFAULT_OLLA_TARGET, F64, I64
from ran_sim.energy.power import ACTIVE
from ran_sim.engine import Engine
from ran_sim.measure.periods import PeriodMeter
from ran_sim.scenario import Scenario
from ran_sim.scenario.sections import LEARNED_NAME, SliceQuota
from ranloop.vocabulary import (
    Action,
    Handover,
    SetCellOffset,
    SetCellState,
    SetClassWeight,
    SetOllaTarget,
    SetSchedulerModel,
    SetSliceQuota,
    SetTxPower,
    SetUeWeight,
)
from ranloop.wire.messages import F32

# Puts settings in force: targets (UE rows or cells), values; both [n].
_Put = Callable[[I64, F64], None]


class Actuators:
    """Acts on one network.

    Args:
        engine: The network.
        meter: Told of UEs that an action moves to another site.
        places: Its sites.
        scenario: Its own configuration, to which settings go back.

    Attributes:
        slice_default: Quotas of the configuration by slice, shape [n_slice, 3]: at least, at most, dedicated, in percent.
        unset: Quotas that no xApp holds, shape [n_cell, n_slice]: they go back to the configuration as soon as
            the quotas of the cell's other slices allow it.
    """

    def __init__(self, engine: Engine, meter: PeriodMeter, places: Places, scenario: Scenario) -> None:
        self._engine, self._meter, self._places = engine, meter, places
        quotas = [scenario.slices.get(name, SliceQuota()) for name in engine.slice_names]
        self.slice_default: F64 = np.array([[q.min_pct, q.max_pct, q.dedicated_pct] for q in quotas])
        self.unset = np.ones((engine.n_cell, len(engine.slice_names)), np.bool_)
        power_dbm = scenario.layout.tx_power_dbm
        self._appliers: dict[type[Action], Callable[[int, Action], F32]] = {
            SetUeWeight: self._on_ues(engine.set_ue_weight, 1.0),
            SetClassWeight: self._set_class_weight,
            Handover: self._hand_over,
            SetCellOffset: self._on_cells(engine.set_cio, 0.0),
            # An amplifier has a highest power, so the value in force may be below the wanted one.
            SetTxPower: self._on_cells(engine.set_tx_power, power_dbm, most=power_dbm),
            # In force is what was commanded; X.Cell.State follows after the transition.
            SetCellState: self._set_cell_state,
            SetOllaTarget: self._on_ues(engine.set_olla_target, DEFAULT_OLLA_TARGET),
            SetSliceQuota: self._set_slice_quota,
        }
        self._models = scenario.scheduler.models
        if self._models:
            self._own_model = 1.0 if engine.scheduler == LEARNED_NAME else 0.0
            self._appliers[SetSchedulerModel] = self._set_scheduler_model

    @property
    def scheduler_models(self) -> Mapping[int, str]:
        """Number -> name of the learned metrics that cells can change to."""
        return {number: Path(folder).name for number, folder in enumerate(self._models, 1)}

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the actions that are taken here."""
        return tuple(action.spec.name for action in self._appliers)

    def put_in_force(self, site: int, action: Action) -> F32 | None:
        """As `SimWorld.apply`; None where nothing here takes this action."""
        applier = self._appliers.get(type(action))
        return None if applier is None else applier(site, action)

    def why_not(self, site: int, action: Action) -> Mapping[int, str]:
        """As `SimWorld.why_not`."""
        if isinstance(action, SetSchedulerModel):
            names = ", ".join(f"{number} ({name})" for number, name in self.scheduler_models.items())
            beyond = np.flatnonzero(action.parameters()[:, 0] > len(self._models)).tolist()
            return dict.fromkeys(beyond, f"no such model is loaded here; 0 is none, the others are {names}")
        if not isinstance(action, Handover):
            return {}
        lost = {
            i: text
            for i, u in enumerate(self._places.ue_rows(site, _ids(action)).tolist())
            if u >= 0 and (text := self._engine.why_command_lost(u))
        }
        return lost | self._no_handovers(site, action)  # a refused one is not even sent

    def _on_ues(self, put: _Put, default: float) -> Callable[[int, Action], F32]:
        return lambda site, action: _put_in_force(
            put, self._places.ue_rows(site, _ids(action)), action, default
        )

    def _on_cells(
        self, put: Callable[[int, float], None], default: float, most: float = math.inf
    ) -> Callable[[int, Action], F32]:
        def put_each(cells: I64, values: F64) -> None:
            for cell, value in zip(cells.tolist(), values.tolist(), strict=True):
                put(cell, value)

        return lambda site, action: _put_in_force(
            put_each, self._places.cells(site, _ids(action)), action, default, most
        )

    def _set_class_weight(self, site: int, action: Action) -> F32:
        targets, values = action.targets().astype(np.int64), action.parameters()
        default = {cls.five_qi: cls.weight for cls in self._engine.classes}
        cells = self._places.cells(site, targets[:, 0])
        for i, five_qi in enumerate(targets[:, 1].tolist()):
            if cells[i] < 0 or five_qi not in default:
                values[i] = np.nan
                continue
            if np.isnan(values[i, 0]):
                values[i] = default[five_qi]
            self._engine.set_class_weight(int(cells[i]), five_qi, float(values[i, 0]))
        return values

    def _set_scheduler_model(self, site: int, action: Action) -> F32:
        cells, values = self._places.cells(site, _ids(action)), action.parameters()
        values[np.isnan(values)] = self._own_model
        values[(cells < 0) | (values[:, 0] > len(self._models))] = np.nan
        taken = ~np.isnan(values[:, 0])
        self._engine.set_slot_model(cells[taken], values[taken, 0].astype(np.int64) - 1)
        return values

    def _set_cell_state(self, site: int, action: Action) -> F32:
        ues = self._engine.ues
        served_at = np.where(ues.connected > 0, self._places.site[ues.cell], -1)
        in_force = _put_in_force(
            self._engine.set_cell_state, self._places.cells(site, _ids(action)), action, float(ACTIVE)
        )
        moved = np.flatnonzero((served_at >= 0) & (served_at != self._places.site[ues.cell]))
        if len(moved):
            self._meter.arrived(moved)
        return in_force

    def _set_slice_quota(self, site: int, action: Action) -> F32:
        """All rows of a cell in one change, so that 60/40 becomes 40/60 without a state between.

        If the rows of a cell would contradict its other quotas, none of them changes, and the answer shows that. A row that
        goes back to the configuration does so as soon as the others allow it.
        """
        engine, targets, values = self._engine, action.targets().astype(np.int64), action.parameters()
        cells, slices = self._places.cells(site, targets[:, 0]), targets[:, 1]
        here = (cells >= 0) & (slices >= 0) & (slices < len(engine.slice_names))
        asked = values.astype(np.float64)
        back = here & np.isnan(asked).all(axis=1)
        self.unset[cells[back], slices[back]] = True
        asked = np.where(np.isnan(asked), self.slice_default[np.where(here, slices, 0)], asked)
        for cell in np.unique(cells[here]).tolist():
            self._restore_quotas(cell)  # it may lower a minimum
            rows = here & ~back & (cells == cell)
            with contextlib.suppress(ValueError):  # what is in force says that it was refused
                engine.set_slice_quota(cell, slices[rows].tolist(), *asked[rows].T.tolist())
                self.unset[cell, slices[rows]] = False
            self._restore_quotas(cell)
        values[~here] = np.nan
        values[here] = engine.slice_quota_pct[:, cells[here], slices[here]].T
        return values

    def _restore_quotas(self, cell: int) -> None:
        """Bring quotas that no xApp holds back to the configuration where they fit; slices whose minimum shrinks come first."""
        grows = self.slice_default[:, 0] - self._engine.slice_quota_pct[0, cell]
        for row in np.argsort(grows, kind="stable").tolist():
            if self.unset[cell, row]:
                with contextlib.suppress(ValueError):  # later, when others of the cell change
                    self._engine.set_slice_quota(cell, [row], *self.slice_default[row, :, None].tolist())

    def _hand_over(self, site: int, action: Action) -> F32:
        engine, u = self._engine, self._places.ue_rows(site, _ids(action))
        in_force = np.full((len(u), 1), np.nan, np.float32)
        refused = self._no_handovers(site, action)
        for i in np.flatnonzero(u >= 0).tolist():
            if i in refused:
                continue
            target = int(action.parameters()[i, 0])
            engine.request_handover(int(u[i]), target)
            if engine.ues.cell[u[i]] != target:
                continue  # the command was lost
            if self._places.site[target] != site:
                self._meter.arrived(u[i : i + 1])
            in_force[i] = target
        return in_force

    def _no_handovers(self, site: int, action: Action) -> dict[int, str]:
        """Row -> why that UE, which is here, cannot be handed over now."""
        u, cells = self._places.ue_rows(site, _ids(action)), action.parameters()[:, 0]
        why = {
            i: self._engine.why_no_handover(int(u[i]), int(cells[i])) for i in np.flatnonzero(u >= 0).tolist()
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
