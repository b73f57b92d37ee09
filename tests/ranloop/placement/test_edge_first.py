"""Edge-first with fallback: the better answer if it comes in time, and never a loop without a decision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ranloop.errors import ManifestError, PlacementError
from ranloop.placement import VirtualTiers
from ranloop.xapp.loader import load_package
from tests.ranloop.placement.places import Loop, down, seen, tiers, write_placed


def test_the_better_answer_is_taken_when_it_comes_in_time_and_the_handler_has_waited_for_it(
    xapp: Path,
) -> None:
    """Regional takes 20 ms, and 264 bytes at 10**9 Mb/s nothing."""
    loop = Loop(xapp, VirtualTiers(tiers()))
    assert seen(loop.step(0)) == (20.0, "better", "regional", "", [2.0, 2.0])


def test_an_answer_that_would_come_after_the_wait_is_not_taken(xapp: Path) -> None:
    """The event makes 60 ms of 20 ms, which the planning figures do not know; the wait is 50 ms."""
    slow = {"events": [{"what": "slow", "from_s": 0, "to_s": 9, "by": 3}]}
    loop = Loop(xapp, VirtualTiers(tiers(regional=slow)))
    assert seen(loop.step(0)) == (50.0, "late", "edge", "rule", [1.0, 1.0])


def test_a_tier_that_fails_is_waited_for_twice_then_the_next_one_answers_and_it_is_used_again_when_back(
    xapp: Path,
) -> None:
    """Regional is down from 0.15 s to 1.0 s. Misses at 0.2 and 0.3 s wait in vain; central answers in 40 ms from 0.4 s on.

    Trials half a second after the second miss: in vain with the report of 0.9 s, answered with that of 1.4 s.
    """
    loop = Loop(xapp, VirtualTiers(tiers(regional=down(0.15, 1.0))))
    found = [seen(loop.step(seq))[:3] for seq in range(15)]
    assert found == [
        (20.0, "better", "regional"),
        *[(50.0, "late", "edge")] * 2,
        *[(40.0, "better", "central")] * 11,
        (20.0, "better", "regional"),
    ]


def test_without_another_tier_trials_that_nobody_waits_for_find_the_tier_again(xapp: Path) -> None:
    """Down to 1.0 s. The second miss is noted at 0.35 s, the end of its wait; a trial is due half a second later.

    The first trial goes with the report of 0.9 s, in vain, the second with that of 1.4 s. Its answer comes at 1.42 s, so the report
    of 1.5 s is waited for again.
    """
    text = (xapp / "manifest.toml").read_text().replace('["regional", "central"]', '["regional"]')
    (xapp / "manifest.toml").write_text(text)
    loop = Loop(xapp, VirtualTiers(tiers(regional=down(0.15, 1.0))))
    found = [seen(loop.step(seq)) for seq in range(15)]
    waits = [wait for wait, *_ in found]
    assert waits == [20.0, 50.0, 50.0, *[0.0] * 11, 20.0]
    assert [weights for *_, weights in found] == [[2.0, 2.0], *[[1.0, 1.0]] * 13, [2.0, 2.0]]
    assert {reason for _, reason, *_ in found[3:14]} == {"away"}


@pytest.mark.parametrize(
    ("on_miss", "expected"),
    [
        ("rule", ("rule", [1.0, 1.0, 1.0])),
        ("last", ("last", [2.0, 2.0, 1.0])),  # UE 9 was not there before
    ],
)
def test_on_a_miss_the_declared_answer_stands_in(
    tmp_path: Path, models: Path, on_miss: str, expected: tuple[str, list[float]]
) -> None:
    xapp = write_placed(tmp_path / "placed", models, f'on_miss = "{on_miss}"')
    loop = Loop(xapp, VirtualTiers(tiers(regional=down(0.15, 9))))
    loop.step(0)
    assert seen(loop.step(1, ues=(4, 5, 9)))[3:] == expected


def test_hold_gives_no_value_so_that_the_xapp_asks_for_nothing_new(tmp_path: Path, models: Path) -> None:
    xapp = write_placed(tmp_path / "placed", models, 'on_miss = "hold"')
    loop = Loop(xapp, VirtualTiers(tiers(regional=down(0.15, 9))))
    assert len(loop.step(0).batches) == 1
    assert loop.step(1).batches == ()


def test_last_answers_end_with_their_age(tmp_path: Path, models: Path) -> None:
    """keep_ms = 200: the answer about 0.1 s stands in at 0.3 s and not at 0.4 s."""
    xapp = write_placed(tmp_path / "placed", models, 'on_miss = "last"\nkeep_ms = 200')
    dead = VirtualTiers(tiers(regional=down(0.15, 9), central=down(0, 9)))
    loop = Loop(xapp, dead)
    assert [seen(loop.step(seq))[3] for seq in range(4)] == ["", "last", "last", "rule"]


def test_an_answer_that_comes_late_is_the_next_last_one(tmp_path: Path, models: Path) -> None:
    """It takes 60 ms of a wait of 50 ms: nothing is known at 0.1 s; at 0.2 s the answer about 0.1 s is."""
    xapp = write_placed(tmp_path / "placed", models, 'on_miss = "last"')
    slow = {"events": [{"what": "slow", "from_s": 0, "to_s": 9, "by": 3}]}
    loop = Loop(xapp, VirtualTiers(tiers(regional=slow)))
    first, second = loop.step(0), loop.step(1)
    assert [seen(one)[3:] for one in (first, second)] == [("rule", [1.0, 1.0]), ("last", [2.0, 2.0])]
    assert second.batches[0].inferences[0].asked_ns == 100_000_000  # the report that the answer rests on


def test_without_tiers_the_same_xapp_runs_on_its_own_model(xapp: Path) -> None:
    (batch,) = Loop(xapp, None).step(0).batches
    assert batch.action.parameters()[:, 0].tolist() == [1.0, 1.0]
    assert batch.inferences == ()


def test_a_decision_says_what_it_cost_and_which_model_answered(xapp: Path) -> None:
    """Two rows of one feature: 8 bytes and 256 of the header. 264 B at 5 J/MB are 1.32 mJ; nothing is computed here."""
    priced = {"joules_per_mb": 5.0, "joules_per_gmac": 0.0}
    reach = VirtualTiers(tiers(regional=priced, edge={"joules_per_gmac": 0.0}))
    answer = Loop(xapp, reach).step(0)
    (how,) = answer.batches[0].inferences
    assert how.sent_bytes == {"per-ue": 264}
    assert how.joules == pytest.approx(1.32e-3)
    assert (how.rows, how.rows_above, how.asked_ns) == (2, 2, 100_000_000)
    assert how.model.startswith("large@")
    assert answer.batches[0].models == (how.model,)


def test_data_that_a_zone_may_not_see_does_not_leave(xapp: Path) -> None:
    public = tiers(regional={"zone": "cloud"}, central={"zone": "cloud"})
    answer = Loop(xapp, VirtualTiers(public)).step(0)
    assert seen(answer) == (0.0, "private", "edge", "rule", [1.0, 1.0])
    assert answer.batches[0].inferences[0].sent_bytes == {}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            '["regional", "central"]',
            '["fog"]',
            r"placement\.load\.ask: there is no tier 'fog'; .* edge, regional, central",
        ),
        ('["regional", "central"]', '["edge"]', r"placement\.load\.ask: edge is where the xApp runs"),
        (
            "wait_ms = 50",
            "wait_ms = 19",
            r"wait_ms = 19 is shorter than every tier .* regional 20 ms, central 40 ms",
        ),
    ],
)
def test_a_placement_that_does_not_fit_the_tiers_is_refused_in_one_line(
    xapp: Path, old: str, new: str, complaint: str
) -> None:
    (xapp / "manifest.toml").write_text((xapp / "manifest.toml").read_text().replace(old, new))
    with pytest.raises(PlacementError, match=complaint) as refused:
        Loop(xapp, VirtualTiers(tiers()))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('on_miss = "never"', r"placement\.load\.on_miss: Input should be"),
        ("keep_ms = 100", 'keep_ms means nothing here: it belongs to on_miss = "last"'),
        ("worth = 2.0", 'worth means nothing here: it belongs to policy = "planner"'),
        ("offload = 0.2", "a cascade has one goal, offload or wrong_here; other patterns have none"),
        ("wait = 3", r"placement\.load\.wait: no such key \(did you mean wait_ms"),
    ],
)
def test_a_placement_that_contradicts_itself_is_refused_in_one_line(
    tmp_path: Path, models: Path, more: str, complaint: str
) -> None:
    with pytest.raises(ManifestError, match=complaint) as refused:
        load_package(write_placed(tmp_path / "placed", models, more))
    assert "\n" not in str(refused.value)


def test_a_placement_of_a_model_that_the_manifest_does_not_list_is_refused(xapp: Path) -> None:
    text = (xapp / "manifest.toml").read_text().replace("[placement.load]", "[placement.lode]")
    (xapp / "manifest.toml").write_text(text)
    with pytest.raises(
        ManifestError, match=r"placement\.lode: there is no model of that name; there are: load"
    ):
        load_package(xapp)


@pytest.mark.parametrize("fails", [("regional",), ("central",), ("regional", "central")])
def test_wherever_a_failure_begins_every_report_is_decided_on_within_the_wait(
    xapp: Path, fails: tuple[str, ...]
) -> None:
    """Twenty random moments and lengths; 2 s of reports each. The decision comes before the next report is there."""
    rng = np.random.default_rng(len(fails) + len(fails[0]))
    for from_s in rng.uniform(0, 1.5, 20):
        gone = down(float(from_s), float(from_s + rng.uniform(0.05, 1.0)))
        loop = Loop(xapp, VirtualTiers(tiers(**dict.fromkeys(fails, gone))))
        answers = [loop.step(seq) for seq in range(20)]
        assert all(len(answer.batches) == 1 and len(answer.batches[0].action) == 2 for answer in answers)
        assert max(answer.waited_ns for answer in answers) <= 50_000_000
        ids = [answer.batches[0].id for answer in answers]
        assert len(set(ids)) == 20  # no action twice


TWO = """
import numpy as np
from ranloop import SetUeWeight, XApp
app = XApp()
load, other = app.model("load"), app.model("other")

@app.on_report("DRB.UEThpDl")
def act(report):
    here = report["DRB.UEThpDl"]
    return SetUeWeight(ue=report.ue, weight=1.0 + np.round(load(report) - here) + np.round(other(report) - here) / 2)
"""


def test_each_of_two_placed_models_gets_its_own_late_answers(tmp_path: Path, models: Path) -> None:
    """An answer takes 30 ms. `load` waits from 100 to 125 ms, `other` from then to 150 ms, both in vain.

    With the report of 200 ms both have come, and are the last ones: 1 + 1 + 1 / 2.
    """
    xapp = write_placed(tmp_path / "placed", models, 'on_miss = "last"')
    text = (xapp / "manifest.toml").read_text()
    placement = text[text.index("[placement.load]") :].replace("placement.load", "placement.other")
    text = text.replace("[placement.load]", f'other = "{models}/small"\n\n[placement.load]') + placement
    (xapp / "manifest.toml").write_text(text.replace("wait_ms = 50", "wait_ms = 25", 1))
    (xapp / "app.py").write_text(TWO)
    slow = {"events": [{"what": "slow", "from_s": 0, "to_s": 9, "by": 1.5}]}
    loop = Loop(xapp, VirtualTiers(tiers(regional=slow)))
    loop.step(0)
    (batch,) = loop.step(1).batches
    assert batch.action.parameters()[:, 0].tolist() == [2.5, 2.5]
    assert [how.instead for how in batch.inferences] == ["last", "last"]
