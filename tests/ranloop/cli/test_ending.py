"""What `ranloop run` tells at its end: the score, the handlers' times, and why targets were not applied."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ranloop.cli.ending import in_words
from ranloop.guard.remedies import REMEDIES
from ranloop.xapp.times import Called, HandlerTime
from tests.builders import APP, write_xapp
from tests.command import Command

SIM = ("--node", "sim:one-cell", "--duration-s", "0.5")


@pytest.fixture
def xapp(tmp_path: Path) -> Path:
    return write_xapp(tmp_path / "weigher")


def test_a_run_tells_score_and_handler_times(ranloop: Command, xapp: Path) -> None:
    counted = (*SIM, "--override", "warmup_s=0.1")
    outcome = ranloop("run", xapp, *counted, "--json")
    facts = json.loads(outcome.out)
    assert (outcome.code, outcome.err, facts["warnings"]) == (0, "", [])
    assert facts["score"]["delivered_mbps"] > 0
    (time,) = facts["handlers"]["weigher"]
    assert (time["handler"], time["period_ms"], time["calls"]) == ("act", 100, 5)
    assert 0 < time["p50_ms"] <= time["p99_ms"]
    # The step at 0.5 s is the last: what it asks for is under way when the run ends.
    assert facts["not_applied"]["weigher"]["SetUeWeight"].keys() <= {"expired/at-end", "ended/ue-left"}
    words = ranloop("run", xapp, *counted).out
    assert "handlers:\n  weigher:\n    act: p50 " in words
    assert "report every 100 ms, 5 calls" in words
    assert "score:\n  users: " in words


def test_a_run_within_the_warm_up_says_so_in_the_place_of_a_score(ranloop: Command, xapp: Path) -> None:
    words = ranloop("run", xapp, *SIM).out
    assert (
        "score: none\nno_score: one-cell: nothing counts yet, 0.5 s are within the warm-up of 2 s; run longer"
        in words
    )


def test_an_xapp_that_achieves_nothing_ends_with_cause_remedy_and_exit_code(
    ranloop: Command, xapp: Path
) -> None:
    outcome = ranloop("run", xapp, *SIM, "--set", "gain=0.1", "--json")  # 0.1 * 2 is below 0.5
    facts = json.loads(outcome.out)
    (fate,) = facts["not_applied"]["weigher"]["SetUeWeight"].values()
    text = "weight 0.2; the manifest of weigher allows 0.5 to 4"
    assert fate == {"targets": facts["targets"]["refused/range"], "example": text}
    (warning,) = facts["warnings"]
    assert warning == (
        f"weigher: none of its {fate['targets']} targets was applied: refused/range (SetUeWeight: {text}); "
        f"remedy: {REMEDIES['range']}"
    )
    assert (outcome.code, outcome.err) == (1, f"warning: {warning}\n")


def test_an_xapp_that_may_only_observe_is_warned_of_and_has_not_failed(ranloop: Command, xapp: Path) -> None:
    outcome = ranloop("run", xapp, *SIM, "--autonomy", "observe")
    assert (outcome.code, outcome.err.count("\n")) == (0, 1)
    assert "refused/autonomy (SetUeWeight: weigher may only observe)" in outcome.err


def test_a_handler_delay_shows_what_a_slow_handler_costs(ranloop: Command, xapp: Path) -> None:
    """After 200 ms each decision is older than the two periods that it is valid for, and every second report is missed."""
    outcome = ranloop("run", xapp, *SIM, "--handler-delay", "200", "--json")
    facts = json.loads(outcome.out)
    assert (outcome.code, facts["handler_delay"], facts["reports_missed"]) == (1, "200 ms", {"weigher": 2})
    assert facts["targets"].keys() <= {"expired/stale", "refused/at-end"}
    assert REMEDIES["stale"] in outcome.err
    measured = json.loads(ranloop("run", xapp, *SIM, "--handler-delay", "measured", "--json").out)
    assert measured["handler_delay"] == "measured: the next run will be another one"


@pytest.mark.parametrize("delay", ["soon", "-1", "nan", "1e9"])
def test_a_handler_delay_that_is_none_gets_one_line(ranloop: Command, xapp: Path, delay: str) -> None:
    complaint = ranloop("run", xapp, *SIM, "--handler-delay", delay).complaint
    assert (
        complaint
        == f"--handler-delay {delay!r}: want milliseconds of RAN time from 0 to 3600000, or measured"
    )


def test_a_slow_handler_is_told_in_lockstep_with_what_it_would_miss_live(
    ranloop: Command, tmp_path: Path
) -> None:
    app = "import time\n" + APP.replace("    return", "    time.sleep(0.2)\n    return")
    folder = write_xapp(tmp_path / "slow", app=app)
    (warning,) = json.loads(ranloop("run", folder, *SIM, "--json").out)["warnings"]
    assert re.fullmatch(
        r"slow: handler act: 2\d\d ms at p50, its reports come every 100 ms: .* missed live; "
        r"--handler-delay measured shows what that costs",
        warning,
    )


@pytest.mark.parametrize(
    ("called", "period_ms", "words"),
    [
        ("report", 100, "report every 100 ms"),
        ("result", None, "on results"),
        ("settings", None, "on settings"),
    ],
)
def test_a_handlers_time_says_what_calls_it(called: Called, period_ms: int | None, words: str) -> None:
    time = HandlerTime("act", called, period_ms, 1, 3, 0.25, 0.5)._asdict()
    told = in_words({"handlers": {"weigher": [time]}, "not_applied": {}})
    assert told["handlers"] == {"weigher": {"act": f"p50 0.25 ms, p99 0.5 ms, {words}, 3 calls"}}
