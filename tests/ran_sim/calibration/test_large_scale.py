"""The simulator's own drops against 3GPP's large-scale calibration."""

from __future__ import annotations

import numpy as np
import pytest

from ran_sim.calibration import large_scale


def test_reference_has_the_published_medians() -> None:
    # QuaDRiGa's tutorial on the same calibration holds the medians too
    wanted = large_scale.reference("uma")
    assert list(wanted["percent"]) == list(range(5, 100, 5))
    assert wanted["coupling_gain"][9] == pytest.approx([-120.3, -123.1, -118.1])
    assert large_scale.reference("umi")["sir"][9] == pytest.approx([7.3, 6.5, 7.8])


def test_an_edge_without_wrap_around_would_show() -> None:
    """Outer UEs that lack a tenth of their interference stand out of what eight alike drops differ by."""
    rng = np.random.default_rng(2)
    inner = np.arange(2000) % 19 < 7
    alike = [(rng.normal(5.0, 8.0, 2000), inner) for _ in range(8)]
    edged = [(sir_db + 2.0 * ~inner, inner) for sir_db, _ in alike]
    assert large_scale._wrap_around_check("uma", alike).passes
    assert not large_scale._wrap_around_check("uma", edged).passes


def test_sir_ends_where_the_antenna_does() -> None:
    sir_db = large_scale.drop("umi", 500, 1)[0][2]
    assert sir_db.max() <= 30 - 10 * np.log10(2) + 1e-3
