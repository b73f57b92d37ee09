"""The power model's curves, as the report draws them."""

import numpy as np

from ran_sim.calibration.energy import run


def test_curves_meet_at_full_load_by_choice_and_only_there() -> None:
    ours, _, earth = run().plots[0].series
    assert ours.y[-1] == earth.y[-1] == 224.0
    assert (ours.y[:-1] < earth.y[:-1]).all()
    assert np.all(np.diff(ours.y) > 0)
