"""A node is in exactly one shard, and its guard lets only that shard decide."""

from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError

from ranloop.errors import NodeError
from ranloop.guard import Rights
from ranloop.guard.shard import NodeShard, program_of
from ranloop.node import NodeRuntime, Registration
from ranloop.testing.worlds import ToyWorld
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import ActionBatch, Cause
from tests.ranloop.node.scripted import MS, rights


def of_shard(text: str) -> Registration:
    return Registration(rights=rights("SetUeWeight").model_copy(update={"shard": text}))


def runtime_with(**xapps: str) -> NodeRuntime:
    runtime = NodeRuntime(ToyWorld())
    for name, shard in xapps.items():
        runtime.admit(name.replace("_", "-"), of_shard(shard))
    return runtime


def test_the_shard_of_a_node_is_the_crc_32_of_its_name_modulo_the_number_of_shards() -> None:
    # `printf toy-1 | gzip -c | tail -c8 | head -c4` has the CRC-32 as gzip writes it: 0x83e15f4d, which is 1 modulo 4.
    assert 0x83E15F4D % 4 + 1 == 2
    assert NodeShard.of("toy-1", 4) == NodeShard(2, 4)
    assert NodeShard.of("toy-2", 4) == NodeShard(0x1AE80EF7 % 4 + 1, 4) == NodeShard(4, 4)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 1000])
def test_every_node_is_in_exactly_one_shard(count: int) -> None:
    shards = [NodeShard(number, count) for number in range(1, count + 1)]
    for node in ("gnb-1", "gnb-2", "site0", "a"):
        assert [shard for shard in shards if shard.has(node)] == [NodeShard.of(node, count)]


def test_numbered_nodes_fall_evenly_into_shards_whose_number_is_a_power_of_two() -> None:
    """CRC-32 is linear: the 8 names that differ in the low three bits of a digit go to 8 different places."""
    assert len({NodeShard.of(f"gnb-{digit}", 8).number for digit in range(8)}) == 8
    parts = Counter(NodeShard.of(f"gnb-{number:04}", 8).number for number in range(1000))
    assert (min(parts.values()), max(parts.values())) == (124, 126)


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1", "1/", "/4", "a/4", "1/1001", "1/2/3", "-1/4", "²/4", " 1/4"]
)
def test_what_is_no_shard_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="want I/N, the I-th of N shards"):
        NodeShard.parse(text)
    with pytest.raises(ValidationError, match="want I/N"):
        Rights(shard=text)


def test_the_program_of_a_shard_is_its_name_without_the_shard() -> None:
    assert NodeShard(2, 4).name_of("mine") == "mine-2of4"
    assert program_of("mine-2of4", NodeShard(2, 4)) == "mine"
    assert program_of("mine-2of4", None) == "mine-2of4"  # an xApp that is called so, and is no shard


def test_rights_that_are_not_sharded_look_as_they_did_before() -> None:
    assert "shard" not in rights("SetUeWeight").as_facts()
    assert of_shard("2/4").rights.as_facts()["shard"] == "2/4"


def test_a_shard_reads_the_reports_of_its_nodes_alone() -> None:
    runtime = runtime_with(x_2of4="2/4")
    assert {report.node for report in runtime.advance(100 * MS).reports} == {"toy-1"}


def test_the_guard_refuses_the_action_of_another_shard() -> None:
    runtime = runtime_with(x_2of4="2/4", x_4of4="4/4")
    causes = {}
    for xapp in runtime.xapps:
        for node in runtime.guards:
            batch = ActionBatch(
                id=node,
                xapp=xapp,
                node=node,
                seq=0,
                action=SetUeWeight(ue=[0], weight=2.0),
                valid_until_ns=300 * MS,
            )
            for result in runtime.submit(batch, sender=xapp, node=node, now_ns=0):
                causes[xapp, node] = result.causes[int(result.cause[0])]
    text = "x-2of4 decides at the nodes of shard 2/4, and toy-2 is not one of them"
    assert causes.pop(("x-2of4", "toy-2")) == (Cause.NOT_PERMITTED, text)
    assert causes.pop(("x-4of4", "toy-1"))[0] is Cause.NOT_PERMITTED
    assert not causes  # the other two were accepted, and wait for their slot


@pytest.mark.parametrize(
    ("admitted", "shard", "comes", "its"),
    [
        ("x-2of4", "2/4", "x", ""),  # the whole program beside a shard of it
        ("x", "", "x-2of4", "2/4"),
        ("x-2of4", "2/4", "x-1of3", "1/3"),  # toy-1 is in both
    ],
)
def test_a_second_decider_at_a_node_is_not_admitted(admitted: str, shard: str, comes: str, its: str) -> None:
    runtime = NodeRuntime(ToyWorld())
    runtime.admit(admitted, of_shard(shard))
    text = f"{admitted} decides at toy-1 already, and {comes} would, too; dismiss it first"
    with pytest.raises(NodeError, match=text):
        runtime.admit(comes, of_shard(its))
    assert set(runtime.xapps) == {admitted}
    runtime.dismiss(admitted)
    runtime.admit(comes, of_shard(its))


def test_other_programs_and_the_same_shard_again_are_admitted() -> None:
    runtime = runtime_with(x_2of4="2/4", y_1of3="1/3", z="", x_4of4="4/4")
    runtime.admit("x-2of4", of_shard("2/4"))
    assert len(runtime.xapps) == 4


def test_a_shard_without_a_node_here_is_told_what_is_here() -> None:
    with pytest.raises(
        NodeError, match="x-1of4 decides at the nodes of shard 1/4, and none is here; here is toy-1, toy-2"
    ):
        runtime_with(x_1of4="1/4")
