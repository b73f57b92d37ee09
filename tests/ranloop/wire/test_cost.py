"""To refuse a message costs no more than to accept the largest valid one of its kind, and padding is not kept."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from ranloop.errors import WireError
from ranloop.vocabulary import SetUeWeight
from ranloop.wire import ActionBatch, Answer, Catalogue, Message, Presence, Report, codec
from ranloop.wire.checking import MAX_BRACKETS
from ranloop.wire.codec import decode_action_batch, encode, encode_json
from ranloop.wire.frame import MAX_ROWS, most_header_bytes
from ranloop.wire.plain import MAX_JSON_BATCH_BYTES, MAX_JSON_BYTES
from tests.ranloop.wire import samples

FACTOR = 4  # of CPU time and of memory


def batch(rows: int) -> ActionBatch:
    return ActionBatch(
        id="a-1",
        xapp="a",
        node="n",
        seq=1,
        action=SetUeWeight(ue=np.arange(rows), weight=1.5),
        valid_until_ns=1,
        lease_ms=300,
    )


def report(rows: int, measurements: int) -> Report:
    block = np.zeros((rows, 2 + measurements), np.float32)
    block[:, 0] = np.arange(rows)
    return Report(
        node="n",
        level="ue",
        period_ms=100,
        seq=1,
        ran_time_ns=1,
        ids=("ue", "cell"),
        names=tuple(f"m{n}" for n in range(measurements)),
        block=block,
        labels={"ue": {ue: f"ue-{ue}" for ue in range(rows)}},
    )


CATALOGUE = Catalogue(
    node="n",
    measurements={},
    actions=(),
    periods_ms=(100,),
    cells={cell: f"{cell}" for cell in range(MAX_ROWS)},
)
# Kind -> (the largest valid message that somebody may have to say, bytes that are read of its JSON).
LARGEST = {
    "action_batch": (encode(batch(MAX_ROWS)), most_header_bytes("action batch")),
    "action_batch/json": (encode_json(batch(MAX_ROWS)), MAX_JSON_BATCH_BYTES),
    "answer/json": (
        encode_json(Answer(xapp="a", step=1, batches=(batch(MAX_ROWS),) * 5)),
        MAX_JSON_BYTES,
    ),
    "report/json": (encode_json(report(4096, 200)), MAX_JSON_BYTES),
    "catalogue": (encode(CATALOGUE), most_header_bytes("catalogue")),
    "presence": (
        encode(Presence(name="n", alive=True, facts={"xapps": [f"x{n}" for n in range(8000)]})),
        most_header_bytes("presence"),
    ),
}


def sample(kind: str) -> Message:
    return samples.one_of_each()[kind.split("/")[0]]


def decoder(kind: str) -> Callable[[bytes], Any]:
    decode: Callable[[bytes], Any] = getattr(codec, f"decode_{kind.split('/')[0]}")
    return decode


Place = tuple[str, str]  # what is wrong, and the key where it stands


def hostile(
    kind: str, most_bytes: int, places: Collection[Place] | None = None
) -> Iterator[tuple[Place, bytes]]:
    """Messages of `most_bytes`, wrong in as many places as find room, in each of their keys, or only at `places`."""
    line, newline, block = (encode_json if "/" in kind else encode)(sample(kind)).partition(b"\n")
    valid = json.loads(line)
    room = most_bytes - len(line) - 100
    junk = {
        f"list of {item.decode()}": b"[" + (item + b",") * (room // (len(item) + 1)) + item + b"]"
        for item in (b"1", b'"x"', b"{}")
    } | {
        f"object of {value.decode()}": b"{" + b",".join(b'"%d":%s' % (key, value) for key in range(room // (9 + len(value)))) + b"}"
        for value in (b"1", b"[]")
    }  # fmt: skip
    for key in [*valid, "unknown"]:
        others = json.dumps({name: value for name, value in valid.items() if name != key})[1:-1].encode()
        wrong = {what: b'{"%s":%s,%s}' % (key.encode(), text, others) for what, text in junk.items()}
        wrong["alone"] = b'{"v":1,"%s":%s}' % (key.encode(), junk["list of 1"])  # all other keys are missing
        for inside in valid[key] if isinstance(valid.get(key), dict) else ():
            text = b'{"%s":%s}' % (inside.encode(), junk['list of "x"'])
            wrong[f"inside {inside}"] = b'{"%s":%s,%s}' % (key.encode(), text, others)
        for what, text in wrong.items():
            if places is None or (what, key) in places:
                yield (what, key), text + newline + block


def dearest(kind: str, most_bytes: int) -> list[bytes]:
    """The three dearest messages, by one look at each wrong thing in the key where a message of a tenth of the size is dearest."""
    decode = decoder(kind)
    found = {place: cpu_s(decode, payload) for place, payload in hostile(kind, most_bytes // 10)}
    worst: dict[str, Place] = {}
    for place in sorted(found, key=found.__getitem__):
        worst[place[0]] = place
    payloads = [payload for _, payload in hostile(kind, most_bytes, worst.values())]
    return sorted(payloads, key=lambda payload: cpu_s(decode, payload))[-3:]


def cpu_s(decode: Callable[[bytes], Any], payload: bytes) -> float:
    began_s = time.thread_time()
    with suppress(WireError):
        decode(payload)
    return time.thread_time() - began_s


def times_as_dear(decode: Callable[[bytes], Any], payload: bytes, accepted: bytes, tries: int = 3) -> float:
    """The least CPU time of `payload` in that of `accepted`, decoded in turns: a busy spell meets both."""
    pairs = [(cpu_s(decode, payload), cpu_s(decode, accepted)) for _ in range(tries)]
    return min(payload_s for payload_s, _ in pairs) / max(1e-3, min(accepted_s for _, accepted_s in pairs))


def peak_bytes(decode: Callable[[bytes], Any], payload: bytes) -> int:
    tracemalloc.start()
    with suppress(WireError):
        decode(payload)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak_bytes


@pytest.mark.parametrize("kind", LARGEST)
def test_to_refuse_costs_no_more_than_to_accept_the_largest(kind: str) -> None:
    largest, most_bytes = LARGEST[kind]
    decode = decoder(kind)
    decode(largest)  # it is valid
    payloads = dearest(kind, most_bytes)
    assert max(times_as_dear(decode, payload, largest) for payload in payloads) < FACTOR
    most_peak_bytes = FACTOR * max(peak_bytes(decode, largest), 1 << 20)
    assert max(peak_bytes(decode, payload) for payload in payloads) < most_peak_bytes


@pytest.mark.parametrize("kind", ["action_batch/json", "answer/json", "report/json", "catalogue"])
def test_more_lists_than_a_message_needs_are_not_parsed(kind: str) -> None:
    decode, good = decoder(kind), LARGEST[kind][0]
    for brackets, is_read in ((MAX_BRACKETS - 1000, True), (MAX_BRACKETS + 1, False)):
        payload = b'{"x":[' + b"[]," * brackets + b"[]]," + encode_json(sample(kind))[1:]
        if is_read:
            decode(payload)
        else:
            with pytest.raises(WireError, match=f"more than {MAX_BRACKETS} lists and objects"):
                decode(payload)
    assert decode(good)


def test_columns_do_not_keep_the_padding_of_their_message() -> None:
    """512 batches of one target, padded to 30 kB each, are 15 MB of messages and far less of columns."""
    header, block = encode(batch(1)).split(b"\n", 1)
    padded = header.rstrip() + b" " * 30_000 + b"\n" + block
    gc.collect()
    tracemalloc.start()
    kept = [decode_action_batch(padded[:-1] + padded[-1:]).action for _ in range(512)]
    held_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(kept) == 512
    assert held_bytes < 1 << 20


@pytest.mark.parametrize("form", [encode, encode_json])
def test_padding_and_unknown_keys_are_read_up_to_a_bound(form: Callable[[ActionBatch], bytes]) -> None:
    payload = form(batch(1))
    for junk in (b" " * 1_100_000, b'"x":"' + b"y" * 1_100_000 + b'",'):
        with pytest.raises(WireError, match=r"header line within 32768 bytes|at most 1048576 are read"):
            decode_action_batch(b"{" + junk + payload[1:])


@pytest.mark.parametrize(
    ("kind", "most_bytes"),
    [
        ("order", 1 << 12),
        ("settings", 1 << 15),
        ("presence", 1 << 16),
        ("admission", 1 << 16),
        ("standing", 1 << 17),
        ("alarms", 1 << 18),
    ],
)
def test_what_has_no_block_is_read_up_to_a_bound_of_its_kind(kind: str, most_bytes: int) -> None:
    payload = encode(sample(kind))

    def padded(n_bytes: int) -> bytes:
        return b"{" + b" " * (n_bytes - len(payload)) + payload[1:]

    decoder(kind)(padded(most_bytes))
    with pytest.raises(WireError, match=f"{kind} of {most_bytes + 1} bytes; at most {most_bytes} are read"):
        decoder(kind)(padded(most_bytes + 1))
