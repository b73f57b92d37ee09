"""A real Chromium, and pages that must not complain in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
OpenPage = Callable[..., Any]
PATIENCE_MS = 60_000  # of a machine that does much else; what is there at once takes none


def _lacking(what: str) -> None:
    """Skip; fail where RANLOOP_REQUIRE_BROWSER says, as in CI, that a skip would hide a missing browser."""
    give_up = pytest.fail if os.environ.get("RANLOOP_REQUIRE_BROWSER") else pytest.skip
    give_up(what)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, started once."""
    binary = shutil.which("chromium")
    if binary is None:
        _lacking("no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """`open_page(url, width=…, scheme="dark")`; at the end no page may have had an error or a warning.

    With RANLOOP_SCREENSHOTS in the environment a picture of each page is left in that folder.
    """
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_one(
        url: str, *, width: int = 1280, height: int = 900, scheme: str = "light", **more: Any
    ) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **more
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: complaints.extend([said.text] * (said.type in ("error", "warning"))))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield open_one
    folder = os.environ.get("RANLOOP_SCREENSHOTS")
    for number, page in enumerate(page for context in contexts for page in context.pages):
        if folder:
            name = request.node.name.replace("/", "-")
            page.screenshot(path=Path(folder) / f"{name}-{number}.png", full_page=True)
    for context in contexts:
        context.close()
    # A server that has gone is the browser's own complaint, of each attempt to find it again.
    assert [one for one in complaints if "ERR_CONNECTION_REFUSED" not in one] == []
