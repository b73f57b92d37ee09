"""The lines between a host and a RAN node of another program."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ranloop.errors import WireError
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import Catalogue, Report
from ranloop.wire.node_side import Answered, decode_line, encode_change

APPLIED = {"v": 1, "kind": "applied", "number": 3, "values": {"weight": [4.0, None]}}


def line(**message: object) -> bytes:
    return json.dumps(message).encode()


def test_a_change_is_one_line_with_columns_by_name_and_null_for_the_nodes_own_value() -> None:
    action = SetUeWeight(ue=[7, 9], weight=[0.1, np.nan])
    payload = encode_change(3, action, atomic=True)
    assert payload.endswith(b"\n")
    assert payload.count(b"\n") == 1
    assert json.loads(payload) == {
        "v": 1,
        "kind": "change",
        "number": 3,
        "action": "SetUeWeight",
        "atomic": True,
        "targets": {"ue": [7, 9]},
        "parameters": {"weight": [0.1, None]},
    }


def test_an_answer_has_values_by_parameter_and_reasons_by_row() -> None:
    answer = decode_line(line(**APPLIED, reasons={"1": "it is being handed over"}))
    assert isinstance(answer, Answered)
    assert (answer.number, dict(answer.reasons)) == (3, {1: "it is being handed over"})
    np.testing.assert_array_equal(answer.values["weight"], np.array([4.0, np.nan], np.float32))


def test_reasons_may_be_left_out_and_unknown_keys_are_ignored() -> None:
    answer = decode_line(line(**APPLIED, colour="blue"))
    assert isinstance(answer, Answered)
    assert answer.reasons == {}


def test_a_catalogue_and_a_report_are_told_apart_by_kind() -> None:
    catalogue = {
        "v": 1,
        "kind": "catalogue",
        "node": "gnb-7",
        "measurements": {"ue": ["CQI"]},
        "actions": ["SetUeWeight"],
        "periods_ms": [100],
        "cells": {"0": "north"},
        "control_delay_ms": 10.0,
    }
    report = {
        "v": 1,
        "kind": "report",
        "node": "gnb-7",
        "level": "ue",
        "period_ms": 100,
        "seq": 0,
        "ran_time_ns": 100_000_000,
        "ids": {"ue": [7], "cell": [0]},
        "labels": {},
        "values": {"CQI": [None]},
    }
    assert isinstance(decode_line(line(**catalogue)), Catalogue)
    said = decode_line(line(**report))
    assert isinstance(said, Report)
    assert np.isnan(said["CQI"]).tolist() == [True]


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"hello", "a line that is no JSON"),
        (b"[]", "a line of kind None; want catalogue, report or applied"),
        (line(v=1, kind="change"), "a line of kind 'change'; want catalogue, report or applied"),
        (line(v=1, kind="applied", number=3), "values"),
        (line(**{**APPLIED, "number": -1}), "number"),
        (line(**{**APPLIED, "values": {"weight": ["much"]}}), "weight"),
        (b"x" * (1 << 23), r"a line of 8388608 bytes or more; at most \d+ are read"),
    ],
    ids=["text", "list", "kind", "no-values", "number", "value", "long"],
)
def test_a_line_that_is_none_of_these_is_one_error(payload: bytes, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint) as caught:
        decode_line(payload)
    assert "\n" not in str(caught.value)
