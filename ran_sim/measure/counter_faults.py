"""Faulty counters: values that reports of a cell give in place of the measured ones; see `scenario.faults.FaultyCounters`."""

from __future__ import annotations

import copy
from difflib import get_close_matches
from typing import Final, Self

import numpy as np

from ran_sim.core.state import F64
from ran_sim.engine.faults import fault_slots
from ran_sim.measure import kpm
from ran_sim.measure.periods import Period
from ran_sim.measure.tables import Tables
from ran_sim.scenario import Scenario, ScenarioError
from ran_sim.scenario.faults import FaultyCounters

_COLUMNS: Final = kpm.LEVELS["cell"]


class CounterFaults:
    """The faulty counters of a scenario.

    A report is wrong if its period ends while the fault holds: it is written when the last slot of the period is over. The
    value that a stuck counter repeats does not depend on the reader, because every period is shown to `see`.

    Args:
        scenario: The network.

    Raises:
        ScenarioError: A fault is about a measurement that cells do not have.
    """

    def __init__(self, scenario: Scenario) -> None:
        check_measurements(scenario)
        self._faults = [
            (fault, start, end)
            for fault, start, end in fault_slots(scenario)
            if isinstance(fault, FaultyCounters)
        ]
        # Of stuck counters: (fault, length of period, measurement) -> values of all cells in the last period before.
        self._stuck_at: dict[tuple[int, int, str], F64] = {}

    def fork(self) -> Self:
        twin = copy.copy(self)
        twin._stuck_at = dict(self._stuck_at)
        return twin

    def see(self, period: Period, tables: Tables) -> None:
        """Take note of a period that has ended; `tables` are its network's."""
        for i, (fault, start, _) in enumerate(self._faults):
            if fault.effect == "stuck" and start - period.slots < period.end.slot <= start:
                rows = tables.table("cell", period).rows
                for name in fault.measurements:
                    self._stuck_at[i, period.period_ms, name] = _COLUMNS[name](rows)

    def reported(self, name: str, values: F64, cell: F64, period: Period) -> F64:
        """Values of a measurement that reports about `period` give.

        Args:
            name: Of the measurement.
            values: As measured, shape [n_cell].
            cell: Id of the cell of each row, shape [n_cell].
            period: That the reports are about.
        """
        for i, (fault, start, end) in enumerate(self._faults):
            if name in fault.measurements and start < period.end.slot <= end:
                if fault.effect == "scaled":
                    wrong = values * (fault.factor or 0.0)
                else:  # a counter that was stuck or missing from the start has no value to repeat
                    nothing = np.full(len(values), np.nan)
                    wrong = self._stuck_at.get((i, period.period_ms, name), nothing)
                values = np.where(np.isin(cell, fault.cells), wrong, values)
        return values


def check_measurements(scenario: Scenario) -> None:
    """Check that all faults are about measurements that cells have.

    Raises:
        ScenarioError: There is one.
    """
    for place, fault in enumerate(scenario.faults):
        for name in fault.measurements if isinstance(fault, FaultyCounters) else ():
            if name not in _COLUMNS:
                near = get_close_matches(name, _COLUMNS, n=2, cutoff=0.6)
                raise ScenarioError(
                    f"{scenario.name}: faults.{fault.name or place}.measurements: got {name!r}, want measurements of cells"
                    + (f"; there is {' and '.join(near)}" if near else ", see docs/vocabulary.md")
                )
