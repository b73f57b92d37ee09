"""Reads a model package as the weights of `prediction`: `card.toml` and an ONNX file become the table that slots look up.

The graph computes `ORDER` weights from the inputs [n, 2] that the card lists by the names of `FEATURES`. It is computed once for each
step of age and change, so its size costs a slot nothing. Each operator takes and gives values [n, k]: Gemm and MatMul with constant
matrices; Add, Sub, Mul, Max, Min of two values, or of a value and a constant row or number; Clip, Relu, Sigmoid, Tanh, Identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from ran_sim.core.errors import one_line
from ran_sim.core.state import F32, F64
from ran_sim.link.prediction import FEATURES, N_AGE, N_CHANGE, ORDER, model_grid
from ran_sim.scenario.packages import Node, SlotModelError, read_graph, read_package

__all__ = ("read_channel_model",)

MOST_NODES: Final = 64  # this and the next bound what a file can cost: 0.3 GB
MOST_COLUMNS: Final = 256  # of a value
_OF_TWO: Final[Mapping[str, Callable[[F64, F64], F64]]] = MappingProxyType(
    {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum, "Min": np.minimum}
)
_OF_ONE: Final[Mapping[str, Callable[[F64], F64]]] = MappingProxyType(
    {
        "Identity": lambda x: x,
        "Relu": lambda x: np.maximum(x, 0.0),
        "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x.clip(-500.0, 500.0))),
        "Tanh": np.tanh,
    }
)


def read_channel_model(folder: Path) -> F32:
    """The weights of a model package, shape [N_CHANGE, N_AGE, ORDER].

    Raises:
        SlotModelError: No package, a card with other inputs, another file than the card's, or a graph of another form.
    """
    content = read_package(folder, FEATURES)
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            weights = _computed(content, model_grid())
    except SlotModelError as error:
        raise SlotModelError(f"{folder}: {error}") from error
    if weights.shape[1] != ORDER:
        raise SlotModelError(f"{folder}: its output has {weights.shape[1]} columns, want {ORDER}")
    if not np.isfinite(weights).all():
        raise SlotModelError(f"{folder}: its graph has a weight that is not finite")
    return weights.reshape(N_CHANGE, N_AGE, ORDER).astype(np.float32)


def _computed(content: bytes, x: F64) -> F64:
    """The output of an ONNX file for inputs [n, 2]."""
    name, output, nodes, constants = read_graph(content)
    if len(nodes) > MOST_NODES:
        raise SlotModelError(f"its graph has {len(nodes)} operators, want at most {MOST_NODES}")
    values = {name: x}
    for node in nodes:
        try:
            values[node.output] = _value(node, values, constants)
        except (KeyError, IndexError):
            raise SlotModelError(
                f"its operator {one_line(node.kind)} has other inputs than it should have here"
            ) from None
        except ValueError as error:
            raise SlotModelError(
                f"its operator {one_line(node.kind)} has shapes that do not fit ({one_line(str(error))})"
            ) from error
    if output not in values:
        raise SlotModelError("its output is computed by no operator")
    return values[output]


def _value(node: Node, values: Mapping[str, F64], constants: Mapping[str, F64]) -> F64:
    """The output of one operator, [n, k]."""
    match node:
        case Node("Clip", (x, low, high)):
            return np.asarray(values[x].clip(constants[low].item(), constants[high].item()))
        case Node(kind, (x,)) if kind in _OF_ONE:
            return _OF_ONE[kind](values[x])
        case Node(kind, (a, b)) if kind in _OF_TWO:
            shape = values[a if a in values else b].shape
            first, second = (values[i] if i in values else _row(constants[i], shape) for i in (a, b))
            return _OF_TWO[kind](first, second)
        case Node("MatMul", (x, matrix)):
            return values[x] @ _matrix(constants[matrix])
        case Node("Gemm", (x, matrix, *bias), _, given) if not given.get("transA"):
            turned = constants[matrix].T if given.get("transB") else constants[matrix]
            product = given.get("alpha", 1.0) * (values[x] @ _matrix(turned))
            for name in bias:
                product = product + given.get("beta", 1.0) * _row(constants[name], product.shape)
            return np.asarray(product)
    raise SlotModelError(
        f"its operator {one_line(node.kind)} has no place here; want Gemm, MatMul, Clip, {', '.join((*_OF_TWO, *_OF_ONE))}"
    )


def _row(constant: F64, shape: tuple[int, ...]) -> F64:
    return np.broadcast_to(constant.ravel(), shape)


def _matrix(constant: F64) -> F64:
    if constant.ndim != 2 or constant.shape[1] > MOST_COLUMNS:
        raise ValueError(f"a matrix {constant.shape}, want at most {MOST_COLUMNS} columns")
    return constant
