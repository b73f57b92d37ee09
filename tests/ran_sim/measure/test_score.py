"""The score against counts by hand, and what it says of itself: each entry is declared, each window is a part of the whole."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from ran_sim.engine import Engine
from ran_sim.engine.session_rows import SESSION_DTYPE, SessionRows
from ran_sim.measure import score as scores
from ran_sim.measure.score import Tally, figures, score
from ran_sim.mobility.handover import COUNTERS
from ran_sim.scenario import load_scenario

SEVEN = load_scenario("seven-sites").with_overrides({"warmup_s": 0.0})
# Classes of seven-sites: 0 best effort, 1 video-call (slice 1-000001), 2 gaming (slice 1-000002)
SLOTS_A_MINUTE = 120_000  # of 0.5 ms


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(SEVEN, seed=1)


def sessions(*rows: dict[str, int]) -> SessionRows:
    found = np.zeros(len(rows), SESSION_DTYPE)
    for i, row in enumerate(rows):
        found["ue_id"][i] = i
        for name, value in row.items():
            found[name][i] = value
    return found


def scored(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, rows: SessionRows, **handovers: int
) -> dict[str, float]:
    """The score of a minute in which these sessions and handovers were counted."""
    counts = np.array([handovers.get(name, 0) for name in COUNTERS])
    tally = Tally(slot=SLOTS_A_MINUTE, slots=SLOTS_A_MINUTE, sessions=rows, handovers=counts, energy_j=3.6e6)
    monkeypatch.setattr(scores.Tally, "of", lambda _: tally)
    return score(engine)


@pytest.mark.parametrize("name", ["one-cell", "seven-sites", "city-day", "sliced-district"])
def test_each_entry_is_declared_once_with_what_a_reader_needs(name: str) -> None:
    engine = Engine(load_scenario(name), seed=1)
    declared = figures(engine)
    assert [figure.key for figure in declared] == list(score(engine))
    assert len({figure.key for figure in declared}) == len(declared)
    for figure in declared:
        assert figure.label
        assert figure.unit
        assert figure.definition.endswith(".")
        assert figure.digits >= 0


def test_delays_are_means_over_sdus_and_a_percentile_over_users(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Slots of 0.5 ms. Gaming: 10 SDUs of 4 slots and 30 of 8: 280 / 40 = 7 slots; users' means are 2 and 4 ms.
    found = scored(
        engine,
        monkeypatch,
        sessions(
            {"traffic_class": 2, "sdus_delivered": 10, "sdu_delay_slots": 40},
            {"traffic_class": 2, "sdus_delivered": 30, "sdu_delay_slots": 240},
            {"traffic_class": 2},  # got nothing: no delay
            {"traffic_class": 1, "sdus_delivered": 60, "sdu_delay_slots": 60},
        ),
    )
    assert found["delay_ms.gaming"] == pytest.approx(3.5)
    assert found["delay_p95_ms.gaming"] == pytest.approx(2 + 0.95 * 2)
    assert found["delay_ms.video-call"] == found["delay_ms.slice.1-000001"] == pytest.approx(0.5)
    assert found["delay_ms.slice.1-000002"] == pytest.approx(3.5)
    assert math.isnan(found["delay_ms.voice"])
    assert math.isnan(found["delay_p95_ms.voice"])


def test_user_throughput_is_over_the_time_in_which_data_waited(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1 MB in 1000 slots are 8 Mb in 0.5 s: 16 Mb/s; 1 MB in 2000 slots 8 Mb/s; a starved user 0; a silent one is none
    rows = [
        {"delivered_bytes": 1_000_000, "active_slots": 1000},
        {"delivered_bytes": 1_000_000, "active_slots": 2000},
        {"delivered_bytes": 0, "active_slots": 9},
        {},
        {"traffic_class": 1, "delivered_bytes": 1, "active_slots": 9},  # no best effort
    ]
    found = scored(engine, monkeypatch, sessions(*rows))
    assert found["user_p5_mbps"] == pytest.approx(0.05 * 2 * 8)  # a tenth of the way from 0 to 8
    assert found["best_effort_mbps"] == pytest.approx(16 / 60)


def test_mobility_counts_are_per_ue_and_minute(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # two UEs for a minute each; one of them without a link for 3 s
    rows = sessions(
        {"connected_slots": SLOTS_A_MINUTE, "lost_slots": 6000}, {"connected_slots": SLOTS_A_MINUTE}
    )
    found = scored(
        engine, monkeypatch, rows,
        attempts=9, successes=8, ping_pongs=3, link_failures=5, commands_lost=1, targets_lost=2, preparations_lost=4,
    )  # fmt: skip
    assert found["handovers_per_ue_min"] == 4.0
    assert found["handover_failures_per_ue_min"] == 3.5
    assert found["ping_pongs_per_ue_min"] == 1.5
    assert found["link_failures_per_ue_min"] == 2.5
    assert found["outage_pct"] == 2.5


def test_energy_is_counted_and_set_against_what_was_delivered(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scored(engine, monkeypatch, sessions({"delivered_bytes": 4_500_000}))
    assert (found["energy_kwh"], found["bits_per_joule"]) == (1.0, 10.0)


def test_without_anything_counted_there_is_no_value(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = scored(engine, monkeypatch, sessions())
    assert math.isnan(found["handovers_per_ue_min"])
    assert math.isnan(found["outage_pct"])
    assert math.isnan(found["user_p5_mbps"])
    assert math.isnan(found["satisfied_pct"])


def test_windows_add_up_to_the_run_with_sessions_that_come_and_go() -> None:
    engine = Engine(SEVEN.with_overrides({"load": 2.0, "traffic.voice.session_s": [0.2, 0.4]}), seed=1)
    tallies = [Tally.of(engine)]
    for slot in (700, 1300, 2000):
        engine.run_until(slot)
        tallies.append(Tally.of(engine))
    whole = tallies[-1].since(tallies[0])
    parts = [later.since(earlier) for earlier, later in pairwise(tallies)]
    assert [part.slots for part in parts] == [700, 600, 700]
    assert len(whole.sessions) > len(tallies[0].sessions)
    for name in ("delivered_bytes", "connected_slots", "sdu_delay_slots"):
        assert sum(part.sessions[name].sum() for part in parts) == whole.sessions[name].sum() > 0
    assert sum(part.energy_j for part in parts) == pytest.approx(whole.energy_j)
    assert np.sum([part.handovers for part in parts], axis=0).tolist() == whole.handovers.tolist()


def test_handovers_of_the_warm_up_do_not_count() -> None:
    fast = {"mobility.speeds_kmh": [120.0], "mobility.speed_shares": [1.0], "radio.indoor_share": 0.0}
    engine = Engine(SEVEN.with_overrides({**fast, "warmup_s": 2.0}), seed=1)
    engine.run_until(4000)
    warm = engine.snapshot().handover
    assert warm.sum() > 0
    assert engine.handovers().sum() == 0
    engine.run_until(8000)
    assert engine.handovers().tolist() == (engine.snapshot().handover - warm).tolist()
    before = score(engine)
    assert before["handovers_per_ue_min"] > 0
    fork = engine.fork()
    fork.count_from_now()
    assert fork.handovers().sum() == 0
    assert score(engine) == before


def test_a_promise_is_broken_by_late_packets_or_by_a_throughput_below_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Slots of 0.5 ms. Classes of sliced-district: 0 downloads, 1 cloud gaming with a budget, 2 premium: 15 Mb/s promised
    engine = Engine(load_scenario("sliced-district"), seed=1)
    rows = sessions(
        {
            "traffic_class": 2,
            "delivered_bytes": 937_500,
            "active_slots": 1000,
        },  # 7.5 Mb in 0.5 s: 15 Mb/s, kept
        {"traffic_class": 2, "delivered_bytes": 937_499, "active_slots": 1000},
        {"traffic_class": 2, "active_slots": 9},  # starved
        {"traffic_class": 2},  # had no data: nothing was due
        {"traffic_class": 1, "packets_in_budget": 99, "packets_late": 1},
        {"traffic_class": 1, "packets_in_budget": 98, "packets_late": 2},
        {"traffic_class": 0, "delivered_bytes": 1, "active_slots": 1000},  # best effort: nothing was promised
    )
    found = scored(engine, monkeypatch, rows)
    assert (found["promised_users"], found["violations"], found["violations_pct"]) == (5.0, 3.0, 60.0)
    assert found["below_promise_pct.premium"] == pytest.approx(100 * 2 / 3)
    assert (found["users"], found["satisfied"]) == (2.0, 1.0)
    assert found["best_effort_mbps"] == pytest.approx(8e-6 / 60)
    assert "violations" not in score(Engine(SEVEN, seed=1))
