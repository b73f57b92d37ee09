"""`ranloop audit`: the lines that are asked for, and bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders import write_xapp
from tests.command import Command

HEAD = {"run": "r1", "node": "site-1", "xapp": "a", "ran_time_ns": 10_000_000, "id": "a-0"}


def line(minute: int, action: str, targets: list[list[int]], fates: list[object], **more: object) -> str:
    facts = {"action": action, "targets": targets, "status": fates, "causes": {}, **more}
    time = f"2020-11-30T12:{minute:02}:00.000+00:00"
    return json.dumps({"time": time, "event": "result", **HEAD, **facts}) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    path.write_text(
        line(0, "SetUeWeight", [[4], [5]], [[1, "applied"], [1, "refused/range"]], parameters=[[2.0], [101.0]],
             causes={"range": "weight 101"}, held_until_ns=310_000_000)
        + line(1, "Handover", [[4]], [[1, "refused/no-target"]], parameters=[[1]], causes={"no-target": "gone\x1b[2J"})
        + line(2, "SetTxPower", [[0], [1]], [[2, "applied"]], parameters=[[40], [41]], held_until_ns=610_000_000, xapp="b")
        + json.dumps({"time": "2020-11-30T12:03:00.000+00:00", "event": "order", **HEAD, "xapp": "", "kill": True})
        + "\n"
    )  # fmt: skip
    return path


def test_a_line_says_when_where_who_what_and_why(ranloop: Command, log: Path) -> None:
    outcome = ranloop("audit", log, "--xapp", "a")
    assert (outcome.code, outcome.err) == (0, "")
    at = "2020-11-30T12:00:00.000+00:00  0.010 s  site-1  a  SetUeWeight"
    assert outcome.out.splitlines()[:2] == [
        f"{at} ue=4 to weight=2  applied  held by a until 0.31 s",
        f"{at} ue=5 to weight=101  refused/range  weight 101",
    ]
    assert "\x1b" not in outcome.out


def refused(minute: int, ue: int, weight: float = 101.0, **more: object) -> str:
    causes = {"range": f"weight {weight:g}"}
    return line(
        minute, "SetUeWeight", [[ue]], [[1, "refused/range"]], parameters=[[weight]], causes=causes, **more
    )


def test_equal_verdicts_on_a_target_are_one_line_with_their_number_and_span(
    ranloop: Command, tmp_path: Path
) -> None:
    log = tmp_path / "audit.jsonl"
    times = {"ran_time_ns": 3_700_000_000}
    log.write_text(
        refused(0, 4) + refused(0, 5) + refused(1, 4) + refused(2, 5, 102.0) + refused(3, 4, **times) + refused(4, 5)
        + refused(5, 4, run="r2")
    )  # fmt: skip
    at = "2020-11-30T12:{}:00.000+00:00  0.010 s  site-1  a  SetUeWeight"
    assert ranloop("audit", log).out.splitlines() == [
        # UE 4 between the others: three, until a new run begins; of UE 5 no two that follow each other are equal
        f"{at.format('00')} ue=4 to weight=101  refused/range  weight 101  ×3, 12:00:00 to 12:03:00, RAN time to 3.700 s",
        f"{at.format('00')} ue=5 to weight=101  refused/range  weight 101",
        f"{at.format('02')} ue=5 to weight=102  refused/range  weight 102",
        f"{at.format('04')} ue=5 to weight=101  refused/range  weight 101",
        f"{at.format('05')} ue=4 to weight=101  refused/range  weight 101",
    ]
    assert ranloop("audit", log, "--all").out.count("\n") == 7
    assert "×" not in ranloop("audit", log, "--all").out
    assert ranloop("audit", log, "--json").out.count("\n") == 7


def test_lines_do_not_wait_for_ever_for_the_end_of_a_row(
    ranloop: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.cli.audit._MOST_WAITING", 2)
    lines = (refused(minute, ue) for minute, ue in enumerate((4, 5, 6, 6, 4)))
    (log := tmp_path / "audit.jsonl").write_text("".join(lines))
    # UE 4 had to go when UE 6 came, so its second verdict begins a row of its own.
    assert [part[0] for part in ranloop("audit", log).out.split("ue=")[1:]] == ["4", "5", "6", "4"]


@pytest.mark.parametrize(
    ("asked", "minutes"),
    [
        ((), [0, 0, 1, 2, 2, 3]),
        (("--xapp", "b"), [2, 2]),
        (("--ue", "4"), [0, 1]),
        (("--cell", "1"), [1, 2]),  # the target of the handover, too
        (("--cause", "range"), [0]),
        (("--since", "2020-11-30T12:01"), [1, 2, 2, 3]),
        (("--since", "2020-11-30T14:02+02:00", "--cell", "0"), [2]),
    ],
)
def test_what_is_asked_for_is_told(
    ranloop: Command, log: Path, asked: tuple[str, ...], minutes: list[int]
) -> None:
    told = [json.loads(one) for one in ranloop("audit", log, *asked, "--json").out.splitlines()]
    assert [int(one["time"][14:16]) for one in told] == minutes


def test_an_answer_of_nothing_is_said(ranloop: Command, log: Path) -> None:
    outcome = ranloop("audit", log, "--since", "1s", "--ue", "4")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", f"{log}: nothing in 4 lines is about that\n")


def test_damaged_lines_are_named(ranloop: Command, log: Path) -> None:
    log.with_name("audit.jsonl.1").write_text("what?\n")
    outcome = ranloop("audit", log, "--cause", "range")
    assert (outcome.code, outcome.out.count("\n")) == (0, 1)
    assert outcome.err == "warning: 1 of 5 lines are damaged and were passed over: audit.jsonl.1:1: no JSON\n"


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (("--cause", "conflicts"), "unknown cause 'conflicts'; did you mean conflict?"),
        (("--since", "yesterday"), "--since 'yesterday': want a time as 2026-11-30T12:00, in UTC unless"),
    ],
)
def test_what_no_log_could_have_gets_one_line(
    ranloop: Command, log: Path, asked: tuple[str, ...], complaint: str
) -> None:
    assert ranloop("audit", log, *asked).complaint.startswith(complaint)


def test_a_log_that_a_run_wrote_is_read(ranloop: Command, tmp_path: Path) -> None:
    xapp, log = write_xapp(tmp_path / "weigher"), tmp_path / "audit.jsonl"
    ends = ("--node", "sim:one-cell", "--duration-s", "0.3", "--audit", log, "--json")
    targets = json.loads(ranloop("run", xapp, *ends).out)["targets"]
    told = [json.loads(one) for one in ranloop("audit", log, "--xapp", "weigher", "--json").out.splitlines()]
    applied = [one for one in told if one.get("verdict") == "applied"]
    assert sum(1 if not one["repeats"] else one["repeats"] for one in applied) == targets["applied"]
    assert {one["holder"] for one in applied} == {"weigher"}
