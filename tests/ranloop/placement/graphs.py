"""Small ONNX graphs whose cuts can be counted by hand, and packages of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ranloop.inference import Card, Feature, Output
from ranloop.inference.golden import golden_of
from ranloop.inference.session import open_session
from ranloop.wire.messages import F32

MEASURED = Feature(measurement="DRB.UEThpDl", unit="kbit/s")
Weights = dict[str, Any]


def onnx_file(
    nodes: Sequence[Any], weights: Weights, row: Sequence[int], n_outputs: int = 1, output: str = "y"
) -> bytes:
    """A file with one input `x` [n, *row] and one output [n, n_outputs]."""
    made = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *row])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", n_outputs])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def f32(values: object) -> F32:
    return np.array(values, np.float32)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), name=output, **attributes)


def normal(*shape: int) -> F32:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def chain() -> bytes:
    """x[1] -> g1[2] -> r1 -> g2[8] -> r2 -> y = relu(x) + 1. Multiply-accumulates: 2, 16 and 8."""
    first, second, third = np.zeros((1, 2)), np.zeros((2, 8)), np.zeros((8, 1))
    first[0, 0] = second[0, 0] = third[0, 0] = 1.0
    nodes = [
        node("Gemm", "x w1", "g1"),
        node("Relu", "g1", "r1"),
        node("Gemm", "r1 w2", "g2"),
        node("Relu", "g2", "r2"),
        node("Gemm", "r2 w3 one", "y"),
    ]
    layers = {"w1": first, "w2": second, "w3": third, "one": np.ones(1)}
    return onnx_file(nodes, {name: value.astype(np.float32) for name, value in layers.items()}, [1])


def cnn() -> bytes:
    """A row of [8, 6] as an image: two convolutions with a pooling between them, and a classifier. A chain of ten nodes."""
    nodes = [
        node("Unsqueeze", "x axis", "image"),
        node("Conv", "image k1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("MaxPool", "r1", "p1", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "p1 k2", "c2", pads=[1, 1, 1, 1]),
        node("Relu", "c2", "r2"),
        node("GlobalAveragePool", "r2", "a"),
        node("Flatten", "a", "f"),
        node("Gemm", "f w", "g"),
        node("Softmax", "g", "y"),
    ]
    weights = {"axis": np.array([1]), "k1": normal(4, 1, 3, 3), "k2": normal(8, 4, 3, 3), "w": normal(8, 3)}
    return onnx_file(nodes, weights, [8, 6], 3)


def skip() -> bytes:
    """m0 -> r0 -> m1 -> r1 -> m2 -> s = m2 + r0 -> y: a connection past three nodes."""
    nodes = [
        node("MatMul", "x w0", "m0"),
        node("Relu", "m0", "r0"),
        node("MatMul", "r0 w1", "m1"),
        node("Relu", "m1", "r1"),
        node("MatMul", "r1 w2", "m2"),
        node("Add", "m2 r0", "s"),
        node("MatMul", "s w3", "y"),
    ]
    weights = {"w0": normal(3, 5), "w1": normal(5, 7), "w2": normal(7, 5), "w3": normal(5, 2)}
    return onnx_file(nodes, weights, [3], 2)


def diamond() -> bytes:
    """r -> (a1 -> a2) and (b), which meet in s -> y; the constant `half` is a node of its own."""
    nodes = [
        node("Constant", "", "half", value=numpy_helper.from_array(f32([0.5]))),
        node("MatMul", "x w", "r"),
        node("Sigmoid", "r", "a1"),
        node("Mul", "a1 half", "a2"),
        node("Tanh", "r", "b"),
        node("Add", "a2 b", "s"),
        node("Mul", "s half", "y"),
    ]
    return onnx_file(nodes, {"w": normal(4, 3)}, [4], 3)


def normalised() -> bytes:
    """A convolution and the normalisation after it, which onnxruntime makes one."""
    nodes = [
        node("Unsqueeze", "x axis", "image"),
        node("Conv", "image k", "c", pads=[1, 1]),
        node("BatchNormalization", "c scale shift mean variance", "b"),
        node("Relu", "b", "r"),
        node("Flatten", "r", "f"),
        node("Gemm", "f w", "y"),
    ]
    weights = {
        "axis": np.array([1]),
        "k": normal(4, 1, 3),
        "scale": normal(4),
        "shift": normal(1, 3)[0, [0, 1, 2, 0]],
        "mean": normal(4) / 3,
        "variance": f32([0.3, 0.7, 1.3, 1.9]),
        "w": normal(20, 1),
    }
    return onnx_file(nodes, weights, [5])


def sensed() -> bytes:
    """Two inputs, of which the second has next to no weight: x[2] -> m[3] -> r -> z -> y = relu(x[0]) + 1."""
    nodes = [
        node("MatMul", "x w1", "m"),
        node("Relu", "m", "r"),
        node("MatMul", "r w2", "z"),
        node("Add", "z one", "y"),
    ]
    first, second = f32([[1, 0, 0], [0, 1e-3, 0]]), f32([[1], [0], [0]])
    return onnx_file(nodes, {"w1": first, "w2": second, "one": f32([1])}, [2])


GRAPHS = {
    "chain": chain,
    "cnn": cnn,
    "skip": skip,
    "diamond": diamond,
    "normalised": normalised,
    "sensed": sensed,
}
ROWS = {"chain": (1,), "cnn": (8, 6), "skip": (3,), "diamond": (4,), "normalised": (5,), "sensed": (2,)}
N_OUTPUTS = {"chain": 1, "cnn": 3, "skip": 2, "diamond": 3, "normalised": 1, "sensed": 1}


def card_of(kind: str, content: bytes, *, golden: bool = True, **more: Any) -> Card:
    """A card of a graph; a row of two dimensions is a sequence."""
    row = ROWS[kind]
    inputs = normal(5, *row)
    outputs = np.asarray(open_session(content, kind).run(None, {"x": inputs})[0])
    steps = row[0] if len(row) == 2 else 0
    return Card(
        **{
            "name": kind,
            "version": "1",
            "summary": "test",
            "sha256": hashlib.sha256(content).hexdigest(),
            "period_ms": 100,
            "features": tuple(MEASURED.model_copy(update={"lag": lag}) for lag in range(row[-1])),
            "steps": steps,
            "outputs": tuple(Output(name=f"y{at}", unit="1") for at in range(N_OUTPUTS[kind])),
            "golden": golden_of(inputs, outputs) if golden else None,
            **more,
        }
    )


def write_graph(folder: Path, kind: str, **more: Any) -> Path:
    """A package of a graph."""
    import tomli_w

    content = GRAPHS[kind]()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    text = tomli_w.dumps(card_of(kind, content, **more).model_dump(exclude_defaults=True))
    (folder / "card.toml").write_text(text, "utf-8")
    return folder
