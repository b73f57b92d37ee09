"""A dask scheduler with workers in threads of this process: the real protocol over TCP, at the price of a moment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def dask_cluster(n_workers: int = 1, threads: int = 1) -> Iterator[Any]:
    """A `LocalCluster`; the test is skipped where dask is not installed."""
    distributed = pytest.importorskip("distributed", reason="needs pip install 'ranloop[cluster]'")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with distributed.LocalCluster(
        n_workers=n_workers,
        threads_per_worker=threads,
        processes=False,
        dashboard_address="127.0.0.1:0",
        protocol="tcp://",
    ) as cluster:
        yield cluster
