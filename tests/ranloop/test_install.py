"""The wheel and the sdist: the same content, and both install and run in clean environments of every Python that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
# Where the package index is, if the machine says so in its environment; nothing else of it is passed on.
KEPT = ("LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_CACHE_DIR")


def run(command: list[str | Path], folder: Path, home: Path) -> str:
    """What a command prints in a clean environment."""
    home.mkdir(exist_ok=True)
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "PIP_CACHE_DIR": str(Path("~/.cache/pip").expanduser()),
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def interpreter(version: str) -> str:
    """A Python of this version, on the path or from pyenv; skips if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = [
        shutil.which(f"python{version}"),
        *map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))),
    ]
    for python in filter(None, found):  # a shim of pyenv may be there for a Python that is not chosen
        ask = [python, "-c", "import sys, venv; print(sys.executable)"]
        asked = subprocess.run(ask, capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return asked.stdout.strip()
    pytest.skip(f"no Python {version} here")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_sdist_builds_the_very_wheel_of_the_checkout(built: Path, tmp_path: Path) -> None:
    with tarfile.open(one(built, "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    source = one(tmp_path, "ranloop-*")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run(build, cwd=source, capture_output=True, check=True)
    again, first = content(one(tmp_path, "again/*.whl")), content(one(built, "*.whl"))
    assert again.keys() == first.keys()
    assert [name for name in first if first[name] != again[name]] == []


@pytest.mark.parametrize("version", PYTHONS)
def test_both_install_and_run_in_a_clean_environment(version: str, built: Path, tmp_path: Path) -> None:
    home, venv = tmp_path / "home", tmp_path / "venv"
    run([interpreter(version), "-m", "venv", venv], tmp_path, home)
    pip: list[str | Path] = [venv / "bin/pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "-r", ROOT / "requirements/run.txt"], tmp_path, home)
    ranloop = venv / "bin/ranloop"
    for artifact in ("*.tar.gz", "*.whl"):  # the sdist first: the wheel is what runs below
        only_this = ("--no-deps", "--no-index", "--no-build-isolation", "--force-reinstall")
        run([*pip, *only_this, one(built, artifact)], tmp_path, home)
        assert run([ranloop, "--version"], tmp_path, home).startswith("ranloop 0.")
        assert "\nok\n" in run([ranloop, "check", "xapps/qos_scheduler"], tmp_path, home)
    said = run(
        [ranloop, "run", "xapps/qos_scheduler", "--node", "sim:one-cell", "--duration-s", "2"], tmp_path, home
    )
    assert "applied" in said
    run([venv / "bin/pip", "check"], tmp_path, home)
