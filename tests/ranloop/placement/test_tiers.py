"""A tiers file is checked as a whole, and each fault is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranloop.errors import PlacementError
from ranloop.placement import load_tiers

GOOD = """\
here = "edge"

[zones]
site = "raw"
operator = "per-cell"

[tiers.edge]
zone = "site"
above = "regional"
gmac_per_s = 30.0

[tiers.regional]
zone = "operator"
round_trip_ms = 8.0
bandwidth_mbps = 100.0
gmac_per_s = 3000.0
overhead_ms = 1.0
joules_per_gmac = 0.5
joules_per_mb = 10.0
price = 2.0
"""


def test_what_a_question_takes_is_worked_out_of_the_figures(tmp_path: Path) -> None:
    """12,500 B are 100 kbit: 1 ms at 100 Mb/s. 30 GMAC at 3000 GMAC/s: 10 ms. 8 + 1 + 1 + 10 = 20 ms.

    30 GMAC at 0.5 J are 15 J; 0.0125 MB at 10 J are 0.125 J. 2 for a million questions are 2e-6 for one.
    """
    (tmp_path / "tiers.toml").write_text(GOOD)
    cost = load_tiers(tmp_path / "tiers.toml")["regional"].cost(12_500, 30_000)
    assert cost.time_ns == 20_000_000
    assert cost.joules == pytest.approx(15.125)
    assert cost.price == pytest.approx(2e-6)


def test_energy_without_figures_is_unknown_and_not_zero(tmp_path: Path) -> None:
    (tmp_path / "tiers.toml").write_text(GOOD.replace("joules_per_mb = 10.0\n", ""))
    assert load_tiers(tmp_path / "tiers.toml")["regional"].cost(100, 1).joules is None


def test_a_zone_may_see_what_is_not_more_sensitive_than_its_limit(tmp_path: Path) -> None:
    (tmp_path / "tiers.toml").write_text(GOOD)
    tiers = load_tiers(tmp_path / "tiers.toml")
    seen = [tiers.may_see("regional", kind) for kind in ("public", "per-cell", "per-ue", "raw")]
    assert seen == [True, True, False, False]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('here = "edge"', 'here = "egde"', "here: there is no tier 'egde'; there are edge, regional"),
        ('above = "regional"', 'above = "cloud"', "tiers.edge.above: there is no tier 'cloud'"),
        (
            'zone = "operator"\n',
            'zone = "operator"\nabove = "edge"\n',
            "above goes in a loop: edge -> regional -> edge",
        ),
        ('zone = "site"\n', "", "tiers.edge: no trust zone; give zone = one of site, operator"),
        ('zone = "site"\n', 'zone = "moon"\n', "tiers.edge.zone: there is no zone 'moon'"),
        ('site = "raw"', 'site = "secret"', "zones.site: Input should be 'raw'"),
        (
            "round_trip_ms = 8.0",
            "round_trip_ms = -8.0",
            "tiers.regional.round_trip_ms: Input should be greater",
        ),
        ("price = 2.0", "prize = 2.0", "tiers.regional.prize: no such key (did you mean price?)"),
        ("gmac_per_s = 30.0", "gmac_per_s = nan", "tiers.edge.gmac_per_s: Input should be a finite number"),
        (
            "price = 2.0",
            'events = [{ what = "down", from_s = 9, to_s = 3 }]',
            "from_s = 9 is not before to_s = 3",
        ),
    ],
)
def test_a_fault_is_one_line_that_says_what_to_do(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    (tmp_path / "tiers.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(PlacementError) as refused:
        load_tiers(tmp_path / "tiers.toml")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_says_where_one_is_shown(tmp_path: Path) -> None:
    with pytest.raises(PlacementError, match=r"docs/placement\.md shows one"):
        load_tiers(tmp_path / "none.toml")
