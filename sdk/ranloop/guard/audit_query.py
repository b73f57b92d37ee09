"""Reads an audit log back: what became of each target, why, in whose words, and who holds it until when.

The log says what has changed (`audit_lines`), so a reader has to follow it from the beginning of a file: which targets a line
without them is about, and which settings are held.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from ranloop.errors import NodeError
from ranloop.guard.audit_inferences import is_fact
from ranloop.vocabulary import ACTIONS
from ranloop.vocabulary.model import ActionSpec

__all__ = ("AuditReader", "Happening", "Verdict")

MAX_LINE_BYTES = 1 << 22  # a line lists 1,024 targets at most
_MOST_NAMED = 5  # damaged lines, one by one
_MOST_KEYS, _MOST_HELD = (
    4096,
    1_000_000,
)  # that are followed at a time: an xApp may name nodes that do not exist

_Line = Mapping[str, Any]
_Target = tuple[int, ...]
_Key = tuple[str, str, str]  # node, xApp, action


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one line says about one target.

    Attributes:
        time: Wall clock, ISO 8601 in UTC.
        ran_time_s: RAN time of the run.
        id: Of the batch.
        target: Id column -> dense id, as in the node's reports.
        parameters: The values that were asked for, or those in force after a setting ended; None for no value.
        verdict: Such as "applied", "refused" or "ended".
        cause: Why, or "" if it was applied.
        text: The guard's words.
        holder: xApp whose setting is in force there after it; "" if none is, or the log does not tell.
        held_until_s: RAN time at which that setting ends if nobody renews it.
        asked: What each model was asked and said about the target, as far as the log lists it.
        inferences: Where the answers of placed models came from, as in the log; of repeated batches together.
        repeats: Further batches that met the same fate up to here and have no line of their own.
    """

    time: str
    run: str
    ran_time_s: float
    node: str
    xapp: str
    id: str
    action: str
    target: Mapping[str, int]
    parameters: Mapping[str, float | None]
    verdict: str
    cause: str = ""
    text: str = ""
    holder: str = ""
    held_until_s: float | None = None
    inferences: tuple[Mapping[str, Any], ...] = ()
    repeats: int = 0
    asked: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A line about no target: an order, an xApp that came or went, records that are missing."""

    time: str
    run: str
    ran_time_s: float | None
    node: str
    xapp: str
    event: str
    facts: Mapping[str, Any]


@dataclass(slots=True)
class _Spelled:
    """The targets that the lines about one xApp, action and node are about now, each with its last verdict."""

    verdicts: dict[_Target, Verdict] = field(default_factory=dict)
    is_told: bool = True  # False while all of it lies before the time that is asked for


class AuditReader:
    """Reads a log, its rotated files included, oldest line first.

    Args:
        path: The file that `--audit` named.
        since: Lines from this wall clock on are told; earlier ones are only followed.

    Attributes:
        n_lines: Lines read.
        n_damaged: Lines that are no record.
        damaged: The first of them, each as "file:line: reason".

    Raises:
        NodeError: There is no such log, or it cannot be read.
    """

    def __init__(self, path: Path, *, since: datetime | None = None) -> None:
        self.n_lines = self.n_damaged = 0
        self.damaged: list[str] = []
        self._paths, self._since = _files(path), since
        self._spelled: dict[_Key, _Spelled] = {}
        self._held: dict[
            tuple[str, str, _Target], tuple[str, float]
        ] = {}  # (node, action, target) -> xApp, until
        self._runs: dict[str, tuple[str, int]] = {}  # node -> run, RAN time of its last line

    def __iter__(self) -> Iterator[Verdict | Happening]:
        for place, raw in self._lines():
            self.n_lines += 1
            try:
                told = self._take(_record(raw))
            except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                self.n_damaged += 1
                if self.n_damaged <= _MOST_NAMED:
                    self.damaged.append(f"{place}: {_fault(error)}")
                continue
            yield from told

    def records(self) -> Iterator[bytes]:
        """The lines that are records, as they stand; in place of iterating over what they say."""
        for place, raw in self._lines():
            self.n_lines += 1
            try:
                line = _record(raw)
                str(line["event"]), str(line["time"])
            except (ValueError, TypeError, KeyError) as error:
                self.n_damaged += 1
                if self.n_damaged <= _MOST_NAMED:
                    self.damaged.append(f"{place}: {_fault(error)}")
                continue
            yield raw

    def _lines(self) -> Iterator[tuple[str, bytes]]:
        """(file and number, bytes) of each line; all files are open from the start, so that a rotation loses none."""
        with ExitStack() as stack:
            try:
                files: list[tuple[Path, BinaryIO]] = [
                    (path, stack.enter_context(path.open("rb"))) for path in self._paths
                ]
                for path, file in files:
                    for number in itertools.count(1):
                        raw = file.readline(MAX_LINE_BYTES)
                        if not raw:
                            break
                        while not raw.endswith(b"\n") and (more := file.readline(MAX_LINE_BYTES)):
                            raw = b"" if not more.endswith(b"\n") else b"\n"  # far too long: no record
                        yield f"{path.name}:{number}", raw
            except OSError as error:
                raise NodeError(f"audit log {error.filename}: cannot be read ({error.strerror})") from error

    # One line

    def _take(self, line: _Line) -> Sequence[Verdict | Happening]:
        is_asked = self._since is None or datetime.fromisoformat(line["time"]) >= self._since
        node, run = str(line.get("node", "")), str(line.get("run", ""))
        if node and line["event"] not in (
            "renewed",
            "left_out",
        ):  # they may be told late, behind an order that came after it
            former, last_ns = self._runs.get(node, (run, 0))
            if former != run or line["ran_time_ns"] < last_ns:
                self._forget(node)
            self._runs[node] = run, int(line["ran_time_ns"])
        match line["event"]:
            case "result" | "ended" if "targets" in line:
                return self._verdicts(line, is_asked=is_asked)
            case "renewed":
                told = self._renewed(line)
                return told if is_asked else ()
        if not is_asked:
            return ()
        head = ("time", "event", "run", "node", "xapp", "ran_time_ns")
        ran_time_ns = line.get("ran_time_ns")
        return [
            Happening(
                time=str(line["time"]),
                run=run,
                ran_time_s=None if ran_time_ns is None else ran_time_ns / 1e9,
                node=node,
                xapp=str(line.get("xapp", "")),
                event=str(line["event"]),
                facts={key: fact for key, fact in line.items() if key not in head},
            )
        ]

    def _forget(self, node: str) -> None:
        """The host of `node` was started again."""
        self._held = {key: held for key, held in self._held.items() if key[0] != node}
        self._spelled = {key: spelled for key, spelled in self._spelled.items() if key[0] != node}

    def _verdicts(self, line: _Line, *, is_asked: bool) -> list[Verdict]:
        rows = [*_rows(line)]  # all of them, before anything is noted: the line may be damaged
        key = str(line["node"]), str(line["xapp"]), str(line["action"])
        if line["event"] == "ended":
            for target, _ in rows:
                self._held.pop((key[0], key[2], target), None)
            return [verdict for _, verdict in rows] if is_asked else []
        self._keep_small(line["ran_time_ns"] / 1e9)
        told: list[Verdict] = []
        if "since" in line:
            spelled = self._spelled.setdefault(key, _Spelled())
            listed = {target for target, _ in rows}
            same = {target: one for target, one in spelled.verdicts.items() if target not in listed}
            told = self._again(key, same, line)
            told = [] if spelled.is_told else told  # they were told when they came about
        else:
            spelled = self._spelled[key] = _Spelled()
        for target, verdict in rows:
            if verdict.verdict == "applied" and "held_until_ns" in line:
                self._held[key[0], key[2], target] = verdict.xapp, line["held_until_ns"] / 1e9
            spelled.verdicts[target] = verdict
            told.append(self._with_holder(key, target, verdict))
        spelled.is_told = is_asked
        return told if is_asked else []

    def _renewed(self, line: _Line) -> list[Verdict]:
        """The same verdicts again, for all targets of the batch that the line renews."""
        key = str(line["node"]), str(line["xapp"]), str(line["action"])
        return self._again(key, self._spelled.setdefault(key, _Spelled()).verdicts, line)

    def _again(self, key: _Key, verdicts: Mapping[_Target, Verdict], line: _Line) -> list[Verdict]:
        """Verdicts that `line` repeats without listing their targets."""
        self._extend(key, verdicts, line)
        now: dict[str, Any] = {
            "time": str(line["time"]),
            "ran_time_s": line["ran_time_ns"] / 1e9,
            "id": str(line["id"]),
            "inferences": _inferences(line),
            "repeats": int(line.get("n", 1)),
        }
        return [
            self._with_holder(key, target, replace(verdict, **now)) for target, verdict in verdicts.items()
        ]

    def _keep_small(self, now_s: float) -> None:
        """Let go of what a damaged or forged log would let grow for ever."""
        if len(self._spelled) > _MOST_KEYS:
            self._spelled.clear()
            self._runs.clear()
        if len(self._held) > _MOST_HELD:
            self._held = {place: held for place, held in self._held.items() if held[1] >= now_s}

    def _extend(self, key: _Key, verdicts: Mapping[_Target, Verdict], line: _Line) -> None:
        """Targets that `line` does not list are held longer, too."""
        if "held_until_ns" not in line:
            return
        until_s = line["held_until_ns"] / 1e9
        for target, verdict in verdicts.items():
            place = key[0], key[2], target
            if verdict.verdict == "applied" and self._held.get(place, ("",))[0] == key[1]:
                self._held[place] = key[1], until_s

    def _with_holder(self, key: _Key, target: _Target, verdict: Verdict) -> Verdict:
        holder, until_s = self._held.get((key[0], key[2], target), ("", None))
        return replace(verdict, holder=holder, held_until_s=until_s)


def _files(path: Path) -> list[Path]:
    """The files of a log, the oldest first."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    older = [*itertools.takewhile(lambda file: file.is_file(), numbered)]
    files = [*reversed(older), *([path] if path.is_file() else [])]
    if not files:
        raise NodeError(
            f"{path}: there is no audit log; `--audit FILE` of ranloop host or ranloop run writes one"
        )
    return files


def _record(raw: bytes) -> _Line:
    line = json.loads(raw)
    if not isinstance(line, dict):
        raise TypeError("no JSON object")
    return line


def _fault(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "no JSON"
    return f"without {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__


def _rows(line: _Line) -> Iterator[tuple[_Target, Verdict]]:
    """Each listed target with its verdict."""
    spec = ACTIONS[line["action"]].spec
    fates = [fate for n, fate in line["status"] for _ in range(int(n))]
    values = line.get("parameters") or line.get("applied") or []
    causes, asked = line.get("causes", {}), line.get("asked", ())
    if not len(fates) == len(line["targets"]) == len(values or fates):
        raise ValueError("targets, values and verdicts are not of one length")
    inferences = _inferences(line)
    for row, (ids, fate) in enumerate(zip(line["targets"], fates, strict=True)):
        verdict, _, label = str(fate).partition("/")
        yield (
            tuple(int(one) for one in ids),
            Verdict(
                time=str(line["time"]),
                run=str(line["run"]),
                ran_time_s=line["ran_time_ns"] / 1e9,
                node=str(line["node"]),
                xapp=str(line["xapp"]),
                id=str(line["id"]),
                action=spec.name,
                target=(target := dict(zip(spec.targets, map(int, ids), strict=True))),
                asked=tuple(found for one in asked if (found := _about(one, target))),
                parameters=_parameters(spec, values[row] if values else ()),
                verdict=verdict,
                cause=label.partition("#")[0],
                text=str(causes.get(label, "")),
                inferences=inferences,
            ),
        )


def _about(asked: Mapping[str, Any], target: Mapping[str, int]) -> dict[str, Any]:
    """The part about one target of what a model was asked and said; {} if there is none."""
    ids = asked.get("ids", {})
    common = ids.keys() & target.keys()
    rows = zip(*(ids[name] for name in common), strict=True)
    wanted = tuple(target[name] for name in common)
    row = next((row for row, found in enumerate(rows) if found == wanted), None)
    if row is None:
        return {}
    inputs = asked["inputs"][row] if asked.get("inputs") else []
    return {
        "model": str(asked["model"]),
        "version": str(asked.get("version", "")),
        "inputs": dict(zip(asked.get("features", ()), inputs, strict=False)) or inputs,
        "outputs": asked["outputs"][row],
        "outside": [*asked.get("outside", ())],
    }


def _inferences(line: _Line) -> tuple[Mapping[str, Any], ...]:
    """Where the answers of placed models came from.

    Raises:
        ValueError: One of them is damaged.
    """
    told = tuple(line.get("inferences", ()))
    if not all(map(is_fact, told)):
        raise ValueError("an entry of inferences is damaged")
    return told


def _parameters(spec: ActionSpec, values: Iterable[float | None]) -> dict[str, float | None]:
    return dict(zip(spec.parameter_names, values, strict=False))
