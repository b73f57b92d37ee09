"""The codec beside its floor: a bare struct header and the same float32 block, measured in turns.

The floor packs the counters of a report and the bytes of its block, and unpacks them into a matrix: no names, no
labels, no stamps by name, no checks, no message object. What the codec costs more is the price of those.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ranloop.vocabulary import SetUeWeight
from ranloop.wire import ActionBatch, Labels, Report, decode_action_batch, decode_report, encode

N_UE = 100
N_MEASUREMENTS = 12
SAMPLES = 20_000
_BATCH = 20  # calls per sample, so that the clock's own 50 ns do not count

_HEADER = struct.Struct("<32sHHIQQQQII")  # node, version, level, period, seq, time, two stamps, rows, columns


def _report() -> Report:
    rng = np.random.default_rng(1)
    block = rng.random((N_UE, 2 + N_MEASUREMENTS), np.float32)
    block[rng.random(block.shape) < 0.05] = np.nan  # some UEs have no value of something
    block[:, 0], block[:, 1] = np.arange(N_UE), np.arange(N_UE) % 3
    return Report(
        node="gnb-1",
        level="ue",
        period_ms=100,
        seq=4711,
        ran_time_ns=471_100_000_000,
        ids=("ue", "cell"),
        names=tuple(f"X.UE.Measurement{n}" for n in range(N_MEASUREMENTS)),
        block=block,
        labels=Labels(
            {
                "ue": {ue: f"ue-{ue}" for ue in range(N_UE)},
                "cell": {cell: f"cell-{cell}" for cell in range(3)},
            }
        ),
        stamps={"counted": 123_456_789_012, "built": 123_456_799_012},
    )


def _bare_encode(report: Report) -> bytes:
    rows, columns = report.block.shape
    stamps = report.stamps
    return (
        _HEADER.pack(
            b"gnb-1",
            1,
            1,
            report.period_ms,
            report.seq,
            report.ran_time_ns,
            stamps["counted"],
            stamps["built"],
            rows,
            columns,
        )
        + report.block.tobytes()
    )


def _bare_decode(payload: bytes) -> tuple[Any, ...]:
    header = _HEADER.unpack_from(payload)
    return (*header, np.frombuffer(payload, "<f4", offset=_HEADER.size).reshape(header[-2], header[-1]))


def _in_turns(calls: dict[str, Callable[[], object]]) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Microseconds per call, `SAMPLES` for each, taken in turns so that a busy machine slows all alike."""
    took_us = {name: np.empty(SAMPLES) for name in calls}
    for call in calls.values():
        for _ in range(1000):
            call()
    for sample in range(SAMPLES):
        for name, call in calls.items():
            began_ns = time.perf_counter_ns()
            for _ in range(_BATCH):
                call()
            took_us[name][sample] = (time.perf_counter_ns() - began_ns) / 1e3 / _BATCH
    return took_us


def run() -> list[dict[str, Any]]:
    """Rows {name, p50_us, p99_us, peer, ratio_p50, bar, ok}; a bar is a ratio to the peer, or microseconds."""
    report = _report()
    payload, bare = encode(report), _bare_encode(report)
    batch = ActionBatch(
        id="qos-1-17",
        xapp="qos",
        node="gnb-1",
        seq=17,
        action=SetUeWeight(ue=np.arange(N_UE), weight=np.linspace(1, 4, N_UE)),
        valid_until_ns=10**9,
        lease_ms=300,
        models=("late-flow@0a1b2c3d",),
        report_seq=4,
    )
    packed_batch = encode(batch)
    took_us = _in_turns(
        {
            "report: encode + decode": lambda: decode_report(encode(report)),
            "bare: encode + decode": lambda: _bare_decode(_bare_encode(report)),
            "report: encode": lambda: encode(report),
            "bare: encode": lambda: _bare_encode(report),
            "report: decode + check": lambda: decode_report(payload),
            "bare: decode": lambda: _bare_decode(bare),
            "100 targets: encode": lambda: encode(batch),
            "100 targets: decode + check": lambda: decode_action_batch(packed_batch),
        }
    )
    peers = {
        "report: encode + decode": ("bare: encode + decode", 3.0),
        "report: encode": ("bare: encode", None),
        "report: decode + check": ("bare: decode", None),
        "100 targets: encode": (None, 10.0),
        "100 targets: decode + check": (None, 20.0),
    }
    rows: list[dict[str, Any]] = []
    for name, (peer, bar) in peers.items():
        p50_us, p99_us = (float(value) for value in np.percentile(took_us[name], [50, 99]))
        ratio = p50_us / float(np.percentile(took_us[peer], 50)) if peer else None
        measured = p50_us if ratio is None else ratio
        rows.append(
            {
                "name": name,
                "p50_us": p50_us,
                "p99_us": p99_us,
                "peer": peer,
                "ratio_p50": ratio,
                "bar": bar,
                "ok": None if bar is None else measured <= bar,
            }
        )
    return rows


def main() -> None:
    print(f"{N_UE} UEs x {N_MEASUREMENTS} measurements; {SAMPLES} samples of {_BATCH} calls, in turns")
    print(f"{'':30}{'p50 us':>9}{'p99 us':>9}{'ratio':>8}{'bar':>7}  ok")
    for row in run():
        ratio = "" if row["ratio_p50"] is None else f"{row['ratio_p50']:.2f}"
        bar = "" if row["bar"] is None else f"{row['bar']:g}" + ("x" if row["ratio_p50"] else "us")
        ok = {True: "yes", False: "NO", None: ""}[row["ok"]]
        print(f"{row['name']:30}{row['p50_us']:9.2f}{row['p99_us']:9.2f}{ratio:>8}{bar:>7}  {ok}")


if __name__ == "__main__":
    main()
