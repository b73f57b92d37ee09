"""The codec beside its floor: a bare struct header and the same float32 block, measured in turns.

The floor packs the counters of a report and the bytes of its block, and unpacks them into a matrix: no names, no
labels, no stamps by name, no checks, no message object. The difference between codec and floor is the cost of these.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from benchmarks.measure import Row, in_turns, latency_row
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import ActionBatch, Labels, Report
from ranloop.wire.codec import decode_action_batch, decode_report, encode, encode_json

N_UE = 100
N_MEASUREMENTS = 12
SAMPLES = 20_000
JSON_SAMPLES = 4_000
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


def run() -> list[Row]:
    """The report against the bare block; a batch of 100 targets beside them."""
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
    took_us = in_turns(
        {
            "report": lambda: decode_report(encode(report)),
            "bare": lambda: _bare_decode(_bare_encode(report)),
            "report, encode": lambda: encode(report),
            "bare, encode": lambda: _bare_encode(report),
            "report, decode": lambda: decode_report(payload),
            "bare, decode": lambda: _bare_decode(bare),
            "batch, encode": lambda: encode(batch),
            "batch, decode": lambda: decode_action_batch(packed_batch),
        },
        samples=SAMPLES,
        calls_per_sample=_BATCH,
    )
    note = f"{N_UE} UEs x {N_MEASUREMENTS} measurements"
    peer = "bare struct and block"
    return [
        latency_row(
            "codec, report, encode + decode",
            took_us["report"],
            peer=peer,
            peer_took=took_us["bare"],
            bar=3.0,
            note=note,
        ),
        latency_row(
            "codec, report, encode", took_us["report, encode"], peer=peer, peer_took=took_us["bare, encode"]
        ),
        latency_row(
            "codec, report, decode", took_us["report, decode"], peer=peer, peer_took=took_us["bare, decode"]
        ),
        latency_row("codec, 100 targets, encode", took_us["batch, encode"]),
        latency_row("codec, 100 targets, decode", took_us["batch, decode"]),
        *_json_rows(report, batch),
    ]


def _json_rows(report: Report, batch: ActionBatch) -> list[Row]:
    """The JSON form beside the binary one: the cost that is spared if no xApp asks for it."""
    plain, packed, plain_batch = encode_json(report), encode(report), encode_json(batch)
    took_us = in_turns(
        {
            "encode": lambda: encode_json(report),
            "decode": lambda: decode_report(plain),
            "binary, encode": lambda: encode(report),
            "binary, decode": lambda: decode_report(packed),
            "batch, decode": lambda: decode_action_batch(plain_batch),
        },
        samples=JSON_SAMPLES,
    )
    peer = "the binary form"
    note = f"{len(plain)} bytes, binary {len(packed)}"
    return [
        latency_row(
            f"codec, report in JSON, {way}",
            took_us[way],
            peer=peer,
            peer_took=took_us[f"binary, {way}"],
            note=note,
        )
        for way in ("encode", "decode")
    ] + [latency_row("codec, 100 targets in JSON, decode", took_us["batch, decode"])]
