"""The models that may run where an operator gave `--trust DIR`: signed by a key of the folder, unaltered, and not too old."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import RootModel

from ranloop.errors import ModelError
from ranloop.inference.card import Card
from ranloop.inference.onnx_file import refused
from ranloop.inference.signature import SIGNATURE_FILE, key_id, read_public_key, statement_of
from ranloop.toml import read_toml

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ("LEAST_FILE", "Trust", "load_trust", "version_of")

LEAST_FILE = "least.toml"
MAX_KEYS = 64
_VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}")
Version = tuple[int, ...]


class _Least(RootModel[dict[str, str]]):
    """Model -> least version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The keys of a folder, and the operator's least versions.

    Attributes:
        keys: Name of the file without its suffix -> public key.
        least: Model -> the least version that may run.
    """

    keys: Mapping[str, Ed25519PublicKey]
    least: Mapping[str, str] = field(default_factory=dict)

    def admit(self, folder: Path, card: Card, files: Mapping[str, bytes], *, running: str = "") -> str:
        """The name of the key that has signed a package.

        Args:
            folder: The package.
            card: Its card.
            files: The content of each of its files as it was read, by name; what is signed is these bytes.
            running: Version that the package is to take the place of, "" for none.

        Raises:
            ModelError: It is not signed, or by no key of these; a file is not the one that was signed; it is older than the
                version that runs or than the operator's least; or it uses an operator that is not allowed.
        """
        statement, key = statement_of(folder / SIGNATURE_FILE, self.keys)
        for name, content in files.items():
            if statement.files.get(name) != hashlib.sha256(content).hexdigest():
                raise ModelError(
                    f"{folder / name} is not the file that {key} has signed; restore it, or have the package signed again"
                )
        said = statement.predicate
        if (said.name, said.version) != (card.name, card.version):
            raise ModelError(f"{folder}: {key} has signed {said.name} {said.version}, the card is of another")
        version = version_of(card.version, folder)
        for least, why in ((running, "which runs"), (self.least.get(card.name, ""), f"of {LEAST_FILE}")):
            if least and version < version_of(least, folder):
                raise ModelError(
                    f"{folder}: version {card.version} of {card.name} is older than {least}, {why}; "
                    "to go back, sign the older file under a newer version"
                )
        for name, content in files.items():
            if name == card.file and (why := refused(content, allowed_only=True)):
                raise ModelError(f"{folder / name} is refused: {why}")
        return key

    def shown(self) -> list[str]:
        """Each key with the first digits of its id."""
        return [f"{name} ({key_id(key)[:12]})" for name, key in self.keys.items()]


def load_trust(folder: Path) -> Trust:
    """The public keys `*.pem` of a folder, and its `least.toml` (model = "least version") if there is one.

    Raises:
        ModelError: There is no folder, no key, or a file that is neither; one line.
        MissingExtraError: The `trust` extra is not installed.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder} is no folder; --trust takes one with public keys, NAME.pem")
    paths = sorted(folder.glob("*.pem"))
    if not paths:
        raise ModelError(
            f"{folder} has no public key; put the signers' NAME.pem there (ranloop model key makes a pair)"
        )
    if len(paths) > MAX_KEYS:
        raise ModelError(f"{folder} has {len(paths)} keys; at most {MAX_KEYS}")
    keys: dict[str, Ed25519PublicKey] = {}
    for path in paths:
        name = path.name.removesuffix(".pem").removesuffix(".pub")
        if name in keys:
            raise ModelError(
                f"{folder} has two keys of the name {name}: {name}.pem and {name}.pub.pem; rename one"
            )
        keys[name] = read_public_key(path)
    path = folder / LEAST_FILE
    least = read_toml(path, _Least, missing="", error_type=ModelError).root if path.exists() else {}
    for version in least.values():
        version_of(version, path)
    return Trust(keys=keys, least=least)


def version_of(text: str, where: Path) -> Version:
    """A version as numbers that have an order: 1.2 is 1.2.0, and older than 1.10.

    Raises:
        ModelError: The text is no version of numbers.
    """
    if _VERSION.fullmatch(text) is None:
        raise ModelError(
            f"{where}: version {text[:40]!r} has no order; want up to four numbers, such as 1.2.0"
        )
    numbers = tuple(map(int, text.split(".")))
    return numbers + (0,) * (4 - len(numbers))
