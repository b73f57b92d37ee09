"""Traffic and queues against closed forms; see `ran_sim.calibration.traffic`."""

import pytest

from ran_sim.calibration.traffic import packet_shapes, run


def test_packets_have_the_shape_of_their_model() -> None:
    checks = packet_shapes(4_000)
    assert [check.what for check in checks if not check.passes] == []
    assert len(checks) == 9


@pytest.mark.slow
def test_delays_are_those_of_queueing_theory() -> None:
    assert [check for check in run().checks if not check.passes] == []
