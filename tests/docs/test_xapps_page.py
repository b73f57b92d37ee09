"""The page of results: what the command writes of the results that are kept beside it, of every xApp that claims something."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ranloop.evaluation import CLAIMS_FILE, Result, page, read_claimed, verdict

ROOT = Path(__file__).parents[2]
CLAIMING = sorted(path.parent for path in ROOT.glob(f"xapps/*/{CLAIMS_FILE}"))
KEPT = TypeAdapter(dict[str, Result]).validate_json((ROOT / "docs" / "xapps.json").read_bytes())


@pytest.mark.parametrize("folder", CLAIMING, ids=[folder.name for folder in CLAIMING])
def test_what_an_xapp_claims_is_what_was_judged(folder: Path) -> None:
    claimed, found = read_claimed(folder), KEPT[folder.name]
    if claimed.plan is None:
        assert found.measured_by == claimed.measured_by
        return
    texts = [claim.text for claim in claimed.claims]
    assert {tuple(change.what for change in place.claims) for place in found.places} == {tuple(texts)}
    drops = [place.n for place in found.places if place.part == "held_out"]
    assert drops == [len(claimed.plan.held_out.each)] * len(drops)
    assert min(drops) >= 24
    assert [arm.name[2:] for arm in claimed.arms] == [*filter(None, (found.rule, found.ours, found.nothing))]


def test_the_page_is_what_the_command_writes_of_the_kept_results() -> None:
    results = [KEPT[name] for name in sorted(KEPT)]
    assert (ROOT / "docs" / "xapps.md").read_text("utf-8") == page(results, "ranloop evaluate xapps")


def test_the_readme_tells_the_verdict_of_each_xapp_as_the_page_has_it() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, result in KEPT.items():
        assert f"{name}: {verdict(result)}" in readme
