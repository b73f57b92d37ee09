"""Raises an alarm for cells that sleep, fade, hear a foreign transmitter or report nonsense; acts on nothing."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from ranloop import Report, XApp

from . import alarms, detectors, signs

app = XApp()
tuned = detectors.read()
counters = app.per_cell(**signs.start())
past = {name: app.per_cell(**each.start()) for name, each in tuned.items()}
ears: defaultdict[str, signs.Ears] = defaultdict(signs.Ears)  # by node
waiting: dict[str, Report] = {}  # node -> its newest counters, whose UEs have not told yet
newest_ns: dict[str, int] = {}
board: defaultdict[str, alarms.Board] = defaultdict(alarms.Board)
raised: Counter[str] = Counter()
silent: Counter[str] = Counter()  # node -> timers since its last report


@app.on_report(*signs.OF_CELLS, level="cell", every_ms=signs.PERIOD_MS)
def take_counters(report: Report) -> None:
    if report.ran_time_ns <= newest_ns.get(report.node, -1):
        return  # it came late, or twice
    if report.node in waiting:
        judge(waiting[report.node], {})  # its UEs have told nothing
    waiting[report.node], newest_ns[report.node] = report, report.ran_time_ns
    silent[report.node] = 0


@app.on_report(*signs.OF_UES, level="ue_cell", every_ms=signs.PERIOD_MS)
def take_measurements(report: Report) -> None:
    cells = waiting.get(report.node)
    if cells is not None and cells.ran_time_ns == report.ran_time_ns:
        judge(waiting.pop(report.node), ears[report.node].listen(signs.heard(report), cells.cell))


def judge(report: Report, heard: Mapping[str, signs.F32]) -> None:
    """Score the cells of a report, and raise and clear their alarms."""
    told = {name: report[name] for name in signs.OF_CELLS}
    found, after = signs.look(told, heard, counters.of(report))
    counters.update(report, **after)
    chosen = app.settings["detector"]
    scores, after = tuned[chosen].step(found, past[chosen].of(report))
    past[chosen].update(report, **after)
    per_day = alarms.surely_stuck(found, tuned[chosen].false_alarms(scores))
    cells = report.names_of("cell").tolist()
    news = board[report.node].take(
        cells, per_day, report.time_s, most=app.settings["false_alarms"], hold_s=app.settings["hold_s"]
    )
    for at in news.over:
        app.clear(at.kind, node=report.node, target=at.cell)
    for at, sure in news.raised.items():
        raised[at.kind] += sure.is_new
        why = alarms.reason(found[cells.index(at.cell)], at.kind)
        app.alarm(
            at.kind,
            severity=alarms.SEVERITY[at.kind],
            node=report.node,
            target=at.cell,
            text=f"{sure}: {why}",
        )


@app.every("5s")
def listen_for_silence() -> None:
    """A node that tells nothing is not well."""
    for node in newest_ns:
        silent[node] += 1
        if silent[node] == alarms.SILENT_TIMERS:
            app.alarm(alarms.FAULTY, severity="major", node=node, text="no report for 10 s")
        elif silent[node] < alarms.SILENT_TIMERS:
            app.clear(alarms.FAULTY, node=node)


@app.on_restart
def begin_anew(node: str) -> None:
    for at in board.pop(node, alarms.Board()).standing:
        app.clear(at.kind, node=node, target=at.cell)
    for memory in (ears, waiting, newest_ns):
        memory.pop(node, None)


@app.summary
def findings() -> dict[str, Any]:
    return dict(raised)
