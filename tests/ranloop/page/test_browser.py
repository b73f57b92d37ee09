"""The page in a real Chromium: what a person sees and does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import expect

from ranloop.node.outlets import Pulse
from ranloop.page import BACKGROUND, History
from ranloop.page.orders import OrderDesk, Wanted
from ranloop.page.server import Page
from ranloop.wire.messages import Alarm, Alarms, Standing
from tests.ranloop.page.conftest import PATIENCE_MS, OpenPage
from tests.ranloop.page.scenes import catalogue, cells, decision, fill, flows, ues

TOKEN = "a-token-of-an-operator"


@pytest.fixture
def history() -> History:
    return fill(History(BACKGROUND))


@pytest.fixture
def served(history: History) -> Iterator[Page]:
    with Page(history, "127.0.0.1:0", title="a test") as page:
        yield page


def ready(page: Any) -> Any:
    """The page, when it has drawn what the server keeps."""
    page.wait_for_selector("#said li details")
    expect(page.locator("#chart .u-legend th").nth(1)).to_be_visible(timeout=PATIENCE_MS)
    return page


def shows(page: Any, what: str, text: str) -> None:
    """Wait until an element has this text; the page's policy forbids to poll by a script in it."""
    expect(page.locator(what)).to_have_text(text, timeout=PATIENCE_MS)


def contains(page: Any, what: str, text: str) -> None:
    """Wait until an element has this among its text."""
    expect(page.locator(what)).to_contain_text(text, timeout=PATIENCE_MS)


def click_at(page: Any, x_m: float, y_m: float) -> None:
    """Click a place on the map of one site at (0, 0), which is its middle; 345 m fit into the shorter side."""
    box = page.locator("canvas.map").first.bounding_box()
    scale = min(box["width"], box["height"]) / 345.0
    position = {"x": box["width"] / 2 + x_m * scale, "y": box["height"] / 2 - y_m * scale}
    page.locator("canvas.map").first.click(position=position)


def test_a_page_shows_map_series_and_decisions(served: Page, history: History, open_page: OpenPage) -> None:
    history.take(Pulse(ran_time_ns=10**9, took_ns={"guard": (2000, 4000)}, n_dropped=3, n_outside=0))
    page = ready(open_page(served.url))
    assert page.title() == "a test · ranloop"
    assert page.inner_text("#clock") == "1.00 s"  # ten periods of 100 ms
    assert page.locator("canvas.map").count() == 1
    said = page.locator("#said li").all_inner_texts()
    assert "qos SetUeWeight on UE 4 (weight 200) 1 refused/range" in said[0]  # the newest first
    assert "weight 200; SetUeWeight takes 0.01 to 100" in said[0]
    assert "qos SetUeWeight on UE 2 (weight 4) 1 applied" in said[1]
    legend = page.inner_text("#legends")
    assert "RRU.PrbTotDl" in legend
    assert "0 %" in legend  # the scale has the unit
    assert "5QI 2" in page.inner_text("#chart")
    page.wait_for_function("document.querySelector('#health').innerText.includes('guard: judging')")
    assert "guard: judging batches 3 4" in page.inner_text("#health").replace("\t", " ")  # µs
    assert page.inner_text("#sums").split()[-2:] == ["dropped", "3"]
    history.take(ues(10))
    shows(page, "#clock", "1.10 s")


def test_health_names_what_is_wrong_first_and_leaves_out_what_nobody_knows(
    served: Page, history: History, open_page: OpenPage
) -> None:
    well = {"host": "north", "killed": False, "ran_time_s": 1.0, "reports_per_s": 10.0}
    xapp = {
        "admitted": True,
        "shut_out": False,
        "autonomy": {"site0": "act"},
        "actions_per_s": 1.0,
        "decides_ms": None,
    }
    refused = [{"action": "SetUeWeight", "fate": "refused/range", "targets": 3, "example": "weight 200"}]
    broker = {
        "address": "mqtt://x",
        "connected": False,
        "reconnects": 2,
        "dropped": 7,
        "conflated": 0,
        "unsent": 0,
    }
    history.state(
        "health",
        {
            "kind": "health",
            "broker": broker,
            "nodes": [
                {"node": "a-well", **well},
                {"node": "b-alone", **well, "host": None},
                {"node": "c-silent", **well, "reports_per_s": 0.0},
            ],
            "xapps": [
                {"xapp": "calm", "alive": True, "holds": {}, "targets": {}, "refused": [], **xapp},
                {"xapp": "gone", "alive": False, "holds": {}, "targets": {}, "refused": [], **xapp},
                {
                    "xapp": "wild",
                    "alive": True,
                    "holds": {"SetUeWeight at a": 2, "SetUeWeight at b": 3},
                    "targets": {"applied": 5, "refused/range": 3},
                    "refused": refused,
                    **xapp,
                },
            ],
        },
    )
    page = ready(open_page(served.url))
    for text in (
        "The broker mqtt://x is away.",
        "No living host: b-alone.",
        "No reports: c-silent.",  # after three periods of a second
        "xApp away: gone.",
    ):
        contains(page, "#alert", text)
    expect(page.locator("#health td.worse", has_text=re.compile("^0$"))).to_be_visible(timeout=PATIENCE_MS)
    tables = {one.locator("caption").inner_text(): one for one in page.locator("#health table").all()}
    rows = {name: [row.split("\t") for row in one.inner_text().split("\n")] for name, one in tables.items()}
    assert rows["broker"][2] == ["mqtt://x", "away", "2", "7", "0", "0"]
    assert [row[0] for row in rows["nodes"][2:]] == ["b-alone", "c-silent", "a-well"]
    assert [row[:7] for row in rows["xApps"][2:]] == [
        ["gone", "away", "act", "–", "0", "0", "–"],
        ["wild", "alive", "act", "5 SetUeWeight", "5", "3", "range: weight 200"],
        ["calm", "alive", "act", "–", "0", "0", "–"],
    ]
    assert "decides ms" not in rows["xApps"][1]  # no row has it


def test_a_network_that_falls_silent_is_told(served: Page, history: History, open_page: OpenPage) -> None:
    page = ready(open_page(served.url))
    expect(page.locator("#state")).to_have_text(re.compile(r"no report for \d+ s"), timeout=PATIENCE_MS)
    contains(page, "#alert", "No reports come any more.")
    history.take(ues(10))
    shows(page, "#state", "live")
    expect(page.locator("#alert")).to_be_hidden(timeout=PATIENCE_MS)


def test_a_click_chooses_a_cell_or_a_ue_and_the_address_leads_others_there(
    served: Page, open_page: OpenPage
) -> None:
    page = ready(open_page(served.url))
    click_at(
        page, 75 * math.cos(math.radians(30)), 75 * math.sin(math.radians(30))
    )  # the sector at 30 degrees
    contains(page, "#chosen", "19 %")  # 10, and 9 periods
    assert page.input_value("#cell") == "0"
    click_at(page, 0, 100)  # UE 1 stands at 90 degrees, and has 2 Mbit/s
    contains(page, "#chosen", "2,000 kbit/s")
    assert page.input_value("#ue") == "1"
    page.locator("#back").click()
    shows(page, "#clock", "0.90 s")
    page.select_option("#series-level", "cell")
    page.select_option("#series-name", "RRU.PrbTotDl")
    contains(page, "#chart", "site0/2")
    page.select_option("#said-kind", "refused")
    expect(page).to_have_url(re.compile(r"#(?=.*kind=refused)(?=.*at=0\.9\b)"), timeout=PATIENCE_MS)
    other = ready(open_page(page.url))
    contains(other, "#chosen", "2,000 kbit/s")
    assert other.inner_text("#clock") == "0.90 s"
    assert other.input_value("#series-name") == "RRU.PrbTotDl"
    assert other.input_value("#said-kind") == "refused"
    assert other.locator("#said li").count() == 1


def test_time_can_be_paused_stepped_and_scrubbed(served: Page, history: History, open_page: OpenPage) -> None:
    page = ready(open_page(served.url))
    page.keyboard.press(" ")
    shows(page, "#state", "paused")
    history.take(ues(10))
    history.take(flows(10))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    shows(page, "#clock", "0.80 s")
    page.locator("#ahead").click()
    shows(page, "#clock", "0.90 s")
    page.locator("#time").fill("0.4")
    shows(page, "#clock", "0.40 s")
    expect(page.locator("#said li")).to_have_count(1, timeout=PATIENCE_MS)  # the other came at 0.65 s
    page.locator("#now").click()
    shows(page, "#clock", "1.10 s")


def test_decisions_can_be_filtered_and_say_why_and_what_to_do(served: Page, open_page: OpenPage) -> None:
    page = ready(open_page(served.url))
    page.fill("#said-text", "UE 2")
    expect(page.locator("#said li")).to_have_count(1, timeout=PATIENCE_MS)
    page.locator("#said summary").click()
    facts = page.inner_text("#said dl")
    for text in ("report 3 of site0", "flow@0a1b2c3d4e5f", "as wanted", "qos-site0-350"):
        assert text in facts
    page.fill("#said-text", "")
    page.fill("#ue", "4")
    page.check("#said-chosen")
    expect(page.locator("#said li")).to_have_count(1, timeout=PATIENCE_MS)
    page.locator("#said summary").click()
    assert "stay inside the range" in page.inner_text("#said dl")


def test_the_keyboard_alone_is_enough(served: Page, open_page: OpenPage) -> None:
    page = ready(open_page(served.url))
    page.locator("canvas.map").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#cell")).to_have_value("1", timeout=PATIENCE_MS)
    page.keyboard.press("+")
    page.keyboard.press("0")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"zoom-in", "cell", "ue", "series-name", "said-text", "said", "time", "pause", "link"} <= set(
        reached
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_axe_finds_nothing(
    served: Page, history: History, open_page: OpenPage, width: int, scheme: str
) -> None:
    history.take(
        Alarms(xapp="qos", active=(Alarm(name="sleeping-cell", severity="major", target="site0/1"),))
    )
    page = ready(open_page(served.url, width=width, scheme=scheme))
    page.fill("#ue", "1")
    page.locator("#said summary").first.click()
    page.wait_for_selector("#alert:not([hidden])")
    contains(page, "#chosen", "2,000 kbit/s")
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    page.evaluate(axe)  # the protocol is no script of the page, so the page's own policy stays as it is
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out


def test_a_server_that_goes_is_told_and_found_again(history: History, open_page: OpenPage) -> None:
    with Page(history, "127.0.0.1:0") as first:
        page = ready(open_page(first.url))
        port = first.port
    expect(page.locator("#state")).to_have_attribute("data-state", "lost", timeout=PATIENCE_MS)
    assert page.inner_text("#clock") == "1.00 s"  # what it has stays
    with Page(fill(History(BACKGROUND), range(20)), f"127.0.0.1:{port}"):
        shows(page, "#clock", "2.00 s")


def test_two_worlds_stand_side_by_side_with_the_difference_of_their_scores(open_page: OpenPage) -> None:
    history = fill(fill(History(BACKGROUND)), world=1)
    kpi = {"key": "satisfied", "label": "satisfied", "unit": "UE", "better": "higher", "digits": 1}
    history.state(
        "score", {"kind": "score", "kpis": [kpi], "worlds": [{"satisfied": 61.0}, {"satisfied": 45.0}]}
    )
    with Page(history, "127.0.0.1:0", mode="run", worlds=("with the xApps", "without")) as served:
        page = ready(open_page(served.url))
        assert page.locator("#maps figcaption").all_inner_texts() == ["with the xApps", "without"]
        page.wait_for_selector("#score td")
        assert page.locator("#score td").all_inner_texts() == ["UE", "61.0", "45.0", "+16.0 better"]
        contains(page, "#chart", "5QI 2, without")


def test_a_recording_begins_at_its_first_moment_and_plays(open_page: OpenPage) -> None:
    with Page(fill(History()), "127.0.0.1:0", mode="recording") as served:
        page = open_page(served.url)
        shows(page, "#clock", "0.10 s")
        page.locator("#pause").click()
        shows(page, "#clock", "1.00 s")
        assert page.inner_text("#pause") == "Play"


def test_an_operator_orders_with_a_token_and_a_confirmation(history: History, open_page: OpenPage) -> None:
    given: list[Wanted] = []

    def give(wanted: Wanted) -> str:
        given.append(wanted)
        history.take(Standing(node="site0", order="1", killed=True, autonomy={"qos": "act"}))
        return "site0 obeys"

    quiet = Pulse(ran_time_ns=10**9, took_ns={}, n_dropped=0, n_outside=0, xapps=("quiet",))
    history.take(quiet)  # an xApp that has done nothing yet may be stopped, too
    with Page(history, "127.0.0.1:0", desk=OrderDesk(TOKEN, give)) as served:
        page = ready(open_page(served.url))
        contains(page, "#health", "quiet")
        page.click("#order")
        assert page.locator("#order-xapp option").all_inner_texts() == ["qos", "quiet"]
        page.select_option("#order-node", "site0")
        page.fill("#order-token", TOKEN)
        assert page.is_disabled("#order-send")  # not confirmed yet
        page.fill("#order-confirm", "site0")
        page.click("#order-send")
        shows(page, "#order-answer", "site0 obeys")
        page.click("#order-cancel")
        page.wait_for_selector("#alert:not([hidden])")
        contains(page, "#alert", "The kill switch is on at site0.")
        assert page.inner_text("#state") == "killed: site0"
    assert [(one.what, one.node) for one in given] == [("kill", "site0")]


def test_without_a_token_there_is_nothing_to_order_with(served: Page, open_page: OpenPage) -> None:
    assert ready(open_page(served.url)).is_hidden("#order")


@pytest.mark.slow
def test_ten_pages_at_once_follow_57_cells_and_570_ues(open_page: OpenPage) -> None:
    history = History(BACKGROUND)
    network(history, 0)
    with Page(history, "127.0.0.1:0") as served:
        pages = [open_page(served.url) for _ in range(10)]
        for seq in range(1, 31):
            network(history, seq)
            pages[seq % 10].wait_for_timeout(100)
        for page in pages:
            shows(page, "#clock", "3.10 s")
        assert served.counts["open"] == 10
        assert (served.counts["refused"], served.counts["slow"], served.counts["hostile"]) == (0, 0, 0)


def network(history: History, seq: int) -> None:
    """One period of 19 sites with 3 cells and 30 UEs each."""
    for site in range(19):
        node = f"site{site}"
        if not seq:
            history.meet([catalogue(node, first=3 * site, x_m=500.0 * site)])
        history.take(ues(seq, node=node, n=30, first_cell=3 * site, first_ue=30 * site, x_m=500.0 * site))
        history.take(cells(seq, node=node, first=3 * site))
    history.take(decision(0.1 * (seq + 1), ue=seq, node="site0", number=seq + 1))
