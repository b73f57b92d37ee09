"""A folder travels whole, and equal folders are equal bytes."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from ranloop_work import Parcel, WorkError


def fill(folder: Path) -> Path:
    for name, content in {
        "app.py": b"x = 1\n",
        "deep/er/model.bin": bytes(range(256)),
        ".git/HEAD": b"no",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_folder_is_laid_out_as_it_was_without_what_no_run_gets(tmp_path: Path) -> None:
    os.chmod(fill(tmp_path / "a") / "app.py", 0o755)
    Parcel.of(tmp_path / "a").unpack(tmp_path / "b")
    found = {str(path.relative_to(tmp_path / "b")) for path in (tmp_path / "b").rglob("*") if path.is_file()}
    assert found == {"app.py", "deep/er/model.bin"}
    assert (tmp_path / "b/deep/er/model.bin").read_bytes() == bytes(range(256))
    assert os.access(tmp_path / "b/app.py", os.X_OK)


def test_equal_folders_are_equal_bytes_whenever_they_were_written(tmp_path: Path) -> None:
    one, other = fill(tmp_path / "a"), fill(tmp_path / "b")
    os.utime(other / "app.py", (1, 1))
    assert Parcel.of(one) == Parcel.of(other)
    (other / "app.py").write_text("x = 2\n")
    assert Parcel.of(one) != Parcel.of(other)


def test_a_parcel_comes_whole_out_of_a_pickle(tmp_path: Path) -> None:
    parcel = Parcel.of(fill(tmp_path))
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(parcel, protocol=5, buffer_callback=buffers.append)
    assert pickle.loads(text, buffers=buffers) == pickle.loads(pickle.dumps(parcel, protocol=5)) == parcel


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="nowhere cannot be packed for other machines"):
        Parcel.of(tmp_path / "nowhere")
