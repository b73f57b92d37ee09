"""A node with two cells and two slices, and an xApp that may do everything there."""

from __future__ import annotations

from collections.abc import Callable

from ranloop.guard import ActionRight, Rights, StreamRight
from ranloop.vocabulary import ACTIONS
from ranloop.wire.messages import ActionBatch, Catalogue

BatchFactory = Callable[..., ActionBatch]

SLOT_NS = 500_000
DELAY_NS = 10_000_000
MS = 1_000_000

NODE = Catalogue(
    node="site-1",
    measurements={"ue": ("DRB.UEThpDl",)},
    actions=("Handover", "SetSliceQuota", "SetTxPower", "SetUeWeight"),
    periods_ms=(100,),
    cells={0: "site-1/a", 1: "site-1/b"},
    slices={1: "1-000001", 2: "2-000001"},
)
EVERYTHING = Rights(
    streams=(StreamRight(level="ue", every_ms=100, measurements=("DRB.UEThpDl",)),),
    actions=tuple(ActionRight(name=name, rate_per_s=1000) for name in ACTIONS),
)
