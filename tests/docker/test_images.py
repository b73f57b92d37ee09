"""What an image holds and what it does not, and that it runs with no right at all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docker.engine import IMAGES, ROOT, podman, require_containers

pytestmark = pytest.mark.containers

QOS_SCHEDULER, KPM_MONITOR, NODE = IMAGES
HARDENED = (
    *("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--memory", "256m", "--pids-limit", "64"),
)
# Of an xApp's image, unpacked, in MB: on a base of 57 MB with Python alone.
MOST_MB = {QOS_SCHEDULER: 145, KPM_MONITOR: 145}


@pytest.fixture(autouse=True, scope="module")
def images() -> None:
    require_containers()


def pinned(file: str) -> dict[str, str]:
    """Package -> version in a file of hashed pins, for Python 3.11 on Linux."""
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    found = [re.match(r"([a-z][\w.-]*)==(\S+?) ?(;.*)?\\$", line) for line in lines]
    return {
        one[1]: one[2]
        for one in found
        if one and not any(text in (one[3] or "") for text in ("win32", ">= '3.12'"))
    }


def files(image: str) -> str:
    code = "import os; print('\\n'.join(os.path.join(at, f) for at, _, fs in os.walk('/') for f in fs if at[:5] not in ('/proc', '/sys', '/sys/')))"
    done = podman(*HARDENED, "--entrypoint", "python3", image, "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_as_small_as_the_page_says(image: str) -> None:
    size_mb = int(podman("image", "inspect", "-f", "{{.Size}}", image).stdout) / 1e6
    print(f"\n{image}: {size_mb:.0f} MB unpacked")
    assert size_mb <= MOST_MB.get(image, 600)
    page = (ROOT / "docs/containers.md").read_text()
    told = re.search(rf"{image.removeprefix('localhost/')} +(\d+) MB unpacked", page)
    assert told is not None
    assert size_mb == pytest.approx(int(told[1]), rel=0.03)


@pytest.mark.parametrize("image", [QOS_SCHEDULER, KPM_MONITOR])
def test_an_image_of_an_xapp_without_a_model_has_nothing_to_infer_build_or_train_with(image: str) -> None:
    content = files(image)
    for foreign in (
        "/onnxruntime/",
        "/opt/ranloop/ran_sim/",
        "/opt/ranloop/numba/",
        "/llvmlite/",
        "/sklearn/",
        "/pip/",
        "/bin/gcc",
        "/bin/cc",
        "/train.py",
    ):
        assert foreign not in content
    assert "/etc/pip.conf" not in content  # what a build mounts stays outside


@pytest.mark.parametrize("image", [QOS_SCHEDULER, KPM_MONITOR])
def test_an_xapp_loads_without_network_rights_or_a_disk(image: str) -> None:
    done = podman(*HARDENED, image, "check", ".")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("ok\n")


def test_kernels_need_no_compiling_in_a_read_only_container() -> None:
    command = ("run", "xapps/kpm_monitor", "--node", "sim:one-cell", "--duration-s", "2")
    done = podman(*HARDENED[:-4], "--memory", "1g", "--tmpfs", "/tmp", NODE, *command)
    assert done.returncode == 0, done.stderr
    assert "compil" not in done.stderr  # neither the notice of the first compilation nor a warning


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_what_it_is(image: str) -> None:
    (facts,) = json.loads(podman("image", "inspect", image).stdout)
    labels = facts["Labels"]
    assert labels["org.opencontainers.image.title"] in image.replace("/node", "/ranloop-node")
    assert labels["org.opencontainers.image.description"]
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["org.opencontainers.image.base.name"] == "localhost/python-runtime:3.11"
    assert re.match(r"[0-9a-f]{40}(-dirty)?$", labels["org.opencontainers.image.revision"])
    assert facts["Config"]["User"] == "10001:10001"
    assert facts["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize(
    ("name", "pins"), [("qos_scheduler", "xapp.txt"), ("kpm_monitor", "xapp.txt"), ("node", "run.txt")]
)
def test_the_bill_of_materials_lists_the_pinned_packages(name: str, pins: str) -> None:
    bill = json.loads((ROOT / "build" / f"{name}.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    listed = {
        part["name"]: part["version"]
        for part in bill["components"]
        if part.get("purl", "").startswith("pkg:pypi/")
    }
    wanted = pinned(pins) | {"ranloop": "0.1.0"}
    build_only = {"editables", "hatchling", "pathspec", "pluggy", "trove-classifiers"}
    assert {name: at for name, at in wanted.items() if name not in build_only}.items() <= listed.items()


def test_the_files_follow_the_rules_of_their_kind() -> None:
    dockerfiles = [str(path) for path in sorted((ROOT / "docker").glob("*.Dockerfile"))]
    compose = [str(path) for path in sorted((ROOT / "docker").glob("compose*.yaml"))]
    for command in (
        ["hadolint", *dockerfiles],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", *compose],
    ):
        assert shutil.which(command[0]), f"{command[0]} is not installed: make containers installs it"
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_tags_are_those_of_the_code() -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    compose = (ROOT / "docker/compose.yaml").read_text()
    assert f"RANLOOP_TAG:-{version[1]}" in compose
    assert f'appVersion: "{version[1]}"' in Path(ROOT / "docker/chart/Chart.yaml").read_text()
