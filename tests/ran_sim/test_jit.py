"""Where compiled kernels are kept: a folder per version of the sources, the first that can be written."""

from pathlib import Path

from ran_sim._jit import bare_kernel, kernel, sources_digest, writable_cache_folder


def test_digest_changes_with_any_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    first = sources_digest(tmp_path)
    assert sources_digest(tmp_path) == first
    (tmp_path / "b.py").write_text("y = 1\n")
    second = sources_digest(tmp_path)
    (tmp_path / "b.py").write_text("y = 2\n")
    assert len({first, second, sources_digest(tmp_path)}) == 3


def test_cache_goes_to_the_first_folder_that_can_be_written(tmp_path: Path) -> None:
    # A file where the folder should be refuses everyone, also a superuser whom permissions do not stop.
    (blocked := tmp_path / "blocked").write_text("")
    assert writable_cache_folder(iter([blocked, tmp_path]), "abc") == tmp_path / "ranloop" / "numba-abc"


def test_no_cache_where_nothing_can_be_written(tmp_path: Path) -> None:
    (blocked := tmp_path / "blocked").write_text("")
    assert writable_cache_folder(iter([blocked]), "abc") is None


def test_both_decorators_compile_the_same_function() -> None:
    def total(n: int) -> int:
        result = 0
        for i in range(n):
            result += i
        return result

    assert kernel(total)(10) == bare_kernel(total)(10) == 45
