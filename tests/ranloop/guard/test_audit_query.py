"""An audit log read back: each target with its verdict, its cause, the guard's words, and who holds it until when."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path

import pytest

from ranloop.errors import NodeError
from ranloop.guard import AuditLog, AuditRecord, Guard
from ranloop.guard.audit_query import AuditReader, Happening, Verdict
from ranloop.vocabulary import Action, SetUeWeight
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, MS, NODE, SLOT_NS, BatchFactory

S = 1000 * MS


class Site:
    """A guard with two xApps that writes an audit log."""

    def __init__(self, log: AuditLog, batch: BatchFactory, *, run: str = "r1", priority: int = 0) -> None:
        self.guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=log, run=run)
        for xapp in "ab":
            self.guard.register(xapp, EVERYTHING, priority=priority if xapp == "b" else 0)
        self.batch, self.run, self.n = batch, run, 0

    def hold(self, action: Action, now_ns: int, *, xapp: str = "a") -> None:
        self.n += 1
        batch = self.batch(action, id=f"{xapp}-{self.n}", run=self.run, valid_until_ns=now_ns + 200 * MS)
        self.guard.submit(dataclasses.replace(batch, xapp=xapp), sender=xapp, now_ns=now_ns)
        self.pass_to(now_ns + DELAY_NS)

    def pass_to(self, now_ns: int) -> None:
        for change in self.guard.due(now_ns):
            self.guard.settle(change, change.action.parameters(), now_ns)


def verdicts(path: Path, since: datetime | None = None) -> list[Verdict]:
    return [one for one in AuditReader(path, since=since) if isinstance(one, Verdict)]


def facts(found: list[Verdict]) -> list[tuple[object, ...]]:
    return [(v.xapp, v.target["ue"], v.verdict, v.cause, v.holder, v.held_until_s) for v in found]


def test_each_target_has_its_verdict_cause_text_and_holder(tmp_path: Path, batch: BatchFactory) -> None:
    """Settings from 10 ms on are held for three periods of 100 ms: until 310 ms."""
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        site = Site(log, batch)
        site.hold(SetUeWeight(ue=[4, 5], weight=[2, 101]), 0)
        site.hold(SetUeWeight(ue=[4, 6], weight=3), 20 * MS, xapp="b")
    found = verdicts(path)
    assert facts(found) == [
        ("a", 4, "applied", "", "a", 0.31),
        ("a", 5, "refused", "range", "", None),
        ("b", 4, "refused", "conflict", "a", 0.31),
        ("b", 6, "applied", "", "b", 0.33),
    ]
    assert found[1].text == "weight 101; SetUeWeight takes 0.01 to 100"
    assert found[2].text == "held by a (priority 0, yours 0) until 0.31 s if not renewed"
    assert [v.parameters for v in found] == [{"weight": w} for w in (2.0, 101.0, 3.0, 3.0)]
    assert (found[0].ran_time_s, found[0].id, found[0].node) == (0.01, "a-1", "site-1")
    assert datetime.fromisoformat(found[0].time).tzinfo is not None


def test_texts_of_one_cause_are_told_apart(tmp_path: Path, batch: BatchFactory) -> None:
    """Two xApps hold one target each; the third is told by whom, for each of its targets."""
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        site = Site(log, batch)
        site.guard.register("c", EVERYTHING)
        site.hold(SetUeWeight(ue=[4], weight=2), 0)
        site.hold(SetUeWeight(ue=[5], weight=2), 20 * MS, xapp="b")
        site.hold(SetUeWeight(ue=[5, 4], weight=3), 40 * MS, xapp="c")
    texts = {v.target["ue"]: v.text.split(" (")[0] for v in verdicts(path) if v.cause == "conflict"}
    assert texts == {4: "held by a", 5: "held by b"}


def test_renewals_without_a_line_of_their_own_move_the_end_of_the_lease(
    tmp_path: Path, batch: BatchFactory
) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        site = Site(log, batch)
        for k in range(4):
            site.hold(SetUeWeight(ue=[4, 5], weight=[2, 101]), k * 100 * MS)
    first, refused, again, refused_again = verdicts(path)
    assert (first.held_until_s, first.repeats) == (0.31, 0)
    assert (again.verdict, again.held_until_s, again.repeats, again.id) == ("applied", 0.61, 3, "a-4")
    assert (refused.text, refused_again.repeats) == (refused_again.text, 3)


def test_a_target_that_a_line_does_not_list_again_is_still_held(tmp_path: Path, batch: BatchFactory) -> None:
    """The second line lists UE 5 alone, and the lease of UE 4 runs on with the same batch."""
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        site = Site(log, batch)
        site.hold(SetUeWeight(ue=[4, 5], weight=[2, 3]), 0)
        site.hold(SetUeWeight(ue=[4, 5], weight=[2, 4]), 100 * MS)
        site.hold(SetUeWeight(ue=[4], weight=9), 120 * MS, xapp="b")
    *_, changed, refused = verdicts(path)
    assert (changed.target, changed.parameters) == ({"ue": 5}, {"weight": 4.0})
    assert (refused.holder, refused.held_until_s) == ("a", 0.41)


def test_what_has_ended_is_held_by_nobody_and_what_was_taken_over_by_its_new_holder(
    tmp_path: Path, batch: BatchFactory
) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        site = Site(log, batch, priority=1)
        site.hold(SetUeWeight(ue=[4, 5], weight=2), 0)
        site.hold(SetUeWeight(ue=[4], weight=3), 20 * MS, xapp="b")
        site.pass_to(310 * MS)
    assert facts(verdicts(path))[2:] == [
        ("a", 4, "ended", "superseded", "", None),
        ("b", 4, "applied", "", "b", 0.33),
        ("a", 5, "ended", "lease-lapsed", "", None),
    ]


@pytest.mark.parametrize("run", ["r2", "r1"])  # a host started again, and two runs that have no names
def test_a_new_run_holds_nothing_of_the_one_before(tmp_path: Path, batch: BatchFactory, run: str) -> None:
    path = tmp_path / "audit.jsonl"
    for name in ("r1", run):
        with AuditLog(path) as log:
            site = Site(log, batch, run=name)
            if name is run:
                site.hold(SetUeWeight(ue=[4], weight=101), 0, xapp="b")
            else:
                site.hold(SetUeWeight(ue=[4], weight=2), 200 * MS)
    assert facts(verdicts(path))[-1] == ("b", 4, "refused", "range", "", None)


def test_rotated_files_are_read_oldest_first(tmp_path: Path, batch: BatchFactory) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path, file_bytes=600) as log:
        site = Site(log, batch)
        for k in range(6):
            site.hold(SetUeWeight(ue=[4], weight=2 + k), k * 100 * MS)
    assert len([*tmp_path.iterdir()]) >= 3
    assert [v.parameters["weight"] for v in verdicts(path)] == [2.0 + k for k in range(6)]


def test_damaged_lines_are_counted_and_named_and_the_others_are_read(
    tmp_path: Path, batch: BatchFactory
) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        Site(log, batch).hold(SetUeWeight(ue=[4], weight=2), 0)
    (good,) = path.read_bytes().splitlines(keepends=True)
    wrong = good.replace(b'[[1,"applied"]]', b'[[2,"applied"]]').replace(b"a-1", b"a-9")
    path.write_bytes(
        b"\xff\xfe\n[1]\n{}\n" + wrong + b'{"x":"' + b"y" * (5 << 20) + b'"}\n' + good + b'{"torn'
    )
    reader = AuditReader(path)
    assert [one.id for one in reader if isinstance(one, Verdict)] == ["a-1"]
    assert (reader.n_lines, reader.n_damaged) == (7, 6)
    assert reader.damaged == [
        "audit.jsonl:1: no JSON",
        "audit.jsonl:2: no JSON object",
        "audit.jsonl:3: without 'event'",
        "audit.jsonl:4: targets, values and verdicts are not of one length",
        "audit.jsonl:5: no JSON",
    ]


def test_since_tells_also_what_has_stood_unchanged_since_before(tmp_path: Path, batch: BatchFactory) -> None:
    """Of the lines after the moment the first lists UE 5 alone; UE 4 is still refused, and that is told once."""
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        site = Site(log, batch)
        site.hold(SetUeWeight(ue=[4, 5], weight=[101, 2]), 0)
    early = path.read_bytes()
    path.unlink()
    with AuditLog(path) as log:
        site = Site(log, batch)
        for k, weight in enumerate((2, 3, 4)):
            site.hold(SetUeWeight(ue=[4, 5], weight=[101, weight]), k * 100 * MS)
    lines = path.read_bytes().splitlines(keepends=True)
    stamp = early[: early.index(b'","event')]
    path.write_bytes(
        b"".join(
            [b'{"time":"2020-01-01T00:00:00+00:00' + line[len(stamp) :] for line in lines[:1]] + lines[1:]
        )
    )
    found = verdicts(path, since=datetime.fromisoformat("2020-01-02T00:00:00+00:00"))
    assert [(v.target["ue"], v.verdict, v.cause) for v in found] == [
        (4, "refused", "range"),
        (5, "applied", ""),
        (5, "applied", ""),
    ]


def test_orders_and_other_events_are_told_as_such(tmp_path: Path, batch: BatchFactory) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        site = Site(log, batch)
        site.guard.kill(5, by="anna")
        log.add(AuditRecord(event="dropped", ran_time_ns=7, node="", xapp="z", facts={"reason": "garbage"}))
    order, dropped = [one for one in AuditReader(path) if isinstance(one, Happening)]
    assert (order.event, order.node, order.facts) == ("order", "site-1", {"kill": True, "by": "anna"})
    assert (dropped.event, dropped.xapp, dropped.facts) == ("dropped", "z", {"reason": "garbage"})


def test_a_log_that_is_not_there_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"there is no audit log; `--audit FILE`"):
        AuditReader(tmp_path / "audit.jsonl")
