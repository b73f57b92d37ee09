"""What every experiment rests on: the same seed gives the same bytes, and two policies face the same arrivals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ran_sim.bridge import SimWorld, open_world
from ranloop.node.port import NodePort
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.codec import encode
from ranloop.wire.messages import Report

MS = 1_000_000
UNTIL_MS = 300


def a_world(scenario: str, seed: int = 1) -> SimWorld:
    return open_world(scenario, seed=seed, overrides={"reports.periods_ms": (50, 100)})


def run(world: NodePort, cuts_ms: Sequence[float] = (), until_ms: int = UNTIL_MS) -> list[Report]:
    """All reports by `until_ms`; `advance` is also called up to each of `cuts_ms`."""
    wanted: dict[tuple[str, str, int], frozenset[str]] = {
        (catalogue.node, level, period_ms): frozenset(names)
        for catalogue in world.catalogues
        for level, names in catalogue.measurements.items()
        for period_ms in catalogue.periods_ms
    }
    stops_ns = sorted({*(int(cut * MS) for cut in cuts_ms), until_ms * MS})
    out: list[Report] = []
    while world.now_ns < until_ms * MS:
        world.advance(next(stop for stop in stops_ns if stop > world.now_ns))
        out += world.reports(wanted)
    return out


def as_bytes(reports: Sequence[Report]) -> list[bytes]:
    return [encode(report) for report in reports]


@pytest.mark.parametrize("scenario", ["one-cell", "seven-sites"])
def test_the_same_seed_gives_the_same_bytes_whatever_the_cut_of_advance(scenario: str) -> None:
    whole = as_bytes(run(a_world(scenario)))
    # Single slots, half ticks, exactly on ticks and on ends of periods.
    cuts = [0.5, 1.0, 1.5, 25.0, 50.0, 99.5, 100.0, 100.5, 149.5, 150.0, 233.0]
    assert as_bytes(run(a_world(scenario), cuts)) == whole
    assert len(whole) == (6 + 3) * 5 * len(a_world(scenario).catalogues)


def test_different_seeds_give_different_worlds() -> None:
    one, two = (run(a_world("seven-sites", seed)) for seed in (1, 2))
    assert as_bytes(one) != as_bytes(two)
    served = [[sorted(r.ue.tolist()) for r in reports if r.level == "ue"][-7:] for reports in (one, two)]
    assert served[0] != served[1]


def test_worlds_in_one_process_do_not_disturb_each_other() -> None:
    alone = as_bytes(run(a_world("one-cell")))
    mine, other = a_world("one-cell"), a_world("one-cell", seed=7)
    reports: list[Report] = []
    for until_ms in range(50, UNTIL_MS + 1, 50):
        reports += run(mine, until_ms=until_ms)
        run(other, until_ms=until_ms)
    assert as_bytes(reports) == alone


def test_weights_change_what_is_served_and_nothing_of_what_arrives() -> None:
    left_alone, acted_on = (a_world("one-cell", seed=2) for _ in range(2))
    before = [run(world, until_ms=100) for world in (left_alone, acted_on)]
    assert as_bytes(before[0]) == as_bytes(before[1])
    ues = acted_on.engine.ues
    favoured = ues.id[(ues.connected > 0) & (np.arange(len(ues.id)) % 2 == 0)]
    acted_on.apply("site0", SetUeWeight(ue=favoured, weight=50.0))
    after = [run(world, until_ms=2000) for world in (left_alone, acted_on)]
    served_alike = True
    for one, two in zip(*after, strict=True):
        if one.level == "ue_cell":
            np.testing.assert_array_equal(one["RSRP"], two["RSRP"])
            continue
        np.testing.assert_array_equal(one["X.DRB.OfferedVolDl"], two["X.DRB.OfferedVolDl"])
        if one.level == "ue":
            assert one.ue.tolist() == two.ue.tolist()
            np.testing.assert_array_equal(one["RSRP"], two["RSRP"])
            name = "DRB.RlcSduTransmittedVolumeDL"
            served_alike &= np.array_equal(one[name], two[name])
    assert not served_alike


def test_the_simulator_is_a_world() -> None:
    world: NodePort = a_world("one-cell")  # the type checker compares the two
    assert world.end_ns == 60_000 * MS
    assert world.slot_ns == 500_000
    world.close()
