"""Packages of models that the simulator computes in its slots, written operator by operator, and onnxruntime's answer to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tomli_w
from onnx import TensorProto, helper, numpy_helper

from ran_sim.core.state import F64

Node = tuple[str, Sequence[str], str]  # kind, inputs, output


def write_slot_package(
    folder: Path, nodes: Sequence[Node], constants: Mapping[str, Any], names: Sequence[str]
) -> Path:
    """A package of this graph from `x`, whose columns have `names`, to `y`."""
    graph = helper.make_graph(
        [helper.make_node(kind, list(inputs), [output]) for kind, inputs, output in nodes],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(names)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    content = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    card = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "features": [{"name": name, "unit": "1"} for name in names],
    }
    (folder / "card.toml").write_text(tomli_w.dumps(card))
    return folder


def by_onnxruntime(folder: Path, x: F64) -> F64:
    """The outputs of a package for inputs [n, n_feature]."""
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
    found = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[0]
    return np.asarray(found, np.float64)
