"""The streams that an xApp reads by its rights, and the columns that all xApps read together."""

from __future__ import annotations

import pytest

from ranloop.errors import NodeError
from ranloop.guard import Rights, StreamRight
from ranloop.node.streams import merged, readable
from ranloop.testing.worlds import ToyWorld

CATALOGUES = ToyWorld().catalogues


def reads(*names: str, every_ms: int = 100) -> StreamRight:
    return StreamRight(level="ue", every_ms=every_ms, measurements=names)


def test_an_xapp_reads_its_columns_in_its_order_at_every_node_that_has_them() -> None:
    rights = Rights(streams=(reads("X.UE.Weight"), reads("DRB.UEThpDl", "X.UE.Weight")))
    columns = ("X.UE.Weight", "DRB.UEThpDl")
    assert readable("x", rights, CATALOGUES) == {("toy-1", "ue", 100): columns, ("toy-2", "ue", 100): columns}


def test_a_stream_that_no_node_offers_is_refused_by_name() -> None:
    with pytest.raises(NodeError, match=r"x reads ue reports every 100 ms, but toy-1 .*RSRP"):
        readable("x", Rights(streams=(reads("RSRP"),)), CATALOGUES)
    with pytest.raises(NodeError, match="there is no node"):
        readable("x", Rights(streams=(reads("RSRP"),)), ())


def test_streams_merge_by_name_and_periods_stay_apart() -> None:
    fast, slow = ("n", "ue", 100), ("n", "ue", 1000)
    assert merged([{slow: ("a",), fast: ("a", "b")}, {fast: ("c",)}]) == {
        fast: frozenset("abc"),
        slow: frozenset("a"),
    }
