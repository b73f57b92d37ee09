"""Registrations are checked where they are written, not when the first report comes."""

from __future__ import annotations

import pytest

from ranloop import Report, XApp
from ranloop.errors import ModelError, VocabularyError


def test_an_unknown_measurement_is_answered_with_near_matches() -> None:
    with pytest.raises(
        VocabularyError, match=r"unknown measurement 'DRB.UEThpDL'; did you mean .*DRB.UEThpDl"
    ):
        XApp().on_report("DRB.UEThpDL")  # type: ignore[arg-type]  # because the type checker knows it too


def test_a_measurement_at_a_level_it_does_not_have_is_refused() -> None:
    with pytest.raises(VocabularyError, match="level=cell"):
        XApp().on_report("RRC.ConnMean", level="ue")


def test_a_coroutine_handler_is_refused() -> None:
    async def handler(report: Report) -> None:
        return None

    with pytest.raises(TypeError, match="handler is a coroutine"):
        XApp().on_report("CQI")(handler)  # type: ignore[type-var]  # because that is the mistake


@pytest.mark.parametrize("period", ["1", "1h", "0ms", "fast"])
def test_a_period_without_a_unit_is_refused(period: str) -> None:
    with pytest.raises(ValueError, match='reads "100ms" or "1s"'):
        XApp().every(period)


def test_a_model_before_the_run_says_so() -> None:
    app = XApp()
    with pytest.raises(ModelError, match="used before the xApp runs"):
        _ = app.model("late_flow").model
