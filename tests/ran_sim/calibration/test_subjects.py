"""Every subject of the calibration holds its figures, and `docs/calibration.md` shows what it checks."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pytest

from ran_sim.calibration import report, scheduling
from ran_sim.calibration.check import Check, Section, surprises
from ran_sim.mac.metrics import PF
from tests.ran_sim.calibration.page import PAGE, rows, was_quick

SUBJECTS = [
    "energy", "fading", "handover", "large_scale", "link", "network", "reception", "scheduling", "traffic",
]  # fmt: skip


@cache
def section(name: str, quick: bool) -> Section:
    return report.run_subject(name, quick=quick)


def lies_inside(low: float, high: float, check: Check) -> bool:
    """Whether a range of the page, of four digits, lies in that of a check."""
    slack = 1e-3 * max(abs(low), abs(high) if high < float("inf") else 0.0, 1e-9)
    return low >= check.low - slack and high <= check.high + slack


def test_these_are_all_subjects_that_check_something() -> None:
    assert {*SUBJECTS, "example_run"} == set(report.subjects())


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_quick_calibration_finds_what_is_told(name: str) -> None:
    assert section(name, True).checks
    assert surprises(section(name, True).checks) == []
    for plot in section(name, True).plots:
        assert all(len(series.x) == len(series.y) for series in plot.series)


@pytest.mark.parametrize("name", SUBJECTS)
def test_programs_can_read_every_figure(name: str) -> None:
    told = json.loads(json.dumps(report.as_json({name: section(name, True)})))
    checks = told["subjects"][name]["checks"]
    assert [check["passes"] for check in checks] == [
        bool(check.passes) for check in section(name, True).checks
    ]


LONGEST = [pytest.param(name, marks=pytest.mark.slow) for name in ("fading", "large_scale")]


@pytest.mark.parametrize("name", [*LONGEST, "network", "reception", "traffic"])
def test_another_seed_draws_other_figures(name: str) -> None:
    one, two = section(name, True), report.run_subject(name, quick=True, seed=2)
    assert [check.what for check in two.checks] == [check.what for check in one.checks]
    assert [check.measured for check in two.checks] != [check.measured for check in one.checks]
    assert two.seeds != one.seeds


def test_another_seed_fades_otherwise_where_schedulers_are_compared() -> None:
    one, two = (scheduling.rayleigh(PF, np.ones(2), 5, seed=seed)[0] for seed in (1, 2))
    assert (one != two).all()


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_page_shows_the_checks_of_the_code(name: str) -> None:
    """The same figures, units and sources; the long run's ranges lie inside those of the quick one, which has more noise."""
    quick = section(name, True)
    shown = rows(quick.title)
    left_out = set() if was_quick(quick.title) else set(quick.only_long)
    assert set(shown) == {check.what for check in quick.checks} | left_out
    for check in quick.checks:
        row = shown[check.what]
        assert (row.unit, row.source) == (check.unit, check.source)
        assert lies_inside(row.low, row.high, check), check.what
        assert row.fits == report.fits_text(check, "**no**")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", SUBJECTS)
def test_every_figure_lies_inside_on_other_seeds_too(name: str, seed: int) -> None:
    assert surprises(report.run_subject(name, seed=seed).checks) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_long_calibration_finds_what_is_told_and_shown(name: str) -> None:
    long = section(name, False)
    assert surprises(long.checks) == []
    if was_quick(long.title):
        pytest.fail(f"docs/calibration.md shows a quick run of {name}; run `ran_sim calibrate --write` again")
    shown = rows(long.title)
    assert list(shown) == [check.what for check in long.checks]
    for check in long.checks:
        assert lies_inside(shown[check.what].low, shown[check.what].high, check), check.what


def test_every_picture_of_the_page_is_there_and_no_other() -> None:
    shown = re.findall(r"!\[[^]]+\]\((calibration/[^)]+)\)", PAGE.read_text("utf-8"))
    assert shown
    files = {f"calibration/{file.name}" for file in PAGE.with_suffix("").iterdir()}
    assert set(shown) == files
    assert all((PAGE.parent / name).stat().st_size < 1 << 16 for name in shown)


def test_the_page_names_what_wrote_it_and_no_machine() -> None:
    text = PAGE.read_text("utf-8")
    assert re.search(r"Written by `ran_sim calibrate[^`]*`; ran_sim \S+ \([0-9a-f]{12}\), Python 3", text)
    assert not re.search(r"/(work|tmp|home|root)/", text)
