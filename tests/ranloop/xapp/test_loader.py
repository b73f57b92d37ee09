"""Two xApps of one process never see each other's modules; a package that cannot work is refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ranloop.errors import ManifestError
from ranloop.testing import XAppHarness, make_report
from ranloop.xapp.loader import load_package
from ranloop.xapp.manifest import load_manifest
from tests.builders import APP, MANIFEST, write_xapp


def test_two_xapps_with_a_module_of_the_same_name_keep_their_own(tmp_path: Path) -> None:
    two = XAppHarness(write_xapp(tmp_path / "two"))
    three = XAppHarness(write_xapp(tmp_path / "three", policy="def weight(cqi): return cqi * 0 + 3.0"))
    report = make_report({"CQI": [5, 6]})
    assert two.send(report)[0].parameters().ravel().tolist() == [2.0, 2.0]
    assert three.send(report)[0].parameters().ravel().tolist() == [3.0, 3.0]


def test_two_instances_of_one_xapp_share_no_state(tmp_path: Path) -> None:
    folder = write_xapp(
        tmp_path / "twice",
        policy="seen = []\ndef weight(cqi):\n    seen.append(1)\n    return cqi * 0 + len(seen)",
    )
    one, other = XAppHarness(folder), XAppHarness(folder)
    report = make_report({"CQI": [5]})
    one.send(report)
    assert one.send(report)[0].parameters().item() == 2.0
    assert other.send(report)[0].parameters().item() == 1.0


def test_a_setting_of_the_operator_reaches_the_handler(tmp_path: Path) -> None:
    harness = XAppHarness(write_xapp(tmp_path / "tuned"), gain=1.5)
    assert harness.send(make_report({"CQI": [5]}))[0].parameters().item() == 3.0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"gian": 1.0}, "has no setting 'gian'; it has: gain"),
        ({"gain": 99.0}, r"setting gain: got 99.0, want float in \[0.0, 10.0\]"),
        ({"gain": "much"}, "setting gain: got 'much', want float"),
        ({"gain": True}, "setting gain: got True, want float"),
        ({"gain": [1.0]}, r"setting gain: got \[1.0\], want float"),
        ({"gain": 10**400}, r"setting gain: got 1000000\d+\.\.\.0+, want float"),
        ({"gain": "9" * 9000}, r"setting gain: got '9+\.\.\.9+', want float"),
        ({"gain": float("nan")}, "setting gain: got nan, want float"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        XAppHarness(write_xapp(tmp_path / "x"), **settings)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            ("rate_per_s", "rate_per_sec"),
            r"actions.0.rate_per_sec: no such key \(did you mean rate_per_s\?\)",
        ),
        (
            ("every_ms", "evry_ms"),
            r"streams.0.evry_ms: no such key \(did you mean every_ms\?\); streams.0.every_ms: Field required",
        ),
        (
            ("description", "descriptoin"),
            r"settings.gain.descriptoin: no such key \(did you mean description",
        ),
        (
            ('version = "0.1.0"', "a = 1\nb = 2\nc = 3\nd = 4\nversoin = 1"),
            r"d: no such key; and 2 more$",
        ),
        (("SetUeWeight", "SetUeWieght"), r"did you mean SetUeWeight"),
        (("CQI", "CQY"), r"did you mean CQI"),
        (("weight = [0.5, 4.0]", "wait = [0.5, 4.0]"), r"wait"),
        (('version = "0.1.0"', ""), r"version: Field required"),
        (('name = "x"', 'name = "X X"'), r"name: String should match pattern"),
        (
            ("[settings.gain]", '[[actions]]\nname = "SetUeWeight"\n[settings.gain]'),
            r"actions: SetUeWeight is granted twice; merge the entries$",
        ),
        (("[[streams]]", "[[streams]"), r"is not TOML"),
        (('name = "x"', "name = " + "[" * 5000), r"nested too deeply"),
        (('name = "x"', "#" * 65_537), r"larger than 65536 bytes"),
    ],
    ids=lambda value: value[1][:20] if isinstance(value, tuple) else None,
)
def test_a_wrong_manifest_is_one_line_with_the_fields_path(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    text = MANIFEST.format(name="x").replace(*change)
    assert text != MANIFEST.format(name="x")
    with pytest.raises(ManifestError, match=reason) as caught:
        load_package(write_xapp(tmp_path / "x", text=text))
    assert "\n" not in str(caught.value)
    assert "manifest.toml" in str(caught.value)


def test_a_stream_that_the_manifest_does_not_declare_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"act reads RSRP, which the manifest's stream does not list"):
        load_package(write_xapp(tmp_path / "x", app=APP.replace('"CQI")\ndef', '"CQI", "RSRP")\ndef')))
    with pytest.raises(
        ManifestError, match=r"reads the ue stream every 1000 ms, which the manifest does not declare"
    ):
        load_package(write_xapp(tmp_path / "y", app=APP.replace('"CQI")\ndef', '"CQI", every_ms=1000)\ndef')))


def test_a_model_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="uses the model 'late'"):
        load_package(write_xapp(tmp_path / "x", app=APP + "\nlate = app.model('late')\n"))


def test_a_folder_without_manifest_app_or_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"it has no manifest\.toml"):
        load_package(tmp_path)
    folder = write_xapp(tmp_path / "x", app="nothing = 1")
    with pytest.raises(ManifestError, match=r"has no `app = XApp\(\)`"):
        load_package(folder)
    (folder / "app.py").unlink()
    with pytest.raises(ManifestError, match=r"it has no app.py"):
        load_package(folder)


def test_what_the_users_module_raises_comes_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        load_package(write_xapp(tmp_path / "x", policy="1 / 0"))


@pytest.mark.parametrize("app", ["nothing = 1", APP.replace('"CQI")\ndef', '"CQI", "RSRP")\ndef')])
def test_a_refused_package_leaves_no_modules_behind(tmp_path: Path, app: str) -> None:
    before = set(sys.modules)
    with pytest.raises(ManifestError):
        load_package(write_xapp(tmp_path / "x", app=app))
    assert not {
        name for name in set(sys.modules) - before if "_x" in name and name.endswith((".app", ".policy"))
    }


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("type = 'int'\ndefault = 1.5", "got 1.5, want int"),
        ("type = 'int'\ndefault = true", "got True, want int"),
        ("type = 'int'\ndefault = '7'", "a setting of type int has no choices, and a default without quotes"),
        ("type = 'bool'\ndefault = 1", "got 1, want bool"),
        ("type = 'str'\ndefault = 1", "got 1, want str"),
        ("type = 'float'\ndefault = 1" + "0" * 400, r"got 10+\.\.\.0+, want float"),
        ("type = 'int'\ndefault = 3\nlow = true", "low.*: Input should be a valid"),
        ("type = 'int'\ndefault = 3\nlow = '1'", "low.*: Input should be a valid"),
        ("type = 'int'\ndefault = 3\nlow = nan", "low nan and high None are no range"),
        ("type = 'int'\ndefault = 3\nlow = 5\nhigh = 1", "low 5 and high 1 are no range"),
        ("type = 'str'\ndefault = 'a'\nlow = 1", "a setting of type str has no low and no high"),
        ("type = 'int'\ndefault = 1\nchoices = ['1']", "a setting of type int has no choices"),
        ("type = 'str'\ndefault = 'a'\nchoices = ['b']", "got 'a', want one of b"),
        ("type = 'int'\ndefault = 1\npattern = '1'", "a setting of type int has no pattern"),
        ("type = 'str'\ndefault = 'a'\npattern = '('", r"pattern '\(' is no regular expression"),
        ("type = 'str'\ndefault = 'a'\npattern = 'b'", "got 'a', want a text like 'a'"),
    ],
)
def test_a_setting_that_does_not_agree_with_itself_is_one_line(
    tmp_path: Path, table: str, reason: str
) -> None:
    text = f"name = 'x'\nversion = '1'\nsummary = ''\n[settings.s]\ndescription = ''\n{table}\n"
    folder = write_xapp(tmp_path / "x", text=text)
    with pytest.raises(ManifestError, match=reason) as caught:
        load_manifest(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [1.5, 1.0, True, "1.5", None, float("inf")])
def test_a_whole_number_is_given_as_one(tmp_path: Path, value: object) -> None:
    text = (
        "name = 'x'\nversion = '1'\nsummary = ''\n[settings.n]\ndescription = ''\ntype = 'int'\ndefault = 3\n"
    )
    manifest = load_manifest(write_xapp(tmp_path / "x", text=text))
    assert manifest.effective_settings({"n": "4"}) == {"n": 4}
    with pytest.raises(ManifestError, match=r"x: setting n: got .*, want int"):
        manifest.effective_settings({"n": value})
