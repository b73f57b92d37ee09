"""Shards: the jobs of a batch system share one list of items, and each does every N-th.

A shard is marked by a file in the folder of results, which is locked while the shard is at work and stays. The marks say
later how many shards there are, and therefore which one a missing result belongs to.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from ranloop_work.errors import WorkError

__all__ = ("Shard", "shards_left")

T = TypeVar("T")

MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`-th, from 1, of `count` shards."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`3/8` as the third of eight.

        Raises:
            WorkError: Anything else.
        """
        number, slash, count = text.partition("/")
        if slash and number.isascii() and number.isdigit() and count.isascii() and count.isdigit():
            shard = cls(int(number), int(count))
            if 1 <= shard.number <= shard.count <= MOST:
                return shard
        raise WorkError(
            f"--shard {text}: want I/N, the I-th of N shards, such as 1/8 to 8/8; N at most {MOST}"
        )

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """This shard's items: the shards of all numbers have each item once."""
        return items[self.number - 1 :: self.count]

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @contextmanager
    def at_work(self, folder: Path) -> Iterator[None]:
        """Mark the shard in `folder`, and keep it to this process.

        Raises:
            WorkError: The folder has shards of another count, which would overlap, or this one is at work.
        """
        if count := _count(folder, but=self.count):
            raise WorkError(
                f"--shard {self}: {folder} has shards of {count}, which overlap with it; want I/{count} or another place"
            )
        with (folder / f"shard-{self.number}-of-{self.count}").open("wb") as mark:
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise WorkError(
                    f"--shard {self}: is at work in {folder} already; leave it or take another one"
                ) from error
            yield


def shards_left(folder: Path, missing: Iterable[int]) -> str:
    """The shards that the items at these places of the list belong to: "shards 3/8 and 5/8", or "" if none has marked `folder`."""
    if not (count := _count(folder)):
        return ""
    names = [f"{number}/{count}" for number in sorted({place % count + 1 for place in missing})]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"shard{'s' if len(names) > 1 else ''} {shown}"


def _count(folder: Path, but: int | None = None) -> int:
    counts = {int(mark.name.rpartition("-")[2]) for mark in folder.glob("shard-*-of-[0-9]*")}
    return max(counts - {but}, default=0)
