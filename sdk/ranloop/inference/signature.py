"""`signature.json` beside a card: who answers for which files of a model package.

The file is an envelope of DSSE 1.0 (secure-systems-lab/dsse) around a statement of in-toto 1.0, which names each file of the package
with its SHA-256. The signature is Ed25519 (RFC 8032) over the statement's bytes as they stand there, so nothing has to be written in
one canonical form. Other tools for DSSE can check it, too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ranloop.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = (
    "SIGNATURE_FILE",
    "Statement",
    "key_id",
    "make_key",
    "read_private_key",
    "read_public_key",
    "signed",
    "statement_of",
)

SIGNATURE_FILE = "signature.json"
PASSWORD = "RANLOOP_KEY_PASSWORD"  # environment variable
MAX_BYTES = 1 << 16
MAX_SIGNATURES = 8
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_KIND: Final = "https://in-toto.io/Statement/v1"
_ABOUT: Final = "urn:ranloop:model-package:1"


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True)  # unknown keys are others' business: both formats allow them


class _Digest(_Lenient):
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _File(_Lenient):
    name: str
    digest: _Digest


class _About(_Lenient):
    name: str
    version: str


class Statement(_Lenient):
    """What is signed: name and version of a package, and the hashes of its files."""

    kind: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[_File, ...] = Field(min_length=1, max_length=16)
    predicateType: Literal["urn:ranloop:model-package:1"]  # as in-toto writes it
    predicate: _About

    @property
    def files(self) -> dict[str, str]:
        """File name -> SHA-256."""
        return {file.name: file.digest.sha256 for file in self.subject}


class _Signature(_Lenient):
    sig: str
    keyid: str = ""


class _Envelope(_Lenient):
    payload: str
    payloadType: Literal["application/vnd.in-toto+json"]  # as DSSE writes it
    signatures: tuple[_Signature, ...] = Field(min_length=1, max_length=MAX_SIGNATURES)


def signed(name: str, version: str, files: Mapping[str, bytes], key: Ed25519PrivateKey) -> str:
    """The text of `signature.json` for the files of a package.

    Args:
        name: On the card.
        version: On the card.
        files: File name -> content.
        key: Who signs.
    """
    statement = {
        "_type": _KIND,
        "subject": [
            {"name": file, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
            for file, content in sorted(files.items())
        ],
        "predicateType": _ABOUT,
        "predicate": {"name": name, "version": version},
    }
    payload = json.dumps(statement, separators=(",", ":"), sort_keys=True).encode()
    envelope = {
        "payloadType": _PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key_id(key.public_key()),
                "sig": base64.b64encode(key.sign(pre_authentication(_PAYLOAD_TYPE, payload))).decode(),
            }
        ],
    }
    return json.dumps(envelope, indent=2) + "\n"


def statement_of(path: Path, keys: Mapping[str, Ed25519PublicKey]) -> tuple[Statement, str]:
    """What a `signature.json` says, and the name of the key that signed it.

    Args:
        path: The file.
        keys: Name -> key of each that is trusted. The key id in the file is a hint that nobody has signed, and is not used.

    Raises:
        ModelError: There is no such file, it is none of ours, or none of the keys has signed it; one line.
    """
    from cryptography.exceptions import InvalidSignature

    envelope = _parsed(path)
    try:
        payload = base64.b64decode(envelope.payload, validate=True)
        signatures = [base64.b64decode(each.sig, validate=True) for each in envelope.signatures]
    except (binascii.Error, ValueError) as error:
        raise ModelError(f"{path} is no signature: {error}; sign the package again") from error
    said = pre_authentication(_PAYLOAD_TYPE, payload)
    for signature in signatures:
        for name, key in keys.items():
            try:
                key.verify(signature, said)
            except InvalidSignature:
                continue
            try:
                return Statement.model_validate_json(payload), name
            except ValidationError as error:
                raise ModelError(
                    f"{path}: {name} has signed something else than a model package: {_first(error)}"
                ) from error
    by = ", ".join(each.keyid[:12] for each in envelope.signatures if each.keyid[:12].isalnum()) or "?"
    raise ModelError(
        f"{path}: no trusted key has signed it (signed by {by}; trusted: {', '.join(keys)}), or it was altered; "
        "add the signer's public key to the folder of --trust, or sign the package with a key of yours"
    )


def _parsed(path: Path) -> _Envelope:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ModelError(
            f"{path.parent} is not signed: it has no {path.name}; ranloop model sign {path.parent} --key KEY.pem"
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES} bytes, which no signature is")
    try:
        return _Envelope.model_validate_json(content)
    except ValidationError as error:
        raise ModelError(f"{path} is no signature: {_first(error)}; sign the package again") from error


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'document'}: {problem['msg']}"


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a DSSE signature is made of: PAE of DSSE 1.0, protocol.md."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw 32 bytes of a public key, in hex."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def make_key(path: Path) -> Path:
    """Write a new private key to `path`, readable by its owner alone, and its public key beside it.

    Returns:
        The file of the public key, `path` with the suffix .pub.pem.

    Raises:
        ModelError: A file is there already, or cannot be written.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem, public_path = serialization.Encoding.PEM, path.with_suffix(".pub.pem")
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        for file, content, mode in ((path, private, 0o600), (public_path, public, 0o644)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                out.write(content)
    except FileExistsError as error:
        raise ModelError(f"{error.filename} is there already; give the key another name") from error
    except OSError as error:
        raise ModelError(f"{error.filename} cannot be written: {error.strerror}") from error
    return public_path


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """A private key in PKCS #8 PEM, as `ranloop model key` and `openssl genpkey -algorithm ed25519` write it.

    Raises:
        ModelError: It is no such key, or it is encrypted and `RANLOOP_KEY_PASSWORD` does not open it.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    password, content = os.environ.get(PASSWORD), _key_bytes(path)
    try:
        key = serialization.load_pem_private_key(content, password.encode() if password else None)
    except TypeError as error:  # a password where none is wanted, or none where one is
        raise ModelError(
            f"{path}: {'the key is not encrypted: unset' if password else 'the key is encrypted: set'} {PASSWORD}"
        ) from error
    except Exception as error:  # of several kinds, by version
        raise ModelError(
            f"{path} is no private key that opens: want an Ed25519 key in PEM, as ranloop model key writes it"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ModelError(f"{path} is a key of another kind; want Ed25519, as ranloop model key writes it")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """A public key in PEM, as `ranloop model key` and `openssl pkey -pubout` write it.

    Raises:
        ModelError: It is no such key; a private one in its place is said to be one.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    content = _key_bytes(path)
    if b"PRIVATE KEY" in content:
        raise ModelError(f"{path} is a private key; only public ones belong there (openssl pkey -pubout)")
    try:
        key = serialization.load_pem_public_key(content)
    except Exception as error:  # of several kinds, by version
        raise ModelError(f"{path} is no public key in PEM; want one of Ed25519") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ModelError(f"{path} is a key of another kind; want Ed25519")
    return key


def _key_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ModuleNotFoundError as error:
        raise MissingExtraError("signing and trusting models", "trust") from error
    return serialization
