"""Reads a model package as a learned scheduling metric: `card.toml` and an ONNX file become the row of numbers of `learned`.

The card lists the inputs by the names of `FEATURES`, in their order, and the hash of the file. The graph computes one output from
one input [n, N_FEATURE]: bounds of the inputs (Max and Min with constants, on the input itself), one hidden layer (Sigmoid or
Tanh) with linear layers around and beside it (Gemm, MatMul, Add, Sub, Mul), and bounds of the output (Clip, last). It is followed node
by node, each value held as a linear function of the inputs and of the hidden units, so any order of such layers will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ran_sim.core.errors import one_line
from ran_sim.core.state import F64
from ran_sim.mac.learned import (
    BIAS,
    FEATURES,
    HIGH,
    LEAST,
    LINEAR,
    LOW,
    MOST,
    MOST_UNITS,
    N_FEATURE,
    N_NUMBERS,
    N_UNIT,
    N_UNITS,
    UNITS,
)
from ran_sim.scenario.packages import SlotModelError, read_graph, read_package

__all__ = ("SlotModelError", "read_slot_model")

MOST_EXPONENT: Final = 20.0  # of the factor, either way, where the graph has no bounds


class _Value(NamedTuple):
    """k numbers as a linear function of inputs and hidden units: x @ linear + units(x) @ height + bias."""

    linear: F64  # [N_FEATURE, k]
    weights: F64  # [N_FEATURE, n_unit] of the hidden units
    offset: F64  # [n_unit]
    height: F64  # [n_unit, k]
    bias: F64  # [k]


class _Bounds(NamedTuple):
    """What is cut off before and after."""

    low: F64  # [N_FEATURE]
    high: F64
    out: tuple[float, float]


def read_slot_model(folder: Path) -> F64:
    """The network of a model package, shape [N_NUMBERS], see `learned`.

    Raises:
        SlotModelError: No package, a card with other inputs, another file than the card's, or a graph of another form.
    """
    content = read_package(folder, FEATURES)
    try:
        value, bounds = _followed(content)
    except SlotModelError as error:
        raise SlotModelError(f"{folder}: {error}") from error
    n_unit = value.offset.size
    if n_unit > MOST_UNITS:
        raise SlotModelError(f"{folder}: got {n_unit} hidden units, want at most {MOST_UNITS}")
    network = np.zeros(N_NUMBERS)
    network[LOW:HIGH], network[HIGH:LINEAR] = bounds.low, bounds.high
    network[LINEAR:BIAS], network[BIAS] = value.linear[:, 0], value.bias[0]
    network[LEAST], network[MOST] = bounds.out
    network[N_UNITS] = n_unit
    rows = np.column_stack((value.weights.T, value.offset, value.height[:, 0]))
    network[UNITS : UNITS + n_unit * N_UNIT] = rows.ravel()
    if not np.isfinite(network).all():
        raise SlotModelError(f"{folder}: its graph has a number that is not finite")
    return network


def _followed(content: bytes) -> tuple[_Value, _Bounds]:
    """The output of an ONNX file, and the bounds before and after it."""
    x, y, nodes, constants = read_graph(content)
    reader = _Reader(x, constants)
    for node in nodes:
        reader.take(*node)
    return reader.result(y)


class _Reader:
    """Follows a graph node by node."""

    def __init__(self, x: str, constants: Mapping[str, F64]) -> None:
        nothing = np.zeros((N_FEATURE, 0))
        self._values = {
            x: _Value(np.eye(N_FEATURE), nothing, np.zeros(0), np.zeros((0, N_FEATURE)), np.zeros(N_FEATURE))
        }
        self._constants = constants
        self._raw = {x}  # values that are the input itself, within bounds
        self._used = set[str]()  # values that other operators than bounds read
        self._unbounded = set[str]()  # values that were the input itself before its last bounds
        self._low, self._high = np.full(N_FEATURE, -1e9), np.full(N_FEATURE, 1e9)
        self._out = (-MOST_EXPONENT, MOST_EXPONENT)
        self._clipped = ""  # the value that the output's bounds were put on

    def take(self, kind: str, inputs: list[str], output: str, given: Mapping[str, Any]) -> None:
        """One node."""
        try:
            value = self._computed(kind, inputs, output, given)
        except (KeyError, IndexError):
            raise SlotModelError(
                f"its operator {one_line(kind)} has other inputs than it should have here"
            ) from None
        except ValueError as error:
            raise SlotModelError(
                f"its operator {one_line(kind)} has shapes that do not fit ({one_line(str(error))})"
            ) from error
        self._values[output] = value

    def result(self, name: str) -> tuple[_Value, _Bounds]:
        """The output, and the bounds."""
        value = self._values.get(name)
        if value is None or value.bias.size != 1:
            raise SlotModelError(f"its output has {0 if value is None else value.bias.size} columns, want 1")
        if self._clipped not in ("", name):
            raise SlotModelError("its operator Clip is not the last one, want it on the output")
        if self._unbounded & self._used:
            raise SlotModelError("its input is used within bounds and without, want all of it within them")
        return value, _Bounds(self._low, self._high, self._out)

    def _computed(self, kind: str, inputs: list[str], output: str, given: Mapping[str, Any]) -> _Value:
        match kind:
            case "Max" | "Min" if len(inputs) == 2 and self._raw & set(inputs):
                return self._bound_input(kind, inputs, output)
        self._used.update(inputs)
        match kind:
            case "Identity":
                return self._values[inputs[0]]
            case "Clip" if not self._clipped:
                self._clipped = output
                self._out = (
                    float(self._constants[inputs[1]].item()),
                    float(self._constants[inputs[2]].item()),
                )
                return self._values[inputs[0]]
            case "Sigmoid" | "Tanh":
                return _units(self._values[inputs[0]], tanh=kind == "Tanh")
            case "MatMul":
                return _times(self._values[inputs[0]], self._constants[inputs[1]])
            case "Gemm" if not given.get("transA"):
                b = self._constants[inputs[1]]
                value = _times(
                    self._values[inputs[0]], given.get("alpha", 1.0) * (b.T if given.get("transB") else b)
                )
                bias = given.get("beta", 1.0) * self._constants[inputs[2]] if len(inputs) > 2 else np.zeros(1)
                return value._replace(bias=value.bias + np.broadcast_to(bias.ravel(), value.bias.shape))
            case "Add" | "Sub" | "Mul":
                return self._combined(kind, inputs)
        raise SlotModelError(
            f"its operator {one_line(kind)} has no place here; want Max and Min on the input, Gemm, MatMul, Add, Sub, Mul, one "
            "layer of Sigmoid or Tanh, Clip on the output"
        )

    def _bound_input(self, kind: str, inputs: list[str], output: str) -> _Value:
        x, bound = inputs if inputs[0] in self._raw else inputs[::-1]
        numbers = np.broadcast_to(self._constants[bound].ravel(), (N_FEATURE,))
        if kind == "Max":
            self._low = np.maximum(self._low, numbers)
        else:
            self._high = np.minimum(self._high, numbers)
        self._unbounded |= self._raw
        self._raw = {output}
        return self._values[x]

    def _combined(self, kind: str, inputs: list[str]) -> _Value:
        sign = -1.0 if kind == "Sub" else 1.0
        if all(name in self._values for name in inputs) and kind != "Mul":
            a, b = (self._values[name] for name in inputs)
            return _Value(
                a.linear + sign * b.linear,
                np.hstack((a.weights, b.weights)),
                np.concatenate((a.offset, b.offset)),
                np.vstack((a.height, sign * b.height)),
                a.bias + sign * b.bias,
            )
        first = inputs[0] in self._values
        value, constant = self._values[inputs[not first]], self._constants[inputs[first]]
        row = np.broadcast_to(constant.ravel(), value.bias.shape)
        if kind == "Mul":
            return _times(value, np.diag(row))
        if kind == "Sub" and not first:
            return _times(value, -np.eye(row.size))._replace(bias=row - value.bias)
        return value._replace(bias=value.bias + sign * row)


def _times(value: _Value, matrix: F64) -> _Value:
    return value._replace(
        linear=value.linear @ matrix, height=value.height @ matrix, bias=value.bias @ matrix
    )


def _units(value: _Value, *, tanh: bool) -> _Value:
    """A hidden layer on `value`; tanh z is 2 / (1 + exp(-2 z)) - 1."""
    if value.offset.size:
        raise SlotModelError("its graph has a second hidden layer, want one")
    k, steep = value.bias.size, 2.0 if tanh else 1.0
    return _Value(
        linear=np.zeros((N_FEATURE, k)),
        weights=steep * value.linear,
        offset=steep * value.bias,
        height=steep * np.eye(k),
        bias=np.full(k, -1.0 if tanh else 0.0),
    )
