"""The model's input matrix is built from the card's names, never from column positions."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.errors import ModelError
from ranloop.inference import Card, Feature, FeatureBinder, Output, load_model, share_features
from ranloop.testing import make_report
from ranloop.vocabulary import Level
from ranloop.wire.messages import Report
from tests.builders import in_run
from tests.model_packages import write_model

THP = Feature(measurement="DRB.UEThpDl", unit="kbit/s")


def card(*features: Feature, period_ms: int = 100) -> Card:
    return Card(
        name="probe",
        version="1",
        summary="test",
        sha256="0" * 64,
        period_ms=period_ms,
        features=features,
        outputs=(Output(name="y", unit="1"),),
    )


def test_columns_come_by_name_whatever_their_order_in_the_report() -> None:
    binder = FeatureBinder(card(Feature(measurement="CQI", unit="1"), THP))
    one = make_report({"DRB.UEThpDl": [100.0, 200.0], "CQI": [7, 9]})
    other = make_report({"CQI": [7, 9], "RSRP": [-90, -80], "DRB.UEThpDl": [100.0, 200.0]})
    expected = [[7, 100], [9, 200]]
    assert binder.matrix(one).tolist() == expected
    assert binder.matrix(other).tolist() == expected


def test_no_value_becomes_the_cards_fill() -> None:
    binder = FeatureBinder(card(Feature(measurement="DRB.UEThpDl", unit="kbit/s", fill=-1.0)))
    assert binder.matrix(make_report({"DRB.UEThpDl": [np.nan, 5.0]})).tolist() == [[-1.0], [5.0]]


def test_each_feature_has_its_own_fill() -> None:
    features = [Feature(measurement="CQI", unit="1", fill=1.0), THP]
    binder = FeatureBinder(card(*features))
    report = make_report({"CQI": [np.nan, 5.0], "DRB.UEThpDl": [np.nan, np.nan]})
    assert binder.matrix(report).tolist() == [[1.0, 0.0], [5.0, 0.0]]


def test_a_lag_follows_the_ue_and_not_its_row() -> None:
    binder = FeatureBinder(card(THP, Feature(measurement="DRB.UEThpDl", unit="kbit/s", lag=1, fill=-1.0)))
    binder.matrix(make_report({"DRB.UEThpDl": [10.0, 20.0]}, ids={"ue": [4, 9]}, seq=0))
    # UE 4 left, UE 7 came: only UE 9 has a past
    second = binder.matrix(make_report({"DRB.UEThpDl": [21.0, 70.0]}, ids={"ue": [9, 7]}, seq=1))
    assert second.tolist() == [[21.0, 20.0], [70.0, -1.0]]


def test_a_lost_report_is_a_hole_and_not_a_shift() -> None:
    binder = FeatureBinder(card(THP, Feature(measurement="DRB.UEThpDl", unit="kbit/s", lag=1, fill=-1.0)))
    binder.matrix(make_report({"DRB.UEThpDl": [10.0]}, seq=0))
    assert binder.matrix(make_report({"DRB.UEThpDl": [12.0]}, seq=2)).tolist() == [[12.0, -1.0]]


@pytest.mark.parametrize(
    ("stat", "expected"),
    # over the values 10, (lost), 30, 50: mean 30, std sqrt((400+0+400)/3), min 10, max 50
    [("mean", 30.0), ("std", np.sqrt(800 / 3)), ("min", 10.0), ("max", 50.0)],
)
def test_window_statistics_skip_what_is_missing(stat: str, expected: float) -> None:
    feature = Feature.model_validate(
        {"measurement": "DRB.UEThpDl", "unit": "kbit/s", "window": 4, "stat": stat}
    )
    binder = FeatureBinder(card(feature))
    for seq, value in ((0, 10.0), (2, 30.0), (3, 50.0)):
        matrix = binder.matrix(make_report({"DRB.UEThpDl": [value]}, seq=seq))
    assert matrix[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("level", "before", "after"),
    [
        # One slice in two cells: two rows, told apart by their cell.
        ("slice", {"slice": [1, 1], "cell": [0, 1]}, {"slice": [1, 1], "cell": [1, 0]}),
        # Two flows of one UE, told apart by their 5QI; they go along when the UE changes its cell.
        (
            "qos_flow",
            {"ue": [4, 4], "cell": [0, 0], "five_qi": [1, 9]},
            {"ue": [4, 4], "cell": [1, 1], "five_qi": [9, 1]},
        ),
    ],
)
def test_a_lag_follows_the_target_of_its_level(
    level: Level, before: dict[str, list[int]], after: dict[str, list[int]]
) -> None:
    binder = FeatureBinder(card(THP, Feature(measurement="DRB.UEThpDl", unit="kbit/s", lag=1, fill=-1.0)))
    binder.matrix(make_report({"DRB.UEThpDl": [10.0, 20.0]}, level=level, ids=before, seq=0))
    second = binder.matrix(make_report({"DRB.UEThpDl": [21.0, 11.0]}, level=level, ids=after, seq=1))
    assert second.tolist() == [[21.0, 20.0], [11.0, 10.0]]


def test_one_model_reads_the_same_names_at_two_levels() -> None:
    binder = FeatureBinder(card(THP))
    # A UE's row has two ids before the measurement, a cell's has one.
    assert binder.matrix(make_report({"DRB.UEThpDl": [5.0]}, level="ue")).tolist() == [[5.0]]
    assert binder.matrix(make_report({"DRB.UEThpDl": [7.0]}, level="cell")).tolist() == [[7.0]]


def test_names_that_are_one_object_at_two_levels_do_not_share_columns() -> None:
    binder = FeatureBinder(card(THP))
    ue = make_report({"DRB.UEThpDl": [1.0]})
    flow = replace(make_report({"DRB.UEThpDl": [2.0]}, level="qos_flow"), names=ue.names)
    assert len(flow.ids) != len(ue.ids)
    assert [float(binder.matrix(report)[0, 0]) for report in (ue, flow, ue)] == [1.0, 2.0, 1.0]


def test_streams_of_two_nodes_do_not_mix() -> None:
    binder = FeatureBinder(card(THP, Feature(measurement="DRB.UEThpDl", unit="kbit/s", lag=1, fill=-1.0)))
    binder.matrix(make_report({"DRB.UEThpDl": [10.0]}, node="site0", seq=0))
    assert binder.matrix(make_report({"DRB.UEThpDl": [99.0]}, node="site1", seq=1))[0, 1] == -1.0


def test_a_computed_feature_is_handed_over_by_name() -> None:
    binder = FeatureBinder(card(THP, Feature(name="share", unit="1")))
    report = make_report({"DRB.UEThpDl": [10.0, 20.0]})
    assert binder.matrix(report, {"share": [0.1, 0.2]})[:, 1].tolist() == pytest.approx([0.1, 0.2])
    with pytest.raises(ModelError, match="needs the feature 'share'"):
        binder.matrix(report)


def test_a_report_without_a_measurement_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"needs DRB.UEThpDl, which the ue report of site0 does not carry"):
        FeatureBinder(card(THP)).matrix(make_report({"CQI": [3]}))


def test_a_report_of_another_period_is_refused() -> None:
    with pytest.raises(ModelError, match="trained on 1000 ms reports but got one of 100 ms"):
        FeatureBinder(card(THP, period_ms=1000)).matrix(make_report({"DRB.UEThpDl": [1.0]}))


def test_a_report_of_another_period_is_refused_after_one_of_the_right_period() -> None:
    binder = FeatureBinder(card(THP))
    binder.matrix(make_report({"DRB.UEThpDl": [1.0]}))
    with pytest.raises(ModelError, match="trained on 100 ms reports but got one of 1000 ms"):
        binder.matrix(make_report({"DRB.UEThpDl": [1.0]}, period_ms=1000))


def test_a_card_with_the_wrong_unit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"DRB.UEThpDl is in 'kbit/s', the card says 'Mbit/s'"):
        Feature(measurement="DRB.UEThpDl", unit="Mbit/s")


def test_a_card_with_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(ValueError, match=r"did you mean .*DRB.UEThpDl"):
        Feature(measurement="DRB.UEThpDL", unit="kbit/s")


def test_a_ue_that_was_away_comes_back_without_a_past() -> None:
    binder = FeatureBinder(card(THP, Feature(measurement="DRB.UEThpDl", unit="kbit/s", lag=2, fill=-1.0)))
    for seq, ues in enumerate(([1, 2], [2], [1, 2])):
        matrix = binder.matrix(
            make_report({"DRB.UEThpDl": [10.0 * u + seq for u in ues]}, ids={"ue": ues}, seq=seq)
        )
    assert matrix.tolist() == [[12.0, -1.0], [22.0, 20.0]]


@given(
    st.lists(
        st.lists(st.floats(0, 1e4, width=32) | st.just(float("nan")), min_size=3, max_size=3),
        min_size=1,
        max_size=9,
    ),
    st.randoms(use_true_random=False),
)
def test_any_history_gives_what_a_plain_loop_over_it_gives(rows: list[list[float]], shuffler: Random) -> None:
    binder = FeatureBinder(
        card(
            Feature(measurement="DRB.UEThpDl", unit="kbit/s", lag=3, fill=-1.0),
            Feature(measurement="DRB.UEThpDl", unit="kbit/s", window=4, stat="mean", fill=-1.0),
            Feature(measurement="DRB.UEThpDl", unit="kbit/s", window=2, lag=1, stat="max", fill=-1.0),
        )
    )
    ues = [7, 3, 5]
    for seq, values in enumerate(rows):
        order = shuffler.sample(range(3), 3)  # rows move from report to report
        report = make_report(
            {"DRB.UEThpDl": [values[i] for i in order]}, ids={"ue": [ues[i] for i in order]}, seq=seq
        )
        matrix = binder.matrix(report)
        for row, i in enumerate(order):
            past = [rows[k][i] for k in range(seq, -1, -1)]  # newest first
            known = [v for v in past[:4] if not isnan(v)]
            recent = [v for v in past[1:3] if not isnan(v)]
            lagged = past[3] if len(past) > 3 and not isnan(past[3]) else -1.0
            expected = [lagged, sum(known) / len(known) if known else -1.0, max(recent, default=-1.0)]
            assert matrix[row].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-3)


# The same report again, an older one, a run of its own

LAGGED = (THP, Feature(measurement="DRB.UEThpDl", unit="kbit/s", lag=1, fill=-1.0))


def seen(seq: int, *ues: int) -> Report:
    """UE u has the throughput 100 * u + seq."""
    return make_report({"DRB.UEThpDl": [100.0 * ue + seq for ue in ues]}, ids={"ue": list(ues)}, seq=seq)


def test_the_same_report_gives_the_same_matrix_again() -> None:
    binder = FeatureBinder(card(*LAGGED))
    binder.matrix(seen(0, 1))
    first = binder.matrix(seen(1, 1)).tolist()
    assert first == [[101.0, 100.0]]
    assert binder.matrix(seen(1, 1)).tolist() == first
    assert binder.matrix(seen(2, 1)).tolist() == [[102.0, 101.0]]


def test_some_rows_of_a_report_have_their_past_and_cost_the_others_none() -> None:
    binder = FeatureBinder(card(*LAGGED))
    binder.matrix(seen(0, 1, 2))
    assert binder.matrix(seen(1, 2)).tolist() == [[201.0, 200.0]]  # a model is asked about one UE first
    assert binder.matrix(seen(1, 1, 2)).tolist() == [[101.0, 100.0], [201.0, 200.0]]
    assert binder.matrix(seen(1, 1)).tolist() == [[101.0, 100.0]]
    assert binder.matrix(seen(2, 1, 2)).tolist() == [[102.0, 101.0], [202.0, 201.0]]


def test_a_late_report_is_answered_from_what_was_known_before_it() -> None:
    binder = FeatureBinder(card(*LAGGED))
    for seq in (0, 1, 3, 4):
        binder.matrix(seen(seq, 1))
    assert binder.matrix(seen(2, 1)).tolist() == [[102.0, 101.0]]
    assert binder.matrix(seen(1, 1)).tolist() == [[101.0, 100.0]]
    # What has come since is as it was: the report that was missing for number 3 stays missing.
    assert binder.matrix(seen(3, 1)).tolist() == [[103.0, -1.0]]
    assert binder.matrix(seen(5, 1)).tolist() == [[105.0, 104.0]]


def test_a_report_that_is_too_late_is_refused_where_the_run_is_known() -> None:
    binder = FeatureBinder(card(*LAGGED))
    for seq in range(10, 20):
        binder.matrix(in_run("a", seen(seq, 1)))
    assert binder.matrix(in_run("a", seen(16, 1))).tolist() == [[116.0, 115.0]]
    with pytest.raises(ModelError, match="the ue report 12 of site0 comes after number 19; the state before"):
        binder.matrix(in_run("a", seen(12, 1)))


def test_another_run_of_the_node_has_no_past() -> None:
    binder = FeatureBinder(card(*LAGGED))
    binder.matrix(in_run("a", seen(4, 1)))
    assert binder.matrix(in_run("b", seen(5, 1))).tolist() == [[105.0, -1.0]]


def test_a_number_long_past_is_another_run_where_the_node_does_not_say() -> None:
    binder = FeatureBinder(card(*LAGGED))
    for seq in range(10, 20):
        binder.matrix(seen(seq, 1))
    assert [binder.matrix(seen(seq, 1)).tolist() for seq in (0, 1)] == [[[100.0, -1.0]], [[101.0, 100.0]]]


def test_two_models_that_want_the_same_share_what_they_remember(tmp_path: Path) -> None:
    write_model(tmp_path / "one", features=LAGGED)
    write_model(tmp_path / "other", features=LAGGED)
    write_model(tmp_path / "third", features=LAGGED[:1])
    models = [load_model(tmp_path / name) for name in ("one", "other", "third")]
    share_features(models)
    assert models[0].features is models[1].features is not models[2].features
    answers = [[model(seen(seq, 1)).tolist() for model in models] for seq in range(2)]
    # The sum of 100 + seq and of what was before it, -1 for nothing.
    assert np.array(answers).ravel().tolist() == pytest.approx([99, 99, 100, 201, 201, 101])


def test_a_report_that_was_asked_about_with_other_values_is_built_anew() -> None:
    binder = FeatureBinder(card(THP, Feature(name="share", unit="1")))
    report = make_report({"DRB.UEThpDl": [10.0]})
    assert [binder.matrix(report, {"share": [share]})[0, 1] for share in (1, 2)] == [1, 2]
    with pytest.raises(ModelError, match="needs the feature 'share'"):
        binder.matrix(report)


def test_two_models_on_one_report_have_a_history_each() -> None:
    one, other = FeatureBinder(card(*LAGGED)), FeatureBinder(card(*LAGGED))
    for seq in range(3):
        first = one.matrix(seen(seq, 1)).tolist()
        assert other.matrix(seen(seq, 1)).tolist() == first


@given(st.permutations(range(4)))
def test_reports_in_any_order_give_what_those_before_them_gave_that_had_come(order: list[int]) -> None:
    binder = FeatureBinder(card(*LAGGED))
    binder.matrix(in_run("a", seen(0, 1)))
    come: set[int] = {0}
    for seq in (number + 1 for number in order):
        before = seq - 1 if seq - 1 in come else None
        # A report that came late is not put among those that were there before it.
        newest = max(come)
        expected = -1.0 if before is None else 100.0 + before
        assert binder.matrix(in_run("a", seen(seq, 1))).tolist() == [[100.0 + seq, expected]]
        if seq > newest:
            come.add(seq)


def test_a_missing_value_may_stay_missing() -> None:
    features = [Feature(measurement="CQI", unit="1", fill=float("nan")), THP]
    binder = FeatureBinder(card(*features))
    matrix = binder.matrix(make_report({"CQI": [np.nan, 5.0], "DRB.UEThpDl": [np.nan, 1.0]}))
    assert np.isnan(matrix).tolist() == [[True, False], [False, False]]
    assert matrix[0, 1] == 0.0


def test_a_computed_feature_of_a_sequence_has_one_value_or_one_per_step() -> None:
    binder = FeatureBinder(card(THP, Feature(name="share", unit="1")).model_copy(update={"steps": 2}))
    report = make_report({"DRB.UEThpDl": [10.0, 20.0]})
    assert binder.matrix(report, {"share": [0.5, 0.25]}).tolist() == [
        [[0.0, 0.5], [10.0, 0.5]],
        [[0.0, 0.25], [20.0, 0.25]],
    ]
    assert binder.matrix(report, {"share": [[1, 2], [3, 4]]})[:, :, 1].tolist() == [[1, 2], [3, 4]]
