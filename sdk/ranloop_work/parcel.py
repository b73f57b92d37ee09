"""A folder as bytes, to be laid out on another machine."""

from __future__ import annotations

import io
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ranloop_work.errors import WorkError

__all__ = ("UNCOPIED", "Parcel")

UNCOPIED: Final = frozenset(("__pycache__", ".git"))  # what a run gets no copy of


@dataclass(frozen=True, slots=True)
class Parcel:
    """All files below a folder, but for `UNCOPIED`; equal folders give equal bytes.

    Attributes:
        content: A tar archive.
    """

    content: bytes

    @classmethod
    def of(cls, folder: Path) -> Parcel:
        """Pack a folder.

        Raises:
            WorkError: It cannot be read.
        """
        buffer = io.BytesIO()
        try:
            with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
                folder.stat()  # or an error: a folder that is not there has no files
                for path in sorted(folder.rglob("*")):
                    name = path.relative_to(folder)
                    if path.is_file() and not UNCOPIED.intersection(name.parts):
                        content = path.read_bytes()
                        entry = tarfile.TarInfo(name.as_posix())
                        entry.size, entry.mode = len(content), path.stat().st_mode & 0o777
                        tar.addfile(entry, io.BytesIO(content))
        except OSError as error:
            raise WorkError(f"{folder} cannot be packed for other machines: {error}") from error
        return cls(buffer.getvalue())

    def unpack(self, folder: Path) -> None:
        """Lay the files out below `folder`, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(self.content)) as tar:
            tar.extractall(folder, filter="data")

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Out of band: `Cluster` sends a buffer once, however many tasks hold it.
        return Parcel._received, (pickle.PickleBuffer(self.content),)

    @staticmethod
    def _received(content: Any) -> Parcel:
        return Parcel(bytes(content))
