"""`ranloop package`: the build context of one image on the SDK, an xApp's or the page's, with nothing in it that does not run there."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import ranloop
from ranloop.bundled import bundled
from ranloop.errors import ManifestError, RanloopError
from ranloop.inference import read_package
from ranloop.inference.card import CARD_FILE
from ranloop.inference.package import CALIBRATION_FILE
from ranloop.inference.signature import SIGNATURE_FILE
from ranloop.xapp.loader import read_code
from ranloop.xapp.manifest import Manifest, load_manifest

__all__ = ("package_page", "package_xapp")

_SDK = Path(ranloop.__file__).parent
_HIDDEN = ("__pycache__", ".*")
_OF_TRAINING = ("train.py", "plan.toml", "journal")  # see `ranloop.training`
_OF_JUDGING = ("claims.toml", "result.json", "drops.md")  # see `ranloop.evaluation`
_MAY_RUN = {
    "evaluate": "evaluate.py",
    "gain": "gain.*",
}  # of judging, too, unless the xApp imports the module
_METADATA = "Metadata-Version: 2.4\nName: ranloop\nVersion: {version}\nLicense-Expression: Apache-2.0\n"


def package_xapp(folder: Path, out: Path | None, *, json_output: bool) -> int:
    """Write the context: the xApp and its models, the SDK, the hashed pins and a Dockerfile. Nothing of the xApp is run.

    Raises:
        RanloopError: The xApp cannot be loaded, or the context cannot be written there.
    """
    folder = folder.resolve()  # as when it is loaded: a manifest's relative paths begin where a link leads
    manifest = load_manifest(folder)
    read_code(folder)
    models = {name: folder / place for name, place in manifest.packages.items()}
    places = _places(folder, manifest)
    files = {name: _files(place) for name, place in models.items()}
    out = out or Path("build") / manifest.name
    if out.resolve().is_relative_to(folder):
        raise RanloopError(f"--out {out} lies in the xApp's own folder; give one outside of it")

    def copy_app() -> None:
        hidden = shutil.ignore_patterns(*_HIDDEN, *_OF_TRAINING, *_OF_JUDGING, *_not_run(folder))
        shutil.copytree(folder, out / "app" / places[""], ignore=hidden)
        for name, place in models.items():
            (out / "app" / places[name]).mkdir(parents=True, exist_ok=True)
            for file in files[name]:
                shutil.copy(place / file, out / "app" / places[name] / file)

    given = {
        "XAPP": places[""].as_posix(),
        "NAME": manifest.name,
        "VERSION": manifest.version,
        "SUMMARY": manifest.summary,
    }
    _write(out, "xapp-models" if models else "xapp", given, copy_app)
    tag = f"ranloop/{manifest.name}:" + re.sub(r"[^\w.-]", "-", manifest.version)
    facts = {"context": str(out), "tag": tag, "models": sorted(models)}
    print(json.dumps(facts, indent=2) if json_output else f"docker build -t {tag} {out}")
    return 0


def package_page(out: Path | None, *, json_output: bool) -> int:
    """Write the context of the live page's image: the SDK, the hashed pins and a Dockerfile.

    Raises:
        RanloopError: The context cannot be written there.
    """
    out = out or Path("build/page")
    _write(out, "page", {"VERSION": ranloop.__version__}, lambda: None)
    tag = f"ranloop/page:{ranloop.__version__}"
    facts = {"context": str(out), "tag": tag, "target": "page"}
    print(json.dumps(facts, indent=2) if json_output else f"docker build --target page -t {tag} {out}")
    return 0


def _write(out: Path, pins: str, given: Mapping[str, str], copy_app: Callable[[], None]) -> None:
    """Write a context: what `copy_app` brings, the SDK, the pins of this name, and the Dockerfile with `given` arguments.

    Raises:
        RanloopError: It cannot be written there.
    """
    dockerfile, requirements = _own("docker/sdk.Dockerfile"), _own(f"requirements/{pins}.txt")
    try:
        _make_room(out)
        copy_app()
        _copy_sdk(out / "sdk")
        shutil.copy(requirements, out / "requirements.txt")
        (out / "Dockerfile").write_text(_filled(dockerfile.read_text("utf-8"), given), "utf-8")
    except OSError as error:
        raise RanloopError(
            f"{error.filename or out} cannot be written: {error.strerror or error}; give another --out"
        ) from error


def _places(folder: Path, manifest: Manifest) -> dict[str, Path]:
    """Where the xApp ("") and each of its models go below `app`, so that the manifest's relative folders lead there.

    Raises:
        ManifestError: A model's folder is absolute, or the xApp's has quotes or the like in its name.
    """
    if absolute := [name for name, place in manifest.packages.items() if Path(place).is_absolute()]:
        raise ManifestError(
            f"{folder}: the model {absolute[0]!r} has an absolute folder, which no image has; make it relative"
        )
    there = {"": folder} | {
        name: Path(os.path.normpath(folder / place)) for name, place in manifest.packages.items()
    }
    root = Path(os.path.commonpath([place.parent for place in there.values()]))
    places = {name: place.relative_to(root) for name, place in there.items()}
    if _plain(places[""].as_posix()) != places[""].as_posix():
        raise ManifestError(f"{folder}: a folder with such signs in its name cannot be packaged; rename it")
    return places


def _files(package: Path) -> tuple[str, ...]:
    """The files of a model package that a running xApp reads."""
    others = (name for name in (SIGNATURE_FILE, CALIBRATION_FILE) if (package / name).exists())
    return (CARD_FILE, read_package(package)[0].file, *others)


def _not_run(folder: Path) -> list[str]:
    """Patterns of the modules of judging that no other module of the xApp imports."""
    others = [path for path in folder.rglob("*.py") if path.stem not in (*_MAY_RUN, "train")]
    code = "\n".join(path.read_text("utf-8", "replace") for path in others)
    imported = {
        name for name in _MAY_RUN if re.search(rf"^\s*(from|import)\b.*\b{name}\b", code, re.MULTILINE)
    }
    return [pattern for name, pattern in _MAY_RUN.items() if name not in imported]


def _own(path: str) -> Path:
    found = bundled(path)
    if found is None:
        raise RanloopError(f"this installation lacks {path}; package with a checkout, or a whole wheel")
    return found


def _make_room(out: Path) -> None:
    """An empty folder `out`: a context that was there is removed, and nothing else.

    Raises:
        RanloopError: Something else is there.
    """
    if (out / "sdk" / "ranloop").is_dir() and (out / "Dockerfile").is_file():
        shutil.rmtree(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RanloopError(f"--out {out} holds other things; give a new folder")
    out.mkdir(parents=True, exist_ok=True)


def _copy_sdk(to: Path) -> None:
    without = shutil.ignore_patterns(*_HIDDEN, "bundle", "templates")  # what a wheel carries for people
    for package in (_SDK, *(_SDK.parent / name for name in ("ranloop_start", "ranloop_work"))):
        shutil.copytree(package, to / package.name, ignore=without)
    about = to / f"ranloop-{ranloop.__version__}.dist-info"  # by which an SBOM knows it
    about.mkdir()
    (about / "METADATA").write_text(_METADATA.format(version=ranloop.__version__), "utf-8")


def _filled(dockerfile: str, given: Mapping[str, str]) -> str:
    """The Dockerfile with defaults for its arguments, so that a build needs none."""
    for name, value in given.items():
        dockerfile = dockerfile.replace(f"ARG {name}\n", f'ARG {name}="{_plain(value)}"\n')
    return dockerfile


def _plain(text: str) -> str:
    """`text` without the signs that mean something in a Dockerfile."""
    return re.sub(r"[^\w .,;:+/()-]", "", text)
