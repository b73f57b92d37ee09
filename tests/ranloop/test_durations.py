"""Durations in buckets: each is counted once, at the first edge that it does not exceed."""

from __future__ import annotations

import pytest

from ranloop.durations import EDGES_NS, Durations


@pytest.mark.parametrize(
    ("took_ns", "bucket"),
    [
        (0, 0),
        (10_000, 0),
        (10_001, 1),
        (1_000_000, EDGES_NS.index(1_000_000)),
        (10_000_000_001, len(EDGES_NS)),
    ],
)
def test_a_duration_is_in_the_bucket_of_the_first_edge_that_it_does_not_exceed(
    took_ns: int, bucket: int
) -> None:
    durations = Durations()
    durations.add(took_ns)
    assert [at for at, count in enumerate(durations.counts) if count] == [bucket]


def test_all_are_counted_and_the_last_are_kept_as_they_are() -> None:
    durations = Durations(keep=2)
    for took_ns in (5, 6, 7):
        durations.add(took_ns)
    assert (durations.n, durations.sum_ns, list(durations.last)) == (3, 18, [6, 7])


def test_edges_ascend() -> None:
    assert list(EDGES_NS) == sorted(set(EDGES_NS))
