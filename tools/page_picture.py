"""Takes the pictures of the page: a run of qos_scheduler on seven-sites, with and without it, in Chromium.

python tools/page_picture.py                      # docs/images/dashboard.png
python tools/page_picture.py --all FOLDER         # also dark, on a phone, and side by side
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from ranloop.cli.dashboard import PageWanted, watched_run
from ranloop.embedded import run_embedded
from ranloop.node import open_world

ROOT = Path(__file__).parents[1]
XAPP, NODE = ROOT / "xapps" / "qos_scheduler", "sim:seven-sites"
DURATION_S = 12.0
CHOSEN = "cell=4&at=8.4&level=cell&name=RRU.PrbTotDl&by=cell"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
WAIT_MS = 120_000
COLOURS = 256  # a third of the bytes, and nobody sees it


@contextmanager
def shown(*, beside: bool) -> Iterator[str]:
    """The address of a page about a run that is over."""
    wanted = PageWanted(address="127.0.0.1:0", beside=beside)
    until_ns = round(DURATION_S * 1e9)
    with (
        closing(open_world(NODE)) as world,
        closing(open_world(NODE)) as other,
        watched_run(wanted, world, lambda: other, f"qos_scheduler on {NODE}", until_ns) as page,
    ):
        run_embedded(world, [XAPP], until_ns=until_ns, onlooker=page.watchers[0], on_progress=page.follow)
        page.finish(world.now_ns)
        page.tell_over({})
        yield page.page.url


def picture(browser: Any, url: str, path: Path, *, width: int, height: int, scheme: str, whole: bool) -> None:
    """One picture, when all is drawn."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{url}#{CHOSEN}")
    page.locator("#said li details").first.wait_for()
    page.locator("#chosen td").nth(1).wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=path, full_page=whole)
    page.close()
    Image.open(path).quantize(COLOURS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    folder = parser.parse_args().all
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        with shown(beside=False) as url:
            target = ROOT / "docs" / "images" if folder is None else folder
            target.mkdir(parents=True, exist_ok=True)
            wide: dict[str, Any] = {"width": 1280, "height": 860, "whole": False}
            picture(browser, url, target / "dashboard.png", scheme="light", **wide)
            if folder:
                picture(browser, url, folder / "dark.png", scheme="dark", **wide)
                picture(browser, url, folder / "phone.png", scheme="light", width=390, height=844, whole=True)
        if folder:
            with shown(beside=True) as url:
                picture(
                    browser, url, folder / "beside.png", scheme="light", width=1280, height=860, whole=True
                )
        browser.close()


if __name__ == "__main__":
    main()
