"""Reads the model packages that a scenario names: `card.toml`, and the ONNX file that it has the hash of.

The card lists the inputs of the graph by name. A reader of a kind of model wants its own names, in its own order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ran_sim.core.errors import InputError, one_line
from ran_sim.core.files import read_bytes
from ran_sim.core.state import F64
from ran_sim.scenario.toml_file import read_table

__all__ = ("Node", "SlotModelError", "read_graph", "read_package")

MAX_FILE_BYTES: Final = 1 << 16  # models of a slot have some hundred numbers: 2 kB


class SlotModelError(InputError):
    """A package is no model that a slot can use: one line with its folder, what it has and what is wanted."""


def read_package(folder: Path, features: Sequence[str]) -> bytes:
    """The ONNX file of a package whose inputs are `features`.

    Raises:
        SlotModelError: No package, a card with other inputs, or another file than the card's.
    """
    card = _card(folder, features)
    content = _content(folder / str(card.get("file", "model.onnx")), folder)
    if hashlib.sha256(content).hexdigest() != card.get("sha256"):
        raise SlotModelError(f"{folder}: its ONNX file is not the one of its card (sha256); export it again")
    return content


def _card(folder: Path, features: Sequence[str]) -> Mapping[str, Any]:
    try:
        card = read_table(folder / "card.toml")
    except OSError as error:
        raise SlotModelError(
            f"{folder}: got no readable card.toml ({error.strerror}), want a model package"
        ) from error
    except ValueError as error:
        raise SlotModelError(f"{folder}: its card.toml is no TOML ({one_line(str(error))})") from error
    entries = card.get("features")
    names = (
        [entry.get("name") or entry.get("measurement") for entry in entries if isinstance(entry, Mapping)]
        if isinstance(entries, list)
        else []
    )
    if names != list(features):
        raise SlotModelError(
            f"{folder}: got the inputs {one_line(', '.join(map(str, names)))}, want {', '.join(features)}, in this order"
        )
    return card


def _content(file: Path, folder: Path) -> bytes:
    try:
        return read_bytes(file, MAX_FILE_BYTES)
    except OSError as error:
        raise SlotModelError(f"{folder}: got no readable {one_line(file.name)} ({error.strerror})") from error
    except ValueError as error:
        raise SlotModelError(
            f"{folder}: {one_line(file.name)} has {error}; a model of the slot is smaller"
        ) from error


class Node(NamedTuple):
    """One operator of a graph."""

    kind: str
    inputs: list[str]
    output: str
    given: Mapping[str, Any]  # its attributes


def read_graph(content: bytes) -> tuple[str, str, list[Node], dict[str, F64]]:
    """Names of the only input and output of an ONNX file, its operators in order, and its constants.

    Raises:
        SlotModelError: No ONNX file, or several inputs or outputs.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError as error:
        raise SlotModelError('reading its ONNX file needs onnx: pip install "ranloop[sim]"') from error
    try:
        graph = onnx.load_model_from_string(content).graph
        constants = {
            tensor.name: np.asarray(numpy_helper.to_array(tensor), np.float64) for tensor in graph.initializer
        }
        nodes = [
            Node(
                node.op_type,
                list(node.input),
                node.output[0],
                {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
        ]
    except Exception as error:  # protobuf and onnx may raise any
        raise SlotModelError(f"its ONNX file cannot be read ({type(error).__name__})") from error
    inputs = [each.name for each in graph.input if each.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise SlotModelError(
            f"its graph has {len(inputs)} inputs and {len(graph.output)} outputs, want one of each"
        )
    return inputs[0], graph.output[0].name, nodes, constants
