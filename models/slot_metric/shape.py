"""The form of the metric that is trained: seventeen parameters, as a network of the simulator and as an ONNX file.

g = bias + a linear part in all inputs + two logistic units, one in the pressure and one in the share of airtime. The inputs
are within the bounds that training has seen, and count in standard deviations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ran_sim.core.state import F64
from ran_sim.mac import learned
from ran_sim.mac.learned import FEATURES, N_FEATURE, N_UNIT

UNIT_INPUTS = (FEATURES.index("log_pressure"), FEATURES.index("log_share"))
PARAMETERS = (
    "bias",
    *FEATURES,
    *(f"{FEATURES[i]} {part}" for i in UNIT_INPUTS for part in ("slope", "centre", "height")),
)
N_PARAMETER = len(PARAMETERS)
MOST_LOG_FACTOR = 12.0  # either way


class Seen(NamedTuple):
    """The inputs that training has seen, [N_FEATURE] each."""

    low: F64
    high: F64
    mean: F64
    sd: F64

    @classmethod
    def of(cls, rows: F64) -> Seen:
        """Of samples [n, N_FEATURE]; the bounds leave out the outermost half percent on either side."""
        low, high = np.percentile(rows, (0.5, 99.5), axis=0)
        inside = rows.clip(low, high)
        return cls(low, high, inside.mean(axis=0), np.maximum(inside.std(axis=0), 1e-3))


class Network(NamedTuple):
    """g = bias + x @ linear + sum of height / (1 + exp(-(x @ weights + offset))), x within `low` and `high`; float32 numbers."""

    low: F64
    high: F64
    linear: F64  # [N_FEATURE]
    bias: float
    weights: F64  # [N_FEATURE, n_unit]
    offset: F64  # [n_unit]
    height: F64

    def numbers(self) -> F64:
        """As the simulator's kernels read it, see `ran_sim.mac.learned`."""
        row = np.zeros(learned.N_NUMBERS)
        row[learned.LOW : learned.HIGH], row[learned.HIGH : learned.LINEAR] = self.low, self.high
        row[learned.LINEAR : learned.BIAS], row[learned.BIAS] = self.linear, self.bias
        row[learned.LEAST], row[learned.MOST] = -MOST_LOG_FACTOR, MOST_LOG_FACTOR
        units = np.column_stack((self.weights.T, self.offset, self.height))
        row[learned.N_UNITS] = len(units)
        row[learned.UNITS : learned.UNITS + len(units) * N_UNIT] = units.ravel()
        return row


def start() -> F64:
    """Parameters near the rule log with class weights of 32, and a little triage: [N_PARAMETER]."""
    parameters = np.zeros(N_PARAMETER)
    parameters[0] = np.log(32.0)
    parameters[1 + FEATURES.index("log_age")] = 0.6
    parameters[1 + N_FEATURE :] = (1.5, 1.0, -1.0) * len(UNIT_INPUTS)  # slope, centre, height
    return parameters


def network(parameters: F64, seen: Seen) -> Network:
    """The network of a point [N_PARAMETER] of the search; parameters refer to inputs in standard deviations."""
    slopes = parameters[1 : 1 + N_FEATURE] / seen.sd
    units = parameters[1 + N_FEATURE :].reshape(-1, 3)
    weights = np.zeros((N_FEATURE, len(units)))
    offset = np.zeros(len(units))
    for k, (i, (slope, centre, _)) in enumerate(zip(UNIT_INPUTS, units, strict=True)):
        weights[i, k] = slope / seen.sd[i]
        offset[k] = -slope * (centre + seen.mean[i] / seen.sd[i])
    parts = (
        seen.low, seen.high, slopes, np.asarray(parameters[0] - slopes @ seen.mean), weights, offset, units[:, 2],
    )  # fmt: skip
    low, high, linear, bias, weights, offset, height = (
        part.astype(np.float32).astype(np.float64) for part in parts
    )
    return Network(low, high, linear, float(bias), weights, offset, height)


def onnx_file(of: Network) -> bytes:
    """The same as an ONNX file with one input [n, N_FEATURE] and one output [n, 1]."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "low": of.low,
        "high": of.high,
        "weights": of.weights,
        "offset": of.offset,
        "height": of.height[:, None],
        "bias": np.array([of.bias]),
        "linear": of.linear[:, None],
        "least": np.array(-MOST_LOG_FACTOR),
        "most": np.array(MOST_LOG_FACTOR),
    }
    nodes = [
        helper.make_node("Max", ["features", "low"], ["raised"]),
        helper.make_node("Min", ["raised", "high"], ["bounded"]),
        helper.make_node("Gemm", ["bounded", "weights", "offset"], ["hidden"]),
        helper.make_node("Sigmoid", ["hidden"], ["units"]),
        helper.make_node("Gemm", ["units", "height", "bias"], ["bent"]),
        helper.make_node("MatMul", ["bounded", "linear"], ["straight"]),
        helper.make_node("Add", ["bent", "straight"], ["total"]),
        helper.make_node("Clip", ["total", "least", "most"], ["log_factor"]),
    ]
    graph = helper.make_graph(
        nodes,
        "slot_metric",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, N_FEATURE])],
        [helper.make_tensor_value_info("log_factor", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
