"""Measures the forecaster on logs of real phones, beside rules that were tuned on those very logs.

    python -m xapps.throughput_forecaster.evaluate --data DIR            # prints the section of the README
    python -m xapps.throughput_forecaster.evaluate --data DIR --write    # and puts it there

The forecaster meets every log without having seen any other. Its few constants were chosen on the days of `TUNED_ON`, which are left
out, unless `--days` says otherwise. Each rule is tuned for each horizon and group of seconds, in hindsight, on the group itself: more
than any rule can have in the field. Intervals come from resampling days, because logs of one day share route and radio conditions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranloop.errors import RanloopError
from ranloop.evaluation import Change, Place, Result
from ranloop.node.replay import ReplayWorld, open_replay
from ranloop.statistics import Shown
from xapps.throughput_forecaster.interval import MISS_SHARE
from xapps.throughput_forecaster.policy import HORIZONS_S, Phone, Second, new_scores

PERIOD_MS = 1000
MEASUREMENTS = frozenset({"X.UE.AppThpDl", "X.UE.NrMode", "X.UE.Downloading"})
TUNED_ON = (date(2019, 11, 22), date(2019, 11, 29), date(2020, 1, 5), date(2020, 2, 27))
EWMA_S = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0)
MEAN_S = (2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 30, 45, 60)
RULES = ("persistence", *(f"EWMA {s:g} s" for s in EWMA_S), *(f"mean {s} s" for s in MEAN_S))
KINDS = {"persistence": slice(0, 1), "EWMA": slice(1, 1 + len(EWMA_S)), "mean": slice(1 + len(EWMA_S), None)}
WORDS = ("driving", "static", "amazon-prime", "netflix", "download")  # in the names of logs, each a group
GROUPS = ("all", "on 5G", "downloading", *WORDS)
N_RESAMPLED, SEED = 4000, 1
COVERAGE_PCT = 100 * (1 - MISS_SHARE)
README = Path(__file__).with_name("README.md")
RESULT = README.with_name("result.json")  # which `ranloop evaluate` reads
COMMAND = "python -m xapps.throughput_forecaster.evaluate --data DIR --write"
MARKS = ("<!-- evaluation -->\n", "<!-- /evaluation -->\n")
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Followed(NamedTuple):
    """The scored forecasts of one log and horizon; absolute errors in kbit/s."""

    mixture: F64  # [n]
    rules: F64  # [n, len(RULES)]
    held: Bools  # [n], whether the interval held the truth
    width_kbps: F64  # [n], of the interval
    on_5g: Bools
    downloading: Bools


@dataclass(frozen=True, slots=True)
class Log:
    name: str
    day: date
    horizons: dict[int, Followed]


def read_logs(data: Path, days: Sequence[date] | None = None) -> list[tuple[str, date, list[Second]]]:
    """Name, day and seconds of each phone of each log, in the order of the names; by default without `TUNED_ON`."""
    world = open_replay(data)
    wanted_days = set(world.days.values()) - set(TUNED_ON) if days is None else set(days)
    names = sorted(name for name, day in world.days.items() if day in wanted_days)
    if not names:
        raise SystemExit(f"{data}: no log of {', '.join(map(str, sorted(wanted_days))) or 'any other day'}")
    found: dict[tuple[str, int], list[Second]] = {}
    for node, ue, second in _seconds(world, names):
        found.setdefault((node, ue), []).append(second)
    return [(node, world.days[node], seconds) for (node, _), seconds in sorted(found.items())]


def _seconds(world: ReplayWorld, nodes: Sequence[str]) -> Iterator[tuple[str, int, Second]]:
    wanted = {(node, "ue", PERIOD_MS): MEASUREMENTS for node in nodes}
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        for report in world.reports(wanted):
            for ue, second in zip(report.ue.tolist(), Second.rows_of(report), strict=True):
                yield report.node, ue, second


def follow(seconds: Sequence[Second]) -> dict[int, Followed]:
    """All forecasts of a phone, from knowing nothing, whose second came."""
    phone, scores = Phone(), new_scores()
    known = [second for second in seconds if second.thp_kbps == second.thp_kbps]
    truth = {second.number: second.thp_kbps for second in known}
    rules = rule_forecasts(known)
    rows: dict[int, list[tuple[float, F64, bool, float, bool, bool]]] = {h: [] for h in HORIZONS_S}
    for second, by_rules in zip(known, rules, strict=True):
        for horizon, forecast in phone.observe(second, scores).items():
            y = truth.get(second.number + horizon)
            if y is not None:
                low, high = forecast.interval
                rows[horizon].append(
                    (abs(forecast.kbps - y), np.abs(by_rules - y), low <= y <= high, high - low, *forecast.groups[1:])
                )  # fmt: skip
    return {
        h: Followed(*(np.array(column) for column in zip(*found, strict=True)))
        for h, found in rows.items()
        if found
    }


def rule_forecasts(known: Sequence[Second]) -> F64:
    """What each rule expects after each second, shape [n, len(RULES)].

    An EWMA forgets by elapsed seconds; a mean is that of the seconds that are there.
    """
    numbers = np.array([second.number for second in known])
    kbps = np.array([second.thp_kbps for second in known], np.float64)
    ewma = np.empty((len(known), len(EWMA_S)))
    for i, value in enumerate(kbps):
        gain = -np.expm1((numbers[i - 1] - numbers[i]) / np.array(EWMA_S)) if i else 1.0
        ewma[i] = value if not i else ewma[i - 1] + gain * (value - ewma[i - 1])
    upto, total = np.arange(1, len(known) + 1), np.append(0.0, np.cumsum(kbps))
    means = []
    for s in MEAN_S:
        since = np.searchsorted(numbers, numbers - s, side="right")
        means.append((total[upto] - total[since]) / (upto - since))
    return np.column_stack((kbps, ewma, *means))


class Group(NamedTuple):
    """Sums over the seconds of a group, one row per log that has any."""

    days: list[date]
    n: F64  # [n_logs]
    mixture_kbps: F64  # [n_logs], sums of absolute errors
    rules_kbps: F64  # [n_logs, len(RULES)]

    def best(self, kind: slice = slice(None)) -> int:
        """The rule, of a kind, with the least error in this group."""
        return int(self.rules_kbps.sum(axis=0)[kind].argmin()) + (kind.start or 0)

    def gain_pct(self, rule: int) -> tuple[float, float, float]:
        """Change of the error against a rule, in %, with the 95 % interval over days; below 0 is less error."""
        order = sorted(set(self.days))
        of_day = np.array([order.index(day) for day in self.days])
        ours, theirs = (np.bincount(of_day, sums) for sums in (self.mixture_kbps, self.rules_kbps[:, rule]))
        drawn = np.random.default_rng(SEED).integers(len(order), size=(N_RESAMPLED, len(order)))
        low, high = np.percentile(
            _change_pct(ours[drawn].sum(axis=1), theirs[drawn].sum(axis=1)), [2.5, 97.5]
        )
        return float(_change_pct(ours.sum(), theirs.sum())), float(low), float(high)


def _change_pct(ours: F64, theirs: F64) -> F64:
    return 100 * (ours / np.maximum(theirs, 1e-9) - 1)


def group(logs: Sequence[Log], horizon: int, name: str) -> Group | None:
    """A group of seconds; None if no log has any of them."""
    days, rows = [], []
    for log in logs:
        followed = log.horizons.get(horizon)
        if followed is None or (name in WORDS and name not in log.name):
            continue
        chosen = {"on 5G": followed.on_5g, "downloading": followed.downloading}.get(
            name, np.ones(len(followed.mixture), bool)
        )
        if chosen.any():
            days.append(log.day)
            rows.append((chosen.sum(), followed.mixture[chosen].sum(), followed.rules[chosen].sum(axis=0)))
    return (
        Group(days, *(np.array(column, np.float64) for column in zip(*rows, strict=True))) if rows else None
    )


def errors_table(logs: Sequence[Log]) -> str:
    """Mean absolute errors of each group, each rule at its best, and the change against the best rule of all."""
    lines = [
        f"MAE in kbit/s | logs | seconds | this forecaster | {' | '.join(f'{kind}' for kind in KINDS)} | against the best rule",
        "|".join(["---"] * (5 + len(KINDS))),
    ]
    for horizon in HORIZONS_S:
        for name in GROUPS:
            found = group(logs, horizon, name)
            if found is None:
                continue
            n = found.n.sum()
            best = {kind: found.best(places) for kind, places in KINDS.items()}
            shown = [_with_constant(found.rules_kbps[:, rule].sum() / n, rule) for rule in best.values()]
            change, low, high = found.gain_pct(found.best())
            lines.append(
                f"{horizon} s, {name} | {len(found.n)} | {n:.0f} | {found.mixture_kbps.sum() / n:.0f} | {' | '.join(shown)} | "
                f"{change:+.1f} [{low:+.1f}, {high:+.1f}] %"
            )
    return "\n".join(lines)


def _with_constant(mae_kbps: float, rule: int) -> str:
    constant = RULES[rule].partition(" ")[2]
    return f"{mae_kbps:.0f}" + (f" ({constant})" if constant else "")


def logs_table(logs: Sequence[Log]) -> str:
    """How single logs fare: against rules tuned on all of them, and whether the intervals hold what they promise."""
    lines = [
        "of single logs | " + " | ".join(f"{h} s" for h in HORIZONS_S),
        "|".join(["---"] * (1 + len(HORIZONS_S))),
    ]
    columns = [_single_logs(logs, horizon) for horizon in HORIZONS_S]
    lines += [" | ".join((label, *(column[label] for column in columns))) for label in columns[0]]
    return "\n".join(lines)


def _single_logs(logs: Sequence[Log], horizon: int) -> dict[str, str]:
    everything = group(logs, horizon, "all")
    if everything is None:
        raise SystemExit(f"no log is longer than {horizon} s")
    followed = [log.horizons[horizon] for log in logs if horizon in log.horizons]
    names = [log.name for log in logs if horizon in log.horizons]
    of_logs = everything.rules_kbps
    pair = np.minimum(of_logs[:, 0], of_logs[:, everything.best(KINDS["EWMA"])])
    change = _change_pct(everything.mixture_kbps, pair)
    worst = int(change.argmax())
    own = _change_pct(everything.mixture_kbps, of_logs.min(axis=1))
    held_pct = np.array([100 * one.held.mean() for one in followed])
    bounded = np.concatenate([np.isfinite(one.width_kbps) for one in followed])
    widths = np.concatenate([one.width_kbps for one in followed])[bounded]
    return {
        "logs": str(len(names)),
        "worse by over 1 % than both persistence and the EWMA tuned on all logs": str(
            int((change > 1).sum())
        ),
        "worst log, against the better of these two": f"{change[worst]:+.1f} % ({names[worst]}: "
        f"{everything.mixture_kbps[worst] / everything.n[worst]:.0f} instead of {pair[worst] / everything.n[worst]:.0f} kbit/s)",
        "worse by over 1 % than the best rule, tuned on that very log": str(int((own > 1).sum())),
        f"intervals within 2 points of {COVERAGE_PCT:.0f} %": str(
            int((np.abs(held_pct - COVERAGE_PCT) <= 2).sum())
        ),
        "least and most coverage of a log": f"{held_pct.min():.1f}, {held_pct.max():.1f} %",
        "intervals without an upper end": f"{100 - 100 * bounded.mean():.1f} %",
        "mean width of the others": f"{widths.mean():.0f} kbit/s",
    }


def report(logs: Sequence[Log]) -> str:
    """The section of the README."""
    days = sorted({log.day for log in logs})
    return f"Logs: {len(logs)}, of {len(days)} days.\n\n{errors_table(logs)}\n\n{logs_table(logs)}\n"


def result(logs: Sequence[Log], command: str) -> Result:
    """What `ranloop evaluate` shows: each group, with the change against its best rule in kbit/s."""
    places = []
    for horizon in HORIZONS_S:
        for name in GROUPS:
            found = group(logs, horizon, name)
            if found is None:
                continue
            n, rule = found.n.sum(), found.best()
            rule_kbps = float(found.rules_kbps[:, rule].sum() / n)
            change, low, high = (rule_kbps * pct / 100 for pct in found.gain_pct(rule))
            shown = Shown.YES if high < 0 else Shown.NO if low > 0 else Shown.UNDECIDED
            claim = Change(
                what="mean absolute error less, interval over days",
                unit="kbit/s",
                digits=0,
                rule=rule_kbps,
                ours=float(found.mixture_kbps.sum() / n),
                difference=change,
                low=low,
                high=high,
                word={Shown.YES: "gain", Shown.NO: "harm", Shown.UNDECIDED: "undecided"}[shown],
                shown=shown.name.lower(),
            )
            where = f"{horizon} s ahead, {name}"
            places.append(Place(part="held_out", name=where, n=len(found.n), of="logs", claims=(claim,)))
    return Result(
        xapp="throughput_forecaster",
        kind="model",
        rule="the best of 29 rules for the seconds of each line",
        ours="experts mixed online",
        measured_by=command,
        places=tuple(places),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of G-NetTrack Pro logs (.csv, .csv.gz)"
    )
    parser.add_argument(
        "--days",
        type=date.fromisoformat,
        nargs="+",
        metavar="YYYY-MM-DD",
        help="only logs that begin on these days",
    )
    parser.add_argument(
        "--write", action="store_true", help=f"put the section into {README.name}, and write {RESULT.name}"
    )
    given = parser.parse_args(arguments)
    try:
        read = read_logs(given.data, given.days)
    except RanloopError as wrong:
        raise SystemExit(str(wrong)) from wrong
    logs = [Log(name, day, follow(seconds)) for name, day, seconds in read]
    text = report(logs)
    print(text, end="")
    if given.write:
        RESULT.write_text(result(logs, COMMAND).model_dump_json(indent=1) + "\n", "utf-8")
        before, mark, rest = README.read_text("utf-8").partition(MARKS[0])
        README.write_text(before + mark + text + MARKS[1] + rest.partition(MARKS[1])[2], "utf-8")


if __name__ == "__main__":
    main()
