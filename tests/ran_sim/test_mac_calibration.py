"""Link and schedulers hold the figures that the calibration report prints."""

import pytest

from ran_sim.calibration import link, scheduling
from ran_sim.calibration.check import Section


def failing(section: Section) -> list[str]:
    return [
        f"{c.what}: {c.measured:.5g}, want {c.low:.5g} to {c.high:.5g}"
        for c in section.checks
        if not c.passes
    ]


def test_the_link_holds_its_figures() -> None:
    assert failing(link.run(quick=True)) == []


def test_the_schedulers_hold_their_figures() -> None:
    assert failing(scheduling.run(quick=True)) == []


@pytest.mark.slow
def test_the_schedulers_hold_them_over_long_runs() -> None:
    assert failing(scheduling.run()) == []
