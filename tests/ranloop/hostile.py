"""What a test under hostile load is made of: a host as an operator starts it, an honest loop, and senders of floods.

Each has a process of its own, so that a flood costs the honest loop what it costs at the host and nothing else:
`python -m tests.ranloop.hostile URL TOPIC PER_S` sends what stands on standard input, again and again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from ranloop.bus import Bus
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import Action, SetUeWeight
from ranloop.wire import topics
from ranloop.wire.codec import decode_report, decode_result, encode
from ranloop.wire.messages import F32, ActionBatch, Result
from tests.builders import MANIFEST

NODE = "toy-1"
PATIENCE_S = 20.0
MS = 1_000_000
_ROOT = Path(__file__).parents[2]


def manifest(folder: Path, name: str, *, rate_per_s: int = 20) -> Path:
    """An xApp's folder with a manifest alone: all that a host reads of it."""
    text = MANIFEST.format(name=name).replace('"CQI"', '"DRB.UEThpDl"')
    text = text.replace("rate_per_s = 1000", f"rate_per_s = {rate_per_s}")
    (folder / name).mkdir(parents=True)
    (folder / name / "manifest.toml").write_text(text)
    return folder / name


def open_toy(target: str, *, seed: int, overrides: Mapping[str, object]) -> ToyWorld:
    """`toy:SECONDS`, or `toy:hangs` for a world that never comes back from a call at 500 ms.

    `toy:SECONDS,NODE,…@FILE` has nodes of these names, and adds a line to the file for each weight that takes effect.
    """
    if target == "hangs":
        return _Hanging(duration_s=60.0)
    facts, _, file = target.partition("@")
    seconds, *nodes = facts.split(",")
    return _Written(Path(file), float(seconds), nodes) if file else ToyWorld(duration_s=float(seconds))


class _Written(ToyWorld):
    def __init__(self, file: Path, duration_s: float, nodes: Sequence[str]) -> None:
        super().__init__(duration_s=duration_s, nodes=nodes)
        self._file = file.open("a", buffering=1)

    def apply(self, node: str, action: Action) -> F32:
        values = super().apply(node, action)
        for ue, weight in zip(action.targets()[:, 0].tolist(), values[:, 0].tolist(), strict=True):
            print(node, ue, weight, file=self._file)
        return values


class _Hanging(ToyWorld):
    def advance(self, until_ns: int) -> None:
        super().advance(until_ns)
        if until_ns >= 500 * MS:
            print("hangs now", file=sys.stderr, flush=True)
            while True:
                time.sleep(3600)


def _toy_nodes(folder: Path) -> Path:
    """A place on the path where an installed package offers `toy:` nodes."""
    facts = folder / "path" / "toy_nodes-1.dist-info"
    facts.mkdir(parents=True, exist_ok=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-nodes\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[ranloop.nodes]\ntoy = tests.ranloop.hostile:open_toy\n")
    return facts.parent


def environment_of(folder: Path) -> dict[str, str]:
    """In which a command finds these tests and the `toy:` nodes."""
    path = [str(_ROOT), str(_toy_nodes(folder)), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


class HostProcess:
    """`ranloop host`, with its log and its last words. `before` stands in front of the command."""

    def __init__(
        self,
        url: str,
        folder: Path,
        allowed: Sequence[Path],
        *arguments: str,
        node: str,
        before: Sequence[str] = (),
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._log, self._said = folder / "host.log", folder / "host.out"
        command: list[str | Path] = [
            *before,
            Path(sys.executable).with_name("ranloop"),
            "host",
            node,
            "--bus",
            url,
            "--json",
            *arguments,
        ]
        for xapp in allowed:
            command += ["--allow", xapp]
        with self._log.open("wb") as log, self._said.open("wb") as said:
            self.process = subprocess.Popen(
                command, stdout=said, stderr=log, start_new_session=True, env=environment_of(folder)
            )
        wait_until(lambda: "hosting" in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    @property
    def log(self) -> str:
        return self._log.read_bytes().decode()

    def events(self, name: str) -> list[dict[str, object]]:
        """Of that name in the log."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    @property
    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")")[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; exit code, and the seconds until the process ended."""
        began_s = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S), time.monotonic() - began_s

    @property
    def summary(self) -> dict[str, object]:
        return dict(json.loads(self._said.read_bytes()))


@contextmanager
def hosting(
    url: str,
    folder: Path,
    allowed: Sequence[Path],
    *arguments: str,
    node: str = "toy:3600",
    before: Sequence[str] = (),
) -> Iterator[HostProcess]:
    host = HostProcess(url, folder, allowed, *arguments, node=node, before=before)
    try:
        yield host
    finally:
        host.process.kill()
        host.process.wait()


class Honest:
    """An xApp that answers each report of the node at once."""

    def __init__(self, bus: Bus, name: str = "honest") -> None:
        self.name, self.bus = name, bus
        self.results: dict[str, list[Result]] = {}
        self.n_reports = 0
        self.runs: list[str] = []  # of the host, of each report
        self.took_s: list[float] = []  # from a batch to its result
        self._sent_at_s: dict[str, float] = {}
        self.bus.subscribe(topics.report(NODE, "ue", 100), self._on_report, latest=True)
        self.bus.subscribe(topics.result(name, NODE), self._on_result, qos=1)

    def _on_report(self, _topic: str, payload: bytes) -> None:
        report = decode_report(payload)
        self.n_reports += 1
        self.runs.append(report.run)
        batch = a_batch(
            self.name, f"{report.run}-{report.seq}", report.ran_time_ns, run=report.run, ue=int(report.ue[0])
        )
        self._sent_at_s[batch.id] = time.monotonic()
        self.bus.publish(topics.act(self.name, NODE), encode(batch), qos=1)

    def _on_result(self, _topic: str, payload: bytes) -> None:
        result = decode_result(payload)
        if result.id not in self.results and result.id in self._sent_at_s:
            self.took_s.append(time.monotonic() - self._sent_at_s[result.id])
        self.results.setdefault(result.id, []).append(result)

    def loop_for(self, seconds: float) -> None:
        give_up_s = time.monotonic() + seconds
        while (left_s := give_up_s - time.monotonic()) > 0:
            self.bus.poll(left_s)

    def loop_until(self, true: Callable[[], bool]) -> None:
        wait_until(true, lambda: self.bus.poll(0.01))

    def forget_times(self) -> None:
        self.took_s.clear()
        self.n_reports = 0

    @property
    def sent(self) -> list[str]:
        """Ids of its batches."""
        return list(self._sent_at_s)

    @property
    def worst_s(self) -> float:
        """The time from batch to result that 99 of 100 keep."""
        return float(np.quantile(self.took_s, 0.99))


def a_batch(
    xapp: str, id: str, now_ns: int, *, run: str = "", ue: int = 0, valid_ms: int = 500
) -> ActionBatch:
    """Weight 2 for one UE."""
    return ActionBatch(
        id=id,
        xapp=xapp,
        node=NODE,
        seq=0,
        action=SetUeWeight(ue=[ue], weight=2.0),
        valid_until_ns=now_ns + valid_ms * MS,
        run=run,
    )


def wait_until(true: Callable[[], bool], meanwhile: Callable[[], object] = lambda: time.sleep(0.01)) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up_s, "what the test waits for did not happen"
        meanwhile()


@contextmanager
def flooding(url: str, topic: str, payload: bytes, *, per_s: int) -> Iterator[None]:
    """A process that sends `payload` to `topic`, so often a second."""
    with tempfile.TemporaryFile() as file:
        file.write(payload)
        file.seek(0)
        command = [sys.executable, "-m", "tests.ranloop.hostile", url, topic, str(per_s)]
        with subprocess.Popen(command, stdin=file, cwd=_ROOT) as process:
            try:
                yield
            finally:
                process.kill()


def _packet(kind: int, *parts: bytes) -> bytes:
    """MQTT 3.1.1 clause 2.2: one control packet."""
    body = b"".join(parts)
    left, length = len(body), b""
    while True:
        left, digit = divmod(left, 128)
        length += bytes([digit | (128 if left else 0)])
        if not left:
            return bytes([kind]) + length + body


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def send_for_ever(url: str, topic: str, payload: bytes, per_s: int) -> None:
    """Publish with QoS 0 over a bare socket: no client library is as fast."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 1883)) as broker:
        broker.sendall(_packet(0x10, _text("MQTT"), b"\x04\x02\x00\x00", _text(f"flood-{os.getpid()}")))
        broker.recv(4)
        at_once = max(1, per_s // 100)
        packets = _packet(0x30, _text(topic), payload) * at_once
        due_s = time.monotonic()
        while True:
            broker.sendall(packets)
            due_s += at_once / per_s
            time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    send_for_ever(sys.argv[1], sys.argv[2], sys.stdin.buffer.read(), int(sys.argv[3]))
