"""`--profile` on the command line: what a user is told, and that it holds on the simulator and on a replay."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from ranloop.bus import open_bus
from ranloop.node import load_profile
from ranloop.testing.brokers import running_broker
from ranloop.wire import topics
from ranloop.wire.codec import decode_catalogue
from ranloop.wire.messages import Catalogue
from tests.builders import write_xapp
from tests.command import Command

ROOT = Path(__file__).parents[3]
FITS = """\
name = "fits"
version = "0.1.0"
summary = "Shares a cell between slices by what they use, once a second."

[[streams]]
level = "cell"
every_ms = {every_ms}
measurements = ["RRU.PrbUsedDl", "{second}"]

[[actions]]
name = "{action}"
"""
APP = """
import numpy as np
from ranloop import Report, XApp

app = XApp()
used = []

@app.on_report("RRU.PrbUsedDl", level="cell", every_ms={every_ms})
def note(report: Report) -> None:
    used.extend(report["RRU.PrbUsedDl"].tolist())

@app.summary
def seen():
    return {{"used": used}}
"""
NODE = ("--node", "sim:one-cell", "--duration-s", "2")


def xapp(
    folder: Path, *, every_ms: int = 1000, second: str = "RRU.PrbAvailDl", action: str = "SetSliceQuota"
) -> Path:
    text = FITS.format(every_ms=every_ms, second=second, action=action)
    return write_xapp(folder / "fits", app=APP.format(every_ms=every_ms), text=text)


@pytest.fixture
def misfit(tmp_path: Path) -> Path:
    return xapp(tmp_path, every_ms=100, second="PEE.Energy", action="SetUeWeight")


LACKS = [
    "reads cell reports every 100 ms: ocudu has new values every 1000 ms; want every_ms = 1000 or more",
    "reads PEE.Energy per cell: ocudu does not have it; it has per cell DRB.UEThpDl, DRB.UEThpUl, RRU.PrbTotDl",
    "writes SetUeWeight: ocudu does not have it; it takes SetSliceQuota, Handover",
]


@pytest.mark.parametrize("command", ["run", "host"])
def test_an_xapp_that_asks_for_more_is_refused_with_one_line_each(
    ranloop: Command, misfit: Path, command: str
) -> None:
    arguments = {"run": (misfit, *NODE), "host": ("sim:one-cell", "--allow", misfit)}[command]
    refused = ranloop(command, *arguments, "--profile", "ocudu")
    assert (refused.code, refused.out) == (2, "")
    head, *lines = refused.err.splitlines()
    assert head == "error: the profile ocudu does not have what is asked for:"
    assert len(lines) == len(LACKS)
    assert all(line.startswith(f"  fits {lack}") for line, lack in zip(lines, LACKS, strict=True))


def test_check_says_the_same_without_running(ranloop: Command, misfit: Path) -> None:
    told = ranloop("check", misfit, "--profile", "ocudu")
    assert told.code == 1
    assert all(lack in told.out for lack in LACKS)
    assert told.out.endswith("does not run on ocudu\n")
    (facts,) = json.loads(ranloop("check", misfit, "--profile", "ocudu", "--json").out)
    assert facts["profile"] == "ocudu"
    assert [lack["wants"] for lack in facts["lacks"]] == [line.split(": ")[0] for line in LACKS]
    assert facts["lacks"][2]["instead"] == "ocudu does not have it; it takes SetSliceQuota, Handover"


def test_check_is_content_with_one_that_fits(ranloop: Command, tmp_path: Path) -> None:
    told = ranloop("check", xapp(tmp_path), "--profile", "ocudu", "--json")
    (facts,) = json.loads(told.out)
    assert (told.code, facts["lacks"]) == (0, [])
    assert [remark.split(":")[0] for remark in facts["beware"]] == ["SetSliceQuota"]
    assert ranloop("check", tmp_path / "fits", "--profile", "ocudu").out.endswith("ok\n")
    assert "lacks" not in ranloop("check", tmp_path / "fits").out


def test_one_that_fits_runs_on_what_is_left(ranloop: Command, tmp_path: Path) -> None:
    exact = ("--override", "reports.rounding=false")
    runs = [
        ranloop("run", xapp(tmp_path / at), *NODE, *exact, *profile, "--json")
        for at, profile in (("a", ("--profile", "ocudu")), ("b", ()))
    ]
    rounded, raw = (json.loads(run.out)["xapps"]["fits"]["used"] for run in runs)
    assert [value % 1 for value in rounded] == [0, 0]
    assert [round(value) for value in raw] == rounded
    assert any(value % 1 for value in raw)


def test_what_the_simulator_itself_lacks_is_not_there_under_a_profile(
    ranloop: Command, tmp_path: Path
) -> None:
    complaint = ranloop("run", xapp(tmp_path, second="RRU.PrbTotUl"), *NODE, "--profile", "ocudu").complaint
    assert "site0 does not measure RRU.PrbTotUl per cell; it has RRU.PrbTotDl" in complaint


def test_a_recording_made_under_a_profile_holds_no_more_than_it(ranloop: Command, tmp_path: Path) -> None:
    recorded = tmp_path / "recorded"
    done = ranloop("run", xapp(tmp_path), *NODE, "--profile", "ocudu", "--record", recorded)
    assert done.code == 0, done.err
    again = ("--node", f"replay:{recorded}", "--profile")
    assert ranloop("run", tmp_path / "fits", *again, "ocudu").code == 0
    assert "oai has no cell reports, only ue reports" in ranloop("run", tmp_path / "fits", *again, "oai").err


def test_the_vocabulary_of_a_stack_is_listed(ranloop: Command) -> None:
    everything = json.loads(ranloop("vocabulary", "--profile", "ns-o-ran", "--json").out)
    assert [(entry["name"], entry.get("sent_as"), entry.get("levels")) for entry in everything] == [
        ("DRB.UEThpDl", "DRB.UEThpDl.UEID", ["ue"]),
        ("RRU.PrbUsedDl", "RRU.PrbUsedDl.UEID", ["ue"]),
        ("Handover", None, None),
    ]
    listed = ranloop("vocabulary", "--profile", "ocudu").out
    assert "left open:" in listed
    assert "DRB.RlcSduTransmittedVolumeDL " in listed
    assert "there, but not shown: RSRP: its value is the PUSCH SNR" in listed
    one = json.loads(ranloop("vocabulary", "RRU.PrbUsedDl", "--profile", "ocudu", "--json").out)
    assert (one["levels"], one["integer"]) == (["cell", "ue"], True)
    assert "an integer mean" in one["based_on"]


def test_an_operators_profile_is_listed_in_its_own_words(ranloop: Command, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        """name = "mine"\nread_at = "1.0"\nleft_open = ["[/all] the rest"]
        [[measurements]]\nnames = ["CQI"]\nlevels = ["ue"]\nremark = "[/b]"\n[[measurements]]\nnames = ["DRB.UEThpDl"]\nlevels = ["ue"]\nwhole = true
        """
    )
    listed = ranloop("vocabulary", "--profile", mine).out
    assert "left open: [/all] the rest" in listed
    assert "[/b]" in listed
    one = json.loads(ranloop("vocabulary", "DRB.UEThpDl", "--profile", mine, "--json").out)
    assert one["integer"] is True


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("RSRP", "RSRP: ocudu has it, but its value is the PUSCH SNR"),
        ("RRU.MaxPrbUsedDl", "RRU.MaxPrbUsedDl: ocudu does not have it; near: RRU.PrbUsedDl"),
        ("SetTxPower", "SetTxPower: ocudu does not have it; it has DRB.UEThpDl"),
        ("PrbUsedd", "unknown measurement or action 'PrbUsedd'"),
    ],
)
def test_a_name_that_a_stack_does_not_have_is_one_line(ranloop: Command, name: str, words: str) -> None:
    assert words in ranloop("vocabulary", name, "--profile", "ocudu").complaint


def test_a_wrong_profile_is_one_line_everywhere(ranloop: Command, tmp_path: Path) -> None:
    folder, broken = xapp(tmp_path), tmp_path / "broken.toml"
    broken.write_text("name = 3")
    commands = (("run", folder, *NODE), ("host", "sim:one-cell"), ("check", folder), ("vocabulary",))
    for command in commands:
        assert "did you mean ocudu?" in ranloop(*command, "--profile", "ocud").complaint
        assert "broken.toml: name: " in ranloop(*command, "--profile", broken).complaint


@pytest.mark.broker
def test_xapps_on_a_bus_see_the_narrowed_node(ranloop: Command) -> None:
    seen: list[Catalogue] = []
    with running_broker("mosquitto") as broker, closing(open_bus(broker.url, name="looker")) as bus:
        bus.subscribe(topics.catalogue("+"), lambda _, payload: seen.append(decode_catalogue(payload)), qos=1)
        host = ("host", "sim:one-cell", "--duration-s", "0.1", "--bus", broker.url)
        assert ranloop(*host, "--profile", "ocudu").code == 0
        while not seen:
            assert bus.poll(5.0)
    assert (seen[0].periods_ms, seen[0].actions) == ((1000,), ("Handover", "SetSliceQuota"))
    assert set(seen[0].measurements["ue"]) <= load_profile("ocudu").measured["ue"].keys()


def test_on_a_bus_the_host_has_the_profile(ranloop: Command, tmp_path: Path) -> None:
    assert "ranloop host" in ranloop("run", xapp(tmp_path), "--profile", "ocudu").complaint
