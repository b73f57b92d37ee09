"""`ranloop infer-host` as a process on a real broker: it serves, is stopped, goes on, is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ranloop.bus import open_bus
from ranloop.inference import Model, load_card
from ranloop.inference.signature import make_key
from ranloop.placement import BusTiers, Question
from ranloop.testing import make_report
from ranloop.testing.brokers import running_broker
from ranloop.wire.messages import Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.command import Command
from tests.ranloop.placement.places import MS, seen, tiers
from tests.ranloop.placement.splits import SLOW, write_chain, write_split

pytestmark = pytest.mark.broker


@contextmanager
def infer_host(url: str, package: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-m",
        "ranloop_start",
        "infer-host",
        str(package),
        "--tier",
        "regional",
        "--bus",
        url,
    ]
    process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def until(holds: Callable[[], bool], turn: Callable[[], object], within_s: float = 20.0) -> None:
    end_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end_s
        turn()
        time.sleep(0.02)


def test_an_xapp_lives_through_a_host_that_is_stopped_goes_on_and_is_killed(models: Path) -> None:
    with (
        running_broker("mosquitto") as broker,
        infer_host(broker.url, models / "large") as process,
        BusTiers(tiers(), "a", lambda _: open_bus(broker.url, name="a")) as way,
    ):
        tag = Model.tag_of(load_card(models / "large"))

        def ask(wait_ms: float) -> float | None:
            """The answer about a row of 5, or None if it does not come in time."""
            matrix = np.full((1, 1), 5.0, np.float32)
            question = Question(
                model=tag,
                matrix=matrix,
                n_outputs=1,
                node="n",
                level="ue",
                asked_ns=time.time_ns(),
                sensitivity="per-ue",
            )
            until_ns = way.now_ns(question.asked_ns) + round(wait_ms * MS)
            reply = way.wait(way.send("regional", question, until_ns), until_ns)
            return None if reply is None or reply.outputs is None else round(float(reply.outputs[0, 0]))

        until(lambda: way.is_there("regional"), way.turn)
        assert ask(5000) == 6
        process.send_signal(signal.SIGSTOP)
        began_s = time.monotonic()
        assert ask(50) is None
        assert time.monotonic() - began_s < 2  # and not until the host goes on
        process.send_signal(signal.SIGCONT)
        assert ask(5000) == 6
        way.turn()  # the stopped host answers "late" to what it finds, which has no effect
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not way.is_there("regional"), way.turn)  # by its will


def test_an_xapp_gets_its_answer_from_the_tail_that_a_host_was_told_to_serve(
    models: Path, tmp_path: Path
) -> None:
    """Head here, tail in another process, mosquitto in between. The weight of 2 is the better model's."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/small").symlink_to(models / "small")
    large = write_chain(tmp_path / "models/large")
    xapp = write_split(tmp_path / "placed", tmp_path / "models", 'cut = "r2"')
    text = (xapp / "manifest.toml").read_text().replace("wait_ms = 50", "wait_ms = 10000")
    (xapp / "manifest.toml").write_text(text)
    with (
        running_broker("mosquitto") as broker,
        infer_host(broker.url, large, "--cut", "r2"),
        BusTiers(tiers(edge=SLOW), "placed", lambda _: open_bus(broker.url, name="placed")) as way,
    ):
        instance = Instance(load_package(xapp), reach=way)
        until(lambda: way.is_there("regional"), way.turn)
        report = make_report({"DRB.UEThpDl": [3.0, 7.0]}, ids={"ue": (4, 5), "cell": (0, 0)})
        answer = instance.handle(Step(host="h", step=0, ran_time_ns=report.ran_time_ns, reports=(report,)))
    assert seen(answer)[1:] == ("better", "regional", "", [2.0, 2.0])


def test_a_host_ends_in_order_and_says_what_it_did(models: Path) -> None:
    with (
        running_broker("mosquitto") as broker,
        infer_host(broker.url, models / "large", "--json", "--duration-s", "0.2") as process,
    ):
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out[out.index("{\n") :]) == {"name": "regional", "tier": "regional", "questions": {}}


def test_a_bus_inside_one_process_is_refused(models: Path, ranloop: Command) -> None:
    outcome = ranloop("infer-host", models / "large", "--tier", "regional", "--bus", "memory://x")
    assert "no xApp is in this one" in outcome.complaint


def test_a_host_with_trust_serves_no_model_that_nobody_has_signed(
    models: Path, ranloop: Command, tmp_path: Path
) -> None:
    (trust := tmp_path / "trust").mkdir()
    make_key(tmp_path / "anna.pem").rename(trust / "anna.pem")
    outcome = ranloop("infer-host", models / "large", "--tier", "regional", "--trust", trust)
    assert "large is not signed" in outcome.complaint


def test_a_host_computes_with_the_provider_that_it_is_given(models: Path, ranloop: Command) -> None:
    outcome = ranloop("infer-host", models / "large", "--tier", "regional", "--provider", "cuda")
    assert "CUDAExecutionProvider" in outcome.complaint
