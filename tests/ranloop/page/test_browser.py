"""The page in a real Chromium: what a person sees and does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ranloop.page import BACKGROUND, History
from ranloop.page.server import Page
from tests.ranloop.page.conftest import OpenPage
from tests.ranloop.page.scenes import fill


@pytest.fixture
def history() -> History:
    return fill(History(BACKGROUND))


@pytest.fixture
def served(history: History) -> Iterator[Page]:
    with Page(history, "127.0.0.1:0", title="a test") as page:
        yield page


def test_a_page_shows_map_series_and_decisions(served: Page, open_page: OpenPage) -> None:
    page = open_page(served.url)
    page.wait_for_selector("#said li details")
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
