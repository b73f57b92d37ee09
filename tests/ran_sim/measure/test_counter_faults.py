"""Faulty counters: reports of a cell are wrong while the network is well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ran_sim.core.state import F64
from ran_sim.engine import Engine
from ran_sim.measure import kpm
from ran_sim.measure.counter_faults import CounterFaults
from ran_sim.measure.periods import Period, PeriodMeter
from ran_sim.measure.tables import Tables
from ran_sim.scenario import Scenario, ScenarioError, load_scenario

NAME, OTHER = "RRU.PrbUsedDl", "X.DRB.OfferedVolDl"
FAULT: Mapping[str, Any] = {
    "kind": "faulty-counters", "cells": [1], "measurements": [NAME], "start_s": 0.35, "end_s": 0.7,
}  # fmt: skip


def three_cells(**fault: Any) -> Scenario:
    return load_scenario("one-cell").with_overrides(
        {
            "layout.sectors": 3,
            "radio.k_interferers": 2,
            "reports.periods_ms": [100, 200],
            "faults": [{**FAULT, **fault}],
        }
    )


def columns(scenario: Scenario, name: str = NAME, period_ms: int = 100) -> tuple[F64, F64]:
    """What was measured and what is reported up to 1 s, shape [n_period, n_cell]."""
    engine = Engine(scenario, 1)
    meter, tables = PeriodMeter(engine, scenario.reports.periods_ms, 100), Tables(engine)
    faults = CounterFaults(scenario)
    measured, reported = [], []

    def take(period: Period) -> None:
        table = tables.table("cell", period)
        values = kpm.LEVELS["cell"][name](table.rows)
        measured.append(values)
        reported.append(faults.reported(name, values, table.ids[:, 0], period))

    for period in meter.run_until(2000):
        faults.see(period, tables)
        if period.period_ms == period_ms:
            take(period)
    return np.array(measured), np.array(reported)


# Periods of 100 ms end at 0.1 s ... 1.0 s; the fault holds from 0.35 s to 0.7 s, at the ends of the fourth to the seventh.
WELL, ILL = [0, 1, 2, 7, 8, 9], [3, 4, 5, 6]


def test_a_stuck_counter_repeats_the_last_value_before_the_fault() -> None:
    measured, reported = columns(three_cells(effect="stuck"))
    assert np.array_equal(reported[WELL], measured[WELL])
    assert len(np.unique(measured[[2, *ILL], 1])) > 1
    assert (reported[ILL, 1] == measured[2, 1]).all()
    assert np.array_equal(reported[ILL][:, [0, 2]], measured[ILL][:, [0, 2]])


def test_every_length_of_period_has_its_own_stuck_value() -> None:
    measured, reported = columns(
        three_cells(effect="stuck"), period_ms=200
    )  # they end at 0.2, 0.4, 0.6, 0.8, 1 s
    assert (reported[[1, 2], 1] == measured[0, 1]).all()
    assert np.array_equal(reported[[0, 3, 4]], measured[[0, 3, 4]])


def test_a_counter_that_is_stuck_from_the_start_has_no_value() -> None:
    _, reported = columns(three_cells(effect="stuck", start_s=0.0))
    assert np.isnan(reported[:7, 1]).all()
    assert np.isfinite(reported[7:, 1]).all()


def test_a_missing_counter_has_no_value() -> None:
    measured, reported = columns(three_cells(effect="missing"))
    assert np.isnan(reported[ILL, 1]).all()
    assert np.array_equal(reported[WELL], measured[WELL])


def test_a_scaled_counter_is_off_by_its_factor() -> None:
    measured, reported = columns(three_cells(effect="scaled", factor=0.5))
    assert np.array_equal(reported[ILL, 1], 0.5 * measured[ILL, 1])
    assert measured[ILL, 1].min() > 0


def test_measurements_that_the_fault_does_not_name_stay_right() -> None:
    measured, reported = columns(three_cells(effect="missing"), OTHER)
    assert np.array_equal(reported, measured)


def test_a_fault_about_a_measurement_that_cells_do_not_have_is_refused() -> None:
    for name, near in (("DRB.UEThpDL", "there is DRB.UEThpDl"), ("RSRP", "see docs/vocabulary.md")):
        scenario = three_cells(effect="missing", measurements=[name], name="lost")
        with pytest.raises(
            ScenarioError, match=rf"one-cell: faults\.lost\.measurements: got '{name}', want .*{near}"
        ):
            CounterFaults(scenario)
