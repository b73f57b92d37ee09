"""A placed model in a whole run: no loop without a decision, the same bits on every bus, and an audit log that tells all of it."""

from __future__ import annotations

import functools
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ranloop.bus import open_bus
from ranloop.bus.broker import BrokerKind
from ranloop.embedded import Choices, run_embedded
from ranloop.guard import AuditLog
from ranloop.node import LockstepHost, NodeHost, Registration
from ranloop.placement import Tiers, VirtualTiers
from ranloop.testing.brokers import running_broker
from ranloop.testing.worlds import ToyWorld
from ranloop.wire.messages import ActionBatch
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from ranloop.xapp.lockstep import LockstepRunner
from tests.builders import write_xapp
from tests.command import Command
from tests.ranloop.placement.places import MS, down, tiers, write_placed

UNTIL_NS = 2_000 * MS
_fresh = itertools.count()


class Decisions:
    """An outlet that keeps the batches that the guard has heard, with the RAN time of their verdicts."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ActionBatch]] = []

    def take(self, event: object) -> None:
        batch = getattr(event, "batch", None)
        if isinstance(batch, ActionBatch):
            self.batches.append((getattr(event, "ran_time_ns", 0), batch))


def shaky() -> Tiers:
    """Delays that spread, losses, and an outage of both tiers in the middle."""
    uneven: dict[str, Any] = {"spread": 0.5, "loss": 0.1, **down(0.7, 1.2)}
    return tiers(regional=uneven, central=uneven)


def test_actions_are_in_force_as_late_as_the_better_answer_makes_them(xapp: Path) -> None:
    """Two nodes in one step, one after the other: 2 x 20 ms after the report of 100 ms, and a control delay of 10 ms."""
    seen = Decisions()
    run_embedded(ToyWorld(), [xapp], Choices(tiers=tiers()), until_ns=250 * MS, outlets=[seen])
    assert {at_ns // MS for at_ns, batch in seen.batches if batch.report_seq == 0} == {150}


@pytest.mark.parametrize("from_s", [0.1, 0.35, 0.6, 1.05])
def test_no_report_goes_without_a_decision_while_all_tiers_fail_and_come_back(
    xapp: Path, from_s: float
) -> None:
    """Each report of each node is decided on, and the actions of a report are there before the next one."""
    seen = Decisions()
    gone = down(from_s, from_s + 0.5)
    run_embedded(
        ToyWorld(),
        [xapp],
        Choices(tiers=tiers(regional=gone, central=gone)),
        until_ns=UNTIL_NS,
        outlets=[seen],
    )
    decided = [(batch.node, batch.report_seq) for _, batch in seen.batches]
    # Of the last report, too, whose actions end with the run.
    assert decided == [(node, seq) for seq in range(20) for node in ("toy-1", "toy-2")]
    late = [at_ns - 100 * MS * (batch.report_seq + 1) for at_ns, batch in seen.batches]
    assert max(late) <= 60 * MS  # the wait of 50 ms and the control delay
    assert {how.reason for _, batch in seen.batches for how in batch.inferences} >= {"better", "late", "away"}


@functools.cache
def embedded_hash(xapp: Path, seed: int) -> str:
    shaken = shaky().model_copy(update={"seed": seed})
    return run_embedded(ToyWorld(), [xapp], Choices(tiers=shaken), until_ns=UNTIL_NS).summary.trace_hash


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(xapp: Path) -> None:
    assert embedded_hash.__wrapped__(xapp, 1) == embedded_hash(xapp, 1) != embedded_hash(xapp, 2)


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.broker) for kind in ("mosquitto", "nats")])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    kind: BrokerKind = request.param
    with running_broker(kind) as broker:
        yield broker.url


def test_a_broker_in_between_changes_no_bit(xapp: Path, url: str) -> None:
    instance = Instance(load_package(xapp), reach=VirtualTiers(shaky()))

    def answer() -> None:
        with closing(open_bus(url, name=instance.name)) as bus:
            runner = LockstepRunner(instance, bus)
            runner.run(timeout_s=20.0)
            runner.close()

    with closing(open_bus(url, name="host")) as bus:
        rights = {instance.name: Registration(rights=instance.manifest.rights)}
        host = LockstepHost(NodeHost(ToyWorld(), bus, xapps=rights))
        thread = threading.Thread(target=answer, name=instance.name)
        thread.start()
        summary = host.run(UNTIL_NS, timeout_s=20.0)
        thread.join(20.0)
    assert summary.trace_hash == embedded_hash(xapp, 1)


def test_the_audit_log_tells_where_each_answer_came_from(
    tmp_path: Path, models: Path, ranloop: Command
) -> None:
    """Down from 0.15 s on: the first report is answered above, the second is waited for in vain."""
    xapp = write_placed(tmp_path / "placed", models)
    gone = down(0.15, 9)
    with AuditLog(tmp_path / "audit.jsonl") as log:
        run_embedded(
            ToyWorld(),
            [xapp],
            Choices(tiers=tiers(regional=gone, central=gone)),
            until_ns=390 * MS,
            audit=log,
        )
    told = [
        json.loads(line) for line in ranloop("audit", tmp_path / "audit.jsonl", "--json").out.splitlines()
    ]
    of_toy_1 = {one["ran_time_s"]: one["inferences"][0] for one in told if one["node"] == "toy-1"}
    first, second = of_toy_1[0.15], of_toy_1[0.26]
    assert (first["tier"], first["reason"], first["waited_ms"], first["age_ms"]) == (
        "regional",
        "better",
        20,
        50,
    )
    assert (second["tier"], second["reason"], second["instead"]) == ("edge", "late", "rule")
    assert (second["waited_ms"], second["age_ms"]) == (50, 60)
    words = ranloop("audit", tmp_path / "audit.jsonl").out
    assert "at regional (better), waited 20.0 ms, report 50.0 ms old, 2 of 2 rows from above" in words
    assert "at edge (late, rule instead), waited 50.0 ms, report 60.0 ms old" in words


def test_the_command_line_takes_a_tiers_file_and_refuses_a_wrong_one(
    xapp: Path, tmp_path: Path, ranloop: Command
) -> None:
    (tmp_path / "tiers.toml").write_text(
        'here = "edge"\n[zones]\nsite = "raw"\n[tiers.edge]\ngmac_per_s = 30\n'
    )
    outcome = ranloop("run", xapp, "--node", "sim:one-cell", "--tiers", tmp_path / "tiers.toml")
    assert "tiers.edge: no trust zone" in outcome.complaint


def test_tiers_that_no_model_would_use_are_refused_and_models_without_tiers_are_named(
    xapp: Path, tmp_path: Path, ranloop: Command
) -> None:
    plain = write_xapp(tmp_path / "plain")
    refused = ranloop("run", plain, "--node", "sim:one-cell", "--tiers", tmp_path / "tiers.toml")
    assert "no manifest here has a [placement.MODEL]" in refused.complaint
    unreachable = ranloop("run", xapp, "--bus", "mqtt://127.0.0.1:1")  # it ends before anything runs
    assert "without --tiers, computed here alone: placed/load" in unreachable.err
