"""anomaly_detector: what goes wrong in a cell shows in its signs, and whatever its reports are like, it goes on and cries no wolf."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranloop.testing import XAppHarness, make_report
from ranloop.training import Outcome, read_plan
from ranloop.training.outcome import Winner
from ranloop.wire.messages import Report
from xapps.anomaly_detector import alarms, detectors, evaluate, judging, rules, signs, train, weights
from xapps.anomaly_detector.alarms import At, Board
from xapps.anomaly_detector.drops import Fault
from xapps.anomaly_detector.signs import KINDS, NAMES, Ears, Heard

XAPP = Path(signs.__file__).parent
NAN = math.nan
CELLS = np.arange(3, dtype=np.int32)
WELL = {  # a cell that serves 10 Mbit a second with half of its PRBs
    "RRC.ConnMean": 5.0,
    "RRU.PrbTotDl": 50.0,
    "RRU.PrbUsedDl": 26.0,
    "RRU.PrbAvailDl": 52.0,
    "DRB.RlcSduTransmittedVolumeDL": 10_000.0,
    "DRB.PdcpSduVolumeDL": 10_000.0,
    "X.DRB.BufferedVolDl": 500.0,
}


def told(second: int, n: int = 3, **changed: Any) -> dict[str, Any]:
    """Counters of cells that are well, but for cell 0 where named; no two seconds have the same volumes."""
    columns = {name: np.full(n, value, np.float32) for name, value in WELL.items()}
    for name in signs.VOLUMES:
        columns[name] = columns[name] + np.float32(7 * (second % 11) + 1)
    for name, value in changed.items():
        columns[NAME_OF[name]][0] = value
    return columns


NAME_OF = {
    "sent": "DRB.RlcSduTransmittedVolumeDL",
    "came": "DRB.PdcpSduVolumeDL",
    "waits": "X.DRB.BufferedVolDl",
    "prb_pct": "RRU.PrbTotDl",
    "used": "RRU.PrbUsedDl",
    "available": "RRU.PrbAvailDl",
    "ues": "RRC.ConnMean",
}


def heard(second: int, loss_db: Mapping[int, float] | None = None, rise_db: float = 0.0, n: int = 3) -> Heard:
    """Five UEs in each cell, all of which hear all cells 6 dB apart, give or take a dB of measurement error."""
    rng = np.random.default_rng(second)
    ue = np.repeat(np.arange(5 * n, dtype=np.int32), n)
    measured = np.tile(np.arange(n, dtype=np.int32), 5 * n)
    cell = (ue // 5).astype(np.int32)
    rsrp = np.where(measured == cell, -80.0, -90.0) - 6.0 * (measured % 2) + rng.normal(0.0, 0.5, len(ue))
    for lost, db in (loss_db or {}).items():
        rsrp[measured == lost] -= db
    sinr = np.where(measured == cell, 10.0 - rise_db, -10.0)
    return Heard(ue, cell, measured, np.floor(rsrp).astype(np.float32), sinr.astype(np.float32))


def after(*seconds: tuple[dict[str, Any], Heard]) -> np.ndarray[Any, Any]:
    """The signs of the last of some seconds."""
    ears, memory = Ears(), _repeated(signs.start(), 3)
    for counters, ues in seconds:
        found, memory = signs.look(counters, ears.listen(ues, CELLS), memory)
    return found


def _repeated(start: Mapping[str, Any], n: int) -> dict[str, Any]:
    return {name: np.repeat(np.asarray(value)[None], n, axis=0) for name, value in start.items()}


def sign(name: str, found: np.ndarray[Any, Any]) -> list[float]:
    return [round(float(value), 2) for value in found[:, NAMES.index(name)]]


# Signs


def test_a_cell_that_sends_nothing_of_what_waits_is_starved_and_leaves_prbs_unused() -> None:
    asleep = told(2, sent=0.0, prb_pct=0.0, used=0.0, waits=10_500.0)
    found = after((told(1), heard(1)), (asleep, heard(2)))
    # five UEs within reach: 5 / 6 of ln((508 + 10015 + 1) / 1) = 9.26, and 5 / 6 of all PRBs
    assert sign("starved", found)[0] == pytest.approx(5 / 6 * math.log(508 + 10_015 + 1), abs=0.01)
    assert sign("unused", found)[0] == pytest.approx(5 / 6, abs=0.01)
    assert max(sign("starved", found)[1:]) < 0.1


def test_a_cell_whose_ues_are_all_out_of_reach_may_send_nothing() -> None:
    asleep = told(2, sent=0.0, prb_pct=0.0, used=0.0, waits=10_500.0)
    found = after((told(1), heard(1)), (asleep, heard(2, rise_db=20.0)))  # SINR of -10 dB
    assert sign("starved", found)[0] == sign("unused", found)[0] == 0.0


def test_a_loss_is_seen_by_all_ues_that_hear_the_cell_and_only_of_it() -> None:
    found = after(*((told(s), heard(s)) for s in range(6)), (told(6), heard(6, {0: 5.0})))
    # 15 UEs with 5 dB less, of which 3 dB over their three cells count as common: 4 x 15 / sqrt(16)
    assert sign("faded_db", found)[0] == pytest.approx((5 - 3 / 3) * 15 / 4, abs=3.0)
    assert max(sign("faded_db", found)[1:]) < 0.0


def test_ues_that_hear_all_cells_less_have_entered_a_building() -> None:
    found = after(*((told(s), heard(s)) for s in range(6)), (told(6), heard(6, dict.fromkeys(range(3), 2.9))))
    assert max(map(abs, sign("faded_db", found))) < 3.0  # of 2.9 dB x 15 / 4 = 10.9


def test_noise_is_that_of_the_whole_site() -> None:
    found = after(*((told(s), heard(s)) for s in range(6)), (told(6), heard(6, rise_db=4.0)))
    assert sign("noise_db", found) == pytest.approx([4.0 * 15 / 4] * 3, abs=3.0)  # 15 UEs with 4 dB more


@pytest.mark.parametrize(
    ("changed", "name", "size"),
    [
        ({"prb_pct": 100.0}, "prb_mismatch", math.log(103 / 53)),
        ({"ues": 11.0}, "ue_mismatch", math.log(12 / 6)),
        (
            {"sent": 30_000.0},
            "volume_mismatch",
            math.log(30_500 / 10_508),
        ),  # 10,015 came, and 7 less are left
        ({"sent": NAN}, "missing", 1.0),
        ({"sent": -5.0}, "missing", 0.0),  # counts as 0
    ],
)
def test_counters_that_disagree_are_faulty(changed: dict[str, float], name: str, size: float) -> None:
    found = after((told(1), heard(1)), (told(2, 3, **changed), heard(2)))
    assert sign(name, found)[0] == pytest.approx(size, abs=0.02)
    assert sign(name, found)[1] == pytest.approx(0.0, abs=0.02)


def test_volumes_that_stay_the_same_to_the_bit_are_counted_unless_they_are_0() -> None:
    stuck = [(told(s, sent=9_999.0, came=0.0), heard(s)) for s in range(4)]
    assert sign("repeats", after(*stuck)) == [3.0, 0.0, 0.0]
    nothing = [(told(s, sent=0.0, came=0.0, waits=0.0), heard(s)) for s in range(4)]
    assert sign("repeats", after(*nothing))[0] == 0.0


def test_a_cell_that_sleeps_to_save_energy_shows_no_sign() -> None:
    found = after((told(1), heard(1)), (told(2, available=NAN, prb_pct=NAN, used=NAN, ues=NAN), heard(2)))
    assert np.isnan(found[0]).all()
    assert not np.isnan(found[1]).any()


def test_without_ue_reports_the_signs_of_counters_stay() -> None:
    memory = _repeated(signs.start(), 3)
    _, memory = signs.look(told(1), {}, memory)
    found, _ = signs.look(told(2, prb_pct=100.0), {}, memory)
    assert np.isnan(found[:, NAMES.index("faded_db")]).all()
    assert sign("prb_mismatch", found)[0] == pytest.approx(math.log(103 / 53), abs=0.01)


# Detectors


def test_a_threshold_wants_its_seconds_in_a_row() -> None:
    tuned = {f"scale_{name}": 2.0 for name in NAMES} | {f"seconds_{kind}": 3.0 for kind in KINDS}
    memory, scores = _repeated(rules.thresholds_start(), 1), []
    for starved in (8.0, 8.0, 4.0, NAN, 8.0):
        now = np.zeros((1, len(NAMES)), np.float32)
        now[0, 0] = starved
        score, memory = rules.thresholds(now, memory, tuned)
        scores.append(float(score[0, 0]))
    assert scores == [0.0, 0.0, 2.0, 0.0, 0.0]  # 4 / 2 in the third; no value ends the row


def test_a_cusum_adds_up_what_is_beyond_its_slack_and_takes_no_fault_for_the_past() -> None:
    tuned = (
        {f"least_{name}": 1.0 for name in NAMES} | {f"slack_{kind}": 1.0 for kind in KINDS} | {"past_s": 1e9}
    )
    memory, scores = _repeated(rules.cusum_start(), 1), []
    for noise_db in (0.0, 3.0, 3.0, NAN, 0.0):
        now = np.zeros((1, len(NAMES)), np.float32)
        now[0, NAMES.index("noise_db")] = noise_db
        score, memory = rules.cusum(now, memory, tuned)
        scores.append(float(score[0, KINDS.index("interference")]))
    assert scores == pytest.approx([0.0, 2.0, 4.0, 4.0, 3.0], abs=0.01)  # 3 - 1 twice, nothing, 0 - 1


def test_a_weighted_sum_is_cut_and_smoothed() -> None:
    tuned = {f"{kind}.{name}": 0.0 for kind in KINDS for name in NAMES} | {
        f"gain_{kind}": 0.5 for kind in KINDS
    }
    tuned["interference.noise_db"], tuned["interference.missing"] = 1.0, -1.0
    now = np.full((1, len(NAMES)), np.nan, np.float32)
    now[0, NAMES.index("noise_db")], now[0, NAMES.index("missing")] = 500.0, 0.5
    score, memory = weights.weighted(now, _repeated(weights.start(), 1), tuned)
    assert score[0].tolist() == [0.0, 0.0, 2.5, 0.0]  # half of 6, to which 100 is cut, less 0.5 / 0.5
    score, _ = weights.weighted(np.full_like(now, np.nan), memory, tuned)
    assert score[0, 2] == 1.25


def test_false_alarms_are_e_times_as_seldom_a_tail_further() -> None:
    tuned = {f"limit_{kind}": 5.0 for kind in KINDS} | {f"tail_{kind}": 2.0 for kind in KINDS}
    detector = detectors.Detector(start=dict, function=rules.cusum, tuned=tuned)
    per_day = detector.false_alarms(np.array([[5.0, 7.0, 3.0, 1e9]], np.float32))
    assert per_day[0, :3].tolist() == pytest.approx([1.0, math.exp(-1), math.e])
    assert 0 < per_day[0, 3] < 1e-9


def test_an_alarm_stands_until_it_has_not_been_sure_for_the_hold_time() -> None:
    board, sure, unsure = Board(), np.array([[0.05, 9, 9, 9]], np.float32), np.full((1, 4), 9, np.float32)
    at = At("sleeping-cell", "north")
    first = board.take(["north"], sure, 10.0, most=1.0, hold_s=5.0)
    assert list(first.raised) == [at]
    assert first.raised[at].is_new
    assert str(first.raised[at]).startswith("confidence 0.95 ")
    assert board.take(["north"], sure, 11.0, most=1.0, hold_s=5.0) == ({}, [])  # told already
    surer = board.take(["north"], np.where(sure < 1, 0.005, sure), 12.0, most=1.0, hold_s=5.0)
    assert not surer.raised[at].is_new
    assert board.take(["north"], unsure, 17.0, most=1.0, hold_s=5.0) == ({}, [])
    assert board.take(["north"], unsure, 17.5, most=1.0, hold_s=5.0) == ({}, [at])
    assert not board.standing


# How they are judged


def test_the_limit_is_what_fault_free_minutes_exceed_once_a_day() -> None:
    quiet = np.repeat(np.arange(100.0, dtype=np.float32)[:, None], len(KINDS), axis=1)
    limit, tail = judging.limits(quiet, cell_days=2.5)
    assert (quiet[:, 0] >= limit[0]).sum() == 2  # not 3: 2.5 days allow 2
    # from 97, which 2 exceed, to 69, which 12 x 2.5 = 30 do
    assert tail[0] == pytest.approx((97 - 69) / math.log(31 / 3), rel=1e-4)


def test_false_alarms_of_one_minute_of_a_cell_count_once() -> None:
    scores = np.zeros((judging.SETTLE_S + 125, 2, len(KINDS)), np.float32)
    scores[10, 0, 0] = 9.0  # before anything counts
    scores[judging.SETTLE_S + 5 : judging.SETTLE_S + 9, 0, 0] = 3.0
    scores[judging.SETTLE_S + 61, 1, 0] = 4.0
    scores[-1, 1, 0] = 5.0  # in no whole minute
    assert judging.minutes([scores])[:, 0].tolist() == [0.0, 0.0, 3.0, 4.0]


def test_a_fault_is_found_in_its_cell_and_while_it_holds() -> None:
    fault = Fault("degraded-coverage", 1, 50.25, 60.0, "")
    limit = np.full(len(KINDS), 2.0, np.float32)
    scores = np.zeros((100, 6, len(KINDS)), np.float32)
    drop = judging.Seen(np.zeros((100, 6, len(NAMES)), np.float32), [fault])
    scores[52, 0, 1], scores[70, 1, 1], scores[40, 1, 1], scores[52, 1, 2] = 3.0, 3.0, 3.0, 3.0
    assert math.isnan(
        judging.find(drop, scores, limit)[0].delay_s
    )  # another cell, later, earlier, another kind
    scores[52, 1, 1] = 3.0
    assert judging.find(drop, scores, limit)[0].delay_s == 2.75  # the report of second 52 comes at 53 s


def test_the_bound_on_false_alarms_is_that_of_a_poisson_number() -> None:
    assert evaluate.most_events(0) == pytest.approx(-math.log(0.05), abs=1e-4)
    assert evaluate.most_events(3) == pytest.approx(
        7.754, abs=1e-3
    )  # chi-square's 95 % quantile at 8, halved


# In the network


@pytest.fixture
def xapp() -> XAppHarness:
    """After half a minute in which all was well."""
    harness = XAppHarness(XAPP)
    for second in range(30):
        send(harness, second)
    assert harness.alarms == ()
    return harness


LABELS = {"cell": {0: "north", 1: "east", 2: "south"}}


def send(
    xapp: XAppHarness,
    second: int,
    counters: dict[str, Any] | None = None,
    ues: Heard | None = None,
    run: str = "",
) -> None:
    assert xapp.send(cells(second, counters, run)) == []
    assert xapp.send(of_ues(second, ues, run)) == []


def cells(second: int, counters: dict[str, Any] | None = None, run: str = "") -> Report:
    return make_report(
        counters or told(second), level="cell", period_ms=1000, seq=second, labels=LABELS, run=run
    )


def of_ues(second: int, ues: Heard | None = None, run: str = "") -> Report:
    rows = ues or heard(second)
    ids = {"ue": rows.ue, "cell": rows.cell, "measured_cell": rows.measured}
    columns = {"RSRP": rows.rsrp_dbm, "SINR": rows.sinr_db}
    return make_report(columns, level="ue_cell", period_ms=1000, seq=second, ids=ids, run=run)


def asleep(second: int) -> dict[str, Any]:
    return told(second, sent=0.0, prb_pct=0.0, used=0.0, waits=10_000.0 * (second - 29))


def raised(xapp: XAppHarness) -> list[tuple[str, str]]:
    return [(alarm.name, alarm.target) for alarm in xapp.alarms]


def test_a_sleeping_cell_is_told_with_its_confidence_and_signs(xapp: XAppHarness) -> None:
    for second in range(30, 45):
        send(xapp, second, asleep(second))
    assert ("sleeping-cell", "north") in raised(xapp)
    alarm = next(alarm for alarm in xapp.alarms if alarm.name == "sleeping-cell")
    assert alarm.severity == "critical"
    assert "confidence 0.9" in alarm.text or "confidence 1" in alarm.text
    assert "starved" in alarm.text
    assert {target for _, target in raised(xapp)} == {"north"}
    for second in range(45, 200):
        send(xapp, second)
    assert raised(xapp) == []


def test_a_power_loss_is_told(xapp: XAppHarness) -> None:
    for second in range(30, 34):
        send(xapp, second, ues=heard(second, {1: 12.0}))
    assert ("degraded-coverage", "east") in raised(xapp)


def test_a_foreign_transmitter_is_told(xapp: XAppHarness) -> None:
    for second in range(30, 34):
        send(xapp, second, ues=heard(second, rise_db=12.0))
    assert "interference" in {name for name, _ in raised(xapp)}


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf, -1e30, 1e30])
def test_absurd_reports_are_faulty_reports_and_nothing_else(xapp: XAppHarness, value: float) -> None:
    for second in range(30, 60):
        counters = told(second)
        for name in signs.VOLUMES:
            counters[name] = np.full(3, value, np.float32)
        ues = heard(second)
        send(xapp, second, counters, ues._replace(rsrp_dbm=np.full_like(ues.rsrp_dbm, value)))
    assert {name for name, _ in raised(xapp)} == {"faulty-reports"}


def test_constant_reports_are_faulty_reports_and_nothing_else(xapp: XAppHarness) -> None:
    for second in range(30, 60):
        send(xapp, second, told(29), heard(29))
    assert {name for name, _ in raised(xapp)} == {"faulty-reports"}


@pytest.mark.parametrize("second", [28, 29])  # late, and that of the newest second over again
def test_a_stale_report_changes_nothing(xapp: XAppHarness, second: int) -> None:
    for _ in range(30):
        send(xapp, second, asleep(60))
    assert raised(xapp) == []
    send(xapp, 30)
    assert raised(xapp) == []


def test_lost_reports_are_no_fault_and_ue_reports_are_not_needed(xapp: XAppHarness) -> None:
    for second in range(30, 60, 3):  # two of three are lost
        send(xapp, second)
    assert raised(xapp) == []
    for second in range(60, 90):  # UEs tell nothing
        xapp.send(cells(second, asleep(second)))
    assert ("sleeping-cell", "north") in raised(xapp)


def test_a_restart_of_the_node_clears_its_alarms(xapp: XAppHarness) -> None:
    for second in range(30, 45):
        send(xapp, second, asleep(second))
    assert raised(xapp)
    send(xapp, 0, run="anew")
    assert raised(xapp) == []
    for second in range(1, 10):
        send(xapp, second, run="anew")
    assert raised(xapp) == []


def test_a_node_that_falls_silent_is_told_until_it_speaks(xapp: XAppHarness) -> None:
    silence = "listen_for_silence"  # a timer of 5 s
    xapp.tick(silence)
    assert raised(xapp) == []
    xapp.tick(silence)
    assert [(alarm.name, alarm.node, alarm.text) for alarm in xapp.alarms] == [
        (alarms.FAULTY, "site0", "no report for 10 s")
    ]
    send(xapp, 40)
    xapp.tick(silence)
    assert raised(xapp) == []


def test_what_is_remembered_is_bounded_by_what_reports_hold(xapp: XAppHarness) -> None:
    app = xapp.module("app")
    for second in range(30, 130):  # each second other UEs and other cells
        ids = {"cell": np.arange(3) + 10 * second}
        xapp.send(make_report(told(second), level="cell", period_ms=1000, seq=second, ids=ids))
        rows = heard(second)
        moved = {
            "ue": rows.ue + 100 * second,
            "cell": rows.cell + 10 * second,
            "measured_cell": rows.measured + 10 * second,
        }
        columns = {"RSRP": rows.rsrp_dbm, "SINR": rows.sinr_db}
        xapp.send(make_report(columns, level="ue_cell", period_ms=1000, seq=second, ids=moved))
    assert len(app.counters) <= 3 * 4  # a cell is forgotten after three periods
    assert len(app.ears["site0"]._pairs) == 15 * 3
    assert len(app.waiting) <= 1


def test_a_second_of_a_hundred_cells_and_a_thousand_ues_takes_few_milliseconds() -> None:
    n, rng = 100, np.random.default_rng(1)
    ue = np.repeat(np.arange(10 * n, dtype=np.int32), 9)
    measured = rng.integers(n, size=len(ue), dtype=np.int32)
    measured[::9] = ue[::9] // 10  # the serving cell, and eight others
    rsrp, sinr = rng.normal(-90, 5, (2, len(ue))).astype(np.float32)
    rows, ids = Heard(ue, (ue // 10).astype(np.int32), measured, rsrp, sinr), np.arange(n, dtype=np.int32)
    ears, memory = Ears(), _repeated(signs.start(), n)
    detector = detectors.read()["cusum"]
    past, took_ms = _repeated(detector.start(), n), []
    for second in range(60):
        began = time.thread_time()
        found, memory = signs.look(told(second, n), ears.listen(rows, ids), memory)
        _, past = detector.step(found, past)
        took_ms.append(1e3 * (time.thread_time() - began))
    assert min(took_ms) <= 4.0, "it takes 1 to 2 ms; a busy machine is granted four"


def test_a_card_has_no_figures_of_worlds_in_which_there_is_nothing_to_find() -> None:
    plan = read_plan(XAPP)
    figures = {f"{world.name}, load 1": {"recall": 1.0} for world in plan.validation.worlds}
    facts: dict[str, Any] = {"point": {}, "worth": 0.0, "rollouts": 0, "cpu_minutes": 0.0, "prepared": {}}
    winner = Winner(name="thresholds", kind="rule", figures=figures, how="", **facts)
    outcome = train.of_faults(Outcome(folder=XAPP, plan=plan, winners={"thresholds": winner}))
    assert list(outcome.metrics("thresholds")) == ["recall thresholds macro cells, load 1"]
