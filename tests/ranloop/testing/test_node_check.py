"""`check_node` finds nothing wrong with the bundled nodes, and names what is wrong with others."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.still_world import StillWorld
from ranloop.embedded import run_embedded
from ranloop.node import NodePort, Recorder, load_profile, open_world, under_profile
from ranloop.node.port import Stream
from ranloop.testing import check_node, make_report
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import Action, Level
from ranloop.wire.messages import F32, Catalogue, CellRelation, Report
from tests.builders import write_xapp
from tests.ranloop.node.phone_logs import log, row

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "foreign_node" / "node.py"


@pytest.mark.parametrize(
    "make",
    [
        ToyWorld,
        StillWorld,
        lambda: open_world("sim:one-cell", seed=3),
        lambda: open_world("sim:seven-sites", overrides={"reports.periods_ms": [100, 200]}),
        lambda: under_profile(open_world("sim:one-cell"), load_profile("oai")),
    ],
    ids=["toy", "still", "one-cell", "seven-sites", "profile"],
)
def test_bundled_nodes_keep_to_the_port(make: Callable[[], NodePort]) -> None:
    check_node(make, ran_s=1.2)


def test_a_recording_keeps_to_the_port(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    world = open_world("sim:one-cell")
    with Recorder(folder, world) as recorder:
        run_embedded(world, [write_xapp(tmp_path / "reader")], until_ns=1_000_000_000, outlets=[recorder])
    check_node(lambda: open_world(f"replay:{folder}"))


def test_a_phone_log_keeps_to_the_port(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(log(*(row(second) for second in range(10))))
    check_node(lambda: open_world(f"replay:{tmp_path}"), ran_s=10.0)


def test_a_program_on_a_pipe_keeps_to_the_port() -> None:
    command = shlex.join([sys.executable, str(EXAMPLE)])
    check_node(lambda: open_world(f"pipe:{command}"), ran_s=0.5)


class Hasty(ToyWorld):
    """Reports the next period's number twice over."""

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        return [replace(report, seq=2 * report.seq) for report in super().reports(wanted)]


class Chatty(ToyWorld):
    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        return super().reports({("toy-1", "ue", 100): frozenset({"DRB.UEThpDl"})})


class Random(ToyWorld):
    rng = np.random.default_rng(1)

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        reports = super().reports(wanted)
        for report in reports:
            report.block[:, len(report.ids) :] += self.rng.random()
        return reports


class Impossible(ToyWorld):
    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        reports = super().reports(wanted)
        for report in reports:
            report.block[:, len(report.ids)] = -1.0
        return reports


class Doubled(ToyWorld):
    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        return [replace(r, block=np.repeat(r.block, 2, axis=0)) for r in super().reports(wanted)]


class Yielding(ToyWorld):
    """Says that whatever is wanted is in force."""

    def apply(self, node: str, action: Action) -> F32:
        return np.ones_like(action.parameters())


class Short(ToyWorld):
    def apply(self, node: str, action: Action) -> F32:
        return super().apply(node, action)[:, :0]


class Silent(ToyWorld):
    def hand_over(self, node: str, number: int, action: Action, *, atomic: bool = False) -> None:
        """Forget it."""


class Hospitable(ToyWorld):
    def hosts(self, node: str, column: str, ids: F32) -> F32:
        return np.ones(len(ids), np.float32)


class Neighbourly(ToyWorld):
    """Takes a cell for its own neighbour."""

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        own = (CellRelation(cell=0, name="a"),)
        return [replace(catalogue, neighbours={0: own}) for catalogue in super().catalogues]


class Unsorted(ToyWorld):
    """UE 4 is served by cell 0, and its rows begin with cell 1."""

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        measures: dict[Level, tuple[str, ...]] = {"ue_cell": ("RSRP",)}
        return [replace(catalogue, measurements=measures) for catalogue in super().catalogues]

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        ids = {"ue": [4, 4], "cell": [0, 0], "measured_cell": [1, 0]}
        return [
            make_report({"RSRP": [-90, -95]}, level="ue_cell", ids=ids, node="toy-1", seq=self.now_ns // 100_000_000 - 1)
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Hasty, "the ue report of toy-1 every 100 ms, number 2, follows number 0"),
        (
            Chatty,
            "it gives reports that were not asked for",
        ),
        (Random, "opened again and advanced in smaller steps it gives other reports"),
        (Impossible, "values outside their range in the vocabulary"),
        (Doubled, "2 rows have one target, ue"),
        (Yielding, "in force at a target that does not exist"),
        (Short, r"its answer has the shape \[1, 0\]; want \[1, 1\]"),
        (Silent, r"has the answers \[\]; want one"),
        (Hospitable, "it hosts the ue 16777215, which does not exist"),
        (Neighbourly, "toy-2: among the neighbours of the cell 0 it is itself, or another one twice"),
        (Unsorted, "number 0, does not begin with the serving cell of the ue 4"),
    ],
)
def test_what_is_wrong_with_a_node_is_told(make: Callable[[], NodePort], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_node(make, ran_s=0.5)
