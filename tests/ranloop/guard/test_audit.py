"""The audit log: complete, bounded, and never in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ranloop.errors import NodeError
from ranloop.guard import AuditLog, AuditRecord, Guard, verdict_counts
from ranloop.guard.audit import MAX_LISTED
from ranloop.vocabulary import SetUeWeight
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, MS, NODE, SLOT_NS, BatchFactory


def audited(log: AuditLog) -> Guard:
    guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=log)
    guard.register("a", EVERYTHING)
    return guard


def note(k: int) -> AuditRecord:
    return AuditRecord(event="order", ran_time_ns=k, node="site-1", xapp="a")


def test_a_decision_can_be_followed_from_report_to_effect(tmp_path: Path, batch: BatchFactory) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        guard = audited(log)
        guard.submit(batch(SetUeWeight(ue=[4, 5], weight=[2, 101]), id="x"), sender="a", now_ns=0)
        for now_ns in (DELAY_NS, DELAY_NS + 300 * MS):
            for change in guard.due(now_ns):
                guard.settle(change, change.action.parameters(), now_ns)
    decided, ended = (json.loads(line) for line in path.read_text().splitlines())
    assert decided == {
        "event": "result",
        "ran_time_ns": DELAY_NS,
        "node": "site-1",
        "xapp": "a",
        "id": "x",
        "report_seq": -1,
        "models": [],
        "action": "SetUeWeight",
        "n_targets": 2,
        "targets": [[4], [5]],
        "parameters": [[2.0], [101.0]],
        "verdict": {"applied": 1, "refused/range": 1},
        "causes": {"range": "weight 101 1; SetUeWeight takes 0.01 to 100"},
        "applied": [[2.0], [None]],
    }
    assert (ended["event"], ended["id"], ended["targets"]) == ("ended", "x", [[4]])
    assert ended["verdict"] == {"ended/lease-lapsed": 1}


def test_memory_keeps_the_newest_and_counts_all() -> None:
    log = AuditLog(capacity=3)
    for k in range(5):
        log.add(note(k))
    assert [record.ran_time_ns for record in log] == [2, 3, 4]
    assert (len(log), log.n_records) == (3, 5)


def test_memory_is_bounded_in_targets_too(batch: BatchFactory) -> None:
    log, huge = AuditLog(), batch(SetUeWeight(ue=range(1 << 16), weight=2.0))
    for k in range(70):
        log.add(AuditRecord(event="result", ran_time_ns=k, node="site-1", xapp="a", batch=huge))
    # 2**22 targets at most, 2**16 in each: the newest 64 of 70
    assert (len(log), log.n_records, next(iter(log)).ran_time_ns) == (64, 70, 6)


def test_a_line_spells_out_so_many_targets_and_counts_them_all(batch: BatchFactory) -> None:
    large = batch(SetUeWeight(ue=range(MAX_LISTED + 1), weight=2.0))
    record = AuditRecord(event="result", ran_time_ns=0, node="site-1", xapp="a", batch=large)
    line = json.loads(record.to_json())
    assert line["n_targets"] == 1025
    assert (len(line["targets"]), len(line["parameters"])) == (1024, 1024)


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / "folder" / "audit.jsonl"
    with pytest.raises(NodeError, match=r"audit\.jsonl: cannot be written \(No such file or directory\)"):
        AuditLog(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_stops_nothing() -> None:
    with capture_logs() as logs, AuditLog(Path("/dev/full")) as log:
        for k in range(3):
            log.add(note(k))
    assert [event["event"] for event in logs] == ["audit_file_not_writable"]
    assert (len(log), log.n_not_written) == (3, 3)


def test_verdicts_are_counted_by_cause(batch: BatchFactory) -> None:
    guard = audited(AuditLog())
    result = guard.submit(batch(SetUeWeight(ue=[1, 2, 3], weight=[0, 0, float("nan")])), sender="a", now_ns=0)
    assert result is not None
    assert verdict_counts(result) == {"refused/range": 3}
