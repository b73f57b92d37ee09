"""A dictionary for names that anybody may make up: it keeps those heard of last, and counts those that it let go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

__all__ = ("Recent",)

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """Keeps at most `most` entries; where one more comes, the one goes that was silent longest.

    Args:
        most: Entries that are kept.
        on_forget: Told of each entry that goes for want of room.

    Attributes:
        n_forgotten: How many went.
    """

    def __init__(self, most: int, on_forget: Callable[[K, V], object] = lambda key, value: None) -> None:
        super().__init__()
        self._most, self._on_forget = most, on_forget
        self.n_forgotten = 0

    def __setitem__(self, key: K, value: V) -> None:
        """Keep an entry, which has just been heard of."""
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        """Let the entry go that was silent longest."""
        self.n_forgotten += 1
        self._on_forget(*self.popitem(last=False))

    def touch(self, key: K) -> None:
        """Note that `key` has been heard of, if it is here."""
        if key in self:
            self.move_to_end(key)
