"""The workers of a dask cluster as a `concurrent.futures.Executor`, so that they stand in for processes of this machine.

Bits must not depend on where a task runs. Each task therefore looks first whether its worker has the versions and the code of
the caller, and refuses if not. A worker that dies has its task done again by another.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar

from ranloop_work.errors import WorkError

__all__ = ("Cluster", "check_alike")

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S: Final = 10.0
PATIENCE_S: Final = 60.0  # without any worker, before the work is given up
_LOOK_EVERY_S: Final = 5.0
_OUR_PACKAGES: Final = ("ranloop", "ranloop_work", "ran_sim")


class Cluster(Executor):
    """The workers behind a dask scheduler.

    Args:
        address: tcp://HOST:PORT, or tls://HOST:PORT with the certificates of dask's own configuration.
        alike: Distributions that must have the same version on a worker, beside Python, NumPy and ours.
        patience_s: Time without any worker after which the work is given up.

    Raises:
        WorkError: dask is not installed, no scheduler answers, or it has no worker. Leaving the `with` block raises it too,
            in place of an error that says that the cluster is gone.
    """

    def __init__(self, address: str, *, alike: Sequence[str] = (), patience_s: float = PATIENCE_S) -> None:
        try:
            from distributed import Client, Security
        except ImportError as error:
            raise WorkError(
                f"--on {address} needs an optional part: pip install 'ranloop[cluster]'"
            ) from error
        if not re.fullmatch(r"(tcp|tls)://[^/]+:\d{1,5}", address):
            raise WorkError(f"--on {address}: want tcp://HOST:PORT or tls://HOST:PORT of a dask scheduler")
        self._address, self._patience_s = address, patience_s
        self._versions = _versions(tuple(alike))
        try:
            security = Security()  # of dask's configuration
            if address.startswith("tls://") and not security.get_connection_args("client")["ssl_context"]:
                raise WorkError(
                    f"--on {address}: TLS needs certificates; set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
                    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
                )
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # other versions of dask's parts; ours are checked by each task
                self._client: Any = Client(
                    address, timeout=CONNECT_S, set_as_default=False, security=security
                )
        except (OSError, ValueError) as error:
            raise WorkError(f"--on {address}: no dask scheduler there ({_first_line(error)})") from error
        self._tasks = self._client.get_executor(pure=False)
        self._sent: dict[str, Any] = {}  # sha256 -> dask future of a buffer
        self._left_alone = False
        self._ended = threading.Event()
        if not self._workers():
            self.shutdown()
            raise WorkError(f"--on {address}: the scheduler has no worker; start: {_start_line(address)}")
        threading.Thread(target=self._watch, name="ranloop_work[cluster].watch", daemon=True).start()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function of an importable module on a worker."""
        buffers: list[pickle.PickleBuffer] = []
        task = pickle.dumps(partial(function, *args, **kwargs), protocol=5, buffer_callback=buffers.append)
        sent = [self._send(bytes(buffer.raw())) for buffer in buffers]
        future: Future[T] = self._tasks.submit(_carry_out, self._versions, task, *sent)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Give the workers up; tasks that are not done are dropped, since their results would reach nobody."""
        self._ended.set()
        self._tasks.shutdown(wait=False)
        self._client.close(timeout=CONNECT_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from distributed.scheduler import KilledWorker

        self.shutdown()
        goes_on = "the same call goes on from what was kept"
        if isinstance(error, KilledWorker):
            raise WorkError(f"--on {self._address}: a task ended several workers, see their logs; {goes_on}")
        if isinstance(error, CancelledError):
            gone = f"no worker for {self._patience_s:g} s" if self._left_alone else "the scheduler has gone"
            raise WorkError(f"--on {self._address}: {gone}; {goes_on}")
        if isinstance(error, ImportError | AttributeError) and not isinstance(error, WorkError):
            raise WorkError(
                f"--on {self._address}: a worker cannot read the task ({_first_line(error)}); "
                "install the same ranloop there"
            ) from error

    def _send(self, content: bytes) -> Any:
        """The future of bytes that the cluster gets once. It is a task with a key, so it survives the worker that holds it."""
        key = f"ranloop-{hashlib.sha256(content).hexdigest()}"
        if key not in self._sent:
            self._sent[key] = self._client.submit(bytes, content, key=key)
        return self._sent[key]

    def _workers(self) -> Sequence[str]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"])

    def _watch(self) -> None:
        """Drop all tasks if no worker is there for too long: nobody would ever do them."""
        alone_s = 0.0
        while not self._ended.wait(_LOOK_EVERY_S):
            try:
                alone_s = 0.0 if self._workers() else alone_s + _LOOK_EVERY_S
            except Exception:  # noqa: BLE001 the scheduler has gone, which the futures tell, or the work has just ended
                alone_s = 0.0
            if alone_s >= self._patience_s:
                self._left_alone = True
                self._tasks.shutdown(wait=False)
                return


def check_alike(there: Mapping[str, object], here: Mapping[str, object]) -> None:
    """Compare what results depend on, at a worker, with the same at the caller.

    Raises:
        WorkError: They differ.
    """
    for name, wanted in here.items():
        if (found := there.get(name)) != wanted:
            raise WorkError(
                f"worker {_worker().address}: has {name} {found or 'of no kind'}, here is {wanted}; results could differ, "
                "so use workers with the same"
            )


def _carry_out(versions: Mapping[str, str], task: bytes, *buffers: bytes) -> Any:
    """At a worker: do a task, if the worker is fit for it."""
    worker = _worker()
    if (threads := worker.state.nthreads) != 1:
        raise WorkError(
            f"worker {worker.address}: has {threads} threads, but a task wants its process alone; "
            "start it with --nthreads 1, and --nworkers for more"
        )
    check_alike(_versions(tuple(versions)), versions)
    return pickle.loads(task, buffers=buffers)()


@cache
def _versions(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of Python, NumPy and the distributions of these names, and a hash of our own sources."""
    found = {"python": platform.python_version()}
    for name in dict.fromkeys(("ranloop", "numpy", *names)):
        if name not in ("python", "code"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = "none"
    return found | {"code": _code()}


@cache
def _code() -> str:
    total = hashlib.sha256()
    for package in _OUR_PACKAGES:
        for place in (spec.submodule_search_locations or ()) if (spec := find_spec(package)) else ():
            for path in sorted(Path(place).rglob("*.py")):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(f"{path.relative_to(place).as_posix()}\0{content}\n".encode())
    return total.hexdigest()[:16]


def _worker() -> Any:
    from distributed import get_worker

    return get_worker()


def _start_line(address: str) -> str:
    return f"dask worker {address} --nthreads 1 --nworkers N"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
