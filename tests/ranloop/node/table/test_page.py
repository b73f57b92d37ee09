"""docs/tables.md and its example say what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ranloop.node import open_world
from ranloop.node.table import TableMapping, shipped_mappings
from ranloop.node.table.units import UNITS
from ranloop.testing import check_node
from tests.command import Command

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "docs" / "examples" / "own_table"


def test_the_page_lists_the_shipped_mappings_and_the_units() -> None:
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.MULTILINE) == sorted(shipped_mappings())
    (line,) = re.findall(r"\*\*Units\*\* that are converted: (.*?)\. For", PAGE, re.DOTALL)
    assert re.split(r"[,;]\s+", line.replace(" of shares", "")) == list(UNITS)


def test_the_mapping_of_the_page_has_every_key_and_is_valid() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    given = tomllib.loads(text)
    assert given.keys() | {"title", "source"} == TableMapping.model_fields.keys()
    given["level"] = "cell"  # the page shows measurements of several levels
    given["ids"] = {"cell": "NCI"}
    given["columns"] = {"power": given["columns"]["power"], "ok": given["columns"]["ok"]}
    TableMapping.model_validate(given)


def test_the_example_is_a_node_like_any_other() -> None:
    check_node(lambda: open_world(f"table:{EXAMPLE / 'kpm.csv'}?mapping={EXAMPLE / 'kpm.toml'}"))


def test_the_example_prints_what_the_page_says(ranloop: Command) -> None:
    table = f"table:{EXAMPLE / 'kpm.csv'}?mapping={EXAMPLE / 'kpm.toml'}"
    shown = ranloop("run", ROOT / "xapps" / "kpm_monitor", "--node", table)
    (printed,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert printed in shown.out
