"""Any world under a profile: narrower and rounded, otherwise the world itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranloop.bus import Bus
from ranloop.errors import NodeError
from ranloop.kpi import Kpi
from ranloop.node import LockstepHost, NodeHost, NodePort, Recorder, Registration, open_replay, under_profile
from ranloop.node.port import ScoredPort
from ranloop.node.profile import Profile
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import Action, Handover, SetSliceQuota, SetUeWeight
from ranloop.wire.messages import Cause, Report, Result, Status, Step
from tests.ranloop.node.scripted import MS, ScriptedXApp, rights

Connect = Callable[[str], Bus]
Stream = tuple[str, str, int]
KPI = Kpi(key="satisfied", label="satisfied users", unit="UE", better="higher", definition="those that are")


def profile(**tables: Any) -> Profile:
    return Profile.model_validate({"name": "p", "read_at": "1.0", **tables})


def shows(*names: str, levels: Sequence[str] = ("ue",), whole: bool = False) -> dict[str, Any]:
    return {"names": list(names), "levels": list(levels), "whole": whole}


def play(world: NodePort, wanted: Mapping[Stream, frozenset[str]], *, until_ns: int) -> list[Report]:
    reports = []
    while world.now_ns < until_ns:
        world.advance(world.next_report_ns())
        reports += world.reports(wanted)
    return reports


def test_a_node_offers_what_it_and_the_profile_both_have() -> None:
    narrow = profile(
        period={"shortest_ms": 500},
        measurements=[shows("DRB.UEThpDl", "CQI"), shows("RRC.ConnMean", levels=["cell"])],
        actions=[{"names": ["SetTxPower", "SetUeWeight"]}],
    )
    for full, narrowed in zip(
        ToyWorld().catalogues, under_profile(ToyWorld(), narrow).catalogues, strict=True
    ):
        assert narrowed.measurements == {"ue": ("DRB.UEThpDl",), "cell": ("RRC.ConnMean",)}
        assert narrowed.actions == ("SetUeWeight",)
        assert narrowed.periods_ms == (1000,)
        kept = ("node", "cells", "slices", "slice_min_pct", "control_delay_ms")
        assert [getattr(narrowed, name) for name in kept] == [getattr(full, name) for name in kept]


def test_a_profile_that_limits_nothing_changes_nothing() -> None:
    world = under_profile(ToyWorld(), profile())
    assert world.catalogues == ToyWorld().catalogues
    assert world.last_until(3000 * MS) == world.end_ns == 2000 * MS
    wanted = {("toy-1", "ue", 100): frozenset(["DRB.UEThpDl"])}
    seen = zip(
        play(world, wanted, until_ns=900 * MS), play(ToyWorld(), wanted, until_ns=900 * MS), strict=True
    )
    assert all(np.array_equal(ours.block, theirs.block) for ours, theirs in seen)


def test_a_withheld_name_is_gone_though_nothing_else_is_limited() -> None:
    withheld = [{"names": ["X.UE.Weight", "Handover"], "because": "it is something else"}]
    catalogue = under_profile(ToyWorld(), profile(withheld=withheld)).catalogues[0]
    assert catalogue.measurements["ue"] == ("DRB.UEThpDl",)
    assert catalogue.actions == ("SetSliceQuota", "SetUeWeight")


def test_a_node_whose_periods_are_all_too_short_is_refused() -> None:
    with pytest.raises(NodeError) as refused:
        under_profile(ToyWorld(), profile(period={"shortest_ms": 1001}))
    assert str(refused.value) == (
        "the node reports every 100, 1000 ms, but the profile p has new values every 1001 ms only: no period is left"
    )


def test_what_the_stack_rounds_is_whole_and_the_rest_is_not() -> None:
    # At 300 ms places 0 to 3 are at toy-1, UEs 0 and 2 share cell 0, so does 4 from 400 ms: 60 000 / 3 by weight.
    names = frozenset(["DRB.UEThpDl", "X.UE.Weight"])
    wanted = {("toy-1", "ue", 100): names, ("toy-1", "cell", 100): frozenset(["DRB.UEThpDl"])}
    rounds = profile(
        measurements=[shows("DRB.UEThpDl", levels=["ue", "cell"], whole=True), shows("X.UE.Weight")]
    )
    ours, theirs = ToyWorld(), ToyWorld()
    weigh = SetUeWeight(ue=[0], weight=[0.7])
    blocks = []
    for toy, world in ((ours, under_profile(ours, rounds)), (theirs, theirs)):
        world.advance(100 * MS)
        toy.apply("toy-1", weigh)
        while world.now_ns < 400 * MS:
            world.advance(world.next_report_ns())
        blocks.append(world.reports(wanted))
    for rounded, exact in zip(*blocks, strict=True):
        assert rounded.names == exact.names
        np.testing.assert_array_equal(rounded["DRB.UEThpDl"], np.rint(exact["DRB.UEThpDl"]))
        np.testing.assert_array_equal(rounded.id("cell"), exact.id("cell"))
    (_, ue), (_, exact_ue) = ((r for r in sorted(block, key=lambda r: r.level)) for block in blocks)
    assert (exact_ue["DRB.UEThpDl"] % 1 != 0).any()
    np.testing.assert_array_equal(ue["X.UE.Weight"], exact_ue["X.UE.Weight"])
    assert (ue["X.UE.Weight"] % 1 != 0).any()


class _Keeps:
    """A world that hands out one and the same block, as a replay does."""

    def __init__(self) -> None:
        self.toy = ToyWorld()
        (self.report,) = play(
            self.toy, {("toy-1", "cell", 100): frozenset(["DRB.UEThpDl"])}, until_ns=100 * MS
        )
        self.report.block[:, 1] = [0.5 + 1e3, np.nan]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.toy, name)

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        return [self.report]


def test_rounding_leaves_no_value_and_what_the_world_keeps_alone() -> None:
    keeps: Any = _Keeps()
    world = under_profile(keeps, profile(measurements=[shows("DRB.UEThpDl", levels=["cell"], whole=True)]))
    (report,) = world.reports({})
    np.testing.assert_array_equal(report["DRB.UEThpDl"], [1000, np.nan])
    np.testing.assert_array_equal(keeps.report["DRB.UEThpDl"], np.array([1000.5, np.nan], np.float32))


# Actions


def results_of(
    connect: Connect, world: NodePort, decide: Callable[[Step], Sequence[tuple[str, Action]]], **xapp: Any
) -> tuple[list[Result], str]:
    grants = {"x": Registration(rights=rights("SetUeWeight", "Handover", "SetSliceQuota"))}
    scripted = ScriptedXApp("x", connect("x"), decide, **xapp)
    host = LockstepHost(NodeHost(world, connect("host"), xapps=grants), poll_others=[scripted.bus.poll])
    summary = host.run()
    return [result for step in scripted.steps for result in step.results], summary.trace_hash


def only_once(action: Action, at_ns: int = 300 * MS) -> Callable[[Step], Sequence[tuple[str, Action]]]:
    return lambda step: [("toy-1", action)] if step.ran_time_ns == at_ns else []


def test_an_action_that_the_stack_does_not_take_is_refused_at_the_guard(connect: Connect) -> None:
    world = under_profile(ToyWorld(duration_s=1), profile(actions=[{"names": ["SetUeWeight"]}]))
    (result,), _ = results_of(connect, world, only_once(Handover(ue=[0], target_cell=[1])))
    assert result.status.tolist() == [Status.REFUSED]
    assert result.causes[result.cause[0]] == (
        Cause.NOT_SUPPORTED,
        "toy-1 does not take Handover; it takes SetUeWeight",
    )


@pytest.mark.parametrize("tables", [{}, {"actions": [{"names": ["SetUeWeight"]}]}])
def test_a_setting_is_held_and_goes_back_as_without_a_profile(
    connect: Connect, tables: dict[str, Any]
) -> None:
    toy = ToyWorld(duration_s=1)
    weights: list[float] = []

    def decide(step: Step) -> Sequence[tuple[str, Action]]:
        weights.append(toy.weight("toy-1", 0))
        return only_once(SetUeWeight(ue=[0], weight=[4]))(step)

    results, _ = results_of(connect, under_profile(toy, profile(**tables)), decide, lease_ms=200)
    assert [result.status.tolist() for result in results] == [[Status.APPLIED], [Status.ENDED]]
    # Held from 310 ms (asked at 300, control delay 10) for 200 ms; seen at the reports of 400 and 500 ms.
    assert weights[2:6] == [1, 4, 4, 1]


def test_actions_come_to_the_same_as_without_a_profile(connect: Connect) -> None:
    # The quota's default is the node's own (asked for as NaN): 0, 100 and 0 % of a toy node's PRBs.
    quota = SetSliceQuota(cell=[0], slice=[1], min_pct=[30], max_pct=[60], dedicated_pct=[10])
    wants: dict[int, list[tuple[str, Action]]] = {
        200 * MS: [("toy-1", quota)],
        300 * MS: [("toy-2", SetUeWeight(ue=[0, 99], weight=[3, 3]))],
        400 * MS: [("toy-1", Handover(ue=[0], target_cell=[1]))],
        600 * MS: [
            ("toy-2", SetUeWeight(ue=[0], weight=[2]))
        ],  # UE 0 leaves at 700 ms, before the lease lapses
    }
    plain, narrowed = ToyWorld(duration_s=1), under_profile(ToyWorld(duration_s=1), profile())
    (results, trace_hash), (ours, our_hash) = (
        results_of(connect, world, lambda step: wants.get(step.ran_time_ns, []), lease_ms=200)
        for world in (plain, narrowed)
    )
    assert our_hash == trace_hash
    (ended,) = (r for r in ours if r.action == "SetSliceQuota" and r.status[0] == Status.ENDED)
    assert ended.applied.tolist() == [[0, 100, 0]]
    assert [r.action for r in ours] == [r.action for r in results]


# Other nodes


def test_a_replay_is_narrowed_and_rounded_by_the_same_means(tmp_path: Path) -> None:
    world = ToyWorld(duration_s=1)
    recorder = Recorder(tmp_path, world)
    wanted = {("toy-1", "ue", 100): frozenset(["DRB.UEThpDl", "X.UE.Weight"])}
    for report in play(world, wanted, until_ns=1000 * MS):
        report.block[:, 2] += np.float32(0.25)
        recorder.take(report)
    recorder.close()
    rounds = profile(measurements=[shows("DRB.UEThpDl", whole=True)])
    replay = under_profile(open_replay(tmp_path), rounds)
    assert replay.catalogues[0].measurements["ue"] == ("DRB.UEThpDl",)
    exact = play(open_replay(tmp_path), {("toy-1", "ue", 100): frozenset(["DRB.UEThpDl"])}, until_ns=900 * MS)
    whole = play(replay, {("toy-1", "ue", 100): frozenset(["DRB.UEThpDl"])}, until_ns=900 * MS)
    assert all((report["DRB.UEThpDl"] % 1 == 0).all() for report in whole)
    assert all((report["DRB.UEThpDl"] % 1 != 0).all() for report in exact)


def test_a_world_that_keeps_score_still_does_and_another_does_not() -> None:
    class Scored(ToyWorld):
        def mark(self) -> int:
            return 7

        def score(self, since: object = None) -> Mapping[str, float]:
            return {"satisfied": 0.5 if since is None else 0.25}

        def kpis(self) -> tuple[Kpi, ...]:
            return (KPI,)

        def provenance(self) -> Mapping[str, str | int]:
            return {"seed": 3}

    scored = under_profile(Scored(), profile())
    assert isinstance(scored, ScoredPort)
    assert scored.score() == {"satisfied": 0.5}
    assert scored.score(scored.mark()) == {"satisfied": 0.25}
    assert scored.kpis() == (KPI,)
    assert scored.provenance() == {"seed": 3, "profile": "p"}
    assert not isinstance(under_profile(ToyWorld(), profile()), ScoredPort)
