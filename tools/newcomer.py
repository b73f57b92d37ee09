"""What a newcomer sees: clone HEAD into an empty folder, README's three commands to an xApp; another clone, `make demo`, `make test`.

Only PATH's Python, make and git are used; HOME is empty, no variable of this shell is passed on but the network's own
settings for pip. When all pass, `.git/newcomer-<commit>` holds what they printed and the seconds that each took.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEPT = (
    "PATH",
    "LANG",
    "SSL_CERT_FILE",
    "PIP_INDEX_URL",
    "PIP_CONFIG_FILE",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
)
WAYS = (
    (
        "make install",
        ".venv/bin/ranloop new my_xapp --template loop",
        ".venv/bin/ranloop run my_xapp --node sim:seven-sites --duration-s 10",
    ),
    ("make demo", "make test"),
)


def main() -> int:
    root = Path(git(Path.cwd(), "rev-parse", "--show-toplevel"))
    commit = git(root, "rev-parse", "HEAD")
    if dirty := git(root, "status", "--porcelain"):
        print(f"note: uncommitted changes are not part of this check:\n{dirty}")
    evidence = [f"commit {commit}", f"python {sys.version.split()[0]}"]
    for commands in WAYS:
        with tempfile.TemporaryDirectory(prefix="ranloop-newcomer-") as folder:
            if not go(commands, root, Path(folder), evidence):
                print(f"failed in a clean clone of {commit[:10]}")
                return 1
    (Path(git(root, "rev-parse", "--absolute-git-dir")) / f"newcomer-{commit}").write_text(
        "\n".join(evidence), "utf-8"
    )
    print(f"both commands pass in a clean clone of {commit[:10]}")
    return 0


def go(commands: tuple[str, ...], root: Path, folder: Path, evidence: list[str]) -> bool:
    """Run commands in a clone of its own, with an empty home, and note what they print; whether all pass."""
    clone, home = folder / "ranloop", folder / "home"
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    home.mkdir()
    environment = {key: os.environ[key] for key in KEPT if key in os.environ} | {"HOME": str(home)}
    environment |= pip_settings()
    for command in commands:
        print(f"$ {command}", flush=True)
        started = time.monotonic()
        done = subprocess.run(
            shlex.split(command),
            check=False,
            cwd=clone,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        seconds = time.monotonic() - started
        print(done.stdout[-6000:])
        print(f"# {command}: {seconds:.0f} s, status {done.returncode}", flush=True)
        if done.returncode:
            return False
        evidence += [f"$ {command}   # {seconds:.0f} s", done.stdout]
    return True


def pip_settings() -> dict[str, str]:
    """Where this machine's pip is told to look, since an empty HOME hides a user's pip.conf."""
    for place in (Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"):
        if place.is_file() and "PIP_CONFIG_FILE" not in os.environ:
            return {"PIP_CONFIG_FILE": str(place)}
    return {}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    if not (shutil.which("git") and shutil.which("make")):
        sys.exit("newcomer needs git and make")
    sys.exit(main())
