"""Shards: together they have each item once, and a folder tells them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranloop_work import Shard, WorkError, shards_left


@pytest.mark.parametrize("count", [1, 3, 8, 20])
def test_the_shards_of_all_numbers_have_each_item_once(count: int) -> None:
    items = list(range(13))
    parts = [Shard(number, count).of(items) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1  # equal work


@pytest.mark.parametrize(
    "text", ["", "3", "0/8", "9/8", "1/0", "-1/8", "1/8/2", "a/b", "1/99999", "1.0/8", "²/8"]
)
def test_anything_but_the_ith_of_n_is_refused(text: str) -> None:
    with pytest.raises(WorkError, match="want I/N, the I-th of N shards, such as 1/8 to 8/8"):
        Shard.parse(text)


def test_a_shard_is_kept_to_one_process_and_others_work_beside_it(tmp_path: Path) -> None:
    one = Shard.parse("1/2")
    with (
        one.at_work(tmp_path),
        Shard.parse("2/2").at_work(tmp_path),
        pytest.raises(WorkError, match=r"--shard 1/2: is at work in .* already"),
        one.at_work(tmp_path),
    ):
        pass
    with one.at_work(tmp_path):  # it may come again
        pass


def test_shards_of_another_count_would_overlap_and_are_refused(tmp_path: Path) -> None:
    with Shard.parse("2/3").at_work(tmp_path):
        pass
    with (
        pytest.raises(WorkError, match=r"--shard 2/4: .* has shards of 3, which overlap with it; want I/3"),
        Shard.parse("2/4").at_work(tmp_path),
    ):
        pass


def test_what_is_missing_is_told_by_shard(tmp_path: Path) -> None:
    assert shards_left(tmp_path, [0, 5]) == ""
    with Shard.parse("2/3").at_work(tmp_path):
        pass
    assert shards_left(tmp_path, [4, 1]) == "shard 2/3"  # places 1 and 4 of 0 1 2 | 3 4 5
    assert shards_left(tmp_path, [0, 2, 5]) == "shards 1/3, 3/3"
