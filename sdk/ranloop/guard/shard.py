"""Shards of nodes: one xApp program as N processes, each of which decides at a part of the nodes.

A node's shard follows from its name alone, so hosts, guards and xApps of any language agree on it without asking each other.
Every node is in exactly one of N shards. CRC-32 is linear: numbered names fall evenly where N is a power of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self
from zlib import crc32

__all__ = ("NodeShard", "program_of")

MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class NodeShard:
    """The `number`-th, from 1, of `count` shards."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2/4` as the second of four.

        Raises:
            ValueError: Anything else.
        """
        number, _, count = text.partition("/")
        if all(part.isascii() and part.isdigit() and len(part) <= 4 for part in (number, count)):
            shard = cls(int(number), int(count))
            if 1 <= shard.number <= shard.count <= MOST:
                return shard
        raise ValueError(
            f"{text[:20]!r}: want I/N, the I-th of N shards, such as 1/4 to 4/4; N at most {MOST}"
        )

    @classmethod
    def of(cls, node: str, count: int) -> Self:
        """The one of `count` shards that has the node: the CRC-32 (that of zlib) of its name, modulo `count`, plus 1."""
        return cls(crc32(node.encode()) % count + 1, count)

    def has(self, node: str) -> bool:
        """Whether the node is in this shard."""
        return NodeShard.of(node, self.count) == self

    def name_of(self, program: str) -> str:
        """The name under which this shard of an xApp is on the bus: `mine-2of4`."""
        return f"{program}-{self.number}of{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def program_of(xapp: str, shard: NodeShard | None) -> str:
    """The name that all shards of an xApp have in common."""
    return xapp if shard is None else xapp.removesuffix(shard.name_of(""))
