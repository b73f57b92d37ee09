"""The evaluation of the forecaster: rules at their best in hindsight, days that stay together, and no log that tuned anything."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ranloop.embedded import run_embedded
from ranloop.node import open_replay
from tests.ranloop.node.phone_logs import log, row
from xapps.throughput_forecaster import evaluate
from xapps.throughput_forecaster.evaluate import EWMA_S, KINDS, MEAN_S, RULES, Followed, Group, Log
from xapps.throughput_forecaster.policy import Second

N = len(RULES)


def test_rules_count_seconds_across_a_gap() -> None:
    known = [Second(number, kbps, True, True) for number, kbps in ((0, 100.0), (1, 300.0), (4, 800.0))]
    found = dict(zip(RULES, evaluate.rule_forecasts(known).T.tolist(), strict=True))
    assert found["persistence"] == [100, 300, 800]
    assert found["mean 2 s"] == [100, 200, 800]  # seconds 3 and 4, of which 3 is missing
    assert found["mean 4 s"] == [100, 200, 550]
    assert found["mean 60 s"] == [100, 200, 400]
    one = 300 + math.exp(-1 / 2) * (100 - 300)
    assert found["EWMA 2 s"] == pytest.approx([100, one, 800 + math.exp(-3 / 2) * (one - 800)])
    assert len(EWMA_S) + len(MEAN_S) + 1 == N


def followed(
    mixture: list[float], rules: dict[str, float], *, on_5g: bool = True, held: float = 0.9
) -> Followed:
    n = len(mixture)
    errors = np.full((n, N), 1000.0)
    for name, error in rules.items():
        errors[:, RULES.index(name)] = error
    return Followed(
        np.array(mixture),
        errors,
        np.arange(n) < held * n,
        np.full(n, 7.0),
        np.full(n, on_5g),
        np.ones(n, bool),
    )


def log_of(name: str, day: int, one: Followed) -> Log:
    return Log(name, date(2020, 3, 1) + timedelta(days=day), {1: one, 5: one})


def test_each_group_has_its_own_best_rules() -> None:
    logs = [
        log_of("netflix-driving-a", 0, followed([40.0] * 10, {"EWMA 2 s": 50.0, "mean 5 s": 80.0})),
        log_of(
            "netflix-static-b", 1, followed([60.0] * 30, {"EWMA 2 s": 90.0, "mean 5 s": 70.0}, on_5g=False)
        ),
    ]
    both, static, on_5g = (evaluate.group(logs, 1, name) for name in ("all", "static", "on 5G"))
    assert both is not None
    assert static is not None
    assert on_5g is not None
    # Over all: EWMA (10 x 50 + 30 x 90) / 40 = 80, mean (10 x 80 + 30 x 70) / 40 = 72.5.
    assert [RULES[both.best()], RULES[both.best(KINDS["EWMA"])]] == ["mean 5 s", "EWMA 2 s"]
    assert [RULES[group.best()] for group in (static, on_5g)] == ["mean 5 s", "EWMA 2 s"]
    assert both.gain_pct(both.best())[0] == pytest.approx(100 * ((400 + 1800) / (800 + 2100) - 1))
    assert evaluate.group(logs, 1, "download") is None
    table = evaluate.errors_table(logs)
    assert "1 s, all | 2 | 40 | 55 | 1000 | 80 (2 s) | 72 (5 s) | -24.1 [" in table
    assert "1 s, on 5G | 1 | 10 | 40 | 1000 | 50 (2 s) | 80 (5 s) | -20.0 [-20.0, -20.0] %" in table
    place = evaluate.result(logs, "it").places[0]  # what `ranloop evaluate` shows of the first line
    claim = place.claims[0]
    assert (place.name, place.n, place.of, claim.word) == ("1 s ahead, all", 2, "logs", "gain")
    assert [claim.rule, claim.ours, claim.difference] == pytest.approx([72.5, 55.0, -17.5])
    assert [claim.low, claim.high] == pytest.approx(
        [72.5 * -0.5, 72.5 * (1800 / 2100 - 1)]
    )  # of one day alone


def test_the_logs_of_a_day_are_drawn_together() -> None:
    """Two logs of one day: no sample differs from the whole. On two days: at times both draws are the good one, or the bad one."""
    sums = np.array([10.0, 10.0]), np.array([50.0, 90.0]), np.full((2, N), 100.0)
    assert Group([date(2020, 3, 1)] * 2, *sums).gain_pct(0) == pytest.approx((-30, -30, -30))
    assert Group([date(2020, 3, 1), date(2020, 3, 2)], *sums).gain_pct(0) == pytest.approx((-30, -50, -10))


def test_logs_that_fare_worse_than_their_rules_are_counted_and_named() -> None:
    logs = [
        log_of("good", 0, followed([90.0] * 100, {"persistence": 100.0, "EWMA 8 s": 100.0})),
        log_of("bad", 1, followed([104.0] * 100, {"persistence": 100.0, "EWMA 8 s": 120.0}, held=0.95)),
        log_of("own", 2, followed([90.0] * 100, {"persistence": 100.0, "EWMA 8 s": 99.0, "mean 8 s": 80.0})),
    ]
    table = evaluate.logs_table(logs).splitlines()
    found = {label: values for label, *values in (line.split(" | ") for line in table)}
    assert found["worse by over 1 % than both persistence and the EWMA tuned on all logs"] == ["1", "1"]
    assert (
        found["worst log, against the better of these two"] == ["+4.0 % (bad: 104 instead of 100 kbit/s)"] * 2
    )
    assert found["worse by over 1 % than the best rule, tuned on that very log"] == ["2", "2"]
    assert found["intervals within 2 points of 90 %"] == ["2", "2"]
    assert found["least and most coverage of a log"] == ["90.0, 95.0 %"] * 2


def phone_log(day: date, kbps: list[int]) -> str:
    rows = log(*(row(s, DL_bitrate=str(one)) for s, one in enumerate(kbps)))
    return rows.replace("2019.11.28", day.strftime("%Y.%m.%d"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(12)
    for name, day in (
        ("driving", date(2019, 11, 28)),
        ("static", date(2019, 12, 3)),
        ("tuned", evaluate.TUNED_ON[0]),
    ):
        (tmp_path / f"{name}.csv").write_text(phone_log(day, rng.integers(0, 50_000, 40).tolist()))
    return tmp_path


def test_the_evaluation_finds_the_errors_that_the_xapp_finds(data: Path) -> None:
    found = run_embedded(open_replay(data), [Path(evaluate.__file__).parent]).xapps["throughput_forecaster"][
        "traces"
    ]
    read = evaluate.read_logs(data)
    assert [name for name, _, _ in read] == [
        "driving",
        "static",
    ]  # without a log that constants were chosen on
    for name, _, seconds in read:
        for horizon, one in evaluate.follow(seconds).items():
            facts = found[name][f"{horizon}s"]["all"]
            assert len(one.mixture) == facts["n"] == 40 - horizon
            assert one.mixture.mean() == pytest.approx(facts["mae_model_kbps"])
            assert one.rules[:, 0].mean() == pytest.approx(facts["mae_persistence_kbps"])
            assert 100 * one.held.mean() == pytest.approx(facts["interval_held_pct"])


def test_the_command_prints_its_section_and_writes_it_into_the_readme(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = data / "README.md"
    readme.write_text("above\n" + evaluate.MARKS[0] + "old\n" + evaluate.MARKS[1] + "below\n")
    monkeypatch.setattr(evaluate, "README", readme)
    monkeypatch.setattr(evaluate, "RESULT", data / "result.json")
    evaluate.main(["--data", str(data), "--write"])
    above, rest = readme.read_text().split(evaluate.MARKS[0])
    section, below = rest.split(evaluate.MARKS[1])
    assert (above, below) == ("above\n", "below\n")
    assert section.startswith("Logs: 2, of 2 days.\n")
    assert json.loads((data / "result.json").read_text())["places"][0]["n"] == 2
    assert capsys.readouterr().out.endswith(section)
    evaluate.main(["--data", str(data), "--days", "2019-11-22"])
    assert "Logs: 1, of 1 days.\n" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no log of 2019-11-23"):
        evaluate.main(["--data", str(data), "--days", "2019-11-23"])
    with pytest.raises(SystemExit, match="nowhere"):
        evaluate.main(["--data", str(data / "nowhere")])
