"""The audit log: complete, bounded, and never in the way."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from ranloop.errors import NodeError
from ranloop.guard import AuditLog, AuditRecord, Autonomy, Guard, verdict_counts
from ranloop.guard.audit import MAX_BYTES
from ranloop.guard.audit_lines import MAX_LISTED
from ranloop.guard.results import Verdicts
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.codec import decode_action_batch, encode
from ranloop.wire.inference import Inference, Reason
from ranloop.wire.messages import ActionBatch, Cause, Status
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, MS, NODE, SLOT_NS, BatchFactory

DAY_S = 86_400
DOCS = Path(__file__).parents[3] / "docs"


def audited(log: AuditLog) -> Guard:
    guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=log, run="r1")
    guard.register("a", EVERYTHING)
    return guard


def hold(guard: Guard, batch: ActionBatch, now_ns: int = 0) -> None:
    """Submit at `now_ns` and let the node do what is due by the batch's slot."""
    guard.submit(batch, sender=batch.xapp, now_ns=now_ns)
    for change in guard.due(now_ns + DELAY_NS):
        guard.settle(change, change.action.parameters(), now_ns + DELAY_NS)


def note(k: int) -> AuditRecord:
    return AuditRecord(event="order", ran_time_ns=k, node="site-1", xapp="a")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_decision_can_be_followed_from_report_to_effect(tmp_path: Path, batch: BatchFactory) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        guard = audited(log)
        hold(guard, batch(SetUeWeight(ue=[4, 5], weight=[2, 101]), id="x", run="r1"))
        for change in guard.due(DELAY_NS + 300 * MS):
            guard.settle(change, change.action.parameters(), DELAY_NS + 300 * MS)
    decided, ended = lines_of(path)
    assert decided.pop("time").endswith("+00:00")
    assert decided == {
        "event": "result",
        "run": "r1",
        "node": "site-1",
        "xapp": "a",
        "ran_time_ns": DELAY_NS,
        "held_until_ns": DELAY_NS + 300 * MS,  # three periods of 100 ms
        "id": "x",
        "report_seq": -1,
        "models": [],
        "valid_until_ns": 1_000 * MS,
        "lease_ms": None,
        "action": "SetUeWeight",
        "n_targets": 2,
        "targets": [[4], [5]],
        "parameters": [[2.0], [101.0]],
        "status": [[1, "applied"], [1, "refused/range"]],
        "verdict": {"applied": 1, "refused/range": 1},
        "causes": {"range": "weight 101; SetUeWeight takes 0.01 to 100"},
    }
    assert (ended["event"], ended["id"], ended["targets"]) == ("ended", "x", [[4]])
    assert ended["verdict"] == {"ended/lease-lapsed": 1}
    assert ended["applied"] == [[1.0]]


def test_the_time_of_a_line_is_that_of_the_record_in_utc(tmp_path: Path) -> None:
    with AuditLog(tmp_path / "a") as log:
        # 2020-09-13 12:26:40 UTC is 1.6e9 s after 1970
        log.add(
            AuditRecord(event="order", ran_time_ns=0, node="n", xapp="", wall_ns=1_600_000_000_250_000_000)
        )
    assert lines_of(tmp_path / "a")[0]["time"] == "2020-09-13T12:26:40.250+00:00"


def test_an_order_names_who_gave_it(tmp_path: Path) -> None:
    with AuditLog(tmp_path / "a") as log:
        guard = audited(log)
        guard.set_autonomy("a", Autonomy.OBSERVE, 0, by="anna")
        guard.kill(1, by="order 7")
        guard.revive(2, by="bert")
    said = [(line["by"], line.get("kill"), line.get("autonomy")) for line in lines_of(tmp_path / "a")]
    assert said == [("anna", None, "observe"), ("order 7", True, None), ("bert", False, None)]


def test_the_audit_has_the_applied_value_where_it_differs_from_the_wanted_one(
    tmp_path: Path, batch: BatchFactory
) -> None:
    with AuditLog(tmp_path / "a") as log:
        guard = audited(log)
        guard.submit(batch(SetUeWeight(ue=[4], weight=2), run="r1"), sender="a", now_ns=0)
        (change,) = guard.due(DELAY_NS)
        guard.settle(change, np.array([[1.5]], np.float32), DELAY_NS)
    (line,) = lines_of(tmp_path / "a")
    assert (line["parameters"], line["applied"]) == ([[2.0]], [[1.5]])


def test_the_page_shows_what_is_written(tmp_path: Path, batch: BatchFactory) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (DOCS / "audit.md").read_text(), re.DOTALL)
    shown = [json.loads(line) for line in block.splitlines()]
    with AuditLog(tmp_path / "a") as log:
        guard = audited(log)
        for k, last in enumerate((101.0, 101.0, 101.0, 3.0)):
            action = SetUeWeight(ue=[4, 5], weight=[2, last])
            decided = batch(action, id=f"a-{k}", run="r1", valid_until_ns=(k + 2) * 100 * MS)
            hold(
                guard, dataclasses.replace(decided, report_seq=k, models=("flow@0a1b2c3d4e5f",)), k * 100 * MS
            )
        guard.kill(400 * MS, by="anna")
        for change in guard.due(400 * MS):
            guard.settle(change, change.action.parameters(), 400 * MS)
    for line in (*shown, *(written := lines_of(tmp_path / "a"))):
        assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert written == shown


# Renewals


def test_renewals_that_change_nothing_are_counted_and_not_spelled_out(
    tmp_path: Path, batch: BatchFactory
) -> None:
    """1,024 targets, renewed ten times a second for 2 min and a bit."""
    with AuditLog(tmp_path / "a") as log:
        guard = audited(log)
        for k in range(1_205):
            renewal = batch(
                SetUeWeight(ue=range(1024), weight=2), run="r1", valid_until_ns=(k + 2) * 100 * MS
            )
            hold(guard, renewal, k * 100 * MS)
    first, *renewed = lines_of(tmp_path / "a")
    assert len(first["targets"]) == 1024
    assert [(line["event"], line["n"]) for line in renewed] == [
        ("renewed", 600),  # one line a minute
        ("renewed", 600),
        ("renewed", 4),  # what was left at the end
    ]
    assert {line["since"] for line in renewed} == {first["id"]}
    assert renewed[-1]["id"] == "a-1204"
    assert max(len(line) for line in (tmp_path / "a").read_text().splitlines()[1:]) < 300


def test_a_renewal_that_another_model_decided_is_spelled_out(tmp_path: Path, batch: BatchFactory) -> None:
    with AuditLog(tmp_path / "a") as log:
        guard = audited(log)
        for k, model in enumerate(("old@1", "old@1", "new@2")):
            renewal = batch(SetUeWeight(ue=[1], weight=2), run="r1")
            hold(guard, dataclasses.replace(renewal, models=(model,)), k * 100 * MS)
    told = [(line["event"], line.get("models")) for line in lines_of(tmp_path / "a")]
    assert told == [("result", ["old@1"]), ("renewed", None), ("result", ["new@2"])]


def test_of_a_renewal_that_changes_something_only_that_is_spelled_out(
    tmp_path: Path, batch: BatchFactory
) -> None:
    weights = np.full(100, 2.0)
    with AuditLog(tmp_path / "a") as log:
        guard = audited(log)
        hold(guard, batch(SetUeWeight(ue=range(100), weight=weights), id="one", run="r1"))
        hold(guard, batch(SetUeWeight(ue=range(100), weight=weights), id="two", run="r1"), 50 * MS)
        weights[[7, 60]] = 3.0
        hold(guard, batch(SetUeWeight(ue=range(100), weight=weights), id="three", run="r1"), 100 * MS)
    _, renewed, changed = lines_of(tmp_path / "a")
    assert (renewed["event"], renewed["n"], renewed["since"], renewed["id"]) == ("renewed", 1, "one", "two")
    assert (changed["targets"], changed["parameters"]) == ([[7], [60]], [[3.0], [3.0]])
    assert (changed["status"], changed["unchanged"], changed["since"]) == ([[2, "applied"]], 98, "one")


def test_what_an_xapp_can_write_in_a_day_is_bounded(tmp_path: Path, batch: BatchFactory) -> None:
    """18 batches a second with 1,024 values that all change: every line would take some 15 kB, 23 GB in a day.

    In 60 s of RAN time at most the share of 60 s and one burst of 4 MiB are written; so at most 1 GiB and 4 MiB a day.
    """
    seconds, share = 60, (1 << 30) / DAY_S
    with AuditLog(tmp_path / "a") as log:
        guard = audited(log)
        for k in range(18 * seconds):
            weights = np.linspace(0.5, 3, 1024) + (k % 7) / 100
            now_ns = k * 1_000 * MS // 18 // SLOT_NS * SLOT_NS
            hold(
                guard,
                batch(
                    SetUeWeight(ue=range(1024), weight=weights), run="r1", valid_until_ns=now_ns + 100 * MS
                ),
                now_ns,
            )
    written = (tmp_path / "a").stat().st_size
    assert 0.8 * (1 << 22) < written < seconds * share + (1 << 22)
    lines = lines_of(tmp_path / "a")
    assert "columns" not in lines[0]
    assert any(line.get("columns") == "left out: too many bytes a day" for line in lines)
    left_out = sum(line.get("lines_left_out", 0) for line in lines)
    assert 0 <= 18 * seconds - len(lines) - left_out < 100  # those after the last line are not told yet


def test_a_line_refers_to_no_values_that_were_left_out(tmp_path: Path, batch: BatchFactory) -> None:
    """One batch a second, of a share of 1 kB: some 13 kB where all of 1,024 values change, 0.4 kB where one does.

    The first 350 use up the burst of 4 MiB. Of the others only every tenth changes all, and has room now and then.
    """
    weights, ids = np.full(1024, 2.0), []
    with AuditLog(tmp_path / "a", bytes_per_day=DAY_S * 1e3) as log:
        guard = audited(log)
        for k in range(450):
            weights[: 1 if k > 350 and k % 10 else 1024] += 1 / 64
            now_ns = k * 1_000 * MS
            change = batch(
                SetUeWeight(ue=range(1024), weight=weights),
                run="r1",
                valid_until_ns=now_ns + 99 * MS,
                lease_ms=2_000,
            )
            ids.append(change.id)
            hold(guard, change, now_ns)
    lines = lines_of(tmp_path / "a")
    told = {line["id"]: "columns" not in line for line in lines}
    since = [(line["id"], line["since"]) for line in lines if "since" in line]
    assert any(not told[batch_id] for batch_id in ids if batch_id in told)
    for batch_id, before in since:
        assert told[before]
        assert ids.index(before) == ids.index(batch_id) - 1
    assert any(ids.index(batch_id) > 360 for batch_id, _ in since)


def test_large_batches_for_nodes_that_an_xapp_makes_up_fill_no_memory(
    batch: BatchFactory, tmp_path: Path
) -> None:
    """Of each of 2**16 targets four numbers of 4 bytes: 1 MiB a batch; 16 MiB and the last one are kept."""
    huge = batch(SetUeWeight(ue=range(1 << 16), weight=0))
    result = audited(AuditLog()).submit(huge, sender="a", now_ns=0)
    with AuditLog(tmp_path / "a") as log:
        for k in range(40):
            log.add(
                AuditRecord(event="result", ran_time_ns=0, node=f"n{k}", xapp="a", batch=huge, result=result)
            )
        assert sum(known.fates.nbytes for known in log._lines._spelled.values()) <= 18 << 20


def test_nodes_that_an_xapp_makes_up_fill_no_memory(batch: BatchFactory, tmp_path: Path) -> None:
    result = audited(AuditLog()).submit(batch(SetUeWeight(ue=[1], weight=0)), sender="a", now_ns=0)
    with AuditLog(tmp_path / "a") as log:
        for k in range(3_000):
            made_up = batch(SetUeWeight(ue=[1], weight=0))
            log.add(
                AuditRecord(
                    event="result", ran_time_ns=0, node=f"n{k}", xapp="a", batch=made_up, result=result
                )
            )
        assert len(log._lines._spelled) <= 1024
    assert len(lines_of(tmp_path / "a")) == 3_000


def test_texts_of_an_xapp_do_not_fill_a_line(tmp_path: Path, batch: BatchFactory) -> None:
    loud = dataclasses.replace(batch(SetUeWeight(ue=[1], weight=2), run="r1"), models=("m" * 256,) * 64)
    with AuditLog(tmp_path / "a") as log:
        hold(audited(log), loud)
    (line,) = lines_of(tmp_path / "a")
    assert len(line["models"]) == 16


def test_a_line_spells_out_so_many_targets_and_counts_them_all(tmp_path: Path, batch: BatchFactory) -> None:
    with AuditLog(tmp_path / "a") as log:
        hold(audited(log), batch(SetUeWeight(ue=range(MAX_LISTED + 1), weight=2.0), run="r1"))
    (line,) = lines_of(tmp_path / "a")
    assert line["n_targets"] == 1025
    assert (len(line["targets"]), len(line["parameters"])) == (1024, 1024)


# Memory


def test_memory_keeps_the_newest_and_counts_all() -> None:
    log = AuditLog(capacity=3)
    for k in range(5):
        log.add(note(k))
    assert [record.ran_time_ns for record in log] == [2, 3, 4]
    assert (len(log), log.n_records) == (3, 5)


def test_memory_is_bounded_in_bytes_too(batch: BatchFactory) -> None:
    log, huge = AuditLog(), batch(SetUeWeight(ue=range(1 << 16), weight=2.0))
    for k in range(200):
        log.add(AuditRecord(event="result", ran_time_ns=k, node="site-1", xapp="a", batch=huge))
    # 2**16 targets of 8 bytes are half a MiB, and half a KiB around them: of 64 MiB the newest 127 have room.
    assert MAX_BYTES == 1 << 26
    assert (len(log), log.n_records, next(iter(log)).ran_time_ns) == (127, 200, 73)


def test_the_texts_of_a_result_count_in_what_memory_keeps(batch: BatchFactory) -> None:
    """A cause of 1 MiB and its result make more than 1 MiB: of 64 MiB the newest 63 have room."""
    log = AuditLog()
    verdicts = Verdicts(batch(SetUeWeight(ue=[1], weight=2.0)))
    verdicts.decide_all(Status.REFUSED, Cause.NODE, "x" * (1 << 20))
    result = verdicts.result(xapp="a", node="site-1", ran_time_ns=0)
    for k in range(100):
        log.add(AuditRecord(event="result", ran_time_ns=k, node="site-1", xapp="a", result=result))
    assert (len(log), log.n_records) == (63, 100)


def test_a_batch_that_is_kept_keeps_no_padding(batch: BatchFactory) -> None:
    """A header may be padded with what nobody reads, up to 32 kB; one target takes 8 bytes."""
    payload = encode(batch(SetUeWeight(ue=[1], weight=2.0)))
    header, block = payload[:-8], payload[-8:]
    padded = header.rstrip()[:-1] + b',"padding":"' + b"x" * 30_000 + b'"}\n' + block
    kept = decode_action_batch(padded)
    assert kept.action == SetUeWeight(ue=[1], weight=2.0)
    assert isinstance(kept.action, SetUeWeight)
    base: object = kept.action.weight
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert sys.getsizeof(base) < 1_000


# The file


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


def test_a_disk_that_fills_up_leaves_no_torn_line_and_the_first_line_after_it_tells_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk with room for 20 more bytes takes as much of a line, then nothing; later there is room again."""
    path, write, room = tmp_path / "a", os.write, [10_000]

    def bounded(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, data[: room[0]])
        room[0] -= written
        return written

    with capture_logs() as logs, AuditLog(path) as log:
        monkeypatch.setattr(os, "write", bounded)
        log.add(note(0))
        room[0] = 20
        for k in (1, 2, 3):
            log.add(note(k))
        room[0] = 10_000
        log.add(note(4))
        log.add(note(5))
        monkeypatch.undo()
    lines = lines_of(path)  # each is whole JSON
    assert [line.get("ran_time_ns") for line in lines] == [0, None, 4, 5]
    assert (lines[1]["event"], lines[1]["records_missing"]) == ("gap", 3)
    assert log.n_not_written == 3
    assert [event["event"] for event in logs] == ["audit_file_not_writable", "audit_file_writable_again"]


def test_a_line_that_a_crash_tore_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text('{"event":"half')
    with AuditLog(path) as log:
        log.add(note(1))
    torn, whole = path.read_text().splitlines()
    assert torn == '{"event":"half'
    assert json.loads(whole)["ran_time_ns"] == 1


def test_files_are_rotated_by_size_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path, file_bytes=1_000, n_files=3) as log:
        for k in range(100):
            log.add(note(k))
    files = [tmp_path / name for name in ("audit.jsonl.2", "audit.jsonl.1", "audit.jsonl")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    seen = [line["ran_time_ns"] for file in files for line in lines_of(file)]
    assert seen == list(range(100 - len(seen), 100))  # the newest, in order, none twice
    assert all(file.stat().st_size < 1_200 for file in files)  # a file ends with the line that fills it


def test_of_one_file_that_may_stay_the_newest_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path, file_bytes=1_000, n_files=1) as log:
        for k in range(100):
            log.add(note(k))
    assert list(tmp_path.iterdir()) == [path]
    seen = [line["ran_time_ns"] for line in lines_of(path)]
    assert seen == list(range(100 - len(seen), 100))
    assert path.stat().st_size < 1_200  # a file ends with the line that fills it


def test_after_a_full_disk_a_line_refers_to_nothing_that_was_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: BatchFactory
) -> None:
    """Of three weights one changes in each batch; the second line is lost, so the third spells all three out."""
    path, write, room = tmp_path / "a", os.write, [True]

    def bounded(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(os, "write", bounded)
    with AuditLog(path) as log:
        guard = audited(log)
        for k, has_room in enumerate((True, False, True, True)):
            room[0] = has_room
            hold(guard, batch(SetUeWeight(ue=[1, 2, 3], weight=[2.0, 2.0, 1.0 + k]), run="r1"), k * 20 * MS)
        monkeypatch.undo()
    results = [line for line in lines_of(path) if line["event"] == "result"]
    assert [(line["targets"], "since" in line) for line in results] == [
        ([[1], [2], [3]], False),
        ([[1], [2], [3]], False),
        ([[3]], True),
    ]


def test_an_empty_batch_after_a_new_file_does_not_end_the_audit(tmp_path: Path, batch: BatchFactory) -> None:
    path = tmp_path / "a"
    with AuditLog(path) as log:
        guard = audited(log)
        hold(guard, batch(SetUeWeight(ue=[1, 2, 3], weight=2.0), id="1", run="r1"))
        path.rename(tmp_path / "moved")  # or it is full, or the xApp's share of bytes is used up
        hold(guard, batch(SetUeWeight(ue=[], weight=[]), id="2", run="r1"), 20 * MS)
        hold(guard, batch(SetUeWeight(ue=[1], weight=2.0), id="3", run="r1"), 40 * MS)
    assert [line["id"] for line in lines_of(path)] == ["2", "3"]


def test_each_file_can_be_read_without_the_one_before(tmp_path: Path, batch: BatchFactory) -> None:
    path = tmp_path / "a"
    with AuditLog(path, file_bytes=1_500, n_files=9) as log:
        guard = audited(log)
        for k in range(12):
            weights = [2.0, 2.0, 1.0 + k % 2]
            hold(guard, batch(SetUeWeight(ue=[1, 2, 3], weight=weights), run="r1"), k * 20 * MS)
    assert len(list(tmp_path.iterdir())) > 2
    for file in tmp_path.iterdir():
        spelled_out = next(line for line in lines_of(file) if line["event"] == "result")
        assert len(spelled_out["targets"]) == 3


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with AuditLog(path) as log:
        log.add(note(1))
        path.rename(tmp_path / "moved")
        log.add(note(2))
        path.unlink()
        log.add(note(3))
    assert [line["ran_time_ns"] for line in lines_of(tmp_path / "moved")] == [1]
    assert [line["ran_time_ns"] for line in lines_of(path)] == [3]


def test_verdicts_are_counted_by_cause(batch: BatchFactory) -> None:
    guard = audited(AuditLog())
    wrong = SetUeWeight(ue=[1, 2, 3], weight=[0, 0, float("nan")])
    result = guard.submit(batch(wrong, run="r1"), sender="a", now_ns=0)
    assert result is not None
    assert verdict_counts(result) == {"refused/range": 3}


def test_renewals_are_told_with_all_that_their_answers_cost_and_another_tier_is_spelled_out(
    tmp_path: Path, batch: BatchFactory
) -> None:
    """Waits of 20 and 30 ms: the longest. 100 and 100 bytes, 0.5 and 0.25 J: their sums. Then the model here answers."""

    def how(tier: str, reason: Reason, waited_ms: int, joules: float) -> Inference:
        return Inference(
            model="m@0",
            tier=tier,
            reason=reason,
            asked_ns=0,
            waited_ns=waited_ms * MS,
            rows=2,
            rows_above=2,
            sent_bytes={"per-ue": 100},
            joules=joules,
            confidence=0.9,
        )

    path = tmp_path / "audit.jsonl"
    answers = [
        how("regional", "better", 10, 1.0),
        how("regional", "better", 20, 0.5),
        how("regional", "better", 30, 0.25),
        how("edge", "late", 50, 0.25),
    ]
    with AuditLog(path) as log:
        guard = audited(log)
        for k, answer in enumerate(answers):
            held = batch(SetUeWeight(ue=[4], weight=2), id=f"x{k}", run="r1", valid_until_ns=900 * MS)
            hold(guard, dataclasses.replace(held, inferences=(answer,)), k * 100 * MS)
    first, renewed, last = lines_of(path)
    assert [(one["event"], one["inferences"][0]["tier"]) for one in (first, renewed, last)] == [
        ("result", "regional"),
        ("renewed", "regional"),
        ("result", "edge"),
    ]
    (together,) = renewed["inferences"]
    # The report of 0 ns is as old as the later of the two verdicts: 200 ms and the control delay.
    assert (together["waited_ms"], together["age_ms"]) == (30, 200 + DELAY_NS / MS)
    assert (together["sent_bytes"], together["modelled_joules"]) == ({"per-ue": 200}, 0.75)
    assert (together["rows"], together["rows_above"], together["confidence"]) == (4, 4, 0.9)


def test_sums_over_renewals_stop_where_json_stops_counting(tmp_path: Path, batch: BatchFactory) -> None:
    """3 x 2^62 has no 64 bits; 2^53 is the largest count that each reader of JSON holds."""
    answer = Inference(
        model="m@0",
        tier="edge",
        reason="better",
        asked_ns=0,
        rows=1 << 62,
        rows_above=1 << 62,
        sent_bytes={"raw": 1 << 62},
    )
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        guard = audited(log)
        for k in range(4):
            held = batch(SetUeWeight(ue=[4], weight=2), run="r1", valid_until_ns=900 * MS)
            hold(guard, dataclasses.replace(held, inferences=(answer,)), k * 100 * MS)
    (together,) = lines_of(path)[1]["inferences"]
    counted = together["rows"], together["rows_above"], together["sent_bytes"]["raw"]
    assert counted == (1 << 53, 1 << 53, 1 << 53)


@pytest.mark.parametrize("xapp", ["a", ""], ids=["of an xApp", "of the operator"])
def test_a_line_that_json_cannot_carry_is_left_out_and_told_and_the_log_goes_on(
    tmp_path: Path, xapp: str
) -> None:
    with AuditLog(tmp_path / "a") as log:
        for facts in ({"number": 1 << 64}, {"number": 1}):
            log.add(AuditRecord(event="order", ran_time_ns=7, node="n", xapp=xapp, facts=facts))
    left_out, after = lines_of(tmp_path / "a")
    assert (left_out["event"], left_out["ran_time_ns"], left_out["lines_left_out"]) == ("left_out", 7, 1)
    assert left_out["reason"] == "order: Integer exceeds 64-bit range"
    assert (after["event"], after["number"]) == ("order", 1)


def test_what_follows_a_line_that_was_left_out_refers_to_nothing_in_it(
    tmp_path: Path, batch: BatchFactory
) -> None:
    answer = Inference(model="m@0", tier="edge", reason="better", asked_ns=0, rows=1 << 64)
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        guard = audited(log)
        for k in range(2):
            held = batch(SetUeWeight(ue=[4], weight=2), run="r1", valid_until_ns=900 * MS)
            hold(guard, dataclasses.replace(held, inferences=(answer,)), k * 100 * MS)
    assert [line["event"] for line in lines_of(path)] == ["left_out", "left_out"]  # the second is no renewal
