"""The build context of an xApp's image: what the xApp runs and nothing else; it loads there as it does here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.builders import write_xapp
from tests.command import Command

ROOT = Path(__file__).parents[3]
RATE_WATCH = ROOT / "docs/examples/guide/rate_watch"  # it has a model


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_context_holds_the_xapp_its_model_and_the_sdk(ranloop: Command, tmp_path: Path) -> None:
    out = tmp_path / "context"
    told = json.loads(ranloop("package", RATE_WATCH, "--out", out, "--json").out)
    assert told == {"context": str(out), "tag": "ranloop/rate_watch:0.1.0", "models": ["rate"]}
    found = listing(out)
    # manifest.toml says ../../../../models/flow_rate, and that is where the model lies.
    assert {name for name in found if name.startswith("app/models")} == {
        "app/models/flow_rate/card.toml",
        "app/models/flow_rate/model.onnx",
    }
    assert {
        "app/docs/examples/guide/rate_watch/app.py",
        "sdk/ranloop/wire/codec.py",
    } <= found
    assert not [name for name in found if "__pycache__" in name or "ran_sim" in name or "train.py" in name]
    assert "onnxruntime==" in (out / "requirements.txt").read_text()
    dockerfile = (out / "Dockerfile").read_text()
    assert 'ARG XAPP="docs/examples/guide/rate_watch"\n' in dockerfile
    assert 'ARG NAME="rate_watch"\n' in dockerfile


def test_a_context_has_nothing_of_the_training(ranloop: Command, tmp_path: Path) -> None:
    ranloop("package", ROOT / "xapps/qos_scheduler", "--out", tmp_path / "out")
    found = listing(tmp_path / "out" / "app" / "qos_scheduler")
    assert {"app.py", "policy.py", "manifest.toml"} <= found
    assert not found & {"train.py", "plan.toml"}
    assert not [name for name in found if name.startswith("journal")]


def test_a_context_has_nothing_of_the_judging(ranloop: Command, tmp_path: Path) -> None:
    files = ("claims.toml", "result.json", "drops.md", "gain.py", "gain.json", "gain.png", "evaluate.py")
    xapp = write_xapp(tmp_path / "one")
    for name in (*files, "policy.py"):
        (xapp / name).write_text("")
    ranloop("package", xapp, "--out", tmp_path / "out")
    assert listing(tmp_path / "out/app/one") == {"app.py", "manifest.toml", "policy.py"}
    (xapp / "policy.py").write_text("from . import gain\n")  # a module that runs may have any name
    ranloop("package", xapp, "--out", tmp_path / "out")
    assert {"gain.py", "gain.json"} <= listing(tmp_path / "out/app/one")


def test_a_context_holds_what_a_placement_reads_too(ranloop: Command, tmp_path: Path) -> None:
    """The better model, whose card a live xApp reads, and the calibration that a cascade would read."""
    out = tmp_path / "context"
    ranloop("package", ROOT / "docs/examples/fault_steering", "--out", out)
    found = {name for name in listing(out) if name.startswith("app/models")}
    assert found == {
        "app/models/cell_fault/card.toml",
        "app/models/cell_fault/model.onnx",
        "app/models/cell_fault_small/calibration.json",
        "app/models/cell_fault_small/card.toml",
        "app/models/cell_fault_small/model.onnx",
    }


def test_a_check_looks_at_the_better_model_whether_it_runs_the_code_or_not(ranloop: Command) -> None:
    folder = ROOT / "docs/examples/fault_steering"
    run, read = (
        json.loads(ranloop("check", *more, folder, "--json").out)[0]["models"] for more in ([], ["--no-run"])
    )
    assert [tag.split("@")[0] for tag in run] == ["cell_fault_small", "cell_fault"]
    assert run == read


def test_an_xapp_without_a_model_gets_no_onnxruntime(ranloop: Command, tmp_path: Path) -> None:
    xapp = write_xapp(tmp_path / "weigher")
    assert ranloop("package", xapp, "--out", tmp_path / "out").out == (
        f"docker build -t ranloop/weigher:0.1.0 {tmp_path / 'out'}\n"
    )
    assert "onnxruntime==" not in (tmp_path / "out" / "requirements.txt").read_text()
    assert (tmp_path / "out" / "app" / "weigher" / "app.py").is_file()


def test_a_packaged_xapp_loads_with_the_packaged_sdk_alone(ranloop: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ranloop("package", RATE_WATCH, "--out", out)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(out / "sdk"), sysconfig.get_path("purelib")]),
        "PYTHONSAFEPATH": "1",
    }
    done = subprocess.run(  # as the image's entry point does, in the xApp's folder
        [sys.executable, "-S", "-m", "ranloop_start", "check", "."],
        cwd=out / "app/docs/examples/guide/rate_watch",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "rate@" in done.stdout
    command = [sys.executable, "-S", "-m", "ranloop_start", "new", "mine"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == (
        "error: an xApp's image has no templates; make the xApp with a checkout or an installed wheel\n"
    )


def test_a_context_is_made_anew_and_nothing_else_is_overwritten(ranloop: Command, tmp_path: Path) -> None:
    xapp, out = write_xapp(tmp_path / "weigher"), tmp_path / "out"
    ranloop("package", xapp, "--out", out)
    (out / "app" / "weigher" / "old.py").write_text("")
    assert ranloop("package", xapp, "--out", out).code == 0
    assert not (out / "app" / "weigher" / "old.py").exists()
    (mine := tmp_path / "mine").mkdir()
    (mine / "letter.txt").write_text("dear")
    assert (
        ranloop("package", xapp, "--out", mine).complaint
        == f"--out {mine} holds other things; give a new folder"
    )
    assert listing(mine) == {"letter.txt"}
    assert "the xApp's own folder" in ranloop("package", xapp, "--out", xapp / "build").complaint
    (blocked := tmp_path / "blocked").write_text("")
    assert "cannot be written" in ranloop("package", xapp, "--out", blocked / "x").complaint


def test_the_pages_context_holds_the_sdk_and_its_server_alone(ranloop: Command, tmp_path: Path) -> None:
    out = tmp_path / "page"
    told = ranloop("package", "--page", "--out", out).out
    assert told == f"docker build --target page -t ranloop/page:0.1.0 {out}\n"
    found = listing(out)
    assert {"sdk/ranloop/page/server.py", "sdk/ranloop/page/static/index.html"} <= found
    assert {name.partition("/")[0] for name in found} == {"Dockerfile", "requirements.txt", "sdk"}
    pins = (out / "requirements.txt").read_text()
    assert all(f"{name}==" in pins for name in ("starlette", "uvicorn", "websockets", "prometheus-client"))
    assert "onnxruntime" not in pins
    assert "numba" not in pins
    assert (out / "Dockerfile").read_text().count('ARG VERSION="0.1.0"\n') == 2


@pytest.mark.parametrize("arguments", [(), ("xapps/kpm_monitor", "--page")])
def test_a_package_is_of_an_xapp_or_of_the_page(ranloop: Command, arguments: tuple[str, ...]) -> None:
    assert ranloop("package", *arguments).complaint == "give the folder of an xApp, or --page"


def test_an_xapp_that_cannot_run_is_not_packaged(ranloop: Command, tmp_path: Path) -> None:
    broken = write_xapp(tmp_path / "broken", app="app = (")
    assert "is no Python" in ranloop("package", broken, "--out", tmp_path / "out").complaint
    watch = shutil.copytree(RATE_WATCH, tmp_path / "a" / "b" / "c" / "d" / "rate_watch")
    assert "card.toml" in ranloop("package", watch, "--out", tmp_path / "out").complaint
    text = (watch / "manifest.toml").read_text()
    (watch / "manifest.toml").write_text(
        text.replace("../../../../models/flow_rate", str(ROOT / "models/flow_rate"))
    )
    assert (
        "absolute folder, which no image has"
        in ranloop("package", watch, "--out", tmp_path / "out").complaint
    )
    quoted = write_xapp(tmp_path / 'a"b', text=(ROOT / "xapps/kpm_monitor/manifest.toml").read_text())
    assert "rename it" in ranloop("package", quoted, "--out", tmp_path / "out").complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("summary", ['a "quoted" ${HOME}', "two\\nlines", "$(id)"])
def test_a_summary_is_text_and_no_part_of_the_build(ranloop: Command, tmp_path: Path, summary: str) -> None:
    xapp = write_xapp(tmp_path / "weigher")
    text = (xapp / "manifest.toml").read_text()
    (xapp / "manifest.toml").write_text(text.replace('summary = "test"', f"summary = {json.dumps(summary)}"))
    ranloop("package", xapp, "--out", tmp_path / "out")
    (line,) = [
        line for line in (tmp_path / "out/Dockerfile").read_text().splitlines() if "ARG SUMMARY" in line
    ]
    assert not set('$`\\"') & set(line.removeprefix('ARG SUMMARY="').removesuffix('"'))
