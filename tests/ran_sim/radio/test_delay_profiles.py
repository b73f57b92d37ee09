"""Power-delay profiles: normalised as the report says, so that a wrong figure in a table shows."""

from __future__ import annotations

import numpy as np
import pytest

from ran_sim.radio.delay_profiles import TDL, delay_profile


@pytest.mark.parametrize("name", list(TDL))
def test_a_profile_has_a_delay_spread_of_one(name: str) -> None:
    # TR 38.901 7.7.3 scales a table by the wanted delay spread: the table's own is 1.
    delays, shares = delay_profile(name)
    power = np.diff(shares, prepend=0.0)
    assert shares[-1] == pytest.approx(1.0)
    spread = np.sqrt(power @ delays**2 - (power @ delays) ** 2)
    assert spread == pytest.approx(1.0, abs=0.005)


def test_the_exponential_profile_has_no_table() -> None:
    assert [column.size for column in delay_profile("exponential")] == [0, 0]
