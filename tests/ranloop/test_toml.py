"""Small TOML files of people: what is refused before it is parsed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from ranloop.errors import ManifestError
from ranloop.toml import read_toml


class Card(BaseModel):
    numbers: tuple[float, ...] = ()
    note: str = ""


def read(folder: Path, text: str) -> Card:
    path = folder / "card.toml"
    path.write_text(text)
    return read_toml(path, Card, missing="no card", error_type=ManifestError)


@pytest.mark.parametrize(
    "key",
    [
        "a." * 32_000 + "a = 1",
        "1." * 16 + "1 = 1",
        '"b c" . ' * 16 + "a = 1",
        '"\\"".' * 16 + "a = 1",
        "'b c'\t." * 16 + "a = 1",
        "[" + "a." * 16 + "a]",
        "x = {y = 1, " + "a." * 16 + "a = 1}",
    ],
    ids=["64 kB", "digits", "quoted", "escaped", "literal", "table", "inline"],
)
def test_a_key_of_many_parts_is_refused_before_it_costs_seconds(tmp_path: Path, key: str) -> None:
    began_s = time.process_time()
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, key)
    assert str(caught.value) == f"{tmp_path / 'card.toml'} has a key of more than 16 parts between dots"
    assert time.process_time() - began_s < 0.5  # tomllib would take 15 s for the first


@pytest.mark.parametrize(
    "text",
    [
        "a" * 65_000,
        " " * 65_000,
        "'" + "a" * 65_000,
        '"' + "\\x" * 32_000,
        "'\"" * 32_000,
        "a.a.a." * 5 + ". " * 30_000,
    ],
    ids=["a word", "blanks", "open", "escapes", "quotes", "dots"],
)
def test_text_that_is_no_toml_takes_no_time_either(tmp_path: Path, text: str) -> None:
    began_s = time.process_time()
    with pytest.raises(ManifestError, match="is not TOML"):
        read(tmp_path, text + "\n=")
    assert time.process_time() - began_s < 0.5


def test_numbers_and_prose_may_have_many_dots(tmp_path: Path) -> None:
    card = read(tmp_path, f'numbers = [{"1.5, " * 40}]\nnote = "{"One. Two e.g. this... " * 40}"')
    assert card.numbers == (1.5,) * 40
    assert card.note.count(".") == 240


def test_a_path_that_no_file_can_have_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"x\\x00' cannot be read: embedded null byte"):
        read_toml(tmp_path / "x\0", Card, missing="no card", error_type=ManifestError)
