"""The page about profiles is the printed one, and its example is a profile."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ranloop.node.profile import load_profile

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "profiles.md"
XAPPS = sorted(manifest.parent for manifest in (ROOT / "xapps").glob("*/manifest.toml"))


def test_the_page_in_docs_is_up_to_date() -> None:
    command = [sys.executable, "-m", "ranloop.cli.profile_page", *map(str, XAPPS)]
    printed = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")
    hint = "renew it: python -m ranloop.cli.profile_page xapps/*/ > docs/profiles.md"
    assert printed == PAGE.read_text("utf-8"), hint


def test_the_example_of_a_profile_of_your_own_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    path = tmp_path / "my-gnb.toml"
    path.write_text(example)
    mine, ocudu = load_profile(str(path)), load_profile("ocudu")
    assert mine.measurements == ocudu.measurements
    assert (mine.takes("SetSliceQuota"), mine.takes("Handover")) == (True, False)
