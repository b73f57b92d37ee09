"""The cost of an action on its way: encode, decode, judge, apply, settle, encode and decode the result, for 100 UEs.

The world does nothing, so this is the cost of the guard and the wire alone; the bus between is left out.
Two cases: every value changes each time, and all of them are merely renewed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.measure import ROUNDS, Row, latency_row
from ranloop.guard import ActionRight, AuditLog, Guard, Rights
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import ActionBatch, Catalogue, Status
from ranloop.wire.codec import decode_action_batch, decode_result, encode

N_UE = 100
SAMPLES = 20_000
BAR_US = 200.0  # of the whole path
_WARM_UP = 1000
_PERIOD_NS = 100_000_000
_DELAY_NS = 10_000_000
_STAGES = ("encode action", "decode action", "judge", "come due", "settle", "encode result", "decode result")


def _guard() -> Guard:
    catalogue = Catalogue(
        node="gnb-1",
        measurements={},
        actions=("SetUeWeight",),
        periods_ms=(100,),
        cells={0: "gnb-1/0"},
    )
    guard = Guard(catalogue, control_delay_ns=_DELAY_NS, slot_ns=500_000, audit=AuditLog())
    guard.register("qos", Rights(actions=(ActionRight(name="SetUeWeight"),)))
    return guard


def _pass(guard: Guard, batch: ActionBatch, now_ns: int, took_ns: list[int]) -> None:
    """One batch from the xApp's hand to its result; appends the time after each stage."""
    clock = time.perf_counter_ns
    took_ns.append(clock())
    packed = encode(batch)
    took_ns.append(clock())
    arrived = decode_action_batch(packed)
    took_ns.append(clock())
    guard.submit(arrived, sender="qos", now_ns=now_ns)
    took_ns.append(clock())
    changes = guard.due(now_ns + _DELAY_NS)
    change = next(changes)
    took_ns.append(clock())
    (result,) = guard.settle(change, change.action.parameters(), now_ns + _DELAY_NS)
    took_ns.append(clock())
    packed = encode(result)
    took_ns.append(clock())
    answer = decode_result(packed)
    took_ns.append(clock())
    if answer.count(Status.APPLIED) != N_UE or next(changes, None) is not None:
        raise RuntimeError(f"not everything was applied: {answer.causes}")


def _measure(weights: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Microseconds per stage, shape [SAMPLES, stages]; the batches take the rows of `weights` in turn."""
    guard, ues = _guard(), np.arange(N_UE)
    took_ns: list[int] = []
    for k in range(_WARM_UP + SAMPLES):
        now_ns = k * _PERIOD_NS
        batch = ActionBatch(
            id=f"qos-1-{k}",
            xapp="qos",
            node="gnb-1",
            seq=k,
            action=SetUeWeight(ue=ues, weight=weights[k % len(weights)]),
            valid_until_ns=now_ns + 2 * _PERIOD_NS,
            lease_ms=300,
            models=("late-flow@0a1b2c3d",),
            report_seq=k,
        )
        _pass(guard, batch, now_ns, took_ns)
    stamps = np.array(took_ns, np.int64).reshape(_WARM_UP + SAMPLES, len(_STAGES) + 1)[_WARM_UP:]
    return np.diff(stamps, axis=1) / 1e3


def run() -> list[Row]:
    """The whole path against its bar, and its stages."""
    rng = np.random.default_rng(1)
    changing = rng.uniform(0.5, 4, (2, N_UE))
    rows: list[Row] = []
    for case, weights in (("changed", changing), ("renewed", changing[:1])):
        took_us = _measure(weights).reshape(ROUNDS, -1, len(_STAGES))
        rows.append(latency_row(f"action path, {case}", took_us.sum(axis=2), bar=BAR_US, note="100 targets"))
        rows += [
            latency_row(f"action path, {case}: {stage}", took_us[:, :, i]) for i, stage in enumerate(_STAGES)
        ]
    return rows
