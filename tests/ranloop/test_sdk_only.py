"""The SDK installed by itself, as in an xApp's container: it works, and where the simulator is wanted it says how to get it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.builders import write_xapp

ROOT = Path(__file__).parents[2]
MAIN = "from ranloop_start import ranloop; ranloop()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of a wheel of a source tree that has no simulator; no network is used."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "sdk", source / "sdk", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(installed: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -S` knows no checkout: only the installed wheel, and the packages it depends on."""
    path = f"import sys; sys.path[:0] = {[str(installed), sysconfig.get_path('purelib')]!r}; "
    command = [sys.executable, "-S", "-c", path + code, *arguments]
    return subprocess.run(command, cwd=installed, capture_output=True, text=True, check=False)


def test_it_is_the_wheel_that_runs_and_it_holds_no_simulator(installed: Path) -> None:
    where = run(installed, "import ranloop; print(ranloop.__file__)")
    assert where.stdout.strip() == str(installed / "ranloop" / "__init__.py")
    assert run(installed, "import ran_sim").stderr.rstrip().endswith("No module named 'ran_sim'")
    assert (installed / "ranloop" / "py.typed").is_file()


def test_the_simulator_is_answered_with_its_install_line(installed: Path, tmp_path: Path) -> None:
    xapp = write_xapp(tmp_path / "weigher")
    for arguments in (
        ["run", str(xapp), "--node", "sim:one-cell"],
        ["host", "sim:one-cell", "--bus", "memory://x"],
    ):
        done = run(installed, MAIN, *arguments)
        assert done.returncode == 2
        assert done.stderr == "error: the simulator needs an optional part: pip install 'ranloop[sim]'\n"


def test_a_new_xapp_comes_out_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The templates are data of the package, the model's binary file among them."""
    for template, file in (("steering", "app.py"), ("model", "rate/model.onnx")):
        done = run(installed, MAIN, "new", str(tmp_path / template), "--template", template)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / template / file).is_file()


def test_an_xapp_runs_without_numba_on_a_toy_world(installed: Path, tmp_path: Path) -> None:
    text = (write_xapp(tmp_path / "weigher") / "manifest.toml").read_text().replace('"CQI"', '"DRB.UEThpDl"')
    app = (tmp_path / "weigher" / "app.py").read_text().replace('"CQI"', '"DRB.UEThpDl"')
    (tmp_path / "weigher" / "manifest.toml").write_text(text)
    (tmp_path / "weigher" / "app.py").write_text(app)
    code = """
from pathlib import Path
from ranloop.embedded import run_embedded
from ranloop.testing.worlds import ToyWorld
run = run_embedded(ToyWorld(duration_s=0.5), [Path(sys.argv[1])])
assert not {"numba", "ran_sim", "paho", "onnxruntime", "typer"} & set(sys.modules), "more was loaded than it needs"
print(run.summary.outcomes["applied"])
"""
    done = run(installed, code, str(tmp_path / "weigher"))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
