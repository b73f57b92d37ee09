"""A start for a mapping, from the names of a table's columns and some of its values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ranloop.errors import NodeError, VocabularyError
from ranloop.foreign import one_line
from ranloop.node.table.clock import found_format
from ranloop.node.table.json_rows import JsonTable
from ranloop.node.table.mapping import TableMapping
from ranloop.node.table.source import Piece, RawTable
from ranloop.node.table.units import factor_to_catalogue
from ranloop.vocabulary import ID_COLUMNS, LEVELS, MEASUREMENTS, Level, measurement
from ranloop.vocabulary.near import near_matches

__all__ = ("as_toml", "by_names", "guessed")

BY_NAMES = "by-names"
# What columns are usually called, without case and signs.
_TIMES = (
    "timestamp",
    "time",
    "datetime",
    "tstamp",
    "ts",
    "utctime",
    "localtime",
    "rantimens",
    "measurementtime",
    "collecttime",
)
_IDS: Mapping[str, tuple[str, ...]] = {
    "ue": ("ue", "ueid", "uename", "imsi", "supi", "rnti", "crnti", "ueindex", "ranueid", "device", "imei"),
    "cell": ("cell", "cellid", "cellname", "nci", "ncgi", "nrcellidentity", "nrcellid", "servingcellid", "pci", "rawcellid", "eci"),
    "slice": ("slice", "sliceid", "slicename", "snssai", "sst"),
    "five_qi": ("fiveqi", "5qi", "qci"),
    "measured_cell": ("measuredcell", "measuredcellname", "neighbourcell", "neighborcell"),
}  # fmt: skip
# Parts of names of columns -> measurements to think of. `dl` and `ul` choose the direction.
_HINTS: Mapping[str, tuple[str, ...]] = {
    "rsrp": ("RSRP", "L1M.DL-SS-RSRP"),
    "rsrq": ("RSRQ",),
    "sinr": ("X.UE.Snr", "SINR", "L1M.DL-SS-SINR"),
    "snr": ("X.UE.Snr",),
    "rssi": ("X.UE.Rssi",),
    "cqi": ("CQI",),
    "mcs": ("X.UE.MeanMcsDl",),
    "thp|thr|thput|tput|brate|bitrate|rate": ("DRB.UEThpDl", "DRB.UEThpUl", "X.UE.AppThpDl", "X.UE.AppThpUl"),
    "prb|rb": ("RRU.PrbTotDl", "RRU.PrbTotUl", "RRU.PrbUsedDl", "RRU.PrbUsedUl"),
    "vol|byte|traffic": (
        "DRB.RlcSduTransmittedVolumeDL",
        "DRB.RlcSduTransmittedVolumeUL",
        "DRB.PdcpSduVolumeDL",
    ),
    "buf|queue|backlog": ("X.DRB.BufferedVolDl",),
    "delay|latency": ("DRB.RlcSduDelayDl", "DRB.AirIfDelayDl"),
    "drop|loss": ("DRB.RlcPacketDropRateDl",),
    "speed|veloc": ("X.UE.Speed",),
    "ues|user|conn": ("RRC.ConnMean", "DRB.MeanActiveUeDl"),
    "power|pwr": ("X.Cell.TxPower", "PEE.AvgPower"),
    "energy": ("PEE.Energy",),
    "handover|ho_": ("MM.HoExeIntraReq", "MM.HoExeIntraSucc"),
}
_IN_BRACKETS = re.compile(r"(?P<name>.*?)\s*[\[(](?P<unit>[^\])]+)[\])]\s*")


@dataclass(frozen=True, slots=True)
class Guess:
    """What the names of a table's columns say.

    Attributes:
        columns: Column -> (measurement, unit of the table or "").
        near: Column that has no exact name -> measurements to think of.
    """

    time: tuple[str, ...]
    level: Level
    ids: Mapping[str, str]
    columns: Mapping[str, tuple[str, str]]
    near: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def guessed(header: Sequence[str]) -> Guess:
    """What the columns of a header are, by their names alone."""
    names = [name for name in header if name]
    plain = {name: re.sub(r"[^a-z0-9]", "", name.lower()) for name in names}
    time = _time(names, plain)
    ids = {
        column: next(name for word in words for name in names if plain[name] == word)
        for column, words in _IDS.items()
        if any(plain[name] in words for name in names)
    }
    columns = {name: found for name in names if name not in ids.values() and (found := _exact(name))}
    level = _level(ids, [found for found, _ in columns.values()])
    at_level = {name: found for name, found in columns.items() if level in MEASUREMENTS[found[0]].levels}
    once = {name: found for name, found in at_level.items() if name == _first(at_level, found[0])}
    known = {*time, *(name for column, name in ids.items() if column in ID_COLUMNS[level]), *once}
    near = {name: _near(name, (level,) if ids else LEVELS) for name in names if name not in known}
    return Guess(time, level, {c: name for c, name in ids.items() if c in ID_COLUMNS[level]}, once, near)


def by_names(header: Sequence[str]) -> TableMapping | None:
    """The mapping of a table whose columns are called as in the catalogue; None if there is no such table."""
    guess = guessed(header)
    if not (guess.time and guess.columns):
        return None
    try:
        return TableMapping.model_validate(
            {
                "name": BY_NAMES,
                "level": guess.level,
                "time": {"column": guess.time, "format": "ns" if guess.time == ("ran_time_ns",) else ""},
                "ids": guess.ids,
                "columns": {
                    name: {"measurement": found, "unit": unit}
                    for name, (found, unit) in guess.columns.items()
                },
            }
        )
    except ValueError:
        return None


def as_toml(path: Path, table: RawTable, rows: str = "") -> str:
    """A start for the mapping of a table, as the text of a TOML file; what is not sure stands in comments.

    Args:
        rows: Way to the rows of the table, as in a mapping.
    """
    sample: Piece = next(table.pieces(tuple(dict.fromkeys(name for name in table.header if name))), {})
    guess = guessed(table.header)
    lists = table.lists if isinstance(table, JsonTable) else ()
    time = guess.time or _by_values(path, sample)
    name = re.sub(r"[^a-z0-9_-]+", "-", path.name.split(".")[0].lower()).strip("-_")
    lines = [
        f"# A start for a mapping of {one_line(path.name)}. Check each line; docs/tables.md explains the keys.",
        f"name = {json.dumps(name if name[:1].isalpha() else f'table-{name}'.strip('-'))}",
        f'level = "{guess.level}"  # {" | ".join(LEVELS)}',
        "# period_ms = 1000  # found from the times if it is not given",
        *([f"rows = {_text(rows)}"] if rows else ()),
        *(f"# rows = {_text(way)}  # start again with ?rows={way}" for way in lists if way != rows),
        "",
        "[time]",
        f"column = {_text(list(time) if len(time) > 1 else time[0])}"
        if time
        else '# column = ""  # which one?',
        *_time_lines(path, time, sample),
        "",
        "[ids]",
        *(f"{column} = {_text(name)}" for column, name in guess.ids.items()),
        *(f'# {column} = ""' for column in ID_COLUMNS[guess.level] if column not in guess.ids),
        "",
        "[columns]",
    ]
    for column, (found, unit) in guess.columns.items():
        value = f'{{ measurement = "{found}", unit = "{unit}" }}' if unit else f'"{found}"'
        lines.append(f"{_text(column)} = {value}")
    for column, near in guess.near.items():
        if column not in time:
            lines += [f"# {_text(column)} = {line}" for line in _suggested(column, near, sample)]
    return "\n".join(lines) + "\n"


def _time(names: Sequence[str], plain: Mapping[str, str]) -> tuple[str, ...]:
    date = next((name for name in names if plain[name] == "date"), "")
    clock = next((name for name in names if plain[name] == "time"), "")
    if date and clock:
        return date, clock
    found = next((name for word in _TIMES for name in names if plain[name] == word), "")
    return (found,) if found else ()


def _by_values(path: Path, sample: Piece) -> tuple[str, ...]:
    """The first column whose values are times with a date."""
    for name, values in sample.items():
        try:
            fmt = found_format(str(path), name, values)
        except NodeError:
            continue
        if fmt == "iso" or "%d" in fmt:
            return (name,)
    return ()


def _time_lines(path: Path, time: Sequence[str], sample: Piece) -> Iterator[str]:
    if not time:
        return
    values = [
        " ".join(map(str, parts)) for parts in zip(*(sample.get(name, ()) for name in time), strict=True)
    ]
    try:
        fmt = found_format(str(path), " ".join(time), values)
    except NodeError as error:
        yield f'# format = ""  # {one_line(str(error).split(": ", 1)[1], 300)}'
        return
    yield f'format = "{fmt}"'
    if fmt not in ("s", "ms", "us", "ns"):
        yield '# zone = "Europe/Dublin"  # of times that name no zone'


def _exact(name: str) -> tuple[str, str] | None:
    """The measurement that a column is called after, and its unit where it stands in brackets and can be converted."""
    match = _IN_BRACKETS.fullmatch(name)
    for spelling, unit in ((name, ""), (match["name"], match["unit"]) if match else ("", "")):
        try:
            entry = measurement(spelling)
            if unit:
                factor_to_catalogue(unit, entry)
        except (VocabularyError, ValueError):
            continue
        return entry.name, "" if unit == entry.unit else unit
    return None


def _first(columns: Mapping[str, tuple[str, str]], measured: str) -> str:
    """The first of the columns that are one measurement."""
    return next(name for name, (found, _) in columns.items() if found == measured)


def _level(ids: Mapping[str, str], found: Sequence[str]) -> Level:
    """The level that the ids speak for, and most measurements have."""
    likely: list[Level] = [level for level in LEVELS if ID_COLUMNS[level][0] in ids] or ["ue", "cell"]
    wanted = ("measured_cell", "five_qi")
    possible = [
        level for level in likely if all(c in ids for c in wanted if c in ID_COLUMNS[level])
    ] or likely
    rank: dict[Level, int] = {"ue_cell": 0, "qos_flow": 1, "ue": 2, "slice": 3, "cell": 4}
    return min(
        possible, key=lambda level: (-sum(level in MEASUREMENTS[name].levels for name in found), rank[level])
    )


def _near(name: str, levels: Sequence[Level]) -> tuple[str, ...]:
    of_level = [entry.name for entry in MEASUREMENTS.values() if set(levels) & set(entry.levels)]
    match = _IN_BRACKETS.fullmatch(name)
    text = (match["name"] if match else name).lower()
    hinted = [
        found
        for words, names in _HINTS.items()
        if re.search(words, text)
        for found in names
        if found in of_level
    ]
    other = "Ul|UL" if re.search(r"dl|down|tx_", text) else "Dl|DL" if re.search(r"ul|up|rx_", text) else "^$"
    directed = [found for found in hinted if not re.search(other, found)]
    return tuple(dict.fromkeys([*near_matches(text, of_level), *(directed or hinted)]))[:3]


def _suggested(column: str, near: Sequence[str], sample: Piece) -> Iterator[str]:
    value = next((value for value in sample.get(column, ()) if value not in (None, "", "-")), "")
    such_as = f"  # such as {one_line(str(value), 40)}" if value != "" else ""
    if not near:
        yield f'""{such_as}; no measurement is near' if such_as else '""  # no measurement is near'
        return
    match = _IN_BRACKETS.fullmatch(column)
    unit = match["unit"] if match else MEASUREMENTS[near[0]].unit
    others = f"; or {', '.join(near[1:])}" if near[1:] else ""
    yield f'{{ measurement = "{near[0]}", unit = {_text(unit)} }}{such_as}{others}'


def _text(value: object) -> str:
    """A value as TOML spells it: as JSON, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
