"""Where messages travel: what a broker's access list tells apart."""

from __future__ import annotations

import pytest

from ranloop.bus.filters import matches
from ranloop.wire import topics


def test_every_topic_begins_with_the_major_version() -> None:
    assert topics.report("gnb-1", "ue", 100) == "ranloop/1/report/gnb-1/ue/100"
    assert topics.act("qos", "gnb-1") == "ranloop/1/act/qos/gnb-1"
    assert topics.result("qos", "gnb-1") == "ranloop/1/result/qos/gnb-1"
    assert topics.step("sim", "qos") == "ranloop/1/step/sim/qos"
    assert topics.answer("qos", "sim") == "ranloop/1/answer/qos/sim"
    assert topics.catalogue("gnb-1") == "ranloop/1/catalogue/gnb-1"
    assert topics.presence("qos") == "ranloop/1/presence/qos"
    assert topics.order("gnb-1") == "ranloop/1/order/gnb-1"


def test_a_filter_made_with_plus_hears_the_topics_made_without() -> None:
    assert matches(topics.act("+", "gnb-1"), topics.act("qos", "gnb-1"))
    assert not matches(topics.act("+", "gnb-1"), topics.act("qos", "gnb-2"))


@pytest.mark.parametrize("name", ["", "a/b", "#", "A", "ü", "a b", "x" * 65, "$SYS"])
def test_a_name_cannot_reach_outside_its_level(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a topic"):
        topics.act(name, "gnb-1")


def test_levels_undo_a_topic() -> None:
    assert topics.levels(topics.report("gnb-1", "ue", 100)) == ["report", "gnb-1", "ue", "100"]
    assert topics.levels("ranloop/2/report/gnb-1/ue/100") == []
    assert topics.levels("ranloop/10/x") == []
