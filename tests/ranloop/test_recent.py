"""A bounded dictionary of foreign names."""

from __future__ import annotations

from ranloop.recent import Recent


def test_the_one_that_was_silent_longest_goes_and_is_counted() -> None:
    gone: list[tuple[str, int]] = []
    recent = Recent[str, int](3, lambda name, value: gone.append((name, value)))
    for value, name in enumerate("abc"):
        recent[name] = value
    recent["a"] = 7  # heard again
    recent.touch("b")
    recent.touch("stranger")
    recent["d"] = 3
    assert list(recent) == ["a", "b", "d"]
    assert gone == [("c", 2)]
    assert recent.n_forgotten == 1
