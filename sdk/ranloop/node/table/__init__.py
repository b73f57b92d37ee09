"""Tables as RAN nodes: files of many formats, read as a mapping says (docs/tables.md)."""

from ranloop.node.table.address import TableOptions, split_address
from ranloop.node.table.describe import describe_tables
from ranloop.node.table.mapping import TableMapping, load_mapping, shipped_mappings
from ranloop.node.table.opening import SLOT_NS, OpenedTables, open_tables
from ranloop.node.table.start import start_of_mapping

__all__ = (
    "SLOT_NS",
    "OpenedTables",
    "TableMapping",
    "TableOptions",
    "describe_tables",
    "load_mapping",
    "open_tables",
    "shipped_mappings",
    "split_address",
    "start_of_mapping",
)
