"""The counters of a run, and the hash over everything that happened in RAN time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ranloop.node.outlets import Event
from ranloop.node.summary import PASSES_KEPT, Tally, TraceHash
from ranloop.wire.messages import Cause, Report, Result, Standing, Status

REPORT = Report(
    node="n",
    level="cell",
    period_ms=100,
    seq=0,
    ran_time_ns=100_000_000,
    ids=("cell",),
    names=("RRC.ConnMean",),
    block=np.array([[0.0, 3.0]], np.float32),
)
RESULT = Result(
    id="b",
    xapp="x",
    node="n",
    action="SetUeWeight",
    targets=np.array([[7], [9], [11]], np.int32),
    status=np.array([Status.APPLIED, Status.APPLIED, Status.REFUSED], np.uint8),
    cause=np.array([0, 0, 1], np.uint8),
    causes=((Cause.NONE, ""), (Cause.RANGE, "weight 101")),
    applied=np.array([[2.0], [3.0], [np.nan]], np.float32),
    ran_time_ns=110_000_000,
)


def trace(*events: Event) -> str:
    trace_hash = TraceHash()
    for event in events:
        trace_hash.take(event)
    return trace_hash.hexdigest()


def test_targets_are_counted_by_their_fate() -> None:
    tally = Tally()
    for event in (REPORT, RESULT, RESULT):
        tally.take(event)
    assert tally.n_reports == 1
    assert tally.outcomes == {"applied": 4, "refused/range": 2}


def test_only_the_latest_passes_of_a_stage_are_kept() -> None:
    tally = Tally()
    for _ in range(PASSES_KEPT + 10):
        tally.took("step", 0)
    (passes,) = tally.latencies_ns().values()
    assert len(passes) == PASSES_KEPT
    assert (np.diff(passes) >= 0).all()  # each was noted later than the one before, since the same moment


@pytest.mark.parametrize(
    "change",
    [
        lambda: (replace(REPORT, ran_time_ns=200_000_000), RESULT),
        lambda: (replace(REPORT, block=np.array([[0.0, 4.0]], np.float32)), RESULT),
        lambda: (REPORT, replace(RESULT, applied=RESULT.applied + np.float32(1))),
        lambda: (REPORT, replace(RESULT, targets=RESULT.targets + np.int32(1))),
        lambda: (RESULT, REPORT),
        lambda: (REPORT,),
    ],
    ids=["time", "value", "applied", "target", "order", "missing"],
)
def test_the_hash_tells_runs_apart(change: Callable[[], tuple[Event, ...]]) -> None:
    assert trace(*change()) != trace(REPORT, RESULT)


def test_ids_stamps_and_other_events_are_no_part_of_the_hash() -> None:
    standing = Standing(node="n", order="1", killed=True, autonomy={}, orders={}, shut_out={}, refused="")
    other = (replace(REPORT, stamps={"built": 5}), standing, replace(RESULT, id="another"))
    assert trace(*other) == trace(REPORT, RESULT)
