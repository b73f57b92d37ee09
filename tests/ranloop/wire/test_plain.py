"""The JSON form: readable with a JSON parser alone, the same float32 on both sides, told from the binary form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ranloop.vocabulary import SetUeWeight
from ranloop.wire import Catalogue, Message, Report, Status, codec
from ranloop.wire.codec import decode_action_batch, decode_report, decode_result, encode, encode_json
from ranloop.wire.node_side import Answered, decode_line, encode_change
from ranloop.wire.plain import MAX_JSON_BYTES, is_json
from tests.ranloop.wire import samples
from tests.ranloop.wire.samples import same

PAGE = Path(__file__).parents[3] / "docs" / "wire.md"
WITH_BLOCKS = ("action_batch", "answer", "report", "result", "step")


def test_a_report_is_one_object_with_columns() -> None:
    assert json.loads(encode_json(samples.report())) == {
        "v": 1,
        "node": "gnb-1",
        "run": "",
        "level": "ue",
        "period_ms": 100,
        "seq": 4,
        "ran_time_ns": 500_000_000,
        "ids": {"ue": [7, 9], "cell": [3, 3]},
        "labels": {"ue": {"7": "imsi-7", "9": "imsi-9"}, "cell": {"3": "north"}},
        "values": {"DRB.UEThpDl": [1200.5, 0.0], "CQI": [11.0, None]},
        "stamps": {"counted": 123},
    }


def test_a_result_says_in_words_what_became_of_each_target() -> None:
    said = json.loads(encode_json(samples.result()))
    assert (said["targets"], said["status"]) == ({"ue": [7, 9]}, ["applied", "refused"])
    assert [said["causes"][at] for at in said["cause"]] == [["none", ""], ["range", "weight 4 is above 2"]]
    assert said["applied"] == {"weight": [1.0, None]}


def test_a_batch_may_leave_out_what_has_a_default_and_order_its_keys_as_it_likes() -> None:
    said = {
        "valid_until_ns": 5,
        "parameters": {"dedicated_pct": [0], "max_pct": [100], "min_pct": [40]},
        "targets": {"slice": [1], "cell": [3]},
        "action": "SetSliceQuota",
        "seq": 1,
        "node": "gnb-1",
        "xapp": "qos",
        "id": "a",
        "v": 1,
    }
    batch = decode_action_batch(json.dumps(said).encode())
    assert batch.action.targets().tolist() == [[3, 1]]
    assert batch.action.parameters().tolist() == [[40.0, 100.0, 0.0]]
    assert (batch.lease_ms, batch.atomic, batch.models, batch.report_seq) == (None, False, (), -1)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("kind", WITH_BLOCKS)
def test_json_is_read_however_it_is_laid_out(kind: str, indent: int | None, end: str) -> None:
    message: Any = samples.one_of_each()[kind]
    text = json.dumps(json.loads(encode_json(message)), indent=indent, sort_keys=True) + end
    read = getattr(codec, f"decode_{kind}")(text.encode())
    if kind == "report":  # sorted keys are sorted columns
        assert read.names == ("CQI", "DRB.UEThpDl")
        assert all(np.array_equal(read[name], message[name], equal_nan=True) for name in read.names)
    elif kind != "step":
        assert same(message, read)


def line_breaks(text: str) -> Iterator[str]:
    """The same JSON with one line break, at each place where one may stand."""
    in_text = False
    for at, sign in enumerate(text):
        in_text ^= sign == '"'  # the samples quote no quotation mark
        if not in_text and sign in "{}[],:":
            yield f"{text[:at]}\n{text[at:]}"
            yield f"{text[: at + 1]}\n{text[at + 1 :]}"


@pytest.mark.parametrize("kind", WITH_BLOCKS)
def test_a_line_may_break_anywhere_also_behind_a_brace(kind: str) -> None:
    decode, payload = getattr(codec, f"decode_{kind}"), encode_json(samples.one_of_each()[kind])
    wanted, texts = encode(decode(payload)), list(line_breaks(payload.decode()))
    assert any("}\n," in text for text in texts)
    for text in texts:
        assert encode(decode(text.encode())) == wanted, text


@pytest.mark.parametrize("value", [2e37, -2e37, 4e-19, 2e-33, 2e-32, 1e-30])
def test_a_block_that_ends_as_json_may_is_still_a_block(value: float) -> None:
    report = samples.report(block=np.array([[7, 3, 1, value]], np.float32))
    payload = encode(report)
    assert payload[-1] & 0x7F in b"} \t\n\r"
    assert not is_json(payload)
    assert same(report, decode_report(payload))


@pytest.mark.parametrize("kind", WITH_BLOCKS)
@given(data=st.data())
def test_the_two_forms_are_told_apart_by_content(kind: str, data: st.DataObject) -> None:
    message: Any = data.draw(samples.STRATEGIES[kind])
    parts = (
        getattr(message, "reports", ()) + getattr(message, "results", ()) + getattr(message, "batches", ())
    )
    is_frame_around_nothing = kind in ("step", "answer") and not parts  # where both forms are the same
    assert is_json(encode(message)) is is_frame_around_nothing
    assert is_json(encode_json(message))


def test_a_name_that_looks_like_the_binary_form_does_not_mislead() -> None:
    report = samples.report(names=("rows", "CQI"), stamps={"rows": 2})
    batch = samples.batch(stamps={"rows": 0})
    assert same(report, decode_report(encode_json(report) + b"\n"))
    assert same(batch, decode_action_batch(encode_json(batch) + b"\n"))


def written(values: Any) -> list[str | None]:
    """A column of a report as it stands in JSON, number for number."""
    block = np.zeros((len(values), 4), np.float32)
    block[:, 0], block[:, 2] = np.arange(len(values)), values
    column: list[str | None] = json.loads(encode_json(samples.report(block=block)), parse_float=str)[
        "values"
    ]["DRB.UEThpDl"]
    return column


@given(hnp.arrays(np.float32, 20, elements=st.floats(width=32, allow_infinity=False)))
def test_the_shortest_decimal_is_the_same_float32(values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    again = np.array([np.nan if text is None else float(text) for text in written(values)]).astype(np.float32)
    assert again.tobytes() == values.tobytes() or np.array_equal(again, values, equal_nan=True)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_shortest_decimal_is_what_numpy_prints(value: float) -> None:
    # NumPy prints a float32 by the shortest digits that identify it.
    (text,) = written([value])
    assert text is not None
    assert float(text) == float(str(np.float32(value)))


def test_six_digits_are_enough_for_what_has_no_more() -> None:
    # Seven digits of the float32 that is nearest to 0.000976565 are 0.0009765649.
    assert written([0.1, 0.000976565, 1 / 3, 16777216]) == ["0.1", "0.000976565", "0.33333334", "16777216.0"]


def test_json_has_short_decimals_that_read_back_as_the_same_float32() -> None:
    report = samples.report(block=np.array([[7, 3, 0.1, 1e-30], [9, 3, 3.4028235e38, -1e-45]], np.float32))
    payload = encode_json(report)
    assert b'"DRB.UEThpDl":[0.1,3.4028235e+38]' in payload
    assert same(report, decode_report(payload))


def test_columns_of_an_action_that_nobody_knows_have_numbers() -> None:
    result = samples.result(action="Levitate", applied=np.ones((2, 2), np.float32))
    payload = encode_json(result)
    assert json.loads(payload)["applied"] == {"0": [1.0, 1.0], "1": [1.0, 1.0]}
    assert same(result, decode_result(payload))


@pytest.mark.parametrize(
    "message",
    [
        samples.report(block=np.array([[7, 3, np.inf, 0]], np.float32)),
        samples.report(block=np.array([[7.5, 3, 0, 0]], np.float32)),
        samples.report(node="gNB/1"),
        samples.result(applied=np.array([[-np.inf], [1]], np.float32)),
    ],
    ids=["infinity", "half an id", "name", "minus infinity"],
)
def test_a_message_that_no_decoder_accepts_is_refused_at_sending(message: Message) -> None:
    with pytest.raises(ValueError, match=r"infinity is not a value|this cannot be sent"):
        encode_json(message)


def test_a_json_report_larger_than_a_reader_takes_is_refused_at_sending() -> None:
    rows = 1 << 16
    block = np.random.default_rng(1).random((rows, 12), np.float32)  # nine digits and more each
    block[:, :2] = 0
    report = samples.report(block=block, names=tuple(f"m{at}" for at in range(10)))
    with pytest.raises(ValueError, match=f"at most {MAX_JSON_BYTES} are read"):
        encode_json(report)


@pytest.mark.parametrize("kind", ["catalogue", "presence", "order", "standing"])
def test_what_has_no_block_is_json_in_both_forms(kind: str) -> None:
    message = samples.one_of_each()[kind]
    to_bytes: Callable[[Message], bytes] = encode_json
    assert to_bytes(message) == encode(message)
    said = json.loads(encode(message))
    for text in (json.dumps(said), json.dumps(said, indent=1, sort_keys=True) + "\n"):
        assert same(message, getattr(codec, f"decode_{kind}")(text.encode()))


def test_the_page_shows_messages_that_are_read() -> None:
    shown = re.findall(r"```json\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    report, batch, result, catalogue, measured, change, applied = shown
    assert decode_report(report.encode())["CQI"][0] == 11.0
    assert decode_action_batch(batch.encode()).action == SetUeWeight(ue=[7, 9], weight=[1, 4])
    assert decode_result(result.encode()).count(Status.REFUSED) == 1
    lines = [
        decode_line(json.dumps(json.loads(text)).encode() + b"\n") for text in (catalogue, measured, applied)
    ]
    assert isinstance(lines[0], Catalogue)
    assert isinstance(lines[1], Report)
    assert {*lines[1].names} == {*lines[0].measurements["ue"]}
    assert isinstance(lines[2], Answered)
    assert (lines[2].number, lines[2].reasons) == (3, {1: "it is being handed over"})
    asked = SetUeWeight(ue=[7, 9], weight=[4.0, float("nan")])
    assert json.loads(change) == json.loads(encode_change(3, asked))
