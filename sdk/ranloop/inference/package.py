"""Reads a folder with a card and an ONNX file and makes a `Model` of it, or raises one line that says why not."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import structlog

from ranloop.errors import MissingExtraError, ModelError
from ranloop.inference.card import CARD_FILE, Card, card_bytes, parse_card
from ranloop.inference.golden import SAME, difference
from ranloop.inference.model import Model
from ranloop.inference.onnx_file import refused
from ranloop.inference.probe import try_out
from ranloop.inference.session import Provider, SessionPredictor, open_session
from ranloop.inference.trust import Trust

__all__ = (
    "CALIBRATION_FILE",
    "calibration_bytes",
    "load_model",
    "package_files",
    "read_package",
    "rows_at_a_time",
)

log = structlog.get_logger(__name__)

CALIBRATION_FILE = "calibration.json"  # of a model at the gate of a cascade (`ranloop.placement.gate`)
MAX_BYTES = 256 << 20
MAX_CALIBRATION_BYTES = 1 << 22

# Findings of trials in another process: each drop of an experiment loads the same file again.
_found: dict[tuple[str, tuple[int, ...], str], dict[str, Any]] = {}


def read_package(folder: Path, *, trust: Trust | None = None, running: str = "") -> tuple[Card, bytes]:
    """The card and the ONNX file, read and checked against each other; nothing is run.

    Args:
        folder: The package.
        trust: The operator's keys; None takes packages of everybody.
        running: With `trust`: the version that the package is to take the place of, which must not be newer.

    Raises:
        ModelError: The card is missing or wrong; or the file is missing, too large, altered or truncated, or holds parts that
            are refused; or `trust` does not admit the package.
    """
    of_card = card_bytes(folder)
    card = parse_card(of_card, folder)
    path = folder / card.file
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}; make it again with {folder}/train.py"
        ) from error
    if len(content) > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise ModelError(
            f"{path} is not the file its card describes: sha256 {digest[:12]}…, the card says {card.sha256[:12]}…; "
            "restore the file or train again"
        )
    if why := refused(content):
        raise ModelError(f"{path} is refused: {why}")
    if trust is not None:
        trust.admit(folder, card, package_files(folder, of_card, card, content), running=running)
    return card, content


def package_files(folder: Path, of_card: bytes, card: Card, content: bytes) -> dict[str, bytes]:
    """File name -> content of all that a signature of the package covers: card, ONNX file, and calibration if there is one.

    Raises:
        ModelError: The calibration cannot be read, or is too large.
    """
    calibration = calibration_bytes(folder)
    others = {} if calibration is None else {CALIBRATION_FILE: calibration}
    return {CARD_FILE: of_card, card.file: content, **others}


def calibration_bytes(folder: Path) -> bytes | None:
    """The bytes of a package's calibration; None if it has none.

    Raises:
        ModelError: It cannot be read, or is too large.
    """
    path = folder / CALIBRATION_FILE
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CALIBRATION_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_CALIBRATION_BYTES:
        raise ModelError(f"{path} is larger than {MAX_CALIBRATION_BYTES} bytes")
    return content


def load_model(
    folder: Path, *, trust: Trust | None = None, running: str = "", provider: Provider = "cpu"
) -> Model:
    """Load a model package; the file is tried out in a process of its own before it is opened in this one.

    `trust` and `running` as in `read_package`. A `provider` whose answers to the card's golden inputs are others than at the export
    is told in the log.

    Raises:
        ModelError: As `read_package`; or the file does not run, takes too long or too much memory, or has other shapes than
            the card.
        MissingExtraError: onnxruntime is not installed.
    """
    card, content = read_package(folder, trust=trust, running=running)
    path = folder / card.file
    batch = rows_at_a_time(card, content, path)
    session = open_session(content, str(path), provider)
    predictor = SessionPredictor(session, str(path), output=card.output, batch=batch)
    off = difference(card, predictor)
    if off is not None and off > SAME:
        log.warning("model_answers_differ", model=Model.tag_of(card), provider=provider, by=off, want=SAME)
    return Model(card, predictor)


def rows_at_a_time(card: Card, content: bytes, path: Path) -> int:
    """Number of rows that a file takes at a time, 0 for any number, as a trial of it in a process of its own shows.

    Raises:
        ModelError: The file does not run, takes too long or too much memory, or has other shapes than the card.
        MissingExtraError: onnxruntime is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise MissingExtraError(f"the model {card.name}", "models")
    key = card.sha256, card.row_shape, card.output
    found = _found.get(key) or try_out(content, card.row_shape, card.output)
    batch = _batch(card, found, path)
    _found[key] = found
    return batch


def _batch(card: Card, found: dict[str, Any], path: Path) -> int:
    """As `rows_at_a_time`, of the findings of a trial."""
    if "inputs" not in found:
        raise ModelError(f"{path} is not a runnable ONNX model: {found['error']}")
    inputs, outputs = found["inputs"], found["outputs"]
    row, n_outputs = list(card.row_shape), len(card.outputs)
    if len(inputs) != 1 or inputs[0][1] != "tensor(float)" or not _fits(inputs[0][2], row):
        raise ModelError(
            f"{path} takes {_shown(inputs)} but its card lists {len(card.features)} features"
            f"{f' in {card.steps} steps' if card.steps else ''}: want one tensor(float) {_any(row)}"
        )
    read = [output for output in outputs if output[0] == (card.output or output[0])]
    if len(read) != 1:
        missing = (
            f"the card's output {card.output!r}" if card.output else "one: name it on the card, output = …"
        )
        raise ModelError(f"{path} gives {_shown(outputs)}: want {missing}")
    if read[0][1] != "tensor(float)":
        raise ModelError(f"{path} gives {_shown(read)}: want a tensor(float) {_any([n_outputs])}")
    if "gives" not in found:
        raise ModelError(f"{path} cannot be run on {[found.get('rows', 0), *row]}: {found['error']}")
    rows: int = found["rows"]
    if found["gives"] != [rows, n_outputs]:  # shapes in the file may be symbolic: look at what it really does
        raise ModelError(
            f"{path} turns {[rows, *row]} into {found['gives']} but its card lists {n_outputs} outputs: "
            f"want {[rows, n_outputs]}"
        )
    any_number = rows == 2 and not isinstance(inputs[0][2][0], int)
    return 0 if any_number else rows


def _fits(shape: list[Any], row: list[int]) -> bool:
    """Whether an input of this shape, whose sizes may be symbols, takes such rows."""
    return len(shape) == len(row) + 1 and all(
        not isinstance(size, int) or size == want for size, want in zip(shape[1:], row, strict=True)
    )


def _any(row: list[int]) -> str:
    return f"[?, {', '.join(map(str, row))}]"


def _shown(tensors: list[list[Any]]) -> str:
    return ", ".join(f"{name!r} {kind} {shape}" for name, kind, shape in tensors)
