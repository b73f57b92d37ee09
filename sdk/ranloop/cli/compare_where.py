"""Where the drops of a comparison are run and kept: this machine or a cluster, all of them or a shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ranloop.errors import RanloopError
from ranloop.evaluate import Task
from ranloop_work import Shard, shards_left

__all__ = ("Where",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where drops are run and kept.

    Attributes:
        out: Folder that keeps them.
        on: Address of a dask scheduler whose workers run them.
        shard: Only these drops are run, and nothing is judged.
        merge: None is run: all must be there.
    """

    out: Path | None
    on: str | None = None
    shard: Shard | None = None
    merge: bool = False

    @classmethod
    def typed(cls, out: Path | None, *, on: str | None, shard: str | None, merge: bool) -> Where:
        """As the command line says it.

        Raises:
            RanloopError: Options that do not fit together.
            WorkError: `shard` is none.
        """
        if shard and merge:
            raise RanloopError("--shard does a part and --merge collects the parts; leave one of them out")
        if merge and on is not None:
            raise RanloopError("--merge runs nothing, so it needs no --on; leave one of them out")
        if out is None and (shard or merge):
            raise RanloopError(f"{'--shard' if shard else '--merge'} needs --out, the folder of all shards")
        return cls(out=out, on=on, shard=Shard.parse(shard) if shard else None, merge=merge)

    def part_of(self, seeds: Sequence[int]) -> Sequence[int]:
        """The seeds that are run and read."""
        return self.shard.of(seeds) if self.shard else seeds

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Keep the shard, if it is one, to this process."""
        if self.shard is None or self.out is None:
            yield
        else:
            with self.shard.at_work(self.out):
                yield

    def check_complete(self, seeds: Sequence[int], left: Sequence[Task]) -> None:
        """Refuse to merge while drops are `left`.

        Raises:
            RanloopError: One or more are.
        """
        if self.merge and left and self.out is not None:
            missing = sorted({task.seed for task in left})
            whose = shards_left(self.out, [list(seeds).index(seed) for seed in missing])
            raise RanloopError(
                f"--out {self.out}: {len(missing)} of {len(seeds)} drops are missing "
                f"({whose or f'the first is seed {missing[0]}'}); run them first"
            )
