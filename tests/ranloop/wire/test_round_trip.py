"""What is encoded comes back the same: every message, by property and by example."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.errors import WireError
from ranloop.wire import ActionBatch, Answer, Labels, Message, Presence, Report, Step, codec, reports
from ranloop.wire.codec import decode_answer, decode_presence, decode_report, decode_step, encode, encode_json
from ranloop.wire.inference import Inference
from ranloop.wire.reports import _STREAMS_KEPT
from tests.ranloop.wire import samples
from tests.ranloop.wire.samples import same

KINDS = sorted(samples.one_of_each())


def decoder(kind: str) -> Callable[[bytes], Any]:
    decode: Callable[[bytes], Any] = getattr(codec, f"decode_{kind}")
    return decode


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_each_comes_back(kind: str) -> None:
    message = samples.one_of_each()[kind]
    assert same(message, decoder(kind)(encode(message)))
    assert same(message, decoder(kind)(encode_json(message)))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_every_valid_message_comes_back(kind: str, data: st.DataObject) -> None:
    message = data.draw(samples.STRATEGIES[kind])
    assert same(message, decoder(kind)(encode(message)))
    assert same(message, decoder(kind)(encode_json(message)))


def test_a_report_is_a_line_that_a_person_can_read_then_counters_and_one_block() -> None:
    header, rest = encode(samples.report()).split(b"\n", 1)
    assert json.loads(header) == {
        "v": 1,
        "level": "ue",
        "period_ms": 100,
        "rows": 2,
        "node": "gnb-1",
        "run": "",
        "stamps": ["counted"],
        "ids": ["ue", "cell"],
        "names": ["DRB.UEThpDl", "CQI"],
        "labels": {"ue": {"7": "imsi-7", "9": "imsi-9"}, "cell": {"3": "north"}},
    }
    counters, block = rest[:24], rest[24:]
    # int64, little endian: sequence number 4, RAN time 500 000 000 ns = 0x1dcd6500, "counted" at 123 = 0x7b.
    assert counters == bytes.fromhex("0400000000000000 0065cd1d00000000 7b00000000000000")
    # IEEE 754 single, little endian, row by row: UE 7 in cell 3 at 1200.5, CQI 11; UE 9 at 0, no CQI.
    assert block == bytes.fromhex("0000e040 00004040 00109644 00003041 00001041 00004040 00000000 0000c07f")


@pytest.mark.parametrize("node", ["a", "ab", "abc", "abcd"])
def test_a_block_begins_at_a_multiple_of_eight_bytes_and_is_a_view(node: str) -> None:
    payload = encode(samples.report(node=node))
    report = decode_report(payload)
    block_starts_at = len(payload) - report.block.nbytes
    assert block_starts_at % 8 == 0
    assert report.block.flags.aligned
    assert not report.block.flags.owndata


@pytest.mark.parametrize("to_bytes", [encode, encode_json])
@pytest.mark.parametrize("kind", ["report", "action_batch", "result"])
def test_what_is_decoded_cannot_be_written_to(kind: str, to_bytes: Callable[[Message], bytes]) -> None:
    message = decoder(kind)(to_bytes(samples.one_of_each()[kind]))
    arrays = {
        "report": lambda m: [m.block],
        "action_batch": lambda m: [m.action.ue, m.action.weight],
        "result": lambda m: [m.targets, m.status, m.cause, m.applied],
    }[kind](message)
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(TypeError, match="does not support item assignment"):
        message.stamps["x"] = 1


def test_labels_that_changed_in_place_are_sent_as_they_are_now() -> None:
    labels = {"ue": {7: "first", 9: "second"}}
    assert decode_report(encode(samples.report(labels=labels))).labels == labels
    labels["ue"][9] = "another"
    assert decode_report(encode(samples.report(labels=labels))).labels["ue"][9] == "another"


def test_labels_are_as_they_were_when_they_were_made() -> None:
    names = {7: "first", 9: "second"}
    labels = Labels({"ue": names})
    names[9] = "another"
    assert labels == {"ue": {7: "first", 9: "second"}}
    with pytest.raises(TypeError, match="does not support item assignment"):
        labels["ue"][9] = "another"  # type: ignore[index]  # because the wrong use is the point


def test_other_labels_of_the_same_stream_are_sent_whatever_they_are() -> None:
    first, second = Labels({"ue": {7: "first"}}), Labels({"ue": {7: "second"}})
    for labels in (first, second, first, {"ue": {7: "third"}}, first, {}):
        assert decode_report(encode(samples.report(labels=labels))).labels == labels


def test_a_report_passed_on_takes_its_labels_along() -> None:
    arrived = decode_report(encode(samples.report()))
    assert same(arrived, decode_report(encode(arrived)))


def test_a_decoded_report_is_a_report_like_any_other() -> None:
    arrived = decode_report(encode(samples.report()))
    assert type(arrived) is Report
    assert dataclasses.replace(arrived, seq=5).seq == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        arrived.seq = 5  # type: ignore[misc]  # because the wrong use is the point


def test_ids_are_checked_again_when_they_change_in_a_known_stream() -> None:
    good, bad = samples.report(), samples.report()
    bad.block[1, 0] = 9.5
    decode_report(encode(good))
    with pytest.raises(WireError, match="not a whole number"):
        decode_report(encode(bad))
    assert same(good, decode_report(encode(good)))


def test_many_streams_do_not_disturb_each_other() -> None:
    many = [samples.report(node=f"gnb-{n}", period_ms=n + 1) for n in range(600)]
    for _ in range(2):
        for report in many:
            assert same(report, decode_report(encode(report)))


def test_what_is_kept_of_streams_is_bounded_on_both_sides() -> None:
    first, again = (samples.report(node="kept") for _ in range(2))
    names = decode_report(encode(first)).names
    assert decode_report(encode(again)).names is names  # a stream that is known
    for n in range(2 * _STREAMS_KEPT):
        decode_report(encode(samples.report(node=f"other-{n}")))
    assert decode_report(encode(again)).names is not names  # learnt anew
    assert len(reports._streams) <= _STREAMS_KEPT
    assert len(reports._headers) <= _STREAMS_KEPT


def test_a_block_of_another_memory_order_is_sent_row_by_row() -> None:
    report = samples.report()
    assert encode(samples.report(block=np.asfortranarray(report.block))) == encode(report)


def test_numpy_numbers_travel_as_numbers() -> None:
    presence = Presence(name="qos", alive=True, facts={"pid": np.int64(17), "load": np.float32(0.5)})
    assert decode_presence(encode(presence)).facts == {"pid": 17, "load": 0.5}
    step = Step(host="sim", step=int(np.int64(3)), ran_time_ns=5, reports=(samples.report(seq=np.int64(8)),))
    assert decode_step(encode(step)).reports[0].seq == 8


def test_of_a_long_traceback_the_end_travels() -> None:
    said = Answer(xapp="qos", step=1, error="x" * 100_000 + "ValueError: here")
    for answer in (decode_answer(encode(said)), decode_answer(encode_json(said))):
        assert len(answer.error) == 65_536
        assert answer.error.endswith("ValueError: here")


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": 1 << 63},
        {"seq": 4.0},
        {"stamps": {"counted": 1.5}},
        {"stamps": {"two words": 1}},
        {"names": ("CQI",)},
        {"names": ("CQI", "CQI")},
        {"names": ("CQI", "two words")},
        {"node": "gNB/1"},
        {"ids": ("cell", "ue")},
        {"block": np.zeros((2, 4))},
    ],
)
def test_a_report_that_nobody_could_read_is_not_sent(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="report"):
        encode(samples.report(**wrong))


@pytest.mark.parametrize("fact", [float("nan"), float("inf"), 1 << 80, [[[[[[[[[1]]]]]]]]], object()])
def test_a_fact_that_json_cannot_carry_is_not_sent(fact: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(Presence(name="qos", alive=True, facts={"x": fact}))


def cells_of_ues() -> Report:
    """UE 9, served by cell 1, and UE 4, served by cell 0, with a neighbour each; cell 5 is another node's."""
    return samples.report(
        level="ue_cell",
        ids=("ue", "cell", "measured_cell"),
        names=("RSRP",),
        block=np.array([[9, 1, 1, -90], [4, 0, 0, -80], [9, 1, 5, -95], [4, 0, 1, -88]], np.float32),
        labels={"measured_cell": {0: "north", 1: "south", 5: "far/0"}},
    )


def test_the_cells_that_ues_measure_come_back_in_both_forms() -> None:
    sent = cells_of_ues()
    for came in (decode_report(encode(sent)), decode_report(encode_json(sent))):
        assert same(sent, came)
        assert came.measured_cell.tolist() == [1, 0, 5, 1]


def test_other_ids_in_the_rows_of_a_known_stream_are_checked_again() -> None:
    """The rank of a neighbour changes from report to report, so the memory of checked ids must notice."""
    sent = cells_of_ues()
    decode_report(encode(sent))
    other = bytearray(encode(dataclasses.replace(sent, block=sent.block[[1, 0, 3, 2]])))
    assert decode_report(bytes(other)).measured_cell.tolist() == [0, 1, 1, 5]
    other[-8:-4] = np.float32(0.5).tobytes()  # the last row's measured cell
    with pytest.raises(WireError, match="an id or index is not a whole number"):
        decode_report(bytes(other))


def test_a_report_gives_each_ue_with_its_rows_in_their_order() -> None:
    assert [(ue, rows.tolist()) for ue, rows in cells_of_ues().by_ue()] == [(4, [1, 3]), (9, [0, 2])]
    empty = dataclasses.replace(cells_of_ues(), block=np.empty((0, 4), np.float32))
    assert list(empty.by_ue()) == []


def test_names_are_the_nodes_own_and_empty_where_it_gave_none() -> None:
    report = cells_of_ues()
    assert report.names_of("measured_cell").tolist() == ["south", "north", "far/0", "south"]
    assert report.names_of("ue").tolist() == [""] * 4
    # A column as the ids are: a comparison is a mask, and of no rows it is one, too.
    assert report.measured_cell[report.names_of("measured_cell") == "south"].tolist() == [1, 1]
    assert (dataclasses.replace(report, block=report.block[:0]).names_of("ue") == "x").tolist() == []


def test_of_more_placed_answers_than_a_reader_takes_the_first_travel() -> None:
    """A handler may ask a placed model for each of many cells; its action is to arrive all the same. The bound is 64."""
    answers = tuple(Inference(model="m@0", tier="edge", reason="stay", asked_ns=n) for n in range(65))
    batch = samples.one_of_each()["action_batch"]
    assert isinstance(batch, ActionBatch)
    batch = dataclasses.replace(batch, inferences=answers)
    for payload in (encode(batch), encode_json(batch)):
        assert decoder("action_batch")(payload).inferences == answers[:64]
