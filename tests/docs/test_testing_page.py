"""The example on the page about testing runs as it stands, and its tables have every trial and every rule."""

from __future__ import annotations

import re
import runpy
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

from ranloop.testing import VirtualRan, XAppHarness, bus_check, plugin, xapp_check
from tests.builders import MANIFEST, write_xapp

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(ROOT)
    assert len(runpy.run_path(str(tmp_path / "example.py"))["action"]) == 1


@pytest.mark.parametrize(
    ("heading", "names"),
    [("trial", [trial.name for trial in xapp_check.TRIALS]), ("rule", list(bus_check.RULES))],
)
def test_the_table_is_complete(heading: str, names: list[str]) -> None:
    (table,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]*\n((?:\|.*\n)*)", PAGE, re.MULTILINE)
    assert re.findall(r"^\| (.*?) \|", table, re.MULTILINE) == names


def test_the_example_of_a_network_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```\n(def test_a_lost_report.*?)```", PAGE, re.DOTALL)
    app = """
        from ranloop import SetUeWeight, XApp
        app = XApp()

        @app.on_report("CQI")
        def act(report):
            return SetUeWeight(ue=report.ue[report["CQI"] < 8], weight=app.settings["boost"])
    """
    write_xapp(
        tmp_path / "xapps" / "mine", app=app, text=MANIFEST.format(name="mine").replace("gain", "boost")
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(example)
    names = runpy.run_path(str(tmp_path / "example.py"))
    with ExitStack() as stack:
        names["test_a_lost_report_costs_no_setting"](
            lambda folder, **settings: stack.enter_context(VirtualRan(folder, **settings))
        )


def test_the_plugin_that_the_package_announces_has_the_fixture() -> None:
    announced = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert announced == {"ranloop": plugin.__name__}
    assert plugin.__all__ == ("ran",)


def test_the_tables_name_calls_that_there_are() -> None:
    rows = re.findall(r"^\| (`[^|]*\(.*?) \|", PAGE, re.MULTILINE)
    called = {name for row in rows for name in re.findall(r"`(\w+)\(", row)}
    known = set(dir(VirtualRan)) | set(dir(XAppHarness)) | {"XAppHarness", "make_report", "make_result"}
    assert called - known == set()
    assert {"show", "lose", "leave", "change", "send"} <= called
