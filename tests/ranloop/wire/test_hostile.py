"""Bytes that are not a message of ours: a decoder answers them with one line of `WireError`, and nothing else."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.errors import WireError
from ranloop.wire import Answer, codec
from ranloop.wire.codec import encode, encode_json
from ranloop.wire.frame import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, most_header_bytes
from ranloop.wire.plain import MAX_JSON_BATCH_BYTES, MAX_JSON_BYTES
from tests.ranloop.wire import samples

SAMPLES = {kind: encode(message) for kind, message in samples.one_of_each().items()}
KINDS = sorted(SAMPLES)
# The same in the JSON form, where that is another one, as "report/json".
JSON_ALONE = ["catalogue", "order", "presence", "standing", "admission", "settings", "alarms"]
JSON_KINDS = ["action_batch/json", "answer/json", "report/json", "result/json", "step/json"]
SAMPLES |= {kind: encode_json(samples.one_of_each()[kind.split("/")[0]]) for kind in JSON_KINDS}


def decoder(kind: str) -> Callable[[bytes], Any]:
    decode: Callable[[bytes], Any] = getattr(codec, f"decode_{kind.split('/')[0]}")
    return decode


def refusal(kind: str, payload: bytes) -> str:
    with pytest.raises(WireError) as error:
        decoder(kind)(payload)
    text = str(error.value)
    assert text.isprintable()
    assert len(text) < 500
    return text


def survives(kind: str, payload: bytes) -> None:
    """Decode: a message or a `WireError` of one line; anything else fails the test."""
    try:
        decoder(kind)(payload)
    except WireError as error:
        assert "\n" not in str(error)  # noqa: PT017  # because most mutants are refused and some are still valid


@pytest.mark.parametrize("kind", KINDS + JSON_KINDS)
@given(payload=st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused_with_a_wire_error(kind: str, payload: bytes) -> None:
    survives(kind, payload)
    survives(kind, b'{"v":1,' + payload)
    survives(kind, payload + b"\n" + payload)


@pytest.mark.parametrize("kind", KINDS + JSON_KINDS)
def test_damaged_messages_are_decoded_or_refused_with_a_wire_error(kind: str) -> None:
    rng, payload = random.Random(kind), SAMPLES[kind]
    for _ in range(1500):
        mutant = bytearray(payload)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(mutant))
            how = rng.randrange(3)
            if how == 0:
                mutant[at] ^= 1 << rng.randrange(8)
            elif how == 1:
                del mutant[at : at + rng.choice((1, 4, 20))]
            else:
                mutant[at:at] = mutant[at : at + rng.choice((1, 4, 20))]
            if not mutant:
                break
        survives(kind, bytes(mutant))


@pytest.mark.parametrize("kind", KINDS + JSON_KINDS)
def test_every_truncation_is_refused(kind: str) -> None:
    payload = SAMPLES[kind]
    # What is JSON as a whole does without its padding; of a block every byte counts.
    is_whole_json = kind in JSON_ALONE or kind in JSON_KINDS
    for length in range(len(payload.rstrip()) if is_whole_json else len(payload)):
        refusal(kind, payload[:length])


@pytest.mark.parametrize("kind", KINDS + JSON_KINDS)
def test_every_header_value_replaced_by_something_hostile(kind: str) -> None:
    hostile = [
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 5000,
        b"-1",
        b"1.5",
        b"true",
        b"null",
        b'""',
        b"{}",
        b"[]",
        b"[" * 2000,
        b"[" * 100 + b"]" * 100,
        b'{"a":' * 2000,
        b'"\\ud800"',
        b'"\xff"',
        b'"' + b"x" * 70_000 + b'"',
        b'"../../etc"',
        b"[" + b"1," * 5000 + b"1]",
    ]
    payload = SAMPLES[kind]
    values = [
        match.span(1) for match in re.finditer(rb':("[^"]*"|-?[0-9.]+|true|false|null|\[[^\]]*\])', payload)
    ]
    assert len(values) > 3
    for start, end in values:
        for value in hostile:
            survives(kind, payload[:start] + value + payload[end:])


@pytest.mark.parametrize("kind", KINDS)
def test_headers_of_one_kind_on_blocks_of_another(kind: str) -> None:
    for other in KINDS:
        head, tail = SAMPLES[kind].split(b"\n", 1), SAMPLES[other].split(b"\n", 1)
        survives(kind, head[0] + b"\n" + tail[1])
        if other != kind:
            refusal(kind, SAMPLES[other])


@pytest.mark.parametrize("kind", KINDS + JSON_KINDS)
def test_another_major_version_is_refused_by_name(kind: str) -> None:
    payload = SAMPLES[kind].replace(b'{"v":1,', b'{"v":2,', 1)
    assert refusal(kind, payload).endswith("speaks version 2 of the wire; this ranloop reads version 1")
    # A later version may have changed everything else, too: the version still explains it.
    assert "version 3" in refusal(kind, b'{"v":3,"all":"new"}\n')
    assert "no version" in refusal(kind, b"{}\n")
    assert "no version" in refusal(kind, b"{}")
    assert "speaks version True" in refusal(kind, SAMPLES[kind].replace(b'{"v":1,', b'{"v":true,', 1))


@pytest.mark.parametrize("kind", KINDS + JSON_KINDS)
def test_keys_of_a_later_minor_version_are_ignored(kind: str) -> None:
    message = samples.one_of_each()[kind.split("/")[0]]
    extra = b'{"v":1,"new":[1,{"deep":NaN}],'
    payload = SAMPLES[kind].replace(b'{"v":1,', extra, 1)
    assert samples.same(message, decoder(kind)(payload))


@pytest.mark.parametrize(
    ("kind", "old", "new", "says"),
    [
        ("report", b'"rows":2', b'"rows":3', "3 counters and 3 rows of 4 float32 take 72 bytes, 56 follow"),
        ("report", b'"rows":2', b'"rows":99999999', "rows: Input should be less than or equal to 65536"),
        (
            "report",
            b'"level":"ue"',
            b'"level":"beam"',
            "level: Input should be 'cell', 'ue', 'slice', 'qos_flow' or 'ue_cell'",
        ),
        ("report", b'["ue","cell"]', b'["ue","bell"]', "id columns of level ue are"),
        ("report", b'"CQI"', b'"DRB.UEThpDl"', "stands there twice"),
        ("report", b'"7":"imsi-7"', b'"16777216":"x"', "Input should be less than 16777216"),
        ("report", b'["counted"]', b'["counted","counted"]', "a stamp's name stands there twice"),
        ("report", b'["counted"]', b"[]", "2 counters and 2 rows of 4 float32 take 48 bytes, 56 follow"),
        ("report", b'"rows":2', b'"rows":1048576', "rows: Input should be less than or equal to 65536"),
        (
            "action_batch",
            b"SetUeWeight",
            b"SetUeWeigth",
            "unknown action 'SetUeWeigth'; did you mean SetUeWeight",
        ),
        (
            "action_batch",
            b'["ue","weight"]',
            b'["ue"]',
            r"columns of SetUeWeight are \('ue', 'weight'\), not",
        ),
        ("action_batch", b'["ue","weight"]', b'["weight","ue"]', "columns of SetUeWeight are"),
        ("action_batch", b'"xapp":"qos"', b'"xapp":"q/s"', "xapp: String should match pattern"),
        (
            "action_batch",
            b'"lease_ms":300',
            b'"lease_ms":0',
            "lease_ms: Input should be greater than or equal to 1",
        ),
        ("action_batch", b'"atomic":false', b'"atomic":0', "atomic: Input should be a valid boolean"),
        (
            "action_batch",
            b'"waited_ns":20000000',
            b'"waited_ns":1099511627776',
            "waited_ns: Input should be less than 1099511627776",
        ),
        (
            "action_batch",
            b'"per-ue":264',
            b'"per-ue":1099511627776',
            "per-ue.: Input should be less than 1099511627776",
        ),
        ("result", b'"range"', b'"whim"', "causes/1/0"),
        ("presence", b'"pid":17', b'"pid":1e999', "not a finite number"),
        ("presence", b'"pid":17', b'"pid":[[[[[[[[[1]]]]]]]]]', "nested more than 8 deep"),
        ("order", b'"observe"', b'"rule"', "autonomy: Input should be"),
        (
            "catalogue",
            b'"control_delay_ms":10.0',
            b'"control_delay_ms":0',
            "control_delay_ms: Input should be greater",
        ),
        (
            "catalogue",
            b'"control_delay_ms":10.0',
            b'"control_delay_ms":NaN',
            "control_delay_ms: Input should be a finite",
        ),
        ("report/json", b"[7,9]", b"[7]", r"report: 1 entries of ue, 2 of cell"),
        ("report/json", b"[11.0,null]", b"[11.0]", r"report: 2 entries of ue, 1 of CQI"),
        ("report/json", b"[7,9]", b"[7,null]", "ids/ue/1: Input should be a valid integer"),
        ("report/json", b"[7,9]", b"[7,9.0]", "ids/ue/1: Input should be a valid integer"),
        ("report/json", b"[7,9]", b"[7,16777216]", "ids/ue/1: Input should be less than 16777216"),
        ("report/json", b"[7,9]", b"[7,-1]", "ids/ue/1: Input should be greater than or equal to 0"),
        ("report/json", b'"cell":[3,3]', b'"bell":[3,3]', "id columns of level ue are"),
        ("report/json", b"11.0", b"1e999", "values/CQI/0: Input should be a finite number"),
        ("report/json", b"11.0", b"NaN", "values/CQI/0: Input should be a finite number"),
        ("report/json", b"11.0", b"3.5e38", "report: a value is beyond float32"),
        ("report/json", b"11.0", b'"11"', "values/CQI/0: Input should be a valid number"),
        ("report/json", b"11.0", b"true", "values/CQI/0: Input should be a valid number"),
        ("report/json", b'"seq":4', b'"seq":-1', "seq: Input should be greater than or equal to 0"),
        ("action_batch/json", b"SetUeWeight", b"SetUeWeigth", "did you mean SetUeWeight"),
        (
            "action_batch/json",
            b'"ue":',
            b'"cell":',
            r"the targets of SetUeWeight are \('ue',\), not \('cell',\)",
        ),
        ("action_batch/json", b'"weight":', b'"w":', r"the parameters of SetUeWeight are \('weight',\), not"),
        ("action_batch/json", b"[1.0,4.0]", b"[1.0]", "action batch: 2 entries of ue, 1 of weight"),
        (
            "action_batch/json",
            b"[1.0,4.0]",
            b"[1.0,null]",
            "parameters/weight/1: Input should be a valid number",
        ),
        ("action_batch/json", b"[1.0,4.0]", b"[1.0,-1e39]", "action batch: a value is beyond float32"),
        ("result/json", b'"status":["applied"', b'"status":["done"', "status/0: Input should be 'applied'"),
        ("result/json", b'"cause":[0,1]', b'"cause":[0,2]', "result: cause: 2 is not below 2"),
        ("result/json", b'"cause":[0,1]', b'"cause":[0]', "result: 2 entries of ue, 1 of cause"),
        ("step/json", b'"level":"ue"', b'"level":"beam"', "step: reports/0/level: Input should be"),
        ("answer/json", b"[1.0,4.0]", b"[1.0]", "2 entries of ue, 1 of weight"),
    ],
)
def test_a_bound_that_is_broken_is_named(kind: str, old: bytes, new: bytes, says: str) -> None:
    assert old in SAMPLES[kind]
    assert re.search(says, refusal(kind, SAMPLES[kind].replace(old, new, 1)))


@pytest.mark.parametrize("wrong_id", [-1.0, 0.5, 2.0**24, np.nan, np.inf, -np.inf, -0.0])
def test_an_id_is_a_whole_number_below_2_to_the_24(wrong_id: float) -> None:
    report = samples.report()
    report.block[0, 0] = wrong_id
    assert re.search("not a whole number from 0 to 16777215|infinity", refusal("report", encode(report)))
    payload = bytearray(SAMPLES["action_batch"])
    payload[-16:-12] = np.float32(wrong_id).tobytes()
    assert "not a whole number from 0 to 16777215" in refusal("action_batch", bytes(payload))


@pytest.mark.parametrize("counter", [0, 1])
def test_sequence_number_and_ran_time_count_from_0(counter: int) -> None:
    payload = bytearray(SAMPLES["report"])
    at = payload.index(b"\n") + 1 + 8 * counter
    payload[at : at + 8] = (-1).to_bytes(8, "little", signed=True)
    assert "count from 0" in refusal("report", bytes(payload))


def test_a_report_has_256_measurements_at_most() -> None:
    names = ",".join(f'"n{n}"' for n in range(257)).encode()
    says = refusal("report", SAMPLES["report"].replace(b'"DRB.UEThpDl","CQI"', names))
    assert "names: List should have at most 256 items" in says


def test_a_step_has_4096_reports_at_most() -> None:
    lengths = ",".join(["0"] * 4097).encode()
    says = refusal("step", re.sub(rb'"reports":\[[\d,]+\]', b'"reports":[' + lengths + b"]", SAMPLES["step"]))
    assert "reports: List should have at most 4096 items" in says


def test_a_header_that_announces_more_than_is_ever_read_is_refused() -> None:
    names = ",".join(f'"n{n}"' for n in range(256)).encode()
    header = SAMPLES["report"].split(b"\n")[0].replace(b'"DRB.UEThpDl","CQI"', names)
    # 65536 rows of 2 ids and 256 measurements: 65536 * 258 * 4 bytes and the header.
    says = refusal("report", header.replace(b'"rows":2', b'"rows":65536') + b"\n")
    assert f"at most {MAX_PAYLOAD_BYTES} are read" in says


def test_infinity_is_not_a_measurement() -> None:
    report = samples.report()
    report.block[0, 2] = np.inf
    assert "infinity is not a value; no value is NaN" in refusal("report", encode(report))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_nothing_that_was_applied(value: float) -> None:
    payload = SAMPLES["result"][:-4] + np.float32(value).tobytes()
    assert "result: infinity is not a value" in refusal("result", payload)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_parameter_is_a_finite_number(value: float) -> None:
    payload = SAMPLES["action_batch"][:-4] + np.float32(value).tobytes()
    assert "a parameter of SetUeWeight is not a finite number" in refusal("action_batch", payload)


@pytest.mark.parametrize(
    ("column", "value", "says"), [(1, 6.0, "status: 6 is not below 6"), (2, 2.0, "cause: 2 is not")]
)
def test_status_and_cause_are_known(column: int, value: float, says: str) -> None:
    payload = bytearray(SAMPLES["result"])
    at = len(payload) - 2 * 4 * 4 + 4 * column  # two rows: target, status, cause, applied
    payload[at : at + 4] = np.float32(value).tobytes()
    assert says in refusal("result", bytes(payload))


def test_the_parts_of_a_step_fill_it_exactly() -> None:
    payload = SAMPLES["step"]
    assert "announced" in refusal("step", payload + b"\0\0\0\0")
    found = re.search(rb'"reports":\[(\d+),', payload)
    assert found is not None
    longer = payload.replace(found[1], b"%d" % (int(found[1]) + 4), 1)
    assert "announced" in refusal("step", longer)


@pytest.mark.parametrize("form", [encode, encode_json])
def test_the_error_of_an_xapp_cannot_write_to_the_terminal_of_the_host(
    form: Callable[[Answer], bytes],
) -> None:
    answer = Answer(xapp="a", step=1, error="Traceback:\n  x\x1b]0;title\x07\x9b2J\r\nZeroDivisionError")
    assert (
        decoder("answer")(form(answer)).error
        == "Traceback:\n  x\ufffd]0;title\ufffd\ufffd2J \nZeroDivisionError"
    )


@pytest.mark.parametrize("kind", JSON_ALONE + JSON_KINDS)
def test_bytes_after_a_message_of_json_are_refused(kind: str) -> None:
    assert "Invalid JSON: trailing characters" in refusal(kind, SAMPLES[kind].rstrip() + b"x")


@pytest.mark.parametrize("kind", KINDS + JSON_KINDS)
def test_oversized_payloads_are_not_parsed(kind: str) -> None:
    assert re.search(r"at most \d+ are read", refusal(kind, bytes(MAX_PAYLOAD_BYTES + 1)))
    block = b"0" if f"{kind}/json" in JSON_KINDS else b""
    long_header = b'{"v":1,"x":"' + b"x" * MAX_HEADER_BYTES + b'"}\n' + block
    if kind in KINDS:
        most = most_header_bytes(kind.replace("_", " "))
        too_long = f"at most {most} are read|without a header line within {most} bytes"
        assert re.search(too_long, refusal(kind, long_header))
    else:
        most = MAX_JSON_BATCH_BYTES if kind == "action_batch/json" else MAX_JSON_BYTES
        assert decoder(kind)(b" " * (most - len(SAMPLES[kind])) + SAMPLES[kind])
        says = refusal(kind, b" " * (most - len(SAMPLES[kind]) + 1) + SAMPLES[kind])
        assert says.endswith(f"of {most + 1} bytes; at most {most} are read")
