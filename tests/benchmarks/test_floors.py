"""Floors are what the machine can do, for the work that a slot has."""

import numpy as np
import pytest

from benchmarks import floors
from benchmarks.floors import Work
from benchmarks.stages import clocked
from ran_sim.engine import kernels


class Still:
    """The part of an engine that work is counted from.

    Two cells on two sites, 40 UEs of which 30 sit indoors, 10 RBGs, 4 links a UE and 5 processes.
    """

    n_ue, n_cell, n_rbg = 40, 2, 10

    class _network:  # an attribute of the engine
        class settings:
            max_dci = 4

        class csi:
            class reports:
                period_slots = 20

        class links:
            fading = np.zeros((40, 4, 10))

        class radio:
            class fading:
                cell = np.zeros((40, 5))

            class motion:
                speed_mps = np.repeat([0.0, 5.0, 20.0], [30, 8, 2])

            class topology:
                site_x_m = np.zeros(2)

            tick_slots, tick_s, renew_m = 100, 0.1, 1.6


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, Work]:
    monkeypatch.setattr(floors, "_per_slot", lambda engine: (8.0, 3.0, 16.0))  # blocks, fades, RBGs in use
    return floors.stage_work(Still())  # type: ignore[arg-type]  # because a world that stands still has only what is counted


def test_work_costs_what_each_kind_takes() -> None:
    # 1000 vector operations of 0.5 ns and 10 draws of 20 ns: 0.5 us + 0.2 us.
    assert Work(vector_op=1000, draw=10).times(Work(vector_op=0.5, draw=20.0, claim=9.0)) == pytest.approx(
        0.7
    )
    assert Work(vector_op=1000, draw=10).in_words() == "1000 vector operations, 10 draws"


def test_fading_is_waves_and_taps_of_the_ues_that_are_evaluated(work: dict[str, Work]) -> None:
    # 3 UEs x 5 processes x (8 taps x 2 standing waves x 17 operations + 10 RBGs x 36).
    assert work["fade"] == Work(vector_op=3 * 5 * (16 * 17 + 360))


def test_reception_looks_at_the_blocks_own_rbgs(work: dict[str, Work]) -> None:
    # 16 RBGs x (3 operations for each of 3 interferers, 4 around them, 20 of an exponential); 8 blocks.
    assert work["receive"] == Work(vector_op=16 * 33, function=24, draw=8, touch=64)


def test_a_twentieth_of_the_ues_measures_in_a_slot(work: dict[str, Work]) -> None:
    assert (work["measure"].draw, work["measure"].function) == (2, 12)


def test_scheduling_compares_ues_once_for_each_dci_and_rbgs_for_each_chosen_ue(work: dict[str, Work]) -> None:
    assert work["schedule_cells"].claim == pytest.approx(40 * 4 + 2 * 10 * 4 + 8 * np.log2(28))


def test_a_tick_is_spread_over_its_slots(work: dict[str, Work]) -> None:
    # 40 x 2 links measured, two with one draw. Path gains change after 1.6 m: on each tick of the 2 UEs that go 2 m,
    # on each fourth of the 8 that go 0.5 m; towards 2 sites.
    assert work["radio tick"] == Work(function=(80 * 1.5 + 8 * 14) / 100, draw=0.4, touch=8 * 12 / 100)


def test_every_stage_with_a_floor_is_clocked(work: dict[str, Work]) -> None:
    _, names = clocked(kernels.run_slots.py_func)  # type: ignore[attr-defined]  # because numba's dispatcher has no types
    assert set(work) == {*names, "radio tick"}


def test_rows_put_the_measured_stage_beside_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "measured_ns", lambda: Work(read=2.0))
    monkeypatch.setattr(floors, "stage_work", lambda engine: {"average": Work(read=1000)})
    stage, rates = floors.rows("S1", Still(), {"average": np.array([5.0, 6.0, 90.0])})  # type: ignore[arg-type]  # because a world that stands still has only what is counted
    assert (stage.name, stage.p50, stage.peer_p50, stage.ratio_p50) == (
        "simulator, S1, stage average",
        6.0,
        2.0,
        3.0,
    )
    assert rates.unit == "ns"


@pytest.mark.slow  # compiles the six loops
def test_rates_are_those_of_a_machine() -> None:
    rates = floors.measured_ns()
    assert 0.0 < rates.vector_op < rates.draw < 1000.0
    assert rates.read < rates.function
