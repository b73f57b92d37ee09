"""The history of a page: what is kept, what a slow reader loses, and what a session is sent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from ranloop.page import BACKGROUND, History
from ranloop.page.frames import block, messages
from ranloop.page.session import MOST_ASKED, HostileError, Session
from ranloop.wire.messages import Alarms, Standing
from tests.ranloop.page.scenes import S, catalogue, cells, decision, fill, ues

UE_TRACK = (0, "site0", "ue", 100)
WATCH = {"op": "watch", "columns": {"ue": ["DRB.UEThpDl"]}, "span": None}


def session(history: History) -> Session:
    return Session(
        cast(Any, None), history, hello="{}", on_change=lambda: None, on_turn=lambda frames, lines: None
    )


def told(sent: list[bytes | str], kind: str) -> list[dict[str, Any]]:
    found = [json.loads(text) for text in sent if isinstance(text, str)]
    return [fact for fact in found if fact["kind"] == kind]


def heads(sent: list[bytes | str]) -> list[dict[str, Any]]:
    """The heads of all blocks in the binary messages, as a page reads them."""
    found = []
    for message in sent:
        at = 0
        while isinstance(message, bytes) and at < len(message):
            n_head, rows = np.frombuffer(message, "<u4", 2, at).tolist()
            head = json.loads(message[at + 8 : at + 8 + n_head])
            at += 8 + n_head
            values = np.frombuffer(message, "<f4", rows * len(head["columns"]), at).reshape(-1, rows)
            at += values.nbytes
            found.append(head | {"values": dict(zip(head["columns"], values.tolist(), strict=True))})
    return found


def test_a_block_has_the_ids_and_the_wanted_columns_one_after_the_other() -> None:
    (head,) = heads([block(ues(4, n=2), ["CQI", "RSRP"], world=1)])
    assert (head["w"], head["node"], head["level"], head["ms"], head["seq"]) == (1, "site0", "ue", 100, 4)
    assert head["t"] == 0.5  # the fifth period of 100 ms ends there
    assert head["values"] == {
        "ue": [0.0, 1.0],
        "cell": [0.0, 1.0],
        "CQI": [7.0, 7.0],
    }  # no RSRP in this report


def test_blocks_are_put_together_into_messages_of_256_kib_at_most() -> None:
    blocks = [bytes(100_000)] * 5
    assert [len(message) for message in messages(blocks)] == [200_000, 200_000, 100_000]


def test_the_oldest_reports_go_where_there_is_no_room() -> None:
    size = 400 + ues(0).block.nbytes
    history = History(keep_bytes=3 * size)
    for seq in range(5):
        history.take(ues(seq))
    assert [report.seq for report in history.tracks[UE_TRACK].reports] == [2, 3, 4]
    assert history.n_evicted == 2
    assert history.span_ns() == (3 * S // 10, 5 * S // 10)


def test_a_reader_that_is_slow_gets_the_newest_and_the_number_of_those_it_lost() -> None:
    history = History()
    for seq in range(10):
        history.take(ues(seq))
    reports, n_lost, cursor = history.since(UE_TRACK, 2, most=3)
    assert [report.seq for report in reports] == [7, 8, 9]
    assert n_lost == 5  # 2 to 6
    assert history.since(UE_TRACK, cursor, most=3) == ([], 0, cursor)


def test_a_node_that_is_started_again_begins_anew() -> None:
    history = fill(History())
    history.take(replace(ues(0), run="another"))
    assert len(history.tracks[UE_TRACK].reports) == 1
    assert history.n_restarts == 1


def test_pages_look_together_at_what_each_wants_and_at_the_background() -> None:
    history = History({"ue": ("CQI",)})
    before = history.looks_at
    history.look([{"ue": {"RSRP"}}, {"cell": {"PEE.Energy"}}])
    assert history.looks_at == {"ue": {"CQI", "RSRP"}, "cell": {"PEE.Energy"}}
    assert history.looks_at is not before  # an onlooker's runtime compares by identity
    history.look([])
    assert history.looks_at == {"ue": {"CQI"}}


def test_a_session_is_sent_the_past_and_then_what_is_new() -> None:
    history = fill(History(BACKGROUND))
    page = session(history)
    page.hear(json.dumps(WATCH))
    first = page.turn()
    assert [head["seq"] for head in heads(first)] == list(range(10))
    assert {column for head in heads(first) for column in head["columns"]} == {"ue", "cell", "DRB.UEThpDl"}
    assert told(first, "span")[0] == {"kind": "span", "from": 0.1, "to": 1.0}
    assert len(told(first, "said")[0]["lines"]) == 2
    assert page.turn() == []
    history.take(ues(10))
    history.take(decision(1.05, ue=1, number=9))
    second = page.turn()
    assert [head["seq"] for head in heads(second)] == [10]
    assert [line["targets"] for line in told(second, "said")[0]["lines"]] == [[[1]]]


def test_a_session_that_is_slow_passes_over_reports_and_says_so() -> None:
    history = fill(History(BACKGROUND))
    page = session(history)
    page.hear(json.dumps(WATCH))
    page.turn()
    for seq in range(10, 30):
        history.take(ues(seq))
    sent = page.turn()
    assert [head["seq"] for head in heads(sent)] == [26, 27, 28, 29]
    assert told(sent, "lost") == [{"kind": "lost", "frames": 16, "lines": 0}]


def test_a_long_past_is_thinned_out_and_a_span_of_it_is_not() -> None:
    history = fill(History(BACKGROUND), range(2000))
    page = session(history)
    page.hear(json.dumps(WATCH))
    sent = page.turn()
    assert told(sent, "filled")[0]["every"] == 4  # 2,000 moments in at most 600
    assert len(heads(sent)) == 500
    page.hear(json.dumps(WATCH | {"span": [10.0, 12.0]}))
    sent = page.turn()
    assert told(sent, "filled")[0]["every"] == 1
    assert [head["t"] for head in heads(sent)] == pytest.approx(np.arange(10.0, 12.05, 0.1))


def test_of_streams_with_one_column_the_page_gets_the_one_for_eyes() -> None:
    history = History()
    for ms in (20, 100, 1000):
        history.take(replace(cells(0), period_ms=ms))
    page = session(history)
    page.hear(json.dumps({"op": "watch", "columns": {"cell": ["RRU.PrbTotDl"]}, "span": None}))
    assert [head["ms"] for head in heads(page.turn())] == [100]


def test_made_up_names_push_out_no_node_that_reports_and_no_word_of_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ranloop.page.history.KEPT", 20)
    history = fill(History(BACKGROUND))  # three streams of site0
    history.state("page", {"kind": "page", "open": 1})
    page = session(history)
    page.hear(json.dumps(WATCH))
    page.turn()
    for number in range(100):
        name = f"evil-{number}"
        history.meet([catalogue(name)])
        history.take(Standing(node=name, order="", killed=True, autonomy={}))
        history.take(Alarms(xapp=name, active=()))
        history.take(ues(0, node=name))
        history.take(ues(10 + number))
        page.turn()
    assert len(history.tracks) == 20
    assert {UE_TRACK, (0, "evil-99", "ue", 100)} <= history.tracks.keys()
    assert {"page", "catalogue/0/site0", "alarms/0/evil-99"} <= history.facts.keys()
    kept = sum(report.block.nbytes + 400 for one in history.tracks.values() for report in one.reports)
    assert history._n_bytes == kept  # what went has given its room back
    assert len(page._cursors) <= 2 * 20
    # Of 103 streams 20 stay, and of 301 words under foreign names.
    assert history.n_forgotten == 103 - 20 + 301 - 20


def test_what_every_page_has_lost_is_counted_together() -> None:
    lost: list[tuple[int, int]] = []
    history = fill(History(BACKGROUND))
    page = Session(
        cast(Any, None),
        history,
        hello="{}",
        on_change=lambda: None,
        on_turn=lambda *more: lost.append(more),
    )
    page.hear(json.dumps(WATCH))
    page.turn()
    for seq in range(10, 30):
        history.take(ues(seq))
    page.turn()
    page.turn()
    assert lost == [(0, 0), (16, 0), (0, 0)]  # of twenty reports the newest four are shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        '{"op": "order"}',
        '{"op": "watch", "columns": {"ue": ["CQI"]}, "span": [1, 2], "more": 1}',
        '{"op": "watch", "columns": {"planet": ["CQI"]}}',
        '{"op": "watch", "columns": {"ue": "CQI"}}',
        '{"op": "watch", "columns": {}, "span": [0, 1e300]}',
        '{"op": "watch", "columns": {}, "span": [NaN, 1]}',
        json.dumps({"op": "watch", "columns": {"ue": ["CQI"] * 25}}),
    ],
)
def test_what_no_page_says_is_hostile(text: str) -> None:
    with pytest.raises(HostileError):
        session(History()).hear(text)


def test_names_that_are_in_no_catalogue_are_not_looked_at() -> None:
    page = session(History())
    page.hear(json.dumps({"op": "watch", "columns": {"ue": ["CQI", "No.Such"]}}))
    assert page.columns == {"ue": {"CQI"}}
    assert MOST_ASKED > 10  # a person who clicks quickly is no flood
