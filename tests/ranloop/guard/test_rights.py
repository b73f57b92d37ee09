"""What a manifest may ask for: names that exist, limits that fit."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ranloop.guard import ActionRight, Rights, StreamRight
from ranloop.wire.messages import Catalogue


def test_a_stream_names_measurements_of_its_level() -> None:
    StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDl", "CQI"))
    with pytest.raises(ValidationError, match=r"RRC\.ConnMean is measured per cell, not per ue"):
        StreamRight(level="ue", every_ms=100, measurements=("RRC.ConnMean",))


def test_a_misspelt_name_is_answered_with_near_ones() -> None:
    with pytest.raises(ValidationError, match=r"did you mean .*DRB\.UEThpDl"):
        StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDL1",))
    with pytest.raises(ValidationError, match="did you mean SetUeWeight"):
        ActionRight(name="SetUeWeigth")
    with pytest.raises(ValidationError, match="did you mean weight"):
        ActionRight(name="SetUeWeight", ranges={"wieght": (1, 2)})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ranges": {"weight": (2, 1)}}, "empty: 2 to 1"),
        ({"ranges": {"weight": (float("nan"), 1)}}, "finite"),
        ({"cells": ("site-1/a",)}, 'acts on a ue, not on a cell: `cells` must be "\\*"'),
        ({"rate_per_s": 0}, "greater than 0"),
        ({"max_targets": 0}, "greater than 0"),
        ({"speed": 3}, "Extra inputs"),
    ],
)
def test_an_action_right_that_makes_no_sense_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ActionRight.model_validate({"name": "SetUeWeight", **fields})


def test_a_handover_can_be_limited_to_target_cells() -> None:
    assert ActionRight(name="Handover", cells=("site-1/a",)).cells == ("site-1/a",)


def test_an_action_is_granted_once() -> None:
    with pytest.raises(ValidationError, match="SetUeWeight is granted twice"):
        Rights(actions=(ActionRight(name="SetUeWeight"), ActionRight(name="SetUeWeight")))


def test_a_measurement_is_listed_once() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        StreamRight(level="ue", every_ms=100, measurements=("CQI", "CQI"))


def test_a_lease_lasts_three_of_the_shortest_period() -> None:
    slow = StreamRight(level="cell", every_ms=1000, measurements=("RRC.ConnMean",))
    fast = StreamRight(level="ue", every_ms=100, measurements=("CQI",))
    right, timed = ActionRight(name="SetUeWeight"), ActionRight(name="SetUeWeight", every_ms=30_000)
    assert Rights(streams=(slow, fast)).default_lease_ms(right) == 300
    assert Rights(streams=(slow, fast)).default_lease_ms(timed) == 90_000
    assert Rights().default_lease_ms(right) == 3000  # no stream: as if it read every second


def test_a_node_without_reports_of_a_level_says_which_it_has() -> None:
    stream = StreamRight(level="qos_flow", every_ms=100, measurements=("CQI", "RSRP"))
    site = Catalogue(
        node="site0",
        measurements={"ue": ("CQI",), "cell": ()},
        actions=(),
        periods_ms=(100,),
        cells={},
        control_delay_ms=10,
    )
    assert stream.lacking(site) == ["site0 has no qos_flow reports; it has ue"]
