"""Whatever a user gets wrong is told in one line with the fact that helps, never in a traceback of ours."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from ranloop.errors import BusError
from tests.builders import APP, MANIFEST, write_xapp
from tests.command import Command

ROOT = Path(__file__).parents[2]
ONE_CELL = (ROOT / "ran_sim" / "scenario" / "scenarios" / "one-cell.toml").read_text()
NODE = ("--node", "sim:one-cell")


@pytest.fixture
def xapp(tmp_path: Path) -> Path:
    return write_xapp(tmp_path / "weigher")


# What is typed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--autonomy", "full"), "--autonomy 'full': want one of observe, recommend, act"),
        (("--autonomy", "weigher=full"), "--autonomy 'full': want one of observe, recommend, act"),
        (
            ("--autonomy", "weigh=act"),
            "--autonomy 'weigh=act': no xApp 'weigh' is admitted; there is weigher",
        ),
        (("--priority", "w=3"), "--priority 'w=3': no xApp 'w' is admitted; there is weigher"),
        (("--priority", "3"), "--priority '3': want NAME=N, N a whole number; the higher displaces"),
        (("--priority", "weigher=high"), "--priority 'weigher=high': want NAME=N, N a whole number"),
        (("--set", "gain"), "--set 'gain': want NAME=VALUE"),
        (("--set", "=3"), "--set '=3': want NAME=VALUE"),
        (("--set", "gian=3"), "weigher has no setting 'gian'; it has: gain"),
        (("--set", "gain=much"), "weigher: setting gain: got 'much', want float"),
        (("--set", "gain=11"), "weigher: setting gain: got 11, want float in [0.0, 10.0]"),
        (("--set", "gain=NaN"), "weigher: setting gain: got nan, want float"),
        (("--set", "gain=[1]"), "weigher: setting gain: got [1], want float"),
        (("--override", "lod=1"), "lod: got 1, want no such field; there is load"),
        (("--override", "load=-1"), "load: got -1"),
        (("--override", "load=NaN"), "load: got nan, want a finite number"),
        (("--override", "no.where=1"), "override no.where: got no section no"),
        (("--override", "traffic.video-call.rate_mbps=fast"), "rate_mbps: got 'fast'"),
        (("--seed", "-1"), "seed -1 is negative"),
        (("--duration-s", "nan"), "--duration-s nan: want a number above 0"),
        (("--duration-s", "-1"), "--duration-s -1: want a number above 0"),
    ],
)
def test_a_wrong_option_is_one_line(
    ranloop: Command, xapp: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in ranloop("run", xapp, *NODE, *arguments).complaint


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            "sim:two-cells",
            "two-cells: got no scenario, want a .toml file or one of city-day, district-day, hot-spots, one-cell, seven-sites, sliced-district",
        ),
        ("sim:", "want kind:target"),
        ("simulator:one-cell", "want kind:target, where kind is one of pipe:…, replay:…, sim:…, table:…"),
        ("replay:nowhere", "nothing to replay"),
    ],
)
def test_a_wrong_node_is_one_line(ranloop: Command, xapp: Path, node: str, words: str) -> None:
    assert words in ranloop("run", xapp, "--node", node).complaint


@pytest.mark.parametrize("command", ["run", "host", "order"])
def test_a_broker_that_is_not_there_is_one_line(ranloop: Command, xapp: Path, command: str) -> None:
    arguments = {"run": (xapp,), "host": ("sim:one-cell", "--allow", xapp), "order": ("all", "--kill")}[
        command
    ]
    complaint = ranloop(command, *arguments, "--bus", "mqtt://127.0.0.1:1").complaint
    assert complaint == "no broker at mqtt://127.0.0.1:1: connection refused; start one with: ranloop broker"


@pytest.mark.parametrize(
    ("command", "way"), [("run", "--node sim:one-cell"), ("describe", "ranloop describe sim:one-cell")]
)
def test_who_names_no_bus_and_finds_none_is_told_the_way_without_one(
    ranloop: Command, xapp: Path, command: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, **_: object) -> None:
        raise BusError(f"no broker at {url}")

    monkeypatch.setattr(f"ranloop.cli.{command}.open_bus", refuse)
    monkeypatch.delenv("RANLOOP_BUS", raising=False)
    arguments = (xapp,) if command == "run" else ("one-cell",)
    complaint = ranloop(command, *arguments).complaint
    assert complaint.startswith("no broker at mqtt://localhost:1883; or ")
    assert complaint.endswith(f"without a bus: {way}")
    assert "without a bus" not in ranloop(command, *arguments, "--bus", "mqtt://127.0.0.1:1").complaint


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://x", "'http://x' is not a bus address"),
        ("mqtt://127.0.0.1:port", "the port of '127.0.0.1:port' cannot be used"),
        ("mqtt://user:secret@127.0.0.1:1", "no broker at mqtt://127.0.0.1:1"),
    ],
)
def test_a_wrong_bus_is_one_line_without_its_password(
    ranloop: Command, xapp: Path, url: str, words: str
) -> None:
    complaint = ranloop("run", xapp, "--bus", url).complaint
    assert words in complaint
    assert "secret" not in complaint


def test_orders_that_order_nothing_are_one_line(ranloop: Command) -> None:
    assert "nothing to order" in ranloop("order", "all").complaint
    assert "go together" in ranloop("order", "all", "--autonomy", "act").complaint
    assert "want one of observe" in ranloop("order", "all", "--autonomy", "full", "--xapp", "x").complaint
    assert (
        "xApp name 'X Y': want lower-case"
        in ranloop("order", "all", "--autonomy", "act", "--xapp", "X Y").complaint
    )
    assert (
        "--forget withdraws an order and gives none"
        in ranloop("order", "all", "--kill", "--forget").complaint
    )
    assert "node name 'a/b': want lower-case" in ranloop("order", "a/b", "--forget").complaint
    assert "xApp name 'a+': want lower-case" in ranloop("order", "all", "--xapp", "a+", "--forget").complaint


def test_a_level_of_the_log_that_is_none_is_one_line(
    ranloop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANLOOP_LOG_LEVEL", "loud")
    assert (
        ranloop("vocabulary").complaint
        == "RANLOOP_LOG_LEVEL is 'LOUD'; want one of debug, info, warning, error"
    )


def test_an_unknown_name_finds_near_ones(ranloop: Command) -> None:
    shown = ranloop("vocabulary", "DRB.UEThpDown")
    assert shown.code == 0
    assert "DRB.UEThpDl" in shown.out.splitlines()[1]


# Files


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[carrier]", "[carrier"), "got no TOML"),
        (("bandwidth_prb = 51", 'bandwidth_prb = "wide"'), "carrier.bandwidth_prb: got 'wide'"),
        (("bandwidth_prb = 51", "bandwidth_prbs = 51"), "carrier.bandwidth_prbs: got 51, want no such field"),
        (('name = "pf"', 'name = "fair"'), "scheduler.name: got 'fair'"),
        (("scs_khz = 30", "scs_khz = 17"), "carrier.scs_khz: got 17"),
        (("load = 1.0", "load = 1e9"), "load at most"),
    ],
)
def test_a_broken_scenario_is_one_line(
    ranloop: Command, xapp: Path, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    text = ONE_CELL.replace(*change)
    assert text != ONE_CELL
    (path := tmp_path / "mine.toml").write_text(text)
    complaint = ranloop("run", xapp, "--node", f"sim:{path}").complaint
    assert words in complaint
    assert "mine.toml" in complaint


@pytest.mark.parametrize("name", ["image.toml", "folder.toml"])
def test_a_scenario_that_is_no_text_is_one_line(
    ranloop: Command, xapp: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "image.toml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    (tmp_path / "folder.toml").mkdir()
    assert name in ranloop("run", xapp, "--node", f"sim:{tmp_path / name}").complaint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[[actions]]", "[[permissions]]"), "permissions: no such key"),
        (("SetUeWeight", "SetUeWait"), "did you mean SetUeWeight"),
        (("weight = [0.5, 4.0]", "speed = [0.5, 4.0]"), "speed"),
        (('level = "ue"', 'level = "sector"'), "level"),
        (("[settings.gain]", "[settings.gain"), "is not TOML"),
    ],
)
def test_a_broken_manifest_is_one_line(
    ranloop: Command, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    folder = write_xapp(tmp_path / "x", text=MANIFEST.format(name="x").replace(*change))
    for command in (("check", folder), ("run", folder, *NODE), ("host", "sim:one-cell", "--allow", folder)):
        complaint = ranloop(*command).complaint
        assert words in complaint
        assert "manifest.toml" in complaint


def test_what_is_no_xapp_is_one_line(ranloop: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        for command in ("check", "run"):
            complaint = ranloop(command, folder, *(NODE if command == "run" else ())).complaint
            assert str(folder) in complaint


def test_an_xapp_that_reads_what_the_node_does_not_measure_is_one_line(
    ranloop: Command, tmp_path: Path
) -> None:
    text = MANIFEST.format(name="x").replace("every_ms = 100", "every_ms = 70")
    folder = write_xapp(tmp_path / "x", text=text, app=APP.replace('"CQI")', '"CQI", every_ms=70)'))
    assert (
        "x reads ue reports every 70 ms, but site0 reports every" in ranloop("run", folder, *NODE).complaint
    )


def test_two_xapps_of_one_name_are_refused(ranloop: Command, tmp_path: Path) -> None:
    folders = [write_xapp(tmp_path / at, text=MANIFEST.format(name="twin")) for at in ("a", "b")]
    assert "two of the xApps have the same name: twin, twin" in ranloop("run", *folders, *NODE).complaint
    let_in = [word for folder in folders for word in ("--allow", folder)]
    hosted = ranloop("host", "sim:one-cell", *let_in, "--bus", "memory://x")
    assert hosted.complaint == "two of the xApps have the same name: twin, twin"


def test_a_bus_where_nobody_can_be_is_one_line(ranloop: Command, xapp: Path) -> None:
    complaint = ranloop("run", xapp, "--bus", "memory://x").complaint
    assert (
        complaint
        == "--bus memory://x is a bus inside one process, and this process has no host; give --node, or a broker"
    )


# Models


@pytest.fixture
def model_user(tmp_path: Path) -> Path:
    """An xApp with a copy of the bundled model, to be damaged."""
    shutil.copytree(ROOT / "models" / "flow_rate", tmp_path / "models" / "flow_rate")
    folder = tmp_path / "docs" / "examples" / "guide" / "rate_watch"
    shutil.copytree(ROOT / folder.relative_to(tmp_path), folder)
    return folder


def test_a_truncated_model_is_one_line(ranloop: Command, model_user: Path, tmp_path: Path) -> None:
    model = tmp_path / "models" / "flow_rate" / "model.onnx"
    model.write_bytes(model.read_bytes()[:1000])
    complaint = ranloop("check", model_user).complaint
    assert "model.onnx is not the file its card describes: sha256" in complaint
    assert complaint.endswith("restore the file or train again")


def test_a_file_that_is_no_model_is_one_line(ranloop: Command, model_user: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "flow_rate"
    replace_model(folder, b"not a model at all")
    assert "model.onnx is not a runnable ONNX model" in ranloop("run", model_user, *NODE).complaint
    (folder / "model.onnx").unlink()
    assert "model.onnx cannot be read: No such file" in ranloop("check", model_user).complaint
    shutil.rmtree(folder)
    assert "flow_rate is no model package: it has no card.toml" in ranloop("check", model_user).complaint


def test_a_model_whose_inputs_do_not_match_its_card_is_one_line(
    ranloop: Command, model_user: Path, tmp_path: Path
) -> None:
    card = tmp_path / "models" / "flow_rate" / "card.toml"
    text = card.read_text()
    extra = '[[features]]\nmeasurement = "RSRP"\nunit = "dBm"\n'
    card.write_text(text.replace("[[features]]", extra + "\n[[features]]", 1))
    n = text.count("[[features]]")
    complaint = ranloop("run", model_user, *NODE).complaint
    assert f"but its card lists {n + 1} features: want one tensor(float) [?, {n + 1}]" in complaint
    card.write_text(text.replace('unit = "dBm"', 'unit = "mW"'))
    assert "RSRP is in 'dBm', the card says 'mW'" in ranloop("check", model_user).complaint


def replace_model(folder: Path, content: bytes) -> None:
    before = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "model.onnx").write_bytes(content)
    card = folder / "card.toml"
    card.write_text(card.read_text().replace(before, hashlib.sha256(content).hexdigest()))


# Recordings


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "a,b\n1,2\n",
            "no table that is known: its columns are a, b; start a mapping of your own: ranloop table",
        ),
        ("", "day.csv: no table: the file is empty"),
        ("\x00" * 50, "day.csv"),
    ],
)
def test_a_table_with_wrong_columns_is_one_line(
    ranloop: Command, xapp: Path, tmp_path: Path, content: str, words: str
) -> None:
    (path := tmp_path / "day.csv").write_text(content)
    assert words in ranloop("run", xapp, "--node", f"replay:{path}").complaint


def test_a_damaged_recording_is_one_line(ranloop: Command, xapp: Path, tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_text('{"format": 2, "catalogues": "none"}')
    assert "damaged recording" in ranloop("run", xapp, "--node", f"replay:{tmp_path}").complaint
    (tmp_path / "recording.json").write_text('{"format": 1, "streams": [{"file": "../../etc/passwd"}]}')
    assert "an old recording" in ranloop("run", xapp, "--node", f"replay:{tmp_path}").complaint


# The author's own mistakes


@pytest.mark.parametrize(
    ("app", "last"),
    [
        (
            APP.replace("return SetUeWeight", "1 / 0\n    return SetUeWeight"),
            "ZeroDivisionError: division by zero",
        ),
        ("import no_such_module\n" + APP, "ModuleNotFoundError: No module named 'no_such_module'"),
        (APP.replace("def act(", "def act(("), "SyntaxError"),
        (APP + "\n@app.summary\ndef say():\n    return {}['gain']\n", "KeyError: 'gain'"),
        (APP + "\napp.settings['gain']\n", "RuntimeError: settings are read before the xApp runs"),
    ],
    ids=["handler", "import", "syntax", "summary", "settings"],
)
def test_what_the_xapp_raises_is_shown_from_its_own_first_frame(
    ranloop: Command, tmp_path: Path, app: str, last: str
) -> None:
    outcome = ranloop("run", write_xapp(tmp_path / "x", app=app), *NODE, "--duration-s", "0.3")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    frames = [line for line in outcome.err.splitlines() if line.lstrip().startswith("File ")]
    assert "x/app.py" in frames[0]
    assert last in outcome.err.splitlines()[-1]


# Places that cannot be written


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A folder that nobody can make, not even a superuser: its parent is a file."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "below"


def test_a_record_folder_that_cannot_be_written_is_one_line_before_the_run(
    ranloop: Command, xapp: Path, blocked: Path
) -> None:
    for folder in (blocked, Path("/proc/self")):
        command = (
            "host",
            "sim:one-cell",
            "--allow",
            xapp,
            "--bus",
            "memory://x",
            "--duration-s",
            "0.2",
            "--record",
        )
        assert f"{folder}: cannot be written" in ranloop(*command, folder).complaint


def test_an_audit_file_that_cannot_be_written_stops_the_start(
    ranloop: Command, xapp: Path, blocked: Path
) -> None:
    for command in (("run", xapp, *NODE), ("host", "sim:one-cell", "--allow", xapp, "--bus", "memory://x")):
        complaint = ranloop(*command, "--duration-s", "0.2", "--audit", blocked).complaint
        assert complaint == f"audit log {blocked}: cannot be written (Not a directory)"
