"""Where compiled kernels are kept: a folder per version of the sources, the first that can be written."""

import math
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ran_sim.core.jit import (
    COMPILED,
    KEPT_FOLDERS,
    bare_kernel,
    copy_compiled,
    kernel,
    own_folder,
    remove_old,
    sources_digest,
    writable_cache_folder,
)


def test_digest_changes_with_a_kernel_and_with_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from ran_sim.constants import (\n    X,\n)\n\n@kernel\ndef f(): ...\n")
    (tmp_path / "constants.py").write_text("X = 1\n")
    (tmp_path / "report.py").write_text("from ran_sim.a import f\n")
    digests = [sources_digest(tmp_path)]
    for name, text in (("constants.py", "X = 2\n"), ("a.py", "@bare_kernel\ndef f(): return 1\n")):
        (tmp_path / name).write_text(text)
        digests.append(sources_digest(tmp_path))
    assert len(set(digests)) == 3


def test_digest_does_not_change_with_a_module_that_no_kernel_imports(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("@kernel\ndef f(): ...\n")
    before = sources_digest(tmp_path)
    (tmp_path / "report.py").write_text("from ran_sim.a import f\n")
    assert sources_digest(tmp_path) == before


def test_the_folders_used_longest_ago_are_removed(tmp_path: Path) -> None:
    for age in range(KEPT_FOLDERS + 2):
        (tmp_path / f"numba-{age}").mkdir()
        os.utime(tmp_path / f"numba-{age}", (1000 - age, 1000 - age))
    (current := tmp_path / "numba-new").mkdir()
    remove_old(current)
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"numba-new", *(f"numba-{age}" for age in range(KEPT_FOLDERS - 1))}


def test_cache_goes_to_the_first_folder_that_can_be_written(tmp_path: Path) -> None:
    # A file where the folder should be refuses everyone, also a superuser whom permissions do not stop.
    (blocked := tmp_path / "blocked").write_text("")
    assert writable_cache_folder(iter([blocked, tmp_path]), "abc") == tmp_path / "numba-abc"


def test_kernels_compiled_beforehand_are_copied_if_all_of_them_are_there(tmp_path: Path) -> None:
    given, folder = tmp_path / "given", tmp_path / "folder"
    (given / "from-python").mkdir(parents=True)
    folder.mkdir()
    (given / "from-python" / "a.nbi").write_text("code")
    copy_compiled(given, folder)  # half compiled: the mark of all is missing
    assert list(folder.iterdir()) == []
    (given / COMPILED).touch()
    copy_compiled(given, folder)
    assert (folder / "from-python" / "a.nbi").read_text() == "code"
    assert (folder / COMPILED).exists()
    (folder / "from-python" / "a.nbi").write_text("newer")
    copy_compiled(given, folder)
    assert (folder / "from-python" / "a.nbi").read_text() == "newer"
    copy_compiled(tmp_path / "nowhere", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_no_cache_where_nothing_can_be_written(tmp_path: Path) -> None:
    (blocked := tmp_path / "blocked").write_text("")
    assert writable_cache_folder(iter([blocked]), "abc") is None


UNIX = pytest.mark.skipif(
    not hasattr(os, "geteuid"), reason="this system has a temporary folder for each user"
)


@UNIX
def test_the_folder_among_others_is_named_after_its_user_and_closed_to_the_others(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    assert folder == tmp_path / f"ranloop-{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert own_folder(tmp_path) == folder


@UNIX
@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    own_folder(tmp_path).chmod(mode)
    with pytest.raises(PermissionError, match=r"ranloop-\d+ is not a folder that we alone can write to"):
        own_folder(tmp_path)


@UNIX
def test_a_link_in_the_place_of_our_folder_is_refused(tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"ranloop-{os.geteuid()}").symlink_to(elsewhere)
    with pytest.raises(PermissionError):
        own_folder(tmp_path)


@UNIX
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(own_folder(tmp_path), 65534, 65534)
    with pytest.raises(PermissionError):
        own_folder(tmp_path)


def nowhere_to_write(tmp_path: Path) -> dict[str, str]:
    """An environment where neither cache folder can be made, also not by root, and the temporary one is not ours."""
    (file := tmp_path / "file").write_text("")
    (tmp_path / "shared").mkdir()
    own_folder(tmp_path / "shared").chmod(0o777)
    return {
        "HOME": str(file / "home"),
        "XDG_CACHE_HOME": str(file / "cache"),
        "TMPDIR": str(tmp_path / "shared"),
    }


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@UNIX
def test_where_nothing_can_be_kept_kernels_work_and_one_line_says_so(tmp_path: Path) -> None:
    places = nowhere_to_write(tmp_path)
    code = (
        "from ran_sim.core import jit\n"
        "assert jit.CACHE_FOLDER is None\n"
        "print(jit.bare_kernel(lambda x: 2 * x)(21))"
    )
    done = run_python(code, **places)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "ran_sim: " in line]
    assert f"ranloop-{os.geteuid()} is not a folder that we alone can write to" in line
    assert "nothing that is compiled is kept" in line
    assert not list((tmp_path / "shared").glob("ranloop-*/*"))


@UNIX
@pytest.mark.slow
def test_where_nothing_can_be_kept_a_slot_runs(tmp_path: Path) -> None:
    code = (
        "from ran_sim.engine import Engine\n"
        "from ran_sim.scenario import load_scenario\n"
        "engine = Engine(load_scenario('one-cell'), seed=1)\n"
        "engine.run_until(1)\n"
        "print(engine.slot)"
    )
    done = run_python(code, **nowhere_to_write(tmp_path))
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_both_decorators_compile_the_same_function() -> None:
    def total(n: int) -> int:
        result = 0
        for i in range(n):
            result += i
        return result

    assert kernel(total)(10) == bare_kernel(total)(10) == 45


def test_a_kernel_answers_kernels_and_python_alike() -> None:
    @bare_kernel
    def twice(x: int) -> int:
        return 2 * x

    @bare_kernel
    def four_times(x: int) -> int:
        return twice(twice(x))

    assert four_times(3) == 12
    assert twice(x=3) == 6


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_a_bare_kernel_is_compiled_without_an_entry_for_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ran_sim.core.jit.CACHE_FOLDER", None)  # code from there cannot be inspected

    @bare_kernel
    def inner(x: int) -> int:
        return x + 1

    @bare_kernel
    def outer(x: int) -> int:
        return inner(x)

    assert outer(1) == 2
    (compiled,) = inner.overloads.values()  # type: ignore[attr-defined]  # because numba's dispatcher has no types
    assert "cpython" not in compiled.library.get_llvm_str()
    # Nor one for kernels, which never call it.
    assert not outer.overloads  # type: ignore[attr-defined]  # because numba's dispatcher has no types


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_nobody_else_can_call_what_a_kernel_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ran_sim.core.jit.CACHE_FOLDER", None)  # code from there cannot be inspected
    steps = "".join(
        f"    x = math.sin(x) + {i}.0\n" for i in range(60)
    )  # too long to be copied into its caller
    scope: dict[str, Any] = {"math": math}
    exec(f"def inner(x):\n{steps}    return x", scope)  # noqa: S102  # our own source
    inner: Callable[[float], float] = bare_kernel(scope["inner"])

    @bare_kernel
    def outer(x: float) -> float:
        return float(inner(x) + inner(x + 1.0))

    assert outer(1.0) == scope["inner"](1.0) + scope["inner"](2.0)
    (whole,) = outer.from_python().overloads.values()  # type: ignore[attr-defined]  # because numba's dispatcher has no types
    defined = [line for line in whole.library.get_llvm_str().splitlines() if line.startswith("define ")]
    assert sum("inner" in line for line in defined) == 1
    assert all("internal" in line for line in defined if "outer" not in line)
