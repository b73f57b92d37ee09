"""The clocked slot is the slot."""

import numpy as np
import pytest

from benchmarks.stages import stage_us
from benchmarks.worlds import full_buffer, mixed
from ran_sim.engine import Engine


@pytest.mark.slow  # compiles the slot once more, with clocks
def test_clocks_change_no_bit_and_share_out_all_of_the_time() -> None:
    plain, clocked = Engine(full_buffer(1), 1), Engine(full_buffer(1), 1)
    took = stage_us(clocked, ticks=2, rounds=3)
    plain.run_until(600)
    assert clocked.slot == 600
    assert np.array_equal(plain.snapshot().ue, clocked.snapshot().ue)
    assert {"schedule_cells", "fade", "receive", "measure", "radio tick"} <= set(took)
    assert all((us > 0.0).all() for us in took.values())


def test_worlds_have_what_their_bars_are_about() -> None:
    s1, s4 = full_buffer(19), mixed(19, 0.5)
    assert (s1.n_cell, s1.n_ue, s1.n_rbg, s1.carrier.bandwidth_prb) == (57, 570, 18, 273)
    assert (s1.radio.k_interferers, s1.scheduler.name, s1.scheduler.max_dci) == (4, "pf", 4)
    assert (full_buffer(1).n_cell, full_buffer(1).n_ue, full_buffer(7).n_ue) == (3, 30, 210)
    assert (s4.n_cell, s4.n_ue, len(s4.traffic)) == (57, 570, 5)
    assert len({traffic.slice for traffic in s4.traffic}) == 2
