"""Words find entries of the catalogue: by their names, by what a name abbreviates, by their definitions."""

from __future__ import annotations

import json

import pytest

from ranloop.vocabulary.search import search, title
from tests.command import Command


def test_a_name_says_what_it_abbreviates() -> None:
    assert title("DRB.UEThpDl") == "data radio bearer user equipment throughput downlink"
    assert title("MM.HoExeIntraFreqReq") == "mm handover execution intra frequency request"


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("throughput", "DRB.UEThpDl"),
        ("uplink throughput", "DRB.UEThpUl"),
        ("handover failure", "HO.IntraSys.TooEarly"),
        ("slice quota", "X.Slice.MinQuota"),
        ("Slice  Quotas", "X.Slice.MinQuota"),
        ("budget miss", "X.DRB.BudgetMissRateDl"),
        ("weight ue", "X.UE.Weight"),
        ("transmit pow", "X.Cell.TxPower"),  # the start of a word will do
        ("sleep", "X.Cell.State"),
    ],
)
def test_the_best_comes_first(words: str, first: str) -> None:
    assert search(words)[0] == first


def test_a_piece_of_a_name_is_found_by_the_words_that_it_is_made_of() -> None:
    assert search("PrbUsed")[0] == "RRU.PrbUsedDl"
    assert search("UeWeight")[0] == "X.UE.Weight"


def test_every_word_must_be_found() -> None:
    assert search("throughput of unicorns") == []
    assert search("  ") == []
    assert set(search("downlink throughput")) < set(search("throughput"))


def test_the_command_lists_what_it_finds_and_shows_what_it_knows(ranloop: Command) -> None:
    found = json.loads(ranloop("vocabulary", "uplink", "throughput", "--json").out)
    assert [entry["name"] for entry in found][:1] == ["DRB.UEThpUl"]
    assert json.loads(ranloop("vocabulary", "DRB.UEThpUl", "--json").out)["unit"] == "kbit/s"
    assert "SetSliceQuota" in ranloop("vocabulary", "slice", "quota").out
    complaint = ranloop("vocabulary", "unicorns").complaint
    assert "unknown measurement or action 'unicorns'; search by a word of a name or a definition" in complaint
