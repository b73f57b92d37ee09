"""`check_node`: holds a RAN node of your own to the node port, before a guard relies on it.

def test_my_node() -> None:
    check_node(MyNode)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np

from ranloop.errors import VocabularyError, WireError
from ranloop.node.port import MORTAL, NodePort, PushPort, Stream
from ranloop.vocabulary import ACTIONS, ID_COLUMNS, Action, Kind, measurement
from ranloop.wire.checked import checked
from ranloop.wire.codec import decode_catalogue, decode_report, encode
from ranloop.wire.messages import F32, FOR_EVER_NS, MAX_ID, Catalogue, Report

__all__ = ("check_node",)

_NS_PER_S = 1_000_000_000
_NOBODY = MAX_ID - 1  # id of a UE, cell or slice that does not exist
_MOST = 20  # findings
_PATIENCE_S = 2.0  # of wall-clock time, for a message of a push node


def check_node(make: Callable[[], NodePort], *, ran_s: float = 2.0) -> None:
    """Hold a node to `ranloop.node.NodePort`.

    The catalogue must name only entries of the vocabulary, and no cell as its own neighbour. Reports must come in order, complete, in range and only as
    wanted. A pull node must give the same reports however its time is cut. Each change must be answered once, in the right
    shape, without a value where the target does not exist.

    Args:
        make: Opens the node anew. The check calls it up to three times and closes each node.
        ran_s: RAN time to check; for a push node, wall-clock seconds.

    Raises:
        AssertionError: One line for each of the first 20 faults.
    """
    with closing(make()) as port:
        findings = [*_catalogues(port.catalogues)]
        if not findings:
            findings += _push(port, ran_s) if isinstance(port, PushPort) else _pull(port, make, ran_s)
    if findings:
        raise AssertionError("\n".join([*dict.fromkeys(findings)][:_MOST]))


def _catalogues(catalogues: Sequence[Catalogue]) -> Iterator[str]:
    if not catalogues:
        yield "it has no catalogue, so it has no node"
    if len({catalogue.node for catalogue in catalogues}) < len(catalogues):
        yield "two of its nodes have one name"
    for catalogue in catalogues:
        node = catalogue.node
        try:
            if decode_catalogue(encode(catalogue)) != catalogue:
                yield f"{node}: its catalogue comes back from the wire as another one"
        except (ValueError, WireError) as error:
            yield f"{node}: its catalogue cannot be sent: {error}"
        for level, names in catalogue.measurements.items():
            for name in names:
                try:
                    if level not in measurement(name).levels:
                        yield f"{node}: {name} is not measured per {level}"
                except VocabularyError as error:
                    yield f"{node}: {error}"
        yield from (
            f"{node}: no action {name!r} in the vocabulary"
            for name in catalogue.actions
            if name not in ACTIONS
        )
        for cell, relations in catalogue.neighbours.items():
            others = [relation.cell for relation in relations]
            if cell not in catalogue.cells:
                yield f"{node}: it has neighbours of the cell {cell}, but no such cell"
            if cell in others or len(set(others)) < len(others):
                yield f"{node}: among the neighbours of the cell {cell} it is itself, or another one twice"
        if not catalogue.periods_ms:
            yield f"{node}: it has no granularity period"


def _everything(port: NodePort) -> dict[Stream, frozenset[str]]:
    return {
        (catalogue.node, str(level), period_ms): frozenset(names)
        for catalogue in port.catalogues
        for level, names in catalogue.measurements.items()
        for period_ms in catalogue.periods_ms
        if names
    }


# Pull nodes


def _pull(port: NodePort, make: Callable[[], NodePort], ran_s: float) -> Iterator[str]:
    until_ns = min(port.end_ns, port.now_ns + round(ran_s * _NS_PER_S))
    wanted = _everything(port)
    reports: list[Report] = []
    while port.now_ns < until_ns:
        next_ns = port.next_report_ns()
        if next_ns <= port.now_ns:
            yield f"its next report is due at {next_ns} ns, which is not after {port.now_ns} ns"
            return
        port.advance(min(next_ns, until_ns))
        if port.now_ns != min(next_ns, until_ns):
            yield f"told to advance to {min(next_ns, until_ns)} ns it stands at {port.now_ns} ns"
            return
        fresh = port.reports(wanted) if port.now_ns == next_ns else []
        yield from (
            f"{_of(r)} is of {r.ran_time_ns} ns, later than now" for r in fresh if r.ran_time_ns > port.now_ns
        )
        if port.reports(wanted):
            yield "the reports of one instant come a second time"
        reports += fresh
    yield from _reports(reports, wanted)
    if not reports:
        yield f"no report within {ran_s:g} s of RAN time"
    yield from _same_however_time_is_cut(make, until_ns, reports)
    yield from _actions(port, reports)


def _same_however_time_is_cut(
    make: Callable[[], NodePort], until_ns: int, expected: Sequence[Report]
) -> Iterator[str]:
    with closing(make()) as again:
        wanted, reports = _everything(again), list[Report]()
        while again.now_ns < until_ns:
            next_ns = min(again.next_report_ns(), until_ns)
            half_ns = again.now_ns + (next_ns - again.now_ns) // 2 // again.slot_ns * again.slot_ns
            if half_ns > again.now_ns:
                again.advance(half_ns)
            due_ns = again.next_report_ns()
            again.advance(next_ns)
            reports += again.reports(wanted) if next_ns == due_ns else []
        if [encode(report) for report in reports] != [encode(report) for report in expected]:
            yield "opened again and advanced in smaller steps it gives other reports"
    with closing(make()) as third:
        third.advance(min(third.next_report_ns(), until_ns))
        if third.reports({}):
            yield "it gives reports that were not asked for"


# Push nodes


def _push(port: PushPort, ran_s: float) -> Iterator[str]:
    arrived, wanted, reports = threading.Event(), _everything(port), list[Report]()
    port.listen(arrived.set)
    end_s = time.monotonic() + ran_s
    while (left_s := end_s - time.monotonic()) > 0 and not port.over:
        arrived.wait(left_s)
        arrived.clear()
        while (next_ns := port.next_report_ns()) < FOR_EVER_NS:
            port.advance(next_ns)
            reports += port.reports(wanted)
    yield from _reports(reports, wanted)
    if not reports:
        yield f"no report within {ran_s:g} s"
    yield from _actions(port, reports)


# Both


def _reports(reports: Sequence[Report], wanted: dict[Stream, frozenset[str]]) -> Iterator[str]:
    seqs: dict[Stream, int] = {}
    last_ns = 0
    for report in reports:
        stream = (report.node, str(report.level), report.period_ms)
        if stream not in wanted:
            yield f"{_of(report)} is of a stream that its catalogue does not have"
            continue
        if report.ids != ID_COLUMNS[report.level]:
            yield f"{_of(report)} has the id columns {report.ids}; want {ID_COLUMNS[report.level]}"
            continue
        if set(report.names) != wanted[stream]:
            odd = ", ".join(sorted(wanted[stream] ^ set(report.names)))
            yield f"{_of(report)} and its catalogue differ in {odd}"
        if seqs.get(stream, report.seq - 1) != report.seq - 1:
            yield f"{_of(report)} follows number {seqs[stream]}"
        seqs[stream] = report.seq
        if report.ran_time_ns < last_ns:
            yield f"{_of(report)} is of {report.ran_time_ns} ns, earlier than the report before it"
        last_ns = report.ran_time_ns
        yield from _serving_first(report)
        try:
            n_outside = checked(report)[1]
            if n_outside:
                yield f"{_of(report)} has {n_outside} values outside their range in the vocabulary"
            if not np.array_equal(decode_report(encode(report)).block, report.block, equal_nan=True):
                yield f"{_of(report)} comes back from the wire with other values"
        except (ValueError, WireError) as error:
            yield f"{_of(report)}: {error}"


def _serving_first(report: Report) -> Iterator[str]:
    """A UE's rows begin with its serving cell: an xApp compares the others with it."""
    if report.level == "ue_cell":
        cell, measured = report.cell, report.measured_cell
        if odd := [ue for ue, rows in report.by_ue() if cell[rows[0]] != measured[rows[0]]]:
            yield f"{_of(report)} does not begin with the serving cell of the ue {odd[0]}"


def _of(report: Report) -> str:
    return f"the {report.level} report of {report.node} every {report.period_ms} ms, number {report.seq},"


def _actions(port: NodePort, reports: Sequence[Report]) -> Iterator[str]:
    """Ask each node for its own configuration, at a target that exists if one is known and at one that does not."""
    number = 0
    for catalogue in port.catalogues:
        for name in catalogue.actions:
            kind = ACTIONS[name]
            known = _target(kind, catalogue, reports)
            for target in [known, [_NOBODY] * len(kind.spec.targets)]:
                if target is None:
                    continue
                number += 1
                # A setting goes back to the node's own configuration; a one-shot has none and takes its lowest value.
                values = [p.low if kind.spec.kind is Kind.ONE_SHOT else np.nan for p in kind.spec.parameters]
                action = kind.from_columns(np.array([target], np.int32), np.array([values], np.float32))
                yield from _ask(port, catalogue.node, number, action, exists=target is known)
        for column in MORTAL:
            here = port.hosts(catalogue.node, column, np.array([_NOBODY], np.float32))
            if here.shape != (1,) or here[0] != 0:
                yield f"{catalogue.node}: it hosts the {column} {_NOBODY}, which does not exist"


def _target(kind: type[Action], catalogue: Catalogue, reports: Sequence[Report]) -> list[int] | None:
    """A target of this action that the last report or the catalogue names; None where there is none."""
    known: dict[str, int] = {
        column: min(names)
        for column, names in (("cell", catalogue.cells), ("slice", catalogue.slices))
        if names
    }
    for report in reports:
        if report.node == catalogue.node and len(report):
            known |= {column: int(report.id(column)[0]) for column in report.ids}
    return [known[column] for column in kind.spec.targets] if {*kind.spec.targets} <= known.keys() else None


def _ask(port: NodePort, node: str, number: int, action: Action, *, exists: bool) -> Iterator[str]:
    what = f"{node}: {action.spec.name} on {action.targets()[0].tolist()}"
    port.hand_over(node, number, action)
    answers, give_up_s = port.answers(), time.monotonic() + _PATIENCE_S
    while not answers and isinstance(port, PushPort) and time.monotonic() < give_up_s:
        threading.Event().wait(0.01)
        answers = port.answers()
    if [(answer.node, answer.number) for answer in answers] != [(node, number)]:
        yield f"{what}: change {number} has the answers {[answer[:2] for answer in answers]}; want one"
        return
    values: F32 = answers[0].values
    if values.shape != (1, len(action.spec.parameters)):
        yield f"{what}: its answer has the shape {list(values.shape)}; want [1, {len(action.spec.parameters)}]"
    elif not exists and not np.isnan(values).all():
        yield f"{what}: it says that {values[0].tolist()} is in force at a target that does not exist"
    elif np.isinf(values).any():
        yield f"{what}: it says that {values[0].tolist()} is in force"
