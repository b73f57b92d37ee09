"""An installed wheel carries the bundled xApps, models and examples, and the README's paths work in any folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from ran_sim.bridge import open_world
from ranloop.bundled import bundled, xapp_folder
from ranloop.errors import NodeError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel of this checkout; no network is used."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def ranloop(site: Path, elsewhere: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -S` knows no checkout: only the wheel, and the packages it depends on."""
    code = (
        f"import sys; sys.path[:0] = {[str(site), sysconfig.get_path('purelib')]!r}; "
        "from ranloop_start import ranloop; ranloop()"
    )
    command = [sys.executable, "-S", "-c", code, *arguments]
    return subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)


def test_a_wheel_holds_every_bundled_folder_with_its_models(unpacked: Path, tmp_path: Path) -> None:
    xapps = [str(path.parent.relative_to(ROOT)) for path in sorted(ROOT.glob("xapps/*/manifest.toml"))]
    assert xapps
    done = ranloop(unpacked, tmp_path, "check", *xapps, "docs/examples/keep_in_budget")
    assert done.returncode == 0, done.stderr
    assert f"this is the bundled one, {unpacked / 'ranloop' / 'bundle' / xapps[0]}" in done.stderr


def test_a_wheel_packages_an_xapp_for_a_container(unpacked: Path, tmp_path: Path) -> None:
    done = ranloop(unpacked, tmp_path, "package", "xapps/qos_scheduler")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "docker build -t ranloop/qos_scheduler:0.1.0 build/qos_scheduler\n"
    assert (tmp_path / "build/qos_scheduler/sdk/ranloop/__init__.py").is_file()
    assert not (tmp_path / "build/qos_scheduler/sdk/ranloop/bundle").exists()


def test_the_checkout_uses_its_own_folders() -> None:
    assert bundled("xapps/kpm_monitor") == ROOT / "xapps" / "kpm_monitor"


def test_a_folder_that_is_there_is_taken_before_the_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert xapp_folder("xapps/kpm_monitor") == ROOT / "xapps" / "kpm_monitor"
    assert "xapps/kpm_monitor is not here" in capsys.readouterr().err
    (tmp_path / "xapps" / "kpm_monitor").mkdir(parents=True)
    assert xapp_folder("xapps/kpm_monitor") == Path("xapps/kpm_monitor")
    assert capsys.readouterr().err == ""


def test_a_node_finds_a_bundled_model_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    world = open_world("one-cell", overrides={"scheduler.models": ["models/slot_metric"]})
    assert "SetSchedulerModel" in world.catalogues[0].actions
    assert f"this is the bundled one, {ROOT / 'models' / 'slot_metric'}" in capsys.readouterr().err
    open_world("one-cell", overrides={"scheduler.channel_model": "models/channel"})
    assert f"this is the bundled one, {ROOT / 'models' / 'channel'}" in capsys.readouterr().err
    with pytest.raises(NodeError, match=r"models/mine: got no readable card\.toml"):
        open_world("one-cell", overrides={"scheduler.models": ["models/mine"]})


@pytest.mark.parametrize("text", ["mine", "xapps/nonsense", "xapps/../../kpm_monitor", "/xapps/kpm_monitor"])
def test_other_paths_stay_as_they_are(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert xapp_folder(text) == Path(text)


@pytest.mark.slow
def test_an_installed_wheel_runs_the_demo(unpacked: Path, tmp_path: Path) -> None:
    done = ranloop(unpacked, tmp_path, "demo", "--drops", "2", "--duration-s", "1")
    assert done.returncode == 0, done.stderr
    assert "best-effort" in done.stdout
