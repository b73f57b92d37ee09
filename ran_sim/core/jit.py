"""`kernel` and `bare_kernel`, the decorators of everything that numba compiles, and where machine code is kept.

Compiled kernels are cached in `<cache>/ranloop/numba-<hash of all kernel sources>`: numba itself looks only at the file
that a function stands in, so a changed callee in another module would go unseen; with the hash in the path a changed
source gets a fresh folder, and the folders that were used longest ago are removed. `<cache>` is the user's cache folder
(`$XDG_CACHE_HOME` or `~/.cache` on Linux). Where it cannot be written, it is a folder in the temporary one that is ours
alone, because its content is run. Where none can be used, kernels are compiled anew in each process, and a warning says so.

`RAN_SIM_KERNELS` names a folder with kernels compiled beforehand, as in a container image: they are copied from there, since
numba uses only folders that it can write to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import platformdirs

P = ParamSpec("P")
R = TypeVar("R")


KEPT_FOLDERS = (
    4  # of the versions used last: a few MB each, and a worker of another version may still be running
)
COMPILED = "compiled"  # a file in the cache folder, there when all that a run needs is (`engine.first_use`)
PACKAGE = Path(__file__).parents[1]
_IMPORT = re.compile(r"^\s*from ran_sim\.([\w.]+) import ([\w, ]*)", re.MULTILINE)


def kernel_sources(folder: Path) -> list[str]:
    """Modules ("room/module") under the package's `folder` that define kernels, and those they import, transitively."""
    texts = {
        path.relative_to(folder).with_suffix("").as_posix(): path.read_text("utf-8")
        for path in sorted(folder.rglob("*.py"))
    }
    found: set[str] = set()
    todo = [name for name, text in texts.items() if re.search(r"^@(bare_)?kernel\b", text, re.MULTILINE)]
    while todo:
        module = todo.pop()
        if module in found or module not in texts:
            continue
        found.add(module)
        for place, names in _IMPORT.findall(texts[module]):
            path = place.replace(".", "/")
            todo += [path, f"{path}/__init__", *(f"{path}/{name}" for name in re.findall(r"\w+", names))]
    return sorted(found)


def sources_digest(folder: Path, *others: str) -> str:
    """Hash of the names and contents of the kernel sources in `folder`, and of `others`; 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for module in (*kernel_sources(folder), *others):
        digest.update(module.encode() + b"\0" + (folder / f"{module}.py").read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def remove_old(folder: Path) -> None:
    """Remove all cache folders beside `folder` but the `KEPT_FOLDERS` used last; `folder` counts as used now."""
    os.utime(folder)
    siblings = sorted(folder.parent.glob("numba-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in siblings[KEPT_FOLDERS:]:
        shutil.rmtree(old, ignore_errors=True)


def own_folder(shared: Path) -> Path:
    """Our folder inside a folder where other users may write; made if missing.

    Raises:
        PermissionError: The folder belongs to another user, or others may write to it: its files may not be ours.
    """
    uid = os.geteuid() if hasattr(os, "geteuid") else None  # Windows has a temporary folder for each user
    folder = shared / ("ranloop" if uid is None else f"ranloop-{uid}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()  # a link could be led elsewhere later on
    if uid is not None and (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != uid
        or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise PermissionError(f"{folder} is not a folder that we alone can write to")
    return folder


def _roots() -> Iterator[Path]:
    """Folders for caches, in order of preference."""
    yield platformdirs.user_cache_path("ranloop")
    try:
        shared = Path(tempfile.gettempdir())
    except FileNotFoundError:  # a machine without any folder that can be written
        return
    yield own_folder(shared)


def writable_cache_folder(roots: Iterator[Path], digest: str) -> Path | None:
    """The first `root/numba-<digest>` that a file can be created in, made if missing; None if there is none."""
    for root in roots:
        folder = root / f"numba-{digest}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


def copy_compiled(given: Path, folder: Path) -> None:
    """Fill `folder` with the kernels in `given`, if `folder` is not complete and `given` is; the mark of that comes last."""
    if (folder / COMPILED).exists() or not (given / COMPILED).exists():
        return
    with contextlib.suppress(OSError, shutil.Error):  # a full disk keeps nothing
        shutil.copytree(given, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(COMPILED, "lock"))
        (folder / COMPILED).touch()


def _prepare() -> Path | None:
    reason = "no folder for compiled kernels can be written"
    try:
        folder = writable_cache_folder(_roots(), sources_digest(PACKAGE))
    except OSError as error:  # from `own_folder`: others can write to the folder in the temporary one
        folder, reason = None, str(error)
    if folder is not None:
        if given := os.environ.get("RAN_SIM_KERNELS"):
            copy_compiled(Path(given) / folder.name, folder)
        remove_old(folder)
    else:
        warnings.warn(
            f"ran_sim: {reason}: nothing that is compiled is kept, each process compiles it anew (about a minute); "
            "point XDG_CACHE_HOME at a folder that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )
    return folder


CACHE_FOLDER = _prepare()


def compiled_before() -> bool:
    """Whether this version's kernels are compiled and kept: a start takes 2 s, and waits for no compilation."""
    return CACHE_FOLDER is not None and (CACHE_FOLDER / COMPILED).exists()


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, compiled on its first call and kept where possible.

    `nogil` lets independent engines run in threads. No `fastmath`: it lets the compiler reorder sums, which changes
    the last bits from one CPU to the next. Division by zero follows IEEE 754 as in NumPy.
    """
    return _compiled(function, reference_counts=True)


def bare_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel without reference counts, for functions that make no array (views are fine) and return scalars.

    numba counts references to every array of every NamedTuple that passes a call, atomically: 800 ns for a call with 18
    arrays, against 15 ns without. The caller holds the arrays for the whole run, so nothing needs to be counted. A
    function that does make an array fails to compile.
    """
    return _compiled(function, reference_counts=False)


def _compiled(function: Callable[P, R], *, reference_counts: bool) -> Callable[P, R]:
    try:
        import numba  # here, so that `compiled_before` can be asked without paying for the import
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ran_sim needs numba: pip install 'ranloop[sim]'", name="numba") from error

    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # because numba sets its options at run time
        return function
    from ran_sim.core.whole_module import Inner

    options = {
        "nopython": True,
        "nogil": True,
        "error_model": "numpy",
        "_nrt": reference_counts,
        "no_cfunc_wrapper": True,
        "no_cpython_wrapper": True,
    }
    return cast(Callable[P, R], _two_doors()(function, targetoptions=options, pipeline_class=Inner))


def bound(function: Callable[P, R], *examples: Any) -> Callable[P, R]:
    """Kernel `function` for calls from Python whose arguments have the types of `examples`, which it is compiled for.

    On each ordinary call numba finds out the arguments' types anew: a millisecond for NamedTuples of a hundred arrays.
    """
    if not hasattr(function, "from_python"):  # numba's JIT is switched off
        return function
    dispatcher = function.from_python()
    return cast(Callable[P, R], dispatcher.compile(tuple(map(dispatcher.typeof_pyval, examples))))


@cache
def _two_doors() -> type:
    """The class of kernels: compiled to be part of other kernels, and, on Python's first call, once more to be called by it.

    Only the second is machine code, kept where possible: with all its parts, see `whole_module`.
    """
    from numba.core.registry import CPUDispatcher

    from ran_sim.core.whole_module import Whole

    class Kernel(CPUDispatcher):
        _twin: Any = None

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.from_python()(*args, **kwargs)

        def add_overload(self, made: Any) -> None:
            self.overloads[tuple(made.signature.args)] = made  # no address for Python to call

        def from_python(self) -> Any:
            if self._twin is None:
                options = {**self.targetoptions, "no_cpython_wrapper": False}
                self._twin = CPUDispatcher(self.py_func, targetoptions=options, pipeline_class=Whole)
                if CACHE_FOLDER is not None:
                    from ran_sim.core.kept_code import keep

                    keep(self._twin, CACHE_FOLDER)
            return self._twin

        @property
        def signatures(self) -> list[Any]:
            """Signatures compiled so far, for kernels and for Python."""
            return [*super().signatures, *(self._twin.signatures if self._twin else ())]

    return Kernel
