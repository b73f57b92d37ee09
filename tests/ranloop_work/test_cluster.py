"""A dask cluster as an executor: tasks of workers that are alike, and one clear line for everything else."""

from __future__ import annotations

import importlib
import operator
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any

import pytest

from ranloop_work import Cluster, Parcel, WorkError
from ranloop_work import cluster as module
from tests.dask_cluster import dask_cluster


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    with dask_cluster() as cluster:
        yield cluster


def weigh(parcels: list[Parcel]) -> int:
    return sum(len(parcel.content) for parcel in parcels)


def test_a_task_is_done_by_a_worker(dask: Any) -> None:
    with Cluster(dask.scheduler_address) as cluster:
        assert cluster.submit(operator.add, 2, 3).result(timeout=30) == 5
        with pytest.raises(ZeroDivisionError):
            cluster.submit(operator.floordiv, 1, 0).result(timeout=30)


def test_a_parcel_is_sent_once_however_many_tasks_hold_it(dask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Cluster(dask.scheduler_address) as cluster:
        sent: list[str] = []
        submit = cluster._client.submit

        def spy(function: Any, *args: Any, **options: Any) -> Any:
            sent.append(options["key"])
            return submit(function, *args, **options)

        monkeypatch.setattr(cluster._client, "submit", spy)
        one, other = Parcel(b"x" * 1000), Parcel(b"y" * 10)
        monkeypatch.setattr(cluster._tasks, "submit", lambda *args, **_: args)
        tasks: Any = [cluster.submit(weigh, [one, other]), cluster.submit(weigh, [Parcel(b"x" * 1000)])]
        assert len(sent) == len(set(sent)) == 2
        assert b"xxxx" not in tasks[0][2]  # the task itself holds none of it
    with Cluster(dask.scheduler_address) as cluster:
        assert cluster.submit(weigh, [one, other]).result(timeout=30) == 1010


def test_a_worker_with_other_versions_or_other_code_refuses_with_both(
    dask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = module._versions(("numba",))
    assert {"python", "ranloop", "numpy", "numba", "code"} == set(here)
    for name in here:
        with Cluster(dask.scheduler_address, alike=("numba",)) as cluster:
            monkeypatch.setattr(cluster, "_versions", {**here, name: "0.0.other"})
            with pytest.raises(
                WorkError,
                match=rf"worker tcp://.* has {name} {here[name]}, here is 0\.0\.other; results could",
            ):
                cluster.submit(operator.add, 2, 3).result(timeout=30)


def test_the_hash_of_our_code_covers_the_sdk_and_the_simulator() -> None:
    for name in ("ranloop", "ranloop_work", "ran_sim"):
        assert name in module._OUR_PACKAGES
    assert len(module._code()) == 16


class OfAnotherVersion:
    """What a worker has no module for."""

    def __reduce__(self) -> Any:
        return importlib.import_module, ("ranloop.of_another_version",)


def test_a_task_that_a_worker_cannot_read_is_one_line(dask: Any) -> None:
    with (
        pytest.raises(
            WorkError, match=r"a worker cannot read the task \(No module named 'ranloop\.of.*install the same"
        ),
        Cluster(dask.scheduler_address) as cluster,
    ):
        cluster.submit(operator.is_, OfAnotherVersion(), None).result(timeout=30)


# -- no cluster ---------------------------------------------------------------------------------------------------


def test_a_missing_extra_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WorkError, match=r"pip install 'ranloop\[cluster\]'"):
        Cluster("tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "want tcp://HOST:PORT or tls://HOST:PORT"),
        ("tcp://127.0.0.1:1", "--on tcp://127.0.0.1:1: no dask scheduler there"),
        ("tcp://", "--on tcp://: want tcp://HOST:PORT"),
        ("tcp://127.0.0.1:nonsense", "want tcp://HOST:PORT"),
        ("tls://127.0.0.1:1", "TLS needs certificates; set DASK_DISTRIBUTED__COMM__TLS__CA_FILE"),
    ],
)
def test_an_address_without_a_scheduler_is_one_line(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(module, "CONNECT_S", 0.3)
    with pytest.raises(WorkError, match=words) as caught:
        Cluster(address)
    assert "\n" not in str(caught.value)


def test_a_scheduler_without_workers_says_how_to_start_one() -> None:
    with (
        dask_cluster(n_workers=0) as dask,
        pytest.raises(WorkError, match="no worker; start: dask worker tcp:"),
    ):
        Cluster(dask.scheduler_address)


def test_a_worker_with_several_threads_refuses() -> None:
    with (
        dask_cluster(threads=2) as dask,
        Cluster(dask.scheduler_address) as cluster,
        pytest.raises(
            WorkError, match="has 2 threads, but a task wants its process alone; start it with --nthr"
        ),
    ):
        cluster.submit(operator.add, 2, 3).result(timeout=30)


# -- what goes away -----------------------------------------------------------------------------------------------


def test_work_without_any_worker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.1)

    def lose_all_workers(dask: Any) -> None:
        with Cluster(dask.scheduler_address, patience_s=0.3) as cluster:
            dask.scale(0)
            while cluster._workers():
                time.sleep(0.01)
            cluster.submit(operator.add, 2, 3).result(timeout=30)

    with (
        dask_cluster() as dask,
        pytest.raises(WorkError, match=r"no worker for 0\.3 s; .*the same call goes on"),
    ):
        lose_all_workers(dask)


def test_a_scheduler_that_goes_ends_the_work_in_one_line() -> None:
    def lose_the_scheduler(dask: Any) -> None:
        with Cluster(dask.scheduler_address) as cluster:
            future = cluster.submit(time.sleep, 1.0)
            dask.close()
            wait([future], timeout=60)
            future.result(timeout=1)

    with (
        dask_cluster() as dask,
        pytest.raises(WorkError, match=r"the scheduler has gone; .*the same call goes on"),
    ):
        lose_the_scheduler(dask)
