"""What became of targets, told per xApp, action and cause, and what to do about each cause."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ranloop.guard.fates import _MOST, Fates, fruitless, is_meant
from ranloop.guard.remedies import REMEDIES
from ranloop.guard.results import AT_END, HOST_STOPPED
from ranloop.wire.messages import Cause, Result, Status

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def result(*fates: tuple[Status, Cause, str], xapp: str = "x") -> Result:
    n = len(fates)
    return Result(
        id="b",
        xapp=xapp,
        node="n",
        action="SetUeWeight",
        targets=np.arange(n, dtype=np.int32)[:, None],
        status=np.array([status for status, _, _ in fates], np.uint8),
        cause=np.arange(1, n + 1, dtype=np.uint8),
        causes=((Cause.NONE, ""), *((cause, text) for _, cause, text in fates)),
        applied=np.full((n, 1), np.nan, np.float32),
        ran_time_ns=0,
    )


def told(*results: Result) -> tuple[tuple[str, str, int, str], ...]:
    fates = Fates()
    for one in results:
        fates.take(one)
    return tuple((row.xapp, row.name, row.n_targets, row.text) for row in fates.told())


RANGE = Status.REFUSED, Cause.RANGE, "weight 101"
CONFLICT = Status.REFUSED, Cause.CONFLICT, "held by y"
APPLIED = Status.APPLIED, Cause.NONE, ""


def warned(*results: Result) -> dict[str, str]:
    fates = Fates()
    for one in results:
        fates.take(one)
    return fruitless(fates.told())


def test_fates_are_counted_per_xapp_and_cause_with_the_first_text_of_the_guard() -> None:
    second = Status.REFUSED, Cause.RANGE, "weight 102"
    assert told(result(RANGE, CONFLICT, RANGE), result(second, APPLIED), result(RANGE, xapp="y")) == (
        ("x", "refused/range", 3, "weight 101"),
        ("x", "applied", 1, ""),
        ("x", "refused/conflict", 1, "held by y"),
        ("y", "refused/range", 1, "weight 101"),
    )


def test_an_xapp_whose_targets_were_all_refused_or_expired_is_warned_of_with_cause_and_remedy() -> None:
    stale = Status.EXPIRED, Cause.STALE, "valid until 1 s"
    (line,) = warned(result(RANGE, RANGE, stale), result(APPLIED, CONFLICT, xapp="y")).values()
    assert line == (
        "x: none of its 3 targets was applied: 2 refused/range (SetUeWeight: weight 101); "
        f"remedy: {REMEDIES[Cause.RANGE]}"
    )


def test_what_was_under_way_at_the_end_is_neither_a_failure_nor_a_success() -> None:
    at_end = Status.EXPIRED, *HOST_STOPPED
    assert told(result(at_end)) == (("x", "expired/at-end", 1, HOST_STOPPED[1]),)
    assert warned(result(at_end)) == {}
    assert warned(result(RANGE, at_end)).keys() == {"x"}


def test_what_an_xapp_may_only_recommend_is_no_failure() -> None:
    assert warned(result((Status.RECOMMENDED, Cause.AUTONOMY, "x may only recommend"))) == {}


def test_refusals_by_the_operators_word_alone_are_meant() -> None:
    observes = Status.REFUSED, Cause.AUTONOMY, "x may only observe"
    fates = Fates()
    fates.take(result(observes))
    assert is_meant(fates.told(), "x")
    fates.take(result(RANGE))
    assert not is_meant(fates.told(), "x")


def test_a_lost_answer_is_no_end_of_a_run() -> None:
    lost = replace(result((Status.UNKNOWN, Cause.LOST, "n did not answer")))
    assert told(lost) == (("x", "unknown/lost", 1, "n did not answer"),)


def test_lost_answers_are_no_success_and_alone_no_failure() -> None:
    lost = Status.UNKNOWN, Cause.LOST, "n did not answer"
    assert warned(result(lost)) == {}
    assert warned(result(lost, RANGE)).keys() == {"x"}
    assert warned(result(lost, RANGE, APPLIED)) == {}


def test_every_cause_has_a_remedy_and_the_page_has_the_same_table() -> None:
    assert REMEDIES.keys() == {*Cause, AT_END} - {Cause.NONE}
    _, table = PAGE.read_text().split("## Causes and remedies")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", table, re.MULTILINE)
    assert dict(rows) == dict(REMEDIES)


def test_made_up_names_fill_no_memory_and_hide_nothing_that_was_counted_before() -> None:
    fates = Fates()
    for number in range(5000):
        fates.take(replace(result(APPLIED), action=f"A{number}"))
        fates.take(replace(result(APPLIED), action="A0"))
    counted = fates.told()
    assert len(counted) == _MOST
    assert fates.n_forgotten == 5000 - _MOST
    assert [one.n_targets for one in counted if one.action in ("A0", "A4999")] == [5001, 1]  # A1 is forgotten
