"""What a reader of a report or a result writes: names in a report, the fate of each target with its cause in one place."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import ranloop
from ranloop import Cause, Fate, Level, Status, XApp
from ranloop.errors import MissingExtraError, VocabularyError
from ranloop.testing import make_report
from ranloop.vocabulary.model import LEVELS
from tests.ranloop.wire.samples import result


def test_a_report_is_read_like_a_table_names_inside_rows_counted() -> None:
    report = make_report({"CQI": [7, 12, 3], "RSRP": [-80, -90, -70]})
    assert ("CQI" in report, "SINR" in report, 3 in report) == (True, False, False)
    assert (list(report), len(report)) == (["CQI", "RSRP"], 3)
    assert [report[name].tolist() for name in report] == [[7, 12, 3], [-80, -90, -70]]


def test_a_report_without_rows_is_still_one_with_names() -> None:
    report = make_report({"CQI": np.empty(0)}, ids={"ue": [], "cell": []})
    assert (len(report), list(report), "CQI" in report) == (0, ["CQI"], True)


def test_a_report_becomes_a_frame_with_names_and_units() -> None:
    frame = make_report({"CQI": [7, 12]}, ids={"ue": [3, 4]}, labels={"ue": ["anna", "ben"]}).to_pandas()
    assert list(frame.columns) == ["ue", "cell", "ue_name", "CQI"]
    assert frame["ue_name"].tolist() == ["anna", "ben"]
    assert frame["CQI"].tolist() == [7, 12]
    assert frame.attrs["units"] == {"CQI": "1"}


def test_without_pandas_a_frame_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ranloop\[notebook\]'"):
        make_report({"CQI": [7]}).to_pandas()


def test_the_fate_of_each_target_has_its_cause_and_text() -> None:
    assert result().fates == [
        Fate((7,), Status.APPLIED, Cause.NONE, "", {"weight": 1.0}),
        Fate((9,), Status.REFUSED, Cause.RANGE, "weight 4 is above 2", {}),
    ]


def test_the_fates_of_an_action_that_is_not_known_here_have_no_values_by_name() -> None:
    assert result(action="Unheard").fates[0] == Fate((7,), Status.APPLIED, Cause.NONE, "", {})


def test_an_author_sees_an_authors_names_alone() -> None:
    assert [name for name in dir(XApp()) if not name.startswith("_")] == [
        "alarm",
        "catalogues",
        "clear",
        "every",
        "latest",
        "model",
        "on_report",
        "on_restart",
        "on_result",
        "on_settings",
        "per_cell",
        "per_ue",
        "settings",
        "state",
        "stuck",
        "summary",
    ]


@pytest.mark.parametrize("name", ranloop.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert hasattr(ranloop, name)


def test_the_levels_of_a_type_checker_are_those_of_the_catalogue() -> None:
    assert set(Level.__args__) == set(LEVELS)  # type: ignore[attr-defined]  # because it is a Literal


def test_a_measurement_that_a_report_lacks_is_refused_with_a_near_one_or_what_to_do() -> None:
    report = make_report({"CQI": [7], "X.UE.Weight": [1]})
    with pytest.raises(VocabularyError, match=r"'cqi'; did you mean CQI\?$"):
        report["cqi"]
    with pytest.raises(
        VocabularyError, match=r"'RRU.PrbTotDl'; it has CQI, X.UE.Weight; name what else to read"
    ):
        report["RRU.PrbTotDl"]
