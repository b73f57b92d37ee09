"""Machine code on disk: numba's cache files with a checksum, so that a damaged one is compiled anew.

numba hands the content of its files to the linker as it is, and the process aborts if it is not what was written. A file that is
damaged, cannot be read or cannot be written counts as not there; the first time a process meets one, a warning says so.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from numba.core import caching, config

__all__ = ("keep",)

_DIGEST_BYTES = 32
_config: Any = config
_IndexDataCacheFile: Any = caching.IndexDataCacheFile  # numba ships no types


def keep(compiled: Any, folder: Path) -> None:
    """Keep in `folder` what numba compiles for `compiled` (a dispatcher or a C callback)."""
    _config.CACHE_DIR = str(folder)
    compiled.enable_caching()
    theirs = compiled._cache._cache_file
    path = Path(theirs._index_path)
    compiled._cache._cache_file = _CheckedFiles(str(path.parent), path.stem, theirs._source_stamp)


class _CheckedFiles(_IndexDataCacheFile):  # type: ignore[misc]  # because its base has no types
    """The index and the data files of one function. Each begins with the SHA-256 of the rest."""

    def load(self, key: Hashable) -> Any:
        """The data saved under `key`; None if there are none that can be used."""
        try:
            name = self._load_index().get(key)
            return None if name is None else self._read(Path(self._data_path(name)))
        except FileNotFoundError:  # removed by another version that cleaned up
            return None
        except Exception as error:  # noqa: BLE001 whatever is wrong with a file, it is compiled anew
            _warn(f"{self._index_path}: {error}")
            return None

    def save(self, key: Hashable, data: Any) -> None:
        """Save `data` under `key`; a file that cannot be written is warned of."""
        try:
            super().save(key, data)
        except OSError as error:
            _warn(str(error))

    def _load_index(self) -> dict[Hashable, str]:
        try:
            stamp, names = self._read(Path(self._index_path))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            _warn(str(error))
            return {}
        found: dict[Hashable, str] = names if stamp == self._source_stamp else {}
        return found

    def _save_index(self, overloads: dict[Hashable, str]) -> None:
        with self._open_for_write(self._index_path) as file:
            file.write(self._dump((self._source_stamp, overloads)))

    def _dump(self, obj: object) -> bytes:
        data: bytes = super()._dump(obj)
        return hashlib.sha256(data).digest() + data

    @staticmethod
    def _read(path: Path) -> Any:
        content = path.read_bytes()
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            raise ValueError(f"{path}: the file is damaged")
        return pickle.loads(data)


_warned = False


def _warn(reason: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"ran_sim: kept machine code cannot be used and is compiled anew: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
