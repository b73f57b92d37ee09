"""Two network namespaces as two machines: a dask scheduler and a worker on one, a second worker on the other, which dies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]
SCHEDULER, ONE, OTHER = "tcp://10.77.0.1:8786", "10.77.0.1", "10.77.0.2"
PATIENCE_S = 240


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"network namespaces are not permitted here: ip {' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Two namespaces that are joined by a cable."""
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed: apt-get install iproute2")
    names = tuple(f"rl{os.getpid()}{letter}" for letter in "ab")
    with ExitStack() as ended:
        for name in names:
            ip("netns", "add", name)
            ended.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        ip(
            "link",
            "add",
            names[0],
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            names[1],
            "netns",
            names[1],
        )
        for name, address in zip(names, (ONE, OTHER), strict=True):
            for words in (
                ("addr", "add", f"{address}/24", "dev", name),
                ("link", "set", name, "up"),
                ("link", "set", "lo", "up"),
            ):
                ip("-n", name, *words)
        yield names[0], names[1]


@contextmanager
def running(machine: str, folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python module that runs on a machine, in an empty folder of its own with its log."""
    folder.mkdir()
    command = ["ip", "netns", "exec", machine, sys.executable, "-m", *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until(what: str, log: Path, among: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while what not in log.read_text("utf-8", errors="replace"):
        assert time.monotonic() < deadline, log.read_text("utf-8")
        assert all(process.poll() is None for process in among), log.read_text("utf-8")
        time.sleep(0.05)


@contextmanager
def worker(machine: str, address: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = (
        "--host",
        address,
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
        "--local-directory",
        str(folder),
    )
    with running(machine, folder, "distributed.cli.dask_worker", SCHEDULER, *words) as process:
        wait_until("Registered to", folder / "log", [process])
        yield process


@pytest.mark.slow
def test_a_sweep_and_a_comparison_on_two_machines_of_which_one_dies_give_the_bits_of_one(
    machines: tuple[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    short = ["--override", "duration_s=2", "--override", "warmup_s=0.5"]
    sweep = ["ran_sim", "sweep", "one-cell", "--seeds", "1..8", *short, "--per-session"]
    drops = ["--node", "sim:one-cell", "--seeds", "1..2", "--duration-s", "1", "--warmup-s", "0.5"]
    pair = ["ranloop_start", "compare", "nothing", str(ROOT / "xapps" / "qos_scheduler"), *drops]
    runs = tmp_path / "there.runs"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for command in (
        [*sweep, "--jobs", "1", "--out", str(tmp_path / "here.parquet")],
        [*pair, "--out", str(tmp_path / "here")],
    ):
        subprocess.run([sys.executable, "-m", *command], check=True, env=environment, cwd=tmp_path)
    one, other = machines
    with ExitStack() as stack:
        words = ("--host", ONE, "--port", "8786", "--no-dashboard")
        scheduler = stack.enter_context(
            running(one, tmp_path / "scheduler", "distributed.cli.dask_scheduler", *words)
        )
        wait_until("Scheduler at", tmp_path / "scheduler" / "log", [scheduler])
        stack.enter_context(worker(one, ONE, tmp_path / "first"))
        with worker(other, OTHER, tmp_path / "second") as second:
            command = [*sweep, "--on", SCHEDULER, "--out", str(tmp_path / "there.parquet")]
            with running(one, tmp_path / "client", *command) as client:
                while len(list(runs.glob("*-*.json"))) < 2:
                    assert client.poll() is None, (tmp_path / "client" / "log").read_text("utf-8")
                    time.sleep(0.01)
                second.kill()
                assert len(list(runs.glob("*-*.json"))) < 8  # it had more to do
                assert client.wait(PATIENCE_S) == 0, (tmp_path / "client" / "log").read_text("utf-8")
        with worker(other, OTHER, tmp_path / "third"):
            command = [*pair, "--on", SCHEDULER, "--out", str(tmp_path / "there")]
            with running(one, tmp_path / "comparison", *command) as client:
                assert client.wait(PATIENCE_S) == 0, (tmp_path / "comparison" / "log").read_text("utf-8")
    for name in ("parquet", "sessions.parquet"):
        assert (tmp_path / f"there.{name}").read_bytes() == (tmp_path / f"here.{name}").read_bytes()
    tables = [
        pq.read_table(tmp_path / name / "results.parquet").drop(["wall_s"]) for name in ("here", "there")
    ]
    assert tables[0].equals(tables[1])
