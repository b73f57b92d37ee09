"""Text that others wrote, on an operator's terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ranloop.foreign import one_line, some_lines


@given(text=st.text(), most=st.integers(1, 50))
def test_one_line_is_printable_and_short(text: str, most: int) -> None:
    shown = one_line(text, most)
    assert shown.isprintable()
    assert len(shown) <= most + 1


def test_what_is_harmless_stays_as_it_is() -> None:
    assert one_line("Zelle 7, Süd: 3 dB") == "Zelle 7, Süd: 3 dB"
    assert one_line("a\nb\tc") == "a b c"
    # U+202E turns the rest of a line around.
    assert one_line("\x1b[31mred\u202e") == "\ufffd[31mred\ufffd"


def test_some_lines_keeps_the_last_lines_and_cleans_each() -> None:
    assert some_lines("a\n  b\x07\nc", 100) == "a\n  b\ufffd\nc"
    assert some_lines("x" * 50 + "\nend", 10) == "xxxxxx\nend"
