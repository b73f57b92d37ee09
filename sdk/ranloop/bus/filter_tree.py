"""Topic filters as a tree of their levels: which of thousands want a topic, or cover another filter, is found in a few steps."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ("FilterTree",)


class _Branch:
    __slots__ = ("below", "filter")

    def __init__(self) -> None:
        self.below: dict[str, _Branch] = {}
        self.filter: str | None = None  # that ends here


class FilterTree:
    """A set of topic filters. One filter covers another if every topic that matches the other one matches it."""

    def __init__(self) -> None:
        self._root = _Branch()

    def add(self, topic_filter: str) -> None:
        branch = self._root
        for level in topic_filter.split("/"):
            branch = branch.below.setdefault(level, _Branch())
        branch.filter = topic_filter

    def remove(self, topic_filter: str) -> None:
        """Forget a filter of the set, and the branches that led to it alone."""
        levels = topic_filter.split("/")
        path = [self._root]
        for level in levels:
            path.append(path[-1].below[level])
        path[-1].filter = None
        for above, level in zip(reversed(path[:-1]), reversed(levels), strict=True):
            branch = above.below[level]
            if branch.below or branch.filter is not None:
                break
            del above.below[level]

    def covering(self, narrow: str) -> list[str]:
        """The filters that cover `narrow`, a filter or a topic; of a topic they are those that match it."""
        branches, found = [self._root], list[str]()
        for depth, level in enumerate(narrow.split("/")):
            wild = depth > 0 or not narrow.startswith("$")  # clause 4.7.2
            onward = []
            for branch in branches:
                below = branch.below
                if wild and (rest := below.get("#")) is not None and rest.filter is not None:
                    found.append(rest.filter)
                if level != "#" and wild and (any_one := below.get("+")) is not None:
                    onward.append(any_one)
                if level not in ("+", "#") and (same := below.get(level)) is not None:
                    onward.append(same)
            branches = onward
        for branch in branches:
            if branch.filter is not None:
                found.append(branch.filter)
            if (rest := branch.below.get("#")) is not None and rest.filter is not None:
                found.append(rest.filter)  # `a/#` wants `a`, too
        return found

    def covered_by(self, wide: str) -> list[str]:
        """The filters that `wide` covers, itself among them if it is one of the set."""
        branches = [self._root]
        for depth, level in enumerate(wide.split("/")):
            if level == "#":
                return [
                    one
                    for branch in branches
                    for one in _filters(branch)
                    if depth > 0 or not one.startswith("$")
                ]
            if level == "+":
                branches = [
                    further
                    for branch in branches
                    for name, further in branch.below.items()
                    if name != "#" and (depth > 0 or not name.startswith("$"))
                ]
            else:
                branches = [branch.below[level] for branch in branches if level in branch.below]
        return [branch.filter for branch in branches if branch.filter is not None]


def _filters(branch: _Branch) -> Iterator[str]:
    if branch.filter is not None:
        yield branch.filter
    for further in branch.below.values():
        yield from _filters(further)
