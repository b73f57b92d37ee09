"""`ranloop describe`: the catalogue of a node, opened here or on a bus, for a person and for a script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.wire import topics
from ranloop.wire.codec import encode
from ranloop.wire.messages import Catalogue
from tests.command import Command


def test_a_script_reads_all_of_it(ranloop: Command) -> None:
    (node, *others) = json.loads(ranloop("describe", "sim:seven-sites", "--json").out)["nodes"]
    assert (node["node"], len(others)) == ("site0", 6)
    assert node["measurements"]["ue_cell"] == {"RSRP": "dBm", "RSRQ": "dB", "SINR": "dB"}
    assert node["actions"]["SetUeWeight"]["parameters"]["weight"] == {
        "unit": "1",
        "low": 0.01,
        "high": 100,
        "default": 1,
    }
    cell = node["cells"][1]
    assert {key: cell[key] for key in ("id", "name", "site", "x_m", "azimuth_deg")} == {
        "id": 1,
        "name": "site0/1",
        "site": "site0",
        "x_m": 0.0,
        "azimuth_deg": 150.0,
    }
    assert cell["neighbours"][:2] == ["site0/0", "site0/2"]
    assert len(cell["neighbours"]) == 20
    assert [each["s_nssai"] for each in node["slices"]] == ["1-000001", "1-000002"]


def test_a_person_sees_what_the_nodes_have_in_common_once(ranloop: Command) -> None:
    out = ranloop("describe", "sim:seven-sites").out
    assert out.count("SetUeWeight(ue): weight 0.01 to 100 (default 1)") == 1
    assert "granularity periods: 100, 1000 ms" in out
    assert out.count("site6/2 ") == 1
    assert " -0 " not in out


def test_a_scenario_field_and_a_profile_change_what_is_there(ranloop: Command) -> None:
    told = ranloop("describe", "sim:one-cell", "--override", "reports.periods_ms=[200]", "--json").out
    assert json.loads(told)["nodes"][0]["periods_ms"] == [200]
    limited = json.loads(ranloop("describe", "sim:one-cell", "--profile", "oai", "--json").out)["nodes"][0]
    assert "ue_cell" not in limited["measurements"]


def test_a_node_on_a_bus_is_described_by_its_retained_catalogue(
    ranloop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.cli.describe.CATALOGUES_S", 0.01)
    host = open_bus("memory://described", name="host")
    for name in ("north", "south"):
        said = Catalogue(
            node=name, measurements={"ue": ("CQI",)}, actions=(), periods_ms=(100,), cells={0: "a"}
        )
        host.publish(topics.catalogue(name), encode(said), qos=1, retain=True)
    host.publish(topics.catalogue("west"), b"{}", qos=1, retain=True)
    bus = ("--bus", "memory://described")
    assert [node["node"] for node in json.loads(ranloop("describe", *bus, "--json").out)["nodes"]] == [
        "north",
        "south",
    ]
    assert "node: south" in ranloop("describe", "south", *bus).out
    assert (
        "error: no node 'nort' on memory://described; there is north" in ranloop("describe", "nort", *bus).err
    )
    host.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sim:two-cells",), "two-cells: got no scenario"),
        (("sim:one-cell", "--bus", "mqtt://x"), "--bus belongs to a node on a bus"),
        (("--seed", "2"), "--seed belongs to sim:…"),
        (("--bus", "mqtt://127.0.0.1:1"), "no broker at mqtt://127.0.0.1:1"),
    ],
)
def test_a_wrong_one_is_one_line(ranloop: Command, arguments: tuple[str, ...], words: str) -> None:
    assert words in ranloop("describe", *arguments).complaint


def test_a_recording_is_described_too(ranloop: Command, tmp_path: Path) -> None:
    folder, monitor = tmp_path / "run", Path(__file__).parents[3] / "xapps" / "kpm_monitor"
    ranloop("run", monitor, "--node", "sim:one-cell", "--duration-s", 1.1, "--record", folder)
    (node,) = json.loads(ranloop("describe", f"replay:{folder}", "--json").out)["nodes"]
    assert node["cells"][0]["name"] == "site0/0"
