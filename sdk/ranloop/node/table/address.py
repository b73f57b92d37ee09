"""Addresses of tables: `PATH?mapping=NAME&zone=ZONE`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ranloop.errors import NodeError
from ranloop.node.table.mapping import TableMapping
from ranloop.vocabulary.near import near_matches

__all__ = ("TableOptions", "split_address")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What an address says about its tables, over what their mappings say.

    Attributes:
        mapping: Names or .toml files, separated by commas; "" recognises each table by its header.
    """

    mapping: str = ""
    zone: str = ""
    time_format: str = ""
    period_ms: str = ""
    decimal: str = ""
    rows: str = ""

    def over(self, mapping: TableMapping) -> TableMapping:
        """The mapping with these options in it.

        Raises:
            NodeError: One of them is no such value.
        """
        time = {"zone": self.zone, "format": self.time_format}
        own: dict[str, object] = {"decimal": self.decimal, "rows": self.rows}
        if self.period_ms:
            if not (self.period_ms.isascii() and self.period_ms.isdigit() and int(self.period_ms[:9])):
                raise NodeError(f"?period_ms={self.period_ms}: want a whole number of milliseconds")
            own["period_ms"] = int(self.period_ms)
        changed = {key: value for key, value in own.items() if value}
        changed_time = {key: value for key, value in time.items() if value}
        if not changed and not changed_time:
            return mapping
        fields = mapping.model_dump() | changed
        fields["time"] |= changed_time
        try:
            return TableMapping.model_validate(fields)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            told = wrong["msg"].removeprefix("Value error, ")
            raise NodeError(f"?{wrong['loc'][-1]}={wrong['input']}: {told}") from error


def split_address(target: str) -> tuple[Path, TableOptions]:
    """The path and the options of PATH?mapping=NAME&zone=ZONE; a path that exists as it stands has none.

    Raises:
        NodeError: There is no such option.
    """
    place, mark, query = target.rpartition("?")
    if not mark or Path(target).exists():
        return Path(target), TableOptions()
    given = {key: value for key, _, value in (part.partition("=") for part in query.split("&"))}
    names = TableOptions.__slots__
    for name in given:
        if name not in names:
            near = " or ".join(near_matches(name, names)) or ", ".join(names)
            raise NodeError(f"{target}: no option {name!r} for a table; want {near}")
    return Path(place), TableOptions(**given)
